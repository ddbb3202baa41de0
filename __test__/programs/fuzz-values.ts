/**
 * Values for a fuzzer of functions: every kind that JavaScript has, and by the name of a parameter or of an option one
 * that makes sense. Whatever is made here stays at home: paths in the working directory, addresses of this machine that
 * nobody else uses, descriptors that the program opened itself.
 */
import { constants } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { alloc } from 'ritsu';
import type { Proactor } from 'ritsu';
import type { Random } from '../support/random.ts';
import { HUGE, NUMBERS, STRINGS, cyclic, detached, revoked, wasmMemory } from './fuzz-oddities.ts';

/** All of 127/8 is this machine: an address that no other test listens at. */
export const HOST = `127.${1 + (process.pid % 250)}.${(process.pid >> 8) & 0xff}.2`;
export const FILES = ['a', 'b', 'c', 'directory', 'link', 'missing', 'made'];
export const SOCKETS = ['u1', 'u2', 'u3', `\0ritsu-api-${process.pid}`];
export const FIFO = 'queue.fifo';
/** Of what comes from here it is no fault of the package's that it is thrown. */
export const ON_PURPOSE = 'on purpose';

/** What is there to be named. */
export interface Surroundings {
  readonly random: Random;
  /** Descriptors of the program's own. */
  readonly fds: readonly number[];
  /** Ports of the program's own sockets. */
  readonly ports: readonly number[];
  /** Something alive, of one of these classes if there is one. */
  live(...classes: readonly string[]): unknown;
  proactor(): unknown;
  /** Calls something while something else is being called. */
  reenter(): void;
  /** Work that a signal ends. */
  signal(): AbortSignal;
}

const PORTS = new Set(['port', 'localPort']);

/** A port that is taken for a number, and is not one of ours. */
export function isForeignPort(value: unknown, own: readonly number[]): boolean {
  if (typeof value !== 'number' && typeof value !== 'string') return false;
  const number = Number(value);
  return number > 0 && number <= 65_535 && !own.includes(number);
}

export class FuzzValues {
  readonly #around: Surroundings;
  readonly #random: Random;
  readonly #byName: Readonly<Record<string, () => unknown>>;

  constructor(around: Surroundings) {
    this.#around = around;
    this.#random = around.random;
    this.#byName = { ...this.#amounts(), ...this.#memories(), ...this.#places(), ...this.#resources(), ...this.#settings() };
  }

