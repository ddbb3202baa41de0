/**
 * Description: a race-safe reader that closes: the read that waits is ended, what it brought and nobody touched goes back, and
 * the next reader, of whatever style, begins there. Streams, files, datagrams.
 *
 * What turns it red: bytes that a closed reader keeps from the next one, gives back out of order, or takes from a program that
 * has seen them; a datagram that comes for a promise which was rejected, and is dropped; memory that does not come back.
 */
import { execFileSync } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { alloc, bind, open, owned, pipe } from 'ritsu';
import type { AllocatorReader, Bytes, Proactor, UdpSocket } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import { closeAll, drain, pause } from '../support/net.ts';
import { fileFor, streamOf, textOf } from '../support/sources.ts';
import { RoundAllocator } from '../support/styles.ts';

const raceSafe = { raceSafe: true };

async function socketOf(t: ExecutionContext, proactor: Proactor) {
  const [socket, peer]: UdpSocket[] = [await bind({ host: '127.0.0.1', proactor }), await bind({ host: '127.0.0.1', proactor })];
  t.teardown(() => closeAll(socket!, peer!));
  const { port } = socket!.address();
  return { socket: socket!, peer: peer!, send: (text: string) => peer!.send(text, port) };
}

onEach('a reader that closes ends the read that waits: the next reader gets the bytes', async (t, proactor) => {
  // Seen red: `giveUp` of StreamSource did nothing. (Where bytes overtake the cancel: `__test__/soundness/race-safe.test.ts`.)
  const { stream, send } = await streamOf(t, proactor);
  const allocators = [undefined, new RoundAllocator(() => alloc(100, { proactor })), new RoundAllocator(() => alloc(100, { proactor }), true)];
  for (const allocator of allocators) {
    for (const comes of [false, true]) {
      const reader = stream.allocator({ ...raceSafe, allocator });
      const waiting = reader.read();
      await proactor.nop();
      if (comes) await send('ab');
      const closing = reader.close();
      const had = await waiting.then((bytes) => bytes!.length, (error: { code?: string }) => error.code);
      await closing;
      if (!comes) t.is(had, 'ERR_RITSU_CLOSED');
      const next = stream.hybrid().read(owned(alloc(1, { proactor })));
      if (!comes) await send('ab');
      t.is(textOf(await next), 'a', `${had}`);
      t.is(textOf(await stream.allocator().read()), 'b');
      await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
    }
    await pause(10);
    t.is(allocator?.out ?? 0, 0, 'the memory is back');
  }
});

onEachAlone('a reader that closes gives back what nobody touched, before all that is stashed', {}, async (t, proactor) => {
  // Seen red: `prepend` of Stash put it last; `prepend` of Intake did not serve the read that waited.
  const { stream, peer, send } = await streamOf(t, proactor);
  await send('armed');
  t.is(textOf(await stream.allocator().read()), 'armed'); // the ring goes on receiving: what comes now is stashed
  await send('abcdefghi');
  await pause(20);
  const small = stream.allocator({ ...raceSafe, blockSize: 3 });
  const first = (await small.read())!;
  t.is(first.length, 3);
  const copies = proactor.stats().copies;
  await small.close();
  t.true(first.released);
  t.true(proactor.stats().copies > copies);
  const reader = stream.submitter();
  reader.submit(alloc(2, { proactor }));
  t.is(textOf(await reader.poll()), 'ab');
  const again = stream.allocator({ ...raceSafe, blockSize: 4 });
  t.is((await again.read())!.length, 1, 'the rest of what came back');
  const waiting = stream.allocator({ ...raceSafe, blockSize: 6 });
  t.is(textOf(await waiting.read()), 'defghi');
  const next = waiting.read();
  await again.close();
  t.is(textOf(await next), 'c', 'a read that waits gets it at once');
  await peer.writer().end();
  t.is((await drain(stream.allocator())).length, 0);
});

onEach('iteration that waits ends with its reader', async (t, proactor) => {
  // Seen red: `close` of AllocatorReader did not close RaceSafeReads.
  const { stream, send } = await streamOf(t, proactor);
  const reader = stream.allocator(raceSafe);
  const next = reader[Symbol.asyncIterator]().next();
  await pause(1);
  await reader.close();
  await t.throwsAsync(next, { code: 'ERR_RITSU_CLOSED' });
  await send('more');
  t.is(textOf(await stream.allocator().read()), 'more');
});

