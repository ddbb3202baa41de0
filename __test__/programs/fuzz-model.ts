/**
 * What must become of random records: those whose slot is free and whose generation is right are answered, each with one
 * final completion, whatever else they say. What they open is known, and so are the flags that an answer may carry.
 */
import { Layout } from '../../dist/backend/native.js';
import { MORE, MULTISHOT, NONE, OPCODE_NAMES, Opcode, REFUSED, SELECTED, ZERO_COPY } from '../../dist/op.js';
import { SLOTS } from './fuzz-page.ts';
import type { FuzzPage, Kind } from './fuzz-page.ts';
import { ensure } from './report.ts';

/** Stands for every opcode that is none. */
const UNKNOWN = 1000;
const EBADF = -9;
/** They have no slot, and so no answer. */
const SILENT: ReadonlySet<number> = new Set<number>([Opcode.CANCEL, Opcode.PROVIDE]);
const MULTISHOTS: ReadonlySet<number> = new Set<number>([Opcode.ACCEPT, Opcode.RECEIVE_SELECT, Opcode.READ_SELECT]);
const KINDS: Readonly<Record<number, Kind>> = {
  [Opcode.OPEN]: 'file', [Opcode.CONNECT]: 'stream', [Opcode.ACCEPT]: 'stream', [Opcode.LISTEN]: 'listener', [Opcode.BIND]: 'datagrams',
};
const STATUS_BYTES = 160;
const ADDRESS_BYTES = 128;

export interface Answer {
  readonly opcode: number;
  readonly result: number;
  /** What was opened. */
  readonly value: number;
  readonly isFinal: boolean;
}

interface Waiting {
  readonly opcode: number;
  readonly flags: number;
  readonly descriptor: number;
  readonly group: number;
}

export class FuzzModel {
  readonly generations = new Uint32Array(SLOTS);
  readonly descriptors: Record<Kind, number[]> = { file: [], stream: [], listener: [], datagrams: [] };
  /** Every descriptor that was opened and not seen to be closed. */
  readonly open = new Set<number>();
  /** How often each opcode was answered well, and each answer otherwise. */
  readonly good: Record<string, number> = {};
  readonly bad: Record<string, number> = {};
  busy = 0;
  answered = 0;
  more = 0;
  selected = 0;
  readonly #slots: (Waiting | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  /** Blocks of each group. */
  readonly #groups: ReadonlyMap<number, ReadonlySet<number>>;

  constructor(groups: ReadonlyMap<number, ReadonlySet<number>>) {
    this.#groups = groups;
  }

  isFree(slot: number): boolean {
    return this.#slots[slot] === undefined;
  }

  /** The model's half of a submission: Rust takes the records in this order. */
  expect({ words }: FuzzPage, claimed: number): void {
    for (let index = 0; index < Math.min(claimed, Layout.SUBMISSION_COUNT); index += 1) {
      const word = (Layout.SUBMISSIONS + index * Layout.SUBMISSION_SIZE) / 4;
      const [opcode, slot, generation, descriptor] = words.subarray(word, word + 4) as unknown as [number, number, number, number];
      if (SILENT.has(opcode) || slot >= SLOTS || !this.isFree(slot) || this.generations[slot] !== generation) continue;
      this.#slots[slot] = { opcode: Math.min(opcode, UNKNOWN), flags: words[word + 7]!, descriptor, group: words[word + 14]! };
      this.busy += 1;
    }
  }

