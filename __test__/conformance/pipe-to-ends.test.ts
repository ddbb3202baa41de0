/**
 * Description: how `pipeTo` ends before its source does: by its signal or its time, by an error of either side, by a close. The error says how
 * much was passed on, what was received and not written is read next, and no block is left out.
 *
 * What turns it red: bytes that a read brought after its abort; a count that leaves out what was written before an error; a limit that ends one
 * piece and not the whole; a target that is ended by an error; a rest that goes nowhere when its source is closed.
 */
import type { ExecutionContext } from 'ava';
import { CancelScope } from 'ritsu';
import type { TcpStream } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { closeAll, disposed, drain, pause, tcpPair } from '../support/net.ts';
import { Random } from '../support/random.ts';
import { MUCH, fill, relayOf, take, whole } from '../support/relay.ts';
import type { Failure } from '../support/relay.ts';
import { sameBytes } from '../support/same.ts';

async function failureOf(t: ExecutionContext, piping: Promise<number>, expectation?: object): Promise<Failure> {
  return t.throwsAsync<Failure>(piping, expectation);
}

onEach('an abort while it waits for bytes: they are the next read\'s', async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const writer = client.writer();
  for (const prompt of [false, true]) {
    const abort = new AbortController();
    const piping = source.pipeTo(target, { signal: abort.signal, prompt });
    await writer.writeAll('passed');
    t.is((await take(sink, 6)).toString(), 'passed');
    abort.abort('enough');
    t.like(await failureOf(t, piping, { name: 'AbortError' }), { code: 'ABORT_ERR', cause: 'enough', bytesTransferred: 6, rest: undefined });
    await writer.writeAll('kept');
    t.is((await take(source, 4)).toString(), 'kept');
  }
  t.like(await failureOf(t, source.pipeTo(target, { timeout: 20 })), { code: 'ERR_RITSU_TIMEOUT', message: 'pipeTo did not end in the time given', bytesTransferred: 0 });
  await writer.push('all of it').end();
  t.is(await source.pipeTo(target), 9, 'and can be passed on again');
  t.is((await drain(sink.allocator())).toString(), 'all of it');
});

for (const [name, prompt] of [['', false], [', told at once', true]] as const) {
  onEachAlone(`an abort while the target takes nothing${name}: what was not written is read next`, {}, async (t, proactor) => {
    const content = randomBytes(MUCH, 5);
    const { client, source, target, sink } = await disposed(t, relayOf(proactor));
    const scope = new CancelScope();
    const piping = source.pipeTo(target, { signal: scope.signal, prompt });
    t.is(scope.running, 1, 'one operation');
    const { sending } = await fill(client, content, new Random(10));
    const ending = Promise.all([scope.cancel('enough'), failureOf(t, piping, { name: 'AbortError' })]);
    const arriving = drain(sink.allocator()); // Node takes no write back
    const [tally, error] = await ending;
    t.deepEqual({ ...tally }, { completed: 0, aborted: 1, failed: 0 });
    const passed = (await error.outcome)?.bytesTransferred ?? error.bytesTransferred;
    t.true(passed > 0 && passed < content.length, `${passed} bytes`);
    t.is(error.rest, undefined);
    sameBytes(t, await drain(source.allocator()), content.subarray(passed), 'what was not passed on');
    await sending;
    await target.shutdown();
    sameBytes(t, await arriving, content.subarray(0, passed), 'what was');
    await whole(t, proactor);
  });
}

onEachAlone('a target that breaks: the error is the write\'s, and the rest is read next', {}, async (t, proactor) => {
  const content = randomBytes(MUCH, 6);
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const piping = source.pipeTo(target);
  const { sending } = await fill(client, content, new Random(11));
  await (sink as TcpStream).reset();
  const error = await failureOf(t, piping);
  t.true(['EPIPE', 'ECONNRESET'].includes(error.code), error.code);
  t.is((error as NodeJS.ErrnoException).syscall, 'write');
  sameBytes(t, await drain(source.allocator()), content.subarray(error.bytesTransferred), 'what was not passed on');
  await sending;
  t.false(source.closed || target.closed);
  await whole(t, proactor);
});

