/**
 * What of a stream lives on while something is in flight: its descriptor, its `Intake`, the turns of its writes (`Turns`; one
 * object with them, since there are as many as connections), and the order of its end. A `Stream` refers to its channel and
 * never the other way, so that a forgotten one can be collected.
 *
 * States: open -> closing (reads fail, what is armed is drained; writes that were called finish, unless it is
 * destroyed) -> closed (CLOSE, which the core orders behind what is in flight).
 */
import { refusal } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { RitsuError, STREAM, closedError, inUseError } from './errors.js';
import type { Resident } from './inflight.js';
import type { Span } from './memory/block.js';
import { EINTR, Opcode, Operation, UNREF, WAIT_ALL, ZERO_COPY } from './op.js';
import type { Proactor } from './proactor.js';
import { Intake } from './read/intake.js';
import type { StreamPlan } from './stream-writer.js';
import type { Transfer, WriteCodes } from './transfer.js';
import { Turns } from './turns.js';
import type { Turn } from './turns.js';
import { closeOrFail, isBeingClosed } from './unclosed.js';
import type { Unclosed } from './unclosed.js';
import { Unflushed } from './unflushed.js';
import type { WriterTarget } from './write.js';

/** How its bytes are moved: RECEIVE and SEND, or READ and WRITE. */
export type StreamKind = 'tcp' | 'unix' | 'pipe';

/** The message's argument begins with the length of an address: none. */
const SOCKET: WriteCodes = { single: Opcode.SEND, vectored: Opcode.SEND_MESSAGE, header: 4, endpoint: STREAM };

const CODES: Readonly<Record<StreamKind, WriteCodes>> = {
  tcp: SOCKET,
  unix: SOCKET,
  pipe: { single: Opcode.WRITE, vectored: Opcode.WRITEV, header: 0, endpoint: STREAM },
};

const POLLOUT = 4;
const EAGAIN = -11;
const SHUT_WRITE = 1;
const ENOTCONN = -107;
/** Below, a copy is cheaper than being told when the memory is free. */
const ZERO_COPY_MIN = 16_384;

/** SHUTDOWN, in its turn. */
class Ending extends Operation<void> {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    // ENOTCONN: the peer is gone; that ends it, too.
    super(Opcode.SHUTDOWN, (operation, { result }) => (result < 0 && result !== ENOTCONN ? operation.failure(result) : undefined));
    this.#channel = channel;
    this.target = SHUT_WRITE;
  }

  begin(): void {
    this.#channel.begin(this);
  }

  override succeed(): void {
    super.succeed(undefined);
    this.#channel.passed(this as unknown as Turn);
  }

  override fail(failure: () => Error): void {
    super.fail(failure);
    this.#channel.passed(this as unknown as Turn);
  }
}

export class Channel extends Turns implements WriterTarget, Unclosed, Resident {
  readonly proactor: Proactor;
  readonly descriptor: number;
  readonly fd: number;
  readonly kind: StreamKind;
  readonly intake: Intake;
  // Not every stream's: see `Intake`.
  /** What comes is passed on (`pipeTo`): also while no read waits. */
  declare isPiped: boolean;
  declare private keepsAlive: boolean;
  declare private pushed: Unflushed | undefined;
  declare private poll: Operation<void> | undefined;
  declare private closing: Promise<void> | undefined;

  constructor(proactor: Proactor, descriptor: number, fd: number, kind: StreamKind) {
    super();
    this.proactor = proactor;
    this.descriptor = descriptor;
    this.fd = fd;
    this.kind = kind;
    this.intake = new Intake(this);
    proactor.residents.add(this);
  }

  /** @internal */
  get host(): Proactor {
    return this.proactor;
  }

  get codes(): WriteCodes {
    return CODES[this.kind];
  }

  /** Node takes no write back: a small one that waits can be withdrawn only as long as it has not gone with another. */
  get gathers(): boolean {
    return this.proactor.backend.name !== 'node';
  }

