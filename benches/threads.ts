/**
 * Between threads, on two cores: no-ops on another thread's proactor against one's own and against messages, connections
 * that move, and one thread against two where requests keep the processor busy.
 *
 * The load of the last row is a thread of the same process, so two cores do its work, too: a request costs it nearly 90 us
 * and a server a millisecond. The column of CPU has both. What the load takes is missing to the two servers, not to the one.
 */
import * as engines from './engines/catalogue.ts';
import { runWhenMain } from './harness.ts';
import type { Bench, Row } from './harness.ts';

function batch(depth: number): Row {
  return {
    title: depth === 1 ? 'no-ops, one at a time' : `no-ops, ${depth} in a batch`,
    mode: 'nop',
    blockSize: 4096,
    depth,
    operations: depth < 8 ? 50_000 : 1_000_000,
    engines: [engines.nopBatch, engines.nopRemote, engines.messages],
    baselines: [engines.nopBatch, engines.messages],
    targets: depth < 8 ? [] : [{ engine: engines.nopRemote, against: engines.nopBatch, measure: 'rate', atLeast: 0.33 }],
  };
}

export const bench: Bench = {
  name: 'threads',
  rows: [
    batch(1),
    batch(64),
    {
      title: 'connections handed over and back, 16 at a time; an op is two hand-overs',
      mode: 'nop',
      blockSize: 4096,
      depth: 16,
      operations: 20_000,
      engines: [engines.handOver, engines.messages],
      baselines: [engines.messages],
    },
    {
      title: 'echo that keeps the processor busy, 16 connections, one port',
      mode: 'nop',
      blockSize: 4096,
      depth: 16,
      operations: 3000,
      engines: [engines.oneServer, engines.twoServers],
      baselines: [engines.oneServer],
      targets: [{ engine: engines.twoServers, against: engines.oneServer, measure: 'rate', atLeast: 1.6 }],
    },
  ],
};

await runWhenMain(import.meta.url, bench);
