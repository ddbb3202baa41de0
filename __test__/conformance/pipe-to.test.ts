/**
 * Description: `pipeTo`: what comes on a stream arrives at its target, each byte once and in order; the end is passed on; no more is
 * taken than the target takes; aborted or not, what was not written is what the stream's next read gets.
 *
 * What turns it red: a rest of a write that is dropped or given back twice; a read that is used again with the block or the offset of the
 * one before; a write that is used again while it stands in a line; a target that is ended by an abort.
 */
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, open, pipe } from 'ritsu';
import type { Stream } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { collect } from '../support/collect.ts';
import { freshPath, randomBytes } from '../support/files.ts';
import { disposed, drain, tcpPair, unixPair } from '../support/net.ts';
import { Random } from '../support/random.ts';
import { ENOUGH, feed, fill, relayOf, smallRelayOf, take, whole } from '../support/relay.ts';
import type { Failure, PairOf, Relay } from '../support/relay.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { fifo } from '../support/streams.ts';

const MIB = 2 ** 20;

const ROUTES: readonly (readonly [string, PairOf, PairOf])[] = [
  ['TCP to TCP', tcpPair, tcpPair],
  ['TCP to Unix', tcpPair, unixPair],
  ['Unix to TCP', unixPair, tcpPair],
];

for (const [name, from, to] of ROUTES) {
  onEach(`all of it, then the end: ${name}`, async (t, proactor) => {
    const content = randomBytes(3 * MIB + 5, 1);
    const { client, source, target, sink } = await disposed(t, relayOf(proactor, from, to));
    const piping = source.pipeTo(target);
    const feeding = feed(client, content, new Random(7));
    sameBytes(t, await drain(sink.allocator()), content);
    t.is(await piping, content.length);
    await feeding;
    t.is(await source.allocator().read(), null, 'the end of the source stays');
    await sink.writer().writeAll('back'); // the other direction is not ended
    t.is((await take(target, 4)).toString(), 'back');
  });
}

onEach('back where it came from: an echo', async (t, proactor) => {
  const content = randomBytes(2 * MIB, 2);
  const { inside, outside } = await disposed(t, tcpPair(proactor));
  const echo = inside.pipeTo(inside);
  const feeding = feed(outside, content, new Random(8));
  sameBytes(t, await drain(outside.allocator()), content);
  t.is(await echo, content.length);
  await feeding;
});

onEach('to a file, and without its end to a writer that goes on', async (t, proactor) => {
  const content = randomBytes(MIB + 1, 3);
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  await writer.writeAll('before ');
  const first = await disposed(t, relayOf(proactor));
  const feeding = feed(first.client, content, new Random(9));
  t.is(await first.source.pipeTo(writer, { end: false }), content.length);
  await writer.writeAll(' between ');
  await feeding;
  const second = await disposed(t, relayOf(proactor));
  await second.client.writer().push('after').end();
  t.is(await second.source.pipeTo(writer), 5);
  await t.throwsAsync(writer.writeAll('more'), { code: 'ERR_RITSU_CLOSED' });
  await file.close();
  sameBytes(t, fs.readFileSync(path), Buffer.concat([Buffer.from('before '), content, Buffer.from(' between after')]));
});

onEach('several one after the other to one target; what was pushed there goes at the end', async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const other = await disposed(t, tcpPair(proactor));
  await client.writer().push('one ').end();
  await other.outside.writer().push('two ').end();
  const writer = target.writer().push('three');
  t.is(await source.pipeTo(target, { end: false }), 4);
  t.is(await other.inside.pipeTo(writer), 4);
  t.is((await drain(sink.allocator())).toString(), 'one two three');
});

onEachAlone('no more is taken than the target takes', {}, async (t, proactor) => {
  const content = randomBytes(ENOUGH, 4);
  const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
  const piping = source.pipeTo(target);
  const { sending } = await fill(client, content, new Random(14));
  t.true((proactor.stats().streamPool?.leased ?? 0) <= 100, `${proactor.stats().streamPool?.leased} blocks`); // 8 MiB
  sameBytes(t, await drain(sink.allocator()), content);
  t.is(await piping, content.length);
  await sending;
  await whole(t, proactor);
});

onRealAlone('a target of another proactor gets copies', {}, async (t, proactor, backend) => {
  const other = new Proactor({ backend });
  const content = randomBytes(MIB, 8);
  const first = await disposed(t, tcpPair(proactor));
  const second = await tcpPair(other);
  const piping = first.inside.pipeTo(second.inside);
  const feeding = feed(first.outside, content, new Random(13));
  sameBytes(t, await drain(second.outside.allocator()), content);
  t.is(await piping, content.length);
  await feeding;
  await whole(t, proactor);
  await whole(t, other);
  await other.destroy();
});

onReal('from a FIFO to a FIFO', async (t, proactor) => {
  const [from, to] = [fifo(), fifo()];
  const [source, client, sink, target] = await Promise.all([
    pipe(from, { proactor }), pipe(from, { flags: 'w', proactor }), pipe(to, { proactor }), pipe(to, { flags: 'w', proactor }),
  ]);
  const content = randomBytes(500_000, 9);
  const piping = source.pipeTo(target);
  const feeding = feed(client, content, new Random(15));
  sameBytes(t, await drain(sink.allocator()), content);
  t.is(await piping, content.length);
  await feeding;
  await Promise.all([source, client, sink, target].map((each) => each.close()));
});

