/**
 * Description: what programs take for granted of a socket, of a duplex: last words arrive, an idle one notices its peer's end, silence is
 * silence, and options and arguments are taken as `net.Socket` takes them. The other side is Node's.
 *
 * What turns it red: a `destroy` or `process.exit()` that takes back what was written in the same turn; nothing that is read before
 * somebody wants it; the time of silence that goes on while a write does; an agent's `timeout` as a time to connect in; a read that
 * goes on when the `Readable` over it has ended, and takes the next reader's bytes.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { once } from 'node:events';
import * as http from 'node:http';
import * as net from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'ritsu';
import type { Proactor, TcpStream } from 'ritsu';
import { toDuplex, toReadable, toWeb } from 'ritsu/streams';
import type { DuplexOptions, StreamDuplex } from 'ritsu/streams';
import { Silence } from '../../dist/streams/silence.js';
import { AVAILABLE, onEach } from '../support/backends.ts';
import { endedWith, runProgram } from '../support/child.ts';
import { collect } from '../support/collect.ts';
import { randomBytes } from '../support/files.ts';
import { disposed, eventually, nodeServer } from '../support/net.ts';
import { pairOf, receiveAll } from '../support/streams.ts';
import type { Transport } from '../support/streams.ts';

const HOST = '127.0.0.1';

async function duplexAndPeer(t: ExecutionContext, proactor: Proactor, transport: Transport = 'tcp', options?: DuplexOptions): Promise<{ duplex: StreamDuplex; peer: net.Socket }> {
  const { stream, peer } = await pairOf(proactor, transport);
  t.teardown(() => void peer.destroy());
  return { duplex: toDuplex(stream, options), peer };
}

/** What happens at its end, in order. */
function endOf(duplex: StreamDuplex): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  duplex.on('end', () => seen.push('end')).on('error', (error: NodeJS.ErrnoException) => seen.push(error.code));
  return new Promise((resolve) => duplex.once('close', (hadError: unknown) => resolve([...seen, hadError])));
}

/** Each writes, and destroys in the same breath. */
const LAST_WORDS: Readonly<Record<string, (duplex: StreamDuplex) => void>> = {
  'one write': (duplex) => void duplex.write('last words'),
  'several writes': (duplex) => ['la', 'st', ' wor', 'ds'].forEach((part) => duplex.write(part)),
  'corked writes': (duplex) => {
    duplex.cork();
    for (const part of ['last', ' words']) duplex.write(part);
    duplex.uncork();
  },
  'a write and an end': (duplex) => {
    duplex.write('last ');
    duplex.end('words');
  },
};

for (const [name, write] of Object.entries(LAST_WORDS)) {
  onEach(`last words before destroy arrive: ${name}`, async (t, proactor) => {
    const { duplex, peer } = await duplexAndPeer(t, proactor);
    const received = text(peer);
    const closed = endOf(duplex);
    write(duplex);
    duplex.destroy();
    t.is(await received, 'last words');
    t.deepEqual(await closed, [false]);
  });
}

onEach('the answer of node:http to what is no request arrives', async (t, proactor) => {
  const { duplex, peer } = await duplexAndPeer(t, proactor);
  http.createServer().emit('connection', duplex);
  peer.write('this is no request\r\n\r\n');
  t.regex(await text(peer), /^HTTP\/1.1 400 Bad Request/);
});

for (const backend of AVAILABLE.filter((each) => each !== 'simulated')) {
  test(`${backend}: last words before process.exit() arrive`, async (t) => {
    const server = net.createServer().listen(0, HOST);
    await once(server, 'listening');
    const connected = once(server, 'connection') as Promise<[net.Socket]>;
    const { port } = server.address() as net.AddressInfo;
    const ended = runProgram('last-words', [port], { timeoutMs: 20_000, env: { RITSU_BACKEND: backend } });
    const [peer] = await connected;
    t.is(await text(peer), 'last words');
    endedWith(t, await ended, 0);
    server.close();
  });
}

onEach('a duplex that nobody reads notices that its peer has ended, or is gone', async (t, proactor) => {
  const ended = await duplexAndPeer(t, proactor, 'tcp', { allowHalfOpen: false });
  const end = endOf(ended.duplex);
  ended.peer.resume().end();
  t.deepEqual(await end, ['end', false]);
  const reset = await duplexAndPeer(t, proactor);
  const gone = endOf(reset.duplex);
  reset.peer.resetAndDestroy();
  t.deepEqual(await gone, ['ECONNRESET', true]);
});

