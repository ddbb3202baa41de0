/**
 * How the operations of sockets are begun. Those that receive or accept look whether something is there, and wait if
 * not; those that send give Node their memory and are told when it has done with it; those that open bring a descriptor.
 */
import { Opcode } from '../../op.js';
import type { BlockTable } from './blocks.js';
import type { Call } from './call.js';
import type { WaitableChannel } from './channel.js';
import { encodeAddress } from './address.js';
import { Connection, startConnect } from './connection.js';
import { Datagrams, startBind } from './datagrams.js';
import { Descriptor } from './descriptors.js';
import { startListen } from './server.js';
import type { Server } from './server.js';

const EINVAL = -22;
const ENOBUFS = -105;

/** What a call of a socket may come to. */
export interface Ends {
  /** It has its answer. */
  readonly finish: (call: Call, result: number) => void;
  /** It brought a descriptor. */
  readonly opened: (call: Call, descriptor: Descriptor) => void;
}

/** Begin an operation of a socket. False: it is none, and `node:fs` is to be asked. */
export function startSocket(call: Call, blocks: BlockTable, ends: Ends): boolean {
  switch (call.operation.opcode) {
    case Opcode.CONNECT:
    case Opcode.LISTEN:
    case Opcode.BIND:
      open(call, ends);
      return true;
    case Opcode.CLOSE:
      return false;
    default:
      if (call.descriptor?.channel === undefined) return false;
      use(call, blocks, ends);
      return true;
  }
}

const WRITES: ReadonlySet<number> = new Set([Opcode.SEND, Opcode.SEND_MESSAGE, Opcode.WRITE, Opcode.WRITEV, Opcode.SHUTDOWN]);

/** Node takes no write back. Where the connection itself is given up, so is what was to be written on it. */
export function breakOff({ operation, descriptor }: Call): void {
  const isGivenUp = operation.isGivenUp && WRITES.has(operation.opcode);
  if (isGivenUp && descriptor?.channel instanceof Connection) descriptor.channel.breakOff();
}

function open(call: Call, { finish, opened }: Ends): void {
  const { opcode, flags, target: backlog } = call.operation;
  const [first, second] = call.addresses;
  const failed = (errno: number): void => finish(call, errno);
  const done = (channel: Connection | Server | Datagrams): void => opened(call, Descriptor.ofChannel(channel));
  if (opcode === Opcode.CONNECT) call.stop = startConnect({ target: first!, local: second }, done, failed);
  else if (opcode === Opcode.LISTEN) startListen(first!, { backlog, flags }, done, failed);
  else startBind({ local: first!, peer: second, flags }, done, failed);
}

function use(call: Call, blocks: BlockTable, ends: Ends): void {
  const { channel } = call.descriptor!;
  const { finish } = ends;
  switch (call.operation.opcode) {
    case Opcode.ACCEPT:
      return wait(call, () => (channel as Server).acceptable, () => accept(call, ends));
    case Opcode.RECEIVE_SELECT:
    case Opcode.READ_SELECT:
    case Opcode.READ:
    case Opcode.READV:
      if (!(channel instanceof Connection)) return finish(call, EINVAL);
      return wait(call, () => channel.readable, () => receive(call, blocks, ends));
    case Opcode.RECEIVE_MESSAGE:
      return wait(call, () => (channel as Datagrams).receivable, () => receiveMessage(call, ends));
    case Opcode.SHUTDOWN:
      return (channel as Connection).shutdown(call.operation.target, (result) => finish(call, result));
    case Opcode.SEND:
    case Opcode.SEND_MESSAGE:
    case Opcode.WRITE:
    case Opcode.WRITEV:
      return send(call, ends);
    default:
      return finish(call, EINVAL);
  }
}

/** Go on when something is there; it may be taken by then by somebody else, so it is looked for again. */
function wait(call: Call, isThere: () => boolean, go: () => void): void {
  call.stop = undefined;
  if (isThere()) return go();
  call.stop = (call.descriptor!.channel as WaitableChannel).waiters.add(() => wait(call, isThere, go));
}

function accept(call: Call, { finish, opened }: Ends): void {
  const accepted = (call.descriptor!.channel as Server).accept();
  if (typeof accepted === 'number') finish(call, accepted);
  else opened(call, Descriptor.ofChannel(accepted));
}

function receive(call: Call, blocks: BlockTable, { finish }: Ends): void {
  const connection = call.descriptor!.channel as Connection;
  const { opcode, target, length } = call.operation;
  if (opcode === Opcode.RECEIVE_SELECT || opcode === Opcode.READ_SELECT) {
    const selected = blocks.select(target, length);
    if (selected === undefined) return finish(call, ENOBUFS);
    call.block = selected.id;
    call.views = [selected.view];
  }
  finish(call, connection.read(call.views));
}

function receiveMessage(call: Call, { finish }: Ends): void {
  const received = (call.descriptor!.channel as Datagrams).receive(call.views[0]!);
  if (typeof received === 'number') return finish(call, received);
  call.sender = encodeAddress(received.sender);
  call.value = received.truncated ? 1 : 0;
  finish(call, received.length);
}

function send(call: Call, { finish }: Ends): void {
  const { channel } = call.descriptor!;
  const done = (result: number): void => finish(call, result);
  if (channel instanceof Datagrams) channel.send(call.views, call.addresses[0], done);
  else if (channel instanceof Connection) channel.write(call.views, done);
  else finish(call, EINVAL);
}
