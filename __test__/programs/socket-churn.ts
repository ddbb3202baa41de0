/**
 * Connections that come, talk and die at random points, on both sides: `socket-churn <backend> <seconds> <seed>`. Reports
 * what is open and how much memory is resident, several times, and every error that nobody expects.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { Proactor, alloc, connect, listen, pooled } from 'ritsu';
import type { BackendName, TcpStream, UnixStream } from 'ritsu';
import { Random } from '../support/random.ts';
import { report } from './report.ts';

const [backend = '', seconds = '', seed = '', path = ''] = process.argv.slice(2);
const proactor = new Proactor({ backend: backend as BackendName });
const random = new Random(Number(seed));
const data = Buffer.alloc(100_000, 'churn');
const AT_ONCE = 32;

/** How a connection, or a part of one, may end when the other side dies. */
const EXPECTED = new Set(['ECONNRESET', 'EPIPE', 'ERR_RITSU_CLOSED', 'ABORT_ERR', 'ERR_RITSU_TIMEOUT', 'ENOTCONN']);
const unexpected: string[] = [];
let connections = 0;

function check(error: unknown): undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!EXPECTED.has(code!) && unexpected.length < 5) unexpected.push(`${code}: ${message}`);
}

type AnyStream = TcpStream | UnixStream;

async function read(stream: AnyStream): Promise<unknown> {
  const options = { timeout: 1 + random.below(20) }; // both sides may wait for each other
  switch (random.below(3)) {
    case 0:
      return (await stream.allocator().read(options))?.release();
    case 1: {
      const reader = stream.submitter();
      reader.submit(alloc(1 + random.below(20_000), { proactor }), options);
      return await reader.poll();
    }
    default:
      return (await stream.hybrid().read(pooled({ pool: proactor.pool }), options))?.release();
  }
}

async function talk(stream: AnyStream): Promise<void> {
  for (let turns = random.below(6); turns > 0; turns -= 1) {
    if (random.chance(0.5)) await read(stream);
    else await stream.writer().writeAll(data.subarray(0, 1 + random.below(data.length)), { timeout: 50 });
  }
}

async function die(stream: AnyStream): Promise<unknown> {
  switch (random.below(5)) {
    case 0:
      return stream.destroy();
    case 1:
      await stream.shutdown();
      return stream.close();
    case 2:
      return 'reset' in stream ? stream.reset() : stream.destroy();
    case 3: {
      const reading = read(stream).catch(check);
      await stream.close();
      return reading;
    }
    default:
      return stream.close();
  }
}

async function live(stream: AnyStream): Promise<void> {
  connections += 1;
  // Some die in the middle of it. (Both sides may write and neither read, and Node takes no write back.)
  const killer = setTimeout(() => void stream.destroy().catch(check), 1 + random.below(200));
  await talk(stream).catch(check);
  clearTimeout(killer);
  await die(stream).catch(check);
  await stream.destroy();
}

async function resources(): Promise<Record<string, number>> {
  for (let count = 0; count < 3; count += 1) {
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { descriptorsOpen, inFlight, blocksBusy, stale, faults, leakedBytes } = proactor.stats();
  const residentBytes = Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  const descriptors = readdirSync('/proc/self/fd').length;
  const heapBytes = process.memoryUsage().heapUsed;
  return { descriptorsOpen, inFlight, blocksBusy, stale, faults, leakedBytes, residentBytes, heapBytes, descriptors };
}

/** One round: listeners are made, connections churn, all ends; then nothing may be left. */
async function round(milliseconds: number): Promise<void> {
  const listeners = [await listen({ port: 0, host: '127.0.0.1', proactor }), await listen({ path, proactor })] as const;
  const inside: Promise<void>[] = [];
  const serving = listeners.map(async (listener) => {
    for await (const stream of listener) {
      const living: Promise<void> = live(stream).finally(() => inside.splice(inside.indexOf(living), 1));
      inside.push(living);
    }
  });
  const until = performance.now() + milliseconds;
  const visitor = async (): Promise<void> => {
    while (performance.now() < until) {
      const options = { ...(random.chance(0.2) ? { timeout: 1 + random.below(3) } : {}), proactor };
      const { port } = listeners[0].address();
      const connecting: Promise<AnyStream> = random.chance(0.7) ? connect(port, '127.0.0.1', options) : connect(path, options);
      const stream = await connecting.catch(check);
      if (stream !== undefined) await live(stream);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, visitor));
  await Promise.all(listeners.map((listener) => listener.close()));
  await Promise.all([...serving, ...inside]);
}

const ROUNDS = 5;
for (let count = 0; count < ROUNDS; count += 1) {
  await round((Number(seconds) * 1000) / ROUNDS);
  report({ ['round' + count]: await resources(), connections, unexpected });
}
await proactor.close();
report({ ended: true });
