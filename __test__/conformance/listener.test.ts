/**
 * Description: listeners: where they listen and why they cannot, who gets which connection, what becomes of connections
 * that nobody took, and how it all ends.
 *
 * What turns it red: an error other than Node's; a connection that an aborted `accept()` swallows; one that is kept and
 * never closed; more kept than the limit; an iteration that does not end; a process that does, while it should accept.
 */
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { connect, listen } from 'ritsu';
import type { Proactor, Stream, TcpListenOptions, TcpListener } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import type { Body } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import {
  closeAll, disposed, drain, eventually, nodeConnect, nodeError, nodeServer, pause, shapeOf,
} from '../support/net.ts';
import { Random } from '../support/random.ts';

const hasV6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));
const LOCAL = { port: 0, host: '127.0.0.1' } as const;

/** A machine without IPv6 has no such tests. */
function withV6(name: string, body: Body): void {
  if (hasV6) onEach(name, body);
}

/** Our error for the same arguments as Node's. */
async function sameError(t: ExecutionContext, proactor: Proactor, options: object): Promise<void> {
  const expected = await nodeError(() => {
    const server = net.createServer();
    queueMicrotask(() => {
      try {
        server.listen(options);
      } catch (error) {
        server.emit('error', error);
      }
    });
    return server;
  });
  const actual = await listen({ ...options, proactor } as TcpListenOptions).then(
    async (listener) => (await listener.close(), 'it listened'),
    shapeOf,
  );
  // Node gives the errors of paths the port -1.
  t.deepEqual(actual, { ...expected, ...('path' in options ? { port: undefined } : {}) }, JSON.stringify(options));
}

onEach('in use: a port, and a path', async (t, proactor) => {
  const server = await disposed(t, nodeServer(() => {}));
  await sameError(t, proactor, { port: server.port, host: '127.0.0.1' });
  const path = freshPath('socket');
  const listener = await listen({ path, proactor });
  await sameError(t, proactor, { path });
  await listener.close();
});

onEach('in use by a listener of ours', async (t, proactor) => {
  const listener = await listen({ ...LOCAL, proactor });
  const { port } = listener.address();
  await t.throwsAsync(listen({ ...LOCAL, port, proactor }), {
    code: 'EADDRINUSE', message: `listen EADDRINUSE: address already in use 127.0.0.1:${port}`,
  });
  await listener.close();
  await (await listen({ ...LOCAL, port, proactor })).close();
});

onEach('an address that is not ours, a path where there is no directory, names that cannot be', async (t, proactor) => {
  await sameError(t, proactor, { port: 0, host: '203.0.113.1' });
  await sameError(t, proactor, { path: `${freshPath('missing')}/socket` });
  const long = `/tmp/${'x'.repeat(110)}`; // Node 22 cuts it off
  await t.throwsAsync(listen({ path: long, proactor }), { code: 'EINVAL', message: `listen EINVAL: invalid argument ${long}` });
});

for (const [name, options] of [
  ['a port above 65535', { port: 70_000 }],
  ['a port below 0', { port: -1 }],
  ['a port that is no number', { port: 'http' }],
] as const) {
  onEach(`refused as Node does: ${name}`, async (t, proactor) => {
    await sameError(t, proactor, options);
  });
}

onEach('wrong arguments', async (t, proactor) => {
  const wrong: readonly (readonly [object, string])[] = [
    [{}, 'ERR_INVALID_ARG_VALUE'],
    [{ port: {} }, 'ERR_INVALID_ARG_VALUE'],
    [{ port: 0, host: 7 }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 0, backlog: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ port: 0, ipv6Only: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 0, reusePort: 'yes' }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 0, noDelay: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ path: 7 }, 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [options, code] of wrong) {
    // Without `proactor` where the object shall be empty.
    const given = Object.keys(options).length === 0 ? options : { ...options, proactor };
    await t.throwsAsync(listen(given as TcpListenOptions), { code }, JSON.stringify(options));
  }
});

