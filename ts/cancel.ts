/**
 * Ending work before its time: by a signal, by a deadline, or many pieces of work together by a `CancelScope`. What an
 * abort means for each operation is said in `docs/guide.md`; that an operation's own completion decides, in `op.ts`.
 *
 * Who calls: whatever waits with `CancelOptions`, by `limit`.
 */
import type { Deferred } from './deferred.js';
import { abortError, argumentTypeError, checkBoolean, checkInteger, closedError, timeoutError } from './errors.js';
import type { AbortError, LateOutcome, TimeoutError } from './errors.js';
import { getter, uncurry } from './genuine.js';
import { show } from './inspect.js';
import { systemTimers } from './timers.js';
import type { Timers } from './timers.js';

/** What every operation accepts: a signal and a deadline. */
export interface CancelOptions {
  /** Ends the operation when it aborts; the promise rejects with an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  /**
   * Reject at once. Else the promise rejects when the kernel has let go, so that the error says what happened and brings
   * the memory back; with `prompt`, `error.outcome` does so later.
   */
  readonly prompt?: boolean | undefined;
}

/** Why something was ended: by its signal or its time, or since what it belongs to is being closed. */
export type CancelCause = 'abort' | 'timeout' | 'closed';

/** How limited work ended. */
export type Ending = 'completed' | 'aborted' | 'failed';

const NONE: CancelOptions = { signal: undefined, timeout: undefined, prompt: undefined };
const TIMEOUT_MAX = 2 ** 31 - 1;

/** Whether the signal has aborted. */
export const isAborted = getter<boolean>(AbortSignal.prototype, 'aborted');
/** What it was aborted with. */
export const reasonOf = getter<unknown>(AbortSignal.prototype, 'reason');
const listen = uncurry<[string, () => void, object], void>(EventTarget.prototype.addEventListener);
const listenNoMore = uncurry<[string, () => void], void>(EventTarget.prototype.removeEventListener);

/** A copy of the options, checked. The caller's object is read once: its getters may run any code. */
export function checkCancelOptions(options: CancelOptions | undefined): CancelOptions {
  if (options === undefined) return NONE;
  if (typeof options !== 'object' || options === null) throw argumentTypeError('options', 'of type object', options);
  const { signal, timeout, prompt } = options;
  return { signal, timeout: checkCancel(signal, timeout, prompt), prompt };
}

/** The timeout as a number. */
export function checkCancel(signal: unknown, timeout: unknown, prompt: unknown): number | undefined {
  if (signal !== undefined && !isSignal(signal)) throw argumentTypeError('options.signal', 'an instance of AbortSignal', signal);
  checkBoolean('options.prompt', prompt);
  return timeout === undefined ? undefined : checkInteger('options.timeout', timeout, 0, TIMEOUT_MAX);
}

/** Not only made to look like one: then it can be asked, and listened to, without an error. */
function isSignal(value: unknown): value is AbortSignal {
  try {
    return value instanceof AbortSignal && typeof isAborted(value) === 'boolean';
  } catch {
    return false;
  }
}

/**
 * Call `end` when the signal aborts (now, if it has) or the time is over. The result is to be called when the work has
 * ended, in whatever way.
 */
export function limit(
  { signal, timeout }: CancelOptions,
  end: (cause: 'abort' | 'timeout', reason: unknown) => void,
  timers: Timers = systemTimers,
): Stop {
  if (signal !== undefined && isAborted(signal)) {
    end('abort', reasonOf(signal));
    return () => {};
  }
  const timer = timeout === undefined ? undefined : timers.set(timeout, () => end('timeout', undefined));
  const ignore = signal === undefined ? undefined : follow(signal, (reason) => end('abort', reason));
  const leave = signal === undefined ? undefined : CancelScope.of(signal)?.enter();
  return (ending) => {
    timers.clear(timer);
    ignore?.();
    leave?.(ending);
  };
}

/** Call `end` when the signal aborts: now, if it has. The result ignores it from then on. */
function follow(signal: AbortSignal, end: (reason: unknown) => void): () => void {
  const onAbort = (): void => end(reasonOf(signal));
  if (isAborted(signal)) onAbort();
  else listen(signal, 'abort', onAbort, { once: true });
  return () => listenNoMore(signal, 'abort', onAbort);
}

/** What `limit` gives: to be called when the work has ended. */
export type Stop = (ending: Ending) => void;

const joined = new WeakMap<Stop, Stop[]>();

