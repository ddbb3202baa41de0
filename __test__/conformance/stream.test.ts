/**
 * Description: reading a live stream, style x backend: the peer's bytes, each once and in order, whichever styles take
 * turns, whatever is aborted; then the end, for good. The peer is a socket of Node's.
 *
 * What turns it red: an abort that asks the kernel although the read only waits; an end or an error that is told once;
 * a stash that is dropped when the style changes; `position` taken for something on a stream.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { alloc, owned } from 'ritsu';
import type { Bytes, Proactor } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { STREAM_STYLES, TRANSPORTS, pairOf, readToEnd, sendAll } from '../support/streams.ts';
import type { Next, Pair } from '../support/streams.ts';

type StyleBody = (t: ExecutionContext, pair: Pair, next: Next, proactor: Proactor) => Promise<void>;

function eachStyle(name: string, size: number, body: StyleBody): void {
  for (const style of STREAM_STYLES) {
    onEach(`${name}: ${style.name}`, async (t, proactor) => {
      const pair = await pairOf(proactor);
      await body(t, pair, style.reader(pair.stream, proactor, size), proactor);
      pair.peer.destroy();
      await pair.stream.close();
    });
  }
}

eachStyle('whole streams, byte by byte, then the end, again and again', 5000, async (t, { peer }, next) => {
  const content = randomBytes(700_001, 3);
  const sending = sendAll(peer, content);
  sameBytes(t, await readToEnd(next), content);
  t.is(await next(), null);
  t.is(await next(), null);
  await sending;
});

eachStyle('several outstanding come in the order of their calls', 1000, async (t, { peer }, next) => {
  const content = randomBytes(60_000, 4);
  const reads = Array.from({ length: 20 }, () => next());
  await sendAll(peer, content);
  const chunks = await Promise.all(reads);
  sameBytes(t, Buffer.concat([...chunks.filter((chunk) => chunk !== null), await readToEnd(next)]), content);
});

eachStyle('a position makes no sense: refused before any memory moves', 100, async (t, { peer }, next) => {
  await t.throwsAsync(next({ position: 0 }), { code: 'ERR_INVALID_ARG_VALUE' });
  await t.throwsAsync(next({ position: 5n }), { code: 'ERR_INVALID_ARG_VALUE' });
  peer.end('abc');
  t.is((await next({ position: null }))?.toString(), 'abc');
});

eachStyle('an abort of a read that waits: it never happened', 100, async (t, { peer }, next) => {
  for (const wait of [0, 1, 20]) {
    const abort = new AbortController();
    const read = next({ signal: abort.signal });
    if (wait > 0) await delay(wait);
    abort.abort(new Error('enough'));
    const error = await t.throwsAsync(read, { name: 'AbortError', code: 'ABORT_ERR' });
    t.is((error.cause as Error).message, 'enough');
  }
  await t.throwsAsync(next({ timeout: 10 }), { code: 'ERR_RITSU_TIMEOUT' });
  await t.throwsAsync(next({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  peer.end('all of it');
  t.is((await readToEnd(next)).toString(), 'all of it');
});

eachStyle('a reset is an error, for every read from then on', 100, async (t, { peer }, next) => {
  peer.write('x');
  t.is((await next())?.toString(), 'x');
  const waiting = [next(), next()];
  peer.resetAndDestroy();
  const expected = { code: 'ECONNRESET', syscall: 'read', errno: -104, message: 'read ECONNRESET' };
  for (const read of [...waiting, next()]) t.like(await t.throwsAsync(read), expected);
  t.like(await t.throwsAsync(next()), expected, 'again');
});

for (const transport of TRANSPORTS) {
  onEach(`iteration, to the end and ended early: ${transport}`, async (t, proactor) => {
    const { stream, peer } = await pairOf(proactor, transport);
    const content = randomBytes(300_000, 5);
    const sending = sendAll(peer, content);
    const chunks: Buffer[] = [];
    for (const reader of [stream.allocator(), stream.submitter({ blockSize: 3000 }), stream.hybrid(), stream.allocator()]) {
      let count = 0;
      for await (const bytes of reader) {
        chunks.push(bytes.copy());
        count += 1;
        if (count === 3 && chunks.length < 12) break;
      }
    }
    sameBytes(t, Buffer.concat(chunks), content);
    await sending;
    await stream.close();
  });
}

onEach('what is stashed when the style changes is delivered first', async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.allocator();
  peer.write('first');
  const first = await reader.read();
  peer.write('second');
  await delay(50); // it is with the stream now, if it is armed
  peer.write(' third');
  const bytes = await stream.hybrid().read(owned(alloc(3, { proactor })));
  t.is(bytes?.data.toString(), 'sec');
  const rest = await reader.read();
  t.true('ond third'.startsWith(rest!.data.toString()));
  first!.release();
  rest!.release();
  peer.destroy();
  await stream.close();
});

onEach('the memory of a read that failed comes back on the error', async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.submitter();
  const abort = new AbortController();
  reader.submit(alloc(64, { proactor }), { signal: abort.signal });
  reader.submit(alloc(65, { proactor }), { signal: abort.signal });
  await delay(5);
  abort.abort();
  for (const length of [64, 65]) t.like(await t.throwsAsync(reader.poll()), { name: 'AbortError', buffer: { length } });
  reader.submit(alloc(66, { proactor }));
  peer.resetAndDestroy();
  t.like(await t.throwsAsync(reader.poll()), { code: 'ECONNRESET', buffer: { length: 66 } });
  reader.submit(alloc(67, { proactor }));
  t.like(await t.throwsAsync(reader.poll()), { code: 'ECONNRESET', buffer: { length: 67 } }, 'of a read that the kernel never saw');
  await stream.close();
});

const TINY = { streamPool: { size: 4096, count: 3 } };

/** Readers of all styles at random, with aborts, timeouts, pauses and leases that are held; what they got, in order. */
async function readAtRandom(pair: Pair, proactor: Proactor, random: Random): Promise<Buffer> {
  const nexts = STREAM_STYLES.flatMap((style) => [1, 700, 20_000].map((size) => style.reader(pair.stream, proactor, size)));
  const lender = pair.stream.allocator();
  const held: Bytes[] = [];
  const lend: Next = async (options) => {
    const bytes = await lender.read(options);
    const copy = bytes === null ? null : bytes.copy();
    if (bytes !== null) held.push(bytes);
    return copy;
  };
  const chunks: Buffer[] = [];
  for (let ended = false; !ended; ) {
    const turns = Array.from({ length: 1 + random.below(5) }, (_, index) => {
      const next = index === 0 && random.chance(0.4) ? lend : random.pick(nexts);
      const prompt = random.chance(0.5);
      if (random.chance(0.1)) return next({ timeout: random.below(3), prompt });
      if (!random.chance(0.2)) return next();
      const abort = new AbortController();
      const read = next({ signal: abort.signal, prompt });
      if (random.chance(0.5)) queueMicrotask(() => abort.abort());
      else setImmediate(() => abort.abort());
      return read;
    });
    if (held.length > 1 || random.chance(0.5)) for (const bytes of held.splice(0)) bytes.release();
    if (random.chance(0.05)) await delay(random.below(4));
    for (const turn of await Promise.allSettled(turns)) {
      if (turn.status === 'fulfilled') {
        ended ||= turn.value === null;
        if (turn.value !== null) chunks.push(turn.value);
      } else if (!['ABORT_ERR', 'ERR_RITSU_TIMEOUT'].includes((turn.reason as { code: string }).code)) throw turn.reason;
    }
  }
  for (const bytes of held) bytes.release();
  return Buffer.concat(chunks);
}

