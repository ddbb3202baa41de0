/**
 * What of the package can be called, found out at run time: the exported functions and classes, and the methods and
 * getters of whatever they give. A new export, method or option is fuzzed without a change here.
 */
import { EventEmitter } from 'node:events';
import { statSync } from 'node:fs';
import { MessagePort } from 'node:worker_threads';
import { Duplex, Readable, Stream, Writable } from 'node:stream';
import * as ritsu from 'ritsu';
import * as streams from 'ritsu/streams';
import { FIFO, FILES, HOST, isForeignPort } from './fuzz-values.ts';
import type { FuzzValues, Surroundings } from './fuzz-values.ts';

export type Callable = (this: unknown, ...args: unknown[]) => unknown;

export interface Method {
  readonly label: string;
  readonly name: string;
  readonly parameters: readonly string[];
  /** Of a class of Node's. */
  readonly ofNodes: boolean;
  /** Calls it, as a constructor where it is one. */
  call(receiver: unknown, args: readonly unknown[]): unknown;
}

/**
 * Public in JavaScript only: called by other parts of the package, or handed to a program to be handed back. Each is
 * reached through what is public. The constructor of an error is that of `Error`.
 */
const INTERNAL: Readonly<Record<string, readonly string[]>> = {
  Proactor: ['start', 'submit', 'watch', 'cancel', 'recall', 'refer', 'end', 'refuseWaiting', 'streamGroup', 'backend'],
  BufferPool: ['constructor', 'classFor', 'take', 'register', 'recover', 'refuse'],
  RitsuError: ['constructor'],
  TimeoutError: ['constructor'],
  AbortError: ['constructor'],
  Bytes: ['surrender', 'copyTo'],
  OwnedBuffer: ['prepare', 'complete', 'refuse'],
  PooledBuffer: ['prepare', 'complete', 'memoryFor'],
  SubmitReader: ['keep'],
  Stream: ['detach', 'prepend', 'flush'],
  File: ['detach', 'resume'],
  TcpStream: ['keep'],
  Writer: ['Symbol(resource)'],
  TcpListener: ['make'],
  UnixListener: ['make'],
  StreamDuplex: ['attach', 'push', 'emit'],
};
/** Of Node's own streams, a few. */
const NODE_METHODS = new Set(['read', 'write', 'end', 'destroy', 'pause', 'resume', 'cork', 'uncork', 'setEncoding', 'unshift', 'getReader', 'getWriter', 'cancel', 'abort', 'close', 'tee', 'next', 'return', 'throw', 'enqueue', 'releaseLock']);
const NODE_CLASSES: ReadonlySet<unknown> = new Set<unknown>([Readable, Writable, Duplex, Stream, EventEmitter, Buffer, ...ancestors(MessagePort), ...ancestors(AbortSignal)]);
/** They end what they are called on: of these few, or nothing would be left. */
export const ENDINGS: ReadonlySet<string> = new Set(['close', 'destroy', 'end', 'reset', 'destroySoon', 'resetAndDestroy', 'cancel', 'abort', 'return', 'throw', 'shutdown', 'Symbol(Symbol.asyncDispose)', 'Symbol(Symbol.dispose)']);
const ALLOCATE_MAX = 1_000_000;
const ALLOC_MAX = 2 ** 24;
const READ_MAX = 2 ** 26;

function ancestors(maker: { readonly prototype: object }): unknown[] {
  const found: unknown[] = [];
  for (let owner: unknown = maker.prototype; typeof owner === 'object' && owner !== null; owner = Object.getPrototypeOf(owner)) found.push(owner.constructor);
  return found;
}

function isClass(value: unknown): value is new (...args: unknown[]) => object {
  return typeof value === 'function' && Function.prototype.toString.call(value).startsWith('class');
}

function isBuiltIn(owner: object): boolean {
  const maker = (owner as { readonly constructor?: unknown }).constructor;
  return typeof maker !== 'function' || NODE_CLASSES.has(maker) || /\[native code\]|^class (Readable|Writable|Transform)/.test(Function.prototype.toString.call(maker));
}

/** Names of the parameters in a function's text. */
function parametersOf(text: string): string[] {
  const list = /^[^(]*\(((?:[^()]|\([^()]*\))*)\)/.exec(text)?.[1] ?? '';
  const flat = list.replaceAll(/\{[^}]*\}/g, 'options').replaceAll(/=[^,]*/g, '');
  return flat.split(',').map((each) => each.trim().replace(/^\.{3}|^_/, '')).filter((each) => each !== '');
}

