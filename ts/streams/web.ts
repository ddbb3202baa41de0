/**
 * `toWeb`: readers as byte streams, writers as writable streams, a stream as both. A consumer that brings its own buffer
 * (BYOB) has it filled by the kernel itself where the buffer can be moved.
 */
import { ReadableStream, WritableStream } from 'node:stream/web';
import type { ReadableByteStreamController, ReadableStreamBYOBRequest } from 'node:stream/web';
import { owned } from '../buffer.js';
import { argumentTypeError } from '../errors.js';
import type { AsyncRead } from '../read/read.js';
import type { AsyncWrite } from '../write.js';
import type { AllocatorReader } from '../read/allocator.js';
import type { HybridReader } from '../read/hybrid.js';

/** The two directions of a stream. */
export interface WebPair {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array | string>;
}

/** What has both directions: a connection, a pipe. */
interface Both {
  allocator(): AllocatorReader;
  hybrid(): HybridReader;
  writer(): AsyncWrite;
  shutdown(): Promise<void>;
  destroy(): Promise<void>;
}

/**
 * A reader as a byte stream, a writer as a writable stream, a connection as both.
 * @example
 * return new Response(toWeb(file.allocator()));
 */
export function toWeb(reader: AsyncRead): ReadableStream<Uint8Array>;
export function toWeb(writer: AsyncWrite): WritableStream<Uint8Array | string>;
export function toWeb(stream: Both): WebPair;
export function toWeb(source: AsyncRead | AsyncWrite | Both): ReadableStream<Uint8Array> | WritableStream<Uint8Array | string> | WebPair {
  if (typeof source === 'object' && source !== null) {
    if ('hybrid' in source) return pairOf(source);
    if ('pull' in source) return readableOf(source, undefined, () => source.close());
    if ('writeAll' in source) return writableOf(source, () => source.end());
  }
  throw argumentTypeError('source', 'a reader, a writer or a stream', source);
}

function pairOf(stream: Both): WebPair {
  const reader = stream.allocator();
  const destroy = (): Promise<void> => stream.destroy();
  return { readable: readableOf(reader, stream.hybrid(), destroy), writable: writableOf(stream.writer(), destroy) };
}

function readableOf(reader: AsyncRead, into: HybridReader | undefined, cancel: () => Promise<void>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: 'bytes',
    async pull(controller: ReadableByteStreamController) {
      const request = controller.byobRequest;
      if (request !== null && into !== undefined && isWhole(request)) return fill(controller, request, into);
      const bytes = await reader.pull();
      if (bytes === null) return end(controller);
      // The consumer keeps what it gets, so it gets memory of its own.
      controller.enqueue(new Uint8Array(bytes.data));
      bytes.release();
      if (request !== null && controller.byobRequest !== null) controller.byobRequest.respond(0);
    },
    cancel,
  });
}

/** Only a buffer as a whole can be moved to the kernel and back. */
function isWhole({ view }: ReadableStreamBYOBRequest): boolean {
  return view !== null && view.byteOffset === 0 && view.byteLength === view.buffer.byteLength;
}

async function fill(controller: ReadableByteStreamController, request: ReadableStreamBYOBRequest, reader: HybridReader): Promise<void> {
  const memory = owned(request.view as Uint8Array);
  const bytes = await reader.read(memory);
  const length = bytes?.length ?? 0;
  const back = memory.take();
  if (length === 0) controller.close();
  request.respondWithNewView(new Uint8Array(back.buffer as ArrayBuffer, 0, length));
}

function end(controller: ReadableByteStreamController): void {
  controller.close();
  controller.byobRequest?.respond(0);
}

function writableOf(writer: AsyncWrite, abort: () => Promise<void>): WritableStream<Uint8Array | string> {
  return new WritableStream({
    async write(chunk) {
      await writer.writeAll(chunk);
    },
    close: () => writer.end(),
    abort,
  });
}
