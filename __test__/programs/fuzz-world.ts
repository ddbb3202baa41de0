/**
 * One world of the fuzzer: a proactor, files, sockets and all that comes of them, calls in random order, and an end at
 * which everything closes, every promise has settled and nothing is left.
 */
import * as fs from 'node:fs';
import { Duplex, Readable, Writable } from 'node:stream';
import { isPromise } from 'node:util/types';
import { CancelScope, Proactor, bind, connect, listen, open, owned, pipe, pooled } from 'ritsu';
import type { ProactorStats } from 'ritsu';
import { toDuplex, toReadable, toWeb, toWritable } from 'ritsu/streams';
import type { Random } from '../support/random.ts';
import { faultOf, isError } from './fuzz-errors.ts';
import { ENDINGS, argumentsFor, classOf, exportedMethods, membersOf, tame } from './fuzz-surface.ts';
import type { Method } from './fuzz-surface.ts';
import { FIFO, FILES, FuzzValues, HOST, SOCKETS } from './fuzz-values.ts';
import type { Surroundings } from './fuzz-values.ts';

const LIVE_MAX = 40;
const CLOSING_MS = 8000;
const EXPORTED = exportedMethods();
/** Their results are plain values. */
const PLAIN: ReadonlySet<string> = new Set(['Object', 'Array', 'Buffer', 'Stat', 'Date', 'Uint8Array', 'ArrayBuffer', 'object', 'Map', 'Promise', 'AsyncFunction', 'Function']);

