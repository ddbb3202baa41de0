/**
 * A UDP socket as the styles read it: one read, one datagram, in the order of the calls. Readers refer to it, and it to
 * the socket, so that a socket lives as long as its readers; how datagrams come: `datagram-queue.ts`.
 */
import { refusal } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { Deferred } from '../deferred.js';
import { argumentValueError } from '../errors.js';
import type { Bytes } from '../memory/bytes.js';
import { PoolLanding } from '../memory/pool.js';
import type { BufferPool } from '../memory/pool.js';
import type { Landing } from '../memory/size-class.js';
import type { Proactor } from '../proactor.js';
import { planOf } from '../read/read.js';
import type { Plan } from '../read/read.js';
import type { ReadOptions, ReadSource } from '../read/source.js';
import { DatagramRead } from './datagram-queue.js';
import type { DatagramQueue } from './datagram-queue.js';

export class DatagramSource implements ReadSource {
  readonly host: Proactor;
  readonly seekable = false;
  readonly endless = true;
  readonly #owner: object;
  readonly #queue: DatagramQueue;

  constructor(owner: object, queue: DatagramQueue) {
    this.host = queue.host;
    this.#owner = owner;
    this.#queue = queue;
  }

  get open(): boolean {
    return this.#queue.open;
  }

  plan(options: ReadOptions | undefined): Plan {
    const plan = planOf(options);
    if (plan.position !== undefined) {
      throw argumentValueError('options.position', 'must not be given: a socket has no positions', plan.position);
    }
    const refused = refusal(plan, 'recvmsg', this.open);
    if (refused !== undefined) throw refused;
    return plan;
  }

  pooled(pool: BufferPool, length: number | undefined): Landing {
    return new PoolLanding(this.host, pool, length ?? pool.usual);
  }

  read(landing: Landing, plan: Plan): Deferred<Bytes | null> {
    return this.#queue.push(new DatagramRead(this.#queue, landing, this.#owner), plan);
  }

  prefetch(landing: Landing): Deferred<Bytes | null> {
    return this.#queue.push(new DatagramRead(this.#queue, landing, this.#owner), undefined);
  }

  claim(): void {
    // Every read is somebody's: nothing is read ahead.
  }

  drop(): void {
    // None is left.
  }

  /** Its promise rejects at once, so that a datagram which comes all the same is kept for the next one. */
  giveUp(read: Deferred<Bytes | null>): void {
    this.host.end(read as DatagramRead, 'closed', { reason: undefined, prompt: true });
  }

  giveBack({ value }: Deferred<Bytes | null>): boolean {
    return this.#queue.prepend(value!);
  }

  watch(read: Deferred<Bytes | null>, options: CancelOptions): void {
    if (!read.settled) this.host.watch(read as DatagramRead, options);
  }

  /** At least one datagram, and what else is there, up to `count`. */
  readMany(landing: Landing, count: number, plan: Plan): Promise<Bytes[]> {
    const read = new DatagramRead(this.#queue, landing, this.#owner);
    const batch = new Deferred<Bytes[]>();
    read.count = count;
    read.batch = batch;
    this.#queue.push(read, plan);
    return batch.promise;
  }
}