  /** A value that makes sense under this name, mostly; or any. */
  named(name: string, sense = 0.8): unknown {
    const make = Object.hasOwn(this.#byName, name) ? this.#byName[name] : undefined;
    const value = make !== undefined && this.#random.chance(sense) ? make() : this.any();
    return PORTS.has(name) && isForeignPort(value, this.#around.ports) ? 0 : value;
  }

  /** A value of any kind. */
  any(): unknown {
    const random = this.#random;
    switch (random.below(12)) {
      case 0:
        return random.pick([undefined, null, true, false, 0n, 5n, -1n, 2n ** 64n]);
      case 1:
      case 2:
        return random.pick(NUMBERS);
      case 3:
      case 4:
        return random.chance(0.01) ? HUGE : random.pick(STRINGS);
      case 5:
        return this.#memory();
      case 6:
        return this.#object();
      case 7:
        return this.#callable();
      case 8:
        return this.#around.live();
      case 9:
        return this.options();
      case 10:
        return random.pick([Symbol('s'), Symbol.iterator, new Date(NaN), /x/, new Map([[1, 2]]), new Set([1]), new Error(ON_PURPOSE), new URL('http://127.0.0.1/'), globalThis]);
      default:
        return Array.from({ length: random.below(4) }, () => (random.chance(0.2) ? this.any() : this.named(random.pick(['data', 'port', 'size']))));
    }
  }

  /** Options: which are asked for is not known beforehand, so some answer whatever they are asked. */
  options(): unknown {
    const random = this.#random;
    const kind = random.below(10);
    if (kind === 0) return this.#answering(1);
    if (kind === 1) return this.#answering(0.9);
    if (kind === 2) return this.#getters();
    const names = random.chance(0.5) ? ['proactor', 'timeout', 'signal'] : Object.keys(this.#byName);
    const object: Record<string, unknown> = random.chance(0.1) ? (Object.create(null) as Record<string, unknown>) : {};
    for (let count = random.below(5); count > 0; count -= 1) {
      const name = random.pick(names);
      object[name] = this.named(name, 0.85);
    }
    object['proactor'] ??= this.#around.proactor();
    if (random.chance(0.05)) Object.setPrototypeOf(object, random.pick([Array.prototype, Uint8Array.prototype, Date.prototype, Promise.prototype]) as object);
    return object;
  }

  /** Code of the caller's that runs in the middle of a call. */
  trap(): void {
    const random = this.#random;
    if (random.chance(0.1)) throw new RangeError(ON_PURPOSE);
    if (random.chance(0.2)) this.#around.reenter();
  }

  #answering(sense: number): object {
    const asked = new Map<string | symbol, unknown>();
    return new Proxy({}, {
      get: (_target, key) => {
        this.trap();
        if (typeof key === 'symbol' || key === 'then' || key === 'constructor') return undefined;
        // Mostly the same answer when it is asked again.
        if (!asked.has(key) || this.#random.chance(0.1)) asked.set(key, this.#random.chance(0.5) ? undefined : this.#answer(key, sense));
        return asked.get(key);
      },
      has: () => {
        this.trap();
        return this.#random.chance(0.5);
      },
    });
  }

  /** An option that nobody has heard of is no function: what has methods is a resource, and there are real ones of these. */
  #answer(name: string, sense: number): unknown {
    const value = this.named(name, sense);
    return typeof value === 'function' && !Object.hasOwn(this.#byName, name) ? undefined : value;
  }

  #getters(): object {
    const object = {};
    for (let count = this.#random.below(4); count > 0; count -= 1) {
      const name = this.#random.pick(Object.keys(this.#byName));
      const get = (): unknown => {
        this.trap();
        return this.named(name, 0.9);
      };
      Object.defineProperty(object, name, { get, enumerable: true, configurable: true });
    }
    return object;
  }

  #object(): unknown {
    const random = this.#random;
    const trap = (): unknown => {
      this.trap();
      return random.pick(NUMBERS);
    };
    return random.pick<() => unknown>([
      () => ({}), cyclic, revoked, () => Object.create(null), () => Object.freeze([1, 2]), () => Promise.resolve(1),
      () => ({ valueOf: trap, toString: trap, [Symbol.toPrimitive]: trap }), () => Object.defineProperty({}, ['th', 'en'].join(''), { value: trap }), () => ({ get constructor() { return trap(); } }),
      () => ({ constructor: { name: Symbol('name') } }), () => ({ length: 2 ** 32, 0: 1 }), () => ({ [Symbol.iterator]: trap }), () => Object.assign([undefined, null], { length: 3 }),
      () => new Proxy([1, 2, 3], { get: (target, key) => (trap(), Reflect.get(target, key)) }), () => new Proxy(this.#alloc(4096), {}), () => new Proxy(() => {}, {}),
      () => Object.create(random.pick([Uint8Array.prototype, Buffer.prototype, AbortSignal.prototype, ArrayBuffer.prototype, URL.prototype]) as object) as unknown,
      () => Object.create(Object.getPrototypeOf(this.#around.live('TcpStream', 'File', 'Bytes', 'UdpSocket', 'CancelScope', 'BufferPool') ?? {}) as object) as unknown, () => random.pick([Object(1), Object('a'), Object(true), Object(1n), Object(Symbol('s'))] as unknown[]),
    ])();
  }

  #callable(): unknown {
    return this.#random.pick<() => unknown>([
      () => () => {}, () => async () => {}, () => class { field = 1 }, () => function* generator() { yield 1; },
      () => () => { this.trap(); return this.any(); }, () => Object.defineProperty(() => {}, 'name', { value: Symbol('name') }),
    ])();
  }

  /** Memory of every kind. */
  #memory(): unknown {
    const random = this.#random;
    const size = random.pick([0, 1, 7, 64, 4096, 70_000]);
    return random.pick<() => unknown>([
      () => new ArrayBuffer(size), () => new Uint8Array(size), () => Buffer.from('data of a pooled buffer'), () => Buffer.alloc(size).subarray(1),
      () => new DataView(new ArrayBuffer(size)), () => new ArrayBuffer(8, { maxByteLength: 64 }), () => new Uint8Array(new ArrayBuffer(64, { maxByteLength: 128 }), 8),
      () => detached((memory) => memory), () => detached((memory) => new Uint8Array(memory)), () => detached((memory) => new DataView(memory, 8)), () => new DataView(new ArrayBuffer(16), 8), () => new SharedArrayBuffer(size), () => new Uint8Array(new SharedArrayBuffer(size)),
      () => new SharedArrayBuffer(8, { maxByteLength: 64 }), () => new BigInt64Array(8), () => new Float64Array(size >> 3), () => new Uint16Array(new ArrayBuffer(66), 2, 4),
      () => wasmMemory(), () => this.#alloc(4096), () => this.#alloc(size + 1).subarray(1), () => this.#alloc(100).buffer, () => this.#around.live('Bytes'),
    ])();
  }

