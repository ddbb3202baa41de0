/**
 * AsyncWrite of a stream: SEND for sockets, WRITE for pipes. All writers of a stream take turns in the order of the
 * calls, so what one writes in one call stays together.
 */
import { argumentValueError, checkBoolean, checkOptions } from './errors.js';
import type { Writable } from './memory/parcel.js';
import { WAIT_ALL, ZERO_COPY } from './op.js';
import { planOf } from './read/read.js';
import type { Plan } from './read/read.js';
import type { Transfer } from './transfer.js';
import type { Turns } from './turns.js';
import { Writer } from './write.js';
import type { WriteOptions, WriteResult, WriterTarget } from './write.js';

/** How a stream is written. */
export interface StreamWriterOptions {
  /**
   * Send from your memory without the kernel's copy, where that is possible and 16 KiB or more are sent; the promise
   * resolves when the network has the memory no more. It pays off between machines, not on one.
   */
  readonly zeroCopy?: boolean | undefined;
}

/** How one write of a stream is done. */
export interface StreamWriteOptions extends WriteOptions, StreamWriterOptions {}

/** What a stream's writer needs of it. */
export interface StreamTarget extends WriterTarget {
  readonly kind: 'tcp' | 'unix' | 'pipe';
  readonly turns: Turns;
  /** End the writing side, after the writes that were called. */
  finish(): Promise<void>;
}

/** Below, a copy is cheaper than being told when the memory is free. */
const ZERO_COPY_MIN = 16_384;

interface StreamPlan extends Plan {
  readonly zeroCopy: true;
}

/** Writes to a stream. Made by `writer()` of the stream; all writers of one take turns. */
export class StreamWriter extends Writer {
  readonly #target: StreamTarget;
  readonly #zeroCopy: boolean;
  #finished: Promise<void> | undefined = undefined;

  /** @internal Used by resources: `stream.writer()`. */
  constructor(target: StreamTarget, options: StreamWriterOptions = {}) {
    checkOptions(options);
    super(target, target.turns);
    this.#target = target;
    this.#zeroCopy = checkBoolean('options.zeroCopy', options.zeroCopy) ?? false;
  }

  /**
   * @example
   * const { bytesWritten, rest } = await stream.writer().write('hello\n');
   */
  override write(data: Writable, options?: StreamWriteOptions): Promise<WriteResult> {
    return super.write(data, options);
  }

  /** Write all of it, with as many operations as that takes. */
  override writeAll(data: Writable, options?: StreamWriteOptions): Promise<WriteResult> {
    return super.writeAll(data, options);
  }

  /** Write all that was pushed, then say that no more will come. A pipe is closed, a socket can still be read. */
  override end(): Promise<void> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  /** @internal */
  protected override plan(options: StreamWriteOptions | undefined): StreamPlan | Plan {
    const plan = planOf(options);
    if (plan.position !== undefined) {
      throw argumentValueError('options.position', 'must not be given: a stream has no positions', plan.position);
    }
    const zeroCopy = (options === undefined ? undefined : checkBoolean('options.zeroCopy', options.zeroCopy)) ?? this.#zeroCopy;
    return zeroCopy ? { ...plan, zeroCopy } : plan;
  }

  /** @internal */
  protected override send(transfer: Transfer, plan: Plan, all: boolean): Promise<WriteResult> {
    const { kind, codes } = this.#target;
    if (kind !== 'pipe') {
      if (all) transfer.flags = WAIT_ALL;
      // The system knows none between Unix sockets.
      if ('zeroCopy' in plan && kind === 'tcp' && transfer.total >= ZERO_COPY_MIN && transfer.opcode === codes.single) {
        transfer.expectNotice(ZERO_COPY);
      }
    }
    return transfer.send(plan);
  }

  async #finish(): Promise<void> {
    await super.end();
    await this.#target.finish();
  }
}
