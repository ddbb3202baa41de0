/**
 * Description: ws over our sockets at both ends, a WebSocket on a connection of ours and a WebSocketServer on connections
 * that a listener of ours accepted: text and binary, back-pressure, ping and pong, fragments, compression, every way to
 * end, and contexts of AsyncLocalStorage.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import type { ExecutionContext } from 'ava';
import { listen } from 'ritsu';
import type { Proactor } from 'ritsu';
import { toDuplex } from 'ritsu/streams';
import { WebSocket, WebSocketServer } from 'ws';
import type { ServerOptions } from 'ws';
import { onEach } from '../support/backends.ts';
import { allUsedAndClosed, nodesOwn, oursOn } from '../support/clients.ts';
import type { Sockets } from '../support/clients.ts';
import { randomBytes } from '../support/files.ts';
import { closedPort, eventually, pause } from '../support/net.ts';

const HOST = '127.0.0.1';
/** On both sides of each way that the protocol writes a length down. */
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000];

interface Place {
  readonly port: number;
  readonly server: WebSocketServer;
}

/** A WebSocketServer whose connections come from a listener of ours. */
async function place(t: ExecutionContext, proactor: Proactor, options: ServerOptions = {}): Promise<Place> {
  const listener = await listen({ port: 0, host: HOST, proactor });
  const server = http.createServer();
  const sockets = new WebSocketServer({ server, ...options });
  const accepting = (async () => {
    for await (const stream of listener) server.emit('connection', toDuplex(stream));
  })();
  t.teardown(async () => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    await listener.close();
    await accepting;
  });
  return { port: listener.address().port, server: sockets };
}

function dial({ make }: Sockets, port: number, options: object = {}): WebSocket {
  const createConnection = (() => make().connect(port, HOST)) as never;
  return new WebSocket(`ws://${HOST}:${port}/`, { ...options, createConnection });
}

interface Pair {
  readonly client: WebSocket;
  readonly server: WebSocket;
  readonly sockets: Sockets;
}

async function pairOf(t: ExecutionContext, proactor: Proactor, options: ServerOptions = {}): Promise<Pair> {
  const at = await place(t, proactor, options);
  const sockets = oursOn(proactor);
  const accepted = once(at.server, 'connection') as Promise<[WebSocket]>;
  const client = dial(sockets, at.port, { perMessageDeflate: options.perMessageDeflate ?? false });
  const [[server]] = await Promise.all([accepted, once(client, 'open')]);
  return { client, server, sockets };
}

/** Close it in both directions; both ends are told. */
async function closed(t: ExecutionContext, { client, server, sockets }: Pair): Promise<void> {
  const ends = [once(client, 'close'), once(server, 'close')];
  client.close();
  await Promise.all(ends);
  await allUsedAndClosed(t, sockets, 1);
}

for (const perMessageDeflate of [false, true]) {
  onEach(`ws: text and binary of every length come back${perMessageDeflate ? ', compressed' : ''}`, async (t, proactor) => {
    const pair = await pairOf(t, proactor, { perMessageDeflate });
    const { client, server } = pair;
    t.is(client.extensions !== '', perMessageDeflate);
    server.on('message', (data, isBinary) => server.send(data, { binary: isBinary }));
    for (const size of SIZES) {
      for (const message of [randomBytes(size), 'ö'.repeat(size / 2)]) {
        const answer = once(client, 'message') as Promise<[Buffer, boolean]>;
        client.send(message);
        const [data, isBinary] = await answer;
        t.is(isBinary, typeof message !== 'string');
        t.true(data.equals(Buffer.from(message as string)), `${size}`);
      }
    }
    await closed(t, pair);
  });
}

onEach('ws: 10,000 messages in order, and who is not read from waits', async (t, proactor) => {
  const pair = await pairOf(t, proactor);
  const { client, server } = pair;
  const [sent, came] = [createHash('sha256'), createHash('sha256')];
  let count = 0;
  server.on('message', (data: Buffer) => {
    if (data.readUInt32LE(0) !== count) client.terminate();
    count += 1;
    came.update(data);
  });
  server.pause();
  const content = randomBytes(2048 + 10_000);
  let unsent = 10_000;
  for (let index = 0; index < 10_000; index += 1) {
    const message = Buffer.from(content.subarray(index, index + 2048));
    message.writeUInt32LE(index, 0);
    sent.update(message);
    client.send(message, () => (unsent -= 1));
  }
  await pause(200);
  t.true(client.bufferedAmount > 2 ** 20, `${client.bufferedAmount} bytes wait`);
  t.true(unsent > 0 && count < 10_000, `${unsent} unsent, ${count} came`);
  server.resume();
  await eventually(t, 'all came', () => count === 10_000 && unsent === 0, 30_000);
  t.is(client.bufferedAmount, 0);
  t.is(came.digest('hex'), sent.digest('hex'));
  await closed(t, pair);
});