export type Find = (label: string, error: unknown, what?: string) => void;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class World implements Surroundings {
  readonly random: Random;
  readonly fds: number[];
  readonly ports: number[] = [];
  /** How often each method was called, and how often it did what it was asked for. */
  readonly calls: Record<string, number> = {};
  readonly done: Record<string, number> = {};
  readonly #values: FuzzValues;
  readonly #find: Find;
  readonly #live = new Map<string, object[]>();
  readonly #pending = new Map<Promise<unknown>, string>();
  readonly #proactor = new Proactor({ backend: process.env['RITSU_BACKEND'] as 'uring', inFlightMax: 512, pool: { classes: [{ size: 4096, count: 32 }, { size: 65_536, count: 16 }], hugePages: false }, streamPool: { size: 65_536, count: 12 } });
  readonly #proactors = new Set<Proactor>([this.#proactor]);
  /** Called when it is over: what `CancelScope.enter` gives. */
  readonly #leaving: (() => void)[] = [];
  #signals: AbortController[] = [];
  #depth = 0;
  #ending = false;

  constructor(random: Random, fds: readonly number[], find: Find) {
    this.random = random;
    this.fds = [...fds];
    this.#find = find;
    this.#values = new FuzzValues(this);
  }

  readonly live = (...classes: readonly string[]): unknown => {
    const names = (classes.length > 0 ? classes : [...this.#live.keys()]).filter((name) => this.#live.has(name));
    return names.length === 0 ? undefined : this.random.pick(this.#live.get(this.random.pick(names))!);
  };

  proactor(): unknown {
    return this.random.chance(0.9) ? this.#proactor : this.live('Proactor');
  }

  signal(): AbortSignal {
    if (this.random.chance(0.1)) return AbortSignal.timeout(this.random.below(20));
    if (this.random.chance(0.2)) return (this.live('CancelScope') as CancelScope | undefined)?.signal ?? AbortSignal.abort();
    if (this.#signals.length < 5) this.#signals.push(new AbortController());
    return this.random.pick(this.#signals).signal;
  }

  reenter(): void {
    if (this.#depth < 3 && !this.#ending) this.step();
  }

  /** Everything of which there should be one. */
  async begin(): Promise<void> {
    for (const name of [...FILES, ...SOCKETS]) if (!name.startsWith('\0')) fs.rmSync(name, { force: true, recursive: true });
    for (const name of ['a', 'b', 'c']) fs.writeFileSync(name, Buffer.alloc(10_000, name));
    fs.mkdirSync('directory');
    fs.symlinkSync('a', 'link');
    const proactor = this.#proactor;
    const listener = await listen({ port: 0, host: HOST, proactor });
    const { port } = listener.address();
    const local = await listen({ path: SOCKETS[0]!, proactor });
    const socket = await bind({ port: 0, host: HOST, proactor });
    this.ports.push(port, socket.address().port);
    const connected = await Promise.all([1, 2, 3].map(() => Promise.all([connect({ port, host: HOST, proactor }), listener.accept()])));
    const joined = await Promise.all([connect({ path: SOCKETS[0]!, proactor }), local.accept()]);
    const files = await Promise.all(['a', 'b', 'c'].map((path) => open(path, { flags: 'r+', proactor })));
    const queue = await pipe(FIFO, { flags: 'r+', proactor });
    const resources = [...connected.flat(), ...joined, ...files, queue];
    const [one, other, third, fourth, fifth] = connected.flat();
    this.#adoptAll([proactor, proactor.pool, new CancelScope(), listener, local, socket, ...resources]);
    for (const each of [...resources, socket]) this.#adoptAll([each.allocator(), each.submitter(), each.hybrid()]);
    // Most of the others never bring anything: whoever is called should be a reader of a file often enough.
    for (const each of [...files, ...files, ...files]) this.#adoptAll([each.allocator({ blockSize: 4096 }), each.submitter(), each.hybrid()]);
    for (const each of resources) this.#adopt(each.writer());
    this.#adoptAll([pooled({ pool: proactor.pool, size: 4096 }), owned(Buffer.alloc(4096)), toDuplex(one!), toReadable(other!.allocator()), toWritable(third!.writer())]);
    this.#adoptAll([toWeb(fourth!), toWeb(files[0]!.allocator()), toWeb(fifth!.writer())]);
  }

  /** One call of something. */
  step(): void {
    const { random } = this;
    if (random.chance(0.02)) this.#abort();
    if (random.chance(0.2)) {
      this.#call(random.pick(EXPORTED), undefined);
      return;
    }
    const value = this.live() as object;
    const { methods, getters } = membersOf(value);
    if (getters.length > 0 && random.chance(0.1)) this.#ask(value, random.pick(getters));
    if (methods.length === 0) return;
    const method = random.pick(methods);
    if (ENDINGS.has(method.name) && random.chance(value === this.#proactor ? 1 : 0.8)) return;
    this.#call(method, value);
  }

  /** Ends everything; what is left then is a fault. */
  async end(): Promise<void> {
    this.#ending = true;
    for (let count = 0; count < 5; count += 1) this.#abort();
    for (const leave of this.#leaving) leave();
    await this.#within('closing', Promise.all([...this.#live.values()].flat().map((each) => this.#close(each))));
    await this.#collect();
    this.#proactors.add(Proactor.current());
    await this.#within('destroying', Promise.all([...this.#proactors].map((each) => each.destroy({ deadline: 4000 }))));
    const deadline = Date.now() + CLOSING_MS;
    while (this.#pending.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const label of new Set(this.#pending.values())) this.#find(label, undefined, 'never settled');
    await turn();
    for (const each of this.#proactors) this.#checkStats(each.stats());
    for (const each of (this.#live.get('CancelScope') ?? []) as CancelScope[]) {
      if (each.running > 0) this.#find('CancelScope.running', undefined, `${each.running} at the end`);
    }
    Proactor.configure({});
  }

  #call(method: Method, receiver: unknown): void {
    const args = tame(method, argumentsFor(method, this.#values, this), this);
    this.calls[method.label] = (this.calls[method.label] ?? 0) + 1;
    this.#depth += 1;
    try {
      const result = method.call(receiver, args);
      if (isPromise(result)) this.#await(result, method.label, method.ofNodes);
      else this.#succeeded(method.label, result);
    } catch (error) {
      this.#failed(method.label, error, method.ofNodes);
    } finally {
      this.#depth -= 1;
    }
  }

  #await(promise: Promise<unknown>, label: string, ofNodes = false): void {
    this.#pending.set(promise, label);
    promise.then(
      (result) => this.#succeeded(label, result),
      (error: unknown) => this.#failed(label, error, ofNodes),
    ).finally(() => this.#pending.delete(promise)).catch((error: unknown) => this.#find(label, error));
  }

  #succeeded(label: string, result: unknown): void {
    this.done[label] = (this.done[label] ?? 0) + 1;
    this.#adopt(result);
  }

  #failed(label: string, error: unknown, ofNodes = false): void {
    const fault = faultOf(error, ofNodes);
    if (fault !== undefined) this.#find(label, error, fault);
    const { outcome } = (isError(error) ? error : {}) as { readonly outcome?: unknown };
    if (isPromise(outcome)) this.#await(outcome, `outcome of ${label}`);
  }

  #ask(value: object, key: string | symbol): void {
    try {
      const answer: unknown = Reflect.get(value, key);
      if (isPromise(answer)) answer.catch((error: unknown) => this.#failed(`${classOf(value)}.${String(key)}`, error));
    } catch (error) {
      this.#failed(`${classOf(value)}.${String(key)}`, error);
    }
  }

  #adoptAll(values: readonly unknown[]): void {
    for (const value of values) this.#adopt(value);
  }

  /** What a call gave lives on, to be called in its turn. */
  #adopt(value: unknown): void {
    if (typeof value === 'function') this.#leaving.push(value as () => void);
    if (typeof value !== 'object' || value === null) return;
    const name = classOf(value);
    if (PLAIN.has(name)) {
      if (Array.isArray(value)) this.#adoptAll(value.slice(0, 64));
      else if (name === 'Object') for (const key of ['value', 'readable', 'writable'] as const) this.#adopt(Object.getOwnPropertyDescriptor(value, key)?.value);
      return;
    }
    if (membersOf(value).methods.length === 0) return;
    const own = this.#live.get(name) ?? [];
    if (own.includes(value)) return;
    this.#live.set(name, own);
    own.push(value);
    if (value instanceof Proactor) this.#proactors.add(value);
    if (value instanceof Readable || value instanceof Writable || value instanceof Duplex) value.on('error', (error: unknown) => this.#failed(`${name}, its error`, error, true));
    if (this.#ending) void this.#close(value);
    else if (own.length > (name === 'Proactor' ? 3 : LIVE_MAX)) this.#forget(own.splice(1, 1)[0]!);
  }

  #forget(value: object): void {
    const closing = this.#close(value);
    this.#await(closing, `ending of ${classOf(value)}`);
  }

  #abort(): void {
    const signal = this.#signals.shift();
    signal?.abort(this.random.chance(0.5) ? undefined : new Error('reason'));
  }

  /** A lease whose memory a consumer moved away comes back when nobody can reach it. */
  async #collect(): Promise<void> {
    for (let count = 0; count < 3; count += 1) {
      globalThis.gc!();
      await turn();
    }
  }

  /** Gives back or closes, by whatever way there is. */
  async #close(value: object): Promise<void> {
    const ways = value as Record<string, ((this: object) => unknown) | undefined>;
    const way = ['release', 'destroy', 'cancel', 'abort', 'return', 'close', 'end'].find((name) => typeof ways[name] === 'function');
    if (way === undefined) return;
    try {
      await ways[way]!.call(value);
    } catch (error) {
      this.#failed(`${classOf(value)}.${way} at the end`, error, true);
    }
  }

  async #within(what: string, work: Promise<unknown>): Promise<void> {
    const late = Symbol('late');
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise((resolve) => (timer = setTimeout(() => resolve(late), CLOSING_MS)));
    if ((await Promise.race([work, deadline])) === late) this.#find(what, undefined, 'did not end');
    clearTimeout(timer);
  }

  #checkStats(stats: ProactorStats): void {
    const { inFlight, waiting, blocksBusy, blocksProvided, stale, leakedBytes, pool, streamPool } = stats;
    for (const [name, value] of Object.entries({ inFlight, waiting, blocksBusy, stale, leakedBytes })) {
      if (value !== 0) this.#find(`stats().${name}`, undefined, `${value} at the end, ${blocksProvided} provided`);
    }
    for (const each of [...pool, ...(streamPool === undefined ? [] : [streamPool])]) {
      if (each.available !== each.count) this.#find('stats().pool', undefined, `${each.available} of ${each.count} blocks of ${each.size} bytes`);
    }
  }
}
