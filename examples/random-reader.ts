/**
 * Read a file's blocks at random, many at a time, for a second or so, and say how fast. Style 3: each of the readers
 * has one buffer of its own, which the hybrid read takes and gives back. With --direct the page cache is bypassed.
 *
 *     node examples/random-reader.ts FILE [--block 4096] [--depth 32] [--seconds 1] [--direct]
 */
import { parseArgs } from 'node:util';
import { Proactor, alloc, open, owned } from 'ritsu';
import type { File } from 'ritsu';

interface Plan {
  readonly blockSize: number;
  readonly depth: number;
  readonly milliseconds: number;
}

/** One after the other, into the same buffer, until the time is up. How many. */
async function readUntil(deadline: number, file: File, blocks: number, blockSize: number): Promise<number> {
  const reader = file.hybrid();
  const into = owned(alloc(blockSize));
  let reads = 0;
  while (performance.now() < deadline) {
    const position = Math.floor(Math.random() * blocks) * blockSize;
    const bytes = await reader.read(into, { position });
    if (bytes?.length !== blockSize) throw new Error(`${bytes?.length ?? 0} bytes at ${position}: the file has become shorter`);
    reads += 1;
  }
  return reads;
}

async function measure(file: File, { blockSize, depth, milliseconds }: Plan): Promise<string> {
  const blocks = Math.floor((await file.stat()).size / blockSize);
  if (blocks === 0) throw new Error(`the file is smaller than one block of ${blockSize} bytes`);
  const begun = performance.now();
  const readers = Array.from({ length: depth }, () => readUntil(begun + milliseconds, file, blocks, blockSize));
  const reads = (await Promise.all(readers)).reduce((sum, count) => sum + count, 0);
  const seconds = (performance.now() - begun) / 1000;
  const { backend, enters } = Proactor.current().stats();
  const rate = Math.round(reads / seconds);
  const calls = backend === 'uring' ? `, ${(reads / enters).toFixed(1)} of them by one system call` : '';
  return `${backend}: ${reads} reads, ${rate} a second${calls}`;
}

const { values, positionals } = parseArgs({
  options: {
    block: { type: 'string', default: '4096' },
    depth: { type: 'string', default: '32' },
    seconds: { type: 'string', default: '1' },
    direct: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const [path] = positionals;
if (path === undefined) {
  process.stderr.write('usage: node examples/random-reader.ts FILE [--block 4096] [--depth 32] [--seconds 1] [--direct]\n');
  process.exitCode = 2;
} else {
  const file = await open(path, { direct: values.direct });
  try {
    const plan = { blockSize: Number(values.block), depth: Number(values.depth), milliseconds: Number(values.seconds) * 1000 };
    process.stdout.write(`${await measure(file, plan)}\n`);
  } finally {
    await file.close();
  }
}