/** Both in one. Of many it makes a list: work may be given one more limit in each round of a loop. */
export function alsoStop(first: Stop | undefined, second: Stop): Stop {
  if (first === undefined) return second;
  const known = joined.get(first);
  if (known !== undefined) {
    known.push(second);
    return first;
  }
  const stops = [first, second];
  const all = (ending: Ending): void => stops.forEach((stop) => stop(ending));
  joined.set(all, stops);
  return all;
}

/** The error for work that its limits ended before it had begun anything. */
export function limitError(cause: 'abort' | 'timeout', reason: unknown, syscall: string): AbortError | TimeoutError {
  return cause === 'abort' ? abortError(reason) : timeoutError(syscall);
}

/** Reject the promise of work that goes on, with an error that says later how it ended. */
export function abandon<T>(work: Deferred<T>, error: Error & { outcome?: Promise<LateOutcome> | undefined }): void {
  const { promise, resolve } = Promise.withResolvers<LateOutcome>();
  error.outcome = promise;
  work.abandon(() => error, (late) => resolve(lateOutcome(late)));
}

function lateOutcome(late: unknown): LateOutcome {
  const { bytesWritten, bytesTransferred, buffers, buffer } = (late ?? {}) as {
    readonly [key in 'bytesWritten' | 'bytesTransferred']?: number;
  } & { readonly buffers?: readonly Buffer[]; readonly buffer?: Buffer };
  return {
    bytesTransferred: bytesWritten ?? bytesTransferred ?? 0,
    buffers: buffers ?? (buffer === undefined ? [] : [buffer]),
  };
}

/** What became of the work of a scope. */
export interface ScopeTally {
  /** Finished well: before the scope was cancelled, or all the same. */
  readonly completed: number;
  /** Ended by the cancel, or by a timeout of its own. */
  readonly aborted: number;
  /** Ended by another error. */
  readonly failed: number;
}

/**
 * Many operations that end together. Give them `scope.signal`; a scope made inside of another one ends with it.
 * @example
 * const scope = new CancelScope();
 * const reads = streams.map((stream) => stream.hybrid().pull({ signal: scope.signal }));
 * const { completed, aborted } = await scope.cancel('enough');
 */
export class CancelScope implements AsyncDisposable {
  static readonly #scopes = new WeakMap<AbortSignal, CancelScope>();
  readonly #controller = new AbortController();
  readonly #tally: Record<Ending, number> = { completed: 0, aborted: 0, failed: 0 };
  readonly #parent: CancelScope | undefined;
  readonly #stopFollowing: () => void;
  #running = 0;
  #onIdle: (() => void)[] = [];

  /** @internal The scope whose signal it is. */
  static of(signal: AbortSignal): CancelScope | undefined {
    return CancelScope.#scopes.get(signal);
  }

  /** `within`: a scope, or a signal, that ends this one, too. */
  constructor(within?: CancelScope | AbortSignal) {
    const outer = within instanceof CancelScope ? within.signal : within;
    if (outer !== undefined && !isSignal(outer)) {
      throw argumentTypeError('within', 'an instance of CancelScope or AbortSignal', outer);
    }
    CancelScope.#scopes.set(this.signal, this);
    this.#parent = outer === undefined ? undefined : CancelScope.of(outer);
    this.#stopFollowing = outer === undefined ? () => {} : follow(outer, (reason) => this.#controller.abort(reason));
  }

  /** To be given to the operations of the scope. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Work that has begun and not ended, that of scopes inside included. */
  get running(): number {
    return this.#running;
  }

  /** Count one more piece of work, until the result is called. Every operation that is given the signal does so itself. */
  enter(): (ending: Ending) => void {
    const outer = this.#parent?.enter();
    this.#running += 1;
    return (ending) => {
      outer?.(ending);
      this.#running -= 1;
      this.#tally[ending] += 1;
      if (this.#running === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    };
  }

  /** Abort all work of the scope; resolves when the last of it has ended, and says how. Again only waits. */
  async cancel(reason?: unknown): Promise<ScopeTally> {
    this.#stopFollowing();
    this.#controller.abort(reason);
    return this.settled();
  }

  /** Resolves when none of its work is running. */
  async settled(): Promise<ScopeTally> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    return { ...this.#tally };
  }

  /** `cancel()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }
}
show(CancelScope, ({ running, signal }) => ({ running, aborted: signal.aborted }));

/** Why an operation must not begin, if it must not: its signal has aborted, its time is over, the proactor ended. */
export function refusal(options: CancelOptions | undefined, syscall: string, open: boolean): Error | undefined {
  if (!open) return closedError(syscall);
  if (options?.signal !== undefined && isAborted(options.signal)) return abortError(reasonOf(options.signal));
  return options?.timeout === 0 ? timeoutError(syscall) : undefined;
}

