/** The price of crossing: no-ops in batches, where nothing but the way down and up is paid; and the price of the fence. */
import * as engines from './engines/catalogue.ts';
import { runWhenMain } from './harness.ts';
import type { Bench, Row } from './harness.ts';

const KIB = 1024;

function batch(depth: number): Row {
  return {
    title: `no-ops, ${depth} in a batch`,
    mode: 'nop',
    blockSize: 4 * KIB,
    depth,
    operations: depth < 8 ? 200_000 : 1_000_000,
    engines: [engines.raw, engines.nopBatch, engines.nopLanes, engines.turn],
    baselines: [engines.raw],
  };
}

export const bench: Bench = {
  name: 'boundary',
  fileSize: 256 * KIB * KIB,
  rows: [
    ...[1, 4, 16, 64, 256].map(batch),
    {
      title: 'one hand-over of 4 KiB, no I/O',
      mode: 'nop',
      blockSize: 4 * KIB,
      depth: 32,
      operations: 2_000_000,
      engines: [engines.view, engines.transfer],
      baselines: [engines.view],
    },
    {
      title: 'the fence: random 4 KiB, cached, depth 32',
      mode: 'random',
      blockSize: 4 * KIB,
      depth: 32,
      operations: 1_200_000,
      engines: [
        engines.raw,
        engines.allocator,
        engines.allocatorUnfenced,
        engines.submit,
        engines.submitUnfenced,
        engines.hybridOwned,
        engines.hybridOwnedUnfenced,
      ],
      baselines: [engines.allocatorUnfenced, engines.raw],
    },
  ],
};

await runWhenMain(import.meta.url, bench);
