/**
 * Every native method with random arguments: `fuzz-methods <calls> <seed>`. What is thrown is an Error with a code; what
 * is not leaves a proactor that still works, until it is closed, and one that still ends well.
 */
import { loadNative } from '../../dist/backend/native.js';
import type { NativeProactor } from '../../dist/backend/native.js';
import { Opcode } from '../../dist/op.js';
import { Random } from '../support/random.ts';
import { ensure, report } from './report.ts';

const [total = 0, seed = 0] = process.argv.slice(2, 4).map(Number);
const random = new Random(seed);
const binding = loadNative();
const codes: Record<string, number> = {};
const successes: Record<string, number> = Object.create(null) as Record<string, number>;

type Method = (this: unknown, ...args: unknown[]) => unknown;

const METHODS = Object.getOwnPropertyNames(binding.NativeProactor.prototype).filter((name) => name !== 'constructor');
/** Of those with an own ending, few: a closed proactor answers everything alike. */
const ENDINGS = new Set(['close', 'abandon']);

function detached(): ArrayBuffer {
  const memory = new ArrayBuffer(64);
  structuredClone(memory, { transfer: [memory] });
  return memory;
}

class Live {
  readonly native: NativeProactor;
  readonly page: Uint32Array;
  ended = false;
  settled = 0;

  constructor() {
    const config = { entries: 8, completionEntries: 16, inFlightMax: 8, registeredBytesMax: 65_536 };
    this.native = new binding.NativeProactor(config, (count) => void (this.settled += count));
    this.page = new Uint32Array(this.native.page());
  }

  /** It answers a no-op, if it was not ended. */
  async end(): Promise<void> {
    const { native, page } = this;
    if (this.ended) return;
    page.fill(0, 128, 144);
    page[128] = Opcode.NOP;
    page[0] = 1;
    native.setKeepAlive(true);
    native.reference();
    const before = this.settled;
    native.flush();
    while (this.settled === before) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => native.close(resolve));
  }
}

let live = new Live();

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

function call(): void {
  const args = Array.from({ length: random.below(4) }, () => random.pick(VALUES)());
  const name = random.chance(0.05) ? 'constructor' : random.pick(METHODS);
  // A right second argument, so that the first is looked at.
  if (name === 'createPool' && random.chance(0.7)) args[1] = random.chance(0.5);
  if (name === 'constructor' && random.chance(0.7)) args[1] = () => {};
  if (ENDINGS.has(name) && random.chance(0.9)) return;
  const receiver = random.chance(0.03) ? random.pick(VALUES)() : live.native;
  try {
    if (name === 'constructor') construct(args);
    else ((binding.NativeProactor.prototype as unknown as Record<string, Method>)[name]!).apply(receiver, args);
    successes[name] = (successes[name] ?? 0) + 1;
    if (receiver === live.native && ENDINGS.has(name)) live.ended = true;
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
    globalThis.gc!();
  }
}
await live.end();
report({ calls: total, codes, successes });