onEach('a duplex to which nobody refers lives as long as its connection', async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  let came = '';
  toDuplex(stream).on('data', (chunk: Buffer) => (came += chunk.toString()));
  toDuplex((await pairOf(proactor)).stream).on('error', () => {});
  await collect();
  peer.write('still here');
  await eventually(t, 'it came', () => came === 'still here');
  t.false(peer.readableEnded);
  peer.destroy();
});

onEach('a write that goes on is no silence; after it, silence is', async (t, proactor) => {
  const { duplex, peer } = await duplexAndPeer(t, proactor, 'unix');
  const seen: string[] = [];
  duplex.setTimeout(1000, () => seen.push('timeout'));
  duplex.write(randomBytes(12 * 2 ** 20), () => seen.push('written'));
  const slow = setInterval(() => void peer.read(262_144), 50);
  await eventually(t, 'it was silent', () => seen.includes('timeout'), 20_000);
  clearInterval(slow);
  t.deepEqual(seen, ['written', 'timeout']);
  duplex.destroy();
});

onEach('the next reader has what comes after the end of a Readable, or of a web stream', async (t, proactor) => {
  for (const end of ['destroy', 'loop', 'cancel']) {
    const { stream, peer } = await pairOf(proactor);
    if (end === 'cancel') {
      const reader = toWeb(stream.allocator()).getReader();
      const read = reader.read();
      await pause(20);
      await reader.cancel();
      t.true((await read).done);
    } else {
      const readable = toReadable(stream.allocator());
      if (end === 'destroy') readable.resume();
      else {
        peer.write('taken');
        for await (const chunk of readable) if (String(chunk) === 'taken') break;
      }
      await pause(20);
      readable.destroy();
      if (!readable.closed) await once(readable, 'close');
    }
    peer.write('the next one’s');
    const bytes = await stream.allocator().read({ timeout: 5000 });
    t.is(bytes!.data.toString(), 'the next one’s', end);
    await stream.close();
    peer.destroy();
  }
});

// Seen red: `limit` of ts/streams/silence.ts left the timer as it was for a time that it had had before; took 0 for no change; `broken`
// did nothing.
test.serial('a time of silence is set again and again, as http does: one that is over is told once, and none is none', async (t) => {
  let told = 0;
  const silence = new Silence(() => (told += 1));
  silence.limit(50);
  silence.limit(0);
  await pause(150);
  t.is(told, 0, 'none');
  for (const [index, limit] of [50, 50, 20, 50].entries()) {
    const set = performance.now();
    silence.limit(limit);
    await eventually(t, 'it was silent', () => told > index);
    t.true(performance.now() - set > limit - 2, `after ${performance.now() - set} ms, not ${limit}`);
    await pause(3 * limit);
    t.is(told, index + 1, 'once');
  }
  silence.limit(300);
  for (let times = 0, before = performance.now(); times < 20; times += 1) {
    await pause(30);
    const late = performance.now() - before > 250; // the machine slept: then it may have been told
    if (late) told = 4;
    t.is(told, 4, 'something was heard');
    silence.broken();
    before = performance.now();
  }
  await eventually(t, 'it was silent', () => told === 5);
  silence.limit(20);
  silence.end();
  silence.broken();
  await pause(100);
  t.is(told, 5, 'it has ended');
});

