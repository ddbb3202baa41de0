/**
 * Description: ioredis against a real Redis, over our sockets: pipelines, subscriptions, large values, a blocking pop, errors,
 * a server that hangs up, one that is killed and comes back, and contexts of AsyncLocalStorage.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { AbstractConnector, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import type { Proactor } from 'ritsu';
import { onEach } from '../support/backends.ts';
import { allUsedAndClosed, nodesOwn, oursOn } from '../support/clients.ts';
import type { Sockets } from '../support/clients.ts';
import { randomBytes } from '../support/files.ts';
import { closedPort, eventually, pause } from '../support/net.ts';
import { HOST, redisServer, startRedis } from '../support/redis.ts';
import type { RunningRedis } from '../support/redis.ts';

const MIB = 2 ** 20;
const running: RunningRedis[] = [];

async function start(port?: number): Promise<RunningRedis> {
  const started = await startRedis(redisServer!, port);
  running.push(started);
  return started;
}

let server: RunningRedis;

test.before('start Redis', async () => {
  if (redisServer !== undefined) server = await start();
});

test.after.always('stop Redis', async () => {
  await Promise.all(running.map((each) => each.stop()));
});

/** Without the one option whose type depends on itself. */
type Options = Omit<RedisOptions, 'replyMapping'>;

/** How ioredis gets its connections. */
function connectorTo({ make }: Sockets, port: number): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(1000);
    }

    override async connect(): ReturnType<AbstractConnector['connect']> {
      this.stream = make().connect(port, HOST);
      return this.stream;
    }
  };
}

/** A client; the keys of each test are its own. */
function clientOf(sockets: Sockets, keyPrefix = '', options: Options = {}): Redis {
  return new Redis({ keyPrefix, ...options, Connector: connectorTo(sockets, options.port ?? server.port) });
}

function onRedis(name: string, body: (t: ExecutionContext, sockets: Sockets, backend: string, proactor: Proactor) => Promise<void>): void {
  onEach(`ioredis: ${name}`, (t, proactor, backend) => body(t, oursOn(proactor), `${backend} ${name} `, proactor), redisServer !== undefined);
}

async function quit(t: ExecutionContext, sockets: Sockets, ...clients: readonly Redis[]): Promise<void> {
  await Promise.all(clients.map((client) => client.quit()));
  await allUsedAndClosed(t, sockets, clients.length);
}

onRedis('10,000 commands in one pipeline, and 10,000 at once without one', async (t, sockets, prefix) => {
  const client = clientOf(sockets, prefix);
  const numbers = Array.from({ length: 10_000 }, (_, index) => index + 1);
  const pipeline = client.pipeline();
  for (const _ of numbers) pipeline.incr('piped');
  const answers = await pipeline.exec();
  t.deepEqual(answers?.map(([, number]) => number), numbers);
  t.deepEqual(await Promise.all(numbers.map(() => client.incr('single'))), numbers);
  await quit(t, sockets, client);
});

onRedis('values of 1 MiB, every byte, one and many at a time', async (t, sockets, prefix) => {
  const client = clientOf(sockets, prefix);
  const values = Array.from({ length: 16 }, (_, index) => randomBytes(MIB, index + 1));
  await client.set('value', values[0]!);
  t.is(digestOf(await client.getBuffer('value')), digestOf(values[0]!));
  await Promise.all(values.map((value, index) => client.set(`value ${index}`, value)));
  const back = await Promise.all(values.map((_, index) => client.getBuffer(`value ${index}`)));
  t.deepEqual(back.map(digestOf), values.map(digestOf));
  const several = await client.mgetBuffer(values.map((_, index) => `value ${index}`));
  t.deepEqual(several.map(digestOf), values.map(digestOf));
  await client.unlink('value', ...values.map((_, index) => `value ${index}`));
  await quit(t, sockets, client);
});

function digestOf(value: Buffer | null): string {
  return createHash('sha256').update(value ?? '').digest('hex');
}

onRedis('1,000 messages reach a subscriber in order, and none after it has left', async (t, sockets, prefix) => {
  const [subscriber, publisher] = [clientOf(sockets), clientOf(sockets)];
  const came: string[] = [];
  subscriber.on('message', (channel: string, message: string) => came.push(`${channel}${message}`));
  await subscriber.subscribe(prefix);
  const sent = Array.from({ length: 1000 }, (_, index) => `${index}`);
  t.deepEqual(await Promise.all(sent.map((message) => publisher.publish(prefix, message))), sent.map(() => 1));
  await eventually(t, 'all came', () => came.length === sent.length);
  t.deepEqual(came, sent.map((message) => prefix + message));
  await subscriber.unsubscribe(prefix);
  t.is(await publisher.publish(prefix, 'late'), 0);
  await quit(t, sockets, subscriber, publisher);
});

