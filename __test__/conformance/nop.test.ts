/**
 * Description: whatever a completion says reaches its promise as it is. The ring's no-ops answer what they are told, so that every
 * result there is can be had: an errno becomes Node's error, a number stays that number, and a cancel that came too late changes
 * nothing.
 *
 * What turns it red: a result that is cut off or loses its sign on its way through the pages; an errno that is named by another's
 * code; -ECANCELED that nobody asked for and is taken for an abort; an abort that hides what the operation itself said.
 */
import * as os from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { ExecutionContext } from 'ava';
import { CancelScope, remoteProactor } from 'ritsu';
import type { Proactor } from 'ritsu';
import { Opcode, Operation } from '../../dist/op.js';
import type { Failure } from '../../dist/op.js';
import { onEach, onReal } from '../support/backends.ts';
import { internals } from '../support/internals.ts';
import { Random } from '../support/random.ts';

/** The largest errno that Linux gives. */
const ERRNO_MAX = 4095;
const RESULTS = [0, 1, 2, 255, 256, 4096, 65_535, 65_536, 2 ** 24, 2 ** 30, 2 ** 31 - 1];
/** What a completion's negative result is called by, for errnos that Node's own list does not have. */
const codeOf = (errno: number): string => getSystemErrorMap().get(-errno)?.[0] ?? `E${errno}`;

interface Named {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly message: string;
}

const tell = (error: unknown): Named => {
  const { code, errno, syscall, message } = error as Named;
  return { code, errno, syscall, message };
};

/** Before Linux 6.10 a no-op cannot be told what to answer. */
function injects(t: ExecutionContext, proactor: Proactor): boolean {
  if (!internals(proactor).backend.features.nopInject) t.log('this kernel cannot be told');
  t.pass();
  return internals(proactor).backend.features.nopInject;
}

onEach('a kernel that cannot be told says so', async (t, proactor) => {
  if (injects(t, proactor)) t.is(await proactor.nop(5), 5);
  else await t.throwsAsync(proactor.nop(5), { code: 'EINVAL' });
  t.is(await proactor.nop(), 0);
});

onEach('every errno is an error with its code, its number and the call', async (t, proactor) => {
  if (!injects(t, proactor)) return;
  const errnos = Array.from({ length: ERRNO_MAX }, (_, index) => index + 1);
  const outcomes = await Promise.allSettled(errnos.map((errno) => proactor.nop(-errno)));
  for (const [index, errno] of errnos.entries()) {
    const outcome = outcomes[index]!;
    const text = getSystemErrorMap().get(-errno)?.[1] ?? 'unknown error';
    const expected = { code: codeOf(errno), errno: -errno, syscall: 'nop', message: `${codeOf(errno)}: ${text}, nop` };
    if (outcome.status === 'fulfilled') t.fail(`${codeOf(errno)} resolved with ${outcome.value}`);
    else if (!(outcome.reason instanceof Error)) t.fail(`${codeOf(errno)} is no Error`);
    else t.deepEqual(tell(outcome.reason), expected);
  }
  // By the names that the system has for them; some have two.
  for (const [name, errno] of Object.entries(os.constants.errno)) {
    if (errno === os.constants.errno.EAGAIN || errno === os.constants.errno.ENOTSUP) continue;
    t.is((await t.throwsAsync(proactor.nop(-errno)) as unknown as Named).code, codeOf(errno), name);
  }
  t.is(proactor.stats().stale, 0);
});

onEach('every number is that number, for whoever asked for it', async (t, proactor) => {
  if (!injects(t, proactor)) return;
  const random = new Random(24);
  const results = [...RESULTS, ...Array.from({ length: 3000 }, () => random.below(2 ** 31))];
  t.deepEqual(await Promise.all(results.map((result) => proactor.nop(result))), results);
});

onEach('what is no 32-bit integer is refused', async (t, proactor) => {
  for (const result of [2 ** 31, -(2 ** 31) - 1, 0.5, Number.NaN, Infinity]) {
    await t.throwsAsync(proactor.nop(result), { code: 'ERR_OUT_OF_RANGE' }, String(result));
  }
  await t.throwsAsync(proactor.nop('1' as unknown as number), { code: 'ERR_INVALID_ARG_TYPE' });
});

onReal('results keep what they are on their way from another thread', async (t, proactor) => {
  if (!injects(t, proactor)) return;
  const remote = await remoteProactor(proactor.share());
  t.deepEqual(await Promise.all(RESULTS.map((result) => remote.nop(result))), RESULTS);
  for (const errno of [1, 2, 4, 11, 28, 104, 110, 125, 133, ERRNO_MAX]) {
    const error = await t.throwsAsync(remote.nop(-errno));
    t.like(tell(error), { code: codeOf(errno), errno: -errno, syscall: 'nop' });
  }
  await remote.close();
});

/** A no-op with everything that an operation may have. */
function answering(result: number, name?: string): Operation<number> {
  const operation = new Operation<number>(Opcode.NOP, (op, completion): number | Failure => (
    completion.result < 0 ? op.failure(completion.result) : completion.result
  ));
  operation.extra = result;
  operation.path = name;
  return operation;
}

onEach('the error names the path, and brings the memory back', async (t, proactor) => {
  if (!injects(t, proactor)) return;
  for (const errno of [os.constants.errno.ENOENT, os.constants.errno.ENOSPC, os.constants.errno.EIO]) {
    const operation = answering(-errno, '/some/where');
    const memory = Buffer.from('the caller’s');
    operation.restore = () => memory;
    const error = (await t.throwsAsync(internals(proactor).submit(operation).promise)) as unknown as Named & { path: string; buffer: Buffer };
    t.like(error, { code: codeOf(errno), errno: -errno, syscall: 'nop', path: '/some/where' });
    t.true(error.message.endsWith(", nop '/some/where'"));
    t.is(error.buffer, memory);
  }
});

/** Each after its operation is over and before anybody has been told. */
const LATE: readonly (readonly [what: string, result: number, expected: string | number])[] = [
  ['a result stands', 77, 77],
  ['nothing stands, too', 0, 0],
  ['an error of its own stands', -os.constants.errno.EIO, 'EIO'],
  ['that it was cancelled is an abort', -os.constants.errno.ECANCELED, 'ABORT_ERR'],
  ['that it was interrupted is an abort', -os.constants.errno.EINTR, 'ABORT_ERR'],
];

for (const [what, result, expected] of LATE) {
  onReal(`an abort after the completion: ${what}`, async (t, proactor) => {
    if (!injects(t, proactor)) return;
    for (const way of ['signal', 'scope'] as const) {
      const controller = new AbortController();
      const scope = new CancelScope();
      const reason = new Error('enough');
      const operation = answering(result);
      const { promise } = internals(proactor).submit(operation, { signal: way === 'signal' ? controller.signal : scope.signal });
      internals(proactor).backend.flush(); // the kernel has answered; nobody has looked
      if (way === 'signal') controller.abort(reason);
      else void scope.cancel(reason);
      const [outcome] = await Promise.allSettled([promise]);
      const error = outcome.status === 'rejected' ? (outcome.reason as Named & { cause: unknown }) : undefined;
      const said: string | number = outcome.status === 'rejected' ? error!.code : outcome.value;
      t.is(said, expected);
      if (expected === 'ABORT_ERR') t.is(error!.cause, reason);
    }
    // Without anybody's abort it is the system's error.
    if (result < 0) t.is(((await t.throwsAsync(proactor.nop(result))) as unknown as Named).code, codeOf(-result));
  });
}
