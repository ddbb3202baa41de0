/**
 * What comes on a stream, passed on to a writer: each block that the kernel chose is sent as it is, and the next one is taken when
 * that is done. There is no promise for each of them.
 *
 * The invariant: each byte that was received is written once, or is the source's next again. So what a write did not take goes back,
 * and a limit (signal, time) ends what is under way, whose own completion decides.
 *
 * Stages: receiving (a read of the stream's) <-> writing (one `Onward`) -> ending (the writer is) -> settled. Who calls:
 * `Stream.pipeTo`; its reads and writes, when they are settled.
 */
import { abandon, checkCancelOptions, limit, limitError, refusal } from './cancel.js';
import type { CancelOptions, Ending, Stop } from './cancel.js';
import type { Channel } from './channel.js';
import { Deferred } from './deferred.js';
import { AbortError, RitsuError, TimeoutError, argumentTypeError, checkBoolean, closedError, systemError } from './errors.js';
import { isDetached, rangeOf } from './memory/block.js';
import type { Block } from './memory/block.js';
import { giveBack } from './memory/loan.js';
import { Parcel } from './memory/parcel.js';
import type { Landing, ReadOperation } from './memory/size-class.js';
import { LENGTH_MAX } from './op.js';
import type { Completion, Failure } from './op.js';
import type { Plan } from './read/read.js';
import type { StreamRead } from './read/stream-read.js';
import type { StreamSource } from './read/stream-source.js';
import { Transfer } from './transfer.js';
import type { WriteResult } from './transfer.js';
import { PLAN, RESOURCE, Writer } from './write.js';
import type { WriterResource } from './write.js';

/** How a stream is passed on. */
export interface PipeToOptions extends CancelOptions {
  /** Whether the target is ended when the source has: a stream is half-closed then, as by `shutdown`. True where not given. */
  readonly end?: boolean | undefined;
}

const NAME = 'pipeTo';
const EIO = -5;

/** What an error of a write says of its data. */
type CutShort = Error & { readonly bytesTransferred?: number; readonly rest?: Buffer };

/** The writes of what was received, one after the other. It tells when the next one has the turn: `onSettled` would be too early. */
class Onward extends Transfer {
  readonly #piping: Piping;
  /** It was an operation of its own, and is in nobody's line any more. */
  #isOwn = false;

  constructor(piping: Piping, { target, turns }: WriterResource, parcel: Parcel) {
    super(target, [parcel], true, turns);
    this.#piping = piping;
  }

  /** The next write: by this object, if that can be. */
  next(resource: WriterResource, parcel: Parcel): Onward {
    if (!this.#isOwn) return new Onward(this.#piping, resource, parcel);
    this.#isOwn = false;
    if (this.onSettled !== undefined) this.onSettled = undefined; // its file follows it, once more
    this.another(parcel);
    return this;
  }

  override complete(completion: Completion): void {
    this.#isOwn = true;
    super.complete(completion);
  }

  override succeed(value: WriteResult): void {
    super.succeed(value);
    this.#piping.written(this);
  }

  override fail(failure: () => Error): void {
    super.fail(failure);
    this.#piping.written(this);
  }
}

/**
 * From the call of `pipeTo` to its end; the result is how many bytes were passed on. It has one read and one write, which go round. What
 * is called when those are settled lets no exception out: they would take it for their own, and end twice.
 */
class Piping extends Deferred<number> implements Landing {
  readonly #source: StreamSource<Channel>;
  readonly #writer: Writer;
  readonly #resource: WriterResource;
  readonly #plan: Plan;
  readonly #end: boolean;
  #stage: 'receiving' | 'writing' | 'ending' = 'receiving';
  #read: StreamRead | undefined = undefined;
  #write: Onward | undefined = undefined;
  /** Bytes that the read brought. */
  #came = 0;
  #passed = 0;
  // Rarely set: on the prototype. Very many connections may be passed on.
  /** It was ended by its signal or its time, the first of them: makes the error. */
  declare private limited: (() => Error) | undefined;
  /** What was told at once (`prompt`). */
  declare private told: Error | undefined;
  declare private stop: Stop | undefined;

  constructor(source: StreamSource<Channel>, writer: Writer, end: boolean) {
    super();
    this.#source = source;
    this.#writer = writer;
    this.#resource = writer[RESOURCE]();
    this.#plan = writer[PLAN](undefined);
    this.#end = end;
  }

