/** The submission page as a hostile or broken caller would fill it: records of random numbers, some of which make sense. */
import { constants } from 'node:fs';
import { Layout } from '../../dist/backend/native.js';
import { MULTISHOT, NONE, Opcode, ZERO_COPY } from '../../dist/op.js';
import type { Random } from '../support/random.ts';
import { FuzzArena } from './fuzz-arena.ts';
import type { Slice } from './fuzz-arena.ts';

export const SLOTS = 256;
const WORDS = Layout.SUBMISSION_SIZE / 4;
const { O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

export type Kind = 'file' | 'stream' | 'listener' | 'datagrams';

/** What may be named by a record that makes sense. */
export interface Known {
  readonly blocks: readonly number[];
  readonly groups: readonly number[];
  readonly descriptors: Readonly<Record<Kind, number[]>>;
  /** Addresses of the program's own sockets. */
  readonly addresses: readonly (readonly number[])[];
  readonly generations: Uint32Array;
  /** A slot that nothing has, if there is one. */
  freeSlot(): number | undefined;
  busySlot(): number;
}

/** What a record says, where it is not left to chance. */
interface Fields {
  readonly kind?: Kind;
  readonly descriptor?: number;
  readonly block?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly position?: number;
  readonly argument?: Slice;
  readonly target?: number;
  readonly options?: number;
}

const OPCODES = Object.values(Opcode);
/** Rare, since each waits for the disk. */
const SYNCS: ReadonlySet<number> = new Set<number>([Opcode.FSYNC, Opcode.FDATASYNC]);
const BORDERS = [0, 1, 2, 7, 8, 16, 17, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, NONE];
const NUMBERS = [0, 0, 0, 0, 0, -1, -1, -0, 1, 0.5, 512, 4096, 65_536, 100_000, -2, -4096, 1e9, 2 ** 31, 2 ** 32, 2 ** 45, 2 ** 53, 2 ** 53 + 2, 2 ** 63, 1e300, Infinity, -Infinity, NaN];
/** Never so much that the disk would fill: bytes of a FALLOCATE. */
const SMALL_NUMBERS = [4096, 4096, 4096, 0, -0, 1, 0.5, 4096, 65_536, -1, -4096, 2 ** 53 + 2, 1e300, Infinity, NaN];
const LENGTHS = [0, 1, 512, 4096, 4096, 4096, 5000, 65_536];
const OPEN_FLAGS = [O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND, O_RDONLY | O_DIRECT, O_DIRECTORY, O_CREAT | O_EXCL, O_NOFOLLOW];
const CROWD = 100;

export class FuzzPage {
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  readonly #arena: FuzzArena;
  readonly #random: Random;
  readonly #known: Known;

  constructor(page: ArrayBuffer, random: Random, known: Known) {
    this.words = new Uint32Array(page);
    this.doubles = new Float64Array(page);
    this.#random = random;
    this.#known = known;
    this.#arena = new FuzzArena(page, random, known.addresses);
  }

  /** Bytes for paths, addresses and lists of parts, all over the arena. */
  fillArguments(): void {
    const among = [this.#known.blocks, [0], [0, 1, 512, 4096]];
    this.#arena.fill((index) => this.#word(among[index]!));
  }

  /** Bits of anything anywhere but in what is submitted next: JavaScript may write to all of the page. */
  scribble(): void {
    const first = this.#random.chance(0.5) ? 2 : Layout.COMPLETIONS / 4;
    for (let count = 0; count < 100; count += 1) this.words[first + this.#random.below(first === 2 ? 100 : 20_000)] = this.#random.bits();
  }

  writeRecord(index: number): void {
    const random = this.#random;
    const word = (Layout.SUBMISSIONS + index * Layout.SUBMISSION_SIZE) / 4;
    const makesSense = random.chance(0.7);
    if (makesSense) this.#writeSensible(word);
    else for (let at = 0; at < WORDS; at += 1) this.words[word + at] = this.#word([]);
    const changed = makesSense ? Math.max(0, random.below(6) - 3) : 3;
    for (let count = 0; count < changed; count += 1) this.words[word + random.below(WORDS)] = this.#word([]);
    if (!makesSense && random.chance(0.7)) this.#writeToken(word);
    if (!makesSense && random.chance(0.8)) this.words[word] = random.pick(OPCODES);
    this.#tame(word);
  }

  #writeSensible(word: number): void {
    const { words, doubles } = this;
    const random = this.#random;
    const known = this.#known;
    const opcode = this.#isCrowded() && random.chance(0.3) ? Opcode.CLOSE : random.pick(OPCODES);
    const fields = this.#fields(opcode);
    words[word] = opcode;
    this.#writeToken(word);
    words[word + 3] = fields.descriptor ?? this.#word(this.#among(fields.kind ?? 'file'));
    words[word + 4] = fields.block ?? this.#word(known.blocks);
    words[word + 5] = random.pick([0, 0, 0, 0, 0, 0, 1, 512, 4096]);
    words[word + 6] = fields.length ?? random.pick(LENGTHS);
    words[word + 7] = fields.flags ?? random.below(2);
    doubles[word / 2 + 4] = fields.position ?? random.pick(NUMBERS);
    doubles[word / 2 + 5] = random.pick(NUMBERS);
    [words[word + 12], words[word + 13]] = fields.argument ?? random.pick(this.#arena.names);
    words[word + 14] = fields.target ?? this.#word(known.groups);
    words[word + 15] = fields.options ?? random.below(random.chance(0.1) ? 4 : 2);
  }

  #isCrowded(): boolean {
    return Object.values(this.#known.descriptors).some((each) => each.length > CROWD);
  }

  /** Mostly descriptors of the kind that the op is for. */
  #among(kind: Kind): readonly number[] {
    const { descriptors } = this.#known;
    return descriptors[this.#random.chance(0.8) ? kind : this.#random.pick<Kind>(['file', 'stream', 'listener', 'datagrams'])];
  }

  #fields(opcode: number): Fields {
    const random = this.#random;
    const list: Slice = [12 * random.below(50), 12 * random.below(5)];
    switch (opcode) {
      case Opcode.OPEN:
        return { flags: random.pick(OPEN_FLAGS), target: 0o644 };
      case Opcode.CLOSE:
        return { descriptor: this.#closing() };
      case Opcode.STATX:
        return { ...(random.chance(0.5) && { descriptor: NONE }) };
      case Opcode.READV:
      case Opcode.WRITEV:
        return { argument: list };
      case Opcode.READ_MANY:
        return this.#places();
      case Opcode.CANCEL:
        return this.#cancel();
      default:
        return this.#socketFields(opcode);
    }
  }

  #socketFields(opcode: number): Fields {
    const random = this.#random;
    const arena = this.#arena;
    const block = random.chance(0.5) ? NONE : this.#word(this.#known.blocks);
    const multishot = random.chance(0.5) ? { flags: MULTISHOT, length: 0, position: -1 } : { flags: 0 };
    switch (opcode) {
      case Opcode.READ_SELECT:
        return { kind: random.pick(['file', 'stream']), block, ...multishot };
      case Opcode.RECEIVE_SELECT:
        return { kind: 'stream', block, ...multishot };
      case Opcode.ACCEPT:
        return { kind: 'listener', flags: random.pick([0, MULTISHOT]) };
      case Opcode.CONNECT:
        return { argument: random.pick(arena.pairs), flags: 0 };
      case Opcode.BIND:
        return { argument: random.pick(arena.pairs), flags: random.below(8) };
      case Opcode.LISTEN:
        return { argument: random.pick(arena.plains), flags: random.below(4), target: random.pick([0, 1, 16, 128, 0x7fff_ffff]) };
      case Opcode.RECEIVE_MESSAGE:
        return { kind: random.pick(['datagrams', 'stream']) };
      case Opcode.SEND:
        return { kind: 'stream', flags: random.pick([0, 1, ZERO_COPY, ZERO_COPY | 1]) };
      case Opcode.SEND_MESSAGE:
        return { kind: random.pick(['datagrams', 'stream']), argument: random.pick(arena.messages) };
      case Opcode.SHUTDOWN:
        return { kind: 'stream', target: random.below(4) };
      case Opcode.POLL:
        return { kind: random.pick(['file', 'stream', 'listener', 'datagrams']), target: random.chance(0.7) ? random.below(64) : random.bits() };
      default:
        return {};
    }
  }

  /** What is closed is not named again, or it would be refused nearly always; but sometimes it is. */
  #closing(): number {
    const among = Object.values(this.#known.descriptors).toSorted((one, other) => other.length - one.length)[this.#random.chance(0.7) ? 0 : 1]!;
    if (this.#random.chance(0.1)) return this.#word(among);
    return among.splice(this.#random.below(among.length), 1)[0] ?? NONE;
  }

  /** Mostly a share for each place. */
  #places(): Fields {
    const argument = this.#random.pick(this.#arena.places);
    const share = this.#random.pick([0, 1, 16, 256]);
    return { argument, ...(this.#random.chance(0.9) && { length: share * (argument[1] / Float64Array.BYTES_PER_ELEMENT) }) };
  }

  #cancel(): Fields {
    const target = this.#known.busySlot();
    return { target, options: this.#known.generations[target]! };
  }

  #writeToken(word: number): void {
    const slot = this.#known.freeSlot() ?? this.#random.below(SLOTS);
    this.words[word + 1] = slot;
    this.words[word + 2] = this.#known.generations[slot]!;
  }

  /** What would fill the disk or wait for it too often. */
  #tame(word: number): void {
    if (this.words[word] === Opcode.FALLOCATE) this.doubles[word / 2 + 5] = this.#random.pick(SMALL_NUMBERS);
    if (SYNCS.has(this.words[word]!) && this.#random.chance(0.95)) this.words[word] = Opcode.NOP;
  }

  #word(among: readonly number[]): number {
    const random = this.#random;
    if (among.length > 0 && random.chance(0.9)) return random.pick(among);
    return random.chance(0.7) ? random.pick(BORDERS) : random.bits();
  }
}
