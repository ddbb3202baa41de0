/** The submission page as a hostile or broken caller would fill it: records of random numbers, some of which make sense. */
import { constants } from 'node:fs';
import { Layout } from '../../dist/backend/native.js';
import { NONE, Opcode } from '../../dist/op.js';
import type { Random } from '../support/random.ts';

export const SLOTS = 256;
const WORDS = Layout.SUBMISSION_SIZE / 4;
const { O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

/** What may be named by a record that makes sense. */
export interface Known {
  readonly blocks: readonly number[];
  readonly groups: readonly number[];
  readonly descriptors: number[];
  readonly generations: Uint32Array;
  /** A slot that nothing has, if there is one. */
  freeSlot(): number | undefined;
  busySlot(): number;
}

const OPCODES = Object.values(Opcode);
/** Rare, since each waits for the disk. */
const SYNCS: ReadonlySet<number> = new Set<number>([Opcode.FSYNC, Opcode.FDATASYNC]);
const BORDERS = [0, 1, 2, 7, 8, 16, 17, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, NONE];
const NUMBERS = [0, 0, 0, 0, 0, -1, -1, -0, 1, 0.5, 512, 4096, 65_536, 100_000, -2, -4096, 1e9, 2 ** 31, 2 ** 32, 2 ** 45, 2 ** 53, 2 ** 53 + 2, 2 ** 63, 1e300, Infinity, -Infinity, NaN];
/** Never so much that the disk would fill: bytes of a FALLOCATE. */
const SMALL_NUMBERS = [4096, 4096, 4096, 0, -0, 1, 0.5, 4096, 65_536, -1, -4096, 2 ** 53 + 2, 1e300, Infinity, NaN];
/** No separator in any of them, so that no slice of the arena leaves the directory. */
const NAMES = ['a', 'a', 'a', 'b', 'b', 'directory', 'link', 'missing', '.', '', 'x'.repeat(300), 'a\0b'];
const OPEN_FLAGS = [O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND, O_RDONLY | O_DIRECT, O_DIRECTORY, O_CREAT | O_EXCL, O_NOFOLLOW];
const SEPARATOR = 0x2f;

export class FuzzPage {
  readonly words: Uint32Array;
  readonly doubles: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #random: Random;
  readonly #known: Known;
  /** Where in the arena names lie: offset and length. */
  #names: readonly (readonly [number, number])[] = [[0, 0]];

  constructor(page: ArrayBuffer, random: Random, known: Known) {
    this.words = new Uint32Array(page);
    this.doubles = new Float64Array(page);
    this.#bytes = new Uint8Array(page);
    this.#random = random;
    this.#known = known;
  }

  /** Bytes for paths and lists of parts, all over the arena. */
  fillArguments(): void {
    const random = this.#random;
    const arena = this.#bytes.subarray(Layout.ARGUMENTS, Layout.ARGUMENTS + Layout.ARGUMENTS_SIZE);
    const parts = new Uint32Array(arena.buffer, arena.byteOffset, 3 * 100);
    for (let index = 0; index < parts.length; index += 1) parts[index] = this.#word([this.#known.blocks, [0], [0, 1, 512, 4096]][index % 3]!);
    this.#names = Array.from({ length: 32 }, (_, index) => {
      const name = Buffer.from(random.pick(NAMES));
      arena.set(name, 2048 + 512 * index);
      return [2048 + 512 * index, name.length] as const;
    });
    for (let count = 0; count < 50; count += 1) arena[random.below(arena.length)] = random.bits() & 0xff;
    for (let at = 0; at < arena.length; at += 1) if (arena[at] === SEPARATOR) arena[at] = SEPARATOR + 1;
  }

  /** Bits of anything anywhere but in what is submitted next: JavaScript may write to all of the page. */
  scribble(): void {
    const first = this.#random.chance(0.5) ? 2 : Layout.COMPLETIONS / 4;
    for (let count = 0; count < 100; count += 1) this.words[first + this.#random.below(first === 2 ? 100 : 20_000)] = this.#random.bits();
  }

  writeRecord(index: number): void {
    const random = this.#random;
    const word = (Layout.SUBMISSIONS + index * Layout.SUBMISSION_SIZE) / 4;
    const makesSense = random.chance(0.6);
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
    const crowded = known.descriptors.length > 100;
    const opcode = crowded && random.chance(0.3) ? Opcode.CLOSE : random.pick(OPCODES);
    words[word] = SYNCS.has(opcode) && random.chance(0.95) ? Opcode.NOP : opcode;
    this.#writeToken(word);
    words[word + 3] = opcode === Opcode.STATX && random.chance(0.5) ? NONE : this.#word(known.descriptors);
    if (opcode === Opcode.CLOSE) words[word + 3] = known.descriptors.splice(random.below(known.descriptors.length), 1)[0] ?? NONE;
    words[word + 4] = this.#word(known.blocks);
    words[word + 5] = random.pick([0, 0, 0, 0, 0, 0, 1, 512, 4096]);
    words[word + 6] = random.pick([0, 1, 512, 4096, 4096, 4096, 5000, 65_536]);
    words[word + 7] = opcode === Opcode.OPEN ? random.pick(OPEN_FLAGS) : random.below(2);
    doubles[word / 2 + 4] = random.pick(NUMBERS);
    doubles[word / 2 + 5] = random.pick(NUMBERS);
    const isList = opcode === Opcode.READV || opcode === Opcode.WRITEV;
    const [offset, length] = isList ? [12 * random.below(50), 12 * random.below(5)] : random.pick(this.#names);
    words[word + 12] = offset;
    words[word + 13] = length;
    words[word + 14] = opcode === Opcode.CANCEL ? known.busySlot() : opcode === Opcode.OPEN ? 0o644 : this.#word(known.groups);
    words[word + 15] = opcode === Opcode.CANCEL ? known.generations[words[word + 14]! % SLOTS]! : random.below(4);
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
