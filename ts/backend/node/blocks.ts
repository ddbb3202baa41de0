/**
 * Memory of the `node` backend: ordinary ArrayBuffers, with the states that blocks have in the Rust core.
 *
 * Idle (JavaScript has it), busy (a call owns it until it is finished) or provided (in the list of its group, first in,
 * first out). A call is given idle blocks only. A pool block whose holder forgot it is noticed when its ArrayBuffer is
 * collected; since that memory is the holder's alone here, a new one can be exposed at any time.
 */
import type { Block } from '../../memory/block.js';
import type { ClassLayout } from '../backend.js';

const IDLE = 0;
const BUSY = 1;
const PROVIDED = 2;

/** Faults of the boundary, as it numbers them. */
export const FAULT_BLOCK = -10003;
export const FAULT_RANGE = -10004;

/** Something that gives the memory of a block while the library has it. */
interface MemoryHolder {
  readonly memory: ArrayBuffer | undefined;
}

/** What a registry holds of a block: not the block, which may have a view of its memory, and would keep that. */
interface Watch {
  readonly table: WeakRef<BlockTable>;
  readonly id: number;
}

class Entry {
  readonly watch: Watch;
  readonly id: number;
  readonly size: number;
  state = IDLE;
  /** Pool and pinned blocks. */
  holder: MemoryHolder | undefined = undefined;
  /** Own blocks: they live as long as somebody has their memory. */
  weakHolder: WeakRef<MemoryHolder> | undefined = undefined;
  /** While somebody holds a lease, its end is watched for. */
  watched = false;

  constructor(watch: Watch, size: number) {
    this.watch = watch;
    this.id = watch.id;
    this.size = size;
  }

  get memory(): ArrayBuffer | undefined {
    return (this.holder ?? this.weakHolder?.deref())?.memory;
  }
}

interface Group {
  readonly layout: ClassLayout;
  /** Blocks the next read of the group takes, the first first. */
  readonly provided: number[];
}

// For all tables: a registry that is collected itself, while it has something to tell, silences every other one of the process (V8 of
// Node 22 and 24).
const leases = new FinalizationRegistry<Watch>(({ table, id }) => table.deref()?.leaseCollected(id));
const owned = new FinalizationRegistry<Watch>(({ table, id }) => table.deref()?.ownCollected(id));

export class BlockTable {
  readonly #self = new WeakRef(this);
  readonly #entries = new Map<number, Entry>();
  readonly #groups: Group[] = [];
  readonly #freeIds: number[] = [];
  readonly #onCollected: (id: number) => void;
  #idNext = 0;
  busy = 0;
  provided = 0;
  poolBytes = 0;
  ownBytes = 0;

  constructor(onCollected: (id: number) => void) {
    this.#onCollected = onCollected;
  }

