/**
 * Description: a duplex that is made first and connected later, as `new net.Socket()` is: what is written and asked of it
 * meanwhile waits, a connection that cannot be had is an error, and one that nobody wants any more leaves nothing behind.
 */
import test from 'ava';
import { once } from 'node:events';
import * as net from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import * as tls from 'node:tls';
import { connect } from 'ritsu';
import type { Proactor } from 'ritsu';
import { toDuplex } from 'ritsu/streams';
import type { ConnectingDuplex } from 'ritsu/streams';
import { onEach } from '../support/backends.ts';
import { certificate } from '../support/certificate.ts';
import { freshPath } from '../support/files.ts';
import { blackHole, closedPort, disposed, nodeServer } from '../support/net.ts';

const HOST = '127.0.0.1';

/** Not connected yet, on this proactor. */
function unconnected(proactor: Proactor): ConnectingDuplex {
  return toDuplex((options) => connect({ ...options, proactor }));
}

/** To be asked for before anything that may close it. */
function closing(duplex: Duplex): Promise<void> {
  return new Promise((resolve) => duplex.once('close', resolve));
}

/** What a program sees of a socket, event by event. */
function eventsOf(duplex: Duplex): string[] {
  const seen: string[] = [];
  for (const name of ['connect', 'ready', 'end', 'finish', 'error', 'close']) duplex.on(name, () => seen.push(name));
  return seen;
}

onEach('connecting: what is written before there is a connection is sent when there is', async (t, proactor) => {
  const server = await disposed(t, nodeServer((socket) => socket.pipe(socket)));
  const duplex = unconnected(proactor);
  t.deepEqual([duplex.pending, duplex.connecting, duplex.readyState], [true, false, 'open']);
  duplex.setNoDelay(true).setKeepAlive(true, 1000).ref().write('before ');
  duplex.connect(server.port, HOST, () => duplex.end('after'));
  t.deepEqual([duplex.pending, duplex.connecting, duplex.readyState], [true, true, 'opening']);
  t.is(duplex.remotePort, undefined);
  t.is(await text(duplex), 'before after');
  t.deepEqual([duplex.pending, duplex.connecting], [true, false]); // as of a socket that was
  t.throws(() => duplex.connect(server.port, HOST), { code: 'ERR_INVALID_ARG_VALUE', message: /connects once/ });
});

onEach('connecting: to a path, and with options', async (t, proactor) => {
  const path = freshPath('socket');
  const server = await disposed(t, nodeServer((socket) => socket.end('hello'), { path }));
  t.is(server.port, 0);
  t.is(await text(unconnected(proactor).connect(path)), 'hello');
  t.is(await text(unconnected(proactor).connect({ path })), 'hello');
  const tcp = await disposed(t, nodeServer((socket) => socket.end('hello')));
  t.is(await text(unconnected(proactor).connect({ port: tcp.port, host: HOST })), 'hello');
});

onEach('connecting: the events are those of a socket of Node, and their order', async (t, proactor) => {
  const server = await disposed(t, nodeServer((socket) => socket.end('hello')));
  const [ours, nodes] = [unconnected(proactor), new net.Socket()];
  const rows = await Promise.all(
    [ours, nodes].map(async (duplex) => {
      const seen = eventsOf(duplex);
      duplex.connect(server.port, HOST);
      duplex.resume();
      await once(duplex, 'close');
      return seen;
    }),
  );
  t.deepEqual(rows[0], rows[1]);
  t.deepEqual(rows[0], ['connect', 'ready', 'end', 'finish', 'close']);
});

onEach('connecting: a refused connection is an error, as with a socket of Node', async (t, proactor) => {
  const port = await closedPort();
  const rows = await Promise.all(
    [unconnected(proactor), new net.Socket()].map(async (duplex) => {
      const seen = eventsOf(duplex);
      const failed = once(duplex, 'error') as Promise<[Error]>;
      const closed = closing(duplex);
      duplex.connect(port, HOST);
      const [{ message }] = await failed;
      await closed;
      return { message, seen, connecting: duplex.connecting };
    }),
  );
  t.deepEqual(rows[0], rows[1]);
  t.is(rows[0]?.message, `connect ECONNREFUSED ${HOST}:${port}`);
});

