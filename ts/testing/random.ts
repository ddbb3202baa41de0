/** Random numbers that a seed repeats (mulberry32, begun from the FNV-1a hash of the seed's text). */
import { randomBytes } from 'node:crypto';

export class Random {
  #state = 0x811c9dc5;

  constructor(seed: string) {
    for (const byte of Buffer.from(seed)) this.#state = Math.imul(this.#state ^ byte, 0x01000193) >>> 0;
  }

  /** 32 random bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor((this.bits() / 2 ** 32) * limit);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.bits() < probability * 2 ** 32;
  }

  /** A part of `most`, at least 1, with this probability; else all of it. Small parts are as likely as large ones. */
  part(most: number, probability: number): number {
    if (most <= 1 || !this.chance(probability)) return most;
    return 1 + this.below(this.chance(0.5) ? most : Math.min(most, 16));
  }
}

/** A seed that was not used before. */
export function freshSeed(): string {
  return randomBytes(4).toString('hex');
}