onEach('a source that breaks, or is closed: the target is not ended', async (t, proactor) => {
  const first = await disposed(t, relayOf(proactor));
  const broken = first.source.pipeTo(first.target);
  await first.client.writer().writeAll('said');
  t.is((await take(first.sink, 4)).toString(), 'said');
  await (first.client as TcpStream).reset();
  t.like(await failureOf(t, broken), { code: 'ECONNRESET', syscall: 'read', bytesTransferred: 4 });
  await first.target.writer().writeAll('more');
  t.is((await take(first.sink, 4)).toString(), 'more');

  const second = await disposed(t, relayOf(proactor));
  const closed = second.source.pipeTo(second.target);
  await pause(5);
  await Promise.all([second.source.close(), t.throwsAsync(closed, { code: 'ERR_RITSU_CLOSED' })]);
  t.false(second.target.closed);
});

onEachAlone('a source that is closed while the target takes nothing: the rest is on the error', {}, async (t, proactor, backend) => {
  const content = randomBytes(MUCH, 7);
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const abort = new AbortController();
  const piping = source.pipeTo(target, { signal: abort.signal });
  const { sending } = await fill(client, content, new Random(12));
  await source.close();
  abort.abort();
  const arriving = drain(sink.allocator());
  const { bytesTransferred, rest } = await failureOf(t, piping, { name: 'AbortError' });
  if (backend === 'node') t.is(rest, undefined); // Node takes no write back: all of the piece went
  else sameBytes(t, rest, content.subarray(bytesTransferred, bytesTransferred + rest!.length));
  await target.shutdown();
  sameBytes(t, await arriving, content.subarray(0, bytesTransferred));
  await closeAll(client);
  await t.throwsAsync(sending);
  await whole(t, proactor);
});

onEach('a writer that is ended, a target that is closed: nothing is taken', async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  await client.writer().writeAll('kept');
  const ended = target.writer();
  await ended.end();
  await t.throwsAsync(source.pipeTo(ended), { code: 'ERR_RITSU_CLOSED' });
  const { inside } = await disposed(t, tcpPair(proactor));
  await inside.close();
  await t.throwsAsync(source.pipeTo(inside), { code: 'ERR_RITSU_CLOSED' });
  t.is((await take(source, 4)).toString(), 'kept');

  const writer = sink.writer(); // it is ended by the program, between two pieces
  const piping = source.pipeTo(writer);
  await client.writer().writeAll('a');
  t.is((await take(target, 1)).toString(), 'a');
  await writer.end();
  await client.writer().writeAll('b');
  t.like(await failureOf(t, piping), { code: 'ERR_RITSU_CLOSED', bytesTransferred: 1 });
  t.is((await take(source, 1)).toString(), 'b');
});

onEachAlone('the time is that of the whole, also while the target is being ended', {}, async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const own = target.writer().writeAll(Buffer.alloc(MUCH)); // the end waits for it
  own.catch(() => {});
  await client.writer().end();
  const scope = new CancelScope();
  const error = await failureOf(t, source.pipeTo(target, { timeout: 100, signal: scope.signal }));
  t.like(error, { code: 'ERR_RITSU_TIMEOUT', bytesTransferred: 0 });
  t.is((await scope.settled()).aborted, 1);
  t.is((await drain(sink.allocator())).length, MUCH, 'and it is ended later');
  await own;
});

onEach('wrong arguments', async (t, proactor) => {
  const { inside } = await disposed(t, tcpPair(proactor));
  for (const target of [undefined, null, 5, 'out', {}, process.stdout]) {
    await t.throwsAsync(inside.pipeTo(target as never), { code: 'ERR_INVALID_ARG_TYPE' }, String(target));
  }
  for (const options of [null, 5, { end: 1 }, { signal: {} }, { prompt: 'x' }]) {
    await t.throwsAsync(inside.pipeTo(inside, options as never), { code: 'ERR_INVALID_ARG_TYPE' }, JSON.stringify(options));
  }
  await t.throwsAsync(inside.pipeTo(inside, { timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(inside.pipeTo(inside, { signal: AbortSignal.abort('before') }), { name: 'AbortError' });
  await t.throwsAsync(inside.pipeTo(inside, { timeout: 0 }), { code: 'ERR_RITSU_TIMEOUT' });
});
