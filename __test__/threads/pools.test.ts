/**
 * Description: proactors in threads and processes that others make: piscina's pool, and `node:cluster`.
 *
 * What turns it red: a thread of the pool that finds another one's proactor, or a new one for each task; one that cannot be
 * ended; a process of a cluster that serves nobody, or does not go on when another is killed.
 */
import { createHash } from 'node:crypto';
import { Piscina } from 'piscina';
import { onEach } from '../support/backends.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { fileOf, openCount, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import type { PoolResult } from '../programs/pool-task.ts';

onEach('tasks of piscina: each thread has its own proactor, for all of its tasks', async (t, _proactor, backend) => {
  const content = randomBytes(300_000);
  const path = fileOf(content);
  const filename = new URL('../programs/pool-task.ts', import.meta.url).href;
  const pool = new Piscina({ filename, minThreads: 2, maxThreads: 2, env: { ...process.env, RITSU_BACKEND: backend } });
  const results = (await Promise.all(Array.from({ length: 60 }, () => pool.run(path)))) as PoolResult[];
  const expected = createHash('sha256').update(content).digest('hex');
  t.true(results.every((result) => result.digest === expected && result.backend === backend));
  const threads = Map.groupBy(results, ({ thread }) => thread);
  t.is(threads.size, 2);
  for (const each of threads.values()) {
    t.is(new Set(each.map(({ submitted }) => submitted)).size, each.length, 'the counters go on');
  }
  // A task that is aborted is ended with its thread, and another takes its place.
  pool.on('error', () => {}); // a task that had just finished when it was aborted: piscina wonders about its answer
  const ending = new AbortController();
  const cut = pool.run(path, { signal: ending.signal });
  ending.abort();
  await t.throwsAsync(cut, { name: 'AbortError' });
  t.like(await pool.run(path), { digest: expected });
  await pool.destroy();
  await eventually(t, 'nothing is open', () => openCount(path) === 0);
});

onEach('processes of node:cluster: each serves, and goes on when another is killed', async (t, _proactor, backend) => {
  const ended = await runProgram('cluster', [], { env: { RITSU_BACKEND: backend }, timeoutMs: 60_000 });
  endedWith(t, ended, 0);
  const said = reported(ended) as Record<'before' | 'after', { pids: number[]; failed: number }> & { workers: number[]; left: number };
  t.deepEqual(said.before.pids.map(String).toSorted(), said.workers.map(String).toSorted());
  t.is(said.before.failed, 0);
  t.deepEqual(said.after, { pids: [said.left], failed: 0 });
});
