/**
 * Description: more pieces than one vectored operation takes (1024): what the first did not write is the rest, all of it.
 */
import * as fs from 'node:fs';
import { open } from 'ritsu';
import { toWritable } from 'ritsu/streams';
import { onEach } from '../support/backends.ts';
import { freshPath, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';

const COUNT = 5000;
/** Too long for two to share a block. */
const PIECE_BYTES = 3000;

const content = randomBytes(COUNT * PIECE_BYTES);
const pieces = Array.from({ length: COUNT }, (_, index) => content.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES));

onEach('flush of 5,000 pieces: what is written and the rest are all there is', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  for (const piece of pieces) writer.push(piece);
  const { bytesWritten, rest } = await writer.flush();
  t.true(bytesWritten > 0);
  sameBytes(t, rest, content.subarray(bytesWritten));
  await writer.writeAll(rest);
  sameBytes(t, fs.readFileSync(path), content);
  await file.close();
});

onEach('5,000 pieces that wait in a Writable are all written', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writable = toWritable(file.writer());
  for (const piece of pieces) writable.write(piece);
  await new Promise<void>((resolve) => writable.end(resolve));
  sameBytes(t, fs.readFileSync(path), content);
  await file.close();
});
