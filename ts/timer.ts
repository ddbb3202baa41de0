/** Timers on the ring. Normal expiry resolves; an abort rejects. */
import { checkCancelOptions, isAborted } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentTypeError, rangeError } from './errors.js';
import { Opcode, Operation, UNREF } from './op.js';
import { Proactor } from './proactor.js';

/** What `sleep` and `interval` accept. */
export interface SleepOptions extends Pick<CancelOptions, 'signal'> {
  /** Whether the timer keeps the process alive; true where not given. */
  readonly ref?: boolean | undefined;
  /** Whose timer it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/**
 * Resolve after `ms` milliseconds, never earlier.
 * @example
 * await sleep(250, { signal });
 */
export async function sleep(ms: number, options: SleepOptions = {}): Promise<void> {
  checkDelay('ms', ms);
  await begin(ms, planOf(options));
}

/**
 * Yields the number of the tick, from 1, every `ms` milliseconds, without drift: ticks a slow loop missed follow at once.
 * @example
 * for await (const tick of interval(1000)) if (tick === 10) break;
 */
export async function* interval(ms: number, options: SleepOptions = {}): AsyncGenerator<number, void, undefined> {
  checkDelay('ms', ms);
  const plan = planOf(options);
  const { timers } = checkProactor(plan.proactor);
  const start = timers.now();
  for (let tick = 1; ; tick += 1) {
    const delay = start + tick * ms - timers.now();
    if (delay > 0 || (plan.signal !== undefined && isAborted(plan.signal))) await begin(Math.max(0, delay), plan);
    yield tick;
  }
}

function checkProactor(proactor = Proactor.current()): Proactor {
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
  return proactor;
}

/** The options, read once: getters may run any code. */
function planOf(options: SleepOptions): SleepOptions {
  const { signal } = checkCancelOptions(options);
  const { ref, proactor } = options;
  return { signal, ref, proactor };
}

function begin(ms: number, { signal, ref, proactor: given }: SleepOptions): Promise<void> {
  const proactor = checkProactor(given);
  const operation = new Operation<void>(Opcode.TIMEOUT, (op, { result }) =>
    result < 0 ? op.failure(result) : undefined,
  );
  operation.extra = ms;
  if (ref === false) operation.options = UNREF;
  return proactor.submit(operation, { signal }).promise;
}

function checkDelay(name: string, ms: unknown): void {
  if (typeof ms !== 'number') throw argumentTypeError(name, 'of type number', ms);
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) throw rangeError(name, '>= 0 and <= 2^53 - 1', ms);
}
