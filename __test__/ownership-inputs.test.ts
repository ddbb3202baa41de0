/**
 * Description: every odd input has one answer, given before any memory moves. Nothing of the caller's runs between the
 * check and the hand-over.
 */
import type { ExecutionContext } from 'ava';
import { alloc, open, owned } from 'ritsu';
import type { Memory } from 'ritsu';
import { onEach } from './support/backends.ts';
import { fileOf, randomBytes } from './support/files.ts';
import { sameBytes } from './support/same.ts';

const CONTENT = randomBytes(20_000);

const detached = (): Buffer => {
  const buffer = Buffer.from(new ArrayBuffer(10));
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  return buffer;
};

const moved = (view: DataView<ArrayBuffer>): DataView => {
  view.buffer.transfer();
  return view;
};

const shrunk = (): DataView => {
  const memory = new ArrayBuffer(10, { maxByteLength: 10 });
  const view = new DataView(memory, 5, 5);
  memory.resize(2);
  return view;
};

const REFUSED: readonly (readonly [string, () => unknown, string])[] = [
  ['undefined', () => undefined, 'ERR_INVALID_ARG_TYPE'],
  ['null', () => null, 'ERR_INVALID_ARG_TYPE'],
  ['a number', () => 10, 'ERR_INVALID_ARG_TYPE'],
  ['a string', () => 'buffer', 'ERR_INVALID_ARG_TYPE'],
  ['an array', () => [0, 0, 0], 'ERR_INVALID_ARG_TYPE'],
  ['an object like a view', () => ({ buffer: new ArrayBuffer(8), byteOffset: 0, byteLength: 8 }), 'ERR_INVALID_ARG_TYPE'],
  ['an object with the prototype of Buffer', () => Object.create(Buffer.prototype), 'ERR_INVALID_ARG_TYPE'],
  ['a proxy of a Buffer', () => new Proxy(Buffer.alloc(10), {}), 'ERR_INVALID_ARG_TYPE'],
  ['a proxy of an ArrayBuffer', () => new Proxy(new ArrayBuffer(10), {}), 'ERR_INVALID_ARG_TYPE'],
  ['a bare SharedArrayBuffer', () => new SharedArrayBuffer(8), 'ERR_INVALID_ARG_TYPE'],
  ['detached memory', detached, 'ERR_RITSU_BUFFER_DETACHED'],
  ['a detached ArrayBuffer', () => detached().buffer, 'ERR_RITSU_BUFFER_DETACHED'],
  ['a DataView of detached memory', () => moved(new DataView(new ArrayBuffer(10))), 'ERR_RITSU_BUFFER_DETACHED'],
  ['a DataView of memory that has shrunk', () => shrunk(), 'ERR_INVALID_ARG_VALUE'],
  ['an empty Buffer', () => Buffer.alloc(0), 'ERR_INVALID_ARG_VALUE'],
  ['an empty view of memory', () => new Uint8Array(10).subarray(5, 5), 'ERR_INVALID_ARG_VALUE'],
];

for (const [name, make, code] of REFUSED) {
  onEach(`refused, and nothing is submitted: ${name}`, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    const reader = file.submitter();
    t.throws(() => reader.submit(make() as Memory), { code });
    t.is(reader.outstanding, 0);
    await t.throwsAsync(reader.poll(), { code: 'ERR_RITSU_NOTHING_SUBMITTED' });
    await file.close();
  });
}

const POSITIONS: readonly (readonly [string, unknown, string])[] = [
  ['NaN', Number.NaN, 'ERR_OUT_OF_RANGE'],
  ['-1', -1, 'ERR_OUT_OF_RANGE'],
  ['a fraction', 1.5, 'ERR_OUT_OF_RANGE'],
  ['Infinity', Infinity, 'ERR_OUT_OF_RANGE'],
  ['2^53', 2 ** 53, 'ERR_OUT_OF_RANGE'],
  ['-1n', -1n, 'ERR_OUT_OF_RANGE'],
  ['2n ** 64n', 2n ** 64n, 'ERR_OUT_OF_RANGE'],
  ['a string', '0', 'ERR_INVALID_ARG_TYPE'],
  ['an object', {}, 'ERR_INVALID_ARG_TYPE'],
  ['a boolean', true, 'ERR_INVALID_ARG_TYPE'],
];

// Red without the bounds in `checkInteger` (ts/errors.ts).
onEach('S12: positions and lengths that make no sense are refused before the buffer moves', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { flags: 'r+', proactor });
  const buffer = alloc(100, { proactor });
  for (const [name, value, code] of POSITIONS) {
    const position = value as number;
    t.throws(() => file.submitter().submit(buffer, { position }), { code }, `position ${name}`);
    await t.throwsAsync(async () => file.allocator().read({ position }), { code }, `position ${name}`);
    await t.throwsAsync(file.hybrid().pull({ position }), { code }, `position ${name}`);
    await t.throwsAsync(file.writer().write(buffer, { position }), { code }, `position ${name}`);
    t.throws(() => file.submitter().submit(buffer, { length: position }), { code }, `length ${name}`);
  }
  for (const length of [0, 101]) t.throws(() => file.submitter().submit(buffer, { length }), { code: 'ERR_OUT_OF_RANGE' });
  t.is(buffer.length, 100, 'still the caller\'s');
  await file.close();
});

