/**
 * Description: a lease whose memory the program has moved away cannot be written: with the fence by whoever looked at it, without the
 * fence also by who held the block before.
 *
 * What turns it red: `Bytes.surrender` not asking whether the memory is there, of what was shown; or, without the fence, of what was not.
 */
import { open } from 'ritsu';
import type { File, Proactor } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';

const CONTENT = randomBytes(4096);
const ONE = { pool: { classes: [{ size: 4096, count: 1 }] } };

async function files(proactor: Proactor): Promise<[source: File, target: File]> {
  return Promise.all([open(fileOf(CONTENT), { proactor }), open(freshPath(), { flags: 'w+', proactor })]);
}

onEachAlone('S3: a lease that was looked at and moved away cannot be written', {}, async (t, proactor) => {
  const [source, target] = await files(proactor);
  const bytes = (await source.allocator({ blockSize: 4096 }).read({ position: 0 }))!;
  const moved = bytes.data.buffer.transfer();
  await t.throwsAsync(target.writer().writeAll(bytes), { code: 'ERR_RITSU_BUFFER_DETACHED' });
  t.deepEqual(Buffer.from(moved, 0, CONTENT.length), CONTENT);
  t.is((await target.stat()).size, 0);
  bytes.release();
  await Promise.all([source.close(), target.close()]);
});

onEachAlone('S3: without the fence, one that was not looked at, whose memory an earlier holder moved away', { fence: false, ...ONE }, async (t, proactor) => {
  const [source, target] = await files(proactor);
  const reader = source.allocator({ blockSize: 4096 });
  const first = (await reader.read({ position: 0 }))!;
  const view = first.data;
  first.release();
  const second = (await reader.read({ position: 0 }))!;
  view.buffer.transfer();
  await t.throwsAsync(target.writer().writeAll(second), { code: 'ERR_RITSU_BUFFER_DETACHED' });
  t.is((await target.stat()).size, 0);
  second.release();
  await Promise.all([source.close(), target.close()]);
});
