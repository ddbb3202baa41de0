/** What a proactor may be told, and the limits of it. */
import { argumentTypeError, checkInteger, checkOptions } from './errors.js';
import type { BackendName } from './backend/backend.js';
import type { FeatureSwitch } from './backend/switches.js';
import type { BufferPoolOptions } from './memory/pool.js';
import type { SizeClassOptions } from './memory/size-class.js';

/** How a proactor is made. What is not given is as by default. */
export interface ProactorOptions {
  /** `auto` takes the ring where it can be had, or what `RITSU_BACKEND` says. */
  readonly backend?: BackendName | 'auto' | undefined;
  /** Entries of the submission queue, 1 to 32768; 256 where not given. */
  readonly entries?: number | undefined;
  /** Entries of the completion queue; 4096 where not given. */
  readonly completionEntries?: number | undefined;
  /** Operations that may be in flight at once, 1 to 2^20; 65536 where not given. More wait their turn. */
  readonly inFlightMax?: number | undefined;
  /** Bytes of the pool that may be registered with the kernel (pinned, memlock); 4 MiB where not given. */
  readonly registeredBytesMax?: number | undefined;
  /** Features of the ring that shall not be used, beside those that `RITSU_DISABLE` names. */
  readonly disable?: readonly FeatureSwitch[] | undefined;
  /** The pool that reads take memory from. */
  readonly pool?: BufferPoolOptions | undefined;
  /** The blocks that streams receive into: 256 of 65536 bytes where not given. */
  readonly streamPool?: SizeClassOptions | undefined;
  /**
   * False: views of the library's memory are not revoked at each hand-over, which is faster; a view kept too long then
   * shows other bytes. For experts who measured.
   */
  readonly fence?: boolean | undefined;
  /** Remember where each lease was asked for, and warn when one is collected without having been released. */
  readonly traceLeases?: boolean | undefined;
}

export function checkProactorOptions(options: ProactorOptions): void {
  if (typeof options !== 'object' || options === null) throw argumentTypeError('options', 'of type object', options);
  const limits = [
    ['entries', 1, 32_768],
    ['completionEntries', 1, 65_536],
    ['inFlightMax', 1, 2 ** 20],
    ['registeredBytesMax', 0, 2 ** 30],
  ] as const;
  for (const [name, minimum, maximum] of limits) {
    if (options[name] !== undefined) checkInteger(name, options[name], minimum, maximum);
  }
}

/** What `Proactor.destroy` accepts. */
export interface DestroyOptions {
  /** Milliseconds to wait for operations that the system does not end; then their memory is leaked, never freed. */
  readonly deadline?: number | undefined;
}

const DESTROY_DEADLINE_MS = 5000;

/** The deadline of `destroy`, checked. */
export function checkDeadline(options: DestroyOptions): number {
  checkOptions(options);
  return checkInteger('deadline', options.deadline ?? DESTROY_DEADLINE_MS, 0, 2 ** 31 - 1);
}
