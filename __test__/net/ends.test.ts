/**
 * Description: peers that do not read, and resources that the program forgot.
 *
 * What turns it red: bytes that are counted as sent and never arrive, or the other way; a forgotten listener or socket that
 * stays open, or one that is closed while somebody still reads.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { alloc, bind, connect, listen, open } from 'ritsu';
import type { AsyncRead, Stream, TcpStream } from 'ritsu';
import { BACKENDS, onEach, onEachAlone } from '../support/backends.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { collectUntil } from '../support/collect.ts';
import { freshPath, randomBytes } from '../support/files.ts';
import { closeAll, disposed, eventually, nodeConnect, tcpPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import test from 'ava';

onEach('full send buffers: what arrives is what is said to have been sent', async (t, proactor, backend) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const socket = await nodeConnect({ port: listener.address().port, host: '127.0.0.1' });
  socket.pause();
  const stream = await listener.accept();
  const data = randomBytes(32 << 20);
  const writer = stream.writer();
  const writing = writer.writeAll(data, { timeout: 100 }).then(
    ({ bytesWritten, rest }) => ({ name: 'written', bytesTransferred: bytesWritten, rest }),
    (error: Error & { bytesTransferred: number; rest: Buffer }) => error,
  );
  const parts: Buffer[] = [];
  setTimeout(() => socket.on('data', (chunk: Buffer) => parts.push(chunk)).resume(), 500);
  const { name, bytesTransferred, rest } = await writing;
  // Node takes no write back once it was begun: on that backend it wins.
  t.is(name, backend === 'node' ? 'written' : 'TimeoutError');
  t.is(rest.length, data.length - bytesTransferred);
  sameBytes(t, rest, data.subarray(bytesTransferred));
  const ended = once(socket, 'end');
  await writer.end();
  await ended;
  sameBytes(t, Buffer.concat(parts), data.subarray(0, bytesTransferred), 'what arrived');
  await closeAll(stream, listener);
});

onEach('a slow consumer loses nothing, and does not make the sender’s bytes ours', async (t, proactor) => {
  const pair = await disposed(t, tcpPair(proactor));
  const data = randomBytes(24 << 20);
  const writing = pair.inside.writer().writeAll(data).then(() => pair.inside.shutdown());
  const parts: Buffer[] = [];
  let count = 0;
  for await (const bytes of pair.outside.allocator()) {
    parts.push(bytes.copy());
    count += 1;
    if (count < 30) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await writing;
  sameBytes(t, Buffer.concat(parts), data);
});

/** More than the buffers of a connection take, so that its sender waits. */
const LARGE = 16 << 20;

async function forget(make: () => Promise<unknown>): Promise<void> {
  await make();
}

onEachAlone('what is forgotten is closed, with a warning', {}, async (t, proactor) => {
  const warnings: string[] = [];
  const listen0 = (warning: Error & { code?: string }): void => void warnings.push(warning.code!);
  process.on('warning', listen0);
  await forget(() => listen({ port: 0, host: '127.0.0.1', proactor }));
  await forget(() => bind({ host: '127.0.0.1', proactor }));
  await forget(async () => {
    const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
    await listener.accept({ timeout: 10 }).catch(() => {}); // its operation stays armed
  });
  t.true(await collectUntil(() => proactor.stats().descriptorsOpen === 0, 2000), `${proactor.stats().descriptorsOpen} open`);
  process.off('warning', listen0);
  t.true(warnings.filter((code) => code === 'RITSU_UNCLOSED').length >= 3, warnings.join());
  await eventually(t, 'the closing is over', () => proactor.stats().inFlight === 0);
});

onEachAlone('what somebody still reads from, or waits for, is not', {}, async (t, proactor) => {
  const client = await bind({ host: '127.0.0.1', proactor });
  const makeReader = async (): Promise<[AsyncRead, number]> => {
    const socket = await bind({ host: '127.0.0.1', proactor });
    return [socket.allocator(), socket.address().port];
  };
  const makeAccept = async (): Promise<[Promise<unknown>, number]> => {
    const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
    return [listener.accept().then((stream) => stream.close()), listener.address().port];
  };
  const [reader, port] = await makeReader();
  const [accepting, tcpPort] = await makeAccept();
  await collectUntil(() => proactor.stats().descriptorsOpen < 3, 20);
  t.is(proactor.stats().descriptorsOpen, 3);
  await client.send('still there', port);
  const bytes = await reader.pull();
  t.is(bytes?.data.toString(), 'still there');
  bytes?.release();
  const socket = await nodeConnect({ port: tcpPort, host: '127.0.0.1' });
  await accepting;
  socket.destroy();
  await client.close();
});

