/**
 * Description: `CancelScope`: many operations, of every kind, that end together, and the tally of how.
 *
 * What turns it red: work that is begun with the scope's signal and not counted, or counted twice; `cancel()` that resolves
 * before the last of it has ended; a scope inside that outlives the one around it; a listener left on the outer signal.
 */
import { CancelScope, alloc, bind, listen, open, owned, ready, sleep } from 'ritsu';
import type { Proactor } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, randomBytes } from '../support/files.ts';
import { closeAll, disposed, tcpPair } from '../support/net.ts';

function count(outcomes: readonly PromiseSettledResult<unknown>[]): Record<string, number> {
  const counts: Record<string, number> = { completed: 0, aborted: 0, failed: 0 };
  for (const outcome of outcomes) {
    const name = outcome.status === 'fulfilled' ? 'completed' : (outcome.reason as Error).name === 'AbortError' ? 'aborted' : 'failed';
    counts[name] = counts[name]! + 1;
  }
  return counts;
}

onEachAlone('every kind of work ends with it, and is counted once', {}, async (t, proactor, backend) => {
  const scope = new CancelScope();
  const { signal } = scope;
  const pair = await disposed(t, tcpPair(proactor));
  const socket = await bind({ host: '127.0.0.1', proactor });
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const file = await open(fileOf('content'), { flags: 'r+', proactor });
  const submitter = pair.inside.submitter();
  submitter.submit(alloc(10, { proactor }), { signal });
  const works: Promise<unknown>[] = [
    submitter.poll(),
    pair.inside.hybrid().read(owned(alloc(10, { proactor })), { signal }),
    pair.inside.allocator().read({ signal }),
    // Node takes no write back: there it must be one that ends by itself.
    pair.outside.writer().writeAll(Buffer.alloc(backend === 'node' ? 9 : 32 << 20), { signal }),
    socket.allocator().read({ signal }),
    listener.accept({ signal }),
    sleep(60_000, { signal, proactor }),
    file.allocator().read({ signal, position: 0 }),
    file.allocator().read({ signal }),
    file.stat({ signal }),
    file.writer().write('x', { signal }),
    open('/nonexistent', { signal, proactor }),
  ];
  if (backend === 'uring') works.push(ready(pair.inside.fd, 'priority', { signal, proactor }));
  // Nothing else ends these: of the socket, of the listener, the sleep, and `ready`. What is written may answer the connection's reads.
  const others = [...works.slice(4, 7), ...works.slice(12)];
  const settled = Promise.allSettled(works);
  await proactor.nop();
  const tally = await scope.cancel('enough');
  t.is(scope.running, 0);
  const counts = count(await settled);
  t.is(tally.completed + tally.aborted + tally.failed, works.length, JSON.stringify(tally));
  for (const other of others) await t.throwsAsync(other, { name: 'AbortError' });
  t.true(tally.aborted >= others.length, JSON.stringify(tally));
  t.true(Math.abs(tally.aborted - counts['aborted']!) <= 1, JSON.stringify([tally, counts]));
  t.deepEqual(await scope.cancel(), tally, 'again only says it again');
  await t.throwsAsync(file.allocator().read({ signal }), { name: 'AbortError' });
  await closeAll(socket, listener);
  await file.close();
});

onEach('a scope inside of a scope, or of a signal', async (t, proactor) => {
  const outer = new CancelScope();
  const inner = new CancelScope(outer);
  const sleeps = [sleep(60_000, { signal: outer.signal, proactor }), sleep(60_000, { signal: inner.signal, proactor })];
  const settled = Promise.allSettled(sleeps);
  t.deepEqual([outer.running, inner.running], [2, 1]);
  t.deepEqual(await inner.cancel(), { completed: 0, aborted: 1, failed: 0 });
  t.false(outer.signal.aborted);
  t.deepEqual(await outer.cancel('all'), { completed: 0, aborted: 2, failed: 0 });
  t.deepEqual(count(await settled), { completed: 0, aborted: 2, failed: 0 });
  const controller = new AbortController();
  const followed = new CancelScope(controller.signal);
  const other = new CancelScope(followed);
  controller.abort('why');
  t.is(other.signal.reason, 'why');
  t.true(new CancelScope(controller.signal).signal.aborted);
  t.throws(() => new CancelScope(7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
});

/** As `await using` does, which Node 22 cannot parse. */
async function readInScope(proactor: Proactor, content: Buffer): Promise<CancelScope> {
  const scope = new CancelScope();
  const file = await open(fileOf(content), { proactor });
  const bytes = await file.allocator().read({ signal: scope.signal });
  bytes!.release();
  void sleep(60_000, { signal: scope.signal, proactor }).catch(() => {});
  await file.close();
  await scope[Symbol.asyncDispose]();
  return scope;
}

onEach('disposed of: what still runs is ended', async (t, proactor) => {
  const scope = await readInScope(proactor, randomBytes(1000));
  t.is(scope.running, 0);
  t.like(await scope.settled(), { completed: 1, aborted: 1 });
});
