/**
 * Description: the loop that everybody writes first: `Promise.race([reader.read(), timer()])`, and the promise that lost is
 * forgotten. With a reader that is race-safe nothing is lost, whether bytes come during a race or between two rounds.
 *
 * What turns it red: a round that begins a second read while the first waits; a read that was over between two rounds and is
 * forgotten; bytes given once more after the program has had them.
 */
import { execFileSync } from 'node:child_process';
import { alloc, bind, connect, listen, open, pipe } from 'ritsu';
import type { AllocatorOptions, AllocatorReader, Proactor } from 'ritsu';
import { setTimeout as delay } from 'node:timers/promises';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { RoundAllocator } from '../support/styles.ts';

const SEED = sized(40, Date.now() % 2 ** 31);
/** Pieces that the sender of the random test sends, one after the other. */
const PIECES = sized(300, 5000);
/** Rounds in a row that bring nothing, after which it is lost. */
const IDLE_MAX = 20_000;
/** Numbers of four digits, slowly. */
const NUMBERS = 60;
const LATE = Symbol('late');

/** A way to send, and who reads at its other end. */
interface Way {
  send(data: Uint8Array | string): Promise<unknown>;
  reader(options: AllocatorOptions): AllocatorReader;
  /** What of it is to be closed. */
  readonly ends: readonly { destroy(): Promise<void> }[];
}

const WAYS: readonly (readonly [name: string, open: (proactor: Proactor) => Promise<Way>])[] = [
  ['TCP', async (proactor) => {
    const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
    const [from, to] = await Promise.all([connect({ port: listener.address().port, host: '127.0.0.1', proactor }), listener.accept()]);
    const writer = from.writer();
    return { send: (data) => writer.writeAll(data), reader: (options) => to.allocator(options), ends: [from, to, listener] };
  }],
  ['a pipe', async (proactor) => {
    const path = freshPath('fifo');
    execFileSync('mkfifo', [path]);
    const [to, from] = await Promise.all([pipe(path, { flags: 'r', proactor }), pipe(path, { flags: 'w', proactor })]);
    const writer = from.writer();
    return { send: (data) => writer.writeAll(data), reader: (options) => to.allocator(options), ends: [from, to] };
  }],
  ['UDP', async (proactor) => {
    const [from, to] = [await bind({ host: '127.0.0.1', proactor }), await bind({ host: '127.0.0.1', proactor })];
    const { port } = to.address();
    return { send: (data) => from.send(data, port), reader: (options) => to.allocator(options), ends: [from, to] };
  }],
];

const MEMORIES: readonly (readonly [name: string, options: (proactor: Proactor) => AllocatorOptions])[] = [
  ['the pool', () => ({})],
  ['small blocks', () => ({ blockSize: 50 })],
  ['another pool', (proactor) => ({ allocator: proactor.createPool({ classes: [{ size: 4096, count: 2 }], hugePages: false }), blockSize: 4096 })],
  ['an allocator of the program', (proactor) => ({ allocator: new RoundAllocator(() => alloc(1000, { proactor }), true) })],
  ['memory that is copied', () => ({ allocator: new RoundAllocator(() => Buffer.alloc(1002).subarray(1, -1)) })],
];

const closeAll = (way: Way): Promise<unknown> => Promise.all(way.ends.map((end) => end.destroy()));

const digits = (count: number): string => Array.from({ length: count }, (_, index) => String(index).padStart(4, '0')).join('');