  leaseCollected(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || !entry.watched) return;
    entry.watched = false;
    if (entry.state === IDLE && entry.memory === undefined) this.#onCollected(entry.id);
  }

  ownCollected(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.ownBytes -= entry.size;
    this.#forget(entry);
  }

  createPool(classes: readonly (readonly [size: number, count: number])[]): ClassLayout[] {
    return classes.map(([size, count]) => {
      const first = this.#idNext;
      this.#idNext += count;
      for (let id = first; id < first + count; id += 1) this.#entries.set(id, new Entry({ table: this.#self, id }, size));
      const layout = { group: this.#groups.length, first, size, count };
      this.#groups.push({ layout, provided: [] });
      this.poolBytes += size * count;
      return layout;
    });
  }

  allocate(size: number): number {
    const entry = this.#add(size);
    this.ownBytes += size;
    return entry.id;
  }

  expose(block: Block): ArrayBuffer {
    const entry = this.#entries.get(block.id);
    if (entry === undefined) throw new RangeError(`no block ${block.id}`);
    if (block.kind === 'own') {
      entry.weakHolder = new WeakRef(block);
      owned.register(block, entry.watch);
    } else {
      this.#endWatch(entry);
      entry.holder = block;
    }
    return new ArrayBuffer(entry.size);
  }

  pin(memory: ArrayBuffer): number {
    const entry = this.#add(memory.byteLength);
    entry.holder = { memory };
    return entry.id;
  }

  unpin(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.state !== IDLE) throw new RangeError(`block ${id} cannot be unpinned`);
    this.#forget(entry);
  }

  /** The holder of a lease moved its memory away: a new one may be exposed. */
  lost(block: Block): boolean {
    const entry = this.#entries.get(block.id);
    if (entry !== undefined) this.#endWatch(entry);
    return true;
  }

  /** Other memory takes the place of the block's, while the library has it. */
  replace(block: Block, memory: ArrayBuffer): void {
    block.memory = memory;
    if (block.kind === 'pinned') this.#entries.get(block.id)!.holder = { memory };
  }

  /** The memory of a range; or the fault, when a call may not have it. */
  view(id: number, offset: number, length: number): Uint8Array | number {
    const entry = this.#entries.get(id);
    const memory = entry?.memory;
    if (entry === undefined || entry.state !== IDLE || memory === undefined || memory.detached) return FAULT_BLOCK;
    return offset + length <= entry.size ? new Uint8Array(memory, offset, length) : FAULT_RANGE;
  }

  /** A call owns the block from now on. */
  take(id: number): void {
    const entry = this.#entries.get(id)!;
    if (entry.state === BUSY) return; // several parts of one vectored call
    this.#endWatch(entry);
    entry.state = BUSY;
    this.busy += 1;
  }

  giveBack(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.state !== BUSY) return;
    entry.state = IDLE;
    this.busy -= 1;
  }

  /** Put a block into its group, if the record brings one. 0, or why not. */
  provide(group: number, id: number | undefined): number {
    const list = this.#groups[group];
    if (list === undefined) return FAULT_BLOCK;
    if (id === undefined) return 0;
    const { first, count, size } = list.layout;
    if (id < first || id >= first + count) return FAULT_BLOCK;
    const view = this.view(id, 0, size);
    if (typeof view === 'number') return view;
    const entry = this.#entries.get(id)!;
    this.#endWatch(entry);
    entry.state = PROVIDED;
    this.provided += 1;
    list.provided.push(id);
    return 0;
  }

  /** Whether a read of the group would find no block. */
  isEmpty(group: number): boolean {
    return this.#groups[group]!.provided.length === 0;
  }

  /** Take the block that is first in the group, for a read of at most `length` bytes. */
  select(group: number, length: number): { id: number; view: Uint8Array } | undefined {
    const list = this.#groups[group]!;
    const id = list.provided.shift();
    if (id === undefined) return undefined;
    const entry = this.#entries.get(id)!;
    entry.state = BUSY;
    this.provided -= 1;
    this.busy += 1;
    const wanted = length === 0 ? entry.size : Math.min(length, entry.size);
    return { id, view: new Uint8Array(entry.memory!, 0, wanted) };
  }

  /** A read that took a block and brought nothing: the block is first in its group again. */
  deselect(group: number, id: number): void {
    this.#entries.get(id)!.state = PROVIDED;
    this.busy -= 1;
    this.provided += 1;
    this.#groups[group]!.provided.unshift(id);
  }

  /** After a read was settled: if a caller holds the block's memory now, notice when nobody does any more. */
  watchLease(id: number, memory: ArrayBuffer): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.weakHolder !== undefined || entry.holder?.memory !== undefined) return;
    entry.watched = true;
    leases.register(memory, entry.watch, entry);
  }

  #endWatch(entry: Entry): void {
    if (!entry.watched) return;
    entry.watched = false;
    leases.unregister(entry);
  }

  #add(size: number): Entry {
    const entry = new Entry({ table: this.#self, id: this.#freeIds.pop() ?? this.#idNext++ }, size);
    this.#entries.set(entry.id, entry);
    return entry;
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.id);
    this.#freeIds.push(entry.id);
  }
}
