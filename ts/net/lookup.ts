/**
 * Host names to addresses, by Node's `dns.lookup` or a function of the program's in its place. A lookup cannot be
 * stopped; when its signal aborts or its time is over, its answer is ignored.
 */
import { limit, limitError } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { argumentTypeError, argumentValueError } from '../errors.js';
import { versionOf } from './address.js';
import { invalidAddress } from './arguments.js';

/** What a name stands for. */
export interface LookupAddress {
  /** An IP address. */
  readonly address: string;
  /** 4 or 6. */
  readonly family: number;
}

/** Like `dns.lookup`: asked with `all: true`; may answer one address or a list. */
export type LookupFunction = (
  hostname: string,
  options: { readonly family: number; readonly hints: number; readonly all: true },
  callback: (error: Error | null, addresses: string | readonly LookupAddress[], family?: number) => void,
) => void;

export interface LookupOptions {
  /** 4 or 6 for addresses of this version only. */
  readonly family?: 0 | 4 | 6 | 'IPv4' | 'IPv6' | undefined;
  /** Flags of `dns.lookup`. */
  readonly hints?: number | undefined;
  /** Asked instead of `dns.lookup`. */
  readonly lookup?: LookupFunction | undefined;
}

export interface LookupPlan {
  readonly family: 0 | 4 | 6;
  /** Undefined: what Node takes for this version. */
  readonly hints: number | undefined;
  /** Undefined: the system's. */
  readonly lookup: LookupFunction | undefined;
}

export function checkLookup(options: LookupOptions): LookupPlan {
  const { family, hints, lookup } = options;
  if (lookup !== undefined && typeof lookup !== 'function') {
    throw argumentTypeError('options.lookup', 'of type function', lookup);
  }
  if (hints !== undefined && typeof hints !== 'number') throw argumentTypeError('options.hints', 'of type number', hints);
  return { family: versionNumber(family), hints, lookup };
}

function versionNumber(family: unknown): 0 | 4 | 6 {
  if (family === undefined || family === null || family === 0) return 0;
  if (family === 4 || family === 'IPv4') return 4;
  if (family === 6 || family === 'IPv6') return 6;
  throw argumentValueError('options.family', 'must be one of: 0, 4, 6', family);
}

/** The addresses of a host, at least one; an address stands for itself. */
export async function addressesOf(host: string, plan: LookupPlan, limits: CancelOptions): Promise<readonly string[]> {
  if (versionOf(host) !== 0) return [host];
  const answered = await within(limits, ask(host, plan));
  const wrong = answered.find((address) => versionOf(address) === 0);
  if (wrong !== undefined || answered.length === 0) throw invalidAddress(wrong);
  const fitting = plan.family === 0 ? answered : answered.filter((address) => versionOf(address) === plan.family);
  return fitting.length > 0 ? fitting : answered;
}

/** What a program's own lookup answers is not trusted: where it is no address, there is an empty one. */
async function ask(host: string, { family, hints, lookup }: LookupPlan): Promise<readonly string[]> {
  // Loaded when it is first needed: it opens a resolver.
  const { ADDRCONFIG, lookup: systemLookup } = await import('node:dns');
  const options = { family, hints: hints ?? (family === 0 ? ADDRCONFIG : 0), all: true } as const;
  const answer = await new Promise<unknown>((resolve, reject) => {
    (lookup ?? systemLookup)(host, options, (error, found) => (error ? reject(error) : resolve(found)));
  });
  const found: readonly unknown[] = Array.isArray(answer) ? answer : [{ address: answer }];
  return found.map((each) => {
    const address = (each as { readonly address?: unknown } | null | undefined)?.address;
    return typeof address === 'string' ? address : '';
  });
}

/** The promise's result, unless the signal aborts or the time is over before it. */
async function within<T>(options: CancelOptions, promise: Promise<T>): Promise<T> {
  if (options.signal === undefined && options.timeout === undefined) return promise;
  const ended = Promise.withResolvers<never>();
  let isEnded = false;
  const stop = limit(options, (cause, reason) => {
    isEnded = true;
    ended.reject(limitError(cause, reason, 'connect'));
  });
  try {
    return await Promise.race([promise, ended.promise]);
  } finally {
    stop(isEnded ? 'aborted' : 'completed');
  }
}
