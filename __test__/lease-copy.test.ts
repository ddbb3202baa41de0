/**
 * Description: `copy()` of a lease makes no view that a program could get, so that its memory need not be moved when it goes back.
 *
 * What turns it red: a copy by a method that the program can replace; memory that was shown besides, and goes back unmoved.
 */
import { open } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { fileOf, randomBytes } from './support/files.ts';
import { sameBytes } from './support/same.ts';

const CONTENT = randomBytes(20_000);
const MIDDLE = 1000;

// Seen red: `copy` called `set` of the copy itself; and `release` moved no memory that had been looked at before it was copied.
onEachAlone('S2: a copy shows nobody the memory it was made of, and what was shown is gone by release', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const genuineSet = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype) as object, 'set')!;
  const shown: unknown[] = [];
  for (const look of [false, true]) {
    const bytes = (await file.allocator().read({ position: MIDDLE }))!;
    const view = look ? bytes.data : undefined;
    Object.defineProperty(Uint8Array.prototype, 'set', { value: (...values: unknown[]) => shown.push(...values), configurable: true });
    let copy: Buffer;
    try {
      copy = bytes.copy();
    } finally {
      Reflect.deleteProperty(Uint8Array.prototype, 'set');
    }
    t.true(bytes.touched);
    sameBytes(t, copy, CONTENT.subarray(MIDDLE, MIDDLE + copy.length));
    sameBytes(t, bytes.data, copy);
    t.not(copy.buffer, bytes.data.buffer);
    sameBytes(t, bytes.copy(), copy);
    const { data } = bytes;
    bytes.release();
    t.deepEqual([data.length, view?.length], [0, look ? 0 : undefined]);
    sameBytes(t, copy, CONTENT.subarray(MIDDLE, MIDDLE + copy.length));
  }
  t.deepEqual(shown, []);
  t.deepEqual(Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype) as object, 'set'), genuineSet);
  await file.close();
});
