/**
 * A stream as the styles read it: in the order of the reads, and at no position. Readers refer to it, and it refers to
 * the stream, so that a stream lives as long as its readers; what is in flight refers to the `Intake` only.
 */
import { refusal } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import type { Deferred } from '../deferred.js';
import { argumentValueError } from '../errors.js';
import type { Bytes } from '../memory/bytes.js';
import { PoolLanding } from '../memory/pool.js';
import type { BufferPool } from '../memory/pool.js';
import type { Landing } from '../memory/size-class.js';
import { LENGTH_MAX } from '../op.js';
import type { Operation } from '../op.js';
import type { Proactor } from '../proactor.js';
import type { Intake } from './intake.js';
import { planOf } from './read.js';
import type { Plan } from './read.js';
import type { ReadOptions, ReadSource } from './source.js';
import { ChunkLanding } from './stream-read.js';

/** What a source needs of its stream. */
export interface SourceStream {
  readonly proactor: Proactor;
  readonly intake: Intake;
  readonly closed: boolean;
}

const unlimitedLandings = new WeakMap<Proactor, ChunkLanding>();

/** The landing of reads that take whatever comes: one for all streams, since it has nothing of its own. */
function unlimited(host: Proactor): ChunkLanding {
  let landing = unlimitedLandings.get(host);
  if (landing === undefined) unlimitedLandings.set(host, (landing = new ChunkLanding(host, LENGTH_MAX)));
  return landing;
}

export class StreamSource implements ReadSource {
  /** Kept alive. */
  readonly owner: object;
  readonly #stream: SourceStream;

  constructor(owner: object, stream: SourceStream) {
    this.owner = owner;
    this.#stream = stream;
  }

  get host(): Proactor {
    return this.#stream.proactor;
  }

  get seekable(): boolean {
    return false;
  }

  get open(): boolean {
    return !this.#stream.closed && this.host.open;
  }

  plan(options: ReadOptions | undefined): Plan {
    const plan = planOf(options);
    if (plan.position !== undefined) {
      throw argumentValueError('options.position', 'must not be given: a stream has no positions', plan.position);
    }
    const refused = refusal(plan, 'read', this.open);
    if (refused !== undefined) throw refused;
    return plan;
  }

  /** Memory that the library picks is a block of the streams' group, chosen when bytes come; of another pool, before. */
  pooled(pool: BufferPool, length: number | undefined): Landing {
    if (pool === this.host.pool) return length === undefined ? unlimited(this.host) : new ChunkLanding(this.host, length);
    return new PoolLanding(this.host, pool, length ?? pool.usual);
  }

  read(landing: Landing, plan: Plan): Deferred<Bytes | null> {
    return this.#stream.intake.read(landing, plan, this);
  }

  /** Nothing is read ahead by readers: the stream does so itself. */
  prefetch(landing: Landing): Deferred<Bytes | null> {
    return this.#stream.intake.read(landing, undefined, this);
  }

  claim(): void {
    // Every read is somebody's.
  }

  drop(): void {
    // None is left.
  }

  /** Its promise rejects at once, so that bytes which come all the same have no owner, and are stashed in their place. */
  giveUp(read: Deferred<Bytes | null>): void {
    this.host.end(read as Operation<Bytes | null>, 'closed', { reason: undefined, prompt: true });
  }

  giveBack({ value }: Deferred<Bytes | null>): boolean {
    if (!this.open) return false;
    this.#stream.intake.prepend(value!.data);
    return true;
  }

  watch(read: Deferred<Bytes | null>, options: CancelOptions): void {
    if (!read.settled) this.host.watch(read as Operation<Bytes | null>, options);
  }
}
