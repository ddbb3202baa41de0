/** What is asked of the simulation's sockets at once, without an op. */
import { encodeAddress } from '../backend/node/address.js';
import { Descriptor } from '../backend/node/descriptors.js';
import { adoptNow } from '../backend/node/immediate.js';
import type { Opened } from '../backend/backend.js';
import type { Channel } from '../backend/node/channel.js';
import { endOf } from './pipes.js';
import { member } from './socket-ops.js';
import type { SocketOptions } from './socket-options.js';
import type { World } from './world.js';

const EBADF = -9;
const EMFILE = -24;
const ENOTSOCK = -88;

export function adopt(fd: number, world: World): Opened | number {
  const found = adoptNow(fd);
  if (typeof found === 'number') return found;
  const descriptor = found instanceof Descriptor ? found : Descriptor.ofChannel(endOf(found, world));
  const id = world.descriptors.add(descriptor);
  return id === undefined ? EMFILE : { descriptor: id, fd: descriptor.fd };
}

export function addressOf(world: World, descriptor: number, peer: boolean): Uint8Array | number {
  const channel = channelOf(world, descriptor);
  const address = typeof channel === 'number' ? channel : channel.address(peer);
  return typeof address === 'number' ? address : encodeAddress(address);
}

export function setOption(world: World, descriptor: number, option: number, value: number): number {
  const channel = channelOf(world, descriptor);
  return typeof channel === 'number' ? channel : channel.setOption(option, value);
}

export function optionOf(world: World, descriptor: number, option: number): number {
  const channel = channelOf(world, descriptor);
  if (typeof channel === 'number') return channel;
  return (channel as { readonly options?: SocketOptions }).options?.get(option) ?? ENOTSOCK;
}

export function membership(world: World, descriptor: number, join: boolean, group: Uint8Array): number {
  const channel = channelOf(world, descriptor);
  return typeof channel === 'number' ? channel : member(channel, join, group);
}

function channelOf({ descriptors }: World, descriptor: number): Channel | number {
  const found = descriptors.get(descriptor);
  return found === undefined ? EBADF : (found.channel ?? ENOTSOCK);
}
