/**
 * Description: TCP connections: addresses of both ends, options, half-close, reset, and the bytes of many connections at
 * once in every style. The other end is `node:net` where a mistake could hide by being made twice.
 *
 * What turns it red: addresses or ports of the wrong end or byte order; an option that is accepted and not set; a
 * half-close that ends both directions, or none; a reset that looks like an end; bytes lost, doubled or reordered; a
 * socket, a slot or a block that is left when all is closed.
 */
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import type * as net from 'node:net';
import type { ExecutionContext } from 'ava';
import { alloc, connect, listen, owned, pooled } from 'ritsu';
import type { Proactor, TcpStream } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import {
  checksum, closeAll, descriptorCount, disposed, drain, eventually, nodeConnect, nodeServer, tcpPair,
} from '../support/net.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';

const hasV6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));
const HOSTS = [['127.0.0.1', 'IPv4'], ...(hasV6 ? [['::1', 'IPv6'] as const] : [])] as const;

for (const [host, family] of HOSTS) {
  onEach(`the addresses of both ends: ${family}`, async (t, proactor) => {
    const listener = await listen({ port: 0, host, proactor });
    const { port } = listener.address();
    t.deepEqual(listener.address(), { address: host, family, port });
    t.true(port > 0);
    const [inside, outside] = await Promise.all([listener.accept(), connect(port, host, { proactor })]);
    t.like(outside, { remoteAddress: host, remotePort: port, remoteFamily: family, localAddress: host, localFamily: family });
    t.like(inside, { localAddress: host, localPort: port, localFamily: family, remoteAddress: host, remoteFamily: family });
    t.is(inside.remotePort, outside.localPort);
    t.deepEqual(outside.address(), { address: host, family, port: outside.localPort! });
    await closeAll(inside, outside, listener);
    t.is(outside.remotePort, port, 'what was asked for once is remembered');
    t.is(outside.fd, -1);
  });

  onEach(`the addresses are those that node:net sees: ${family}`, async (t, proactor) => {
    const server = await disposed(t, nodeServer((socket) => socket.end(`${socket.remoteAddress} ${socket.remotePort}`), { host }));
    const stream = await connect({ port: server.port, host, proactor });
    t.is((await drain(stream.allocator())).toString(), `${host} ${stream.localPort}`);
    await stream.close();
  });
}

onEach('an address is undefined when it was never asked for and the socket is closed', async (t, proactor) => {
  const { inside, outside, listener } = await tcpPair(proactor);
  await closeAll(inside, outside, listener);
  t.is(inside.remoteAddress, undefined);
  t.is(inside.localPort, undefined);
});

onEach('localAddress and localPort', async (t, proactor) => {
  const seen: string[] = [];
  const server = await disposed(t, nodeServer((socket) => {
    seen.push(`${socket.remoteAddress}:${socket.remotePort}`);
    socket.end();
  }));
  const stream = await connect({ port: server.port, host: '127.0.0.1', localAddress: '127.0.0.2', proactor });
  t.is(await stream.allocator().read(), null);
  t.is(stream.localAddress, '127.0.0.2');
  t.deepEqual(seen, [`127.0.0.2:${stream.localPort}`]);
  await stream.close();
});

async function nothingElseComes(t: ExecutionContext, stream: TcpStream, { pool }: Proactor): Promise<void> {
  t.is(await stream.allocator().read(), null);
  t.is(await stream.hybrid().read(pooled({ pool })), null, 'the end stays the end');
  const reader = stream.submitter();
  reader.submit(alloc(16));
  t.is((await reader.poll()).length, 0);
}

onEach('half-close, either way: the other direction goes on', async (t, proactor) => {
  const { inside, outside, listener } = await tcpPair(proactor);
  for (const [first, second] of [[inside, outside], [outside, inside]] as const) {
    await first.writer().writeAll('last words');
    await first.shutdown();
    sameBytes(t, await second.allocator().read().then((bytes) => bytes?.copy()), Buffer.from('last words'));
    if (first === outside) break;
    await nothingElseComes(t, second, proactor);
    await second.writer().writeAll('still here');
    sameBytes(t, await first.allocator().read().then((bytes) => bytes?.copy()), Buffer.from('still here'));
    await t.throwsAsync(first.writer().write('no'), { code: 'EPIPE', message: /EPIPE.*write|write EPIPE/ });
  }
  await nothingElseComes(t, inside, proactor);
  await closeAll(inside, outside, listener);
});

