/** Descriptors that an op of the simulation brought. */
import { closeNow } from '../backend/node/immediate.js';
import type { Descriptor } from '../backend/node/descriptors.js';
import type { Answer } from './call.js';
import type { World } from './world.js';

const EMFILE = -24;

/** A file or socket enters the table. */
export function opened(descriptor: Descriptor, { descriptors }: World): Answer {
  const value = descriptors.add(descriptor);
  if (value !== undefined) return { result: 0, value, extra: descriptor.fd };
  shut(descriptor);
  return { result: EMFILE };
}

/** Close a file or socket; the result as `close(2)` has it. */
export function shut(descriptor: Descriptor): number {
  if (descriptor.channel === undefined) return closeNow(descriptor);
  descriptor.channel.close(() => {});
  return 0;
}