onEach('ws: ping and pong, both ways, between messages', async (t, proactor) => {
  const pair = await pairOf(t, proactor);
  for (const [from, to] of [[pair.client, pair.server], [pair.server, pair.client]] as const) {
    const [pong, ping] = [once(from, 'pong'), once(to, 'ping')];
    to.send('before');
    from.ping('payload');
    t.deepEqual([await ping, await pong].map(String), ['payload', 'payload']);
  }
  await closed(t, pair);
});

onEach('ws: fragments arrive as one message, a ping among them', async (t, proactor) => {
  const pair = await pairOf(t, proactor);
  const parts = [1, 70_000, 0, 300].map((size, index) => randomBytes(size, index + 1));
  const [message, ping] = [once(pair.server, 'message') as Promise<[Buffer]>, once(pair.server, 'ping')];
  for (const part of parts) {
    pair.client.send(part, { fin: false });
    await pause(5);
  }
  pair.client.ping();
  pair.client.send('', { fin: true });
  const [[data]] = await Promise.all([message, ping]);
  t.true(data.equals(Buffer.concat(parts)));
  await closed(t, pair);
});

onEach('ws: codes and reasons of a close reach the other side, whoever closes', async (t, proactor) => {
  for (const who of ['client', 'server'] as const) {
    const pair = await pairOf(t, proactor);
    const ends = [pair.client, pair.server].map((each) => once(each, 'close'));
    pair[who].close(4001, `the ${who} has had enough`);
    for (const [code, reason] of await Promise.all(ends)) t.deepEqual([code, String(reason)], [4001, `the ${who} has had enough`]);
    await allUsedAndClosed(t, pair.sockets, 1);
  }
});

onEach('ws: a terminated side is a 1006 to both, and what was sent before it was lost does not hang', async (t, proactor) => {
  for (const who of ['client', 'server'] as const) {
    const pair = await pairOf(t, proactor);
    const ends = [pair.client, pair.server].map((each) => once(each.on('error', () => {}), 'close'));
    pair.client.send(randomBytes(2 ** 20));
    pair[who].terminate();
    for (const [code] of await Promise.all(ends)) t.is(code, 1006);
    await allUsedAndClosed(t, pair.sockets, 1);
  }
});

onEach('ws: a broken frame ends the connection with 1002', async (t, proactor) => {
  const { client, server, sockets } = await pairOf(t, proactor);
  const errors: string[] = [];
  server.on('error', ({ message }) => errors.push(message));
  const codes = [client, server].map((each) => new Promise<number>((resolve) => each.on('close', resolve)));
  sockets.made[0]!.write(Buffer.from([0xff, 0xff, 0xff, 0xff])); // reserved bits
  t.deepEqual(await Promise.all(codes), [1002, 1006]);
  t.deepEqual(errors, ['Invalid WebSocket frame: RSV2 and RSV3 must be clear']);
  await allUsedAndClosed(t, sockets, 1);
});

onEach('ws: a server that refuses the upgrade, and one that is not there, are errors', async (t, proactor) => {
  const at = await place(t, proactor, { verifyClient: (_info, done) => done(false, 401, 'no') });
  const sockets = oursOn(proactor);
  const [refused] = (await once(dial(sockets, at.port), 'error')) as [Error];
  t.is(refused.message, 'Unexpected server response: 401');
  await allUsedAndClosed(t, sockets, 1);
  const port = await closedPort();
  const [absent] = (await once(dial(sockets, port), 'error')) as [Error];
  t.is(absent.message, `connect ECONNREFUSED ${HOST}:${port}`);
});

/** Where the context in which a WebSocket was made, or something sent, is met again. */
async function contexts(port: number, sockets: Sockets): Promise<unknown> {
  const storage = new AsyncLocalStorage<number>();
  const one = async (number: number): Promise<unknown> => {
    const seen: Record<string, number | undefined> = {};
    const note = (what: string) => () => (seen[what] = storage.getStore());
    const client = dial(sockets, port);
    for (const event of ['open', 'message', 'pong', 'close']) client.on(event, note(event));
    await once(client, 'open');
    const answers = [once(client, 'message'), once(client, 'pong')];
    await new Promise<void>((resolve, reject) => {
      client.ping();
      client.send(`${number}`, (error) => {
        note('sent')();
        if (error) reject(error);
        else resolve();
      });
    });
    await Promise.all(answers);
    note('awaited')();
    client.close();
    await once(client, 'close');
    return seen;
  };
  return Promise.all([1, 2, 3, 4].map((number) => storage.run(number, one, number)));
}

onEach('ws: a context of AsyncLocalStorage is met again in events, callbacks and promises', async (t, proactor) => {
  const at = await place(t, proactor);
  at.server.on('connection', (server) => server.on('message', (data) => server.send(data)));
  const sockets = oursOn(proactor);
  const seen = await contexts(at.port, sockets);
  const all = (number: number): object => ({ open: number, message: number, pong: number, sent: number, awaited: number, close: number });
  t.deepEqual(seen, [1, 2, 3, 4].map(all));
  t.deepEqual(seen, await contexts(at.port, nodesOwn()));
  await allUsedAndClosed(t, sockets, 4);
});