function methodOf(label: string, name: string, callable: Callable, ofNodes = false): Method {
  const text = Function.prototype.toString.call(callable);
  if (!isClass(callable)) return { label, name, parameters: parametersOf(text), ofNodes, call: (receiver, args) => callable.apply(receiver, [...args]) };
  const constructed = /constructor(\([^{]*)\{/.exec(text)?.[1] ?? '()';
  return { label: `new ${label}`, name, parameters: parametersOf(constructed), ofNodes, call: (_receiver, args) => new callable(...args) };
}

/** All that a program imports. */
export function exportedMethods(): Method[] {
  const found: Method[] = [];
  for (const [name, value] of Object.entries({ ...ritsu, ...streams } as Record<string, unknown>)) {
    if (typeof value !== 'function') continue;
    if (INTERNAL[name]?.includes('constructor') !== true) found.push(methodOf(name, name, value as Callable));
    for (const own of isClass(value) ? Object.getOwnPropertyNames(value) : []) {
      const member: unknown = (value as unknown as Record<string, unknown>)[own];
      if (typeof member === 'function') found.push({ ...methodOf(`${name}.${own}`, own, member as Callable), call: (_receiver, args) => (member as Callable).apply(value, [...args]) });
    }
  }
  return found;
}

export interface Members {
  readonly methods: readonly Method[];
  readonly getters: readonly (string | symbol)[];
}

const known = new WeakMap<object, Members>();

export function classOf(value: object): string {
  const maker = (value as { readonly constructor?: unknown }).constructor;
  return typeof maker === 'function' ? maker.name : 'object';
}

/** What can be called on a live object, and what can be asked of it. */
export function membersOf(value: object): Members {
  const prototype = Object.getPrototypeOf(value) as object;
  let members = known.get(prototype);
  if (members === undefined) known.set(prototype, (members = discover(value)));
  return members;
}

function discover(value: object): Members {
  const methods = new Map<string | symbol, Method>();
  const getters = new Set<string | symbol>();
  const name = classOf(value);
  for (let owner = Object.getPrototypeOf(value) as object | null; owner !== null && owner !== Object.prototype; owner = Object.getPrototypeOf(owner) as object | null) {
    const builtIn = isBuiltIn(owner);
    const internal = new Set([...(INTERNAL[classOf(owner)] ?? []), ...(INTERNAL[name] ?? []), 'constructor']);
    for (const key of Reflect.ownKeys(owner)) {
      const text = String(key);
      if (internal.has(text) || text.startsWith('_') || methods.has(key) || (builtIn && !NODE_METHODS.has(text))) continue;
      const { value: member, get } = Object.getOwnPropertyDescriptor(owner, key)!;
      if (get !== undefined) getters.add(key);
      else if (typeof member === 'function') methods.set(key, methodOf(`${name}.${text}`, text, member as Callable, builtIn));
    }
  }
  return { methods: [...methods.values()], getters: [...getters] };
}

/** Arguments: mostly what the parameters' names ask for. */
export function argumentsFor(method: Method, values: FuzzValues, { random }: Surroundings): unknown[] {
  const { parameters } = method;
  const sense = random.pick([1, 0.9, 0.5]);
  const args = parameters.map((name) => (random.chance(sense) ? values.named(name, sense) : values.any()));
  if (random.chance(0.1)) args.length = random.below(args.length + 1);
  if (random.chance(0.05)) args.push(values.any());
  return args;
}

const isFd = (value: unknown): boolean => (typeof value === 'number' || typeof value === 'bigint') && value >= 0 && value < 2 ** 31;
const amountOf = (value: unknown): number => (typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0);

function isFifo(value: unknown): boolean {
  try {
    return (typeof value === 'string' || value instanceof URL) && String(value).endsWith(FIFO);
  } catch {
    return false; // an impostor
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0; // it is not there, or goes round in circles
  }
}

/** What would leave the program's own grounds, or fill them. */
export function tame({ label, name }: Method, args: unknown[], { random, fds, ports }: Surroundings): unknown[] {
  const [first, second] = args;
  // Its second is the library's own.
  if (label === 'new Proactor') args.length = Math.min(args.length, 1);
  if ((name === 'pipe' || name === 'ready') && isFd(first)) args[0] = random.pick(fds);
  // A FIFO that is read as a file would keep a thread of the node backend for ever.
  if (['open', 'readFile', 'writeFile'].includes(name) && isFifo(first)) args[0] = random.pick(FILES);
  // Some other call may have made a file of a gigabyte: nothing but a hole.
  if (name === 'readFile' && FILES.some((file) => sizeOf(file) > READ_MAX)) args[0] = 'missing';
  if (['listen', 'connect', 'bind'].includes(name) && isForeignPort(first, ports)) args[0] = 0;
  if (name === 'send' && isForeignPort(second, ports)) args[1] = random.pick([...ports, 0]);
  if (name.endsWith('Membership') && typeof first === 'string') args[1] = first.includes(':') ? '::%lo' : HOST;
  if (name === 'allocate' && amountOf(second) > ALLOCATE_MAX && amountOf(second) < 2 ** 53) args[1] = 4096;
  if (name === 'alloc' && amountOf(first) > ALLOC_MAX && random.chance(0.95)) args[0] = 4096;
  return args;
}
