/**
 * Open files by descriptor id: index(20 bits) | generation(12 bits) << 20, as in the Rust core. A descriptor is out of
 * the table as soon as its close is encoded; the file itself is closed when the last call that holds it has finished.
 */
import type { Call, Lane } from './call.js';
import type { Channel } from './channel.js';

const INDEX_BITS = 20;
const INDEX_MASK = (1 << INDEX_BITS) - 1;
const GENERATION_MASK = 0xfff;

export class Descriptor {
  readonly fd: number;
  /** The flags it was opened with. */
  readonly flags: number;
  /** A non-blocking descriptor of a pipe or terminal, on which a read or write never waits; most often a second one. */
  readonly patientFd: number | undefined;
  /** Where it is a socket. */
  channel: Channel | undefined = undefined;
  /** The descriptor is somebody else's: it is not closed with this one. */
  isBorrowed = false;
  readonly reading: Lane = [];
  readonly writing: Lane = [];
  /** Calls that use the file now. */
  holders = 0;
  /** The CLOSE that waits for them. */
  closing: Call | undefined = undefined;
  /** The backend ended: nobody will ask for the close. */
  orphaned = false;

  constructor(fd: number, flags: number, patientFd: number | undefined) {
    this.fd = fd;
    this.flags = flags;
    this.patientFd = patientFd;
  }

  static ofChannel(channel: Channel): Descriptor {
    const descriptor = new Descriptor(channel.fd, 0, undefined);
    descriptor.channel = channel;
    return descriptor;
  }
}

export class DescriptorTable {
  readonly #entries: (Descriptor | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];

  get count(): number {
    return this.#entries.length - this.#free.length;
  }

  /** The id of a new descriptor; undefined when the table is full. */
  add(descriptor: Descriptor): number | undefined {
    const index = this.#free.pop() ?? this.#entries.length;
    if (index === INDEX_MASK) return undefined; // its last generation would be NONE
    this.#entries[index] = descriptor;
    const generation = (this.#generations[index] ??= 0);
    return (index | (generation << INDEX_BITS)) >>> 0;
  }

  get(id: number): Descriptor | undefined {
    const index = id & INDEX_MASK;
    return this.#generations[index] === id >>> INDEX_BITS ? this.#entries[index] : undefined;
  }

  /** Take a descriptor out: its id means nothing from now on. */
  remove(id: number): Descriptor | undefined {
    const descriptor = this.get(id);
    if (descriptor === undefined) return undefined;
    const index = id & INDEX_MASK;
    this.#entries[index] = undefined;
    this.#generations[index] = (this.#generations[index]! + 1) & GENERATION_MASK;
    this.#free.push(index);
    return descriptor;
  }

  /** Take out all that are left. */
  *drain(): Generator<Descriptor> {
    for (const [index, descriptor] of this.#entries.entries()) {
      if (descriptor === undefined) continue;
      this.remove((index | (this.#generations[index]! << INDEX_BITS)) >>> 0);
      yield descriptor;
    }
  }
}
