/**
 * Description: undici over our sockets, against a server of Node's: many requests over one connection, pipelined ones, large
 * bodies both ways, aborts, a server that hangs up, pools, TLS, and contexts of AsyncLocalStorage.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { Agent, Client, Pool, buildConnector, fetch } from 'undici';
import type { Dispatcher } from 'undici';
import { onEach } from '../support/backends.ts';
import { certificate } from '../support/certificate.ts';
import { allUsedAndClosed, nodesOwn, oursOn } from '../support/clients.ts';
import type { Sockets } from '../support/clients.ts';
import { randomBytes } from '../support/files.ts';
import { eventually, pause } from '../support/net.ts';

const HOST = '127.0.0.1';
const LARGE = 64 * 2 ** 20;

/** How undici gets its connections. */
function connectorOf({ make }: Sockets): buildConnector.connector {
  return ({ hostname, port }, done) => {
    const socket = make().connect(Number(port), hostname);
    once(socket, 'connect').then(() => done(null, socket), (error: Error) => done(error, null));
  };
}

interface Origin {
  readonly origin: string;
  readonly server: http.Server;
  /** Connections that it has had. */
  connections(): number;
}

/** A server of Node's for one test. */
async function originOf(t: ExecutionContext, serve: http.RequestListener): Promise<Origin> {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, serve);
  let connections = 0;
  server.on('connection', () => (connections += 1));
  server.listen(0, HOST);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { origin: `http://${HOST}:${(server.address() as AddressInfo).port}`, server, connections: () => connections };
}

const echo: http.RequestListener = (message, response) => void message.pipe(response);

async function ask(client: Dispatcher, path: string, body?: string): Promise<string> {
  const answer = await client.request({ path, method: body === undefined ? 'GET' : 'POST', body: body ?? null });
  return answer.body.text();
}

onEach('undici: 1,000 requests, one after the other, over one connection', async (t, proactor) => {
  const { origin, connections } = await originOf(t, echo);
  const sockets = oursOn(proactor);
  const client = new Client(origin, { connect: connectorOf(sockets) });
  for (let index = 0; index < 1000; index += 1) {
    t.is(await ask(client, '/', `body ${index}`), `body ${index}`);
  }
  t.is(connections(), 1);
  await client.close();
  await allUsedAndClosed(t, sockets, 1);
});

onEach('undici: pipelined requests get their own answers, whichever is ready first', async (t, proactor) => {
  let [waiting, waitingMax] = [0, 0];
  const { origin, connections } = await originOf(t, (message, response) => {
    waitingMax = Math.max(waitingMax, (waiting += 1));
    setTimeout(() => {
      waiting -= 1;
      response.end(message.url);
    }, Number(message.url?.slice(1)) % 7);
  });
  const sockets = oursOn(proactor);
  const client = new Client(origin, { connect: connectorOf(sockets), pipelining: 10 });
  const paths = Array.from({ length: 500 }, (_, index) => `/${index}`);
  const answers = paths.map(async (path) => (await client.request({ path, method: 'GET', blocking: false })).body.text());
  t.deepEqual(await Promise.all(answers), paths);
  t.true(waitingMax > 1, `${waitingMax} requests at a time`);
  t.is(connections(), 1);
  await client.close();
  await allUsedAndClosed(t, sockets, 1);
});

onEach('undici: a large body there and back, every byte', async (t, proactor) => {
  const { origin } = await originOf(t, echo);
  const sockets = oursOn(proactor);
  const client = new Client(origin, { connect: connectorOf(sockets) });
  const [sent, came] = [createHash('sha256'), createHash('sha256')];
  const chunk = randomBytes(100_003);
  const upload = Readable.from((function* () {
    for (let left = LARGE; left > 0; left -= chunk.length) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      sent.update(part);
      yield part;
    }
  })(), { objectMode: false });
  const { body } = await client.request({ path: '/', method: 'POST', body: upload });
  let total = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    total += part.length;
    came.update(part);
  }
  t.is(total, LARGE);
  t.is(came.digest('hex'), sent.digest('hex'));
  await client.close();
  await allUsedAndClosed(t, sockets, 1);
});

onEach('undici: an abort in the middle of an answer, and of a body, costs the connection and nothing else', async (t, proactor) => {
  let hungUp = 0;
  const up = new AbortController();
  const { origin, connections } = await originOf(t, (message, response) => {
    response.on('close', () => (hungUp += Number(!response.writableFinished)));
    message.on('error', () => {});
    if (message.url === '/endless') response.write(randomBytes(2 ** 16));
    else if (message.url === '/ask') response.end('fine');
    else message.on('data', () => up.abort());
  });
  const sockets = oursOn(proactor);
  const client = new Client(origin, { connect: connectorOf(sockets) });

  const down = new AbortController();
  const answer = await client.request({ path: '/endless', method: 'GET', signal: down.signal });
  await t.throwsAsync(async () => {
    for await (const part of answer.body) if ((part as Buffer).length > 0) down.abort();
  }, { name: 'AbortError' });
  t.is(await ask(client, '/ask'), 'fine');

  const endless = Readable.from((async function* () {
    for (;;) {
      yield randomBytes(2 ** 16);
      await pause(1);
    }
  })(), { objectMode: false });
  const sending = client.request({ path: '/sink', method: 'POST', body: endless, signal: up.signal });
  await t.throwsAsync(sending, { name: 'AbortError' });
  t.is(await ask(client, '/ask'), 'fine');

  await eventually(t, 'the server saw both hang up', () => hungUp === 2);
  t.is(connections(), 3);
  await client.close();
  await allUsedAndClosed(t, sockets, 3);
});

