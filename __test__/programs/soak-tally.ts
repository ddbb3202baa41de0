/** What a soak is made of: bytes that follow from their position, counters, findings, and limits drawn from the seed. */
import type { CancelOptions } from 'ritsu';
import { Random } from '../support/random.ts';

/** A prime: no block, page or segment is a multiple of it, so a byte in the wrong place always shows. */
const PERIOD = 65_537;
const MARGIN = 2 ** 20;
const table = Buffer.alloc(PERIOD + MARGIN);
const source = new Random(0x50a4);
for (let index = 0; index < PERIOD; index += 1) table[index] = source.bits();
for (let index = PERIOD; index < table.length; index += 1) table[index] = table[index - PERIOD]!;

/** The bytes of one stream or file: each is a function of its position. */
export class Pattern {
  readonly #shift: number;

  constructor(key: number) {
    this.#shift = key % PERIOD;
  }

  /** At most 1 MiB. */
  at(position: number, length: number): Buffer {
    const first = (position + this.#shift) % PERIOD;
    return table.subarray(first, first + length);
  }

  holds(data: Uint8Array, position: number): boolean {
    return this.at(position, data.length).equals(data);
  }
}

/** How work may end when it is aborted, or when the other side went away. */
const EXPECTED = new Set(['ABORT_ERR', 'ERR_RITSU_TIMEOUT', 'ECONNRESET', 'EPIPE', 'ERR_RITSU_CLOSED', 'ENOTCONN']);

export class Tally {
  readonly counts: Record<string, number> = { verifiedBytes: 0, lostBytes: 0, leases: 0, switches: 0, aborted: 0 };
  readonly findings: string[] = [];

  add(name: string, count = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + count;
  }

  find(what: string, error?: unknown): void {
    if (this.findings.length < 20) this.findings.push(error instanceof Error ? `${what}: ${error.stack}` : what);
  }

  /** Whether it was the end of an operation only, and not of what it works on. */
  isAborted(error: unknown): boolean {
    const { name } = error as Error;
    const ended = name === 'AbortError' || name === 'TimeoutError';
    if (ended) this.add('aborted');
    return ended;
  }

  /** Of something that may be torn down at any time. */
  expected(what: string, error: unknown): void {
    if (!EXPECTED.has((error as NodeJS.ErrnoException).code ?? '')) this.find(what, error);
  }

  verify(what: string, pattern: Pattern, data: Uint8Array, position: number): void {
    if (pattern.holds(data, position)) this.add('verifiedBytes', data.length);
    else this.find(`${what}: wrong bytes at ${position}, length ${data.length}`);
  }
}

/** Most work has no limit; else a signal or a timeout, with or without `prompt`. */
export function limits(random: Random): CancelOptions {
  const kind = random.below(10);
  if (kind > 3) return {};
  const prompt = random.chance(0.4);
  if (kind === 0) return { timeout: random.below(8), prompt };
  const abort = new AbortController();
  if (kind === 1) setImmediate(() => abort.abort());
  else if (kind === 2) queueMicrotask(() => abort.abort());
  else setTimeout(() => abort.abort(), random.below(10));
  return { signal: abort.signal, prompt };
}

export const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
