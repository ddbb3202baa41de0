/** How a FIFO is opened in a simulation: one side waits for the other, as `open(2)` does. */
import { constants } from 'node:fs';
import { Descriptor } from '../backend/node/descriptors.js';
import type { FifoName } from '../backend/node/immediate.js';
import type { Answer, RingCall } from './call.js';
import { Fifo, FifoEnd } from './fifo.js';
import { opened } from './opened.js';
import type { World } from './world.js';

const ENXIO = -6;
const { O_RDWR, O_WRONLY, O_NONBLOCK } = constants;

/** An end of the pipe that has this name, which is there from now on. */
export function endOf({ identity, flags }: FifoName, { fifos, network }: World): FifoEnd {
  let fifo = fifos.get(identity);
  if (fifo === undefined) fifos.set(identity, (fifo = new Fifo()));
  const both = (flags & O_RDWR) !== 0;
  const writes = both || (flags & O_WRONLY) !== 0;
  return new FifoEnd(network.fd(), fifo, { reads: both || !writes, writes, isNonBlocking: (flags & O_NONBLOCK) !== 0 });
}

/** Undefined: the other side is not there yet. */
export function openFifo(call: RingCall, name: FifoName | undefined, world: World): Answer | undefined {
  call.opening ??= endOf(name!, world);
  const end = call.opening;
  if (!end.isMet && !end.isNonBlocking) return undefined;
  call.opening = undefined;
  if (!end.isMet && end.writesOnly) {
    end.close(() => {});
    return { result: ENXIO };
  }
  return opened(Descriptor.ofChannel(end), world);
}
