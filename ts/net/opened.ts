/**
 * Descriptors that an op brought: how they arrive, and how one that nobody wants goes away. Used by everything that makes
 * sockets.
 */
import { systemError } from '../errors.js';
import type { Endpoint } from '../errors.js';
import { Failure } from '../op.js';
import type { Completion, Operation } from '../op.js';
import { encodeInternet, encodeUnix } from './address.js';

/** An open socket: its number with the proactor, and with the system. */
export interface Opened {
  readonly descriptor: number;
  readonly fd: number;
}

/** Where a socket goes: as an argument has it, and as an error says it. */
export interface Target {
  readonly encoded: Uint8Array;
  readonly endpoint: Endpoint;
}

const EINVAL = -22;

/** An address, not a name. An error does not name port 0, which stands for any. */
export function internetTarget(address: string, port: number): Target {
  return { encoded: encodeInternet(address, port)!, endpoint: port === 0 ? { address } : { address, port } };
}

/** A Unix socket's path or abstract name; fails as the system does for a name that cannot be. */
export function unixTarget(path: string, syscall: string): Target {
  const endpoint = { address: path };
  const encoded = encodeUnix(path);
  if (encoded === undefined) throw systemError(EINVAL, syscall, undefined, endpoint);
  return { encoded, endpoint };
}

/** The `finish` of ops that end with a descriptor. */
export function opened(operation: Operation<Opened>, completion: Completion): Opened | Failure {
  return completion.result < 0 ? operation.failure(completion.result) : openedBy(completion);
}

/** What a good completion brought. */
export function openedBy({ value, extra }: Completion): Opened {
  // It comes as a float, and V8 would box it in each object that has it: nearly all are small integers.
  const small = value | 0;
  return { descriptor: small === value ? small : value, fd: extra };
}

/** Errnos of `bind(2)` that a `connect(2)` does not give: EACCES, EADDRINUSE, EADDRNOTAVAIL. */
const BIND_ERRORS = new Set([-13, -98, -99]);

/** The failure of a connect that failed in binding to its local address, if it did. */
export function bindFailure(result: number, local: Target): Failure | undefined {
  if (!BIND_ERRORS.has(result)) return undefined;
  return new Failure(() => systemError(result, 'bind', undefined, local.endpoint));
}
