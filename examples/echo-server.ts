/**
 * A TCP server that sends back what it gets, in the style that is asked for. `echo` is what differs; connections, their
 * errors and the end of the server are the same in each.
 *
 *     node examples/echo-server.ts PORT [allocator|submit|hybrid]
 */
import { alloc, listen, pooled } from 'ritsu';
import type { TcpStream } from 'ritsu';

const BUFFER_BYTES = 64 * 1024;

const ECHOES: Readonly<Record<string, (stream: TcpStream) => Promise<void>>> = {
  /** The kernel picks a block when bytes come; the same block is sent. An idle connection holds no memory. */
  async allocator(stream) {
    const writer = stream.writer();
    for await (const bytes of stream.allocator()) await writer.writeAll(bytes);
  },

  /** A buffer of ours goes to the kernel, comes back filled, goes out with the write, and is submitted again. */
  async submit(stream) {
    const writer = stream.writer();
    const reader = stream.submitter();
    for (let buffer = alloc(BUFFER_BYTES); ; ) {
      reader.submit(buffer);
      const filled = await reader.poll();
      if (filled.length === 0) return; // the peer has ended its side
      buffer = (await writer.writeAll(filled)).buffers[0]!;
    }
  },

  /** One call, and the buffer decides: here it takes blocks of the pool. */
  async hybrid(stream) {
    const writer = stream.writer();
    const reader = stream.hybrid();
    const into = pooled();
    for (let bytes = await reader.read(into); bytes !== null; bytes = await reader.read(into)) await writer.writeAll(bytes);
  },
};

async function main(port: string, echo: (stream: TcpStream) => Promise<void>): Promise<void> {
  const listener = await listen({ port, host: '127.0.0.1' });
  const streams = new Set<TcpStream>();

  async function serve(stream: TcpStream): Promise<void> {
    streams.add(stream);
    try {
      await echo(stream);
    } catch (error) {
      // A peer that is gone, or our own close(): that ends this connection, and no other.
      if (!stream.closed) process.stderr.write(`${(error as Error).message}\n`);
    } finally {
      streams.delete(stream);
      await stream.close();
    }
  }

  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void listener.close());
  process.stdout.write(`listening on port ${listener.address().port}\n`);
  for await (const stream of listener) void serve(stream);
  await Promise.all(Array.from(streams, (stream) => stream.close()));
}

const [port, style = 'allocator'] = process.argv.slice(2);
const echo = ECHOES[style];
if (port === undefined || echo === undefined) {
  process.stderr.write('usage: node examples/echo-server.ts PORT [allocator|submit|hybrid]\n');
  process.exitCode = 2;
} else {
  await main(port, echo).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
