/**
 * Description: what the kernel is asked for. A file's data goes through the ring and nowhere else, many reads in one
 * call; and when the ring's calls fail for a while, nothing is lost, doubled or wrong.
 *
 * What turns it red: a style that reads by `node:fs`; `flush` called for each operation instead of once a turn (as many
 * enters as reads); an enter's EAGAIN, EBUSY, EINTR or ENOMEM taken for the operations' failure, or their entries for
 * submitted (wrong bytes, or a hang); a registration whose failure is not survived.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BLOCK, writeBlocks } from './support/blocks.ts';
import { endedWith, reported } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { sized } from './support/size.ts';
import { hasStrace, trace } from './support/strace.ts';
import type { Call, Traced } from './support/strace.ts';

const BLOCKS = 4096;
const READS = sized(2000, 50_000);
const path = freshPath('blocks');
const READING_CALLS = 'trace=read,readv,pread64,preadv,preadv2,mmap,io_uring_enter';

test.before(() => void writeBlocks(path, BLOCKS * BLOCK));

const STYLES = ['allocator', 'submit', 'hybrid', 'allocator, direct', 'submit, direct', 'hybrid, direct'];

function straceTest(name: string, body: (t: ExecutionContext) => Promise<void>): void {
  // A scenario's number comes first.
  const [, number = '', rest] = /^(S\d+: )?(.*)$/.exec(name)!;
  ringTest(`${number}strace: ${rest}`, body, hasStrace);
}

function callsOnFile({ calls }: Traced): Call[] {
  return calls.filter(({ name, text }) => name !== 'io_uring_enter' && text.includes(path));
}

/** Enters of the ring under test: libuv has one of its own, which it does not register. */
function ourEnters({ calls }: Traced): Call[] {
  return calls.filter(({ name, text }) => name === 'io_uring_enter' && text.includes('REGISTERED_RING'));
}

/** All reads right, nothing left behind. */
function readWell(t: ExecutionContext, ended: Traced): void {
  endedWith(t, ended, 0);
  t.like(reported(ended), { reads: READS, inFlight: 0, blocksBusy: 0, stale: 0, faults: 0, poolWhole: true });
}

for (const style of STYLES) {
  straceTest(`data goes through the ring only, and many reads by one call: ${style}`, async (t) => {
    const traced = await trace([READING_CALLS], 'reading', [style, READS, path, BLOCKS]);
    readWell(t, traced);
    t.is(reported(traced)['backend'], 'uring');
    t.deepEqual(callsOnFile(traced), [], 'the file was read by a system call');
    const enters = ourEnters(traced).length;
    t.true(enters > 0, 'the ring was not seen at all');
    t.true(enters < READS / 4, `${enters} enters for ${READS} reads`);
    t.log(`${enters} enters for ${READS} reads`);
  });
}

straceTest('the same look finds the reads of the node backend', async (t) => {
  const traced = await trace([READING_CALLS], 'reading', ['allocator', READS, path, BLOCKS], { env: { RITSU_BACKEND: 'node' } });
  readWell(t, traced);
  t.true(callsOnFile(traced).length >= READS, `${callsOnFile(traced).length} calls`);
});

/** libuv aborts the process when its own ring is refused, which an injection by number may hit. */
const LIBUV_REFUSED = /libuv: io_uring_enter/;

async function readWhileEntersFail(error: string, style: string): Promise<Traced> {
  for (let first = 20; ; first += 1) {
    const inject = `inject=io_uring_enter:error=${error}:when=${first}+7`;
    const traced = await trace(['trace=io_uring_enter', inject], 'reading', [style, READS, path, BLOCKS]);
    if (first > 25 || !LIBUV_REFUSED.test(traced.stderr)) return traced;
  }
}

for (const error of ['EAGAIN', 'EBUSY', 'EINTR', 'ENOMEM']) {
  // Red when EAGAIN, EBUSY and ENOMEM are no reason to try again (`enter_failure`, crates/ritsu/src/proactor.rs).
  straceTest(`S17: every seventh enter fails with ${error}`, async (t) => {
    for (const style of ['hybrid', 'allocator, direct']) {
      const traced = await readWhileEntersFail(error, style);
      readWell(t, traced);
      const injected = ourEnters(traced).filter(({ text }) => text.includes('INJECTED')).length;
      const { retries } = reported(traced);
      t.true(injected > 0, 'nothing was injected');
      t.true(Number(retries) > 0 && Number(retries) <= injected, `${String(retries)} retries, ${injected} failures`);
    }
  });
}

/** Numbers of the main thread's calls to register, each the first of its kind. */
function firstOfEachKind({ calls, mainThread }: Traced): Map<string, number> {
  const found = new Map<string, number>();
  const registers = calls.filter(({ thread, name }) => thread === mainThread && name === 'io_uring_register');
  for (const [index, { text }] of registers.entries()) {
    const kind = /IORING_(\w+)/.exec(text)![1]!;
    if (!found.has(kind)) found.set(kind, index + 1);
  }
  return found;
}

/** Without these there is no ring; without any other there is one that does less. */
const NEEDED = new Set(['REGISTER_PROBE', 'REGISTER_EVENTFD']);

straceTest('a registration that the kernel refuses, and all after it', async (t) => {
  t.timeout(300_000);
  const directory = freshPath('directory');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(directory);
  const plain = await trace(['trace=io_uring_register'], 'everything', [directory]);
  endedWith(t, plain, 0);
  const kinds = firstOfEachKind(plain);
  t.true(kinds.has('REGISTER_PROBE') && kinds.has('REGISTER_BUFFERS2'), [...kinds.keys()].join());
  for (const [kind, index] of kinds) {
    const inject = `inject=io_uring_register:error=ENOMEM:when=${index}+`;
    const traced = await trace(['trace=io_uring_register', inject], 'everything', [directory]);
    endedWith(t, traced, 0, kind);
    const { backend, registeredBytes } = reported(traced);
    t.is(backend, NEEDED.has(kind) ? 'node' : 'uring', kind);
    if (kind === 'REGISTER_BUFFERS2') t.is(registeredBytes, 0);
  }
  t.log([...kinds.keys()].join(', '));
});
