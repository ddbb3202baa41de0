/**
 * Description: load. Every operation settles exactly once with its own result, nothing is left over, memory stays flat,
 * no wake-up is lost, and whatever else the loop has to do gets its turn.
 *
 * What turns it red: the look after the fence in `rest` (a completion that came while signalling was off wakes nobody:
 * the program without any timer stops for good); a slot or block not given back (counters, pool); generations not
 * checked (a result is taken for another's); the waiting queue served out of order or not at all (the narrow ring
 * hangs); overflowed completions not asked for (they stay in the kernel); the pump's budget (timers and sockets starve).
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BLOCK, writeBlocks } from './support/blocks.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import type { Ended } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { isFull, sized } from './support/size.ts';

const BLOCKS = 16_384;
const MILLION = 1_000_000;
const path = freshPath('blocks');

test.before(() => void writeBlocks(path, BLOCKS * BLOCK));

interface Counters extends Readonly<Record<string, number>> {}

interface PoolStats {
  readonly count: number;
  readonly available: number;
}

/** Nothing is in flight, missing or unaccounted for. */
function atRest(t: ExecutionContext, counters: Counters, pool: readonly PoolStats[]): void {
  const { submitted, completed, inFlight, waiting, blocksBusy, stale, faults, leakedBytes, descriptorsOpen } = counters;
  t.is(completed, submitted);
  const none = { inFlight, waiting, blocksBusy, stale, faults, leakedBytes, descriptorsOpen };
  t.deepEqual(none, { inFlight: 0, waiting: 0, blocksBusy: 0, stale: 0, faults: 0, leakedBytes: 0, descriptorsOpen: 0 });
  for (const { available, count } of pool) t.is(available, count, 'blocks of the pool');
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

/** Medians of the first and the last third after the warm-up, in megabytes. */
function flat(t: ExecutionContext, resident: readonly number[]): void {
  const steady = resident.slice(Math.floor(resident.length / 4));
  const third = Math.floor(steady.length / 3);
  const [first, last] = [median(steady.slice(0, third)), median(steady.slice(-third))];
  t.true(last - first < 16, `${first.toFixed(1)} MiB at first, ${last.toFixed(1)} MiB in the end`);
}

for (const watchdog of ['watchdog', 'no timer at all']) {
  const nops = sized(150_000, 5 * MILLION);
  const reads = sized(75_000, (5 * MILLION) / 2);
  ringTest(`${nops + reads} operations at mixed depths: ${watchdog}`, async (t) => {
    t.timeout(sized(60_000, 900_000));
    const seed = isFull ? Date.now() % 2 ** 31 : 7;
    const args = [nops, reads, seed, watchdog, path, BLOCKS];
    // Silence is a lost wake-up: the program reports at every twentieth of its way.
    // A young generation of one size from the start: its growth is V8's, and in a short run as large as what would be a leak.
    const nodeOptions = ['--min-semi-space-size=16', '--max-semi-space-size=16'];
    const ended = await runProgram('stress', args, { nodeOptions, timeoutMs: sized(50_000, 800_000), silenceMs: sized(20_000, 120_000) });
    endedWith(t, ended, 0);
    const { settled, seconds, resident, counters, pool } = reported(ended) as unknown as {
      settled: number; seconds: number; resident: number[]; counters: Counters; pool: PoolStats[];
    };
    t.is(settled, nops + reads);
    atRest(t, counters, pool);
    flat(t, resident);
    t.log(`seed ${seed}: ${Math.round(settled / seconds)} a second, ${counters['wakes']} wakes, ${resident.at(-1)!.toFixed(0)} MiB`);
  });
}

async function pressure(t: ExecutionContext, scenario: string, count: number): Promise<Ended & { said: Record<string, number>; counters: Counters }> {
  t.timeout(sized(60_000, 600_000));
  const options = { timeoutMs: sized(50_000, 500_000), silenceMs: sized(20_000, 120_000) };
  const ended = await runProgram('pressure', [scenario, count, path, BLOCKS], options);
  endedWith(t, ended, 0);
  const { counters, ...said } = reported(ended) as { counters: Counters & { pool: PoolStats[] } };
  atRest(t, counters, counters.pool);
  return { ...ended, said: said, counters };
}

ringTest('250000 no-ops through 16 slots and 8 entries', async (t) => {
  const { said } = await pressure(t, 'narrow', 250_000);
  t.is(said['settled'], 250_000);
});

// Seen red: `enter` of crates/ritsu/src/ring.rs did not ask for events while the queue had run over.
ringTest('S27: 10000 completions overflow a queue of 8 while JavaScript is blocked', async (t) => {
  const count = sized(10_000, 16_000);
  const { said, counters } = await pressure(t, 'overflow', count);
  t.is(said['settled'], count);
  t.true(counters['overflows']! > 0, 'the queue never overflowed');
});

ringTest('no wake-up is lost between a completion and the loop going to sleep', async (t) => {
  const { counters } = await pressure(t, 'wakes', sized(10_000, MILLION));
  t.log(`${counters['wakes']} wakes, ${counters['enters']} enters`);
  t.true(counters['wakes']! > 1000, 'the loop hardly slept');
});

ringTest('timers and sockets get their turn while cached reads follow each other', async (t) => {
  const { said } = await pressure(t, 'chain', sized(300_000, 3 * MILLION));
  const { ticks, echoes, milliseconds, longestDelayMs } = said as Readonly<Record<'ticks' | 'echoes' | 'milliseconds' | 'longestDelayMs', number>>;
  t.log(`${Math.round(milliseconds)} ms: ${ticks} ticks of a 2 ms timer, ${echoes} echoes, ${Math.round(longestDelayMs)} ms at most between turns`);
  // Far below what an undisturbed loop does, far above what a starved one does: none.
  t.true(ticks > milliseconds / 20, `${ticks} ticks in ${milliseconds} ms`);
  t.true(echoes > milliseconds / 50, `${echoes} echoes in ${milliseconds} ms`);
});
