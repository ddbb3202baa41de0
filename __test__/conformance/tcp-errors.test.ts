/**
 * Description: connections that are not made, and arguments that make no sense: each error is the one of `node:net`, field
 * by field. An aborted connect never happened, or has won; whatever happens, no descriptor is left.
 *
 * What turns it red: another code, message, address or port than Node's; a check that is missing; a socket that an abort,
 * a timeout, a lost race of addresses or a full queue leaves open; an abort that is not obeyed, or that loses a connection.
 */
import * as net from 'node:net';
import type { ExecutionContext } from 'ava';
import { connect, listen } from 'ritsu';
import type { LookupFunction, Proactor, TcpConnectOptions } from 'ritsu';
import { onEach, onEachAlone, onReal } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import {
  blackHole, closeAll, closedPort, descriptorCount, disposed, eventually, nodeError, nodeServer, pause, shapeOf,
} from '../support/net.ts';
import { Random } from '../support/random.ts';
import { sized } from '../support/size.ts';

/** An address of this machine at which no other test listens: a port that is free there stays so. */
const NOWHERE = '127.0.0.11';

/** Our error for the same arguments as Node's. */
async function sameError(t: ExecutionContext, proactor: Proactor, options: object): Promise<void> {
  const expected = await nodeError(() => net.connect(options as net.NetConnectOpts));
  const actual = await connect({ ...options, proactor } as TcpConnectOptions).then(
    async (stream) => (await stream.close(), 'it connected'),
    shapeOf,
  );
  t.deepEqual(actual, expected, JSON.stringify(options));
}

onEach('refused', async (t, proactor) => {
  const port = await closedPort(NOWHERE);
  await sameError(t, proactor, { port, host: NOWHERE });
  const attempt = async (): Promise<unknown> => await connect(port, NOWHERE, { proactor });
  const error = await t.throwsAsync(attempt);
  t.is(error.message, `connect ECONNREFUSED ${NOWHERE}:${port}`);
  t.regex(error.stack!, /at async attempt /, 'the stack names the caller');
});

onEach('a Unix socket that is not there, or is none, or has too long a name', async (t, proactor) => {
  await sameError(t, proactor, { path: freshPath('missing') });
  await sameError(t, proactor, { path: '/dev/null' });
  const error = await t.throwsAsync(connect(`/tmp/${'x'.repeat(110)}`, { proactor }), { code: 'EINVAL', message: /^connect EINVAL \/tmp\/x/ });
  t.like(error, { errno: -22, syscall: 'connect', address: `/tmp/${'x'.repeat(110)}` });
  await sameError(t, proactor, { path: '\0ritsu-nobody-listens-here' });
});

onEach('an address of ours that is taken, or not ours', async (t, proactor) => {
  const server = await disposed(t, nodeServer(() => {}));
  const other = await disposed(t, nodeServer(() => {}));
  await sameError(t, proactor, { port: server.port, host: '127.0.0.1', localAddress: '127.0.0.1', localPort: other.port });
  await sameError(t, proactor, { port: server.port, host: '127.0.0.1', localAddress: '203.0.113.1' });
});

const WRONG_OPTIONS: readonly (readonly [string, object])[] = [
  ['a port below 0', { port: -1 }],
  ['a port above 65535', { port: 65_536 }],
  ['a port that is no integer', { port: 1.5 }],
  ['a port that is no number', { port: 'http' }],
  ['a port that is NaN', { port: Number.NaN }],
  ['an empty port', { port: '' }],
  ['a port of another type', { port: {} }],
  ['no port, no path', { host: '127.0.0.1' }],
  ['a path of another type', { path: 7 }],
  ['a lookup that is no function', { port: 1, host: 'localhost', lookup: 'dns' }],
  ['a local address that is a name', { port: 1, localAddress: 'localhost' }],
];

for (const [name, options] of WRONG_OPTIONS) {
  onEach(`refused with Node's code: ${name}`, async (t, proactor) => {
    const before = proactor.stats().submitted;
    const { code, name: kind } = await nodeError(() => net.connect({ host: '127.0.0.1', ...options } as net.NetConnectOpts));
    const error = await t.throwsAsync<NodeJS.ErrnoException>(connect({ ...options, proactor } as TcpConnectOptions));
    t.is(error.code, code as string);
    t.is(error.name, kind as string);
    t.true(proactor.stats().submitted - before >= 0);
  });
}

