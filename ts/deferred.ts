/**
 * A result that comes later. The promise is made on first use, so that a result nobody asked for costs none and makes
 * no unhandled rejection; the error is made when it is first needed.
 */
const PENDING = 0;
const FULFILLED = 1;
const REJECTED = 2;

let kept: ((value: never) => void) | undefined;

/** The executor of every promise here: one function, instead of a closure for each. It runs within `new Promise`. */
function keepResolve(resolve: (value: never) => void): void {
  kept = resolve;
}

type Resolve<T> = (value: T | PromiseLike<T>) => void;

/**
 * Reject through a thenable: its job runs as a microtask of the promise, so that V8 (of Node 26) finds the awaiting
 * functions and the error's stack names the caller, at no cost to results that are good.
 */
function resolveWithFailure<T>(resolve: Resolve<T>, failure: () => Error): void {
  const thenable = { then: (_: unknown, reject: (error: Error) => void) => reject(failure()) };
  resolve(thenable as unknown as PromiseLike<T>);
}

export class Deferred<T> {
  /** Called once when settled, before the promise's reactions run. Rarely set, so it stands on the prototype. */
  declare onSettled: (() => void) | undefined;
  /** Makes the error of a promise that was rejected before the work was over. Rare, too. */
  declare private abandonment: (() => Error) | undefined;
  declare private onLate: ((outcome: unknown) => void) | undefined;
  // Its methods are `private` by word: one private by name would cost each object 8 bytes.
  private state = PENDING;
  /** The value, or what makes the error. Until there is one: what resolves the promise, if there is one and nobody has. */
  private result: T | (() => Error) | Resolve<T> | undefined = undefined;
  private made: Promise<T> | undefined = undefined;

  get promise(): Promise<T> {
    if (this.made === undefined) {
      this.made = new Promise<T>(keepResolve);
      const resolve = kept as Resolve<T>;
      kept = undefined; // or it would keep the last result alive
      if (this.abandonment !== undefined) resolveWithFailure(resolve, this.abandonment);
      else if (this.state === FULFILLED) resolve(this.result as T);
      else if (this.state === REJECTED) resolveWithFailure(resolve, this.error);
      else this.result = resolve;
    }
    return this.made;
  }

  get settled(): boolean {
    return this.state !== PENDING;
  }

  /** The promise was rejected; the work went on, or still does. */
  get abandoned(): boolean {
    return this.abandonment !== undefined;
  }

  get failed(): boolean {
    return this.state === REJECTED;
  }

  /** The result; only after it settled well. */
  get value(): T {
    return this.result as T;
  }

  /** Makes the error; only after it failed. */
  get error(): () => Error {
    return this.result as () => Error;
  }

  succeed(value: T): void {
    const resolve = this.unresolved();
    this.state = FULFILLED;
    this.result = value;
    if (resolve !== undefined) resolve(value);
    if (this.onLate !== undefined) this.onLate(value);
    if (this.onSettled !== undefined) this.onSettled();
  }

  fail(failure: () => Error): void {
    const resolve = this.unresolved();
    this.state = REJECTED;
    this.result = failure;
    if (resolve !== undefined) resolveWithFailure(resolve, failure);
    if (this.onLate !== undefined) this.onLate(failure());
    if (this.onSettled !== undefined) this.onSettled();
  }

  /** Reject the promise now, although it is not settled; `onLate` gets the value or the error when it is. */
  abandon(failure: () => Error, onLate: (outcome: unknown) => void): void {
    if (this.settled || this.abandonment !== undefined) return;
    this.abandonment = failure;
    this.onLate = onLate;
    const resolve = this.unresolved();
    this.result = undefined;
    if (resolve !== undefined) resolveWithFailure(resolve, failure);
  }

  /** Begin anew. It had settled well, and nobody has its promise. */
  protected renew(): void {
    this.state = PENDING;
    this.result = undefined;
  }

  /** What resolves the promise, where that is still to be done. */
  private unresolved(): Resolve<T> | undefined {
    return this.state === PENDING ? (this.result as Resolve<T> | undefined) : undefined;
  }
}

Object.assign(Deferred.prototype, { onSettled: undefined, abandonment: undefined, onLate: undefined });

/** Give a rare operation's error the stack of those who await it, which V8 knows once an await is over. */
export async function traced<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Error && Object.isExtensible(error)) Error.captureStackTrace(error, traced); // a program's own may be anything
    throw error;
  }
}
