/**
 * Count the lines of a file. `countLines` is written once; the style of the reader is chosen by who calls it.
 *
 *     node examples/count-lines.ts FILE [allocator|submit|hybrid]
 */
import { open } from 'ritsu';
import type { AsyncRead, File } from 'ritsu';

const NEWLINE = 10;

async function countLines(input: AsyncRead): Promise<number> {
  let lines = 0;
  for await (const { data } of input) {
    for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) lines += 1;
  }
  return lines;
}

const READERS: Readonly<Record<string, (file: File) => AsyncRead>> = {
  allocator: (file) => file.allocator(),
  submit: (file) => file.submitter(),
  hybrid: (file) => file.hybrid(),
};

const [path, style = 'allocator'] = process.argv.slice(2);
const reader = READERS[style];
if (path === undefined || reader === undefined) {
  process.stderr.write('usage: node examples/count-lines.ts FILE [allocator|submit|hybrid]\n');
  process.exitCode = 2;
} else {
  const file = await open(path);
  try {
    process.stdout.write(`${await countLines(reader(file))}\n`);
  } finally {
    await file.close();
  }
}
