/**
 * Print the SHA-256 of many files, as sha256sum does. Style 1: several files at once share one pool of buffers, and
 * each chunk goes back to it when the loop goes on.
 *
 *     node examples/hash.ts FILE...
 */
import { createHash } from 'node:crypto';
import { open } from 'ritsu';

const FILES_AT_ONCE = 8;

async function sha256(path: string): Promise<string> {
  const file = await open(path);
  try {
    const hash = createHash('sha256');
    for await (const bytes of file.allocator({ blockSize: 256 * 1024 })) hash.update(bytes.data);
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

/** The line to print for a file, and whether it could be read. */
async function describe(path: string): Promise<{ line: string; ok: boolean }> {
  try {
    return { line: `${await sha256(path)}  ${path}`, ok: true };
  } catch (error) {
    return { line: `${path}: ${(error as Error).message}`, ok: false };
  }
}

async function main(paths: readonly string[]): Promise<void> {
  const results: { line: string; ok: boolean }[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < paths.length) {
      const index = next;
      next += 1;
      results[index] = await describe(paths[index]!);
    }
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
  for (const { line, ok } of results) {
    (ok ? process.stdout : process.stderr).write(`${line}\n`);
    if (!ok) process.exitCode = 1;
  }
}

const paths = process.argv.slice(2);
if (paths.length === 0) {
  process.stderr.write('usage: node examples/hash.ts FILE...\n');
  process.exitCode = 2;
} else await main(paths);
