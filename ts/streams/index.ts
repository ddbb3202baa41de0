/**
 * ritsu/streams: readers, writers and streams as what Node's modules and the web know.
 * @module ritsu/streams
 */
export { toDuplex } from './duplex.js';
export type { Connect, ConnectingDuplex } from './connecting-duplex.js';
export type { DuplexOptions, StreamDuplex } from './stream-duplex.js';
export { toReadable, toWritable } from './halves.js';
export type { HalfOptions } from './halves.js';
export { toWeb } from './web.js';
export type { TwoWay, WebPair } from './web.js';
