/**
 * Reads that may lose a race: what a reader made with `raceSafe` asks for the next bytes. Who calls: `AllocatorReader`.
 *
 * There is one read at a time, and whoever asks is given that one until it is over for good:
 *
 * | the read | who asks next |
 * |---|---|
 * | waits | gets the same promise; a signal or a timeout that comes with the call ends this read as well |
 * | brought bytes that nobody has touched | gets the same promise |
 * | brought bytes that were touched, the end, or an error | begins another |
 *
 * So a promise that lost a race, and was forgotten, is there again in the next round, whenever its bytes come.
 */
import type { CancelOptions } from '../cancel.js';
import type { Deferred } from '../deferred.js';
import type { Bytes } from '../memory/bytes.js';
import type { Landing } from '../memory/size-class.js';
import type { Plan } from './read.js';
import type { ReadSource } from './source.js';

export class RaceSafeReads {
  readonly #source: ReadSource;
  readonly #landing: Landing;
  #read: Deferred<Bytes | null> | undefined = undefined;
  #isClosed = false;
  /** What ends it: at once (`prompt`), or when the kernel has let go. */
  #limits: Readonly<Record<'prompt' | 'patient', Limits>> | undefined = undefined;

  constructor(source: ReadSource, landing: Landing) {
    this.#source = source;
    this.#landing = landing;
  }

  /** The read that is not over, or the next one; the plan is for no position. */
  next(plan: Plan): Promise<Bytes | null> {
    const read = this.#read;
    if (read !== undefined && !isOver(read)) {
      if (!read.settled) this.#source.watch(read, this.#unknownOf(plan));
      return read.promise;
    }
    this.#limits = undefined;
    this.#unknownOf(plan); // known from here on
    this.#read = this.#source.read(this.#landing, plan);
    const { promise } = this.#read;
    if (this.#isClosed) this.close(); // by the allocator, while it was asked for memory
    return promise;
  }

  /** What waits is ended, and what nobody touched goes back: the next reader begins there. */
  close(): void {
    this.#isClosed = true;
    const read = this.#read;
    this.#read = undefined;
    if (read === undefined || isOver(read)) return;
    if (!read.settled) this.#source.giveUp(read);
    else if (this.#source.giveBack(read)) read.value!.release();
  }

  /** What the read does not have yet of these limits. */
  #unknownOf(plan: CancelOptions): CancelOptions {
    if (plan.signal === undefined && plan.timeout === undefined) return plan;
    this.#limits ??= { prompt: new Limits(), patient: new Limits() };
    return this.#limits[plan.prompt === true ? 'prompt' : 'patient'].add(plan, this.#source.host.timers.now());
  }
}

/** Deadlines that are no further apart are one: a program rounds what is left of its time. */
const CLOCK_MS = 1;

/** It is not to be given again. */
function isOver(read: Deferred<Bytes | null>): boolean {
  if (!read.settled) return read.abandoned;
  return read.failed || read.value === null || read.value.touched;
}

/** A loop gives the same signal and the same timeout in every round: the read has them once. */
class Limits {
  readonly #signals = new WeakSet<AbortSignal>();
  /** When the first of its timeouts is over. */
  #deadline = Infinity;

  add({ signal, timeout, prompt }: CancelOptions, now: number): CancelOptions {
    const isNew = signal !== undefined && !this.#signals.has(signal);
    if (isNew) this.#signals.add(signal);
    const deadline = timeout === undefined ? Infinity : now + timeout;
    const isEarlier = deadline < this.#deadline - CLOCK_MS;
    if (isEarlier) this.#deadline = deadline;
    return { signal: isNew ? signal : undefined, timeout: isEarlier ? timeout : undefined, prompt };
  }
}
