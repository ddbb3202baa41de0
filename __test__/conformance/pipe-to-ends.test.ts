/**
 * Description: how `pipeTo` ends before its source does: by its signal or its time, by an error of either side, by a close. The error says how
 * much was passed on, what was received and not written is read next, and no block is left out.
 *
 * What turns it red: bytes that a read brought after its abort; a count that leaves out what was written before an error; a limit that ends one
 * piece and not the whole; a target that is ended by an error; a rest that goes nowhere when its source is closed.
 */
import type { ExecutionContext } from 'ava';
import { CancelScope, handOver } from 'ritsu';
import type { PipeToOptions, Proactor, Stream, TcpStream } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { closeAll, disposed, drain, pause, tcpPair } from '../support/net.ts';
import { Random } from '../support/random.ts';
import { ENOUGH, MUCH, fill, relayOf, smallRelayOf, take, whole } from '../support/relay.ts';
import type { Failure, Relay } from '../support/relay.ts';
import { sameBytes } from '../support/same.ts';

async function failureOf(t: ExecutionContext, piping: Promise<number>, expectation?: object): Promise<Failure> {
  return t.throwsAsync<Failure>(piping, expectation);
}

/** How many bytes were passed on; with `prompt` what was under way is known later. */
async function passedBy({ outcome, bytesTransferred }: Failure): Promise<number> {
  return (await outcome)?.bytesTransferred ?? bytesTransferred;
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
    const error = await failureOf(t, piping, { name: 'AbortError' });
    t.like(error, { code: 'ABORT_ERR', cause: 'enough', rest: undefined });
    t.is(await passedBy(error), 6);
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
    const content = randomBytes(ENOUGH, 5);
    const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
    const scope = new CancelScope();
    const piping = source.pipeTo(target, { signal: scope.signal, prompt });
    t.is(scope.running, 1, 'one operation');
    const { sending } = await fill(client, content, new Random(10));
    const ending = Promise.all([scope.cancel('enough'), failureOf(t, piping, { name: 'AbortError' })]);
    const arriving = drain(sink.allocator()); // Node takes no write back
    const [tally, error] = await ending;
    t.deepEqual({ ...tally }, { completed: 0, aborted: 1, failed: 0 });
    const passed = await passedBy(error);
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
  t.is(error.rest, undefined, 'the source has it again');
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
  const content = randomBytes(ENOUGH, 7);
  const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
  const abort = new AbortController();
  const piping = source.pipeTo(target, { signal: abort.signal });
  const { sending } = await fill(client, content, new Random(12));
  await source.close();
  abort.abort();
  const arriving = drain(sink.allocator());
  const { bytesTransferred, rest } = await failureOf(t, piping, { name: 'AbortError' });
  // Node takes no write back, and the simulated system may be too late to do so: then all of the piece went.
  if (backend !== 'simulated') t.is(rest === undefined, backend === 'node');
  if (rest !== undefined) sameBytes(t, rest, content.subarray(bytesTransferred, bytesTransferred + rest.length));
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
  const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
  const own = target.writer().writeAll(Buffer.alloc(ENOUGH)); // the end waits for it
  own.catch(() => {});
  await client.writer().end();
  const scope = new CancelScope();
  const error = await failureOf(t, source.pipeTo(target, { timeout: 1000, signal: scope.signal }));
  t.like(error, { code: 'ERR_RITSU_TIMEOUT', bytesTransferred: 0 });
  t.is((await scope.settled()).aborted, 1);
  t.is((await drain(sink.allocator())).length, ENOUGH, 'and it is ended later');
  await own;
});

/** A target whose line is taken: by a write of somebody else's, to a peer that reads nothing. */
async function busyRelay(t: ExecutionContext, proactor: Proactor, options?: PipeToOptions): Promise<Relay & { readonly piping: Promise<number> }> {
  const relay = await disposed(t, smallRelayOf(proactor));
  const piping = relay.source.pipeTo(relay.target, options);
  piping.catch(() => {});
  await relay.client.writer().writeAll('first'); // so that what comes next is written by the same object
  t.is((await take(relay.sink, 5)).toString(), 'first');
  relay.target.writer().writeAll(Buffer.alloc(ENOUGH)).catch(() => {});
  await relay.client.writer().writeAll('second');
  await pause(30);
  return { ...relay, piping };
}

onEachAlone('what waits for its turn at the target is ended, too', {}, async (t, proactor) => {
  const abort = new AbortController();
  const aborted = await busyRelay(t, proactor, { signal: abort.signal });
  abort.abort();
  t.like(await failureOf(t, aborted.piping, { name: 'AbortError' }), { bytesTransferred: 5, rest: undefined });
  t.is((await take(aborted.source, 6)).toString(), 'second');

  const late = await busyRelay(t, proactor, { timeout: 1500 });
  t.like(await failureOf(t, late.piping, { name: 'TimeoutError' }), { bytesTransferred: 5, rest: undefined });
  t.is((await take(late.source, 6)).toString(), 'second');

  const destroyed = await busyRelay(t, proactor);
  const ending = destroyed.target.destroy();
  const arriving = drain(destroyed.sink.allocator()).catch(() => {}); // Node takes no write back
  const { code } = await failureOf(t, destroyed.piping);
  t.true(['ERR_RITSU_CLOSED', 'EPIPE'].includes(code), code);
  t.is((await take(destroyed.source, 6)).toString(), 'second');
  await Promise.all([ending, arriving]);
});

