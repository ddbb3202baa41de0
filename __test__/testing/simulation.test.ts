/**
 * Description: what `simulate` promises: the same seed and program give the same events, each fault happens when it is
 * asked for and not when it is not, and time is moved by hand.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { bind, interval, open, sleep } from 'ritsu';
import { NO_FAULTS, simulate } from 'ritsu/testing';
import type { Faults, Simulation, SimulationOptions } from 'ritsu/testing';
import { fileOf } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { closeAll, endsOf } from '../support/simulated.ts';

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'fine', (error: { code?: string }) => error.code ?? String(error));

/** Bytes both ways, a file, an abort: a bit of everything. */
async function everything(simulation: Simulation): Promise<string> {
  const ends = await endsOf(simulation);
  const abort = new AbortController();
  const aborted = codeOf(ends.near.hybrid().pull({ signal: abort.signal }));
  setImmediate(() => abort.abort());
  const sending = ends.near.writer().writeAll(Buffer.alloc(50_000, 'x')).then(() => ends.near.shutdown());
  let length = 0;
  for await (const bytes of ends.far.allocator()) length += bytes.length;
  await sending;
  await aborted;
  await closeAll(ends);
  const file = await open(fileOf(Buffer.alloc(9000, 'f')), { proactor: simulation.proactor });
  for await (const bytes of file.allocator({ blockSize: 1000 })) length += bytes.length;
  await file.close();
  return `${length}`;
}

async function traceOf(options: SimulationOptions): Promise<readonly string[]> {
  const simulation = simulate(options);
  await everything(simulation);
  await simulation.close();
  return simulation.trace;
}

test('the same seed and program give the same events, another seed gives others', async (t) => {
  const traces = await Promise.all(['one', 'one', 'two'].map((seed) => traceOf({ seed })));
  t.true(traces[0]!.length > 50);
  t.deepEqual(traces[0], traces[1]);
  t.notDeepEqual(traces[0], traces[2]);
});

test.serial('a seed may come from the environment, and where there is none, it is a new one', async (t) => {
  const before = process.env['RITSU_SEED'];
  process.env['RITSU_SEED'] = 'pasted';
  const pasted = simulate();
  delete process.env['RITSU_SEED'];
  const [fresh, other] = [simulate(), simulate()];
  if (before !== undefined) process.env['RITSU_SEED'] = before;
  t.is(pasted.seed, 'pasted');
  t.not(fresh.seed, other.seed);
  await Promise.all([everything(pasted), everything(fresh)]);
  const [again, alike] = [simulate({ seed: 'pasted' }), simulate({ seed: fresh.seed })];
  await Promise.all([everything(again), everything(alike)]);
  t.is(again.digest, pasted.digest);
  t.is(alike.digest, fresh.digest);
  await Promise.all([pasted, fresh, other, again, alike].map((simulation) => simulation.close()));
});

/** Whether completions were posted in another order than their ops were submitted. */
function isReordered(trace: readonly string[]): boolean {
  const named = (what: string): string[] =>
    trace.flatMap((line) => new RegExp(`^${what} (STATX \\d+\\.\\d+)`).exec(line)?.[1] ?? []);
  return named('post').join() !== named('submit').join();
}

const many = async ({ proactor }: Simulation): Promise<void> => {
  const file = await open(fileOf(Buffer.alloc(10)), { proactor });
  await Promise.all(Array.from({ length: 20 }, () => file.stat()));
  await file.close();
};

async function exchange(simulation: Simulation): Promise<void> {
  const ends = await endsOf(simulation);
  for (let count = 0; count < 10; count += 1) {
    const reading = ends.far.allocator().read();
    await ends.near.writer().writeAll('hello');
    (await reading)?.release();
  }
  await closeAll(ends);
}

/** Datagrams that arrive of ten. */
async function datagrams({ proactor, clock }: Simulation): Promise<number> {
  const one = await bind({ port: 0, host: '127.0.0.1', proactor });
  const two = await bind({ port: 0, host: '127.0.0.1', proactor });
  for (let count = 0; count < 10; count += 1) await one.send(`${count}`, two.address().port, '127.0.0.1');
  let found = 0;
  for (;;) {
    const reading = two.allocator().read({ timeout: 10 });
    reading.catch(() => {});
    await clock.advance(10);
    const bytes = await reading.catch(() => undefined);
    if (bytes === undefined) break;
    bytes?.release();
    found += 1;
  }
  await Promise.all([one.close(), two.close()]);
  return found;
}

type Row = readonly [fault: keyof Faults, rate: number, happens: (simulation: Simulation) => Promise<boolean>];

const inTrace = (pattern: RegExp, program: (simulation: Simulation) => Promise<unknown> = exchange) =>
  async (simulation: Simulation): Promise<boolean> => {
    await program(simulation);
    return simulation.trace.some((line) => pattern.test(line));
  };

const reset = async (simulation: Simulation): Promise<boolean> => {
  const ends = await endsOf(simulation);
  const reading = codeOf(ends.far.allocator().read().then((bytes) => bytes?.release()));
  const code = await codeOf(ends.near.writer().writeAll(Buffer.alloc(200_000)));
  const codes = [code, await reading];
  await closeAll(ends);
  return codes.includes('ECONNRESET');
};

