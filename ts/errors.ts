/**
 * Every error that ritsu makes. System errors have Node's shape (`code`, `errno`, `syscall`, `path`, Node's message);
 * our own have a code that begins with `ERR_RITSU_`; a wrong argument has Node's own code for it.
 */
import { getSystemErrorMap, inspect } from 'node:util';

/**
 * An error that the system gave, as Node's own modules word it. `buffer`, `rest` and `bytesTransferred` say what became of the
 * memory, where there was any.
 */
export interface SystemError extends Error {
  /** The error's name, as `ENOENT`. */
  readonly code: string;
  /** Negative, as Node has it. */
  readonly errno: number;
  /** The system call that failed, by the name that Node gives it. */
  readonly syscall: string;
  /** Of a file: the path as it was given. */
  readonly path?: string;
  /** Of a socket: the IP address, or the path of a Unix socket. */
  readonly address?: string;
  /** Of a TCP or UDP socket. */
  readonly port?: number;
}

/** The address that an operation of a socket is about. */
export interface Endpoint {
  /** An IP address, or the path of a Unix socket. */
  readonly address: string;
  /** Undefined for Unix sockets. */
  readonly port?: number | undefined;
}

/** Of an operation on a live stream, whose errors Node words as a socket's without naming the address: `write EPIPE`. */
export const STREAM: Endpoint = { address: '' };

/**
 * `ERR_RITSU_EXPOSED`, `_BLOCK`, `_BUSY` and `_PANIC` say that ritsu broke one of its own rules: please report them.
 */
export type RitsuErrorCode =
  | 'ERR_RITSU_BLOCK'
  | 'ERR_RITSU_BUFFER_DETACHED'
  | 'ERR_RITSU_BUFFER_IN_FLIGHT'
  | 'ERR_RITSU_BUSY'
  | 'ERR_RITSU_CLOSED'
  | 'ERR_RITSU_EXPOSED'
  | 'ERR_RITSU_EXTERNAL_BUFFERS'
  | 'ERR_RITSU_INTERNAL'
  | 'ERR_RITSU_IN_USE'
  | 'ERR_RITSU_MEMORY'
  | 'ERR_RITSU_NOT_OWNED'
  | 'ERR_RITSU_NOTHING_SUBMITTED'
  | 'ERR_RITSU_PANIC'
  | 'ERR_RITSU_POOL_EXHAUSTED'
  | 'ERR_RITSU_RELEASED'
  | 'ERR_RITSU_SETUP'
  | 'ERR_RITSU_TIMEOUT'
  | 'ERR_RITSU_UNAVAILABLE';

const brand: unique symbol = Symbol.for('ritsu.error') as never;

/** An error of ritsu's own rules, not of the system. */
export class RitsuError extends Error {
  /** For people. */
  override readonly name: string = 'RitsuError';
  /** For programs. */
  readonly code: RitsuErrorCode;
  /** @internal */
  readonly [brand] = true;

