/** Timers on the ring. Normal expiry resolves; an abort rejects. */
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentTypeError, rangeError } from './errors.js';
import { Opcode, Operation, UNREF } from './op.js';
import { Proactor } from './proactor.js';

export interface SleepOptions extends Pick<CancelOptions, 'signal'> {
  /** Whether the timer keeps the process alive; true where not given. */
  readonly ref?: boolean | undefined;
  readonly proactor?: Proactor | undefined;
}

/**
 * Resolve after `ms` milliseconds, never earlier.
 * @example
 * await sleep(250, { signal });
 */
export async function sleep(ms: number, options: SleepOptions = {}): Promise<void> {
  checkDelay('ms', ms);
  checkCancelOptions(options);
  await begin(ms, options);
}

/**
 * Yields the number of the tick, from 1, every `ms` milliseconds, without drift: ticks a slow loop missed follow at once.
 * @example
 * for await (const tick of interval(1000)) if (tick === 10) break;
 */
export async function* interval(ms: number, options: SleepOptions = {}): AsyncGenerator<number, void, undefined> {
  checkDelay('ms', ms);
  checkCancelOptions(options);
  const start = performance.now();
  for (let tick = 1; ; tick += 1) {
    const delay = start + tick * ms - performance.now();
    if (delay > 0 || options.signal?.aborted) await begin(Math.max(0, delay), options);
    yield tick;
  }
}

function begin(ms: number, { signal, ref, proactor = Proactor.current() }: SleepOptions): Promise<void> {
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
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
