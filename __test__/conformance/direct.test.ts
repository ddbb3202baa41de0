/**
 * Description: files opened with `direct: true`: the same bytes by aligned memory of any style, around the page cache
 * where the backend can, and with a word about it where it cannot.
 */
import * as fs from 'node:fs';
import { alloc, open } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { sameBytes } from '../support/same.ts';
import { STYLES, readAll } from '../support/styles.ts';

const BLOCK = 4096;
const O_DIRECT: number = fs.constants.O_DIRECT;

/** Styles whose memory is aligned of itself. */
const ALIGNED = STYLES.filter(({ name }) => !name.includes('ordinary'));

for (const style of ALIGNED) {
  onEach(`direct: whole and positional reads: ${style.name}`, async (t, proactor) => {
    const content = randomBytes(20 * BLOCK + 777);
    const file = await open(fileOf(content), { direct: true, proactor });
    t.is(file.direct, internals(proactor).backend.features.direct);
    const next = style.reader(file, proactor, BLOCK);
    sameBytes(t, await readAll(next), content);
    for (const index of [0, 20, 7, 19]) {
      const position = index * BLOCK;
      sameBytes(t, await next({ position }), content.subarray(position, position + BLOCK), `position ${position}`);
    }
    sameBytes(t, await next({ position: 21 * BLOCK }), null);
    await file.close();
  });
}

onEachAlone('direct: many outstanding into registered memory, each with its own bytes', {}, async (t, proactor) => {
  const content = randomBytes(200 * BLOCK);
  const file = await open(fileOf(content), { direct: true, proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const position = ((index * 37) % 200) * BLOCK;
      const bytes = await reader.read({ position });
      sameBytes(t, bytes!.data, content.subarray(position, position + BLOCK));
      bytes!.release();
    }),
  );
  t.is(proactor.stats().registeredBytes > 0, internals(proactor).backend.features.registeredBuffers);
  await file.close();
});

onEach('direct: writes of aligned memory, read back around the cache', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w+', direct: true, proactor });
  const writer = file.writer();
  const content = randomBytes(4 * BLOCK);
  for (let index = 0; index < 4; index += 1) {
    const memory = alloc(BLOCK, { proactor });
    memory.set(content.subarray(index * BLOCK, (index + 1) * BLOCK));
    t.is((await writer.write(memory)).bytesWritten, BLOCK);
  }
  sameBytes(t, fs.readFileSync(path), content);
  const reader = file.submitter();
  reader.submit(alloc(4 * BLOCK, { proactor }), { position: 0 });
  sameBytes(t, (await reader.poll()).data, content);
  await file.close();
});

onEach('direct: the flag is there where the backend says so', async (t, proactor) => {
  const path = fileOf(randomBytes(BLOCK));
  for (const options of [{ direct: true }, { flags: fs.constants.O_RDONLY | O_DIRECT }]) {
    const file = await open(path, { ...options, proactor });
    const [, octal] = /flags:\s*([0-7]+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'))!;
    t.is((Number.parseInt(octal!, 8) & O_DIRECT) !== 0, internals(proactor).backend.features.direct);
    await file.close();
  }
});
