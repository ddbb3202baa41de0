/**
 * What an operation must have before it is begun: its file and its memory, taken here or not at all. The rules, and
 * the numbers for breaking them, are the ones by which the boundary checks records.
 */
import fs from 'node:fs';
import { NONE, Opcode } from '../../op.js';
import { FAULT_BLOCK, FAULT_RANGE } from './blocks.js';
import type { BlockTable } from './blocks.js';
import type { Call } from './call.js';
import type { DescriptorTable } from './descriptors.js';
import { decodeAddress, decodeAddresses } from './address.js';
import type { ChannelKind } from './channel.js';
import { placesOf } from './places.js';

const { O_APPEND } = fs.constants;
const EBADF = -9;
const EINVAL = -22;
const ENOTSOCK = -88;
const EOPNOTSUPP = -95;
const FAULT_OPCODE = -10001;
const FAULT_ARGUMENT = -10005;

const PART_BYTES = 12;
const PARTS_MAX = 1024;

/** Tables of one backend. */
export interface Tables {
  readonly blocks: BlockTable;
  readonly descriptors: DescriptorTable;
}

/** Take what the operation needs. 0, or the number of its refusal: then nothing was taken. */
export function accept(call: Call, tables: Tables): number {
  const { operation } = call;
  switch (operation.opcode) {
    case Opcode.NOP:
      return 0;
    case Opcode.TIMEOUT:
      return operation.extra >= 0 ? 0 : FAULT_ARGUMENT;
    case Opcode.OPEN:
      return checkPath(operation.argument);
    case Opcode.CLOSE:
      call.descriptor = tables.descriptors.remove(operation.descriptor);
      return call.descriptor === undefined ? EBADF : 0;
    case Opcode.READ_SELECT:
      return holdDescriptor(call, tables) || provideBlock(call, tables.blocks) || enterLane(call, 'reading');
    case Opcode.READ:
    case Opcode.READ_FIXED:
      return takeOne(call, tables) || enterLane(call, 'reading');
    case Opcode.WRITE:
    case Opcode.WRITE_FIXED:
      return takeOne(call, tables) || enterLane(call, 'writing');
    case Opcode.READ_MANY:
      return (placesOf(operation) === undefined ? FAULT_ARGUMENT : takeOne(call, tables)) || enterLane(call, 'reading');
    case Opcode.READV:
      return takeParts(call, tables, operation.argument) || enterLane(call, 'reading');
    case Opcode.WRITEV:
      return takeParts(call, tables, operation.argument) || enterLane(call, 'writing');
    case Opcode.STATX:
      return operation.argument === undefined ? holdDescriptor(call, tables) : checkPath(operation.argument);
    case Opcode.CONNECT:
    case Opcode.BIND:
      return takeAddresses(call, 2);
    case Opcode.LISTEN:
      return takeListenAddress(call);
    case Opcode.ACCEPT:
      return holdChannel(call, tables, 'server') || enterLane(call, 'reading');
    case Opcode.RECEIVE_SELECT:
      return holdChannel(call, tables, 'connection') || provideBlock(call, tables.blocks) || enterLane(call, 'reading');
    case Opcode.RECEIVE_MESSAGE:
      return holdChannel(call, tables, 'datagrams') || takeOne(call, tables) || enterLane(call, 'reading');
    case Opcode.SEND:
      return holdChannel(call, tables, 'connection', 'datagrams') || takeOne(call, tables) || enterLane(call, 'writing');
    case Opcode.SEND_MESSAGE:
      return holdChannel(call, tables, 'connection', 'datagrams') || takeMessage(call, tables) || enterLane(call, 'writing');
    case Opcode.SHUTDOWN:
      return holdChannel(call, tables, 'connection') || enterLane(call, 'writing');
    case Opcode.POLL:
      return EOPNOTSUPP; // Node polls nothing that it did not open
    case Opcode.FSYNC:
    case Opcode.FDATASYNC:
    case Opcode.FTRUNCATE:
    case Opcode.FALLOCATE:
      return holdDescriptor(call, tables);
    default:
      return FAULT_OPCODE;
  }
}

function checkPath(path: Uint8Array | undefined): number {
  return path === undefined || path.includes(0) ? FAULT_ARGUMENT : 0;
}