onEachAlone('the first that ends it is told', {}, async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
  const abort = new AbortController();
  const piping = source.pipeTo(target, { signal: abort.signal, timeout: 1500 });
  piping.catch(() => {});
  const sending = client.writer().writeAll(randomBytes(ENOUGH, 14));
  await pause(500);
  abort.abort('enough');
  await pause(1500); // of `node` the write is still under way
  const arriving = drain(sink.allocator());
  t.like(await failureOf(t, piping, { name: 'AbortError' }), { cause: 'enough' });
  await closeAll(client, target);
  await Promise.allSettled([sending, arriving]);
});

onEachAlone('a source that is passed on is neither handed over nor passed on twice, whatever it is at', {}, async (t, proactor, backend) => {
  const { client, source, target, sink } = await disposed(t, smallRelayOf(proactor));
  const inUse = { code: 'ERR_RITSU_IN_USE' };
  const abort = new AbortController();
  const piping = source.pipeTo(target, { signal: abort.signal });
  const unmoved = backend === 'node' ? { code: 'ERR_RITSU_UNAVAILABLE' } : inUse;
  await t.throwsAsync(handOver(source), unmoved);
  await t.throwsAsync(source.pipeTo(sink), inUse);
  const { sending } = await fill(client, randomBytes(ENOUGH, 15), new Random(21));
  await t.throwsAsync(handOver(source), unmoved, 'while a piece is being written');
  await t.throwsAsync(source.pipeTo(sink), inUse);
  abort.abort();
  const arriving = drain(sink.allocator());
  await failureOf(t, piping, { name: 'AbortError' });
  const again = source.pipeTo(target); // it can be, when that is over
  await sending;
  await again;
  await arriving;
});

onEach('what was pushed to the target and cannot be written at the end is on the error', async (t, proactor) => {
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const writer = target.writer().push('pushed');
  await client.writer().push('passed').end();
  await (sink as TcpStream).reset();
  await pause(30);
  const { bytesTransferred, rest } = await failureOf(t, source.pipeTo(writer));
  if (bytesTransferred === 0) t.is((await take(source, 6)).toString(), 'passed'); // the first write was told of the reset
  else t.is(String(rest), 'pushed');
});

onReal('an `end` of the program\'s own may fail as it likes', async (t, proactor) => {
  for (const reason of [null, 'text', Object.freeze(new Error('frozen'))]) {
    const { client, source, target } = await disposed(t, relayOf(proactor));
    const writer = Object.assign(target.writer(), { end: () => Promise.reject(reason) });
    await client.shutdown();
    const piping = source.pipeTo(writer);
    t.is(await piping.catch((error: unknown) => error), reason);
  }
});

onRealAlone('no memory to receive into: the read fails, and nothing else', {}, async (t, proactor) => {
  const { client, source, target } = await disposed(t, relayOf(proactor));
  const { streamGroup } = internals(proactor);
  const fails = (): never => {
    throw new RangeError('no memory');
  };
  Object.assign(streamGroup, { prepare: fails, take: fails });
  const scope = new CancelScope();
  for (const work of [source.pipeTo(target, { signal: scope.signal }), source.allocator().read({ signal: scope.signal })]) {
    await t.throwsAsync(work, { message: 'no memory' });
  }
  t.is((await scope.settled()).failed, 2);
  for (const name of ['prepare', 'take']) Reflect.deleteProperty(streamGroup, name);
  await client.writer().push('all of it').end();
  t.is(await source.pipeTo(target), 9);
});

onEach('wrong arguments', async (t, proactor) => {
  const { inside } = await disposed(t, tcpPair(proactor));
  for (const target of [undefined, null, 5, 'out', {}, process.stdout]) {
    await t.throwsAsync(inside.pipeTo(target as never), { code: 'ERR_INVALID_ARG_TYPE' }, String(target));
  }
  for (const options of [null, 5, { end: 1 }, { signal: {} }, { prompt: 'x' }]) {
    await t.throwsAsync(inside.pipeTo(inside, options as never), { code: 'ERR_INVALID_ARG_TYPE' }, JSON.stringify(options));
  }
  const impostor = Object.create(Object.getPrototypeOf(inside) as object) as Stream;
  await t.throwsAsync(inside.pipeTo(impostor), { instanceOf: TypeError });
  await t.throwsAsync(impostor.pipeTo(inside), { instanceOf: TypeError });
  await t.throwsAsync(inside.pipeTo(inside, { timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(inside.pipeTo(inside, { signal: AbortSignal.abort('before') }), { name: 'AbortError' });
  await t.throwsAsync(inside.pipeTo(inside, { timeout: 0 }), { code: 'ERR_RITSU_TIMEOUT' });
});
