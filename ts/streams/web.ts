/**
 * `toWeb`: readers as byte streams, writers as writable streams, a stream as both. A consumer that brings its own buffer
 * (BYOB) has it filled by the kernel itself where the buffer can be moved.
 */
import { ReadableStream, WritableStream } from 'node:stream/web';
import type { ReadableByteStreamController, ReadableStreamBYOBRequest } from 'node:stream/web';
import { owned } from '../buffer.js';
import type { CancelOptions } from '../cancel.js';
import { argumentTypeError } from '../errors.js';
import { Stream } from '../stream.js';
import { isReader, isWriter } from './flow.js';
import type { AsyncRead } from '../read/read.js';
import type { AsyncWrite } from '../write.js';
import type { AllocatorReader } from '../read/allocator.js';
import type { HybridReader } from '../read/hybrid.js';

/** The two directions of a stream. */
export interface WebPair {
  /** The bytes that come: a byte stream, whose reader may bring its own memory (BYOB). */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The bytes that go. */
  readonly writable: WritableStream<Uint8Array | string>;
}

/** What is read and written: a `Stream`, and what has its readers and writers. */
export interface TwoWay {
  /** As of a `Stream`, here and below. */
  allocator(): AllocatorReader;
  /** Reads into what the web stream's reader brings. */
  hybrid(): HybridReader;
  /** Writes what comes. */
  writer(): AsyncWrite;
  /** Nothing more comes. */
  shutdown(): Promise<void>;
  /** Both directions have ended. */
  close(): Promise<void>;
  /** One was aborted or cancelled. */
  destroy(): Promise<void>;
}

/** What a direction does to the connection when it ends, and when it is given up. */
interface Owner {
  /** Why it was given up: both directions have it. */
  fault?: unknown;
  ended(): Promise<void> | void;
  destroy(): Promise<void>;
}

/**
 * A reader as a byte stream, a writer as a writable stream, a connection as both. Those of a connection close it when both
 * have ended, or one was cancelled or aborted; of a reader or a writer alone, the resource stays open.
 * @example
 * return new Response(toWeb(file.allocator()));
 */
export function toWeb(reader: AsyncRead): ReadableStream<Uint8Array<ArrayBuffer>>;
export function toWeb(writer: AsyncWrite): WritableStream<Uint8Array | string>;
export function toWeb(stream: TwoWay): WebPair;
export function toWeb(source: AsyncRead | AsyncWrite | TwoWay): ReadableStream<Uint8Array<ArrayBuffer>> | WritableStream<Uint8Array | string> | WebPair {
  if (source instanceof Stream) return pairOf(source);
  if (isReader(source)) return readableOf(source);
  if (isWriter(source)) return writableOf(source);
  throw argumentTypeError('source', 'a reader, a writer or a stream', source);
}

/** The two own the connection together: it is closed when both have ended, or one was given up. */
function pairOf(stream: TwoWay): WebPair {
  let open = 2;
  const owner: Owner = {
    ended: () => ((open -= 1) === 0 ? stream.close() : undefined),
    destroy: () => stream.destroy(),
  };
  return { readable: readableOf(stream.allocator(), owner, stream.hybrid()), writable: writableOf(stream.writer(), owner) };
}

function readableOf(reader: AsyncRead, owner?: Owner, into?: HybridReader): ReadableStream<Uint8Array<ArrayBuffer>> {
  // Where what is read goes on without this stream, a read that waits must not take what comes later.
  const unwanted = owner === undefined ? new AbortController() : undefined;
  const limits = unwanted && { signal: unwanted.signal };
  return new ReadableStream({
    type: 'bytes',
    pull: (controller: ReadableByteStreamController) =>
      orGiveUp(owner, async () => {
        const request = controller.byobRequest;
        const came = into !== undefined && isWhole(request) ? await fill(controller, request, into) : await take(controller, reader, limits);
        if (!came) await owner?.ended();
      }),
    cancel() {
      if (owner !== undefined) return owner.destroy();
      unwanted!.abort();
      return reader.close();
    },
  });
}

/** A stream that has failed asks for nothing any more, nor is it cancelled: so the connection ends here. */
async function orGiveUp(owner: Owner | undefined, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (owner === undefined) throw error;
    owner.fault ??= error;
    await owner.destroy().catch(() => {});
    throw owner.fault;
  }
}

/** Whether anything came. */
async function take(controller: ReadableByteStreamController, reader: AsyncRead, limits: CancelOptions | undefined): Promise<boolean> {
  const bytes = await reader.pull(limits);
  if (bytes === null) {
    controller.close();
    controller.byobRequest?.respond(0);
    return false;
  }
  // The consumer keeps what it gets, so it gets memory of its own.
  const chunk = new Uint8Array(bytes.data);
  bytes.release();
  controller.enqueue(chunk); // also when it waits with a buffer; throws when it has cancelled meanwhile
  return true;
}

/** Only a buffer as a whole can be moved to the kernel and back. */
function isWhole(request: ReadableStreamBYOBRequest | null): request is ReadableStreamBYOBRequest {
  const view = request?.view;
  return view !== null && view !== undefined && view.byteOffset === 0 && view.byteLength === view.buffer.byteLength;
}

async function fill(controller: ReadableByteStreamController, request: ReadableStreamBYOBRequest, reader: HybridReader): Promise<boolean> {
  const memory = owned(request.view as Uint8Array);
  const bytes = await reader.read(memory);
  const length = bytes?.length ?? 0;
  const back = memory.take();
  if (length === 0) controller.close();
  request.respondWithNewView(new Uint8Array(back.buffer as ArrayBuffer, 0, length));
  return length > 0;
}

function writableOf(writer: AsyncWrite, owner?: Owner): WritableStream<Uint8Array | string> {
  return new WritableStream({
    start({ signal }) {
      // `abort` below is called when the write in flight has ended, and a peer that does not read would never let it.
      if (owner !== undefined) signal.addEventListener('abort', () => void owner.destroy().catch(() => {}), { once: true });
    },
    write: (chunk, { signal }) =>
      orGiveUp(owner, async () => {
        await writer.writeAll(chunk, owner === undefined ? { signal } : undefined);
      }),
    close: () =>
      orGiveUp(owner, async () => {
        await writer.end();
        await owner?.ended();
      }),
    async abort() {
      await owner?.destroy(); // a writer alone is not ended by it: what it wrote is not all there was to be
    },
  });
}
