/**
 * Description: Unix stream sockets: paths and abstract names, names of both ends, half-close, the bytes in every style,
 * and `node:net` at the other end.
 *
 * What turns it red: a name with its terminator, or without its leading NUL; an abstract name that makes a file; a path
 * that is taken for a port; bytes lost or reordered; anything left open.
 */
import { existsSync, statSync } from 'node:fs';
import type { Stream } from 'ritsu';
import { alloc, connect, listen, owned } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { freshPath, randomBytes } from '../support/files.ts';
import { closeAll, disposed, drain, nodeConnect, nodeServer, unixPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';

onEach('a path: a file while it is listened to, and the names of both ends', async (t, proactor) => {
  const path = freshPath('socket');
  const listener = await listen({ path, proactor });
  t.true(statSync(path).isSocket());
  const [inside, outside] = await Promise.all([listener.accept(), connect({ path, proactor })]);
  t.is(outside.remoteAddress, path);
  t.is(outside.localAddress, '');
  t.is(inside.localAddress, path);
  t.is(inside.remoteAddress, '');
  await closeAll(inside, outside, listener);
  t.is(inside.localAddress, undefined);
  t.false(existsSync(path));
});

onEach('an abstract name makes no file', async (t, proactor, backend) => {
  const path = `\0ritsu-test-${process.pid}-${backend}`;
  const listener = await listen({ path, proactor });
  const [inside, outside] = await Promise.all([listener.accept(), connect({ path, proactor })]);
  t.is(outside.remoteAddress, path);
  await outside.writer().writeAll('hello');
  t.is((await inside.allocator().read().then((bytes) => bytes?.copy()))?.toString(), 'hello');
  await t.throwsAsync(listen({ path, proactor }), { code: 'EADDRINUSE' });
  await closeAll(inside, outside, listener);
  await (await listen({ path, proactor })).close();
});

onEach('zeroCopy: the system knows none here, and the bytes arrive all the same', async (t, proactor) => {
  const pair = await disposed(t, unixPair(proactor));
  const data = randomBytes(100_000);
  const receiving = drain(pair.inside.allocator());
  const { bytesWritten } = await pair.outside.writer({ zeroCopy: true }).writeAll(data);
  t.is(bytesWritten, data.length);
  await pair.outside.shutdown();
  sameBytes(t, await receiving, data);
});

onEach('node:net at the other end, either way', async (t, proactor) => {
  const path = freshPath('socket');
  const server = await disposed(t, nodeServer((socket) => socket.pipe(socket), { path, allowHalfOpen: true }));
  t.true(server.listening);
  const stream = await connect(path, { proactor });
  await stream.writer().writeAll('round');
  await stream.shutdown();
  t.is((await drain(stream.allocator())).toString(), 'round');
  await stream.close();

  const other = freshPath('socket');
  const listener = await listen(other, { proactor });
  const socket = await nodeConnect({ path: other });
  const accepted = await listener.accept();
  socket.end('and round');
  t.is((await drain(accepted.submitter())).toString(), 'and round');
  await closeAll(accepted, listener);
});

const READERS: readonly (readonly [string, (stream: Stream) => Promise<Buffer>])[] = [
  ['allocator', (stream) => drain(stream.allocator())],
  ['submit', (stream) => drain(stream.submitter({ blockSize: 5000 }))],
  ['hybrid', (stream) => drain(stream.hybrid())],
  ['hybrid, owned', async (stream) => {
    const parts: Buffer[] = [];
    const into = owned(alloc(3000));
    const reader = stream.hybrid();
    for (let bytes = await reader.read(into); bytes !== null; bytes = await reader.read(into)) parts.push(bytes.copy());
    return Buffer.concat(parts);
  }],
];

for (const [name, read] of READERS) {
  onEach(`a megabyte each way at once: ${name}`, async (t, proactor) => {
    const pair = await disposed(t, unixPair(proactor));
    const sent = [randomBytes(1 << 20, 1), randomBytes(1 << 20, 2)] as const;
    const write = async (stream: Stream, data: Buffer): Promise<void> => {
      const writer = stream.writer();
      await writer.writeAll(data);
      await writer.end();
    };
    const [, , first, second] = await Promise.all([
      write(pair.inside, sent[0]), write(pair.outside, sent[1]), read(pair.outside), read(pair.inside),
    ]);
    sameBytes(t, first, sent[0]);
    sameBytes(t, second, sent[1]);
  });
}

onEachAlone('a peer that goes: the end, then EPIPE; nothing is left', {}, async (t, proactor) => {
  const { inside, outside, listener } = await unixPair(proactor);
  await inside.close();
  t.is(await outside.allocator().read(), null);
  await t.throwsAsync(outside.writer().writeAll('nobody'), { code: 'EPIPE' });
  await closeAll(outside, listener);
  t.is(proactor.stats().descriptorsOpen, 0);
});

onEach('buffer sizes', async (t, proactor, backend) => {
  const pair = await disposed(t, unixPair(proactor));
  if (backend === 'node') t.throws(() => pair.inside.setSendBufferSize(8192), { code: 'ENOTSUP' });
  else t.is(pair.inside.setSendBufferSize(8192).getSendBufferSize(), 16_384);
  t.throws(() => pair.inside.setRecvBufferSize(-1), { code: 'ERR_OUT_OF_RANGE' });
});
