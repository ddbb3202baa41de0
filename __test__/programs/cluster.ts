/**
 * Two processes of `node:cluster` that serve one port, each with a proactor of its own, and a client in the primary, with
 * its own: `cluster`. One of them is killed half-way. Reports who answered, before and after.
 */
import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { alloc, connect, listen, owned } from 'ritsu';
import type { TcpStream } from 'ritsu';
import { report } from './report.ts';

const WORKERS = 2;
const ASKED = 60;

async function answer(stream: TcpStream): Promise<void> {
  await stream.writer().writeAll(`${process.pid}`.padEnd(16));
  await stream.shutdown();
  await stream.close();
}

async function work(): Promise<void> {
  const listener = await listen({ port: Number(process.env['PORT']), host: '127.0.0.1', reusePort: true });
  process.send!('listening');
  for await (const stream of listener) void answer(stream).catch(() => {}); // the primary ends
}

/** Who answered, and how many gave no answer. */
async function ask(port: number): Promise<{ pids: number[]; failed: number }> {
  const pids = new Set<number>();
  let failed = 0;
  for (let count = 0; count < ASKED; count += 1) {
    try {
      const stream = await connect({ port, host: '127.0.0.1' });
      const bytes = await stream.hybrid().read(owned(alloc(16)));
      if (bytes === null || bytes.length === 0) failed += 1;
      else pids.add(Number(bytes.data.toString('latin1')));
      await stream.close();
    } catch {
      failed += 1;
    }
  }
  return { pids: [...pids], failed };
}

async function lead(): Promise<void> {
  const reserved = await listen({ port: 0, host: '127.0.0.1', reusePort: true });
  const { port } = reserved.address();
  const workers = Array.from({ length: WORKERS }, () => cluster.fork({ PORT: `${port}` }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  await reserved.close();
  report({ before: await ask(port), workers: workers.map((worker) => worker.process.pid) });
  const [first, second] = workers;
  first!.process.kill('SIGKILL');
  await once(first!, 'exit');
  // The kernel ends a killed process's ring a little later than the process, and with it what it listens on.
  let after = await ask(port);
  for (let attempt = 0; attempt < 20 && after.failed > 0; attempt += 1) after = await setTimeout(50).then(() => ask(port));
  report({ after, left: second!.process.pid });
  second!.process.kill('SIGKILL');
  await once(second!, 'exit');
}

await (cluster.isPrimary ? lead() : work());
