/**
 * Description: pg against a real PostgreSQL, over our sockets: parameters, many queries, large values both ways, notifications,
 * errors, a backend that is terminated, a pool, TLS, and contexts of AsyncLocalStorage. The server says what it received.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import type { Proactor } from 'ritsu';
import { Client, Pool } from 'pg';
import type { ClientConfig } from 'pg';
import { onEach } from '../support/backends.ts';
import { certificate } from '../support/certificate.ts';
import { allUsedAndClosed, nodesOwn, oursOn } from '../support/clients.ts';
import type { Sockets } from '../support/clients.ts';
import { randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { closedPort, eventually } from '../support/net.ts';
import { HOST, postgres, startPostgres } from '../support/postgres.ts';
import type { Cluster } from '../support/postgres.ts';

let cluster: Cluster;

test.before('start PostgreSQL', async () => {
  if (postgres !== undefined) cluster = await startPostgres(postgres);
});

test.after.always('stop PostgreSQL', async () => {
  await cluster?.stop();
});

function configOf({ make }: Sockets, more: ClientConfig = {}): ClientConfig {
  return { host: HOST, port: cluster.port, user: 'postgres', database: 'postgres', stream: make, ...more };
}

async function clientOf(sockets: Sockets, more?: ClientConfig): Promise<Client> {
  const client = new Client(configOf(sockets, more));
  await client.connect();
  return client;
}

function onPostgres(name: string, body: (t: ExecutionContext, sockets: Sockets, proactor: Proactor) => Promise<void>): void {
  onEach(`pg: ${name}`, (t, proactor) => body(t, oursOn(proactor), proactor), postgres !== undefined);
}

const VALUES: readonly (readonly [type: string, value: unknown, back?: unknown])[] = [
  ['int4', -7],
  ['int8', 2n ** 62n, `${2n ** 62n}`],
  ['text', 'ö ☃ \u{1f600} \'";--'],
  ['text', ''],
  ['text', null],
  ['bool', true],
  ['float8', 1e300],
  ['bytea', Buffer.from([0, 1, 2, 255])],
  ['int4[]', [1, 2, 3]],
  ['jsonb', { a: [1, null, 'x'] }],
  ['timestamptz', new Date(0)],
];

for (const transport of ['TCP', 'a Unix socket']) {
  onPostgres(`1,000 queries with parameters of every kind, over ${transport}`, async (t, sockets) => {
    const client = await clientOf(sockets, transport === 'TCP' ? {} : { host: cluster.socketFolder });
    for (const [type, value, back = value] of VALUES) {
      const { rows } = await client.query<{ value: unknown }>(`select $1::${type} as value`, [value]);
      t.deepEqual(rows, [{ value: back }], type);
    }
    for (let index = 0; index < 1000; index += 1) {
      const { rows } = await client.query<{ sum: number }>('select $1::int + 1 as sum', [index]);
      t.is(rows[0]?.sum, index + 1);
    }
    await client.end();
    await allUsedAndClosed(t, sockets, 1);
  });
}

onPostgres('32 MB of rows come whole, as the server computes them', async (t, sockets) => {
  const client = await clientOf(sockets);
  const made = "select i, repeat(md5(i::text), 64) as line from generate_series(1, 16000) i";
  const { rows } = await client.query<{ line: string }>(`${made} order by i`);
  const hash = createHash('md5');
  for (const { line } of rows) hash.update(line);
  t.is(rows.length, 16_000);
  const said = await client.query<{ digest: string }>(`select md5(string_agg(line, '' order by i)) as digest from (${made}) m`);
  t.is(said.rows[0]?.digest, hash.digest('hex'));
  await client.end();
  await allUsedAndClosed(t, sockets, 1);
});

onPostgres('16 MiB as one parameter, and back as one value', async (t, sockets) => {
  const client = await clientOf(sockets);
  const content = randomBytes(16 * 2 ** 20);
  const { rows } = await client.query<{ digest: string; value: Buffer }>({
    text: "select md5($1::bytea) as digest, $1::bytea as value",
    values: [content],
  });
  t.is(rows[0]?.digest, createHash('md5').update(content).digest('hex'));
  t.true(rows[0]?.value.equals(content));
  await client.end();
  await allUsedAndClosed(t, sockets, 1);
});

onPostgres('500 notifications arrive in order', async (t, sockets, proactor) => {
  const [listening, notifying] = await Promise.all([clientOf(sockets), clientOf(sockets)]);
  const channel = `channel_${internals(proactor).backend.name}`;
  const came: (string | undefined)[] = [];
  listening.on('notification', ({ payload }) => came.push(payload));
  await listening.query(`listen ${channel}`);
  const sent = Array.from({ length: 500 }, (_, index) => `payload ${index}`);
  for (const payload of sent) await notifying.query('select pg_notify($1, $2)', [channel, payload]);
  await eventually(t, 'all came', () => came.length === sent.length);
  t.deepEqual(came, sent);
  await Promise.all([listening.end(), notifying.end()]);
  await allUsedAndClosed(t, sockets, 2);
});

onPostgres('an error of a query is that query\'s alone', async (t, sockets) => {
  const client = await clientOf(sockets);
  await t.throwsAsync(client.query('selct 1'), { code: '42601', message: 'syntax error at or near "selct"' });
  await t.throwsAsync(client.query('select 1 / $1::int', [0]), { code: '22012', message: 'division by zero' });
  t.deepEqual((await client.query('select 1 as one')).rows, [{ one: 1 }]);
  await client.end();
  await allUsedAndClosed(t, sockets, 1);
});

onPostgres('a backend that is terminated: its query fails, the others go on', async (t, sockets) => {
  const [victim, other] = await Promise.all([clientOf(sockets), clientOf(sockets)]);
  const errors: string[] = [];
  victim.on('error', ({ message }) => errors.push(message));
  const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid');
  const ended = new Promise<void>((resolve) => victim.on('end', () => resolve()));
  const sleeping = t.throwsAsync(victim.query('select pg_sleep(60)'), { code: '57P01' });
  await other.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
  await sleeping;
  await ended;
  // A backend that went before it had read the query leaves a reset connection.
  t.deepEqual(errors.filter((message) => message !== 'read ECONNRESET'), ['Connection terminated unexpectedly']);
  await t.throwsAsync(victim.query('select 1'), { message: /not queryable|closed|terminated/ });
  t.deepEqual((await other.query('select 1 as one')).rows, [{ one: 1 }]);
  await other.end();
  await allUsedAndClosed(t, sockets, 2);
});

onPostgres('a pool of eight: 400 queries, transactions, and a client that is lost is replaced', async (t, sockets) => {
  const pool = new Pool(configOf(sockets, { max: 8 } as ClientConfig));
  const lost: string[] = [];
  pool.on('error', ({ message }) => lost.push(message));
  const ask = async (index: number): Promise<{ pid: number; index: number }> => {
    const text = 'select pg_backend_pid() as pid, $1::int as index, pg_sleep(0.002)';
    return (await pool.query<{ pid: number; index: number }>(text, [index])).rows[0]!;
  };
  const rows = await Promise.all(Array.from({ length: 400 }, (_, index) => ask(index)));
  t.deepEqual(rows.map(({ index }) => index), rows.map((_, index) => index));
  t.is(new Set(rows.map(({ pid }) => pid)).size, 8);
  t.is(pool.totalCount, 8);

  const client = await pool.connect();
  await client.query('begin');
  await client.query('create table never (a int)');
  await client.query('rollback');
  t.deepEqual((await client.query("select to_regclass('never') as oid")).rows, [{ oid: null }]);
  client.release();

  await pool.query('select pg_terminate_backend(pid) from pg_stat_activity where pid = any($1) and pid <> pg_backend_pid()', [
    rows.map(({ pid }) => pid),
  ]);
  await eventually(t, 'the pool has noticed', () => pool.totalCount === 1);
  t.is(lost.length, 7);
  t.is((await Promise.all(Array.from({ length: 40 }, (_, index) => ask(index)))).length, 40);
  await pool.end();
  await allUsedAndClosed(t, sockets, 15);
});

onPostgres('TLS over our socket', async (t, sockets) => {
  const client = await clientOf(sockets, { ssl: { ca: certificate().cert, servername: 'localhost', checkServerIdentity: () => undefined } });
  const { rows } = await client.query('select ssl, repeat(\'x\', 1000000) as text from pg_stat_ssl where pid = pg_backend_pid()');
  t.deepEqual(rows, [{ ssl: true, text: 'x'.repeat(1_000_000) }]);
  await client.end();
  await allUsedAndClosed(t, sockets, 1);
});

onPostgres('nobody at the port is an error, as with a socket of Node', async (t, sockets) => {
  const port = await closedPort();
  for (const each of [sockets, nodesOwn()]) {
    await t.throwsAsync(clientOf(each, { port }), { code: 'ECONNREFUSED', message: `connect ECONNREFUSED ${HOST}:${port}` });
    await eventually(t, 'it is closed', () => each.made.every((socket) => socket.closed));
  }
});

/** Where a context of AsyncLocalStorage is met again: behind an await, in a callback, behind a pool. */
async function contexts(sockets: Sockets): Promise<unknown> {
  const storage = new AsyncLocalStorage<number>();
  const client = await clientOf(sockets);
  const pool = new Pool(configOf(sockets, { max: 2 } as ClientConfig));
  const one = async (number: number): Promise<unknown> => {
    await client.query('select 1');
    const awaited = storage.getStore();
    const called = await new Promise((resolve) => client.query('select 2', () => resolve(storage.getStore())));
    await pool.query('select 3');
    return { number, awaited, called, pooled: storage.getStore() };
  };
  const seen: unknown[] = [];
  for (const number of [1, 2, 3, 4]) seen.push(await storage.run(number, one, number));
  await Promise.all([client.end(), pool.end()]);
  return seen;
}

onPostgres('a context of AsyncLocalStorage is met again in promises, and in callbacks as with a socket of Node', async (t, sockets) => {
  const seen = await contexts(sockets);
  t.deepEqual(seen, await contexts(nodesOwn()));
  const awaited = (seen as { number: number; awaited: number; pooled: number }[]).map((each) => [each.awaited, each.pooled]);
  t.deepEqual(awaited, [1, 2, 3, 4].map((number) => [number, number]));
  await allUsedAndClosed(t, sockets, 2);
});