withV6('without a host: every address, of both versions', async (t, proactor) => {
  const listener = await listen({ port: 0, proactor });
  const { address, family, port } = listener.address();
  t.deepEqual([address, family], ['::', 'IPv6']);
  for (const host of ['127.0.0.1', '::1']) {
    const [inside, outside] = await Promise.all([listener.accept(), connect(port, host, { proactor })]);
    t.is(inside.remoteAddress, host === '::1' ? '::1' : '::ffff:127.0.0.1');
    await closeAll(inside, outside);
  }
  await listener.close();
});

withV6('ipv6Only leaves IPv4 alone', async (t, proactor) => {
  const listener = await listen({ port: 0, host: '::', ipv6Only: true, proactor });
  const { port } = listener.address();
  // At 127.0.0.1 somebody else's may have the same port.
  await t.throwsAsync(connect(port, '127.0.4.2', { proactor }), { code: 'ECONNREFUSED' });
  await closeAll(await connect(port, '::1', { proactor }), listener);
});

onEach('reusePort: several on one port', async (t, proactor) => {
  const first = await listen({ ...LOCAL, reusePort: true, proactor });
  const second = await listen({ ...LOCAL, port: first.address().port, reusePort: true, exclusive: true, proactor });
  t.is(second.address().port, first.address().port);
  await closeAll(first, second);
});

onEach('a port as text, and by arguments', async (t, proactor) => {
  const listener = await listen('0', '127.0.0.1', { proactor });
  const { port } = listener.address();
  const stream = await connect(`${port}`, '127.0.0.1', { proactor });
  t.is(stream.remotePort, port);
  await closeAll(stream, listener);
});

/** Connect and say who you are. */
async function visit(listener: TcpListener, proactor: Proactor, name: string): Promise<Stream> {
  const { address: host, port } = listener.address();
  const stream = await connect({ port, host, proactor });
  await stream.writer().writeAll(name);
  await stream.shutdown();
  return stream;
}

async function nameOf(stream: Stream): Promise<string> {
  const name = (await drain(stream.allocator())).toString();
  await stream.close();
  return name;
}