// Seen red: a `StreamWriter` referred to the channel instead of the source, and a write of `sendFile` was refused with ERR_RITSU_CLOSED.
onEachAlone('what somebody still writes to, or sends a file to, is not', {}, async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const { port } = listener.address();
  const accepted: TcpStream[] = [];
  const makeStream = async (): Promise<TcpStream> => {
    const [stream, peer] = await Promise.all([connect({ port, host: '127.0.0.1', proactor }), listener.accept()]);
    accepted.push(peer);
    return stream;
  };
  let weak: WeakRef<TcpStream> | undefined;
  const written = await makeStream().then((stream) => {
    weak = new WeakRef(stream);
    return stream.writer();
  });
  const path = freshPath('sent');
  writeFileSync(path, randomBytes(LARGE));
  const file = await open(path, { proactor });
  const sending = makeStream().then((stream) => stream.sendFile(file));
  sending.catch(() => {}); // told below
  await eventually(t, 'the sending has begun', () => accepted.length === 2);
  await collectUntil(() => proactor.stats().descriptorsOpen < 6, 20);
  t.is(proactor.stats().descriptorsOpen, 6);
  t.false(weak?.deref()?.closed, 'nor is the stream itself collected');
  await written.writeAll('still there');
  const bytes = await accepted[0]!.allocator().read();
  t.is(bytes?.data.toString(), 'still there');
  bytes?.release();
  let received = 0;
  for await (const chunk of accepted[1]!.allocator()) {
    received += chunk.length;
    if (received === LARGE) break;
  }
  t.is(await sending, LARGE);
  await closeAll(...accepted, listener);
  await file.close();
});

// Seen red: a block went on referring to the reader that it was read for last.
onEachAlone('memory that an allocator of the program keeps does not keep a stream', {}, async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const free: Buffer[] = [];
  const allocator = { acquire: () => free.pop() ?? alloc(4096, { proactor }), release: (memory: Buffer) => void free.push(memory) };
  const peers: Stream[] = [];
  const talk = async (): Promise<void> => {
    const [stream, peer] = await Promise.all([connect({ port: listener.address().port, host: '127.0.0.1', proactor }), listener.accept()]);
    peers.push(peer);
    await peer.writer().writeAll('x');
    const bytes = await stream.allocator({ allocator }).read();
    bytes?.release();
    const own = stream.submitter({ blockSize: 4096 });
    await peer.writer().writeAll('y');
    free.push((await own.pull())!.take());
  };
  for (let count = 0; count < 3; count += 1) await forget(talk);
  t.is(free.length, 3 + 1);
  t.true(await collectUntil(() => proactor.stats().descriptorsOpen === 1 + peers.length, 2000), `${proactor.stats().descriptorsOpen} open`);
  await closeAll(...peers, listener);
});

// Seen red: such names were fields of the library's.
onEachAlone('fields that a program puts on what it was given are its own', {}, async (t, proactor) => {
  const pair = await disposed(t, tcpPair(proactor));
  const [reader, hybrid, writer] = [pair.inside.allocator(), pair.inside.hybrid(), pair.outside.writer()];
  const own = { closed: true, ended: true, finished: true, pushed: [], zeroCopy: 7, target: 'x', source: 1, plan: 1, remote: 'r', local: 'l', into: 5, remoteEnd: 1 };
  for (const each of [reader, hybrid, writer]) Object.assign(each, own);
  const { closed, ...others } = own; // a stream has that one
  Object.assign(pair.inside, others);
  t.true(closed);
  await writer.writeAll('hello');
  const first = await reader.read();
  t.is(first?.data.toString(), 'hello');
  first?.release();
  t.is(pair.inside.remoteAddress, '127.0.0.1');
  await writer.end();
  t.is(await hybrid.pull(), null);
});

const knowsNet = process.allowedNodeEnvironmentFlags.has('--allow-net');

for (const backend of BACKENDS) {
  // Native code needs a permission of its own; the check is the same on both.
  (knowsNet ? test : test.skip)(`${backend}: Node’s permission model is obeyed`, async (t) => {
    const nodeOptions = ['--permission', '--allow-fs-read=*', '--allow-addons', '--allow-worker'];
    for (const scenario of [['connect', 80, '127.0.0.1'], ['listen', 0, '127.0.0.1']]) {
      const ended = await runProgram('socket-faults', [backend, ...scenario], { nodeOptions });
      endedWith(t, ended, 0);
      t.is(reported(ended)['code'], 'ERR_ACCESS_DENIED');
    }
  });
}