onEach('small writes go at once, unless told otherwise', async (t, proactor) => {
  for (const noDelay of [undefined, true, false]) {
    const { stream, peer } = await pairOf(proactor);
    const asked: unknown[] = [];
    (stream as TcpStream).setNoDelay = (on) => (asked.push(on), stream as TcpStream);
    const duplex = toDuplex(stream, { noDelay });
    t.deepEqual(asked, noDelay === false ? [] : [true]);
    duplex.destroy();
    peer.destroy();
  }
  const { stream, peer } = await pairOf(proactor);
  t.throws(() => toDuplex(stream, { noDelay: 1 as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  await stream.destroy();
  peer.destroy();
});

onEach('what is buffered behind a peer that does not read does not hold up destroy', async (t, proactor) => {
  const { duplex, peer } = await duplexAndPeer(t, proactor, 'unix');
  const content = randomBytes(8 * 2 ** 20, 3);
  for (let at = 0; at < content.length; at += 100_000) duplex.write(content.subarray(at, at + 100_000));
  await pause(50);
  const closed = endOf(duplex);
  duplex.destroy();
  t.deepEqual(await closed, [false]);
  const came = await receiveAll(peer);
  t.true(came.length < content.length && came.equals(content.subarray(0, came.length)), `${came.length} bytes`);
});

onEach('an option that fails is not told, as by a socket', async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  t.teardown(() => void peer.destroy());
  const fails = (): never => {
    throw new Error('gone');
  };
  Object.assign(stream, { setNoDelay: fails, setKeepAlive: fails });
  const duplex = toDuplex(stream).setNoDelay(false).setKeepAlive(true);
  duplex.end('goes on');
  t.is(await text(peer), 'goes on');
  duplex.destroy();
});

onEach('setters take what those of a socket take', async (t, proactor) => {
  const { duplex } = await duplexAndPeer(t, proactor);
  t.is(duplex.timeout, undefined);
  for (const delay of [undefined, null, '10', 1.5, -1, Number.NaN, 2 ** 31, 60_000]) t.notThrows(() => duplex.setKeepAlive(true, delay as never), `${delay}`);
  for (const on of [undefined, 1, 'yes', null]) t.notThrows(() => duplex.setNoDelay(on as never), `${on}`);
  for (const milliseconds of [1.5, 0, 100_000]) t.is(duplex.setTimeout(milliseconds).timeout, milliseconds);
  for (const milliseconds of [-1, Number.NaN, Infinity]) t.throws(() => duplex.setTimeout(milliseconds), { code: 'ERR_OUT_OF_RANGE' });
  for (const wrong of [undefined, null, '10']) t.throws(() => duplex.setTimeout(wrong as never), { code: 'ERR_INVALID_ARG_TYPE' });
  duplex.write('12345');
  duplex.write('678');
  t.is(duplex.bytesWritten, 8);
  duplex.destroy();
  await once(duplex, 'close');
  t.true(duplex.pending);
  duplex.setTimeout(1, () => t.fail('it is over'));
  await pause(20);
});

onEach('options of a connection are taken as a socket takes them', async (t, proactor) => {
  const server = await disposed(t, nodeServer((socket) => socket.pipe(socket)));
  const odd = { timeout: 0, lookup: null, localPort: null, localAddress: '', path: '', noDelay: 1, keepAlive: 'yes', keepAliveInitialDelay: 1.5 };
  for (const given of [odd, { timeout: null }, { timeout: 50 }]) {
    const duplex = toDuplex((options) => connect({ ...options, proactor }));
    const looked: unknown[][] = [];
    duplex.on('lookup', (...told: unknown[]) => looked.push(told));
    duplex.connect({ port: server.port, host: 'localhost', family: 4, ...given } as never);
    await once(duplex, 'connect');
    t.deepEqual(looked, [[null, HOST, 4, 'localhost']]);
    if (given.timeout === 50) await once(duplex, 'timeout');
    t.is(duplex.timeout, given.timeout === 50 ? 50 : undefined);
    duplex.end('echoed');
    t.is(await text(duplex), 'echoed');
  }
  const wrong = toDuplex(() => t.fail('it is not to be connected'));
  t.throws(() => wrong.connect({ port: server.port, host: HOST, timeout: '50' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.false(wrong.connecting);
  const aborted = toDuplex((options) => connect({ ...options, proactor }));
  aborted.connect({ port: server.port, host: HOST, signal: AbortSignal.abort() });
  t.is(((await once(aborted, 'error')) as [Error])[0].name, 'AbortError');
});

onEach('what was sent before a reset of ours is dropped, and the peer is told', async (t, proactor) => {
  const { duplex, peer } = await duplexAndPeer(t, proactor);
  const told = once(peer, 'error').then(([error]) => (error as NodeJS.ErrnoException).code);
  duplex.write('never read');
  duplex.resetAndDestroy();
  peer.resume();
  t.is(await told.catch(String), 'ECONNRESET');
});

onEach('a large write through a duplex, and many small ones, arrive whole and in order', async (t, proactor) => {
  const { duplex, peer } = await duplexAndPeer(t, proactor);
  const received = receiveAll(peer);
  const parts = [randomBytes(3 * 2 ** 20, 1), ...Array.from({ length: 3000 }, (_, index) => randomBytes(1 + ((index * 7919) % 700), index)), randomBytes(700_001, 2)];
  for (const part of parts) duplex.write(part);
  duplex.end();
  const came = await received;
  t.true(came.equals(Buffer.concat(parts)), `${came.length} bytes`);
  t.is(duplex.bytesWritten, came.length);
  duplex.destroy();
});
