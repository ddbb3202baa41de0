/**
 * Write files to standard output, one after the other, as cat does; `-` is standard input. Style 1: the block that a
 * read got is the block that is written, so no byte is copied on the way.
 *
 *     node examples/cat.ts FILE|-...
 */
import { open, pipe } from 'ritsu';
import type { AsyncWrite, File, Stream } from 'ritsu';

/** Nobody reads what we write any more, as in `cat FILE | head`. */
const isUnread = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EPIPE';

async function copy(input: File | Stream, output: AsyncWrite): Promise<void> {
  try {
    for await (const bytes of input.allocator()) await output.writeAll(bytes);
  } finally {
    await input.close();
  }
}

async function main(names: readonly string[]): Promise<void> {
  const output = await pipe(1);
  const writer = output.writer();
  for (const name of names) {
    try {
      await copy(name === '-' ? await pipe(0) : await open(name), writer);
    } catch (error) {
      if (isUnread(error)) break;
      process.stderr.write(`${name}: ${(error as Error).message}\n`);
      process.exitCode = 1; // and go on with the next
    }
  }
  await output.close();
}

const names = process.argv.slice(2);
if (names.length === 0) {
  process.stderr.write('usage: node examples/cat.ts FILE|-...\n');
  process.exitCode = 2;
} else await main(names);
