/**
 * Options of sockets: their numbers at the boundary, and how one is set or asked for. A call of the system each, at once:
 * none of them can wait. The addresses of a socket are asked for in the same way.
 */
import { checkInteger, closedError, systemError } from '../errors.js';
import type { Backend } from '../backend/backend.js';

/** Numbers of `SocketOption` in `crates/ritsu/src/socket.rs`. */
export const SocketOption = {
  NO_DELAY: 0,
  KEEP_ALIVE: 1,
  KEEP_ALIVE_DELAY: 2,
  LINGER: 3,
  RECEIVE_BUFFER: 4,
  SEND_BUFFER: 5,
  BROADCAST: 6,
  TTL: 7,
  MULTICAST_TTL: 8,
  MULTICAST_LOOPBACK: 9,
  ERROR: 10,
  MULTICAST_INTERFACE: 11,
} as const;

/** Linger: off. */
export const LINGER_OFF = -1;

const INTEGER_MAX = 2 ** 31 - 1;

/** A socket whose options are meant. */
export interface OptionTarget {
  readonly backend: Backend;
  readonly descriptor: number;
  readonly closed: boolean;
}

/** Set an option. Errors name `syscall`. */
export function setOption(target: OptionTarget, option: number, value: number, syscall: string): void {
  if (target.closed) throw closedError(syscall);
  const result = target.backend.setOption(target.descriptor, option, value);
  if (result < 0) throw systemError(result, syscall);
}

export function getOption(target: OptionTarget, option: number, syscall: string): number {
  if (target.closed) throw closedError(syscall);
  const result = target.backend.option(target.descriptor, option);
  // -1 is an answer (linger is off), and no errno that these calls have: EPERM.
  if (result < LINGER_OFF) throw systemError(result, syscall);
  return result;
}

/** A buffer's size, as the system is asked for it; it gives twice as much, within its limits. */
export function setBufferSize(target: OptionTarget, option: number, size: unknown, syscall: string): void {
  setOption(target, option, checkInteger('size', size, 1, INTEGER_MAX), syscall);
}

/** Where the socket is, or with `peer` its other end; undefined when it is nowhere (any more). */
export function addressOf(target: OptionTarget, peer: boolean): Uint8Array | undefined {
  if (target.closed) return undefined;
  const bytes = target.backend.address(target.descriptor, peer);
  return typeof bytes === 'number' ? undefined : bytes;
}