onEach('half-close by node:net is seen, and answered', async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const socket = await nodeConnect({ port: listener.address().port, host: '127.0.0.1', allowHalfOpen: true });
  const stream = await listener.accept();
  socket.end('question');
  t.is((await drain(stream.allocator())).toString(), 'question');
  await stream.writer().writeAll('answer');
  await stream.shutdown();
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  t.is(Buffer.concat(parts).toString(), 'answer');
  await closeAll(stream, listener);
});

onEach('reset: the peer reads ECONNRESET', async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const socket = await nodeConnect({ port: listener.address().port, host: '127.0.0.1' });
  const stream = await listener.accept();
  const failed = once(socket.on('data', () => {}), 'error').catch((error: unknown) => [error]) as Promise<[Error]>;
  await stream.reset();
  t.like((await failed)[0], { code: 'ECONNRESET' });
  t.true(stream.closed);
  await t.throwsAsync(stream.reset(), { code: 'ERR_RITSU_CLOSED' });
  await closeAll(listener);
});

onEach('a peer that resets while it is read from, and while it is written to', async (t, proactor) => {
  let peer: net.Socket | undefined;
  const server = await disposed(t, nodeServer((socket) => (peer = socket)));
  const stream = await connect(server.port, '127.0.0.1', { proactor });
  const reading = stream.allocator().read();
  await eventually(t, 'accepted', () => peer !== undefined);
  peer!.resetAndDestroy();
  const { syscall, errno } = await t.throwsAsync<NodeJS.ErrnoException>(reading, { code: 'ECONNRESET', message: /ECONNRESET/ });
  t.deepEqual([syscall, errno], ['read', -104]);
  await t.throwsAsync(stream.writer().write('late'), { code: 'EPIPE' });
  await stream.close();

  peer = undefined;
  const writing = await connect(server.port, '127.0.0.1', { proactor });
  await eventually(t, 'accepted', () => peer !== undefined);
  peer!.pause();
  const error = t.throwsAsync<Error & { code: string; bytesTransferred: number; rest: Buffer }>(
    writing.writer().writeAll(Buffer.alloc(64 << 20)),
  );
  setTimeout(() => peer!.resetAndDestroy(), 50);
  const { code, bytesTransferred, rest } = await error;
  t.true(code === 'ECONNRESET' || code === 'EPIPE', code);
  t.true(bytesTransferred >= 0 && bytesTransferred < 64 << 20);
  t.is(rest.length, (64 << 20) - bytesTransferred);
  await writing.close();
});

onEach('options are set', async (t, proactor, backend) => {
  const { inside, outside, listener } = await tcpPair(proactor, { noDelay: true, keepAlive: true, keepAliveInitialDelay: 7000 });
  t.is(inside.setNoDelay().setNoDelay(false).setKeepAlive(true, 5000).setKeepAlive(), inside);
  t.throws(() => inside.setKeepAlive(true, -1), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => inside.setLinger(-1), { code: 'ERR_OUT_OF_RANGE' });
  if (backend === 'uring') {
    const before = outside.getRecvBufferSize();
    t.is(outside.setRecvBufferSize(8192).setSendBufferSize(16_384), outside);
    t.is(outside.getRecvBufferSize(), 16_384);
    t.is(outside.getSendBufferSize(), 32_768);
    t.true(before > 16_384);
    outside.setLinger(3).setLinger(false);
  } else {
    for (const act of [() => outside.getRecvBufferSize(), () => outside.setSendBufferSize(8192), () => outside.setLinger(3)]) {
      t.throws(act, { code: 'ENOTSUP' });
    }
  }
  t.throws(() => outside.setSendBufferSize(0), { code: 'ERR_OUT_OF_RANGE' });
  await closeAll(inside, outside, listener);
  t.throws(() => outside.setNoDelay(), { code: 'ERR_RITSU_CLOSED' });
  t.throws(() => outside.getSendBufferSize(), { code: 'ERR_RITSU_CLOSED' });
});