  /** Memory of ours, where there is some. */
  #alloc(size: number): Buffer {
    try {
      return alloc(size, { proactor: this.#around.proactor() as Proactor });
    } catch {
      return Buffer.alloc(size);
    }
  }

  #amounts(): Record<string, () => unknown> {
    const random = this.#random;
    const amount = (...among: readonly unknown[]) => (): unknown => random.pick(among);
    const size = amount(1, 2, 100, 4096, 4096, 16_384, 65_536, 65_537, undefined);
    return {
      position: amount(0, 0, 1, 10, 4096, 100_000, 5n, null, undefined, undefined), length: size, size, bytes: size, blockSize: size, len: size,
      start: amount(0, 10, 5000, undefined), timeout: amount(0, 1, 2, 5, 20, undefined, undefined), ms: amount(0, 0.5, 1, 3, 20), deadline: amount(0, 1, 20, undefined),
      max: amount(1, 2, 64), ttl: amount(1, 64, 255), seconds: amount(0, 1, false), milliseconds: amount(0, 1, 50), initialDelay: amount(0, 1000, 60_000),
      readAhead: amount(0, 1, 4, undefined), backlog: amount(0, 1, 16, undefined), hints: amount(0, undefined), highWaterMark: amount(0, 1, 16, 65_536, undefined),
      entries: amount(8, 64, undefined), completionEntries: amount(128, undefined), inFlightMax: amount(1, 8, 256, undefined), registeredBytesMax: amount(0, 65_536, undefined),
      recvBufferSize: amount(4096, 65_536, undefined), sendBufferSize: amount(4096, 65_536, undefined), result: amount(0, 0, 1, 7, -5), count: amount(1, 2, 8),
      keepAliveInitialDelay: amount(0, 1000, undefined), autoSelectFamilyAttemptTimeout: amount(10, 250, undefined), n: amount(1, 100, undefined), positions: () => random.pick<unknown>([[0], [0, 10, 5n], [4096, 0], Float64Array.of(3, 0)]),
    };
  }