for (const [name, options] of [['', {}], [', a tiny group', TINY]] as const) {
  onEachAlone(`styles take turns at random, reads are aborted: the bytes are the peer's${name}`, options, async (t, proactor) => {
    const runs = sized(4, 150);
    for (let seed = 1; seed <= runs; seed += 1) {
      const random = new Random(seed);
      const pair = await pairOf(proactor, random.pick(TRANSPORTS));
      const content = randomBytes(500_000 + random.below(1_000_000), seed);
      const sending = sendAll(pair.peer, content);
      sameBytes(t, await readAtRandom(pair, proactor, random), content, `seed ${seed}`);
      await sending;
      await pair.stream.close();
    }
    const { streamPool, pool, blocksBusy } = proactor.stats();
    t.is(streamPool?.available, streamPool?.count);
    for (const each of pool) t.is(each.available, each.count, `blocks of ${each.size} bytes`);
    t.is(blocksBusy, 0);
  });
}

onEachAlone('readers on many streams do not disturb each other', {}, async (t, proactor) => {
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const random = new Random(index + 1000);
      const pair = await pairOf(proactor, random.pick(TRANSPORTS));
      const content = randomBytes(200_000, index + 77);
      const sending = sendAll(pair.peer, content);
      sameBytes(t, await readAtRandom(pair, proactor, random), content, `stream ${index}`);
      await sending;
      await pair.stream.close();
    }),
  );
  t.is(proactor.stats().streamPool?.leased, 0);
});