onEach('bytes that somebody has touched, or that have nowhere to go, stay where they are', async (t, proactor) => {
  // Seen red: `close` of RaceSafeReads released whatever the read had brought.
  const { stream, send } = await streamOf(t, proactor);
  const reader = stream.allocator(raceSafe);
  await send('seen');
  const bytes = await reader.read();
  t.is(bytes!.data.toString(), 'seen');
  await reader.close();
  t.is(textOf(bytes), 'seen');
  const last = stream.allocator(raceSafe);
  await send('late');
  const kept = await last.read();
  await stream.destroy();
  await last.close();
  t.is(textOf(kept), 'late', 'the stream is closed: there is no next read');
});

onEach('a reader of a file that closes: the next one begins where its bytes began', async (t, proactor) => {
  // Seen red: `rewind` of Sequence left `#delivered` as it was; left `#atEnd`; did not ask whether others had read on.
  const file = await fileFor(t, proactor, 'abcdefghij');
  const ofFour = (): AllocatorReader => file.allocator({ ...raceSafe, blockSize: 4 });
  const [first, second] = [ofFour(), ofFour()];
  const waiting = t.throwsAsync(first.read(), { code: 'ERR_RITSU_CLOSED' });
  await first.close();
  await waiting;
  t.is((await second.read())!.length, 4);
  const behind = [file.allocator({ blockSize: 4 }).read(), file.allocator({ blockSize: 8 }).read()];
  await second.close();
  t.deepEqual([textOf(await behind[0]!), textOf(await behind[1]!)], ['abcd', 'efghij']);
  t.is(await file.allocator().read(), null);

  const other = await fileFor(t, proactor, 'abcdefghij');
  const overtaken = other.allocator({ ...raceSafe, blockSize: 4 });
  const untouched = await overtaken.read();
  t.is(textOf(await other.allocator({ blockSize: 4 }).read()), 'efgh');
  await overtaken.close();
  t.is(textOf(untouched), 'abcd', 'others have read on: it stays with its promise');
  const end = other.allocator({ ...raceSafe, blockSize: 4 });
  t.is((await end.read())!.length, 2);
  const beyond = other.allocator().read();
  await end.close();
  t.is(textOf(await beyond), 'ij', 'it was begun where the file seemed to end');
  t.is(await other.allocator().read(), null);
});

onEach('datagrams: an empty one is given until it is touched, and what goes back keeps its sender and its order', async (t, proactor) => {
  // Seen red: `empty` of Bytes had its data; `prepend` of DatagramQueue pushed it last, and without its sender.
  const { socket, peer, send } = await socketOf(t, proactor);
  const reader = socket.allocator(raceSafe);
  for (const text of ['', 'b', 'c']) await send(text);
  const empty = await reader.read();
  t.is(empty!.length, 0);
  t.is(await reader.read(), empty, 'nobody has touched it');
  await reader.close();
  t.true(empty!.released);
  const small = socket.submitter();
  small.submit(alloc(10, { proactor }));
  const again = await small.poll();
  t.deepEqual([again.length, again.address], [0, peer.address()]);
  const [one, two] = [socket.allocator(raceSafe), socket.allocator(raceSafe)];
  const [b, c] = [await one.read(), await two.read()];
  await two.close();
  await one.close();
  t.deepEqual([b!.released, c!.released], [true, true]);
  const both = await socket.receiveMany(3);
  t.deepEqual(both.map((bytes) => [bytes.address!.port, textOf(bytes)]), [[peer.address().port, 'b'], [peer.address().port, 'c']]);
});

onEach('datagrams: one that comes too late for a promise that was rejected is the next read’s', async (t, proactor) => {
  // Seen red: `complete` of DatagramRead did not keep it.
  const { socket, send } = await socketOf(t, proactor);
  for (let round = 0; round < 20; round += 1) {
    const reader = socket.allocator(raceSafe);
    const waiting = reader.read();
    await proactor.nop();
    const sending = send(`datagram ${round}`);
    if (round % 2 === 0) await sending;
    await reader.close();
    await waiting.catch((error: { code?: string }) => t.is(error.code, 'ERR_RITSU_CLOSED'));
    const bytes = await socket.hybrid().read(owned(alloc(8, { proactor })));
    t.deepEqual([bytes!.data.toString(), bytes!.truncated], ['datagram', true]);
    await sending;
  }
});