/** Take the memory away from its holder. */
function steal(buffer: Buffer): void {
  if (buffer.length > 0) structuredClone(buffer.buffer, { transfer: [buffer.buffer as ArrayBuffer] });
}

const THEFTS: readonly (readonly [string, (buffer: Buffer) => object])[] = [
  ['length', (buffer) => ({ get length() { steal(buffer); return 50; } })],
  ['position', (buffer) => ({ get position() { steal(buffer); return 0; } })],
  ['signal', (buffer) => ({ get signal() { steal(buffer); return undefined; } })],
  ['timeout', (buffer) => ({ get timeout() { steal(buffer); return undefined; } })],
];

for (const [name, make] of THEFTS) {
  // Red when the buffer is looked at, or taken, before the options have been read (`#submit` in ts/read/submit.ts).
  onEach(`S11: options whose getter takes the buffer away: ${name}`, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    const reader = file.submitter();
    const buffer = Buffer.from(new ArrayBuffer(50));
    // All options are read before the buffer is looked at, which is found to be gone. Never a wild read.
    t.throws(() => reader.submit(buffer, make(buffer)), { code: 'ERR_RITSU_BUFFER_DETACHED' });
    t.is(buffer.length, 0);
    t.is(reader.outstanding, 0);
    await file.close();
  });
}

// Red when the options are read twice (`plan` in ts/read/submit.ts).
onEach('S11: an option that changes between two looks is looked at once', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.submitter();
  for (const name of ['position', 'length'] as const) {
    let looks = 0;
    const options = Object.defineProperty({}, name, { get: () => ((looks += 1), looks === 1 ? 10 : -1) });
    reader.submit(Buffer.from(new ArrayBuffer(50)), options);
    const bytes = await reader.poll();
    t.is(looks, 1);
    if (name === 'position') sameBytes(t, bytes.data, CONTENT.subarray(10, 60));
    else t.is(bytes.length, 10);
  }
  await file.close();
});

/** Says of itself what is not so, wherever it can. */
function liar(t: ExecutionContext): Uint8Array {
  class Liar extends Uint8Array {
    override get byteLength(): number {
      return 2 ** 30;
    }

    override get length(): number {
      return 2 ** 30;
    }

    override get byteOffset(): number {
      return 2 ** 30;
    }

    override get buffer(): ArrayBuffer {
      t.fail('a getter of the caller ran');
      return new ArrayBuffer(8);
    }

    static get [Symbol.species](): never {
      throw new Error('a getter of the caller ran');
    }
  }
  return new Liar(50);
}

// Red when `inspect` (ts/memory/block.ts) asks the view instead of the genuine getters.
onEach('S11: a view that lies about its length and place is asked nothing', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { flags: 'r+', proactor });
  const reader = file.submitter();
  reader.submit(liar(t));
  const bytes = await reader.poll();
  sameBytes(t, bytes.data, CONTENT.subarray(0, 50));
  t.is((await file.writer().write(liar(t))).bytesWritten, 50);
  await file.close();
});

// Red when what is on the signal is asked (`isAborted`, `listen` in ts/cancel.ts): the buffer is gone with the error.
onEach('S11: a signal that does not answer is asked nothing, and one that only looks like one is refused', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.submitter();
  const throws = { get: () => t.fail('a getter of the caller ran') };
  const names = ['aborted', 'reason', 'addEventListener', 'removeEventListener', 'throwIfAborted', 'onabort'];
  const { signal } = new AbortController();
  for (const name of names) Object.defineProperty(signal, name, throws);
  reader.submit(Buffer.from(new ArrayBuffer(50)), { signal });
  sameBytes(t, (await reader.poll()).data, CONTENT.subarray(0, 50));
  const buffer = Buffer.from(new ArrayBuffer(50));
  t.throws(() => reader.submit(buffer, { signal: Object.create(AbortSignal.prototype) as AbortSignal }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(buffer.length, 50);
  await file.close();
});

onEach('owned memory that the program has moved away is refused by name, whatever view of it is asked for', async (t, proactor) => {
  // Seen red: `bufferOf` of ts/buffer.ts asked a DataView where it begins, and threw what JavaScript throws then.
  const file = await open(fileOf(CONTENT), { proactor });
  for (const view of [new DataView(new ArrayBuffer(10)), new Uint8Array(10)]) {
    const into = owned(view);
    view.buffer.transfer();
    for (let count = 0; count < 2; count += 1) t.throws(() => into.take(), { code: 'ERR_RITSU_BUFFER_DETACHED' });
    await t.throwsAsync(file.hybrid().read(into, { position: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  }
  await file.close();
});
