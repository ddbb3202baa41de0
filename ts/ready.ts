/**
 * `ready`: wait until a descriptor of somebody else's can be read or written, without touching it. The library polls a
 * duplicate, so that it does not matter when the owner closes his.
 */
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { traced } from './deferred.js';
import { argumentTypeError, argumentValueError, checkInteger, closedError, systemError } from './errors.js';
import { Opcode, Operation, UNREF } from './op.js';
import { Proactor } from './proactor.js';
import { closeDescriptor } from './unclosed.js';

/** What may be waited for. */
export type ReadyEvent = 'readable' | 'writable' | 'priority';
/** What is told besides: the descriptor has an error, or the other end is gone. */
export type ReadyState = ReadyEvent | 'error' | 'hangup';

export interface ReadyOptions extends CancelOptions {
  /** Whether waiting keeps the process alive; true where not given. */
  readonly ref?: boolean | undefined;
  /** Whose operation it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** `poll(2)`. */
const MASKS: Readonly<Record<ReadyState, number>> = { readable: 1, priority: 2, writable: 4, error: 8, hangup: 16 };
const EVENTS: ReadonlySet<unknown> = new Set<ReadyEvent>(['readable', 'writable', 'priority']);

/**
 * Wait until one of the events is there; which are. An error or a hangup ends the waiting, too.
 * @param fd a descriptor of the system's that can be polled: a socket, a pipe, a terminal, an eventfd
 * @example
 * if ((await ready(fd, 'readable', { timeout: 1000 })).includes('readable')) library.receive(fd);
 */
export async function ready(
  fd: number,
  events: ReadyEvent | readonly ReadyEvent[] = 'readable',
  options: ReadyOptions = {},
): Promise<ReadyState[]> {
  const number = checkInteger('fd', fd, 0, 2 ** 31 - 1);
  const mask = maskOf(events);
  const limits = checkCancelOptions(options);
  const proactor = options.proactor ?? Proactor.current();
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
  if (!proactor.open) throw closedError('poll');
  const adopted = proactor.backend.adopt(number);
  if (typeof adopted === 'number') throw systemError(adopted, 'poll');
  const operation = new Operation<number>(Opcode.POLL, (op, { result }) => (result < 0 ? op.failure(result) : result));
  operation.descriptor = adopted.descriptor;
  operation.target = mask;
  if (options.ref === false) operation.options = UNREF;
  try {
    const found = await traced(proactor.submit(operation, limits).promise);
    return (Object.keys(MASKS) as ReadyState[]).filter((state) => (found & MASKS[state]) !== 0);
  } finally {
    void closeDescriptor(proactor, adopted.descriptor);
  }
}

function maskOf(events: unknown): number {
  const list: unknown[] = Array.isArray(events) ? events : [events];
  const wrong = list.find((event) => !EVENTS.has(event));
  if (wrong !== undefined || list.length === 0) {
    throw argumentValueError('events', "must be 'readable', 'writable', 'priority', or a list of them", wrong ?? events);
  }
  return list.reduce<number>((mask, event) => mask | MASKS[event as ReadyEvent], 0);
}
