/**
 * The proactor of this JavaScript thread: takes operations, gives completions. It owns a backend (a ring, or Node's
 * fs), the table of operations in flight and the buffer pool. Resources find it by `Proactor.current()`.
 *
 * States: open -> closing (takes nothing new) -> closed.
 */
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { refusal } from './cancel.js';
import type { CancelCause, CancelOptions } from './cancel.js';
import { chooseBackend, wantedBackend } from './backend/choose.js';
import type { BackendInfo, BackendMaker } from './backend/choose.js';
import type { Backend } from './backend/backend.js';
import { RitsuError, checkInteger, closedError } from './errors.js';
import { flushAtExit } from './exit.js';
import { Inflight } from './inflight.js';
import type { InflightInfo, Resident } from './inflight.js';
import { show } from './inspect.js';
import { Liveness } from './liveness.js';
import { LeaseTracer } from './memory/lease-tracer.js';
import type { Span } from './memory/block.js';
import { Opcode, Operation } from './op.js';
import type { EndOptions } from './op.js';
import { BufferGroup } from './memory/group.js';
import { BufferPool } from './memory/pool.js';
import type { BufferPoolOptions } from './memory/pool.js';
import { checkDeadline, checkProactorOptions } from './proactor-options.js';
import type { DestroyOptions, ProactorOptions } from './proactor-options.js';
import { Guest } from './remote/guest.js';
import type { ProactorStats } from './stats.js';
import { systemTimers } from './timers.js';
import type { Timers } from './timers.js';
import { closeDescriptor } from './unclosed.js';

/**
 * A ring, or what stands in for one, and all that was begun on it. What you open, connect or listen to belongs to the proactor of its
 * thread, `Proactor.current()`, or to one that you made.
 */
export class Proactor {
  static #current: Proactor | undefined = undefined;
  static #defaults: ProactorOptions = {};

  /** @internal */
  readonly backend: Backend;
  /** Which backend answers, and where it is not the ring: why. */
  readonly info: BackendInfo;
  /** Whether memory moves at each hand-over, so that no old view of it shows another's bytes (the default). */
  readonly fence: boolean;
  /** @internal */
  readonly copying = new Set<Span>();
  /** @internal */
  readonly tracer: LeaseTracer | undefined;
  /** @internal */
  copies = 0;
  /** @internal What waits for others by itself (streams, listeners): closed when the proactor is, or it would never be idle. */
  readonly residents = new Set<Resident>();
  /** @internal */
  readonly liveness: Liveness;
  readonly #inflight: Inflight;
  readonly #leaveExit: () => void;
  readonly #pools: BufferPool[] = [];
  readonly #options: ProactorOptions;
  #pool: BufferPool | undefined = undefined;
  #streamGroup: BufferGroup | undefined = undefined;
  #open = true;
  /** Still takes what follows from work taken before. */
  #serving = true;
  /** All was cancelled: of what follows from it only closing is begun. */
  #ending = false;
  #closed: Promise<void> | undefined = undefined;

