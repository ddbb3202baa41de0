/** What may happen to an op that does not always happen, and how often. */
import { argumentTypeError, rangeError } from '../errors.js';

/** Each a probability, from 0 to 1. */
export interface Faults {
  /** Of the ops that could go on, another than the first does. */
  readonly reorder: number;
  /** An op is begun late, or its completion comes late: others pass it. */
  readonly delay: number;
  /** A read, write or send moves less than it could, and a link carries less. */
  readonly short: number;
  /** A cancel comes too late for an op that could end: it ends with its result. */
  readonly cancelLoses: number;
  /** A multishot op ends with a good completion: the next one must be asked for. */
  readonly endEarly: number;
  /** The group is found empty (ENOBUFS), although blocks are provided. */
  readonly emptyGroup: number;
  /** A read or accept that would wait says EINTR. */
  readonly interrupt: number;
  /** A read or send that would wait says EAGAIN, as on a descriptor that is non-blocking. */
  readonly notReady: number;
  /** Not in the defaults: a datagram is lost. */
  readonly loss: number;
  /** Not in the defaults: a datagram arrives twice. */
  readonly duplicate: number;
  /** Not in the defaults: a connection is reset, whenever bytes of it are on their way (ECONNRESET). */
  readonly reset: number;
  /** Not in the defaults: an op fails with ENOMEM, nothing having happened. */
  readonly outOfMemory: number;
}

/** A ring on which everything goes well, in order and at once. */
export const NO_FAULTS: Faults = {
  reorder: 0,
  delay: 0,
  short: 0,
  cancelLoses: 0,
  endEarly: 0,
  emptyGroup: 0,
  interrupt: 0,
  notReady: 0,
  loss: 0,
  duplicate: 0,
  reset: 0,
  outOfMemory: 0,
};

/** What a correct program does not notice. */
const DEFAULTS: Faults = {
  ...NO_FAULTS,
  reorder: 0.5,
  delay: 0.1,
  short: 0.3,
  cancelLoses: 0.5,
  endEarly: 0.05,
  emptyGroup: 0.02,
  interrupt: 0.02,
  notReady: 0.02,
};

/** The rates, checked; what is not given is as by default. */
export function checkFaults(given: Partial<Faults> = {}): Faults {
  if (typeof given !== 'object' || given === null) throw argumentTypeError('options.faults', 'of type object', given);
  const faults: Record<string, number> = { ...DEFAULTS };
  for (const [name, rate] of Object.entries(given) as [string, unknown][]) {
    if (rate === undefined) continue;
    if (!(name in DEFAULTS)) throw rangeError('options.faults', `of ${Object.keys(DEFAULTS).join(', ')}`, name);
    if (typeof rate !== 'number') throw argumentTypeError(`options.faults.${name}`, 'of type number', rate);
    if (!(rate >= 0 && rate <= 1)) throw rangeError(`options.faults.${name}`, '>= 0 and <= 1', rate);
    faults[name] = rate;
  }
  return faults as unknown as Faults;
}