for (const [name, openWay] of WAYS) {
  for (const [memory, optionsOf] of MEMORIES) {
    onEach(`S40: race-safe: the loop that forgets who lost: no gap in what a slow sender counts: ${name}, ${memory}`, async (t, proactor) => {
      // Seen red: `next` of RaceSafeReads began another read while one waited.
      const way = await openWay(proactor);
      const reader = way.reader({ ...optionsOf(proactor), raceSafe: true });
      let number = 0;
      const timer = setInterval(() => {
        if (number < NUMBERS) void way.send(String(number).padStart(4, '0'));
        number += 1;
      }, 5);
      let text = '';
      let losers = 0;
      for (let idle = 0; text.length < NUMBERS * 4 && idle < IDLE_MAX / 4; idle += 1) {
        const winner = await Promise.race([reader.read(), delay(2, LATE)]);
        if (typeof winner === 'symbol') {
          losers += 1;
          continue;
        }
        idle = 0;
        text += winner!.data.toString();
        winner!.release();
      }
      clearInterval(timer);
      t.is(text, digits(NUMBERS));
      t.true(losers > 5, `${losers} lost`);
      await closeAll(way);
    });
  }

  onEach(`S40: race-safe: what comes while nobody waits is the next round’s: ${name}`, async (t, proactor) => {
    // Seen red: `isOver` of ts/read/race-safe.ts called a read over as soon as it had its bytes.
    const way = await openWay(proactor);
    const reader = way.reader({ raceSafe: true });
    let text = '';
    for (let number = 0; number < 10; number += 1) {
      // It loses; then its bytes come, and nobody looks for a while.
      t.is(await Promise.race([reader.read(), delay(3, LATE)]), LATE as never);
      await way.send(String(number).padStart(4, '0'));
      await delay(10);
      const bytes = await Promise.race([reader.read(), delay(20_000, null, { ref: false })]);
      text += bytes?.data.toString() ?? 'lost';
      bytes?.release();
    }
    t.is(text, digits(10));
    await closeAll(way);
  });

  for (const [memory, optionsOf] of MEMORIES) {
    onEachAlone(`S40: race-safe: races, touches, limits and readers at random: what was had is what was sent: ${name}, ${memory}`, {}, async (t, proactor) => {
      // Seen red: `touched` of Bytes was always true; `next` began another read while one waited; `giveUp` of StreamSource did
      // not reject at once (`prompt`), so that bytes which came all the same went with the promise; DatagramRead kept none.
      const random = new Random(SEED);
      const way = await openWay(proactor);
      const options = optionsOf(proactor);
      const most = Math.min(options.blockSize ?? 800, 800);
      const pieces = Array.from({ length: PIECES }, (_, index) => randomBytes(random.below(most) + (name === 'UDP' ? 0 : 1), index));
      const content = Buffer.concat(pieces);
      const window = new Window();
      const sending = send(way, pieces, new Random(SEED + 1), window).catch(() => {}); // what failed is missing
      const had: Buffer[] = [];
      let reader = way.reader({ ...options, raceSafe: true });
      for (let length = 0, idle = 0; length < content.length && idle < IDLE_MAX; idle += 1) {
        if (random.chance(0.05)) {
          void reader.close();
          reader = way.reader({ ...options, raceSafe: true });
        }
        const bytes = await round(reader, random);
        if (bytes === undefined) continue;
        had.push(bytes);
        length += bytes.length;
        idle = 0;
        window.take(bytes.length);
      }
      sameBytes(t, Buffer.concat(had), content, `seed ${SEED}`);
      await reader.close();
      await closeAll(way);
      window.open();
      await sending;
    });
  }
}

/** Bytes that are under way: a receive buffer that is full would drop datagrams. */
class Window {
  #under = 0;
  #wake = (): void => {};

  async room(length: number): Promise<void> {
    while (this.#under > 16_384) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#under += length;
  }

  /** There is no end to it any more. */
  open(): void {
    this.take(Infinity);
  }

  take(length: number): void {
    this.#under -= length;
    this.#wake();
  }
}

async function send(way: Way, pieces: readonly Uint8Array[], random: Random, window: Window): Promise<void> {
  for (const piece of pieces) {
    await window.room(piece.length);
    await way.send(piece);
    if (random.chance(0.3)) await delay(random.below(2));
  }
}

/** One round of a loop as it may be: what the program had of it, if anything. */
async function round(reader: AllocatorReader, random: Random): Promise<Buffer | undefined> {
  const limits = random.chance(0.2) ? { timeout: 1 + random.below(3), prompt: random.chance(0.5) } : undefined;
  const reading = (random.chance(0.5) ? reader.read(limits) : reader.pull(limits)).catch((error: Error) => {
    if (error.name !== 'TimeoutError') throw error;
    return LATE;
  });
  const other = random.chance(0.5) ? Promise.resolve(LATE) : random.chance(0.5) ? new Promise((resolve) => setImmediate(resolve, LATE)) : delay(1, LATE);
  const winner = (await Promise.race([reading, other])) as Awaited<typeof reading>;
  if (random.chance(0.1)) await delay(random.below(3));
  if (typeof winner === 'symbol' || random.chance(0.2)) return undefined; // it lost, or the program did not look
  const copy = winner!.copy();
  winner!.release();
  return copy;
}

onEach('S40: race-safe: a file that is raced is read whole', async (t, proactor) => {
  // Seen red: `next` of RaceSafeReads began another read while one waited.
  const content = randomBytes(300_000, 40);
  const file = await open(fileOf(content), { proactor });
  const reader = file.allocator({ raceSafe: true, blockSize: 4096 });
  const had: Buffer[] = [];
  for (let turn = 0; ; turn += 1) {
    const winner = await Promise.race([reader.read(), turn % 2 === 0 ? Promise.resolve(LATE) : new Promise<symbol>(() => {})]);
    if (winner === null) break;
    if (typeof winner === 'symbol') continue;
    had.push(winner.copy());
    winner.release();
  }
  sameBytes(t, Buffer.concat(had), content);
  await file.close();
});
