/**
 * An echo server for other processes: `socket-echo <style> <port> <connections>`. Ends when as many connections have come
 * and gone, and reports what it asked of the system.
 */
import { Proactor, alloc, listen, pooled } from 'ritsu';
import type { Bytes, TcpStream } from 'ritsu';
import { report } from './report.ts';

const [style = '', port = '', connections = ''] = process.argv.slice(2);
const proactor = new Proactor();

const NEXT: Readonly<Record<string, (stream: TcpStream) => () => Promise<Bytes | null>>> = {
  allocator: (stream) => {
    const reader = stream.allocator();
    return () => reader.read();
  },
  submit: (stream) => {
    const reader = stream.submitter();
    return () => {
      reader.submit(alloc(4096, { proactor }));
      return reader.poll();
    };
  },
  hybrid: (stream) => {
    const reader = stream.hybrid();
    const into = pooled({ pool: proactor.pool });
    return () => reader.read(into);
  },
};

async function echo(stream: TcpStream): Promise<void> {
  const writer = stream.writer();
  const next = NEXT[style]!(stream);
  for (let bytes = await next(); bytes !== null && bytes.length > 0; bytes = await next()) {
    messages += 1;
    await writer.writeAll(bytes);
  }
  await stream.close();
}

let messages = 0;
const listener = await listen({ port, host: '127.0.0.1', proactor });
const serving: Promise<void>[] = [];
for await (const stream of listener) {
  serving.push(echo(stream));
  if (serving.length === Number(connections)) break;
}
await Promise.all(serving);
const during = proactor.stats().blocksProvided;
await listener.close();
const { submitted, enters, inFlight, descriptorsOpen, blocksBusy, backend } = proactor.stats();
report({ backend, messages, submitted, enters, inFlight, descriptorsOpen, blocksBusy, provided: during });
await proactor.close();