// Seen red: `#watch` of ts/net/acceptor.ts failed an accept that was not in the line any more.
onEach('S30: an accept that was given up takes no connection: the next one gets it', async (t, proactor) => {
  const listener = await listen({ ...LOCAL, proactor });
  const random = new Random(3);
  const names: string[] = [];
  for (let round = 0; round < 30; round += 1) {
    const controller = new AbortController();
    const accepting = listener.accept({ signal: controller.signal });
    const visitor = visit(listener, proactor, `visitor ${round}`);
    setTimeout(() => controller.abort(), random.below(3));
    const stream = await accepting.catch((error: Error) => {
      t.is(error.name, 'AbortError');
      return listener.accept();
    });
    names.push(await nameOf(stream));
    await (await visitor).close();
  }
  t.deepEqual(names, Array.from({ length: 30 }, (_, round) => `visitor ${round}`));
  await t.throwsAsync(listener.accept({ timeout: 10 }), { name: 'TimeoutError' });
  await t.throwsAsync(listener.accept({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await t.throwsAsync(listener.accept({ timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  await listener.close();
});

onEach('waiting accepts are served in order; connections that nobody waits for are kept', async (t, proactor) => {
  const listener = await listen({ ...LOCAL, proactor });
  const accepting = [listener.accept(), listener.accept()];
  const visitors: Stream[] = [];
  for (const name of ['a', 'b', 'c', 'd']) visitors.push(await visit(listener, proactor, name));
  await pause(30);
  const streams = [...await Promise.all(accepting), await listener.accept(), await listener.accept()];
  t.deepEqual(await Promise.all(streams.map(nameOf)), ['a', 'b', 'c', 'd']);
  await closeAll(...visitors, listener);
});

onEachAlone('the end: who waits is refused, who was kept is closed, iteration is over', {}, async (t, proactor) => {
  // An address of its own: nobody else may take the port when it is free again.
  const listener = await listen({ port: 0, host: '127.0.0.3', proactor });
  const seen: Stream[] = [];
  const iterating = (async () => {
    for await (const stream of listener) {
      seen.push(stream);
      if (seen.length === 1) break;
    }
  })();
  const visitors = [await visit(listener, proactor, 'taken'), await visit(listener, proactor, 'kept')];
  await iterating;
  const again = (async () => {
    for await (const stream of listener) seen.push(stream);
  })();
  await eventually(t, 'two have come', () => seen.length === 2);
  visitors.push(await visit(listener, proactor, 'kept'));
  const waiting = t.throwsAsync(Promise.all([listener.accept(), listener.accept(), listener.accept()]), { code: 'ERR_RITSU_CLOSED' });
  await pause(20);
  t.is(listener.close(), listener.close());
  await Promise.all([listener.destroy(), waiting, again]);
  t.true(listener.closed);
  t.is(listener.fd, -1);
  t.true(listener.address().port > 0, 'where it listened');
  await t.throwsAsync(listener.accept(), { code: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(connect({ port: listener.address().port, host: '127.0.0.3', proactor }), { code: 'ECONNREFUSED' });
  await closeAll(...seen, ...visitors);
  await eventually(t, 'nothing is open', () => proactor.stats().descriptorsOpen === 0 && proactor.stats().inFlight === 0);
});

onEachAlone('no more are kept than 128, and none is lost', {}, async (t, proactor) => {
  const listener = await listen({ ...LOCAL, proactor });
  const first = listener.accept();
  const sockets: net.Socket[] = [];
  for (let count = 0; count < 300; count += 1) sockets.push(await nodeConnect({ ...LOCAL, port: listener.address().port }));
  const accepted: Stream[] = [await first];
  await pause(50);
  const { descriptorsOpen } = proactor.stats();
  t.true(descriptorsOpen <= 2 + 128 + 16, `${descriptorsOpen} are open`);
  while (accepted.length < sockets.length) accepted.push(await listener.accept({ timeout: 5000 }));
  await t.throwsAsync(listener.accept({ timeout: 20 }), { name: 'TimeoutError' });
  await closeAll(...accepted, listener);
  for (const socket of sockets) socket.destroy();
});

onEach('a Unix path: its file goes with the listener; an old one is in the way', async (t, proactor) => {
  const path = freshPath('socket');
  const listener = await listen(path, { proactor });
  t.is(listener.address(), path);
  t.true(existsSync(path));
  const [inside, outside] = await Promise.all([listener.accept(), connect(path, { proactor })]);
  await listener.close();
  t.false(existsSync(path));
  await outside.writer().writeAll('the connection stays');
  t.is((await inside.allocator().read().then((bytes) => bytes?.copy()))?.toString(), 'the connection stays');
  await closeAll(inside, outside);
  writeFileSync(path, 'stale');
  await sameError(t, proactor, { path });
  t.true(existsSync(path), 'what is not ours is not removed');
});

const ENDS: readonly (readonly [string, string, string])[] = [
  ['a waiting accept keeps the process alive', 'setTimeout(() => connect(port, "127.0.0.1", { proactor }), 200); listener.accept().then(() => { console.log("came"); process.exit(); })', 'came\n'],
  ['unref() before', 'listener.unref(); listener.accept().then(() => console.log("came"))', ''],
  ['unref() while it waits', 'listener.accept().then(() => console.log("came")); setTimeout(() => listener.unref(), 50)', ''],
  ['ref() again', 'listener.unref(); listener.accept().then(() => { console.log("came"); process.exit(); }); listener.ref(); setTimeout(() => connect(port, "127.0.0.1", { proactor }), 200).unref()', 'came\n'],
  ['a listener that nobody asks', '', ''],
];

for (const [name, script, expected] of ENDS) {
  onEach(`S22: a waiting accept keeps the process alive, or does not, as asked: ${name}`, async (t, _proactor, backend) => {
    const code = `
      import { Proactor, connect, listen } from 'ritsu';
      const proactor = new Proactor({ backend: '${backend}' });
      const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
      const { port } = listener.address();
      globalThis.listener = listener;
      ${script}`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
      cwd: new URL('../..', import.meta.url),
      timeout: 20_000,
    });
    t.is(stdout, expected);
  });
}
