/**
 * Every native method with random arguments: `fuzz-methods <calls> <seed>`. What is thrown is an Error with a code; what
 * is not leaves a proactor that still works, until it is closed, and one that still ends well.
 */
import * as net from 'node:net';
import { once } from 'node:events';
import { openSync, readdirSync } from 'node:fs';
import { Layout, loadNative } from '../../dist/backend/native.js';
import type { NativeProactor } from '../../dist/backend/native.js';
import { Opcode } from '../../dist/op.js';
import { Random } from '../support/random.ts';
import { ensure, report } from './report.ts';

const [total = 0, seed = 0] = process.argv.slice(2, 4).map(Number);
const random = new Random(seed);
const binding = loadNative();
const codes: Record<string, number> = {};
const successes: Record<string, number> = Object.create(null) as Record<string, number>;

const servers = [net.createServer().listen(0, '127.0.0.1'), net.createServer().listen(0, '::1')];
await Promise.all(servers.map((each) => once(each, 'listening')));
const fdOf = (owner: object): number => (Reflect.get(owner, '_handle') as { readonly fd: number }).fd;
/** The only descriptors that may be adopted: what else is open is not ours. */
const FDS = [...servers.map(fdOf), openSync(import.meta.filename, 'r'), 999_999];
const openFds = (): number => readdirSync('/proc/self/fd').length;

type Method = (this: unknown, ...args: unknown[]) => unknown;

const METHODS = Object.getOwnPropertyNames(binding.NativeProactor.prototype).filter((name) => name !== 'constructor');
/** Of those with an own ending, few: a closed proactor answers everything alike. */
const ENDINGS = new Set(['close', 'abandon']);
/** Those that begin with a descriptor. */
const ASKING = new Set(['address', 'setOption', 'option', 'membership']);

function detached(): ArrayBuffer {
  const memory = new ArrayBuffer(64);
  structuredClone(memory, { transfer: [memory] });
  return memory;
}

/** An address as the argument of a BIND: with its length before it. */
const LOOPBACK = [
  [12, 0, 4, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1],
  [24, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
];

class Live {
  readonly native: NativeProactor;
  readonly page: Uint32Array;
  readonly doubles: Float64Array;
  /** Numbers of sockets, and of what was adopted. */
  readonly descriptors: number[] = [];
  state: 'open' | 'abandoned' | 'closed' = 'open';
  settled = 0;

  constructor() {
    const config = { entries: 8, completionEntries: 16, inFlightMax: 8, registeredBytesMax: 65_536 };
    this.native = new binding.NativeProactor(config, (count) => void (this.settled += count));
    this.page = new Uint32Array(this.native.page());
    this.doubles = new Float64Array(this.page.buffer);
  }

  /** With a datagram socket of each family. */
  async begin(): Promise<void> {
    for (const [index, bytes] of LOOPBACK.entries()) {
      new Uint8Array(this.page.buffer).set(bytes, Layout.ARGUMENTS);
      await this.#ask(Opcode.BIND, index, bytes.length);
      const word = Layout.COMPLETIONS / 4;
      if (this.page[word + 2] === 0) this.descriptors.push(this.doubles[word / 2 + 3]!);
    }
  }

  /** It answers a no-op, if it was not ended. */
  async end(): Promise<void> {
    if (this.state === 'open') await this.#ask(Opcode.NOP, LOOPBACK.length, 0);
    if (this.state !== 'closed') await new Promise<void>((resolve) => this.native.close(resolve));
  }

  async #ask(opcode: number, slot: number, argumentLength: number): Promise<void> {
    const { native, page } = this;
    page.fill(0, 128, 144);
    page.set([opcode, slot], 128);
    page[141] = argumentLength;
    page[0] = 1;
    page[6] = 1; // it keeps the loop alive
    native.reference();
    const before = this.settled;
    native.flush();
    while (this.settled === before) await new Promise((resolve) => setImmediate(resolve));
  }
}