onEach('a writer that sends from the memory itself', async (t, proactor) => {
  const content = randomBytes(3 * MIB, 10);
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const piping = source.pipeTo(target.writer({ zeroCopy: true }));
  const feeding = feed(client, content, new Random(16));
  sameBytes(t, await drain(sink.allocator()), content);
  t.is(await piping, content.length);
  await feeding;
});

onEach('beside others that write to the same target, each in its own order', async (t, proactor) => {
  const random = new Random(17);
  const [piped, own] = [randomBytes(MIB, 11), randomBytes(200_000, 12)];
  for (let at = 0; at < piped.length; at += 1) piped[at]! &= 0x7f;
  for (let at = 0; at < own.length; at += 1) own[at]! |= 0x80; // so that the sink can tell them apart
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const piping = source.pipeTo(target, { end: false });
  const writing = async (): Promise<void> => {
    const writer = target.writer();
    const writes: Promise<unknown>[] = [];
    for (let at = 0; at < own.length; ) {
      const length = 1 + random.below(300);
      writes.push(writer.writeAll(own.subarray(at, at + length))); // several wait in line, and go along with what is passed on
      at += length;
      if (random.chance(0.3)) await delay(0);
    }
    await Promise.all(writes);
  };
  const feeding = feed(client, piped, new Random(18), 500);
  const written = Promise.all([writing(), piping]).then(() => target.shutdown());
  const came = await drain(sink.allocator());
  sameBytes(t, came.filter((byte) => byte < 0x80), piped, 'what was passed on');
  sameBytes(t, came.filter((byte) => byte >= 0x80), own, 'what others wrote');
  await Promise.all([feeding, written]);
});

onReal('streams to which nobody refers are passed on until they end', async (t, proactor) => {
  const content = randomBytes(MIB, 13);
  const begin = async (): Promise<{ client: Stream; sink: Stream; piping: Promise<number> }> => {
    const { client, source, target, sink } = await relayOf(proactor);
    const piping = source.pipeTo(target);
    return { client, sink, piping };
  };
  const { client, sink, piping } = await begin();
  await collect();
  const feeding = feed(client, content.subarray(0, -1), new Random(19));
  const arriving = drain(sink.allocator());
  await collect();
  await feeding;
  sameBytes(t, await arriving, content.subarray(0, -1));
  t.is(await piping, content.length - 1);
  await Promise.all([client.close(), sink.close()]);
});

/** Pass on or read, by turns and for random times, until the end; what arrived and what was read, in order. */
async function passAtRandom({ source, target, sink }: Relay, random: Random): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    if (random.chance(0.3)) {
      const bytes = await source.allocator({ blockSize: 1 + random.below(70_000) }).read();
      if (bytes === null) return Buffer.concat(parts);
      parts.push(bytes.copy());
      bytes.release();
      continue;
    }
    const abort = new AbortController();
    const piping = source.pipeTo(target, { signal: abort.signal, prompt: random.chance(0.5), end: false });
    const passed = piping.then((count) => count, async (error: Failure) => {
      if (error.name !== 'AbortError') throw error;
      return (await error.outcome)?.bytesTransferred ?? error.bytesTransferred;
    });
    let isOver = false;
    const over = passed.then((count) => {
      isOver = true;
      return count;
    });
    if (random.chance(0.3)) queueMicrotask(() => abort.abort());
    else if (random.chance(0.5)) setImmediate(() => abort.abort());
    else setTimeout(() => abort.abort(), random.below(5));
    if (random.chance(0.7)) await delay(random.below(3)); // the sink is slow to begin
    const came: Buffer[] = [];
    let length = 0;
    const reading = new AbortController();
    void over.then(() => setImmediate(() => reading.abort()), () => reading.abort());
    while (!isOver || length < (await over)) {
      const bytes = await sink.allocator().read(isOver ? {} : { signal: reading.signal }).catch(() => undefined);
      if (bytes === undefined) continue;
      came.push(bytes!.copy());
      length += bytes!.length;
      bytes!.release();
    }
    parts.push(...came);
    if (length !== (await over)) throw new Error(`${length} bytes arrived, ${await over} were passed on`);
  }
}

for (const [name, options] of [['', {}], [', a tiny group', { streamPool: { size: 4096, count: 3 } }]] as const) {
  onEachAlone(`passing on and reading take turns at random, with aborts: the bytes are the client's${name}`, options, async (t, proactor) => {
    for (let seed = 1; seed <= sized(4, 100); seed += 1) {
      const random = new Random(seed);
      const relay = await relayOf(proactor);
      const content = randomBytes(500_000 + random.below(MIB), seed);
      const feeding = feed(relay.client, content, random);
      sameBytes(t, await passAtRandom(relay, random), content, `seed ${seed}`);
      await feeding;
      await relay[Symbol.asyncDispose]();
    }
    await whole(t, proactor);
  });
}