  /** Checks the completion at this word, and takes it in. */
  take({ words, doubles }: FuzzPage, word: number): Answer {
    const [slot, generation, rawResult, flags, block, extra] = words.subarray(word, word + 6) as unknown as [number, number, number, number, number, number];
    const result = rawResult | 0;
    const waiting = this.#slots[slot];
    ensure(slot < SLOTS && waiting !== undefined && this.generations[slot] === generation, `nobody waits for ${slot}/${generation}`);
    const { opcode } = waiting;
    const what = `${OPCODE_NAMES[opcode]} answered ${result} with flags ${flags}`;
    ensure(flags < 8, what);
    // A no-op may carry whatever result it shall have.
    ensure(opcode === Opcode.NOP || result >= -4095 || (result >= -10_006 && result <= -10_001), what);
    // Below -10000 the boundary speaks, and then the kernel has seen nothing; the core may refuse with an errno, too.
    if (opcode !== Opcode.NOP && result < -4095) ensure((flags & REFUSED) !== 0, what);
    if ((flags & REFUSED) !== 0) ensure(result < 0 && flags === REFUSED, what);
    if ((flags & MORE) !== 0) ensure(mayGoOn(waiting), what);
    this.#checkBlock(waiting, flags, block, what);
    if (opcode === Opcode.STATX && result === 0) ensure(extra + STATUS_BYTES <= Layout.RESULTS_SIZE, `${what}: a status beyond the arena`);
    if (opcode === Opcode.RECEIVE_MESSAGE && result >= 0) this.#checkAddress(words, extra, what);
    const value = doubles[word / 2 + 3]!;
    if (opcode === Opcode.READ_MANY && result >= 0) this.#checkCounts(doubles, extra, value, result, what);
    if (KINDS[opcode] !== undefined && result === 0) this.#opened(KINDS[opcode], value, extra, what);
    if (opcode === Opcode.CLOSE && result !== EBADF && (flags & REFUSED) === 0) this.open.delete(waiting.descriptor);
    this.#count(opcode, result);
    const isFinal = (flags & MORE) === 0;
    if (isFinal) this.#free(slot);
    else this.more += 1;
    return { opcode, result, value, isFinal };
  }

  #checkBlock(waiting: Waiting, flags: number, block: number, what: string): void {
    if ((flags & SELECTED) === 0) {
      ensure(block === NONE, `${what}: block ${block}`);
      return;
    }
    this.selected += 1;
    const isSelect = waiting.opcode === Opcode.READ_SELECT || waiting.opcode === Opcode.RECEIVE_SELECT;
    ensure(isSelect && this.#groups.get(waiting.group)?.has(block) === true, `${what}: block ${block} of group ${waiting.group}`);
  }

  #checkCounts(doubles: Float64Array, extra: number, count: number, result: number, what: string): void {
    ensure(count > 0 && count <= 1024 && extra % 8 === 0 && extra + 8 * count <= Layout.RESULTS_SIZE, `${what}: counts beyond the arena`);
    const counts = doubles.subarray((Layout.RESULTS + extra) / 8).subarray(0, count);
    ensure(counts.every((each) => each >= 0) && counts.reduce((sum, each) => sum + each, 0) === result, `${what}: ${counts.join()}`);
  }

  #checkAddress(words: Uint32Array, extra: number, what: string): void {
    ensure(extra % 8 === 0 && extra + ADDRESS_BYTES <= Layout.RESULTS_SIZE, `${what}: an address beyond the arena`);
    ensure(words[(Layout.RESULTS + extra) / 4]! <= ADDRESS_BYTES - 4, `${what}: an address too long`);
  }

  #opened(kind: Kind, value: number, fd: number, what: string): void {
    ensure(!this.open.has(value), `${what}: descriptor ${value} is open`);
    ensure(fd > 2 && fd < 2 ** 20, `${what}: fd ${fd}`);
    this.open.add(value);
    this.descriptors[kind].push(value);
  }

  #count(opcode: number, result: number): void {
    const [counts, kind] = result >= 0 ? [this.good, OPCODE_NAMES[opcode]!] : [this.bad, opcode === Opcode.NOP ? 'NOP' : String(result)];
    counts[kind] = (counts[kind] ?? 0) + 1;
    this.answered += 1;
  }

  #free(slot: number): void {
    this.#slots[slot] = undefined;
    this.generations[slot] = (this.generations[slot]! + 1) & 0xff_ffff;
    this.busy -= 1;
  }
}

function mayGoOn({ opcode, flags }: Waiting): boolean {
  return opcode === Opcode.SEND ? (flags & ZERO_COPY) !== 0 : MULTISHOTS.has(opcode) && flags === MULTISHOT;
}
