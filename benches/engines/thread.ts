/**
 * The other threads of the engines in `ritsu-nop.ts` and `ritsu-threads.ts`. What one does is its `workerData`: `owner`
 * gives a port to its proactor, `taker` takes connections over and hands them back, `server` echoes on a port after
 * keeping the processor busy.
 */
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor, handOver, listen, takeOver } from 'ritsu';
import type { Moved, TcpStream } from 'ritsu';

const { role, port = 0, hashes = 0 } = workerData as { role: 'owner' | 'taker' | 'server'; port?: number; hashes?: number };
const content = Buffer.alloc(16_384, 'busy');

function share(): void {
  const shared = Proactor.current().share();
  parentPort!.postMessage(shared, [shared]);
}

async function bounce(moved: Moved): Promise<void> {
  parentPort!.postMessage(await handOver(await takeOver(moved)));
}

async function echo(stream: TcpStream): Promise<void> {
  const writer = stream.writer();
  for await (const bytes of stream.allocator()) {
    for (let count = 0; count < hashes; count += 1) createHash('sha256').update(content).digest();
    await writer.writeAll(bytes.copy());
  }
  await stream.close();
}

async function server(): Promise<void> {
  const listener = await listen({ port, host: '127.0.0.1', reusePort: true });
  parentPort!.postMessage(listener.address().port);
  for await (const stream of listener) void echo(stream);
}

if (role === 'owner') share();
else if (role === 'server') await server();
else parentPort!.on('message', (moved: Moved) => void bounce(moved));
