/** The ops that make sockets, take connections, and carry datagrams. */
import { decodeAddress, encodeAddress } from '../backend/node/address.js';
import { Descriptor } from '../backend/node/descriptors.js';
import { MULTISHOT } from '../op.js';
import { totalOf } from './bytes-queue.js';
import type { Answer, RingCall } from './call.js';
import { Datagrams } from './datagrams.js';
import type { Listener } from './listener.js';
import { opened } from './opened.js';
import type { World } from './world.js';

const EINTR = -4;
const EINVAL = -22;
const EDESTADDRREQ = -89;
const EMSGSIZE = -90;
const ECONNREFUSED = -111;
const DATAGRAM_MAX = 65_507;

export function connect(call: RingCall, world: World): Answer | undefined {
  const [target, from] = call.addresses;
  const connection = world.network.connect(target!, from);
  if (connection === undefined) return undefined;
  return typeof connection === 'number' ? { result: connection } : opened(Descriptor.ofChannel(connection), world);
}

export function listen({ operation, addresses }: RingCall, world: World): Answer {
  const listener = world.network.listen(addresses[0]!, operation.target, operation.flags);
  return typeof listener === 'number' ? { result: listener } : opened(Descriptor.ofChannel(listener), world);
}

export function bind({ operation, addresses }: RingCall, world: World): Answer {
  const [local, peer] = addresses;
  const socket = world.network.bind(local!, peer, operation.flags);
  return typeof socket === 'number' ? { result: socket } : opened(Descriptor.ofChannel(socket), world);
}

export function accept(call: RingCall, world: World): Answer | undefined {
  const { random, faults } = world;
  const connection = (call.descriptor!.channel as Listener).accept();
  if (connection === undefined) return call.attempts === 1 && random.chance(faults.interrupt) ? { result: EINTR } : undefined;
  const answer = opened(Descriptor.ofChannel(connection), world);
  const goesOn = (call.operation.flags & MULTISHOT) !== 0 && answer.result === 0 && !random.chance(faults.endEarly);
  return goesOn ? { ...answer, more: true } : answer;
}

export function receiveMessage(call: RingCall, _world: World): Answer | undefined {
  const socket = call.descriptor!.channel as Datagrams;
  if (!socket.isReadable) return undefined;
  const errno = socket.tellError();
  if (errno !== 0) return { result: errno };
  const { data, sender } = socket.take()!;
  const view = call.views[0]!;
  const part = data.subarray(0, view.length);
  view.set(part);
  return { result: part.length, value: part.length < data.length ? 1 : 0, sender: encodeAddress(sender) };
}

/** A datagram, to the address that it was given or the socket's peer. It arrives at once, or never. */
export function sendMessage(call: RingCall, { network, random, faults }: World): Answer {
  const socket = call.descriptor!.channel;
  if (!(socket instanceof Datagrams)) return { result: EINVAL };
  const errno = socket.tellError();
  if (errno !== 0) return { result: errno };
  const target = call.addresses[0] ?? socket.peer;
  if (target === undefined) return { result: EDESTADDRREQ };
  const length = totalOf(call.views);
  if (length > DATAGRAM_MAX) return { result: EMSGSIZE };
  if (random.chance(faults.loss)) return { result: length };
  const data = Buffer.concat(call.views);
  const sender = network.sourceOf(socket.at, target);
  const receivers = network.receiversOf(target, sender);
  for (const receiver of receivers) {
    const copies = random.chance(faults.duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) network.deliver(receiver, { data, sender });
  }
  if (receivers.length === 0 && socket.peer !== undefined) socket.errno = ECONNREFUSED;
  return { result: length };
}

/** Join or leave a group: 0 or `-errno`. */
export function member(socket: unknown, join: boolean, group: Uint8Array): number {
  const address = decodeAddress(group)?.address;
  if (!(socket instanceof Datagrams) || address === undefined) return EINVAL;
  if (join) socket.groups.add(address);
  else if (!socket.groups.delete(address)) return -99; // EADDRNOTAVAIL
  return 0;
}
