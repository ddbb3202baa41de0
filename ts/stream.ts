/**
 * A live stream: a socket or a pipe, read in any of the three styles, written, half-closed and closed. The parent of
 * `TcpStream`, `UnixStream` and `Pipe`.
 *
 * A stream that the program forgot, with all its readers and writers, is closed when it is collected: those refer to it by its
 * `StreamSource`, and of what is in flight only reads that wait do. What has to live on is its `Channel` (`ts/channel.ts`).
 */
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { Channel } from './channel.js';
import type { StreamKind } from './channel.js';
import type { File } from './file.js';
import { show } from './inspect.js';
import { sendFile } from './send-file.js';
import type { SendFileOptions } from './send-file.js';
import type { Proactor } from './proactor.js';
import { AllocatorReader } from './read/allocator.js';
import type { AllocatorOptions } from './read/allocator.js';
import { HybridReader } from './read/hybrid.js';
import type { HybridOptions } from './read/hybrid.js';
import { StreamSource } from './read/stream-source.js';
import { SubmitReader } from './read/submit.js';
import type { SubmitterOptions } from './read/submit.js';
import { pipeTo } from './pipe-to.js';
import type { PipeToOptions } from './pipe-to.js';
import { StreamWriter } from './stream-writer.js';
import type { StreamWriterOptions } from './stream-writer.js';
import { closeWhenCollected } from './unclosed.js';
import type { FileWriter } from './write.js';

/** @internal */
export type { StreamKind } from './channel.js';

/**
 * A connection, pipe or terminal: bytes that come once. Read it in any of the three styles, also in turns. One that is collected
 * without having been closed is closed, with a warning.
 */
export class Stream implements AsyncDisposable {
  readonly #source: StreamSource<Channel>;

  /** @internal Used by `connect`, `accept` and `pipe`, which give it a descriptor that is then its own. */
  constructor(proactor: Proactor, descriptor: number, fd: number, kind: StreamKind) {
    this.#source = new StreamSource(this, new Channel(proactor, descriptor, fd, kind));
    closeWhenCollected(this, this.#source.channel);
  }

  /** @internal */
  protected get proactor(): Proactor {
    return this.#source.channel.proactor;
  }

  /** @internal */
  protected get descriptor(): number {
    return this.#source.channel.descriptor;
  }

  /** The system's number of the stream; -1 once closed. The stream owns it: do not close it. */
  get fd(): number {
    return this.closed ? -1 : this.#source.channel.fd;
  }

  /** Whether it is closed, or being closed. */
  get closed(): boolean {
    return this.#source.channel.closed;
  }

  /** Style 1: the kernel picks the buffer when bytes come, you borrow it. */
  allocator(options?: AllocatorOptions): AllocatorReader {
    return new AllocatorReader(this.#source, options);
  }

  /** Style 2: your buffer goes to the kernel and comes back. */
  submitter(options?: SubmitterOptions): SubmitReader {
    return new SubmitReader(this.#source, options);
  }

  /** Style 3: one call, the buffer decides. */
  hybrid(options?: HybridOptions): HybridReader {
    return new HybridReader(this.#source, options);
  }

  /** Write to the stream. Writes of all its writers follow each other in the order of their calls. */
  writer(options?: StreamWriterOptions): StreamWriter {
    return new StreamWriter(this.#source, options);
  }

  /** No more bytes from us, after the writes that were called; the peer's reads end, ours go on. */
  async shutdown(options?: CancelOptions): Promise<void> {
    await this.#source.channel.shutdown(checkCancelOptions(options));
  }

  /** Send what is in a file, block by block, without JavaScript touching it; how many bytes were sent. */
  sendFile(file: File, options?: SendFileOptions): Promise<number> {
    return sendFile(file, this.writer(), this.#source.channel.proactor.timers, options);
  }

  /**
   * Pass on all that comes, to the end, to another stream (or back, to this one) or to a writer; how many bytes that was. The blocks that
   * were received are sent as they are, and a target that is slow slows the peer down. The target is ended then, too.
   *
   * When it fails, `error.bytesTransferred` says how many bytes were passed on; what was received and not written is what the next read
   * of this stream gets (`error.rest` where it is closed). Neither stream is closed. Refused while it is passed on already.
   * @example
   * await Promise.all([client.pipeTo(server), server.pipeTo(client)]);
   */
  pipeTo(target: Stream | StreamWriter | FileWriter, options?: PipeToOptions): Promise<number> {
    try {
      return pipeTo(this.#source, target instanceof Stream ? target.writer() : target, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Writes that were called finish, reads that wait fail with `ERR_RITSU_CLOSED`. Again gives the same promise. */
  close(): Promise<void> {
    return this.#source.channel.close();
  }

  /** `close`, and the writes are cancelled, too. */
  destroy(): Promise<void> {
    return this.#source.channel.destroy();
  }

  /** Reads and writes in flight keep the process alive (the default). */
  ref(): this {
    this.#source.channel.keepAlive(true);
    return this;
  }

  /** They do not. */
  unref(): this {
    this.#source.channel.keepAlive(false);
    return this;
  }

  /** @internal Used by `handOver`: give the descriptor up, with what came and nobody read. `stays`: it remains with its proactor. */
  async detach({ stays = false } = {}): Promise<{ readonly proactor: Proactor; readonly descriptor: number; readonly rest: Uint8Array }> {
    const { proactor, descriptor } = this.#source.channel;
    return { proactor, descriptor, rest: await this.#source.channel.detach(stays) };
  }

  /** @internal Hand what was begun to the system, instead of at the end of the turn. Used by adapters. */
  flush(): void {
    if (this.#source.channel.proactor.open) this.#source.channel.proactor.backend.flush();
  }

  /** @internal Used by `takeOver`: bytes that come before those of the descriptor. */
  prepend(bytes: Uint8Array): void {
    this.#source.channel.intake.prepend(bytes);
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
show(Stream, ({ fd, closed }) => ({ fd, closed }));
