/** `toDuplex`: a connection, or what makes one, as a socket of Node's. */
import { Stream } from '../stream.js';
import { argumentTypeError, checkOptions } from '../errors.js';
import { ConnectingDuplex } from './connecting-duplex.js';
import type { Connect } from './connecting-duplex.js';
import { StreamDuplex } from './stream-duplex.js';
import type { DuplexOptions } from './stream-duplex.js';

/**
 * A connection as a `Duplex` that Node's modules take for a socket. It is the stream's only reader and writer from then
 * on, and closes it. Of `connect` one that is not connected yet, for programs that want to do that themselves.
 * @example
 * for await (const stream of listener) server.emit('connection', toDuplex(stream));
 * const client = new Client({ stream: () => toDuplex(connect) });
 */
export function toDuplex(stream: Stream, options?: DuplexOptions): StreamDuplex;
export function toDuplex(connect: Connect, options?: DuplexOptions): ConnectingDuplex;
export function toDuplex(source: Stream | Connect, options: DuplexOptions = {}): StreamDuplex {
  checkOptions(options);
  if (typeof source !== 'function' && !(source instanceof Stream)) throw argumentTypeError('stream', 'a stream, or a function that connects', source);
  return typeof source === 'function' ? new ConnectingDuplex(source, options) : new StreamDuplex(source, options);
}
