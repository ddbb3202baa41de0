/** Files: cached and O_DIRECT, random and whole, against everything else that reads files in JavaScript, and the limit. */
import * as engines from './engines/catalogue.ts';
import { runWhenMain } from './harness.ts';
import type { Bench, Row } from './harness.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const random = [
  engines.raw,
  engines.allocator,
  engines.allocatorUnfenced,
  engines.submit,
  engines.submitUnfenced,
  engines.hybridPooled,
  engines.hybridOwned,
  engines.fileHandle,
  engines.callback,
  engines.readSync,
  engines.sqpollFileHandle,
  engines.sqpollCallback,
  engines.bun,
  engines.deno,
];
/** Where several are outstanding, they can also be asked for together. */
const deep = [...random.slice(0, 3), engines.allocatorMany, ...random.slice(3)];
const direct = [engines.raw, engines.rawFixed, ...deep.slice(1).filter((engine) => engine !== engines.readSync)];
const whole = [
  engines.raw,
  engines.iterateAllocator,
  engines.iterateSubmit,
  engines.iterateHybrid,
  engines.readStream,
  engines.byobStream,
  engines.fileHandle,
  engines.readSync,
];
const baselines = [engines.fileHandle, engines.raw];

/** The styles that the targets hold for. */
const styles = [engines.allocator, engines.submit, engines.hybridPooled, engines.hybridOwned];

function atLeast(engine: Row['engines'][number], value: number, against = engines.raw): NonNullable<Row['targets']>[number] {
  return { engine, against, measure: 'rate', atLeast: value };
}

function sequential(blockSize: number, name: string): Row {
  return {
    title: `whole file in order, cached, ${name} at a time`,
    mode: 'sequential',
    blockSize,
    // For ritsu and the raw ring: one read and two ahead of it. The others read one at a time.
    depth: 3,
    operations: 0,
    engines: whole,
    baselines: [engines.readStream, engines.byobStream, engines.raw],
    targets: [atLeast(engines.iterateAllocator, 1.5, engines.readStream), atLeast(engines.iterateAllocator, 1, engines.byobStream)],
  };
}

function directRow(depth: number): Row {
  return {
    title: `random 4 KiB, O_DIRECT, depth ${depth}`,
    mode: 'random',
    blockSize: 4 * KIB,
    depth,
    operations: 60_000,
    direct: true,
    engines: direct,
    baselines,
    targets: styles.map((style) => atLeast(style, 0.95)),
  };
}

export const bench: Bench = {
  name: 'file',
  fileSize: 1024 * MIB,
  rows: [
    {
      title: 'random 4 KiB, cached, depth 1',
      mode: 'random',
      blockSize: 4 * KIB,
      depth: 1,
      operations: 300_000,
      engines: random,
      baselines,
      targets: styles.flatMap((style) => [atLeast(style, 4, engines.fileHandle), atLeast(style, 0.55)]),
    },
    {
      title: 'random 4 KiB, cached, depth 32',
      mode: 'random',
      blockSize: 4 * KIB,
      depth: 32,
      operations: 1_200_000,
      engines: deep,
      baselines,
      targets: [
        ...styles.map((style) => atLeast(style, 0.6)),
        atLeast(engines.allocatorMany, 0.6),
        atLeast(engines.allocatorUnfenced, 0.7),
        atLeast(engines.submitUnfenced, 0.7),
        ...styles.map((style) => atLeast(style, 4, engines.fileHandle)),
        ...styles.map((engine) => ({ engine, against: engines.fileHandle, measure: 'cpu' as const, atMost: 0.2 })),
      ],
    },
    {
      title: 'random 64 KiB, cached, depth 32',
      mode: 'random',
      blockSize: 64 * KIB,
      depth: 32,
      operations: 40_000,
      engines: [...deep, engines.allocatorOffloaded],
      baselines,
    },
    {
      title: 'whole files of 1 KiB, cached, 32 at a time',
      mode: 'files',
      blockSize: KIB,
      depth: 32,
      operations: 60_000,
      engines: [engines.wholeFiles, engines.wholePromises, engines.wholeCallback, engines.wholeSync],
      baselines: [engines.wholePromises],
      targets: [atLeast(engines.wholeFiles, 4, engines.wholePromises)],
    },
    sequential(64 * KIB, '64 KiB'),
    sequential(MIB, '1 MiB'),
    directRow(32),
    directRow(128),
  ],
};

await runWhenMain(import.meta.url, bench);
