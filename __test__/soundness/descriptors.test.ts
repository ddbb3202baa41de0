/**
 * Description: a number of the system's means one open file from an operation's submit to its end, and is closed once. The
 * numbers are those of `docs/soundness.md`.
 */
import * as fs from 'node:fs';
import { alloc, connect, listen, open, pipe } from 'ritsu';
import type { Proactor } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { collect, collectUntil } from '../support/collect.ts';
import { fileOf, openCount } from '../support/files.ts';
import { pause } from '../support/net.ts';
import { sized } from '../support/size.ts';
import { fifo } from '../support/streams.ts';

/** How many descriptors the file has: on some backends a FIFO that is read and written has two. */
async function readAndLose(proactor: Proactor, path: string, closes: boolean): Promise<number> {
  const file = await open(path, { flags: 'r+', proactor });
  file.submitter().submit(alloc(2 ** 20, { proactor }));
  const count = openCount(path);
  if (closes) void file.close();
  return count;
}

for (const closes of [false, true]) {
  const how = closes ? 'closed and lost' : 'lost';
  // S2, red when a close does not wait for those that hold the descriptor (`Op::Close` in `Proactor::admit`); where the file
  // was only lost, when its read does not keep it (`FileSource`, ts/read/file-source.ts).
  onEachAlone(`S2: a file that is ${how} stays open while its read waits, and no longer`, {}, async (t, proactor) => {
    const path = fifo();
    const count = await readAndLose(proactor, path, closes);
    await collect();
    await pause(50);
    t.true(proactor.stats().inFlight >= 1);
    t.is(openCount(path), count, 'a read still waits');
    fs.writeFileSync(path, 'to nobody');
    t.true(await collectUntil(() => openCount(path) === 0 && proactor.stats().inFlight === 0, 300), JSON.stringify(proactor.stats()));
    t.is(proactor.stats().descriptorsOpen, 0);
    t.is(proactor.stats().blocksBusy, 0);
  });
}

// Red when a close does not wait for those that hold the descriptor (`Op::Close` in `Proactor::admit`).
onEach('S13: a connection that comes as another one is closed keeps all its bytes', async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const { port } = listener.address();
  const join = async () => Promise.all([connect({ port, host: '127.0.0.1', proactor }), listener.accept()]);
  for (let round = 0; round < sized(30, 1000); round += 1) {
    const [peer, closing] = await join();
    const { fd } = closing;
    // Queued in one turn: a read, the end of what it reads from, and another connection that may get the number.
    const read = closing.hybrid().read({ prepare: () => ({ memory: alloc(64, { proactor }) }), complete() {} });
    const refused = t.throwsAsync(read, { code: 'ERR_RITSU_CLOSED' });
    const closed = closing.close();
    const between = fs.openSync('/dev/null', 'r');
    const [next, accepted] = await join();
    await next.writer().writeAll(`for ${round}`);
    const bytes = await accepted.allocator().read();
    t.is(bytes?.data.toString(), `for ${round}`);
    bytes?.release();
    await Promise.all([refused, closed]);
    fs.closeSync(between);
    if (round === 0) t.true(fd !== 0);
    await Promise.all([peer.close(), next.close(), accepted.close()]);
  }
  await listener.close();
});

// Red when `duplicate` (crates/ritsu/src/ring.rs) hands the program's own number on.
onEach('S14: the program closes its descriptor under a read of the pipe: the read goes on, the end is ours to tell', async (t, proactor) => {
  const path = fifo();
  const raw = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const writer = fs.openSync(path, 'w');
  const input = await pipe(raw, { proactor });
  const reader = input.allocator();
  const read = reader.read();
  await pause(20);
  fs.closeSync(raw);
  const other = fs.openSync(fileOf('of another file'), 'r');
  t.log(`${raw} is ${other} now`); // the same number, unless another test was quicker
  fs.writeSync(writer, 'of the pipe');
  const bytes = await read;
  t.is(bytes?.data.toString(), 'of the pipe');
  bytes?.release();
  const waiting = t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  await input.close();
  await waiting;
  t.throws(() => fs.writeSync(writer, 'x'), { code: 'EPIPE' }, 'the other side is told');
  t.is(fs.readFileSync(other, 'utf8'), 'of another file', 'which is untouched');
  fs.closeSync(other);
  fs.closeSync(writer);
});

// Red when a file that the kernel has closed is closed again (`into_raw_fd` in `InFlight::finish`).
onEach('S15: no number is closed twice, while another thread opens as many as it can', async (t, _proactor, backend) => {
  const ended = await runProgram('descriptor-churn', [backend, sized(300, 10_000)], { timeoutMs: sized(60_000, 600_000) });
  endedWith(t, ended, 0);
  const { before, after, surprises, opened } = reported(ended);
  t.deepEqual(surprises, [], 'files of the other thread were closed or replaced');
  t.deepEqual(after, before, 'numbers in use');
  t.true(Number(opened) > 1000, `the other thread opened only ${String(opened)}`);
});