onEach('wrong arguments that Node has not', async (t, proactor) => {
  const wrong: readonly (readonly [object, string])[] = [
    [{ port: 1, host: 7 }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 1, family: 5 }, 'ERR_INVALID_ARG_VALUE'],
    [{ port: 1, signal: 'now' }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 1, timeout: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ port: 1, noDelay: 'yes' }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 1, keepAlive: true, keepAliveInitialDelay: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ port: 1, localPort: 70_000 }, 'ERR_SOCKET_BAD_PORT'],
  ];
  for (const [options, code] of wrong) {
    await t.throwsAsync(connect({ ...options, proactor } as TcpConnectOptions), { code }, JSON.stringify(options));
  }
  await t.throwsAsync(connect(undefined as never), { code: 'ERR_MISSING_ARGS' });
  await t.throwsAsync(connect({ port: 1, proactor: {} as Proactor }), { code: 'ERR_INVALID_ARG_TYPE' });
});

onEach('a name that does not exist, and a lookup that fails or answers nonsense', async (t, proactor) => {
  const failing = new Error('no such name');
  const answer = (error: Error | null, found: unknown): LookupFunction => (_name, _options, callback) => {
    queueMicrotask(() => callback(error, found as string));
  };
  const asked = (lookup: LookupFunction): Promise<unknown> => connect({ port: 1, host: 'x.invalid', lookup, proactor });
  t.is(await asked(answer(failing, [])).catch((error: unknown) => error), failing);
  await t.throwsAsync(asked(answer(null, [{ address: 'nonsense', family: 4 }])), { code: 'ERR_INVALID_IP_ADDRESS' });
  await t.throwsAsync(asked(answer(null, [])), { code: 'ERR_INVALID_IP_ADDRESS' });
  const error = await t.throwsAsync<NodeJS.ErrnoException>(connect({ port: 1, host: 'ritsu.invalid', proactor }));
  t.is(error.syscall, 'getaddrinfo');
});

const addresses = (...list: readonly string[]): LookupFunction => (_name, _options, callback) => {
  callback(null, list.map((address) => ({ address, family: net.isIP(address) })));
};

onEach('all addresses of a name fail: one error with all of them, and the code of the first', async (t, proactor) => {
  const port = await closedPort(NOWHERE);
  const lookup = addresses(NOWHERE, '127.0.0.12', '127.0.0.13');
  const error = await t.throwsAsync<AggregateError & { code: string }>(connect({ port, host: 'x.invalid', lookup, proactor }));
  t.true(error instanceof AggregateError);
  t.is(error.code, 'ECONNREFUSED');
  t.deepEqual(error.errors.map(({ message }: Error) => message), [11, 12, 13].map((last) => `connect ECONNREFUSED 127.0.0.${last}:${port}`));
  const single = await t.throwsAsync(connect({ port, host: 'x.invalid', lookup: addresses(NOWHERE), proactor }));
  t.is(single.message, `connect ECONNREFUSED ${NOWHERE}:${port}`);
});

onEachAlone('an address that does not answer: the next one wins, the first is given up', {}, async (t, proactor) => {
  const server = await disposed(t, nodeServer((socket) => void socket.resume()));
  const hole = await disposed(t, blackHole('127.0.0.2', server.port));
  t.is(hole.port, server.port);
  const lookup = addresses('127.0.0.2', '127.0.0.1');
  const options = { port: server.port, host: 'x.invalid', lookup, proactor };
  const before = descriptorCount();
  const start = performance.now();
  const stream = await connect({ ...options, autoSelectFamilyAttemptTimeout: 30 });
  t.is(stream.remoteAddress, '127.0.0.1');
  t.true(performance.now() - start >= 29);
  await stream.close();
  await eventually(t, 'the loser is closed', () => proactor.stats().inFlight === 0 && descriptorCount() <= before + 1);
  t.is(proactor.stats().descriptorsOpen, 0);
  // A refusal is an answer: nobody waits for the time to be over.
  const at = performance.now();
  const quick = await connect({ ...options, lookup: addresses('127.0.0.3', '127.0.0.1'), autoSelectFamilyAttemptTimeout: 20_000 });
  t.true(performance.now() - at < 10_000);
  await quick.close();
});

