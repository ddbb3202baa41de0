/**
 * AsyncWrite of a stream: SEND for sockets, WRITE for pipes. All writers of a stream take turns in the order of the
 * calls, so what one writes in one call stays together.
 */
import { argumentValueError, checkBoolean, checkOptions } from './errors.js';
import type { Writable } from './memory/parcel.js';
import { planOf } from './read/read.js';
import type { Plan } from './read/read.js';
import { PLAN, Writer } from './write.js';
import type { WriteOptions, WriteResult, WriterResource } from './write.js';

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

/** The plan of a write to a stream. */
export interface StreamPlan extends Plan {
  readonly zeroCopy?: true;
}

/** What most writers never need. */
interface Unusual {
  /** As it was made. */
  readonly zeroCopy: boolean;
  finished: Promise<void> | undefined;
}

/** Writes to a stream. Made by `writer()` of the stream; all writers of one take turns. */
export class StreamWriter extends Writer {
  #unusual: Unusual | undefined = undefined;

  /** @internal Used by resources: `stream.writer()`. */
  constructor(stream: WriterResource, options: StreamWriterOptions = {}) {
    checkOptions(options);
    super(stream);
    if (checkBoolean('options.zeroCopy', options.zeroCopy) === true) this.#unusual = { zeroCopy: true, finished: undefined };
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
    const unusual = (this.#unusual ??= { zeroCopy: false, finished: undefined });
    return (unusual.finished ??= super.end());
  }

  /** @internal */
  override [PLAN](options: StreamWriteOptions | undefined): StreamPlan {
    const plan = planOf(options);
    if (plan.position !== undefined) {
      throw argumentValueError('options.position', 'must not be given: a stream has no positions', plan.position);
    }
    const zeroCopy = (options === undefined ? undefined : checkBoolean('options.zeroCopy', options.zeroCopy)) ?? this.#unusual?.zeroCopy;
    return zeroCopy === true ? { ...plan, zeroCopy } : plan;
  }
}