const FAULTS: readonly Row[] = [
  ['reorder', 1, async (simulation) => many(simulation).then(() => isReordered(simulation.trace))],
  ['delay', 0.5, async (simulation) => many(simulation).then(() => isReordered(simulation.trace))],
  ['short', 1, async ({ proactor }) => {
    const file = await open(fileOf(Buffer.alloc(4096)), { proactor });
    const bytes = await file.allocator({ blockSize: 4096 }).read();
    const isShort = bytes!.length < 4096;
    bytes!.release();
    await file.close();
    return isShort;
  }],
  ['endEarly', 1, inTrace(/^post RECEIVE_SELECT .* = 5 block/)],
  ['emptyGroup', 0.5, inTrace(/^post RECEIVE_SELECT .* = -105/)],
  ['interrupt', 0.9, inTrace(/^post (RECEIVE_SELECT|ACCEPT) .* = -4/)],
  ['notReady', 0.9, inTrace(/^post POLL/)],
  ['loss', 1, async (simulation) => (await datagrams(simulation)) === 0],
  ['duplicate', 1, async (simulation) => (await datagrams(simulation)) === 20],
  ['reset', 1, reset],
  ['outOfMemory', 1, async ({ proactor }) => (await codeOf(open(fileOf(Buffer.alloc(1)), { proactor }))) === 'ENOMEM'],
];

for (const [fault, rate, happens] of FAULTS) {
  test(`faults: ${fault}: happens when it is asked for, and else does not`, async (t) => {
    const faulty = simulate({ seed: fault, faults: { ...NO_FAULTS, [fault]: rate } });
    t.true(await happens(faulty), faulty.trace.join('\n'));
    await faulty.close();
    const perfect = simulate({ seed: fault, faults: NO_FAULTS });
    t.false(await happens(perfect), perfect.trace.join('\n'));
    await perfect.close();
  });
}

/** A read that the kernel has, and that could end, is aborted: its length, or the error's name. */
async function abortedRead(seed: number, faults: Partial<Faults>): Promise<string> {
  const simulation = simulate({ seed, faults });
  const { proactor } = simulation;
  const file = await open(fileOf(Buffer.from('content')), { proactor });
  const abort = new AbortController();
  const read = file.hybrid().pull({ signal: abort.signal, position: 0 });
  internals(proactor).backend.flush(); // it cannot be withdrawn any more
  abort.abort();
  const outcome = await read.then((bytes) => {
    const { length } = bytes!;
    bytes!.release();
    return `${length}`;
  }, (error: Error) => error.name);
  await file.close();
  await simulation.close();
  return outcome;
}

test('faults: cancelLoses: an op that could end ends with its result although it was aborted', async (t) => {
  const outcomes = async (cancelLoses: number): Promise<string[]> => {
    const found = new Set<string>();
    for (let seed = 1; seed <= 20; seed += 1) found.add(await abortedRead(seed, { ...NO_FAULTS, reorder: 1, cancelLoses }));
    return [...found].sort();
  };
  t.deepEqual(await outcomes(0), ['7', 'AbortError']);
  t.deepEqual(await outcomes(1), ['7']);
});

test('an unknown fault, or a rate that is none, is refused', (t) => {
  t.throws(() => simulate({ faults: { reordering: 1 } as Partial<Faults> }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => simulate({ faults: { reorder: 2 } }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => simulate({ faults: { reorder: '1' as unknown as number } }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => simulate({ time: 'fast' as 'virtual' }), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => simulate({ seed: {} as string }), { code: 'ERR_INVALID_ARG_TYPE' });
});

async function timed(t: ExecutionContext, body: (simulation: Simulation) => Promise<void>): Promise<void> {
  const simulation = simulate({ seed: t.title });
  const start = performance.now();
  await body(simulation);
  await simulation.close();
  t.true(performance.now() - start < 5000, 'no time passes outside');
}

test('time: a sleep of an hour ends when an hour was let pass, not before', (t) =>
  timed(t, async ({ proactor, clock }) => {
    let isOver = false;
    const sleeping = sleep(3_600_000, { proactor }).then(() => (isOver = true));
    await clock.advance(3_599_999);
    t.false(isOver);
    await clock.advance(1);
    await sleeping;
    t.is(clock.now(), 3_600_000);
  }));

test('time: deadlines of operations follow it', (t) =>
  timed(t, async (simulation) => {
    const ends = await endsOf(simulation);
    const reading = codeOf(ends.far.allocator().read({ timeout: 30_000 }));
    const other = ends.near.hybrid().pull({ timeout: 60_000 });
    await simulation.clock.advance(30_000);
    t.is(await reading, 'ERR_RITSU_TIMEOUT');
    await ends.far.writer().writeAll('in time');
    const bytes = await other;
    t.true(bytes!.length > 0);
    bytes!.release();
    await closeAll(ends);
  }));

test('time: run() goes from timer to timer until none is left', (t) =>
  timed(t, async ({ proactor, clock }) => {
    const moments: number[] = [];
    const ticking = (async () => {
      for await (const tick of interval(1000, { proactor })) {
        moments.push(clock.now());
        if (tick === 5) return;
      }
    })();
    await clock.run();
    await ticking;
    t.deepEqual(moments, [1000, 2000, 3000, 4000, 5000]);
  }));

test('a manual pace: nothing happens but by step()', async (t) => {
  const simulation = simulate({ seed: 1, pace: 'manual', faults: NO_FAULTS });
  let isOver = false;
  const nop = simulation.proactor.nop().then(() => (isOver = true));
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.false(isOver);
  while (simulation.step());
  await nop;
  t.true(isOver);
  await simulation.close();
});

test('the proactor says that it is simulated', async (t) => {
  const simulation = simulate();
  t.is(simulation.proactor.info.backend, 'simulated');
  t.is(simulation.proactor.stats().backend, 'simulated');
  await simulation.close();
});
