/**
 * The argument arena as a hostile or broken caller would fill it: names, lists of parts, addresses and messages, most of
 * them nearly right. Whatever is cut out of it by whatever record stays where it belongs: no name has a separator, so that
 * it stays in the working directory, and no bytes can be read as an internet address that is not this process's own.
 */
import { Layout } from '../../dist/backend/native.js';
import type { Random } from '../support/random.ts';

/** Offset and length in the arena. */
export type Slice = readonly [offset: number, length: number];

const LISTS = { at: 0, words: 300 };
const STEP = 512;
const COUNT = 24;
const NAMES_AT = 2048;
const PAIRS_AT = NAMES_AT + STEP * COUNT;
const PLAINS_AT = PAIRS_AT + STEP * COUNT;
const MESSAGES_AT = PLAINS_AT + STEP * COUNT;
const PLACES_AT = MESSAGES_AT + STEP * COUNT;
const PLACES = [0, 1, 512, 4096, 65_535, 65_536, 2 ** 53, 2 ** 53 - 1, -1, 0.5, Number.NaN];
const HEADER_BYTES = 8;
const SEPARATOR = 0x2f;
const FAMILIES = [0, 1, 1, 2, 4, 4, 6, 6, 10, 255];
const NAMES = ['a', 'a', 'a', 'b', 'b', 'directory', 'link', 'missing', 'fifo', '.', '', 'x'.repeat(300), 'a\0b'];
const SOCKET_NAMES = ['u1', 'u2', 'u3', 'u4', `\0ritsu-fuzz-${process.pid}-1`, `\0ritsu-fuzz-${process.pid}-2`, '', 'a', 'u'.repeat(108), 'u'.repeat(109), 'u\0x'];
/** All of 127/8 is this machine: an address that no other test listens at. */
const HOST_4 = [127, 1 + (process.pid % 250), (process.pid >> 8) & 0xff, 1];
const HOST_6 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/** An address as the page carries it. */
export function encoded(family: number, port: number, body: readonly number[]): number[] {
  return [family, 0, port & 0xff, port >> 8, 0, 0, 0, 0, ...body];
}

export class FuzzArena {
  /** Where names lie, pairs of addresses with their lengths, single addresses, messages, and places in a file. */
  names: readonly Slice[] = [[0, 0]];
  pairs: readonly Slice[] = [[0, 0]];
  plains: readonly Slice[] = [[0, 0]];
  messages: readonly Slice[] = [[0, 0]];
  places: readonly Slice[] = [[0, 0]];
  readonly #arena: Uint8Array;
  readonly #random: Random;
  /** Addresses at which the program's own sockets are. */
  readonly #own: readonly (readonly number[])[];

  constructor(page: ArrayBuffer, random: Random, own: readonly (readonly number[])[]) {
    this.#arena = new Uint8Array(page, Layout.ARGUMENTS, Layout.ARGUMENTS_SIZE);
    this.#random = random;
    this.#own = own;
  }

  fill(part: (index: number) => number): void {
    const random = this.#random;
    const arena = this.#arena;
    const words = new Uint32Array(arena.buffer, arena.byteOffset + LISTS.at, LISTS.words);
    for (let index = 0; index < words.length; index += 1) words[index] = part(index % 3);
    this.names = this.#rows(NAMES_AT, () => [...Buffer.from(random.pick(NAMES))]);
    this.pairs = this.#rows(PAIRS_AT, () => [...this.#measured(), ...(random.chance(0.3) ? this.#measured() : [])]);
    this.plains = this.#rows(PLAINS_AT, () => this.#address());
    this.messages = this.#rows(MESSAGES_AT, () => this.#message(part));
    this.places = this.#rows(PLACES_AT, () => this.#list());
    for (let count = 0; count < 50; count += 1) arena[random.below(arena.length)] = random.bits() & 0xff;
    for (let at = 0; at < arena.length; at += 1) if (arena[at] === SEPARATOR) arena[at] = SEPARATOR + 1;
    this.#keepHome();
  }

  #rows(from: number, make: () => readonly number[]): Slice[] {
    const random = this.#random;
    return Array.from({ length: COUNT }, (_, index) => {
      const bytes = make();
      this.#arena.set(bytes, from + STEP * index);
      const wrong = random.chance(0.05) ? random.pick([-1, 1, 4, 12]) : 0;
      return [from + STEP * index, Math.max(0, bytes.length + wrong)] as const;
    });
  }

  /** An address, mostly right. */
  #address(): number[] {
    const random = this.#random;
    const bytes = [...this.#well()];
    if (random.chance(0.1)) bytes[0] = random.pick(FAMILIES);
    if (random.chance(0.03)) bytes[1] = 1;
    if (random.chance(0.1)) bytes[4] = random.below(3);
    if (random.chance(0.05)) bytes.length = random.below(bytes.length);
    return bytes;
  }

  #well(): readonly number[] {
    const random = this.#random;
    if (this.#own.length > 0 && random.chance(0.5)) return random.pick(this.#own);
    const kind = random.below(4);
    if (kind === 0) return encoded(6, 0, HOST_6);
    if (kind === 1) return encoded(1, 0, [...Buffer.from(random.pick(SOCKET_NAMES))]);
    return encoded(4, 0, HOST_4);
  }

  #measured(): number[] {
    const bytes = this.#address();
    const length = this.#random.chance(0.03) ? this.#random.bits() & 0xffff : bytes.length;
    return [length & 0xff, length >> 8, ...bytes];
  }

  #message(part: (index: number) => number): number[] {
    const random = this.#random;
    const address = random.chance(0.5) ? [] : this.#address();
    const length = random.chance(0.03) ? random.bits() : address.length;
    const words = (word: number): number[] => [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24];
    const padding = Array.from({ length: (4 - (address.length % 4)) % 4 }, () => 0);
    const parts = Array.from({ length: 3 * random.below(4) }, (_, index) => words(part(index % 3)));
    return [...words(length), ...address, ...padding, ...parts.flat()];
  }

  #list(): number[] {
    const random = this.#random;
    const among = random.chance(0.8) ? PLACES.slice(0, 6) : PLACES;
    const places = Float64Array.from({ length: random.chance(0.1) ? 0 : 1 + random.below(16) }, () => random.pick(among));
    return [...new Uint8Array(places.buffer)];
  }

  /** Wherever an internet address could be read, it is one of ours, or is made to be none. */
  #keepHome(): void {
    const arena = this.#arena;
    const isOwn = (at: number, size: number): boolean =>
      this.#own.some((address) => address.length === HEADER_BYTES + size && [2, 3].every((index) => arena[at + index] === address[index]));
    const isHome = (at: number, body: readonly number[]): boolean =>
      body.every((byte, index) => arena[at + HEADER_BYTES + index] === byte) &&
      ((arena[at + 2] === 0 && arena[at + 3] === 0) || isOwn(at, body.length));
    for (let at = 0; at < arena.length; at += 1) {
      if (arena[at + 1] !== 0) continue;
      if (arena[at] === 4 && !isHome(at, HOST_4)) arena[at] = 5;
      if (arena[at] === 6 && !isHome(at, HOST_6)) arena[at] = 5;
    }
  }
}
