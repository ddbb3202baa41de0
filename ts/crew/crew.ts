/**
 * `serve`: one server on several threads. This thread accepts and hands each connection to the worker that has the fewest;
 * a worker that dies is replaced, and `restart` replaces them one after the other, so that somebody always serves.
 *
 * The listener is never closed meanwhile: the kernel resets what is in the queue of one that is, also where several share
 * the port. How a connection comes to its worker: `passage.ts`.
 *
 * A worker: starting -> serving -> stopping (gets nothing more, finishes what it has) -> gone. What was handed to one that
 * died before it took it goes to another.
 */
import { EventEmitter } from 'node:events';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { RitsuError, argumentTypeError, checkInteger } from '../errors.js';
import { show } from '../inspect.js';
import { listen } from '../net/listener.js';
import type { TcpListenOptions, TcpListener } from '../net/listener.js';
import type { TcpStream } from '../net/tcp.js';
import { Proactor } from '../proactor.js';
import { Guest } from '../remote/guest.js';
import { passageOf, staysAtHome } from './passage.js';
import type { Passage } from './passage.js';
import type { Order, Report, Task } from './wire.js';

/** What `serve` accepts. */
export interface ServeOptions {
  /** Where to listen. */
  readonly listen: Omit<TcpListenOptions, 'proactor' | 'signal' | 'timeout'>;
  /** Threads; as many as the machine has processors where not given. */
  readonly workers?: number | undefined;
  /** Given to each worker's `start`, cloned. */
  readonly data?: unknown;
  /** Milliseconds that a worker may take to finish what it has; 10,000 where not given. */
  readonly stopTimeout?: number | undefined;
  /** The one that accepts; `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

const WORKERS_MAX = 256;
const STOP_MS = 10_000;
const RESPAWN_FIRST_MS = 50;
const RESPAWN_MAX_MS = 5000;

class Member {
  readonly worker: Worker;
  readonly index: number;
  /** What it has of this thread's proactor, where connections stay there. */
  readonly guest: Guest | undefined;
  /** Handed over, by number, and not taken yet. */
  readonly offered = new Map<number, Passage>();
  readonly ready = Promise.withResolvers<void>();
  readonly gone = Promise.withResolvers<void>();
  connections = 0;
  stopping = false;

  constructor(worker: Worker, index: number, guest: Guest | undefined) {
    this.worker = worker;
    this.index = index;
    this.guest = guest;
    this.ready.promise.catch(() => {}); // told to whoever waits for it
  }

  send(order: Order): void {
    this.worker.postMessage(order);
  }
}

interface CrewEvents {
  /** A worker died that was not told to stop; another takes its place. */
  crash: [error: Error];
}

/** What a worker begins with: a file of its own, which a bundler leaves behind. Null where it has emptied `import.meta`. */
const memberFile = URL.parse('../crew/member.js', import.meta.url);

function bundledError(): RitsuError {
  const message = 'serve: its workers begin with a file of this package, which is not here: have the bundler leave ritsu external';
  return new RitsuError('ERR_RITSU_UNAVAILABLE', message);
}

/** A worker may throw anything. Node has a code for each of its loaders, and names who asked without quotes. */
function isMemberMissing(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return code.endsWith('MODULE_NOT_FOUND') && (thrown as Error).message.includes(`'${fileURLToPath(memberFile!)}'`);
}

/** The threads of one server. Made by `serve`. */
export class Crew extends EventEmitter<CrewEvents> implements AsyncDisposable {
  readonly #file: string;
  readonly #options: ServeOptions;
  readonly #size: number;
  readonly #stopMs: number;
  readonly #proactor: Proactor;
  readonly #members = new Set<Member>();
  #listener: TcpListener | undefined = undefined;
  #address: ReturnType<TcpListener['address']> | undefined = undefined;
  #accepting: Promise<void> | undefined = undefined;
  #respawnMs = RESPAWN_FIRST_MS;
  /** Of workers that died, and have nobody in their place so far. */
  readonly #respawns = new Set<NodeJS.Timeout>();
  #offers = 0;
  #closed: Promise<void> | undefined = undefined;
  #restarting: Promise<void> = Promise.resolve();

  /** @internal Used by `serve`. */
  constructor(file: string, options: ServeOptions, size: number) {
    super();
    this.#file = file;
    this.#options = options;
    this.#size = size;
    this.#stopMs = checkInteger('options.stopTimeout', options.stopTimeout ?? STOP_MS, 0, 2 ** 31 - 1);
    this.#proactor = options.proactor ?? Proactor.current();
  }

  /** Where it listens. */
  address(): ReturnType<TcpListener['address']> {
    return this.#address!;
  }

  /** Workers that serve. */
  get workers(): number {
    return this.#serving().length;
  }