  #memories(): Record<string, () => unknown> {
    const random = this.#random;
    const data = (): unknown =>
      random.pick<() => unknown>([() => 'text', () => Buffer.alloc(random.pick([1, 100, 5000]), 'd'), () => this.#alloc(4096), () => this.#around.live('Bytes'), () => new Uint8Array(70_000), () => this.#memory()])();
    const buffer = (): unknown => random.pick<() => unknown>([() => this.#alloc(4096), () => Buffer.alloc(5000).subarray(3), () => new ArrayBuffer(100), () => new Uint8Array(4096), () => this.#memory()])();
    const datagram = (): object => ({ data: random.chance(0.8) ? 'datagram' : data(), port: this.#port(), address: random.pick([HOST, undefined]) });
    return {
      data, chunk: data, buffer, memory: buffer, datagrams: () => Array.from({ length: random.below(4) }, datagram), into: () => this.#ioBuffer(buffer),
      allocator: () => random.pick<() => unknown>([() => this.#around.live('BufferPool'), () => this.#allocator(buffer)])(),
    };
  }

  /** An `IoBuffer` of the program's own, or one of ours. */
  #ioBuffer(buffer: () => unknown): unknown {
    const random = this.#random;
    if (random.chance(0.5)) return this.#around.live('PooledBuffer', 'OwnedBuffer');
    const prepare = (): unknown => {
      this.trap();
      const pool = this.#around.live('BufferPool');
      return random.pick<() => unknown>([() => ({ memory: buffer() }), () => ({ memory: buffer(), length: 10 }), () => ({ pool, size: 4096 }), () => this.any()])();
    };
    return { prepare, complete: () => this.trap() };
  }

  #allocator(buffer: () => unknown): unknown {
    const acquire = (): unknown => {
      this.trap();
      const memory = buffer();
      return this.#random.chance(0.3) ? Promise.resolve(memory) : memory;
    };
    return { acquire, release: () => this.trap() };
  }

  #places(): Record<string, () => unknown> {
    const random = this.#random;
    const host = (): unknown => random.pick([HOST, HOST, HOST, 'localhost', 'several', 'nowhere', '::1', undefined]);
    const path = (): unknown =>
      random.pick<() => unknown>([() => random.pick(FILES), () => random.pick(FILES), () => Buffer.from(random.pick(FILES)), () => pathToFileURL(random.pick(FILES)), () => random.pick(SOCKETS)])();
    return {
      path, host, address: () => random.pick([HOST, HOST, undefined]), localAddress: () => random.pick([HOST, undefined, undefined]), localPort: () => random.pick([0, undefined]),
      port: () => this.#port(), fd: () => random.pick(this.#around.fds), family: () => random.pick([0, 4, 6, 'IPv4', undefined]), type: () => random.pick(['udp4', 'udp4', 'udp6', undefined]),
      peer: () => ({ port: this.#port(), host: HOST }), group: () => random.pick(['239.1.2.3', '239.1.2.4', 'ff02::1']), over: () => random.pick([HOST, '127.0.0.1', '::%lo']),
      flags: () => random.pick<unknown>(['r', 'r+', 'r+', 'w+', 'a', 'a+', 'ax', constants.O_RDWR, constants.O_RDWR | constants.O_CREAT, undefined]), mode: () => random.pick([0o644, '600', undefined]),
      lookup: () => this.#lookup,
    };
  }

  #port(): unknown {
    return this.#random.chance(0.6) && this.#around.ports.length > 0 ? this.#random.pick(this.#around.ports) : 0;
  }

  /** Asked instead of the system's: it answers right, wrong, twice or with an error. */
  readonly #lookup = (_host: unknown, _options: unknown, answer: (...args: unknown[]) => void): void => {
    const random = this.#random;
    const wrong = (): unknown => random.pick<unknown>([HOST, [{ address: HOST, family: 4 }], [{ address: 'x' }], [], 'x', undefined, 7, [null], [{ address: '::1', family: 6 }]]);
    setImmediate(() => answer(random.chance(0.1) ? new Error(ON_PURPOSE) : null, random.chance(0.6) ? [{ address: HOST, family: 4 }] : wrong(), 4));
    if (random.chance(0.1)) answer(null, HOST, 4);
    if (random.chance(0.1)) throw new RangeError(ON_PURPOSE);
  };

  #resources(): Record<string, () => unknown> {
    const { live } = this.#around;
    const random = this.#random;
    const streams = ['TcpStream', 'UnixStream', 'Pipe'];
    const readers = ['AllocatorReader', 'SubmitReader', 'HybridReader'];
    const writers = ['FileWriter', 'StreamWriter'];
    return {
      proactor: () => this.#around.proactor(), signal: () => this.#around.signal(), within: () => random.pick([live('CancelScope'), this.#around.signal(), undefined]), file: () => live('File'),
      resource: () => live('File', ...streams), reader: () => live(...readers), writer: () => live(...writers), stream: () => live(...streams), pool: () => random.pick([live('BufferPool'), undefined]),
      source: () => random.pick<unknown>([live(...streams), live(...readers), live(...writers), random.pick(this.#around.fds), FIFO, () => live(...streams), async () => live(...streams)]),
      target: () => random.pick<unknown>([live(...streams), live(...writers), this.#port(), random.pick(SOCKETS), { port: this.#port(), host: HOST, proactor: this.#around.proactor() }, { path: random.pick(SOCKETS), proactor: this.#around.proactor() }]),
      options: () => (random.chance(0.4) ? { proactor: this.#around.proactor() } : this.options()), more: () => this.options(), callback: () => () => {}, connected: () => () => {}, error: () => new Error(ON_PURPOSE),
    };
  }

  #settings(): Record<string, () => unknown> {
    const random = this.#random;
    const flag = (): unknown => random.pick([true, false, undefined]);
    const flags = ['direct', 'keepSize', 'prompt', 'ref', 'noDelay', 'keepAlive', 'reusePort', 'reuseAddr', 'ipv6Only', 'exclusive', 'zeroCopy', 'allowHalfOpen', 'fence', 'traceLeases', 'on'];
    const classes = (): unknown => Array.from({ length: 1 + random.below(2) }, () => ({ size: random.pick([4096, 16_384]), count: 1 + random.below(8) }));
    return {
      ...Object.fromEntries(flags.map((name) => [name, flag])), hugePages: () => false, classes, whenEmpty: () => random.pick(['wait', 'grow', 'fail', undefined]),
      streamPool: () => random.pick([undefined, { size: 65_536, count: 4 }]), events: () => random.pick<unknown>(['readable', 'writable', ['readable', 'priority'], []]),
      backend: () => random.pick([process.env['RITSU_BACKEND'], undefined]), encoding: () => random.pick(['utf8', 'latin1']), code: () => 'ERR_RITSU_CLOSED', message: () => 'message', cause: () => new Error('cause'),
    };
  }
}
