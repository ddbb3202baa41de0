/**
 * Description: memory that has run out. Writes need no block of a pool, so what reads hold cannot stop them; what sends files
 * takes its blocks in the order in which it needs them; and whoever waits for too long is named.
 *
 * What turns it red: a copy on its way into a write that is taken from the pool; reads that wait and are not served in the
 * order of their calls; a warning that nobody is given.
 */
import { on } from 'node:events';
import { open } from 'ritsu';
import type { Bytes, ProactorOptions } from 'ritsu';
import { alloc } from 'ritsu';
import { onRealAlone } from '../support/backends.ts';
import { fileOf, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { closeAll, eventually, tcpPair } from '../support/net.ts';
import { pairOf, receiveAll } from '../support/streams.ts';

const SIZE = 65_536;
/** Two blocks for files, two for streams. */
const NARROW: ProactorOptions = { pool: { classes: [{ size: SIZE, count: 2 }] }, streamPool: { size: 4096, count: 2 } };

async function warned(code: string, text: RegExp): Promise<void> {
  for await (const [warning] of on(process, 'warning') as AsyncIterable<[Error & { code: string }]>) {
    if (warning.code === code && text.test(warning.message)) return;
  }
}

onRealAlone('S25: writes go on while every block is held, and who waits for one is told of', NARROW, async (t, proactor) => {
  // Seen red: `Parcel` in ts/memory/parcel.ts took its copies from the pool's free list.
  const file = await open(fileOf(randomBytes(4 * SIZE)), { flags: 'r+', proactor });
  const { stream, peer } = await pairOf(proactor);
  const reader = file.allocator();
  const held: Bytes[] = [(await reader.read({ position: 0 }))!, (await reader.read({ position: SIZE }))!];
  const receiver = stream.allocator();
  for (let count = 0; count < 2; count += 1) {
    peer.write('x');
    held.push((await receiver.read())!);
  }
  const alive = setInterval(() => {}, 1000);
  const telling = warned('RITSU_POOL_EMPTY', /of 65536 bytes: 1/);
  const waiting = reader.read({ position: 2 * SIZE });
  const writer = stream.writer();
  const long = randomBytes(200_000, 5);
  await writer.writeAll('text', { timeout: 10_000 });
  await writer.writeAll(long, { timeout: 10_000 });
  const mine = alloc(1000, { proactor });
  mine.fill('m');
  await writer.writeAll(mine, { timeout: 10_000 });
  writer.push('a').push(Buffer.from('bc'));
  await writer.flush({ timeout: 10_000 });
  await file.writer({ position: 0 } as never).writeAll('into the file', { timeout: 10_000 });
  await stream.shutdown();
  sameBytes(t, await receiveAll(peer), Buffer.concat([Buffer.from('text'), long, Buffer.alloc(1000, 'm'), Buffer.from('abc')]));
  t.is(proactor.stats().pool[0]!.waiting, 1, 'it still waits');
  await telling;
  clearInterval(alive);
  held.shift()!.release();
  const bytes = await waiting;
  t.is(bytes!.length, SIZE);
  for (const each of [...held, bytes]) each!.release();
  await Promise.all([file.close(), stream.close()]);
});

onRealAlone('S25: many files are sent at once through two blocks, and none waits for ever', NARROW, async (t, proactor) => {
  // Seen red: `SizeClass` in ts/memory/size-class.ts gave its blocks to the read that came last instead of the first.
  const contents = Array.from({ length: 8 }, (_, index) => randomBytes(10 * SIZE + 1000 * index, index + 1));
  const pairs = await Promise.all(contents.map(() => tcpPair(proactor)));
  const sending = contents.map(async (content, index) => {
    const file = await open(fileOf(content), { proactor });
    const { outside } = pairs[index]!;
    t.is(await outside.sendFile(file, { timeout: 20_000 }), content.length);
    await Promise.all([outside.close(), file.close()]);
  });
  const receiving = pairs.map(async ({ inside }, index) => {
    const parts: Buffer[] = [];
    for await (const bytes of inside.allocator()) parts.push(bytes.copy());
    sameBytes(t, Buffer.concat(parts), contents[index]!, `file ${index}`);
  });
  await Promise.all([...sending, ...receiving]);
  await closeAll(...pairs.flatMap(({ inside, listener }) => [inside, listener]));
  await eventually(t, 'the pools are whole', () => {
    const { pool, streamPool } = proactor.stats();
    return [...pool, streamPool!].every(({ available, count }) => available === count);
  });
});