  /** The proactor of this thread, made on first use. */
  static current(): Proactor {
    if (Proactor.#current === undefined || !Proactor.#current.open) Proactor.#current = new Proactor(Proactor.#defaults);
    return Proactor.#current;
  }

  /** Options of this thread's proactor; before its first use. */
  static configure(options: ProactorOptions): void {
    if (Proactor.#current?.open) {
      throw new RitsuError('ERR_RITSU_UNAVAILABLE', "this thread's proactor is in use already: configure it before");
    }
    checkProactorOptions(options);
    const copy = { ...options };
    wantedBackend(copy); // wrong here, every later use would fail
    Proactor.#defaults = copy;
  }

  /** A proactor of one's own. */
  constructor(options?: ProactorOptions);
  /** @internal `make`: a backend that is not chosen by name. */
  constructor(options?: ProactorOptions, make?: BackendMaker);
  constructor(options: ProactorOptions = {}, make?: BackendMaker) {
    checkProactorOptions(options);
    this.#options = options;
    this.fence = options.fence ?? true;
    this.tracer = options.traceLeases ? new LeaseTracer() : undefined;
    const chosen = chooseBackend(options, (completion) => this.#inflight.settle(completion), make);
    ({ backend: this.backend, info: this.info } = chosen);
    this.liveness = new Liveness((on) => this.backend.setKeepAlive(on));
    this.#inflight = new Inflight(this.backend, this.liveness);
    this.#leaveExit = flushAtExit(this.backend);
    this.backend.onCollected = (ids) => {
      for (const pool of this.#pools) pool.recover(ids);
      this.#streamGroup?.recover(ids);
    };
    this.backend.onBroken = () => {
      this.#open = false;
      this.#serving = false;
      this.#inflight.forsake();
      this.#dismiss();
    };
  }

  /** Takes new work: neither closed nor being closed. */
  get open(): boolean {
    return this.#open;
  }

  /** @internal Takes nothing any more, not even the rest of what was begun. */
  get ended(): boolean {
    return !this.#serving;
  }

  /** @internal Where deadlines have their time from. */
  get timers(): Timers {
    return this.backend.timers ?? systemTimers;
  }

  /** The pool that reads of this proactor take memory from. */
  get pool(): BufferPool {
    return (this.#pool ??= this.createPool(this.#options.pool));
  }

  /** @internal The blocks that streams of this proactor receive into. */
  get streamGroup(): BufferGroup {
    return (this.#streamGroup ??= new BufferGroup(this, this.#options.streamPool));
  }

  /** Another pool, with sizes and counts of its own. */
  createPool(options: BufferPoolOptions = {}): BufferPool {
    if (!this.#open) throw closedError('createPool');
    const pool = new BufferPool(this, options);
    this.#pools.push(pool);
    return pool;
  }

  /**
   * A handle to this proactor for another thread: transfer it there, and give it to `remoteProactor`. It keeps this thread
   * alive until the other one has closed it.
   * @example
   * new Worker(file, { workerData: { port }, transferList: [port] });
   */
  share(): MessagePort {
    if (!this.#open) throw closedError('share');
    const { port1, port2 } = new MessageChannel();
    new Guest(this, port1);
    return port2;
  }

  /** @internal Give an operation a slot, or let it wait for one. Its memory is its own from here on. */
  start<T>(operation: Operation<T>): void {
    if (!this.#serving || (this.#ending && operation.opcode !== Opcode.CLOSE)) operation.refuse(() => closedError(operation.syscall));
    else this.#inflight.submit(operation as Operation<unknown>);
  }

  /** @internal `start`, unless it must not begin; ended by the options' signal or timeout. */
  submit<T>(operation: Operation<T>, options?: CancelOptions): Operation<T> {
    const refused = refusal(options, operation.syscall, this.#open);
    if (refused !== undefined) operation.refuse(() => refused);
    else {
      this.watch(operation, options);
      this.start(operation);
    }
    return operation;
  }

  /** @internal Let a signal or a timeout end the operation. */
  watch<T>(operation: Operation<T>, options: CancelOptions | undefined): void {
    if (options === undefined || (options.signal === undefined && options.timeout === undefined)) return;
    if (options.prompt === true) operation.drop = (value) => this.#dropDescriptor(value);
    operation.watch(options, (target, cause) => this.#inflight.cancel(target as Operation<unknown>, cause), this.timers);
  }

  /** @internal End an operation as its signal or timeout would. */
  end<T>(operation: Operation<T>, cause: CancelCause, options: EndOptions): void {
    operation.end(cause, options, (target, why) => this.#inflight.cancel(target as Operation<unknown>, why));
  }

  /** @internal Ask for the end of an operation; its own completion decides. */
  cancel<T>(operation: Operation<T>, cause: CancelCause): void {
    this.#inflight.cancel(operation as Operation<unknown>, cause);
  }

  /** @internal Have an operation back before its time, for no cause: it gets ECANCELED, or its answer. */
  recall<T>(operation: Operation<T>): void {
    this.#inflight.recall(operation as Operation<unknown>);
  }

  /** Operations that do nothing, or complete with `result`: for measuring, and for tests of the paths. */
  nop(result = 0): Promise<number> {
    const operation = new Operation<number>(Opcode.NOP, (op, { result: told }) => (told < 0 ? op.failure(told) : told));
    try {
      operation.extra = checkInteger('result', result, -(2 ** 31), 2 ** 31 - 1);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.submit(operation).promise;
  }

  /** What is in flight or waits, for people. */
  inflight(): InflightInfo[] {
    return [...this.#inflight.list()];
  }

  /** Counters, to be shown and compared. */
  stats(): ProactorStats {
    const counters = this.backend.counters();
    counters.inFlight = this.#inflight.count;
    counters.stale += this.#inflight.stale;
    const pool = this.#pools.flatMap((each) => each.stats());
    const streamPool = this.#streamGroup?.stats();
    const { waiting, tally: cancel } = this.#inflight;
    return { ...counters, backend: this.backend.name, waiting, cancel: { ...cancel }, copies: this.copies, pool, streamPool };
  }

  /** Operations in flight keep the process alive (the default). */
  ref(): this {
    this.liveness.allow(true);
    return this;
  }

  /** Operations in flight do not keep the process alive. */
  unref(): this {
    this.liveness.allow(false);
    return this;
  }

  /** Take nothing new, finish what was begun, then end. */
  close(): Promise<void> {
    this.#open = false;
    return (this.#closed ??= this.liveness.during(this.#finish()));
  }

  /** Take nothing new, cancel what was begun, then end: nothing writes to memory once this has resolved. */
  async destroy(options: DestroyOptions = {}): Promise<void> {
    const deadline = checkDeadline(options);
    const closed = this.close();
    this.#ending = true;
    if (this.#serving) this.#inflight.cancelAll();
    const timer = setTimeout(() => this.#forsake(), deadline);
    await closed;
    clearTimeout(timer);
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Fail reads that wait for a block on behalf of a descriptor that is being closed. */
  refuseWaiting(descriptor: number, failure: () => Error): void {
    for (const pool of this.#pools) pool.refuse(failure, descriptor);
  }

  /** Close what an operation opened for nobody. */
  #dropDescriptor(value: unknown): void {
    const { descriptor } = (value ?? {}) as { readonly descriptor?: unknown };
    if (typeof descriptor === 'number') void closeDescriptor(this, descriptor);
  }

  /** What waits for memory is refused, what waits for others ends. */
  #dismiss(): void {
    for (const pool of this.#pools) pool.refuse(() => closedError('read'), undefined);
    for (const resident of [...this.residents]) resident.leave();
  }

  /** Past the deadline: what the system will not end is given up; its memory is leaked. */
  #forsake(): void {
    if (!this.#serving) return; // it has ended meanwhile
    this.backend.abandon(0);
    this.#inflight.forsake();
  }

  async #finish(): Promise<void> {
    this.#dismiss();
    // What waited for that may begin something as it goes: a guest closes what it had opened.
    do await this.#inflight.idle();
    while (!this.#inflight.isIdle);
    this.#serving = false;
    this.#leaveExit();
    await this.backend.close();
  }
}
show(Proactor, ({ info, open }) => ({ backend: info.backend, open }));

/** Which backend answers on this thread, and where it is not the ring: why, and what would help. */
export function backendInfo(): BackendInfo {
  return Proactor.current().info;
}