function holdDescriptor(call: Call, { descriptors }: Tables): number {
  call.descriptor = descriptors.get(call.operation.descriptor);
  return call.descriptor === undefined ? EBADF : 0;
}

function provideBlock(call: Call, blocks: BlockTable): number {
  const { target, blockId } = call.operation;
  return blocks.provide(target, blockId === NONE ? undefined : blockId);
}

/** The descriptor of a socket that is of one of these kinds. */
function holdChannel(call: Call, tables: Tables, ...kinds: readonly ChannelKind[]): number {
  const refusal = holdDescriptor(call, tables);
  if (refusal !== 0) return refusal;
  const { channel } = call.descriptor!;
  if (channel === undefined) return ENOTSOCK;
  return kinds.includes(channel.kind) ? 0 : EINVAL;
}

function takeAddresses(call: Call, most: number): number {
  const { argument } = call.operation;
  const addresses = argument === undefined ? undefined : decodeAddresses(argument);
  if (addresses === undefined || addresses.length === 0 || addresses.length > most) return FAULT_ARGUMENT;
  call.addresses = addresses;
  return 0;
}

function takeListenAddress(call: Call): number {
  const { argument } = call.operation;
  const address = argument === undefined ? undefined : decodeAddress(argument);
  if (address === undefined) return FAULT_ARGUMENT;
  call.addresses = [address];
  return 0;
}

/** The argument of SEND_MESSAGE: length of the address (u32), the address padded to 4 bytes, parts. */
function takeMessage(call: Call, tables: Tables): number {
  const { argument } = call.operation;
  if (argument === undefined || argument.byteLength < 4) return FAULT_ARGUMENT;
  const length = new DataView(argument.buffer, argument.byteOffset).getUint32(0, true);
  const start = 4 + ((length + 3) & ~3);
  if (start > argument.byteLength) return FAULT_ARGUMENT;
  if (length > 0) {
    const address = decodeAddress(argument.subarray(4, 4 + length));
    if (address === undefined) return FAULT_ARGUMENT;
    call.addresses = [address];
  }
  return takeParts(call, tables, argument.subarray(start));
}

function takeOne(call: Call, tables: Tables): number {
  const { blockId, offset, length } = call.operation;
  return holdDescriptor(call, tables) || takeRanges(call, tables.blocks, [[blockId, offset, length]]);
}

function takeParts(call: Call, tables: Tables, argument: Uint8Array | undefined): number {
  if (argument === undefined || argument.byteLength % PART_BYTES !== 0) return FAULT_ARGUMENT;
  const count = argument.byteLength / PART_BYTES;
  if (count > PARTS_MAX) return FAULT_ARGUMENT;
  const words = new DataView(argument.buffer, argument.byteOffset, argument.byteLength);
  const parts: (readonly [number, number, number])[] = [];
  for (let at = 0; at < argument.byteLength; at += PART_BYTES) {
    parts.push([words.getUint32(at, true), words.getUint32(at + 4, true), words.getUint32(at + 8, true)]);
  }
  return holdDescriptor(call, tables) || takeRanges(call, tables.blocks, parts);
}

function takeRanges(call: Call, blocks: BlockTable, ranges: readonly (readonly [number, number, number])[]): number {
  for (const [id, offset, length] of ranges) {
    const view = blocks.view(id, offset, length);
    if (view === FAULT_BLOCK || view === FAULT_RANGE) return view;
    call.views.push(view as Uint8Array);
  }
  call.blocks = ranges.map(([id]) => id);
  for (const id of call.blocks) blocks.take(id);
  return 0;
}

/**
 * Calls that use the file's own position, append, or wait for a peer must not overtake each other on Node's threads, as
 * they would not in the kernel.
 */
function enterLane(call: Call, direction: 'reading' | 'writing'): number {
  const descriptor = call.descriptor!;
  const appends = direction === 'writing' && (descriptor.flags & O_APPEND) !== 0;
  if (call.operation.position < 0 || appends || descriptor.patientFd !== undefined || descriptor.channel !== undefined) {
    call.lane = descriptor[direction];
    call.lane.push(call);
  }
  return 0;
}