onEach('connecting: destroyed before, while and just when it connects, it closes at once and leaves nothing', async (t, proactor) => {
  const server = await disposed(t, nodeServer(() => {}));
  const never = await disposed(t, blackHole());
  const before = unconnected(proactor);
  const during = unconnected(proactor).connect(never.port, HOST);
  const arriving = unconnected(proactor).connect(server.port, HOST);
  for (const duplex of [before, during, arriving]) {
    duplex.on('connect', () => t.fail('connected'));
    duplex.on('error', ({ message }) => t.is(message, 'not wanted'));
  }
  const closed = [before, during, arriving].map(closing);
  [before, during, arriving].forEach((duplex) => duplex.destroy(new Error('not wanted')));
  await Promise.all(closed);
  t.deepEqual([before, during, arriving].map((duplex) => duplex.connecting), [false, false, false]);
  t.plan(4);
});

onEach('connecting: a connect timeout, as clients set it', async (t, proactor) => {
  const never = await disposed(t, blackHole());
  const duplex = unconnected(proactor).connect(never.port, HOST);
  const start = performance.now();
  duplex.setTimeout(100, () => duplex.destroy(new Error('too slow')));
  const [error] = (await once(duplex, 'error')) as [Error];
  t.is(error.message, 'too slow');
  t.true(performance.now() - start >= 99);
});

onEach('connecting: TLS over it closes without an error, whoever ends first', async (t, proactor) => {
  const { key, cert } = certificate();
  for (const first of ['server', 'client'] as const) {
    const server = tls.createServer({ key, cert }, (socket) => (first === 'server' ? socket.end('bye') : socket.pipe(socket)));
    server.listen(0, HOST);
    await once(server, 'listening');
    const duplex = unconnected(proactor).connect((server.address() as net.AddressInfo).port, HOST);
    const secure = tls.connect({ socket: duplex, ca: cert, servername: 'localhost' });
    const seen = [eventsOf(secure), eventsOf(duplex)];
    const closed = closing(duplex);
    if (first === 'client') secure.end('bye');
    t.is(await text(secure), 'bye');
    await closed;
    t.deepEqual(seen.map((events) => events.includes('error')), [false, false], `${seen}`);
    server.close();
  }
});

onEach('connecting: where the peer has ended, our side ends behind what is being written, and what follows from that', async (t, proactor) => {
  // As TLS does over it, whose farewell follows when its last record has gone. Seen red: `#endSoon` of ts/streams/stream-duplex.ts
  // did not ask whether anything was being written.
  const server = await disposed(t, nodeServer((socket) => socket.pause().end('bye'), { allowHalfOpen: true }));
  const connection = once(server, 'connection') as Promise<[net.Socket]>;
  const duplex = unconnected(proactor).connect(server.port, HOST);
  const seen = eventsOf(duplex);
  const closed = closing(duplex);
  const large = Buffer.alloc(32 << 20, 'x');
  duplex.write(large, () => duplex.write('farewell'));
  const said: Buffer[] = [];
  duplex.on('data', (chunk: Buffer) => said.push(chunk)); // not by iteration, which destroys what it has read to the end
  await once(duplex, 'end');
  t.is(Buffer.concat(said).toString(), 'bye');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [socket] = await connection;
  const all = await buffer(socket);
  t.is(all.length, large.length + 'farewell'.length);
  t.is(all.subarray(large.length).toString(), 'farewell');
  await closed;
  t.false(seen.includes('error'), `${seen}`);
});

test('connecting: `connect` itself is all it takes', async (t) => {
  const server = await disposed(t, nodeServer((socket) => socket.end('hello')));
  t.is(await text(toDuplex(connect).connect(server.port, HOST)), 'hello');
});
