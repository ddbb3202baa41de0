/**
 * Moving a connection or a file from one thread to another: `handOver` takes it out of this thread's hands, `takeOver` puts
 * it into the other's. What was received and not read moves along.
 *
 * What goes between the threads is plain data (a `Moved`), by `postMessage` or however. It names the descriptor, which the
 * old thread keeps open until the new one has a duplicate; a word of shared memory says how far that is (`move-state.ts`).
 */
import { constants } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { argumentTypeError, checkInteger, checkOptions, checkPosition, closedError, systemError } from './errors.js';
import { File, open } from './file.js';
import { OFFERED, claim, isPending, release, revoke, settle } from './move-state.js';
import { Pipe } from './pipe.js';
import { checkProactor } from './net/arguments.js';
import type { Resident } from './inflight.js';
import type { Proactor } from './proactor.js';
import { Stream } from './stream.js';
import { TcpStream } from './net/tcp.js';
import { UnixStream } from './net/unix.js';
import { closeDescriptor } from './unclosed.js';

/** What can go from one thread to another. */
export type MovedKind = 'tcp' | 'unix' | 'pipe' | 'file';
const KINDS: ReadonlySet<unknown> = new Set<MovedKind>(['tcp', 'unix', 'pipe', 'file']);

/** A resource between two threads. Plain data: `postMessage` it, and give it to `takeOver` once. */
export interface Moved {
  /** What it is. */
  readonly kind: MovedKind;
  /** The system's number, of a descriptor that nobody else closes. */
  readonly fd: number;
  /** Who has it, for both threads: shared memory. */
  readonly state: Int32Array;
  /** Of a stream: what came and nobody read. */
  readonly rest: Uint8Array;
  /** Of a file, and of a pipe that was opened by its name. */
  readonly path: string | undefined;
  /** Of a file: how it was opened, and where the next sequential read begins. */
  readonly flags: number;
  /** Of a file: as it was opened. */
  readonly offload: boolean;
  /** Of a file: where the next sequential read begins. */
  readonly position: number;
}

/** What `handOver` accepts. */
export interface HandOverOptions {
  /** The thread that it goes to: when that has ended and has not taken it, it is closed. */
  readonly to?: Worker | undefined;
}

/** The old thread's descriptor, until it is not needed any more. */
class Offer implements Resident {
  readonly #proactor: Proactor;
  readonly #descriptor: number;
  readonly #state: Int32Array;

  constructor(proactor: Proactor, descriptor: number, state: Int32Array) {
    this.#proactor = proactor;
    this.#descriptor = descriptor;
    this.#state = state;
    proactor.residents.add(this);
  }

  leave(): void {
    revoke(this.#state);
  }

  /** Close the descriptor when nobody needs it. */
  async watch(to: Worker | undefined): Promise<void> {
    const revoked = (): void => this.leave();
    to?.once('exit', revoked);
    if (to?.threadId === -1) this.leave(); // it has ended before
    for (let state = OFFERED; isPending(state); state = Atomics.load(this.#state, 0)) {
      const changed = Atomics.waitAsync(this.#state, 0, state);
      if (changed.async) await changed.value;
    }
    to?.off('exit', revoked);
    this.#proactor.residents.delete(this);
    await closeDescriptor(this.#proactor, this.#descriptor);
  }
}

/**
 * Take a connection, a pipe or a file out of this thread's hands. From here on the object refuses with `ERR_RITSU_CLOSED`.
 * Rejects, and changes nothing, while reads wait on it, it is passed on, writes are not finished, or what was pushed is not flushed.
 * @example
 * worker.postMessage(await handOver(stream, { to: worker }));
 */
export async function handOver(resource: Stream | File, options: HandOverOptions = {}): Promise<Moved> {
  if (!(resource instanceof Stream) && !(resource instanceof File)) {
    throw argumentTypeError('resource', 'an instance of TcpStream, UnixStream, Pipe or File', resource);
  }
  checkOptions(options);
  const { to } = options;
  if (to !== undefined && !(to instanceof Worker)) throw argumentTypeError('options.to', 'an instance of Worker', to);
  const kind = kindOf(resource);
  const { fd } = resource;
  if (resource.closed) throw closedError('handOver');
  const { proactor, descriptor, ...what } = await resource.detach();
  const state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  void new Offer(proactor, descriptor, state).watch(to);
  return { kind, fd, state, rest: new Uint8Array(), path: undefined, flags: 0, offload: false, position: 0, ...what };
}

/**
 * Become the owner of what another thread handed over. Once; a second time, or after the other thread's proactor was
 * closed, rejects with `ERR_RITSU_CLOSED`.
 * @example
 * parentPort.on('message', async (moved) => serve(await takeOver(moved)));
 */
export async function takeOver(moved: Moved, options: { readonly proactor?: Proactor | undefined } = {}): Promise<TcpStream | UnixStream | Pipe | File> {
  checkOptions(options);
  const proactor = checkProactor(options.proactor);
  checkMoved(moved);
  if (!claim(moved.state)) throw closedError('takeOver');
  let taken: TcpStream | UnixStream | Pipe | File;
  try {
    taken = moved.kind === 'file' ? await takeFile(moved, proactor) : takeStream(moved, proactor);
  } catch (error) {
    release(moved.state);
    throw error;
  }
  if (settle(moved.state)) return taken;
  await taken.close();
  throw closedError('takeOver');
}

/** It came as a message, from whoever: nothing of it is used that is not what `handOver` gives. */
function checkMoved(moved: Moved): void {
  const { kind, state, rest, path, fd, flags, offload, position } = moved ?? ({} as Partial<Moved>);
  const isWhole = KINDS.has(kind) && state instanceof Int32Array && state.length > 0 && state.buffer instanceof SharedArrayBuffer
    && rest instanceof Uint8Array && (path === undefined || typeof path === 'string') && typeof offload === 'boolean';
  if (!isWhole) throw argumentTypeError('moved', 'what handOver gave', moved);
  checkInteger('moved.fd', fd, 0, 2 ** 31 - 1);
  checkInteger('moved.flags', flags, 0, 2 ** 31 - 1);
  checkPosition(position);
}

/** The thread that it was sent to has ended: whether another may have it. If it died half-way, nobody may. */
export function isStillOffered({ state }: Moved): boolean {
  if (Atomics.load(state, 0) === OFFERED) return true;
  revoke(state);
  return false;
}

function kindOf(resource: Stream | File): MovedKind {
  if (resource instanceof File) return 'file';
  if (resource instanceof TcpStream) return 'tcp';
  if (resource instanceof UnixStream) return 'unix';
  return 'pipe';
}

function takeStream({ kind, fd, rest, path }: Moved, proactor: Proactor): TcpStream | UnixStream | Pipe {
  const own = proactor.backend.adopt(fd);
  if (typeof own === 'number') throw systemError(own, 'dup');
  const { descriptor } = own;
  const stream =
    kind === 'tcp' ? new TcpStream(proactor, descriptor, own.fd)
    : kind === 'unix' ? new UnixStream(proactor, descriptor, own.fd)
    : new Pipe(proactor, own, path);
  if (rest.length > 0) stream.prepend(rest);
  return stream;
}

/** A file can be opened again by its descriptor, wherever its name is by now. */
async function takeFile({ fd, path, flags, offload, position }: Moved, proactor: Proactor): Promise<File> {
  const { O_CREAT, O_EXCL, O_TRUNC } = constants;
  const file = await open(`/proc/self/fd/${fd}`, { flags: flags & ~(O_CREAT | O_EXCL | O_TRUNC), offload, proactor });
  file.resume(path, position);
  return file;
}