  get unflushed(): Unflushed {
    return (this.pushed ??= new Unflushed());
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  admit<T>(operation: Operation<T>, options: CancelOptions | undefined): void {
    operation.descriptor = this.descriptor;
    const refused = refusal(options, operation.syscall, !this.closed && this.proactor.open);
    if (refused !== undefined) operation.refuse(() => refused);
    else this.proactor.watch(operation, options);
  }

  begin<T>(operation: Operation<T>): void {
    operation.options = UNREF; // its turn does
    this.proactor.start(operation);
  }

  /** Only where no write waits or is in flight, and this one may begin: what it may not is said when it is admitted. */
  sendNow({ memory, offset, length }: Span, options: CancelOptions): number {
    const { backend } = this.proactor;
    if (this.kind === 'pipe' || 'zeroCopy' in options || backend.sendNow === undefined) return 0;
    if (refusal(options, 'write', !this.closed && this.proactor.open) !== undefined || !this.claim()) return 0;
    let sent = 0;
    try {
      sent = backend.sendNow(this.descriptor, memory as ArrayBuffer, offset, length);
      if (sent === EAGAIN || sent === EINTR) sent = 0;
      return sent;
    } finally {
      if (sent === 0) this.forgo();
    }
  }

  forgo(): void {
    this.redeem();
  }

  dispatch(transfer: Transfer, plan: StreamPlan, all: boolean): void {
    const { kind, codes } = this;
    if (kind !== 'pipe') {
      if (all) transfer.flags = WAIT_ALL;
      // The system knows none between Unix sockets.
      if (plan.zeroCopy === true && kind === 'tcp' && transfer.total >= ZERO_COPY_MIN && transfer.opcode === codes.single) {
        transfer.expectNotice(ZERO_COPY);
      }
    }
    transfer.send(plan);
  }

  awaitWritable(then: () => void): void {
    const poll = new Operation<void>(Opcode.POLL, () => undefined);
    poll.descriptor = this.descriptor;
    poll.target = POLLOUT;
    poll.options = UNREF;
    poll.onSettled = () => {
      if (this.poll === poll) this.poll = undefined;
      then();
    }
    if (this.poll !== undefined) this.proactor.cancel(this.poll, 'closed'); // of a write that was given up
    this.poll = poll;
    this.proactor.start(poll);
  };

  shutdown(options?: CancelOptions): Promise<void> {
    const ending = new Ending(this);
    this.admit(ending, options);
    if (!ending.settled) this.enter(ending as unknown as Turn);
    return ending.promise;
  }

  /** End the writing side, after the writes that were called. */
  finish(): Promise<void> {
    if (this.closed) return this.close();
    return this.kind === 'pipe' ? this.close() : this.shutdown();
  }

  keepAlive(on: boolean): void {
    if (on !== this.keepsAlive && this.isBusy) this.proactor.liveness.change(on ? 1 : -1);
    this.keepsAlive = on;
    this.intake.keepAlive(on);
  }

  override busy(on: boolean): void {
    if (this.keepsAlive) this.proactor.liveness.change(on ? 1 : -1);
  }

  /** Close it, but leave the descriptor open; what came and nobody read. `stays`: with its proactor. */
  async detach(stays: boolean): Promise<Uint8Array> {
    if (this.closed || (!stays && this.proactor.backend.name === 'node')) throw unmovable(this.closed);
    if (this.isPiped || !this.intake.isIdle || !this.isIdle || this.pushed?.isEmpty === false) throw inUseError('handOver');
    const detached = this.intake.detach();
    this.closing = detached.then(() => {});
    isBeingClosed(this);
    this.proactor.residents.delete(this);
    return detached;
  }

  close(): Promise<void> {
    this.closing ??= this.proactor.liveness.during(this.end());
    return this.closing;
  }

  /** Nobody waits for this end: whether the peer takes what is being written is for the process to see, or not. */
  forgotten(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  destroy(): Promise<void> {
    this.pushed?.withdraw(); // as the rest of what was begun
    const closed = this.close();
    for (const turn of this.all().toReversed()) this.proactor.cancel(turn, 'closed');
    return closed;
  }

  /** The proactor is being closed. */
  leave(): void {
    this.pushed?.withdraw();
    this.close().catch(() => {}); // whoever closes the stream is told
  }

  private async end(): Promise<void> {
    isBeingClosed(this);
    this.pushed?.withdraw('a stream');
    this.proactor.residents.delete(this);
    await Promise.all([this.intake.close(), this.idle()]);
    if (this.poll !== undefined) this.proactor.cancel(this.poll, 'closed');
    await closeOrFail(this.proactor, this.descriptor);
  }
}

Object.assign(Channel.prototype, { isPiped: false, keepsAlive: true, pushed: undefined, poll: undefined, closing: undefined });

function unmovable(closed: boolean): RitsuError {
  if (closed) return closedError('handOver');
  return new RitsuError('ERR_RITSU_UNAVAILABLE', 'handOver: a stream of the node backend cannot leave its thread');
}