  /** Connections of all workers, as far as they have told. */
  get connections(): number {
    return [...this.#members].reduce((sum, { connections }) => sum + connections, 0);
  }

  /**
   * Replace all workers, one after the other: the new one serves before the old one stops. Rejects when a new one cannot
   * start; the old one goes on then. One restart begins when the one before it is over.
   */
  restart(): Promise<void> {
    const restarted = this.#restarting.then(() => this.#restart());
    this.#restarting = restarted.catch(() => {});
    return restarted;
  }

  /** Accept nothing more, let the workers finish what they have, end them. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Used by `serve`. */
  async start(): Promise<this> {
    this.#listener = await listen({ ...this.#options.listen, proactor: this.#proactor });
    this.#address = this.#listener.address();
    for (let index = 0; index < this.#size; index += 1) this.#spawn(index);
    try {
      await Promise.all([...this.#members].map(({ ready }) => ready.promise));
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#accepting = this.#accept(this.#listener);
    return this;
  }

  async #restart(): Promise<void> {
    for (const old of this.#serving()) {
      if (this.#closed !== undefined) return;
      if (!this.#members.has(old)) continue; // it died, and what takes its place is new
      await this.#spawn(old.index).ready.promise;
      await this.#stop(old);
    }
  }

  async #accept(listener: TcpListener): Promise<void> {
    for await (const stream of listener) void this.#give(stream).catch(() => stream.destroy());
  }

  async #give(stream: TcpStream): Promise<void> {
    this.#offer(await passageOf(stream, this.#proactor));
  }

  #offer(passage: Passage): void {
    const member = this.#serving().reduce<Member | undefined>(
      (best, each) => (best === undefined || each.connections < best.connections ? each : best), undefined);
    if (member === undefined && this.#closed !== undefined) return passage.refuse();
    if (member === undefined) return void setTimeout(() => this.#offer(passage), RESPAWN_FIRST_MS);
    this.#offers += 1;
    member.offered.set(this.#offers, passage);
    member.connections += 1;
    member.send(passage.order(this.#offers));
  }

  #serving(): Member[] {
    return [...this.#members].filter(({ stopping }) => !stopping);
  }

  #spawn(index: number): Member {
    const ports = staysAtHome(this.#proactor) ? new MessageChannel() : undefined;
    const task: Task = {
      file: this.#file,
      index,
      data: this.#options.data,
      backend: this.#proactor.backend.name === 'node' ? 'node' : 'uring',
      port: ports?.port2,
    };
    const transferList = ports === undefined ? [] : [ports.port2];
    const worker = new Worker(memberFile!, { workerData: task, transferList });
    const member = new Member(worker, index, ports && new Guest(this.#proactor, ports.port1));
    let error = new Error('a worker ended');
    this.#members.add(member);
    worker.on('message', (report: Report) => this.#told(member, report));
    worker.on('error', (thrown: Error) => {
      error = isMemberMissing(thrown) ? bundledError() : thrown;
    });
    worker.on('exit', () => this.#ended(member, error));
    return member;
  }

  #told(member: Member, report: Report): void {
    if (report.kind === 'ready') {
      this.#respawnMs = RESPAWN_FIRST_MS;
      member.ready.resolve();
    } else if (report.kind !== 'connections') {
      const passage = member.offered.get(report.offer);
      member.offered.delete(report.offer);
      if (report.kind === 'failed') passage?.refuse();
      const order = report.kind === 'take' ? passage?.give(report.offer, member.guest) : undefined;
      if (order !== undefined) member.send(order);
    } else member.connections = report.count + member.offered.size;
  }

  #ended(member: Member, error: Error): void {
    this.#members.delete(member);
    member.ready.reject(error);
    member.gone.resolve();
    const { stopping } = member;
    member.stopping = true;
    for (const passage of member.offered.values()) if (passage.isOffered()) this.#offer(passage);
    if (stopping || this.#closed !== undefined) return;
    if (this.listenerCount('crash') > 0) this.emit('crash', error);
    const respawn = setTimeout(() => {
      this.#respawns.delete(respawn);
      // Another may have its place: in a restart there are two, the old one and the new one.
      const isTaken = this.#serving().some(({ index }) => index === member.index);
      if (this.#closed === undefined && !isTaken) this.#spawn(member.index);
    }, this.#respawnMs);
    this.#respawns.add(respawn);
    this.#respawnMs = Math.min(this.#respawnMs * 2, RESPAWN_MAX_MS);
  }

  async #stop(member: Member): Promise<void> {
    member.stopping = true;
    member.send({ kind: 'stop' });
    const timer = setTimeout(() => void member.worker.terminate(), this.#stopMs);
    await member.gone.promise;
    clearTimeout(timer);
  }

  async #close(): Promise<void> {
    for (const respawn of this.#respawns) clearTimeout(respawn);
    await this.#listener?.close();
    await this.#accepting?.catch(() => {});
    await Promise.all([...this.#members].map((member) => this.#stop(member)));
  }
}
show(Crew, (self) => ({ address: self.address(), workers: self.workers, connections: self.connections }));

/**
 * Serve TCP on several threads. `file` exports `start(connections, { index, data })`, which each worker calls once:
 * `connections` are its `TcpStream`s, and end when the worker shall stop; `start` returns when it has finished them.
 * @example
 * const crew = await serve(new URL('server.js', import.meta.url), { listen: { port: 8080 }, workers: 4 });
 * process.on('SIGHUP', () => crew.restart());
 */
export async function serve(file: string | URL, options: ServeOptions): Promise<Crew> {
  if (typeof file !== 'string' && !(file instanceof URL)) throw argumentTypeError('file', 'of type string or an instance of URL', file);
  if (typeof options !== 'object' || options === null) throw argumentTypeError('options', 'of type object', options);
  if (typeof options.listen !== 'object' || options.listen === null) throw argumentTypeError('options.listen', 'of type object', options.listen);
  const { availableParallelism } = await import('node:os');
  const size = checkInteger('options.workers', options.workers ?? availableParallelism(), 1, WORKERS_MAX);
  const url = typeof file === 'string' ? pathToFileURL(file).href : file.href;
  const proactor = options.proactor ?? Proactor.current();
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
  if (proactor.backend.name === 'remote') throw new RitsuError('ERR_RITSU_UNAVAILABLE', 'serve: a remote proactor cannot hand over');
  if (memberFile === null) throw bundledError();
  return new Crew(url, options, size).start();
}
