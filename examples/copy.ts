/**
 * Copy a file, and print the SHA-256 of what was copied. Style 2: a few buffers go around, from the reader to the
 * writer and back; no byte is copied in between.
 *
 *     node examples/copy.ts SOURCE TARGET
 */
import { createHash } from 'node:crypto';
import { alloc, open } from 'ritsu';

const BUFFERS = 4;
const BUFFER_BYTES = 256 * 1024;

async function copy(from: string, to: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const source = await open(from);
  const target = await open(to, 'w');
  let bytes = 0;
  try {
    const reader = source.submitter();
    const writer = target.writer();
    for (let count = 0; count < BUFFERS; count += 1) reader.submit(alloc(BUFFER_BYTES));
    for (;;) {
      const filled = await reader.poll(); // in the order of submission: the file's
      if (filled.length === 0) break;
      hash.update(filled.data);
      const { bytesWritten, buffers } = await writer.writeAll(filled); // the memory moves into the write ...
      bytes += bytesWritten;
      reader.submit(buffers[0]!); // ... comes back from it, and is filled again
    }
    await reader.close(); // the reads that are still out found the end as well
    await target.sync();
  } finally {
    await source.close();
    await target.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined) {
  process.stderr.write('usage: node examples/copy.ts SOURCE TARGET\n');
  process.exitCode = 2;
} else {
  const { bytes, sha256 } = await copy(from, to);
  process.stdout.write(`${bytes} bytes\n${sha256}\n`);
}
