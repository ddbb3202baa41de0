/** ritsu's three styles on sockets, as its users write them: the servers of `docs/streams.md`, and bulk transfers. */
import { Proactor, alloc, listen, pooled } from '../../index.js';
import type { Stream, Writable } from '../../index.js';
import { toDuplex } from '../../streams/index.js';
import { httpServer } from './node-servers.js';
import { PATTERN_BYTES, PIECE_BYTES, fillPattern, piece } from './pattern.js';
import { BACKLOG, READ_BYTES, reportFault } from './server.js';
import type { Serve } from './server.js';
import { Frame, Receiver, decodeTransfer } from './transfer.js';

type Talk = (stream: Stream) => Promise<void>;

/** The caller's buffer that an echo of the submit style goes through. */
const ECHO_BYTES = 16_384;
/** Buffers that the submit style has outstanding in a bulk transfer. */
const SUBMITTED = 3;

function blocksHeld(): number {
  const { blocksBusy, pool } = Proactor.current().stats();
  return blocksBusy + pool.reduce((sum, { leased }) => sum + leased, 0);
}

/** Take connections and leave each to `talk`, which ends when its peer does, and closes its side. */
function serving(talk: Talk): Serve {
  return async (name) => {
    const tcp = name === undefined ? await listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG, noDelay: true }) : undefined;
    const listener = tcp ?? (await listen({ path: `\0${name}`, backlog: BACKLOG }));
    const accepting = async (): Promise<void> => {
      for await (const stream of listener) void talk(stream);
    };
    accepting().catch(reportFault);
    return { address: tcp === undefined ? `unix:${name}` : `tcp:${tcp.address().port}`, blocksHeld };
  };
}

function leave(stream: Stream, error: Error): void {
  reportFault(error);
  stream.destroy().catch(reportFault);
}

/** A talk that closes nothing. Not for the echoes: a second `async` function for each connection would wait along. */
function closing(talk: Talk): Talk {
  return async (stream) => {
    try {
      await talk(stream);
      await stream.close();
    } catch (error) {
      leave(stream, error as Error);
    }
  };
}

async function echoAllocator(stream: Stream): Promise<void> {
  try {
    const writer = stream.writer();
    const reader = stream.allocator();
    for (let bytes = await reader.read(); bytes !== null; bytes = await reader.read()) await writer.writeAll(bytes);
    await stream.close();
  } catch (error) {
    leave(stream, error as Error);
  }
}

async function echoSubmit(stream: Stream): Promise<void> {
  try {
    const writer = stream.writer();
    const reader = stream.submitter();
    let buffer = alloc(ECHO_BYTES);
    for (;;) {
      reader.submit(buffer);
      const filled = await reader.poll();
      if (filled.length === 0) return await stream.close();
      const { buffers } = await writer.writeAll(filled);
      buffer = buffers[0]!;
    }
  } catch (error) {
    leave(stream, error as Error);
  }
}

async function echoHybrid(stream: Stream): Promise<void> {
  try {
    const writer = stream.writer();
    const reader = stream.hybrid();
    const into = pooled();
    for (let bytes = await reader.read(into); bytes !== null; bytes = await reader.read(into)) await writer.writeAll(bytes);
    await stream.close();
  } catch (error) {
    leave(stream, error as Error);
  }
}

async function echoPiped(stream: Stream): Promise<void> {
  try {
    await stream.pipeTo(stream);
    await stream.close();
  } catch (error) {
    leave(stream, error as Error);
  }
}

/** Feed a receiver and send its answers. */
function receiving(stream: Stream): (data: Uint8Array) => Promise<void> | undefined {
  const receiver = new Receiver();
  const writer = stream.writer();
  return (data) => {
    const answer = receiver.take(data);
    return answer === undefined ? undefined : writer.writeAll(answer).then(() => {});
  };
}

async function receiveAllocator(stream: Stream): Promise<void> {
  const take = receiving(stream);
  for await (const bytes of stream.allocator({ blockSize: READ_BYTES })) await take(bytes.data);
}

async function receiveSubmit(stream: Stream): Promise<void> {
  const take = receiving(stream);
  const reader = stream.submitter();
  for (let count = 0; count < SUBMITTED; count += 1) reader.submit(alloc(READ_BYTES));
  for (;;) {
    const filled = await reader.poll();
    if (filled.length === 0) return;
    await take(filled.data);
    reader.submit(filled.take());
  }
}

async function receiveHybrid(stream: Stream): Promise<void> {
  const take = receiving(stream);
  for await (const bytes of stream.hybrid({ into: pooled({ size: READ_BYTES }) })) await take(bytes.data);
}

/** Answer each header by the bytes that it asks for; `write` sends those from one position to another. */
function sending(prepare: (stream: Stream) => (position: number, length: number) => Promise<void>): Talk {
  return async (stream) => {
    const write = prepare(stream);
    const frame = new Frame();
    for await (const asked of stream.allocator()) {
      frame.take(asked.data, 0);
      const header = frame.complete();
      if (header === undefined) continue;
      const { bytes } = decodeTransfer(header);
      for (let position = 0; position < bytes; position += PIECE_BYTES) await write(position, Math.min(PIECE_BYTES, bytes - position));
    }
  };
}

/** Memory of `alloc` that moves into each write and comes back. */
function moving(zeroCopy: boolean): Talk {
  return sending((stream) => {
    const writer = stream.writer({ zeroCopy });
    let memory: Buffer = alloc(PATTERN_BYTES + PIECE_BYTES);
    fillPattern(memory);
    return async (position, length) => {
      const start = position % PATTERN_BYTES;
      const { buffers } = await writer.writeAll(memory.subarray(start, start + length));
      memory = buffers[0]!;
    };
  });
}

/** Ordinary buffers, which are copied at the call. */
const copying = sending((stream) => {
  const writer = stream.writer();
  return async (position, length) => {
    const data: Writable = piece(position, length);
    await writer.writeAll(data);
  };
});

const http: Serve = async (name) => {
  const server = httpServer();
  const ended = (stream: Stream): Promise<void> =>
    new Promise((resolve) => {
      server.emit('connection', toDuplex(stream).on('error', reportFault).once('close', resolve));
    });
  return serving(ended)(name);
};

/** By engine and role. */
export const ritsuServers: Readonly<Record<string, Serve>> = {
  'allocator echo': serving(echoAllocator),
  'submit echo': serving(echoSubmit),
  'hybrid echo': serving(echoHybrid),
  'piped echo': serving(echoPiped),
  'allocator receive': serving(closing(receiveAllocator)),
  'submit receive': serving(closing(receiveSubmit)),
  'hybrid receive': serving(closing(receiveHybrid)),
  'moved send': serving(closing(moving(false))),
  'zero-copy send': serving(closing(moving(true))),
  'copied send': serving(closing(copying)),
  'duplex http': http,
};
