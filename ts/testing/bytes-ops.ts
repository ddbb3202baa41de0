/** Reads and writes of connections and pipes: how far one gets at an attempt, and what may go wrong. */
import { Opcode, MULTISHOT, WAIT_ALL, ZERO_COPY } from '../op.js';
import { rangeOf, totalOf } from './bytes-queue.js';
import { PROGRESS } from './call.js';
import type { Answer, RingCall } from './call.js';
import { Connection } from './connection.js';
import type { FifoEnd } from './fifo.js';
import type { World } from './world.js';

const EINTR = -4;
const EAGAIN = -11;
const ENOBUFS = -105;

type Bytes = Connection | FifoEnd;

/** It would wait: unless, the first time, a signal or a non-blocking descriptor has another answer. */
function wait(call: RingCall, channel: Bytes, { random, faults }: World, mayInterrupt: boolean): Answer | undefined {
  if (!(channel instanceof Connection) && channel.isNonBlocking) return { result: EAGAIN };
  if (call.attempts > 1) return undefined;
  if (mayInterrupt && random.chance(faults.interrupt)) return { result: EINTR };
  return random.chance(faults.notReady) ? { result: EAGAIN } : undefined;
}

function error(channel: Bytes, result: number): Answer {
  return { result: result === 0 ? 0 : channel.tellError() || result };
}

function fill(channel: Bytes, views: readonly Uint8Array[], most: number): void {
  for (const part of rangeOf(views, 0, most)) channel.incoming.take(part);
}

export function receiveInto(call: RingCall, channel: Bytes, world: World): Answer | undefined {
  const wanted = totalOf(call.views);
  if (wanted === 0) return { result: 0 };
  const there = channel.readable;
  if (there === undefined) return wait(call, channel, world, true);
  if (there <= 0) return error(channel, there);
  const count = world.random.part(Math.min(there, wanted), world.faults.short);
  fill(channel, call.views, count);
  return { result: count };
}

/** The kernel chooses the block. A group without blocks ends the op at once, whether bytes wait or not. */
export function selectAndReceive(call: RingCall, channel: Bytes, world: World): Answer | undefined {
  const { target, length, flags, opcode } = call.operation;
  const { blocks, random, faults } = world;
  const there = channel.readable;
  const isFirst = call.attempts === 1;
  if ((isFirst || there !== undefined) && blocks.isEmpty(target)) return { result: ENOBUFS };
  if (there === undefined) return wait(call, channel, world, true);
  if (there <= 0) return error(channel, there);
  if (random.chance(faults.emptyGroup)) return { result: ENOBUFS };
  const { id, view } = blocks.select(target, length)!;
  const count = random.part(Math.min(there, view.length), faults.short);
  fill(channel, [view], count);
  const isMultishot = opcode === Opcode.RECEIVE_SELECT && (flags & MULTISHOT) !== 0;
  return { result: count, block: id, more: isMultishot && !random.chance(faults.endEarly) };
}

/** A write or send. One that shall send all goes on until it has; what it was cut short at, it tells. */
export function sendFrom(call: RingCall, channel: Bytes, world: World): Answer | undefined {
  if (call.notice !== undefined) return (channel as Connection).hasLeft(call.notice) ? { result: 0 } : undefined;
  const total = totalOf(call.views);
  const { flags, opcode } = call.operation;
  const isSend = opcode === Opcode.SEND || opcode === Opcode.SEND_MESSAGE;
  const sendsAll = isSend && (flags & WAIT_ALL) !== 0;
  const room = channel.writable;
  if (room === undefined) return call.sent > 0 ? undefined : wait(call, channel, world, false);
  if (room < 0) return call.sent > 0 ? told(call, channel, call.sent) : told(call, channel, error(channel, room).result);
  const count = world.random.part(Math.min(room, total - call.sent), world.faults.short);
  channel.send(call.views, call.sent, count);
  call.sent += count;
  if (sendsAll && call.sent < total) return PROGRESS;
  return told(call, channel, call.sent);
}

/** The result; of a zero-copy send the first of its two completions. */
function told(call: RingCall, channel: Bytes, result: number): Answer {
  const { opcode, flags } = call.operation;
  if (opcode !== Opcode.SEND || (flags & ZERO_COPY) === 0 || !(channel instanceof Connection)) return { result };
  call.notice = channel.sent;
  return { result, more: true };
}