onEach('a FIFO that was opened as a file has no place to go back to: its bytes stay with their promise', async (t, proactor) => {
  // Seen red: `giveUp` of FileSource dropped the read; `rewind` of Sequence did not ask for a position.
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  const [file, peer] = await Promise.all([open(path, { proactor }), pipe(path, { flags: 'w', proactor })]);
  const reader = file.allocator(raceSafe);
  const reading = reader.read();
  await peer.writer().writeAll('abc');
  await reading;
  await reader.close();
  t.is(textOf(await reading), 'abc');
  const waiting = file.allocator(raceSafe);
  const lost = waiting.read();
  await proactor.nop();
  await waiting.close();
  const outcome = lost.then(textOf, (error: { code?: string }) => error.code);
  await peer.writer().writeAll('def');
  // Its own completion decides: it was ended, or it has the bytes.
  if ((await outcome) === 'ERR_RITSU_CLOSED') t.is(textOf(await file.allocator().read()), 'def');
  else t.is(await outcome, 'def');
  await peer.close();
  await file.close();
});

onEach('what goes back is the read’s that waits already, in its own memory, before what comes', async (t, proactor) => {
  // Seen red: `prepend` of Intake, and that of DatagramQueue, did not call back the read that the kernel had.
  const { stream, send } = await streamOf(t, proactor);
  const socket = await socketOf(t, proactor);
  const ways = [
    // A stream gives as much as there is room for, and as has come.
    { room: 5, reader: () => stream.allocator(raceSafe), into: (memory: Buffer) => stream.hybrid().read(owned(memory)), send },
    { room: 64, reader: () => socket.socket.allocator(raceSafe), into: (memory: Buffer) => socket.socket.hybrid().read(owned(memory)), send: socket.send },
  ];
  for (const way of ways) {
    for (const comes of [false, true]) {
      const safe = way.reader();
      await way.send('first');
      await safe.read();
      const waiting = way.into(alloc(way.room, { proactor }));
      await proactor.nop(); // the kernel has it
      const sending = comes ? way.send('second') : undefined;
      await safe.close();
      t.is((await waiting)!.data.toString(), 'first');
      await (sending ?? way.send('second'));
      let rest = '';
      while (rest.length < 'second'.length) rest += (await way.into(alloc(64, { proactor })))!.data.toString();
      t.is(rest, 'second');
    }
  }
});

onEach('a datagram is cut short or not, whatever the buffer that is told of it reads elsewhere', async (t, proactor) => {
  // Seen red: `land` of DatagramQueue looked at its completion after the buffer was told.
  const [one, other] = [await socketOf(t, proactor), await socketOf(t, proactor)];
  for (const [{ socket, send }, text] of [[one, '0123456789'], [other, 'short']] as const) {
    const safe = socket.allocator(raceSafe);
    await send(text);
    await safe.read();
    await safe.close();
  }
  let elsewhere: Promise<Bytes | null> | undefined;
  const complete = (): void => {
    elsewhere = other.socket.hybrid().read(owned(alloc(64, { proactor })));
  };
  const bytes = await one.socket.hybrid().read({ prepare: () => ({ memory: alloc(4, { proactor }) }), complete });
  t.deepEqual([bytes!.data.toString(), bytes!.truncated], ['0123', true]);
  t.is((await elsewhere)!.truncated, false);
});

onEach('a reader that its allocator closes ends the read that it was asked for', async (t, proactor) => {
  // Seen red: `next` of RaceSafeReads kept the read that `close` had not seen.
  const { stream, send } = await streamOf(t, proactor);
  const allocator = { acquire: () => (void reader.close(), alloc(64, { proactor })), release: () => {} };
  const reader = stream.allocator({ ...raceSafe, allocator });
  await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  await send('here');
  t.is(textOf(await stream.allocator().read()), 'here');
});
