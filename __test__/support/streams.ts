/**
 * Live streams for tests: ours on one side, Node's own socket on the other, so that each side is checked by somebody
 * else; and the styles as readers of a stream.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as net from 'node:net';
import { alloc, connect, owned, pooled } from 'ritsu';
import type { Bytes, Proactor, ReadOptions, Stream } from 'ritsu';
import { freshPath } from './files.ts';
import { RoundAllocator } from './styles.ts';

export interface Pair {
  readonly stream: Stream;
  readonly peer: net.Socket;
}

export type Transport = 'tcp' | 'unix';
export const TRANSPORTS: readonly Transport[] = ['tcp', 'unix'];

/** A connection between us and a socket of Node's, which is paused. */
export async function pairOf(proactor: Proactor, transport: Transport = 'tcp'): Promise<Pair> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  const path = freshPath('socket');
  if (transport === 'unix') server.listen(path);
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[net.Socket]>;
  const address = server.address() as net.AddressInfo;
  const target = transport === 'unix' ? { path } : { port: address.port, host: '127.0.0.1' };
  const stream: Stream = await connect({ ...target, proactor });
  const [peer] = await connected;
  server.close();
  peer.on('error', () => {}); // a reset is what some tests are about
  return { stream, peer };
}

/** The path of a new FIFO. */
export function fifo(): string {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

/** Let the peer send it all, and then, unless told otherwise, end. */
export async function sendAll(peer: net.Socket, content: Uint8Array, ends = true): Promise<void> {
  if (!peer.write(content)) await once(peer, 'drain').catch(() => {});
  if (ends) peer.end();
}

/** Everything the peer receives until it is told the end. */
export async function receiveAll(peer: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of peer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export type Next = (options?: ReadOptions) => Promise<Buffer | null>;

function taken(bytes: Bytes | null): Buffer | null {
  if (bytes === null) return null;
  const copy = bytes.copy();
  bytes.release();
  return copy.length === 0 ? null : copy;
}

export interface StreamStyle {
  readonly name: string;
  reader(stream: Stream, proactor: Proactor, size: number): Next;
}

/** Every way to read a stream: each `next` gives a copy, and null at the end. */
export const STREAM_STYLES: readonly StreamStyle[] = [
  {
    name: 'allocator',
    reader(stream) {
      const reader = stream.allocator();
      return async (options) => taken(await reader.read(options));
    },
  },
  {
    name: 'allocator, small',
    reader(stream, _proactor, size) {
      const reader = stream.allocator({ blockSize: size });
      return async (options) => taken(await reader.read(options));
    },
  },
  {
    name: 'allocator, another pool',
    reader(stream, proactor, size) {
      const pool = proactor.createPool({ classes: [{ size: 4096, count: 2 }, { size: 65_536, count: 2 }], hugePages: false });
      const reader = stream.allocator({ blockSize: size, allocator: pool });
      return async (options) => taken(await reader.read(options));
    },
  },
  {
    name: 'allocator, of the program',
    reader(stream, proactor, size) {
      const reader = stream.allocator({ allocator: new RoundAllocator(() => alloc(size, { proactor }), true) });
      return async (options) => taken(await reader.read(options));
    },
  },
  {
    name: 'submit',
    reader(stream, proactor, size) {
      const reader = stream.submitter();
      return async (options) => {
        reader.submit(alloc(size, { proactor }), options);
        return taken(await reader.poll());
      };
    },
  },
  {
    name: 'submit, a part of ordinary memory',
    reader(stream, _proactor, size) {
      const reader = stream.submitter();
      return async (options) => {
        reader.submit(new Uint8Array(size + 2).subarray(1, -1), options);
        return taken(await reader.poll());
      };
    },
  },
  {
    name: 'hybrid, pooled',
    reader(stream, proactor) {
      const reader = stream.hybrid();
      return async (options) => taken(await reader.read(pooled({ pool: proactor.pool }), options));
    },
  },
  {
    name: 'hybrid, owned',
    reader(stream, proactor, size) {
      const reader = stream.hybrid();
      return async (options) => taken(await reader.read(owned(alloc(size, { proactor })), options));
    },
  },
];

export async function readToEnd(next: Next): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let chunk = await next(); chunk !== null; chunk = await next()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
