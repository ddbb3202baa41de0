/** What the parts of one simulation share. */
import type { BlockTable } from '../backend/node/blocks.js';
import type { DescriptorTable } from '../backend/node/descriptors.js';
import type { RingCall } from './call.js';
import type { Faults } from './faults.js';
import type { Fifo } from './fifo.js';
import type { Network } from './network.js';
import type { Random } from './random.js';
import type { Trace } from './trace.js';

/** The ring's timers. */
export interface RingClock {
  after(milliseconds: number, ring: () => void): () => void;
  setKeepAlive(on: boolean): void;
  end(): void;
}

export interface World {
  readonly random: Random;
  readonly faults: Faults;
  readonly trace: Trace;
  readonly blocks: BlockTable;
  readonly descriptors: DescriptorTable;
  readonly network: Network;
  readonly clock: RingClock;
  /** Pipes by the identity of their file. */
  readonly fifos: Map<string, Fifo>;
  /** A timer has rung: its op is over. */
  readonly rang: (call: RingCall) => void;
}
