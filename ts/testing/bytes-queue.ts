/** Bytes in a buffer of the simulated kernel: first in, first out, up to a capacity. */
export class BytesQueue {
  capacity: number;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get length(): number {
    return this.#length;
  }

  get room(): number {
    return Math.max(0, this.capacity - this.#length);
  }

  /** Copies them. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes.slice());
    this.#length += bytes.length;
  }

  /** Fill the view as far as there are bytes; how many. */
  take(into: Uint8Array): number {
    let taken = 0;
    while (taken < into.length && this.#chunks.length > 0) {
      const first = this.#chunks[0]!;
      const part = first.subarray(0, into.length - taken);
      into.set(part, taken);
      taken += part.length;
      if (part.length === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(part.length);
    }
    this.#length -= taken;
    return taken;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#length = 0;
  }
}

/** At most `most` bytes of several views, from `skip` on, one view after the other. */
export function rangeOf(views: readonly Uint8Array[], skip: number, most: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let left = most;
  let from = skip;
  for (const view of views) {
    if (left <= 0) break;
    const part = view.subarray(Math.min(from, view.length), from + left);
    from = Math.max(0, from - view.length);
    left -= part.length;
    if (part.length > 0) parts.push(part);
  }
  return parts;
}

export function totalOf(views: readonly Uint8Array[]): number {
  return views.reduce((sum, { length }) => sum + length, 0);
}
