/** How an operation is written for another thread. */
import { ASYNCHRONOUS, Opcode } from '../op.js';
import type { Operation } from '../op.js';
import { Ask, GIVEN_UP } from './wire.js';
import type { RecordWriter } from './records.js';

/** The head of a message without an address. */
const EMPTY_HEAD = 4;

/** Write its record; `argument` and `payload` are indexes of parts. */
export function record(records: RecordWriter<Uint8Array>, operation: Operation<unknown>, length: number, argument: number, payload: number): void {
  records.next();
  const { words, at } = records;
  words[at + Ask.SLOT] = operation.slot;
  words[at + Ask.GENERATION] = operation.generation;
  words[at + Ask.OPCODE] = singleOf(operation);
  words[at + Ask.DESCRIPTOR] = operation.descriptor;
  words[at + Ask.FLAGS] = operation.flags;
  words[at + Ask.OPTIONS] = operation.options & ASYNCHRONOUS;
  words[at + Ask.TARGET] = operation.target;
  words[at + Ask.LENGTH] = length;
  words[at + Ask.POSITION] = operation.position;
  words[at + Ask.EXTRA] = operation.extra;
  words[at + Ask.ARGUMENT] = argument;
  words[at + Ask.PAYLOAD] = payload;
}

/** Ask for the end of an operation, and of its resource where that is destroyed. */
export function recordCancel(records: RecordWriter<Uint8Array>, { slot, generation, isGivenUp }: Operation<unknown>): void {
  records.next();
  const { words, at } = records;
  words[at + Ask.SLOT] = slot;
  words[at + Ask.GENERATION] = generation;
  words[at + Ask.OPCODE] = Opcode.CANCEL;
  words[at + Ask.FLAGS] = isGivenUp ? GIVEN_UP : 0;
}

/** The bytes before the parts in the argument of a vectored write. */
export function headLength({ opcode, argument }: Operation<unknown>): number {
  if (opcode === Opcode.WRITEV) return 0;
  const length = new DataView(argument!.buffer, argument!.byteOffset).getUint32(0, true);
  return 4 + ((length + 3) & ~3);
}

/** The parts of a vectored write went together: the opcode for one. A datagram keeps its own, for the address. */
function singleOf(operation: Operation<unknown>): number {
  if (operation.opcode === Opcode.WRITEV) return Opcode.WRITE;
  return operation.opcode === Opcode.SEND_MESSAGE && headLength(operation) === EMPTY_HEAD ? Opcode.SEND : operation.opcode;
}

/** What goes as the argument: of a vectored write only what is before the parts. */
export function argumentOf(operation: Operation<unknown>): Uint8Array | undefined {
  const { opcode, argument } = operation;
  if (singleOf(operation) !== opcode) return undefined;
  // A copy of its own memory: a view would take all of its buffer along.
  return argument && new Uint8Array(opcode === Opcode.SEND_MESSAGE ? argument.subarray(0, headLength(operation)) : argument);
}
