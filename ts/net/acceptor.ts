/**
 * The connections of a listener, from the kernel to whoever calls `accept()`.
 *
 * One operation is armed and goes on accepting (multishot). A connection goes to the first who waits; when nobody does it
 * is kept for the next `accept()`. With `KEPT_MAX` kept, the operation is cancelled: the rest waits in the kernel.
 *
 * States: idle (nobody waits) -> armed -> idle ... | armed -> pausing (no descriptors left) -> armed | any -> closed.
 * An aborted `accept()` leaves the queue at once and never happened: what comes later is the next one's.
 *
 * Nothing here refers to the `Listener`: one that the program forgot is collected and closed. Who calls: the listener,
 * and the proactor when it is closed.
 */
import { limit, limitError, refusal } from '../cancel.js';
import type { CancelOptions, Ending } from '../cancel.js';
import { Deferred } from '../deferred.js';
import { closedError } from '../errors.js';
import { Fifo } from '../fifo.js';
import type { Resident } from '../inflight.js';
import { MULTISHOT, Opcode, Operation, UNREF } from '../op.js';
import type { Completion } from '../op.js';
import type { Proactor } from '../proactor.js';
import { closeDescriptor, isBeingClosed } from '../unclosed.js';
import type { Unclosed } from '../unclosed.js';
import type { Alarm } from '../timers.js';
import { openedBy } from './opened.js';
import type { Opened } from './opened.js';

/** Connections that are kept for an `accept()` to come. */
const KEPT_MAX = 128;
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 1000;
/** EMFILE, ENFILE, ENOBUFS, ENOMEM: accepting goes on when the system has room again. */
const NO_ROOM = new Set([-24, -23, -105, -12]);
/**
 * The connection was gone before it was accepted, or its network, and the next may be good (`accept(2)`): ECONNABORTED,
 * EPROTO, EPERM, ENETDOWN, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, ENONET, EINTR, EAGAIN. And ECANCELED, which is ours.
 */
const TRANSIENT = new Set([-103, -71, -1, -100, -112, -113, -101, -64, -4, -11, -125]);

class Waiter extends Deferred<Opened> {
  unwatch: ((ending: Ending) => void) | undefined = undefined;
}

export class Acceptor implements Unclosed, Resident {
  readonly proactor: Proactor;
  readonly descriptor: number;
  readonly fd: number;
  /** Last thing before the descriptor is closed. */
  readonly #onClose: () => void;
  readonly #waiting = new Fifo<Waiter>();
  readonly #kept = new Fifo<Opened>();
  #armed: Operation<void> | undefined = undefined;
  #keepsAlive = true;
  #pause: Alarm | undefined = undefined;
  #pauseMs = PAUSE_FIRST_MS;
  #warned = false;
  #closed: Promise<void> | undefined = undefined;

