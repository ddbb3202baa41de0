/**
 * Description: nothing that JavaScript writes into the page or passes to a native method is trusted. Records of random
 * numbers are refused or answered, each that has a slot with exactly one final completion; methods throw errors with a
 * code; the process lives, and the proactor still ends well: every descriptor closed, every block idle again. The
 * programs that do it run alone: a crash must not take a test with it.
 *
 * What turns it red: a check of `abi::decode` or of the core's `submit` removed (a descriptor, block, range or slot
 * from the page becomes an index out of bounds or an address: panic, EFAULT or SIGSEGV); `claimed.min(SUBMISSION_MAX)`
 * removed; a refused record not answered (the model waits for ever); an argument read before its type was looked at; a
 * borrow held while a getter of the caller's runs (`already borrowed`); a block that is not told apart from those that
 * the kernel has (`check_provide`); a completion that is final for the slot while more follow (`outcome.more`); a socket
 * that was made for an op which then failed, and is not closed; a multishot read handed to a worker of the kernel.
 */
import * as fs from 'node:fs';
import type { ExecutionContext } from 'ava';
import { OPCODE_NAMES } from '../dist/op.js';
import { endedWith, reported, runProgram } from './support/child.ts';
import type { Report } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { isFull, sized } from './support/size.ts';

/** So many processes, each with another seed; in a full run another one each time. */
const SEEDS = Array.from({ length: 4 }, (_, index) => (isFull ? (Date.now() + index) % 2 ** 31 : index + 1));
/** Rarely asked of the disk; a cancel and a provide have no answer of their own. */
const SELDOM = new Set(['FSYNC', 'FDATASYNC', 'CANCEL', 'PROVIDE']);

async function fuzz(t: ExecutionContext, program: string, count: number, seed: number, ...args: string[]): Promise<Report> {
  t.timeout(sized(60_000, 600_000));
  t.log(`seed ${seed}`);
  const options = { nodeOptions: ['--expose-gc'], timeoutMs: sized(60_000, 600_000) };
  const ended = await runProgram(program, [count, seed, ...args], options);
  endedWith(t, ended, 0, `${program} with seed ${seed}`);
  const said = reported(ended);
  t.is(said['failed'], undefined);
  return said;
}

for (const [index, seed] of SEEDS.entries()) {
  ringTest(`random records in the submission page, part ${index + 1}`, async (t) => {
    const directory = freshPath('fuzz');
    fs.mkdirSync(directory);
    const said = await fuzz(t, 'fuzz-records', sized(25_000, 250_000), seed, directory);
    const { busy, thrown, caught, more, selected, good, bad } = said as Record<string, number> & {
      good: Record<string, number>; bad: Record<string, number>;
    };
    const { stale, ownBytes, inFlight, descriptorsOpen, blocksBusy, blocksProvided, leaked, closed, fdsLeft } = said;
    t.is(busy, 0, 'records that were never answered');
    t.deepEqual(
      { stale, ownBytes, inFlight, descriptorsOpen, blocksBusy, blocksProvided, leaked, closed, fdsLeft },
      { stale: 0, ownBytes: 0, inFlight: 0, descriptorsOpen: 0, blocksBusy: 0, blocksProvided: 0, leaked: 0, closed: true, fdsLeft: 0 },
    );
    t.is(caught, thrown, 'errors thrown from inside a dispatch');
    // The fuzz is worth something: every operation was also done, and every refusal seen.
    const missing = OPCODE_NAMES.filter((name) => !SELDOM.has(name) && good[name] === undefined);
    t.deepEqual(missing, [], 'operations that were never answered well');
    t.true(more! > 0, 'no completion was followed by more');
    t.true(selected! > 0, 'the kernel chose no block');
    for (const fault of ['-10001', '-10003', '-10004', '-10005', '-9', '-125']) t.true(bad[fault]! > 0, `no answer ${fault}`);
  });

  ringTest(`random arguments to every native method, part ${index + 1}`, async (t) => {
    const said = await fuzz(t, 'fuzz-methods', sized(10_000, 200_000), seed);
    t.is(said['fdsLeft'], 0);
    const codes = said['codes'] as Record<string, number>;
    const expected = ['ERR_INVALID_ARG_TYPE', 'ERR_OUT_OF_RANGE', 'ERR_RITSU_BLOCK', 'ERR_RITSU_EXPOSED', 'ERR_RITSU_PROACTOR_CLOSED'];
    const succeeded = said['successes'] as Record<string, number>;
    for (const name of ['adopt', 'address', 'option', 'setOption', 'membership']) t.true(succeeded[name]! > 0, `${name} never succeeded`);
    for (const code of expected) t.true(codes[code]! > 0, `no error ${code} in ${JSON.stringify(codes)}`);
  });
}