onEach('one byte at a time, from either side', async (t, proactor) => {
  const sent = randomBytes(300);
  const server = await disposed(t, nodeServer((socket) => {
    socket.setNoDelay();
    socket.on('data', (chunk) => {
      for (const byte of chunk as Buffer) socket.write(Uint8Array.of(byte));
    }).on('end', () => socket.end());
  }));
  const stream = await connect({ port: server.port, host: '127.0.0.1', noDelay: true, proactor });
  const writer = stream.writer();
  const writing = (async () => {
    for (const byte of sent) await writer.writeAll(Uint8Array.of(byte));
    await writer.end();
  })();
  sameBytes(t, await drain(stream.submitter({ blockSize: 1 })), sent);
  await writing;
  await stream.close();
});

/** Everything that comes until the end, in each style, in pieces of at most `size` bytes where one may say so. */
const READERS: readonly ((stream: TcpStream, size: number) => Promise<Buffer>)[] = [
  (stream, blockSize) => drain(stream.allocator({ blockSize })),
  (stream, blockSize) => drain(stream.submitter({ blockSize })),
  (stream) => drain(stream.hybrid()),
  async (stream, size) => {
    const parts: Buffer[] = [];
    const into = owned(alloc(size));
    const reader = stream.hybrid();
    for (let bytes = await reader.read(into); bytes !== null; bytes = await reader.read(into)) parts.push(bytes.copy());
    return Buffer.concat(parts);
  },
];

/** Send random pieces of random bytes; their checksum. */
async function talk(stream: TcpStream, bytes: number, random: Random): Promise<string> {
  const sent: Buffer[] = [];
  const writer = stream.writer();
  for (let left = bytes; left > 0; ) {
    const piece = randomBytes(Math.min(left, 1 + random.below(32_768)), random.bits());
    left -= piece.length;
    sent.push(piece);
    await writer.writeAll(piece);
  }
  await writer.end();
  return checksum(...sent);
}

const CONNECTIONS = sized(200, 1000);
const BYTES_EACH = sized(32_768, 1 << 20);

async function exchange(t: ExecutionContext, proactor: Proactor): Promise<void> {
  // Node takes one connection in each turn of the loop, and here turns are long: whom the queue has no room for, and who waits
  // for half a minute, is reset by the kernel.
  const listener = await listen({ port: 0, host: '127.0.0.1', backlog: CONNECTIONS, proactor });
  const { port } = listener.address();
  const random = new Random(CONNECTIONS);
  const said: string[] = [];
  const heard: string[] = [];
  const work = async (index: number): Promise<void> => {
    const read = READERS[index % READERS.length]!;
    const [inside, outside] = await Promise.all([listener.accept(), connect(port, '127.0.0.1', { proactor })]);
    const size = 1 + random.below(16_384);
    // `inside` may be the other end of another `outside`: all that was said must have been heard.
    const [saidInside, heardInside, saidOutside, heardOutside] = await Promise.all([
      talk(inside, BYTES_EACH / 2, random), read(inside, size).then(checksum),
      talk(outside, BYTES_EACH / 2, random), read(outside, size).then(checksum),
    ]);
    await Promise.all([inside.close(), outside.close()]);
    said.push(saidInside, saidOutside);
    heard.push(heardInside, heardOutside);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => work(index)));
  t.deepEqual(heard.toSorted(), said.toSorted());
  await listener.close();
}

onEachAlone('many connections exchange bytes in every style, and leave nothing behind', {}, async (t, proactor) => {
  t.timeout(sized(120_000, 1_200_000));
  await exchange(t, proactor); // whatever is made on first use is made here
  const before = { descriptors: descriptorCount(), open: proactor.stats().descriptorsOpen };
  await exchange(t, proactor);
  await eventually(t, 'descriptors are closed', () => descriptorCount() <= before.descriptors);
  const { inFlight, descriptorsOpen, blocksBusy, stale, faults, streamPool, pool } = proactor.stats();
  t.deepEqual({ inFlight, descriptorsOpen, blocksBusy, stale, faults }, {
    inFlight: 0, descriptorsOpen: before.open, blocksBusy: 0, stale: 0, faults: 0,
  });
  t.is(streamPool!.available, streamPool!.count);
  for (const each of pool) t.is(each.available, each.count);
});
