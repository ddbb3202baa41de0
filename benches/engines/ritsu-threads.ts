/** Connections that go from thread to thread, and servers that share a port. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { alloc, connect, handOver, listen, owned, takeOver } from 'ritsu';
import type { Moved, TcpStream } from 'ritsu';
import type { Meter } from '../meter.ts';
import { inLanes } from './session.ts';
import type { Workload, Workloads } from './session.ts';

const MESSAGE_BYTES = 64;
/** Of 16 KiB, for each request: about a millisecond, or the load would be what is measured. */
const HASHES = 60;

function thread(workerData: object): Worker {
  return new Worker(new URL('thread.ts', import.meta.url), { workerData });
}

/** An operation is two hand-overs: to the other thread, and back. So many connections are under way at a time. */
const bounce: Workload = async ({ depth }) => {
  const taker = thread({ role: 'taker' });
  const listener = await listen({ port: 0, host: '127.0.0.1' });
  const { port } = listener.address();
  const streams: TcpStream[] = [];
  const peers: TcpStream[] = [];
  for (let count = 0; count < depth; count += 1) {
    peers.push(await connect({ port, host: '127.0.0.1' }));
    streams.push(await listener.accept());
  }
  const waiting: ((moved: Moved) => void)[] = [];
  taker.on('message', (moved: Moved) => waiting.shift()!(moved));
  const lane = async (meter: Meter, index: number): Promise<void> => {
    for (let block = meter.next(); block >= 0; block = meter.next()) {
      const started = meter.start();
      taker.postMessage(await handOver(streams[index]!));
      const moved = await new Promise<Moved>((resolve) => waiting.push(resolve));
      streams[index] = await takeOver(moved) as TcpStream;
      meter.finishEmpty(started);
    }
  };
  return {
    pass: (meter) => inLanes(depth, (index) => lane(meter, index)),
    async close() {
      for (const stream of [...streams, ...peers]) await stream.destroy();
      await listener.close();
      await taker.terminate();
    },
  };
};

/** Requests that keep a processor busy, to so many threads on one port. The load is this thread; its time is in the process's. */
function servers(count: number): Workload {
  return async ({ depth }) => {
    const workers: Worker[] = [];
    let port = 0;
    for (let index = 0; index < count; index += 1) {
      const worker = thread({ role: 'server', port, hashes: HASHES });
      [port] = (await once(worker, 'message')) as [number];
      workers.push(worker);
    }
    const streams: TcpStream[] = [];
    for (let index = 0; index < depth; index += 1) streams.push(await connect({ port, host: '127.0.0.1' }));
    const lane = async (meter: Meter, stream: TcpStream, index: number): Promise<void> => {
      const reader = stream.hybrid();
      const sent = Buffer.alloc(MESSAGE_BYTES, index);
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        await stream.writer().writeAll(sent);
        const bytes = await reader.read(owned(alloc(MESSAGE_BYTES)));
        if (!bytes?.data.equals(sent)) throw new Error('the echo differs');
        bytes.release();
        meter.finishEmpty(started);
      }
    };
    return {
      pass: (meter) => inLanes(depth, (index) => lane(meter, streams[index]!, index)),
      async close() {
        for (const stream of streams) await stream.destroy();
        for (const worker of workers) await worker.terminate();
      },
    };
  };
}

export const workloads: Workloads = { bounce, one: servers(1), two: servers(2) };