onRedis('a blocking pop waits for its time, or for a value', async (t, sockets, prefix) => {
  const [waiting, other] = [clientOf(sockets, prefix), clientOf(sockets, prefix)];
  const begun = performance.now();
  t.is(await waiting.blpop('list', 0.3), null);
  t.true(performance.now() - begun >= 295);
  const popped = waiting.blpop('list', 30);
  await pause(50);
  await other.rpush('list', 'value');
  t.deepEqual(await popped, [`${prefix}list`, 'value']);
  await quit(t, sockets, waiting, other);
});

onRedis('an error of a command is that command\'s alone', async (t, sockets, prefix) => {
  const client = clientOf(sockets, prefix);
  const [set, wrong, get] = await Promise.allSettled([client.set('key', 'text'), client.lpush('key', 'x'), client.get('key')]);
  t.like(set, { status: 'fulfilled', value: 'OK' });
  t.like(wrong, { status: 'rejected', reason: { message: 'WRONGTYPE Operation against a key holding the wrong kind of value' } });
  t.like(get, { status: 'fulfilled', value: 'text' });
  await quit(t, sockets, client);
});

onRedis('a server that hangs up is connected to again', async (t, sockets, prefix) => {
  const [victim, other] = [clientOf(sockets, prefix), clientOf(sockets, prefix)];
  const id = await victim.client('ID');
  const closed = once(victim, 'close');
  await other.client('KILL', 'ID', id);
  await closed;
  t.is(await victim.set('key', 'again'), 'OK');
  t.not(await victim.client('ID'), id);
  await Promise.all([victim.quit(), other.quit()]);
  await allUsedAndClosed(t, sockets, 3);
});

onRedis('a server that is killed and comes back: what was asked meanwhile is answered', async (t, sockets) => {
  const first = await start();
  const client = clientOf(sockets, '', { port: first.port, retryStrategy: () => 20, maxRetriesPerRequest: null });
  const errors: string[] = [];
  client.on('error', ({ message }) => errors.push(message));
  t.is(await client.set('key', 'lost'), 'OK');
  const [closed, reconnecting] = [once(client, 'close'), once(client, 'reconnecting')];
  process.kill(first.pid, 'SIGKILL');
  await first.stop();
  await closed;
  await reconnecting;
  const asked = client.get('key');
  await eventually(t, 'it has tried', () => errors.length > 1);
  const second = await start(first.port);
  t.is(await asked, null);
  t.is(await client.set('key', 'kept'), 'OK');
  t.deepEqual([...new Set(errors)].filter((message) => !/ECONNRESET|ECONNREFUSED/.test(message)), []);
  await client.quit();
  await eventually(t, 'every socket is closed', () => sockets.made.every((socket) => socket.closed));
  t.true(sockets.made.length >= 3);
  await second.stop();
});

onRedis('nobody at the port is an error, as with a socket of Node', async (t, sockets) => {
  const port = await closedPort();
  for (const each of [sockets, nodesOwn()]) {
    const client = clientOf(each, '', { port, lazyConnect: true, retryStrategy: () => null });
    const failed = once(client, 'error') as Promise<[Error]>;
    await t.throwsAsync(client.connect(), { message: 'Connection is closed.' });
    t.is((await failed)[0].message, `connect ECONNREFUSED ${HOST}:${port}`);
    await eventually(t, 'it is closed', () => each.made.every((socket) => socket.closed));
  }
});

/** Where a context of AsyncLocalStorage is met again: behind an await, in a callback, behind a pipeline. */
async function contexts(sockets: Sockets): Promise<unknown> {
  const storage = new AsyncLocalStorage<number>();
  const client = clientOf(sockets);
  const one = async (number: number): Promise<unknown> => {
    await client.ping();
    const awaited = storage.getStore();
    const called = await new Promise((resolve) => void client.ping(() => resolve(storage.getStore())));
    await client.pipeline().ping().ping().exec();
    return { number, awaited, called, piped: storage.getStore() };
  };
  const seen = await Promise.all([1, 2, 3, 4].map((number) => storage.run(number, one, number)));
  await client.quit();
  return seen;
}

onRedis('a context of AsyncLocalStorage is met again in promises and callbacks', async (t, sockets) => {
  const seen = await contexts(sockets);
  t.deepEqual(seen, [1, 2, 3, 4].map((number) => ({ number, awaited: number, called: number, piped: number })));
  t.deepEqual(seen, await contexts(nodesOwn()));
  await allUsedAndClosed(t, sockets, 1);
});