onEach('undici: a server that hangs up: in the middle an error, between requests a new connection', async (t, proactor) => {
  const { origin, server, connections } = await originOf(t, (message, response) => {
    if (message.url === '/ask') {
      response.end('fine');
      return;
    }
    response.setHeader('content-length', LARGE);
    response.write(randomBytes(2 ** 16), () => message.socket[message.url === '/reset' ? 'resetAndDestroy' : 'destroy']());
  });
  const sockets = oursOn(proactor);
  const client = new Client(origin, { connect: connectorOf(sockets) });
  // Node ends a connection before it resets it: which of the two is seen first is chance.
  for (const [path, codes] of [['/end', ['UND_ERR_SOCKET']], ['/reset', ['UND_ERR_SOCKET', 'ECONNRESET']]] as const) {
    const { body } = await client.request({ path, method: 'GET' });
    const error: NodeJS.ErrnoException | undefined = await t.throwsAsync(body.arrayBuffer());
    t.true(codes.some((code) => code === error?.code), error?.message);
    t.is(await ask(client, '/ask'), 'fine');
  }
  server.closeIdleConnections();
  await eventually(t, 'undici has noticed', () => sockets.made.every((socket) => socket.destroyed));
  t.is(await ask(client, '/ask'), 'fine');
  t.is(connections(), 4);
  await client.close();
  await allUsedAndClosed(t, sockets, 4);
});

onEach('undici: a Pool of four, and an Agent under fetch', async (t, proactor) => {
  const { origin, connections } = await originOf(t, (message, response) => setTimeout(() => message.pipe(response), 2));
  const sockets = oursOn(proactor);
  const pool = new Pool(origin, { connect: connectorOf(sockets), connections: 4 });
  const bodies = Array.from({ length: 200 }, (_, index) => `body ${index}`);
  t.deepEqual(await Promise.all(bodies.map((body) => ask(pool, '/', body))), bodies);
  t.is(connections(), 4);
  await pool.close();
  await allUsedAndClosed(t, sockets, 4);

  const dispatcher = new Agent({ connect: connectorOf(sockets) });
  const answers = bodies.slice(0, 20).map(async (body) => {
    const answer = await fetch(origin, { method: 'POST', body, dispatcher });
    return [answer.status, await answer.text()];
  });
  t.deepEqual(await Promise.all(answers), bodies.slice(0, 20).map((body) => [200, body]));
  await dispatcher.close();
  await allUsedAndClosed(t, sockets);
  t.true(sockets.made.length > 4);
});

onEach('undici: HTTP/2 over TLS over our socket', async (t, proactor) => {
  const { key, cert } = certificate();
  const server = http2.createSecureServer({ key, cert, allowHTTP1: false });
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const sockets = oursOn(proactor);
  const secure = buildConnector({ ca: cert, allowH2: true });
  const plain = connectorOf(sockets);
  const client = new Client(`https://localhost:${(server.address() as AddressInfo).port}`, {
    allowH2: true,
    connect: (options, done) => {
      plain({ ...options, hostname: HOST }, (...[error, httpSocket]) => {
        if (error !== null) done(error, null);
        else secure({ ...options, httpSocket: httpSocket as never }, done);
      });
    },
  });
  const bodies = Array.from({ length: 10 }, (_, index) => 'body '.repeat(10_000 * index + 1));
  t.deepEqual(await Promise.all(bodies.map((body) => ask(client, '/', body))), bodies);
  await client.close();
  await allUsedAndClosed(t, sockets, 1);
});

/** Where a context of AsyncLocalStorage is met again: behind an await, in a callback, in a handler of the body. */
async function contexts(origin: string, sockets: Sockets): Promise<unknown> {
  const storage = new AsyncLocalStorage<number>();
  const client = new Client(origin, { connect: connectorOf(sockets), pipelining: 4 });
  const one = async (number: number): Promise<unknown> => {
    const answer = await client.request({ path: '/', method: 'POST', body: 'a' });
    await answer.body.text();
    const awaited = storage.getStore();
    const called: unknown[] = [];
    await new Promise((resolve) => {
      client.request({ path: '/', method: 'POST', body: 'b' }, (_error, { body }) => {
        called.push(storage.getStore());
        body.on('data', () => called.push(storage.getStore())).on('close', resolve);
      });
    });
    return { number, awaited, called };
  };
  const seen = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((number) => storage.run(number, one, number)));
  await client.close();
  return seen;
}

onEach('undici: a context of AsyncLocalStorage is met again in promises and callbacks', async (t, proactor) => {
  const { origin } = await originOf(t, echo);
  const sockets = oursOn(proactor);
  const seen = await contexts(origin, sockets);
  t.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({ number, awaited: number, called: [number, number] })));
  t.deepEqual(seen, await contexts(origin, nodesOwn()));
  await allUsedAndClosed(t, sockets, 1);
});
