/**
 * Description: many reads as one, in the three styles: `readMany` and `submitMany`. The right bytes at each place, how many, zeros
 * behind what came short; memory and promise for all of them together, on every way to the end.
 *
 * What turns it red: a part at the wrong place in the memory or in the file; memory that is given back before the last part is
 * over, or twice, or not at all; old bytes of the pool behind the end of the file; a part that an abort forgets.
 */
import { AbortError, alloc, open, owned, pooled } from 'ritsu';
import type { Bytes, File, Positions, Proactor } from 'ritsu';
import { onEach } from '../support/backends.ts';
import { fileOf, randomBytes, sparseFile } from '../support/files.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { CountingBuffer, RoundAllocator } from '../support/styles.ts';

const EACH = 4096;
const SIZE = 300_000;
const content = randomBytes(SIZE, 3);

type Limits = { readonly signal?: AbortSignal; readonly timeout?: number; readonly prompt?: boolean };
/** Read `EACH` bytes at each position; the memory is given back by `release` or, where it is the caller's, by `take`. */
type Many = (positions: Positions, limits?: Limits) => Promise<Bytes | null>;

interface Style {
  readonly name: string;
  reader(file: File, proactor: Proactor): Many;
}

function submitted(file: File, memoryOf: (size: number) => Uint8Array, options: { readonly length?: number } = {}): Many {
  const reader = file.submitter();
  return async (positions, limits) => {
    reader.submitMany(memoryOf(positions.length * EACH), positions, { ...limits, ...options });
    const bytes = await reader.poll();
    return bytes.length === 0 ? null : bytes;
  };
}

const STYLES: readonly Style[] = [
  {
    name: 'allocator',
    reader(file) {
      const reader = file.allocator({ blockSize: EACH });
      return (positions, limits) => reader.readMany(positions, limits);
    },
  },
  {
    name: 'allocator, of the program',
    reader(file, proactor) {
      const allocator = new RoundAllocator(() => alloc(40 * EACH, { proactor }), true);
      const reader = file.allocator({ blockSize: EACH, allocator });
      return (positions, limits) => reader.readMany(positions, limits);
    },
  },
  { name: 'submit', reader: (file, proactor) => submitted(file, () => alloc(40 * EACH, { proactor }), { length: EACH }) },
  { name: 'submit, ordinary memory, shared out evenly', reader: (file) => submitted(file, (size) => Buffer.from(new ArrayBuffer(size))) },
  { name: 'submit, memory that is copied', reader: (file) => submitted(file, (size) => new Uint8Array(new ArrayBuffer(41 * EACH), 100, size)) },
  {
    name: 'hybrid, pooled',
    reader(file, proactor) {
      const reader = file.hybrid();
      return (positions, limits) => reader.readMany(pooled({ pool: proactor.pool, size: positions.length * EACH }), positions, limits);
    },
  },
  {
    name: 'hybrid, owned',
    reader(file, proactor) {
      const reader = file.hybrid();
      return (positions, limits) => reader.readMany(owned(alloc(40 * EACH, { proactor })), positions, { ...limits, length: EACH });
    },
  },
  {
    name: 'hybrid, own class',
    reader(file, proactor) {
      const reader = file.hybrid();
      return async (positions, limits) => {
        const into = new CountingBuffer(alloc(40 * EACH, { proactor }));
        const bytes = await reader.readMany(into, positions, { ...limits, length: EACH });
        if (bytes !== null && into.bytes?.lengths !== bytes.lengths) throw new Error('the buffer was told something else');
        return bytes;
      };
    },
  },
];

/** What there is at a position. */
function there(position: number): Buffer {
  return content.subarray(position, position + EACH);
}

for (const { name, reader } of STYLES) {
  onEach(`${name}: each place has the bytes of its position, zeros behind the end, and nothing after release`, async (t, proactor) => {
    // Seen red: `offset` of a part in ts/read/many.ts without that of the whole; its `fill(0)` left out.
    const file = await open(fileOf(content), { proactor });
    const many = reader(file, proactor);
    const random = new Random(7);
    for (const count of [1, 2, 3, 33, 40]) {
      const positions = Array.from({ length: count }, () => random.below(SIZE + 2 * EACH));
      positions[random.below(count)] = 0;
      if (count > 2) positions[1] = SIZE - 10;
      const bytes = (await many(positions))!;
      const { data, lengths } = bytes;
      t.deepEqual(lengths, positions.map((position) => there(position).length));
      t.is(data.length, count * EACH);
      const expected = Buffer.alloc(count * EACH);
      for (const [index, position] of positions.entries()) there(position).copy(expected, index * EACH);
      sameBytes(t, data, expected);
      bytes.release();
      if (name !== 'submit, memory that is copied') t.is(data.length, 0);
    }
    t.is(await many([SIZE, SIZE + 1, 2 * SIZE]), null, 'all of them are behind the end');
    await file.close();
  });

  onEach(`${name}: withdrawn in its turn, refused, or timed out: the memory comes back, and the error says why`, async (t, proactor) => {
    const file = await open(fileOf(content), { proactor });
    const many = reader(file, proactor);
    const abort = new AbortController();
    const reading = many([0, EACH, 2 * EACH], { signal: abort.signal });
    abort.abort('enough');
    const error = await reading.then(() => undefined, (failure: Error & { buffer?: Buffer }) => failure);
    if (name !== 'allocator, of the program') t.true(error instanceof AbortError && error.cause === 'enough', String(error));
    if (/submit|owned|own class/.test(name)) t.true(error?.buffer !== undefined && error.buffer.length > 0, 'the caller’s memory is on the error');
    await t.throwsAsync(async () => many([0], { signal: abort.signal }), { name: 'AbortError' });
    await t.throwsAsync(async () => many([0], { timeout: 0 }), { code: 'ERR_RITSU_TIMEOUT' });
    const next = (await many([EACH]))!;
    sameBytes(t, next.data, there(EACH));
    next.release();
    await file.close();
  });
}

onEach('positions beyond 4 GiB, as numbers, as bigints, in typed arrays', async (t, proactor) => {
  const far = 2 ** 32 + 12_345;
  const file = await open(sparseFile([[0, content], [far, content]]), { proactor });
  const reader = file.allocator({ blockSize: 100 });
  for (const positions of [[far, 0n, BigInt(far)], Float64Array.of(far, 0, far), BigInt64Array.of(BigInt(far), 0n, BigInt(far))]) {
    const bytes = (await reader.readMany(positions))!;
    sameBytes(t, bytes.data, Buffer.concat([content.subarray(0, 100), content.subarray(0, 100), content.subarray(0, 100)]));
    bytes.release();
  }
  await file.close();
});

onEach('around the page cache', async (t, proactor) => {
  const file = await open(fileOf(content), { direct: true, proactor });
  const positions = [8192, 0, 65_536, 4096];
  const bytes = (await file.allocator({ blockSize: EACH }).readMany(positions))!;
  sameBytes(t, bytes.data, Buffer.concat(positions.map(there)));
  bytes.release();
  await file.close();
});

onEach('1024 positions, more than the submission queue has entries', async (t, proactor) => {
  const file = await open(fileOf(content), { proactor });
  const positions = Array.from({ length: 1024 }, (_, index) => (index * 1009) % (SIZE - 64));
  const bytes = (await file.allocator({ blockSize: 64 }).readMany(positions))!;
  sameBytes(t, bytes.data, Buffer.concat(positions.map((position) => content.subarray(position, position + 64))));
  bytes.release();
  await file.close();
});
