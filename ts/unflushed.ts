/**
 * What was pushed to the writers of one file or stream, and not flushed: it has memory of the pool, which must come back however the
 * resource ends. Does not refer to the writers, so that they and their resource can be collected. Who calls: writers, and
 * whoever closes the resource.
 */
import type { Parcel } from './memory/parcel.js';

export class Unflushed {
  readonly #lists = new Set<Parcel[]>();

  get isEmpty(): boolean {
    return this.#lists.size === 0;
  }

  /** A writer's list has something in it. */
  add(list: Parcel[]): void {
    this.#lists.add(list);
  }

  /** It is being written. */
  delete(list: Parcel[]): void {
    this.#lists.delete(list);
  }

  /**
   * Nothing more can be written: the pool's memory goes back. The data stay with their writer, whose `flush` is refused and gives them
   * as `rest`. `what`, where somebody is to be told that it was not flushed: what it was pushed to.
   */
  withdraw(what?: string): void {
    let bytes = 0;
    for (const list of this.#lists) {
      bytes += list.reduce((sum, { length }) => sum + length, 0);
      list.forEach((parcel, index) => {
        list[index] = parcel.withdrawn();
      });
    }
    this.#lists.clear();
    if (bytes === 0 || what === undefined) return;
    const message = `${bytes} bytes that were pushed to a writer of ${what} were not flushed before it was closed: flush() or end() the writer`;
    process.emitWarning(message, { code: 'RITSU_UNFLUSHED', type: 'RitsuWarning' });
  }
}
