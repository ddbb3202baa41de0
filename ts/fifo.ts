/**
 * A first-in, first-out queue: a ring of slots that grows when it is full, and is never emptied by moving things. One that is
 * empty has no slots.
 */
const CAPACITY_MIN = 2;
const NO_SLOTS: never[] = [];

export class Fifo<T> {
  /** Its length is a power of two, or 0. */
  #slots: (T | undefined)[] = NO_SLOTS;
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  peek(): T | undefined {
    return this.#slots[this.#head];
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    return item;
  }

  /** Take an item out of the middle; whether it was there. */
  remove(item: T): boolean {
    const items = [...this];
    const index = items.indexOf(item);
    if (index < 0) return false;
    items.splice(index, 1);
    this.#fill(items, this.#slots.length);
    return true;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.#length; index += 1) {
      yield this.#slots[(this.#head + index) & (this.#slots.length - 1)] as T;
    }
  }

  #grow(): void {
    this.#fill([...this], Math.max(CAPACITY_MIN, this.#slots.length * 2));
  }

  /** Made at its size: an array that grows by being appended to has room for a dozen more than it will ever hold. */
  #fill(items: readonly T[], capacity: number): void {
    const slots = Array.from<T | undefined>({ length: capacity });
    for (let index = 0; index < items.length; index += 1) slots[index] = items[index];
    this.#slots = slots;
    this.#head = 0;
    this.#length = items.length;
  }
}
