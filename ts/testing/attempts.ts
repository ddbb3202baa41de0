/**
 * What the simulated kernel does with an op each time it looks at it. An attempt either answers, or the op waits and
 * nothing has happened: no byte is consumed, no block chosen, no connection taken.
 */
import { answerNow, fifoOf, openNow, readPlacesNow } from '../backend/node/immediate.js';
import { Opcode } from '../op.js';
import { totalOf } from './bytes-queue.js';
import type { Answer, RingCall } from './call.js';
import { Connection } from './connection.js';
import { opened, shut } from './opened.js';
import { openFifo } from './pipes.js';
import { receiveInto, selectAndReceive, sendFrom } from './bytes-ops.js';
import { FifoEnd } from './fifo.js';
import { accept, bind, connect, listen, receiveMessage, sendMessage } from './socket-ops.js';
import type { World } from './world.js';

const EINVAL = -22;
const ENOBUFS = -105;
const ENOMEM = -12;

const MAY_RUN_OUT: ReadonlySet<number> = new Set([
  Opcode.OPEN, Opcode.READ, Opcode.READ_MANY, Opcode.READV, Opcode.WRITE, Opcode.WRITEV, Opcode.STATX, Opcode.CONNECT, Opcode.ACCEPT,
  Opcode.SEND, Opcode.SEND_MESSAGE, Opcode.RECEIVE_MESSAGE,
]);

/** Try the op. Undefined: it waits. */
export function attempt(call: RingCall, world: World): Answer | undefined {
  call.attempts += 1;
  const { opcode, extra } = call.operation;
  if (call.attempts === 1 && MAY_RUN_OUT.has(opcode) && world.random.chance(world.faults.outOfMemory)) return { result: ENOMEM };
  switch (opcode) {
    case Opcode.NOP:
      return { result: extra | 0 };
    case Opcode.TIMEOUT:
      return tick(call, world);
    case Opcode.OPEN:
      return open(call, world);
    case Opcode.CLOSE:
      return { result: shut(call.descriptor!) };
    case Opcode.CONNECT:
      return connect(call, world);
    case Opcode.LISTEN:
      return listen(call, world);
    case Opcode.BIND:
      return bind(call, world);
    default:
      return use(call, world);
  }
}

/** Give up what a waiting op holds in the kernel; it is ended. */
export function giveUp(call: RingCall): void {
  call.stop?.();
  call.stop = undefined;
  call.connecting?.abort();
  call.opening?.close(() => {});
}

/** The clock ends it, in the order of the deadlines. */
function tick(call: RingCall, { clock, rang }: World): Answer | undefined {
  const { extra } = call.operation;
  if (extra === 0) return { result: 0 };
  call.stop ??= clock.after(extra, () => rang(call));
  return undefined;
}

function open(call: RingCall, world: World): Answer | undefined {
  const name = call.opening === undefined ? fifoOf(call) : undefined;
  if (name !== undefined || call.opening !== undefined) return openFifo(call, name, world);
  const file = openNow(call);
  return typeof file === 'number' ? { result: file } : opened(file, world);
}

function use(call: RingCall, world: World): Answer | undefined {
  const channel = call.descriptor?.channel;
  switch (call.operation.opcode) {
    case Opcode.READ:
    case Opcode.READ_FIXED:
    case Opcode.READV:
      return isBytes(channel) ? receiveInto(call, channel, world) : ofFile(call, world);
    case Opcode.READ_MANY:
      return readPlaces(call, world);
    case Opcode.READ_SELECT:
    case Opcode.RECEIVE_SELECT:
      return isBytes(channel) ? selectAndReceive(call, channel, world) : selectFromFile(call, world);
    case Opcode.WRITE:
    case Opcode.WRITE_FIXED:
    case Opcode.WRITEV:
      return isBytes(channel) ? sendFrom(call, channel, world) : ofFile(call, world);
    case Opcode.SEND:
    case Opcode.SEND_MESSAGE:
      return isBytes(channel) ? sendFrom(call, channel, world) : sendMessage(call, world);
    case Opcode.RECEIVE_MESSAGE:
      return receiveMessage(call, world);
    case Opcode.ACCEPT:
      return accept(call, world);
    case Opcode.SHUTDOWN:
      return { result: (channel as Connection).shutdown(call.operation.target) };
    case Opcode.POLL:
      return poll(call);
    default:
      return ofFile(call, world);
  }
}

function isBytes(channel: unknown): channel is Connection | FifoEnd {
  return channel instanceof Connection || channel instanceof FifoEnd;
}

const MOVES: ReadonlySet<number> = new Set([
  Opcode.READ, Opcode.READ_FIXED, Opcode.READV, Opcode.WRITE, Opcode.WRITE_FIXED, Opcode.WRITEV,
]);

function ofFile(call: RingCall, { random, faults }: World): Answer {
  if (call.descriptor?.channel !== undefined) return { result: EINVAL };
  const { views } = call;
  const isCut = MOVES.has(call.operation.opcode) && random.chance(faults.short);
  const most = isCut ? random.part(totalOf(views), 1) : totalOf(views);
  const result = answerNow(call, isCut ? cut(views, most) : views);
  return { result, numbers: call.numbers };
}

function readPlaces(call: RingCall, { random, faults }: World): Answer {
  if (call.descriptor?.channel !== undefined) return { result: EINVAL };
  const result = readPlacesNow(call, (length) => random.part(length, faults.short));
  return { result, numbers: call.numbers };
}

function cut(views: readonly Uint8Array[], most: number): Uint8Array[] {
  let left = most;
  return views.map((view) => {
    const part = view.subarray(0, left);
    left -= part.length;
    return part;
  });
}

/** A read of a file brings its own block to the group, so one is there. */
function selectFromFile(call: RingCall, { blocks, random, faults }: World): Answer {
  const { target, length } = call.operation;
  const selected = blocks.select(target, length);
  if (selected === undefined) return { result: ENOBUFS };
  const view = selected.view.subarray(0, random.part(selected.view.length, faults.short));
  const result = answerNow(call, [view]);
  if (result > 0) return { result, block: selected.id };
  blocks.deselect(target, selected.id);
  return { result };
}

/** A file can always be read and written. */
function poll(call: RingCall): Answer | undefined {
  const channel = call.descriptor!.channel as { readonly events: number } | undefined;
  const always = 8 | 16; // POLLERR, POLLHUP: told whether asked for or not
  const found = channel === undefined ? call.operation.target & 5 : channel.events & (call.operation.target | always);
  return found === 0 ? undefined : { result: found };
}