  constructor(proactor: Proactor, { descriptor, fd }: Opened, onClose: () => void) {
    this.proactor = proactor;
    this.descriptor = descriptor;
    this.fd = fd;
    this.#onClose = onClose;
    proactor.residents.add(this);
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  accept(options: CancelOptions): Promise<Opened> {
    const refused = refusal(options, 'accept', !this.closed && this.proactor.open);
    if (refused !== undefined) return Promise.reject(refused);
    const kept = this.#kept.shift();
    if (kept !== undefined) return Promise.resolve(kept);
    const waiter = new Waiter();
    this.#waiting.push(waiter);
    this.#keep(1);
    this.#watch(waiter, options);
    this.#arm();
    return waiter.promise;
  }

  keepAlive(on: boolean): void {
    if (this.#keepsAlive === on) return;
    this.#keepsAlive = on;
    this.proactor.liveness.change(on ? this.#waiting.length : -this.#waiting.length);
  }

  leave(): void {
    this.close().catch(() => {}); // told to whoever calls close()
  }

  close(): Promise<void> {
    this.#closed ??= this.proactor.liveness.during(this.#close());
    return this.#closed;
  }

  #arm(): void {
    if (this.#armed !== undefined || this.#pause !== undefined || this.closed) return;
    const operation = new Operation<void>(Opcode.ACCEPT, (_, completion) => this.#take(completion));
    operation.progress = (completion) => this.#take(completion);
    operation.descriptor = this.descriptor;
    operation.flags = MULTISHOT;
    operation.options = UNREF; // those who wait do
    operation.onSettled = () => this.#ended(operation);
    this.#armed = operation;
    this.proactor.start(operation);
  }

  /** A completion, final or not. */
  #take(completion: Completion): void {
    const { result } = completion;
    if (result >= 0) {
      this.#pauseMs = PAUSE_FIRST_MS;
      this.#deliver(openedBy(completion));
    } else if (NO_ROOM.has(result)) this.#beginPause(result);
    else if (!TRANSIENT.has(result)) this.#failAll(result);
  }

  #deliver(connection: Opened): void {
    if (this.closed) {
      void closeDescriptor(this.proactor, connection.descriptor);
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) {
      this.#keep(-1);
      waiter.unwatch?.('completed');
      waiter.succeed(connection);
      return;
    }
    this.#kept.push(connection);
    if (this.#kept.length >= KEPT_MAX && this.#armed !== undefined) this.proactor.cancel(this.#armed, 'closed');
  }

  /** So many more wait, or fewer. */
  #keep(change: number): void {
    if (this.#keepsAlive) this.proactor.liveness.change(change);
  }

  /** The operation is over: arm the next one, if somebody waits. */
  #ended(operation: Operation<void>): void {
    this.#armed = undefined;
    // One that was cancelled before it had a slot has failed, too.
    if (operation.failed && operation.cancelCause === undefined) this.#refuseAll(operation.error);
    else if (this.#waiting.length > 0) this.#arm();
  }

  #failAll(result: number): void {
    const { make } = new Operation<void>(Opcode.ACCEPT, () => {}).failure(result);
    this.#refuseAll(make);
  }

  #refuseAll(failure: () => Error): void {
    for (let waiter = this.#waiting.shift(); waiter !== undefined; waiter = this.#waiting.shift()) {
      this.#keep(-1);
      waiter.unwatch?.('failed');
      waiter.fail(failure);
    }
  }

  #beginPause(result: number): void {
    this.#warn(result);
    this.#pause = this.proactor.timers.set(this.#pauseMs, () => {
      this.#pause = undefined;
      if (this.#waiting.length > 0) this.#arm();
    });
    this.#pause.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
  }

  #warn(result: number): void {
    if (this.#warned) return;
    this.#warned = true;
    const { message } = new Operation<void>(Opcode.ACCEPT, () => {}).failure(result).make();
    process.emitWarning(`${message}: accepting goes on when the system has room again`, {
      code: 'RITSU_ACCEPT_PAUSED',
      type: 'RitsuWarning',
    });
  }

  #watch(waiter: Waiter, options: CancelOptions): void {
    if (options.signal === undefined && options.timeout === undefined) return;
    waiter.unwatch = limit(options, (cause, reason) => {
      waiter.unwatch?.('aborted');
      if (!this.#waiting.remove(waiter)) return;
      this.#keep(-1);
      waiter.fail(() => limitError(cause, reason, 'accept'));
    }, this.proactor.timers);
  }

  async #close(): Promise<void> {
    isBeingClosed(this);
    this.proactor.residents.delete(this);
    this.proactor.timers.clear(this.#pause);
    this.#refuseAll(() => closedError('accept'));
    const kept = [...this.#kept].map(({ descriptor }) => closeDescriptor(this.proactor, descriptor));
    const armed = this.#armed;
    if (armed !== undefined) {
      this.proactor.cancel(armed, 'closed');
      await armed.promise.catch(() => {}); // connections that it still brings are closed as they come
    }
    this.#onClose();
    await Promise.all([...kept, closeDescriptor(this.proactor, this.descriptor)]);
  }
}
