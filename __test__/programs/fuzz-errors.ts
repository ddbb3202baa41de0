/** Whether something that was thrown is as the package promises: an Error with a message and, of our own, a code. */
import { ON_PURPOSE } from './fuzz-values.ts';

/** They say that ritsu broke one of its own rules. */
const RULES = new Set(['ERR_RITSU_EXPOSED', 'ERR_RITSU_BLOCK', 'ERR_RITSU_BUSY', 'ERR_RITSU_PANIC', 'ERR_RITSU_INTERNAL']);
/** What JavaScript itself says of the value it was given (an impostor, a revoked proxy), not of the code that it was given to. */
const OF_THE_VALUE = /on a proxy that has been revoked|' on proxy: |called on incompatible receiver|^Receiver must be an instance of|private (member|field)|^Result of the Symbol.iterator method|^this is not a typed array|cannot be invoked without 'new'|on a detached ArrayBuffer$/;
/** A frame of the package's, before the one that called it. */
const OURS = /\/dist\//;
const CALLER = '/fuzz-surface.ts';

export function isError(error: unknown): error is Error {
  try {
    return error instanceof Error;
  } catch {
    return false; // a revoked proxy, thrown on by a class of Node's
  }
}

/** `ofNodes`: it comes out of a class of Node's, which passes on whatever reason it was given. */
export function faultOf(error: unknown, ofNodes = false): string | undefined {
  if (!isError(error)) return ofNodes ? undefined : `threw ${typeof error}`;
  const { code, message, name, stack } = error as Error & { code?: unknown };
  if (message === ON_PURPOSE || name === 'DataCloneError') return undefined;
  if (typeof message !== 'string' || message === '') return 'threw an error without a message';
  if (typeof code === 'string') return RULES.has(code) ? `broke its own rule: ${code}` : undefined;
  if (OF_THE_VALUE.test(message) || (ofNodes && !OURS.test((stack ?? '').split(CALLER, 1)[0]!))) return undefined;
  return `threw a ${name} without a code`;
}