await new Promise((resolve) => setImmediate(resolve));
const fdsBefore = openFds();
let live = new Live();
await live.begin();

/** Code of JavaScript's that runs in the middle of a call. */
function trap(): unknown {
  const { native } = live;
  const step = random.below(5);
  if (step === 0) throw new RangeError('on purpose');
  if (step === 1) native.flush();
  if (step === 2) native.allocate(4096);
  if (step === 3) native.collected();
  return 4096;
}

/** Addresses as arrays of their bytes: IPv4, IPv6, Unix, abstract. */
const ADDRESSES: readonly number[][] = [
  [4, 0, 0, 0, 0, 0, 0, 0, 239, 1, 2, 3], [4, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0, 97], [1, 0, 0, 0, 0, 0, 0, 0, 0, 97],
  [6, 0, 0, 0, 1, 0, 0, 0, 255, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
];

const VALUES: readonly (() => unknown)[] = [
  () => undefined, () => null, () => true, () => false, () => '', () => '4096', () => Symbol('s'), () => 10n, () => -1n,
  () => NaN, () => Infinity, () => -Infinity, () => -1, () => -0, () => 0, () => 0.5, () => 1, () => 2, () => 3, () => 7, () => 4096,
  () => 65_536, () => 2 ** 31, () => 2 ** 32 - 1, () => 2 ** 32, () => 2 ** 53, () => 1e308, () => random.bits(), () => random.below(100),
  () => ({}), () => [], () => [[]], () => [[4096, 4]], () => [[4096, 4], [8192, 2]], () => [[4096, 2 ** 31]], () => [[2 ** 31, 2 ** 31]],
  () => [[4095, 1]], () => [[4096]], () => [[4096, 1, 1]], () => [4096, 1], () => Array.from({ length: 100 }, () => [4096, 1]), () => [['4096', NaN]],
  () => Object.create(null), () => () => {}, () => class { field = 1 }, () => new Proxy({}, { get: trap, has: trap as never, ownKeys: trap as never }),
  () => new Proxy([[4096, 1]], { get: trap }), () => [Object.defineProperty([4096], 1, { get: trap })],
  () => ({ length: 2 ** 32, 0: 1 }), () => ({ valueOf: trap, toString: trap, [Symbol.toPrimitive]: trap }), () => ({ get entries() { return trap(); } }),
  () => ({ entries: random.pick([NaN, -1, 0, 1, 2 ** 15, 2 ** 16, '8', null, {}]) }), () => ({ completionEntries: random.pick([0, 1, 2 ** 16, 2 ** 17, 1n]) }),
  () => ({ inFlightMax: random.pick([0, 1, 65_536, 2 ** 21]) }), () => ({ registeredBytesMax: random.pick([-1, 0, 2 ** 41, []]) }),
  () => ({ budget: random.pick([null, 1, {}, { rounds: 0 }, { completions: -1 }, { microseconds: NaN }, { rounds: 1, completions: 1, microseconds: 1 }]) }),
  () => new ArrayBuffer(0), () => new ArrayBuffer(100), () => new ArrayBuffer(8, { maxByteLength: 64 }), detached, () => new SharedArrayBuffer(8),
  () => ADDRESSES, () => random.pick(ADDRESSES), () => random.pick(ADDRESSES), () => [...random.pick(ADDRESSES), 1], () => random.pick(ADDRESSES).with(random.below(8), random.below(256)),
  () => random.pick(ADDRESSES).with(random.below(8), random.pick([-1, 256, 0.5, NaN, '1', null] as number[])), () => new Proxy(random.pick(ADDRESSES), { get: trap }),
  () => Array.from({ length: random.below(130) }, () => random.below(256)), () => random.pick(live.descriptors), () => random.pick(live.descriptors),
  () => new Uint8Array(8), () => Buffer.from('pooled'), () => new DataView(new ArrayBuffer(8)), () => live.native, () => binding, () => globalThis,
];

function checkError(error: unknown, name: string): void {
  const { code, message } = error as { code?: unknown; message?: string };
  if (error instanceof RangeError && message === 'on purpose') return;
  ensure(error instanceof Error, `${name} threw ${String(error)}`);
  // A receiver that is no proactor is refused by V8; an argument that is no boolean by the binding's generated code.
  if (message === 'Illegal invocation') return;
  ensure(typeof code === 'string' && code !== 'GenericFailure', `${name} threw without a code: ${message}`);
  codes[code] = (codes[code] ?? 0) + 1;
}

function construct(args: unknown[]): void {
  const made = new (binding.NativeProactor as new (...each: unknown[]) => NativeProactor)(...args);
  made.close(() => {});
}

/** Right arguments among the others, so that these are looked at; and no descriptor of the process that is not ours. */
function aim(name: string, args: unknown[]): void {
  const often = random.chance(0.7);
  if (name === 'createPool' && often) args[1] = random.chance(0.5);
  if (name === 'constructor' && often) args[1] = () => {};
  if (ASKING.has(name) && often) args[0] = random.pick(live.descriptors);
  if ((name === 'address' || name === 'membership') && random.chance(0.7)) args[1] = random.chance(0.5);
  if ((name === 'option' || name === 'setOption') && random.chance(0.7)) args[1] = random.below(13);
  if (name === 'setOption' && random.chance(0.7)) args[2] = random.pick([-1, 0, 1, 2, 255, 256, 65_536, 2 ** 31 - 1, -(2 ** 31)]);
  if (name === 'membership' && random.chance(0.7)) args[2] = random.pick(ADDRESSES);
  if (name !== 'adopt') return;
  const isFd = typeof args[0] === 'number' && args[0] >= 0 && args[0] < 2 ** 31 && Number.isInteger(args[0]);
  if (isFd || random.chance(0.3)) args[0] = random.pick(FDS);
}

/** What a method answered: a number of the system's, an address, a descriptor. */
function checkAnswer(name: string, answer: unknown): void {
  if (typeof answer === 'number') ensure(Number.isInteger(answer) && (name === 'option' || answer > -4096), `${name} answered ${answer}`);
  if (name === 'adopt' && Array.isArray(answer)) {
    ensure(answer.length === 2 && (answer[1] as number) > 2, `adopt answered ${String(answer)}`);
    live.descriptors.push(answer[0] as number);
  }
  if (name === 'address' && Array.isArray(answer)) ensure(answer.length >= 8 && answer.length <= 116, `address answered ${String(answer)}`);
}

function call(): void {
  const args = Array.from({ length: random.below(5) }, () => random.pick(VALUES)());
  const name = random.chance(0.05) ? 'constructor' : random.pick(METHODS);
  aim(name, args);
  if (ENDINGS.has(name) && random.chance(0.9)) return;
  const receiver = random.chance(0.03) ? random.pick(VALUES)() : live.native;
  try {
    if (name === 'constructor') construct(args);
    else checkAnswer(name, (binding.NativeProactor.prototype as unknown as Record<string, Method>)[name]!.apply(receiver, args));
    successes[name] = (successes[name] ?? 0) + 1;
    if (receiver === live.native && ENDINGS.has(name)) live.state = name === 'close' ? 'closed' : 'abandoned';
  } catch (error) {
    checkError(error, name);
  }
}

// What a callback of ours throws comes out here, as of any other: a class cannot be called.
process.on('uncaughtException', (error) => {
  if (/without 'new'|on purpose/.test(error.message)) return;
  report({ failed: error.stack });
  process.exit(5);
});

for (let index = 0; index < total; index += 1) {
  call();
  if (index % 200 === 199) {
    await live.end();
    live = new Live();
    await live.begin();
    globalThis.gc!();
  }
}
await live.end();
// Proactors that the constructor made end in their own time.
for (let count = 0; count < 100 && openFds() > fdsBefore; count += 1) await new Promise((resolve) => setTimeout(resolve, 20));
report({ fdsLeft: openFds() - fdsBefore });
for (const each of servers) each.close();
report({ calls: total, codes, successes });