  begin(options: CancelOptions): void {
    this.#source.channel.isPiped = true;
    const { signal, timeout, prompt } = options;
    if (signal !== undefined || timeout !== undefined) {
      this.stop = limit(options, (cause, reason) => this.#limit(cause, reason, prompt === true), this.#source.host.timers);
    }
    this.#receive();
  }

  /** Of one read. */
  get length(): number {
    return LENGTH_MAX;
  }

  arm(operation: ReadOperation): void {
    operation.launch(this.#source.host);
  }

  land(operation: ReadOperation, { result }: Completion): null | Failure {
    if (result < 0) return operation.failure(result);
    this.#came = result;
    return null;
  }

  discard({ block }: ReadOperation): void {
    if (block !== undefined) giveBack(block);
  }

  /** This write is settled. */
  written(write: Onward): void {
    if (this.settled) return;
    this.#stage = 'receiving';
    if (write.failed) {
      const error = write.error() as CutShort;
      this.#passed += error.bytesTransferred ?? 0;
      return this.#fail(error, error.rest);
    }
    const { bytesWritten, rest } = write.value;
    this.#passed += bytesWritten;
    if (rest.length === 0) this.#receive();
    else this.#fail(systemError(EIO, 'write'), rest); // it takes nothing, and does not say why
  }

  #receive(): void {
    if (this.limited !== undefined) return this.#fail(this.limited());
    if (!this.#source.open) return this.#fail(closedError('read'));
    const { intake } = this.#source.channel;
    try {
      if (this.#read !== undefined) return intake.readAgain(this.#read, this.#source);
      const read = intake.read(this, undefined, this.#source);
      this.#read = read;
      read.onSettled = received;
      if (read.settled) this.received(read);
    } catch (error) {
      this.#fail(error as Error);
      if (this.#read?.settled === false) this.#source.giveUp(this.#read);
    }
  }

  /** This read is settled. */
  received(read: StreamRead): void {
    const { block, offset } = read;
    if (read.failed) this.#fail(read.error());
    else if (block !== undefined) this.#pass(block, offset, this.#came);
    else if (this.#end) void this.#endWriter();
    else this.succeed(this.#passed);
  }

  /** Send what came, from where it is. */
  #pass(block: Block, offset: number, length: number): void {
    const resource = this.#resource;
    let parcel: Parcel;
    try {
      if (this.limited !== undefined) throw this.limited();
      this.#writer[RESOURCE](); // the program may have ended it
      parcel = Parcel.received(resource.target.host, block, offset, length);
    } catch (error) {
      return this.#fail(error as Error, takeOut(block, offset, length));
    }
    this.#stage = 'writing';
    try {
      this.#write = this.#write?.next(resource, parcel) ?? new Onward(this, resource, parcel);
      resource.target.dispatch(this.#write, this.#plan, true);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  async #endWriter(): Promise<void> {
    this.#stage = 'ending';
    try {
      await this.#writer.end();
      this.succeed(this.#passed);
    } catch (error) {
      this.#finish('failed', tell(error as Error, { bytesTransferred: this.#passed }));
    }
  }

  #limit(cause: 'abort' | 'timeout', reason: unknown, prompt: boolean): void {
    if (this.limited !== undefined) return;
    this.limited = () => tell(limitError(cause, reason, NAME), { bytesTransferred: this.#passed });
    if (this.#stage === 'ending') return this.#fail(this.limited()); // everything was passed on, and will be ended
    const ending = { reason, prompt: false };
    if (this.#stage === 'writing') this.#resource.target.host.end(this.#write!, cause, ending);
    else if (this.#read !== undefined) this.#source.host.end(this.#read, cause, ending);
    if (prompt && !this.settled) abandon(this, (this.told = this.limited()));
  }

  override succeed(passed: number): void {
    if (this.settled) return;
    this.#source.channel.isPiped = false;
    this.stop?.('completed');
    super.succeed(passed);
  }

  /** `rest`: what was received and not written. The error has it only where it cannot be given back. */
  #fail(error: Error, rest?: Uint8Array): void {
    if (this.settled) return;
    const isLimit = this.limited !== undefined && (error instanceof AbortError || error instanceof TimeoutError);
    const left = rest === undefined ? undefined : this.#returned(rest);
    const told = isLimit ? this.limited!() : error;
    tell(told, { bytesTransferred: this.#passed, rest: left, buffers: undefined });
    if (this.told !== undefined) tell(this.told, { rest: left });
    this.#finish(isLimit ? 'aborted' : 'failed', told);
  }

  #finish(ending: Ending, told: Error): void {
    if (this.settled) return;
    this.#source.channel.isPiped = false;
    this.stop?.(ending);
    this.fail(() => {
      if (told instanceof Error && Object.isExtensible(told)) Error.captureStackTrace(told); // those who await it
      return told;
    });
  }

  /** The next read shall have it; what cannot be given back, since the stream is closed or there is no memory. */
  #returned(rest: Uint8Array): Uint8Array | undefined {
    try {
      return rest.length === 0 || this.#source.prepend(rest) ? undefined : rest;
    } catch {
      return rest;
    }
  }
}

Object.assign(Piping.prototype, { limited: undefined, told: undefined, stop: undefined });

/** `onSettled` of its reads: one function, instead of one for each connection. */
function received(this: StreamRead): void {
  (this.landing as unknown as Piping).received(this);
}

/** Say on the error what became of the bytes; a program's own, of an `end` of its own, may be anything. */
function tell<E extends Error>(error: E, details: object): E {
  for (const [name, value] of Object.entries(details)) {
    if (value !== undefined || name in Object(error)) Reflect.set(Object(error), name, value);
  }
  return error;
}

/** What came, in memory of its own; the block goes back. Nothing, where an earlier holder moved its memory away (without the fence). */
function takeOut(block: Block, offset: number, length: number): Uint8Array | undefined {
  const isLost = isDetached(block.memory!);
  try {
    return isLost ? undefined : Uint8Array.from(rangeOf(block, offset, length));
  } catch {
    return undefined; // no memory
  } finally {
    if (isLost) block.memory = undefined;
    giveBack(block);
  }
}

/** @internal `writer`: of a stream or a file. */
export function pipeTo(source: StreamSource<Channel>, writer: Writer, options: PipeToOptions = {}): Promise<number> {
  if (!(writer instanceof Writer)) throw argumentTypeError('target', 'an instance of TcpStream, UnixStream, Pipe, StreamWriter or FileWriter', writer);
  const cancel = checkCancelOptions(options);
  const end = checkBoolean('options.end', options.end) ?? true;
  const refused = refusal(cancel, NAME, source.open);
  if (refused !== undefined) throw refused;
  if (source.channel.isPiped) throw new RitsuError('ERR_RITSU_IN_USE', `${NAME}: what comes on it is being passed on already`);
  const piping = new Piping(source, writer, end);
  piping.begin(cancel);
  return piping.promise;
}
