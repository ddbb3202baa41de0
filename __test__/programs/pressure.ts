/** What happens at the limits: `pressure <scenario> <count> <path> <blocks>`; reports what came of it. */
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Proactor, open, sleep } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { internals } from '../support/internals.ts';
import { Random } from '../support/random.ts';
import { ensure, report, sleepSync } from './report.ts';

const [scenario = '', count = '', path = '', blocks = ''] = process.argv.slice(2);
const total = Number(count);

async function finish(proactor: Proactor, fields: Readonly<Record<string, unknown>>): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  report({ ...fields, counters: proactor.stats() });
  await proactor.close();
}

/** Each with a result of its own, so that none can be taken for another. */
async function nops(proactor: Proactor, length: number): Promise<number> {
  const results = await Promise.all(Array.from({ length }, (_, index) => proactor.nop(index)));
  ensure(results.every((result, index) => result === index), 'a no-op got the result of another');
  return results.length;
}

/** Many more operations than slots, and many more slots than entries. */
async function narrow(): Promise<void> {
  const proactor = new Proactor({ backend: 'uring', entries: 8, inFlightMax: 16 });
  await finish(proactor, { settled: await nops(proactor, total) });
}

/** Completions far beyond the queue's 8 entries, while JavaScript looks away. */
async function overflow(): Promise<void> {
  const proactor = new Proactor({ backend: 'uring', entries: 8, completionEntries: 8, inFlightMax: 16_384 });
  const sleeps = Array.from({ length: 1000 }, () => sleep(20, { proactor }));
  const settled = nops(proactor, total - sleeps.length);
  internals(proactor).backend.flush();
  sleepSync(200);
  await Promise.all(sleeps);
  await finish(proactor, { settled: (await settled) + sleeps.length });
}

/** An echo over a socket, again and again until told to stop; how often. */
async function echo(running: () => boolean): Promise<number> {
  const server = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').setNoDelay();
  let rounds = 0;
  for (; running(); rounds += 1) {
    socket.write('ping');
    await new Promise((resolve) => socket.once('data', resolve));
  }
  socket.destroy();
  server.close();
  return rounds;
}

/** Cached reads, each begun by the one before: there is always another completion to take. */
async function chain(): Promise<void> {
  const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: BLOCK, count: 64 }] } });
  const file = await open(path, { proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  const random = new Random(1);
  let left = total;
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const position = random.below(Number(blocks)) * BLOCK;
      const bytes = (await reader.read({ position }))!;
      ensure(isBlockAt(bytes.data, position), `wrong bytes at ${position}`);
      bytes.release();
    }
  };
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 2);
  const echoing = echo(() => left > 0);
  const started = performance.now();
  await Promise.all(Array.from({ length: 32 }, lane));
  const milliseconds = performance.now() - started;
  clearInterval(timer);
  delays.disable();
  await file.close();
  await finish(proactor, { ticks, echoes: await echoing, milliseconds, longestDelayMs: delays.max / 1e6 });
}

/** Completions that come one by one while the loop is about to sleep, and no timer to wake it but they. */
async function wakes(): Promise<void> {
  const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: BLOCK, count: 64 }] } });
  const file = await open(path, { direct: true, proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  const random = new Random(1);
  let left = total;
  const step = async (): Promise<void> => {
    if (random.chance(0.7)) return sleep(random.below(300) / 1000, { proactor });
    (await reader.read({ position: random.below(Number(blocks)) * BLOCK }))!.release();
  };
  const lane = async (): Promise<void> => {
    for (; left > 0; left -= 1) {
      if (left % Math.ceil(total / 20) === 0) report({ left });
      await step();
    }
  };
  // With one operation at a time there is no other completion that could wake the loop instead.
  await lane();
  await file.close();
  await finish(proactor, { settled: total });
}

await { narrow, overflow, chain, wakes }[scenario]!();
