/**
 * A stream as the styles read it: in the order of the reads, and at no position. Readers and writers refer to it, and so do reads that
 * wait, and it refers to the stream, which lives as long as they do. All else that is in flight refers to the channel only.
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

/** What a source needs of its stream's channel. */
export interface SourceChannel {
  readonly proactor: Proactor;
  readonly intake: Intake;
  readonly closed: boolean;
}

const landings = new WeakMap<Proactor, ChunkLanding>();

/** A landing for reads of at most so many bytes. It has nothing of its own: all streams have the same one, as long as they ask for as many. */
function landingFor(host: Proactor, length: number): ChunkLanding {
  let landing = landings.get(host);
  if (landing?.length !== length) landings.set(host, (landing = new ChunkLanding(host, length)));
  return landing;
}

export class StreamSource<Live extends SourceChannel = SourceChannel> implements ReadSource {
  /** Kept alive. */
  readonly owner: object;
  readonly channel: Live;

  constructor(owner: object, channel: Live) {
    this.owner = owner;
    this.channel = channel;
  }

  /** The same, as writers see it. */
  get target(): Live {
    return this.channel;
  }

  /** Whose turn it is to write, whichever writer's. */
  get turns(): Live {
    return this.channel;
  }

  get host(): Proactor {
    return this.channel.proactor;
  }

  get seekable(): boolean {
    return false;
  }

  get open(): boolean {
    return !this.channel.closed && this.host.open;
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
    if (pool === this.host.pool) return landingFor(this.host, length ?? LENGTH_MAX);
    return new PoolLanding(this.host, pool, length ?? pool.usual);
  }

  read(landing: Landing, plan: Plan): Deferred<Bytes | null> {
    return this.channel.intake.read(landing, plan, this);
  }

  /** Nothing is read ahead by readers: the stream does so itself. */
  prefetch(landing: Landing): Deferred<Bytes | null> {
    return this.channel.intake.read(landing, undefined, this);
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
    return this.prepend(value!.data);
  }

  /** These bytes are the next read's, a copy of them; false where there will be none. */
  prepend(bytes: Uint8Array): boolean {
    if (!this.open) return false;
    this.channel.intake.prepend(bytes);
    return true;
  }

  watch(read: Deferred<Bytes | null>, options: CancelOptions): void {
    if (!read.settled) this.host.watch(read as Operation<Bytes | null>, options);
  }
}