  constructor(code: RitsuErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** How an operation ended whose promise had been rejected before (`prompt: true`). */
export interface LateOutcome {
  /** Bytes that were written. What was read of a file is dropped; of a stream the next read gets it. */
  readonly bytesTransferred: number;
  /** The memory that the operation was given, yours again. */
  readonly buffers: readonly Buffer[];
}

/** The operation did not end in the time given by its `timeout` option. */
export class TimeoutError extends RitsuError {
  /** For people. */
  override readonly name = 'TimeoutError';
  /** Bytes that took effect before the end. */
  bytesTransferred = 0;
  /** With `prompt: true`, where the kernel had not let go: how it ended, when it has. */
  declare outcome?: Promise<LateOutcome> | undefined;
}

/** The operation was ended by its AbortSignal; with `bytesTransferred` 0 it never happened. */
export class AbortError extends Error {
  /** As Node's own abort errors have it. */
  override readonly name = 'AbortError';
  /** As Node's own abort errors have it. */
  readonly code = 'ABORT_ERR';
  /** Bytes that took effect before the end. */
  bytesTransferred = 0;
  /** With `prompt: true`, where the kernel had not let go: how it ended, when it has. */
  declare outcome?: Promise<LateOutcome> | undefined;

  constructor(cause: unknown) {
    super('The operation was aborted', { cause });
  }
}

export function abortError(reason: unknown): AbortError {
  return new AbortError(reason);
}

export function timeoutError(syscall: string): TimeoutError {
  return new TimeoutError('ERR_RITSU_TIMEOUT', `${syscall} did not end in the time given`);
}

export function inUseError(what: string): RitsuError {
  return new RitsuError('ERR_RITSU_IN_USE', `${what}: reads wait on it, or writes are not finished`);
}

export function closedError(what: string): RitsuError {
  return new RitsuError('ERR_RITSU_CLOSED', `${what}: already closed`);
}

/** The result of an operation that came too late. */
export const FAULT_CLOSED = -10006;

const FAULTS: Readonly<Record<number, readonly [RitsuErrorCode, string]>> = {
  [-10001]: ['ERR_RITSU_INTERNAL', 'unknown operation'],
  [-10003]: ['ERR_RITSU_BUFFER_IN_FLIGHT', 'the buffer is already in flight'],
  [-10004]: ['ERR_RITSU_INTERNAL', 'range outside of the buffer'],
  [-10005]: ['ERR_RITSU_INTERNAL', 'malformed argument'],
  [FAULT_CLOSED]: ['ERR_RITSU_CLOSED', 'the proactor is closed'],
};

/**
 * An error from a completion's negative result: `-errno`, or a fault that the boundary found. Messages are Node's: of a
 * file `ENOENT: no such file or directory, open 'x'`, of a socket `connect ECONNREFUSED 127.0.0.1:1`.
 */
export function systemError(result: number, syscall: string, path?: string, endpoint?: Endpoint): SystemError | RitsuError {
  const fault = FAULTS[result];
  if (fault !== undefined) return new RitsuError(fault[0], `${syscall}: ${fault[1]}`);
  const [code, text] = getSystemErrorMap().get(result) ?? [`E${-result}`, 'unknown error'];
  if (endpoint !== undefined && endpoint !== STREAM) return socketError({ code, text, errno: result, syscall }, endpoint);
  if (endpoint === STREAM || (path === undefined && SOCKET_SYSCALLS.has(syscall))) {
    return Object.assign(new Error(`${syscall} ${code}`), { errno: result, code, syscall });
  }
  const where = path === undefined ? '' : ` '${path}'`;
  const error = new Error(`${code}: ${text}, ${syscall}${where}`);
  return Object.assign(error, { errno: result, code, syscall }, path === undefined ? {} : { path });
}

/** System calls of sockets alone, whose errors Node words in its shorter way. */
const SOCKET_SYSCALLS = new Set(['accept', 'bind', 'connect', 'getpeername', 'getsockname', 'listen', 'recvmsg', 'send', 'setsockopt', 'shutdown']);

interface Cause {
  readonly code: string;
  readonly text: string;
  readonly errno: number;
  readonly syscall: string;
}

function socketError({ code, text, errno, syscall }: Cause, { address, port }: Endpoint): SystemError {
  const where = port === undefined ? address : `${address}:${port}`;
  // Node says what is wrong in words where a program is told about its own address.
  const what = syscall === 'listen' ? `${code}: ${text}` : code;
  const error = new Error(`${syscall} ${what} ${where}`);
  return Object.assign(error, { errno, code, syscall, address }, port === undefined ? {} : { port });
}

/** An argument of the wrong type, with Node's code and message. */
export function argumentTypeError(name: string, expected: string, actual: unknown): TypeError {
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${describeType(actual)}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
}

/** An argument of the right type whose value makes no sense, with Node's code and message. */
export function argumentValueError(name: string, reason: string, actual: unknown): TypeError {
  const error = new TypeError(`The argument '${name}' ${reason}. Received ${describe(actual)}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
}

export function rangeError(name: string, range: string, actual: unknown): RangeError {
  const error = new RangeError(`The value of "${name}" is out of range. It must be ${range}. Received ${describe(actual)}`);
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
}

/** A file that is too long to be read as a whole, with Node's code and message. */
export function fileTooLarge(size: number): RangeError {
  return Object.assign(new RangeError(`File size (${size}) is greater than 2 GiB`), { code: 'ERR_FS_FILE_TOO_LARGE' });
}

/** A value in an error's message. An error is due whatever the value is: one that cannot be asked for its name has none. */
export function describe(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) return `an instance of ${nameOf(() => value.constructor) || 'Object'}`;
  if (typeof value === 'function') return `function ${nameOf(() => value)}`;
  return shown(value, 128, 128);
}

/** The same where it is the type that is wrong. */
function describeType(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'object' || typeof value === 'function') return describe(value);
  return `type ${typeof value} (${shown(value, 28, 25)})`;
}

/** A value that is no object, as Node shows it. */
function shown(value: unknown, most: number, left: number): string {
  const text = inspect(value);
  return text.length > most ? `${text.slice(0, left)}...` : text;
}

function nameOf(named: () => { readonly name?: unknown } | undefined): string {
  try {
    const name = named()?.name;
    return typeof name === 'string' ? name : '';
  } catch {
    return '';
  }
}

export function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw argumentTypeError('options', 'of type object', options);
}

/** True, false, or not given. */
export function checkBoolean(name: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== 'boolean') throw argumentTypeError(name, 'of type boolean', value);
  return value;
}

/** An integer from `minimum` to `maximum`; a bigint within is accepted. */
export function checkInteger(name: string, value: unknown, minimum: number, maximum: number): number {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw argumentTypeError(name, 'of type number', value);
  const number = Number(value);
  if (!Number.isInteger(number)) throw rangeError(name, 'an integer', value);
  if (number < minimum || number > maximum) throw rangeError(name, `>= ${minimum} and <= ${maximum}`, value);
  return number;
}

/** A file position: an integer from 0 to 2^53 - 1. */
export function checkPosition(value: unknown): number {
  return checkInteger('position', value, 0, Number.MAX_SAFE_INTEGER);
}
