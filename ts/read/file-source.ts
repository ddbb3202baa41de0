/** A file as the styles read it: at a position, or in order through the file's one sequence. */
import { refusal } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import type { Bytes } from '../memory/bytes.js';
import { PoolLanding } from '../memory/pool.js';
import type { BufferPool } from '../memory/pool.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import type { Deferred } from '../deferred.js';
import { closedError, systemError } from '../errors.js';
import type { RitsuError } from '../errors.js';
import { Opcode, Operation, QUEUED } from '../op.js';
import type { Completion, EndOptions, Failure } from '../op.js';
import type { Proactor } from '../proactor.js';
import { isSeekable, statOperation } from '../stat.js';
import { ManyRead } from './many.js';
import type { Places } from './many.js';
import { planOf } from './read.js';
import type { Plan } from './read.js';
import type { SequentialRead } from './sequential-read.js';
import { Sequence } from './source.js';
import type { ReadOptions, ReadSource, SequenceHost } from './source.js';
import type { Timers } from '../timers.js';

const ESPIPE = -29;

/** What a source needs of its file. */
export interface SourceFile {
  readonly closed: boolean;
}

/** How its reads are done. */
export interface FileReads {
  readonly descriptor: number;
  readonly direct: boolean;
  /** Option bits. */
  readonly options: number;
}

/** A read whose result is its reader's as soon as it is there. */
export function land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
  return operation.landing!.land(operation, completion);
}

export class FileSource implements ReadSource, SequenceHost {
  readonly host: Proactor;
  readonly #file: SourceFile;
  readonly #descriptor: number;
  readonly #direct: boolean;
  readonly #options: number;
  readonly #sequence = new Sequence(this);
  #ended = false;

  constructor(file: SourceFile, host: Proactor, { descriptor, direct, options }: FileReads) {
    this.#file = file;
    this.host = host;
    this.#descriptor = descriptor;
    this.#direct = direct;
    this.#options = options;
  }

  get open(): boolean {
    return !this.#ended && !this.host.ended;
  }

  get timers(): Timers {
    return this.host.timers;
  }

  get seekable(): boolean {
    return this.#sequence.seekable;
  }

  /** Where the next sequential read begins; undefined while some are under way. */
  get position(): number | undefined {
    return this.#sequence.position;
  }

  set position(position: number) {
    this.#sequence.position = position;
  }

  plan(options: ReadOptions | undefined): Plan {
    const plan = planOf(options);
    const refused = refusal(plan, 'read', !this.#file.closed && this.host.open);
    if (refused !== undefined) throw refused;
    return plan;
  }

  read(landing: Landing, plan: Plan): Deferred<Bytes | null> {
    if (plan.position === undefined) return this.#sequence.read(landing, plan, true);
    return this.begin(landing, plan.position, plan, land);
  }

  readPlaces(landing: Landing, places: Places, plan: Plan): Deferred<Bytes | null> {
    const many = new ManyRead(this.host, places);
    this.#prepare(many, landing, places.positions[0]!, plan);
    if (!many.settled) this.#sequence.whenKnown(() => this.#armMany(many, landing));
    return many;
  }

  pooled(pool: BufferPool, length: number | undefined): Landing {
    return new PoolLanding(this.host, pool, length ?? pool.usual);
  }

  prefetch(landing: Landing): Deferred<Bytes | null> {
    return this.#sequence.read(landing, undefined, false);
  }

  claim(read: Deferred<Bytes | null>): void {
    this.#sequence.claim(read as SequentialRead);
  }

  drop(reads: readonly Deferred<Bytes | null>[]): void {
    this.#sequence.drop(reads as readonly SequentialRead[]);
    // What waits for memory does so for nobody.
    for (const { operation } of reads as readonly SequentialRead[]) if (operation?.slot === QUEUED) this.host.cancel(operation, 'closed');
  }

  /** In flight where there are no positions, its bytes could not be put back: there its own completion decides. */
  giveUp(read: Deferred<Bytes | null>): void {
    const { operation, position } = read as SequentialRead;
    if (operation === undefined || position >= 0) this.drop([read]);
    if (operation !== undefined) this.host.cancel(operation, 'closed');
  }

  giveBack(read: Deferred<Bytes | null>): boolean {
    return !this.#file.closed && this.#sequence.rewind(read as SequentialRead);
  }

  watch(read: Deferred<Bytes | null>, options: CancelOptions): void {
    if (!(read instanceof Operation)) this.#sequence.watch(read as SequentialRead, options);
    else if (!read.settled) this.host.watch(read, options);
  }

  begin(
    landing: Landing,
    position: number,
    options: CancelOptions | undefined,
    finish: ReadOperation['finish'],
  ): ReadOperation {
    const operation = new Operation<Bytes | null>(Opcode.READ, finish);
    this.#prepare(operation, landing, position, options);
    if (!operation.settled) this.#arm(operation, landing);
    return operation;
  }

  /** What it is to do, and what ends it. */
  #prepare(operation: ReadOperation, landing: Landing, position: number, options: CancelOptions | undefined): void {
    operation.landing = landing;
    operation.descriptor = this.#descriptor;
    if (this.#direct) operation.direct = true;
    if (this.#options !== 0) operation.options = this.#options;
    operation.length = landing.length;
    operation.position = position;
    if (this.#ended) operation.refuse(() => closedError('read'));
    else this.host.watch(operation, options);
  }

  #arm(operation: ReadOperation, landing: Landing): void {
    try {
      landing.arm(operation);
    } catch (error) {
      operation.refuse(() => error as Error); // no memory to be had
    }
  }

  end(operation: ReadOperation, cause: 'abort' | 'timeout', options: EndOptions): void {
    this.host.end(operation, cause, options);
  }

  probeSeekable(): Operation<boolean> {
    const operation = statOperation(this.host.backend, isSeekable);
    operation.descriptor = this.#descriptor;
    return this.host.submit(operation);
  }

  /** What has no positions (a FIFO) would give each of the reads whatever comes. */
  #armMany(many: ManyRead, landing: Landing): void {
    if (many.settled) return;
    if (this.seekable) this.#arm(many, landing);
    else many.refuse(() => (this.host.open ? systemError(ESPIPE, 'read') : closedError('read')));
  }

  /** The file is being closed: what waits is refused, what was begun is finished. */
  async refuse(): Promise<void> {
    const failure = (): RitsuError => closedError('read');
    await this.#sequence.begun();
    this.#ended = true;
    this.#sequence.refuse(failure);
    this.host.refuseWaiting(this.#descriptor, failure);
  }
}
