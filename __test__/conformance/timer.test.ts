/**
 * Description: sleep and interval: expiry resolves, never early, in the order of the deadlines; an abort rejects; what
 * keeps the process alive and what does not.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { interval, sleep } from 'ritsu';
import { onEach, onReal } from '../support/backends.ts';

onEach('sleep resolves with nothing, and never early', async (t, proactor) => {
  await Promise.all(
    [0, 0.4, 1, 1.5, 2, 5, 10, 20.25, 50].flatMap((ms) => [ms, ms]).map(async (ms) => {
      const start = performance.now();
      t.is(await sleep(ms, { proactor }), undefined);
      const elapsed = performance.now() - start;
      t.true(elapsed >= ms, `${ms} ms took ${elapsed}`);
      t.true(elapsed < ms + 20_000, `${ms} ms took ${elapsed}`);
    }),
  );
});

onEach('not one of many sleeps ends early', async (t, proactor) => {
  let early = 0;
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 20 }, async (_, index) => {
      const ms = 1 + (index % 4);
      const start = performance.now();
      await sleep(ms, { proactor });
      if (performance.now() - start < ms) early += 1;
    }));
  }
  t.is(early, 0);
});

/** What a simulated ring has for one turn may come in any order: so it is, if the process had to wait for that long. */
const ONE_TURN_MS = 5;

onEach('sleeps end in the order of their deadlines, not of their calls', async (t, proactor, backend) => {
  const order: { readonly ms: number; readonly at: number }[] = [];
  const delays = [270, 30, 150, 390, 510]; // apart by more than a busy machine keeps a process waiting
  await Promise.all(delays.map(async (ms) => {
    await sleep(ms, { proactor });
    order.push({ ms, at: performance.now() });
  }));
  t.is(order.length, delays.length);
  for (const [index, { ms, at }] of order.entries()) {
    const before = order[index - 1] ?? { ms: 0, at };
    const sameTurn = backend === 'simulated' && at - before.at < ONE_TURN_MS;
    t.true(before.ms < ms || sameTurn, JSON.stringify(order));
  }
});

onEach('a thousand sleeps each settle once', async (t, proactor) => {
  let settled = 0;
  await Promise.all(Array.from({ length: 1000 }, async (_, index) => {
    await sleep(index % 20, { proactor });
    settled += 1;
  }));
  t.is(settled, 1000);
});

onEach('an abort ends a sleep at once, with the reason as its cause', async (t, proactor) => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const start = performance.now();
  const sleeping = sleep(60_000, { signal: controller.signal, proactor });
  setTimeout(() => controller.abort(reason), 5);
  const error = await t.throwsAsync(sleeping, { name: 'AbortError', code: 'ABORT_ERR' });
  t.is(error.cause, reason);
  t.true(performance.now() - start < 30_000);
});

onEach('an abort in the same turn ends a sleep, also one longer than 2^31 ms', async (t, proactor) => {
  for (const ms of [100, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    const controller = new AbortController();
    const sleeping = sleep(ms, { signal: controller.signal, proactor });
    controller.abort();
    await t.throwsAsync(sleeping, { name: 'AbortError' }, `${ms}`);
  }
});

onEach('a sleep longer than 2^31 ms does not end at once', async (t, proactor) => {
  const controller = new AbortController();
  const warnings: string[] = [];
  const listen = (warning: Error): void => void warnings.push(warning.name);
  process.on('warning', listen);
  let settled = false;
  const sleeping = sleep(2 ** 31 + 1000, { signal: controller.signal, proactor }).finally(() => {
    settled = true;
  });
  await sleep(50, { proactor });
  t.false(settled);
  process.off('warning', listen);
  t.false(warnings.includes('TimeoutOverflowWarning'));
  controller.abort();
  await t.throwsAsync(sleeping, { name: 'AbortError' });
});

onEach('a signal that has aborted before prevents the sleep', async (t, proactor) => {
  const before = proactor.stats().submitted;
  const signal = AbortSignal.abort('reason');
  const error = await t.throwsAsync(sleep(0, { signal, proactor }), { name: 'AbortError' });
  t.is(error.cause, 'reason');
  t.true(proactor.stats().submitted >= before);
});

onEach('an abort after the end does nothing', async (t, proactor) => {
  const controller = new AbortController();
  await sleep(1, { signal: controller.signal, proactor });
  controller.abort();
  await sleep(1, { proactor });
  t.pass();
});

onEach('delays of the wrong type or value are refused', async (t, proactor) => {
  for (const wrong of ['1', null, undefined, {}, 1n]) {
    await t.throwsAsync(sleep(wrong as never, { proactor }), { code: 'ERR_INVALID_ARG_TYPE' }, String(wrong));
  }
  for (const wrong of [-1, Number.NaN, Infinity, -Infinity, 2 ** 54]) {
    await t.throwsAsync(sleep(wrong, { proactor }), { code: 'ERR_OUT_OF_RANGE' }, `${wrong}`);
  }
});

onEach('an interval ticks from 1, without drift, and makes up for a slow loop', async (t, proactor) => {
  const start = performance.now();
  const ticks: number[] = [];
  for await (const tick of interval(10, { proactor })) {
    ticks.push(tick);
    t.true(performance.now() - start >= tick * 10, `tick ${tick} came early`);
    if (tick === 3) await sleep(60, { proactor });
    if (tick === 8) t.true(performance.now() - start < 30_000);
    if (tick === 10) break;
  }
  t.deepEqual(ticks, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

onEach('an abort ends an interval', async (t, proactor) => {
  const controller = new AbortController();
  const ticks: number[] = [];
  const work = async (): Promise<void> => {
    for await (const tick of interval(5, { signal: controller.signal, proactor })) {
      ticks.push(tick);
      if (tick === 2) controller.abort('over');
    }
  };
  const error = await t.throwsAsync(work, { name: 'AbortError' });
  t.is(error.cause, 'over');
  t.deepEqual(ticks, [1, 2]);
});

const EXITS: readonly (readonly [string, string, string])[] = [
  ['a sleep keeps the process alive', 'sleep(200, { proactor }).then(() => console.log("woke"))', 'woke\n'],
  ['a sleep without ref does not', 'sleep(60000, { proactor, ref: false }).then(() => console.log("woke"))', ''],
  ['nor does any after unref()', 'proactor.unref(); sleep(60000, { proactor }).then(() => console.log("woke"))', ''],
  ['ref() puts that right', 'proactor.unref(); proactor.ref(); sleep(200, { proactor }).then(() => console.log("woke"))', 'woke\n'],
  ['unref() while it sleeps', 'sleep(60000, { proactor }); setTimeout(() => proactor.unref(), 50)', ''],
  [
    'a sleep without ref still ends while something else lives',
    'sleep(20, { proactor, ref: false }).then(() => console.log("woke")); setTimeout(() => {}, 500)',
    'woke\n',
  ],
  ['an idle proactor keeps nothing alive', 'await sleep(1, { proactor }); console.log("idle")', 'idle\n'],
];

for (const [name, script, expected] of EXITS) {
  onReal(`the end of the process: ${name}`, async (t, _proactor, backend) => {
    const code = `import { Proactor, sleep } from 'ritsu'; const proactor = new Proactor({ backend: '${backend}' }); ${script}`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
      cwd: new URL('../..', import.meta.url),
      timeout: 20_000,
    });
    t.is(stdout, expected);
  });
}
