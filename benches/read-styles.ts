/** The three styles against one another: time, CPU, heap, collections and copies. */
import * as engines from './engines/catalogue.ts';
import { runWhenMain } from './harness.ts';
import type { Bench, Row } from './harness.ts';

const KIB = 1024;

function styles(blockSize: number, depth: number, operations: number): Row {
  return {
    title: `random ${blockSize / KIB} KiB, cached, depth ${depth}`,
    mode: 'random',
    blockSize,
    depth,
    operations,
    observeMemory: true,
    engines: [engines.allocator, engines.submit, engines.hybridPooled, engines.hybridOwned, engines.fileHandle, engines.callback],
    baselines: [engines.allocator, engines.fileHandle],
  };
}

export const bench: Bench = {
  name: 'read-styles',
  fileSize: 256 * KIB * KIB,
  rows: [styles(4 * KIB, 1, 150_000), styles(4 * KIB, 32, 300_000), styles(64 * KIB, 32, 40_000)],
};

await runWhenMain(import.meta.url, bench);