onEachAlone('an abort and a timeout end a connect that nobody answers', {}, async (t, proactor) => {
  const hole = await disposed(t, blackHole());
  const before = descriptorCount();
  const where = { port: hole.port, host: '127.0.0.1', proactor };
  const names = { ...where, host: 'x.invalid', lookup: addresses('127.0.0.1', '127.0.0.1') };
  for (const options of [where, names]) {
    await t.throwsAsync(connect({ ...options, timeout: 30 }), { name: 'TimeoutError', code: 'ERR_RITSU_TIMEOUT' });
    const controller = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => controller.abort(reason), 30);
    const error = await t.throwsAsync(connect({ ...options, signal: controller.signal }), { name: 'AbortError' });
    t.is(error.cause, reason);
  }
  const submitted = proactor.stats().submitted;
  await t.throwsAsync(connect({ ...where, signal: AbortSignal.abort() }), { name: 'AbortError' });
  await t.throwsAsync(connect({ ...where, timeout: 0 }), { name: 'TimeoutError' });
  t.true(proactor.stats().submitted - submitted <= 1, 'nothing was begun');
  await eventually(t, 'all is closed', () => descriptorCount() <= before && proactor.stats().descriptorsOpen === 0);
});

onEach('a lookup that never answers is given up', async (t, proactor) => {
  const lookup: LookupFunction = () => {};
  const never = { port: 1, host: 'x.invalid', lookup, proactor };
  await t.throwsAsync(connect({ ...never, timeout: 20 }), { name: 'TimeoutError' });
  await t.throwsAsync(connect({ ...never, signal: AbortSignal.timeout(20) }), { name: 'AbortError' });
});

onEachAlone('aborts at any moment: never happened or won, and nothing is left', {}, async (t, proactor) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const { port } = listener.address();
  const random = new Random(7);
  const accepting = (async () => {
    for await (const stream of listener) void stream.allocator().read().catch(() => null).then(() => stream.close());
  })();
  const before = descriptorCount();
  let won = 0;
  let never = 0;
  for (let round = 0; round < sized(300, 5000); round += 1) {
    const controller = new AbortController();
    const connecting = connect({ port, host: '127.0.0.1', signal: controller.signal, proactor });
    const kind = random.below(4);
    if (kind === 0) controller.abort();
    else if (kind === 1) queueMicrotask(() => controller.abort());
    else if (kind === 2) setImmediate(() => controller.abort());
    else setTimeout(() => controller.abort(), random.below(3));
    try {
      const stream = await connecting;
      won += 1;
      await stream.close();
    } catch (error) {
      t.is((error as Error).name, 'AbortError');
      never += 1;
    }
  }
  t.true(won > 0 && never > 0, `${won} won, ${never} never happened`);
  await listener.close();
  await accepting;
  await eventually(t, 'all is closed', () => proactor.stats().descriptorsOpen === 0 && descriptorCount() < before);
});

onReal('the proactor is closed: nothing is begun', async (t, _shared, backend) => {
  const { Proactor: Fresh } = await import('ritsu');
  const proactor = new Fresh({ backend });
  await proactor.close();
  await t.throwsAsync(connect({ port: 1, host: '127.0.0.1', proactor }), { code: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(listen({ port: 0, proactor }), { code: 'ERR_RITSU_CLOSED' });
});

onReal('closing the proactor ends what waits for a peer', async (t, _shared, backend) => {
  const { Proactor: Fresh } = await import('ritsu');
  const proactor = new Fresh({ backend });
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const stream = await connect({ port: listener.address().port, host: '127.0.0.1', proactor });
  const waiting = [stream.allocator().read(), listener.accept().then(() => listener.accept())];
  await pause(20);
  const settled = Promise.allSettled(waiting);
  await proactor.close();
  for (const outcome of await settled) t.like(outcome, { status: 'rejected', reason: { code: 'ERR_RITSU_CLOSED' } });
  await closeAll(stream, listener);
});
