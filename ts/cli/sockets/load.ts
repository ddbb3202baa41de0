/** The load on a server, with `node:net`: connections first, then passes over them. Every byte that comes is compared. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { OnReadOpts, Socket } from 'node:net';
import { createHistogram, performance } from 'node:perf_hooks';
import type { RecordableHistogram } from 'node:perf_hooks';
import { WrongBytes } from '../meter.js';
import { PATTERN_BYTES, PIECE_BYTES, firstWrong, matches, piece } from './pattern.js';
import type { LoadPlan, LoadResult } from './peers.js';
import { Frame, encodeTransfer, faultOf } from './transfer.js';

/** Every connection does so many requests, however short the pass. */
const REQUESTS_MIN = 4;
/** A server that says nothing for so long has failed. */
const SILENCE_MS = 10_000;
const WATCH_MS = 500;
/** Connections that are being made at a time. */
const CONNECTING_MAX = 64;
/** Steps that no two connections and no two requests share: each message differs from what a buffer may still hold. */
const CONNECTION_STEP = 16_411;
const REQUEST_STEP = 4099;
const MIB = 2 ** 20;

/** All connections of this thread read into the same memory: what came is compared before the next read. */
const readMemory = Buffer.allocUnsafeSlow(PIECE_BYTES);

/** How often bytes came, on any connection. */
let arrivals = 0;

/** What a connection does with the bytes that come, at the front of `readMemory`. */
type Take = (length: number) => void;

class Connection {
  readonly socket: Socket;
  take: Take = () => {};
  fail: (error: Error) => void = () => {};
  drain: () => void = () => {};

  constructor(address: LoadPlan['address']) {
    const onread: OnReadOpts = {
      buffer: readMemory,
      callback: (length: number): boolean => {
        arrivals += 1;
        this.take(length);
        return true;
      },
    };
    const rest = address.slice(address.indexOf(':') + 1);
    const where = address.startsWith('unix:') ? { path: `\0${rest}` } : { port: Number(rest), host: '127.0.0.1', noDelay: true };
    this.socket = connect({ ...where, onread });
    this.socket.on('drain', () => this.drain());
    this.socket.on('error', (error) => this.fail(error));
    this.socket.on('close', () => this.fail(new Error('the server closed a connection')));
  }
}

/** Lanes on one connection each, until every one has ended or one has failed. */
abstract class Lane {
  protected readonly connection: Connection;
  #resolve: () => void = () => {};

  constructor(connection: Connection) {
    this.connection = connection;
  }

  run(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.connection.fail = reject;
      this.connection.take = (length) => {
        try {
          this.take(length);
        } catch (error) {
          reject(error);
        }
      };
      this.begin(deadline);
    });
  }

  protected abstract begin(deadline: number): void;
  protected abstract take(length: number): void;

  protected end(): void {
    this.#resolve();
  }
}

/** Wait for all lanes; when nothing arrives for a while, one of them is not answered any more. */
async function runLanes(lanes: readonly Lane[], deadline: number): Promise<void> {
  let told = 0;
  let silent = 0;
  let watch: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    watch = setInterval(() => {
      silent = told === arrivals ? silent + WATCH_MS : 0;
      told = arrivals;
      if (silent >= SILENCE_MS) reject(new Error('the server says nothing any more'));
    }, WATCH_MS);
  });
  try {
    await Promise.race([Promise.all(lanes.map((lane) => lane.run(deadline))), silence]);
  } finally {
    clearInterval(watch);
  }
}

/** A request, its echo, the next request. */
class EchoLane extends Lane {
  operations = 0;
  readonly #index: number;
  readonly #length: number;
  readonly #histogram: RecordableHistogram;
  #position: number;
  #received = 0;
  #left = 0;
  #deadline = 0;
  #started = 0;

  constructor(connection: Connection, index: number, length: number, histogram: RecordableHistogram) {
    super(connection);
    this.#index = index;
    this.#length = length;
    this.#histogram = histogram;
    this.#position = (index * CONNECTION_STEP) % PATTERN_BYTES;
  }

  protected override begin(deadline: number): void {
    this.#deadline = deadline;
    this.#left = REQUESTS_MIN;
    this.#request();
  }

  protected override take(length: number): void {
    const position = this.#position + this.#received;
    if (length > this.#length - this.#received) throw new WrongBytes(`more came than was sent, on connection ${this.#index}`);
    if (!matches(readMemory, 0, length, position)) {
      const at = firstWrong(readMemory, 0, length, position) - this.#position;
      throw new WrongBytes(`byte ${at} of an echo on connection ${this.#index} is not the one that was sent`);
    }
    this.#received += length;
    if (this.#received < this.#length) return;
    const now = performance.now();
    this.#histogram.record(Math.max(1, Math.round((now - this.#started) * 1e6)));
    this.operations += 1;
    this.#left -= 1;
    this.#received = 0;
    this.#position = (this.#position + REQUEST_STEP) % PATTERN_BYTES;
    if (now < this.#deadline || this.#left > 0) this.#request();
    else this.end();
  }

  #request(): void {
    this.#started = performance.now();
    this.connection.socket.write(piece(this.#position, this.#length));
  }
}

/** Transfers, one after the other, in the direction of the plan. */
class BulkLane extends Lane {
  bytes = 0;
  readonly #plan: LoadPlan;
  readonly #frame = new Frame();
  #position = 0;
  #deadline = 0;

  constructor(connection: Connection, plan: LoadPlan) {
    super(connection);
    this.#plan = plan;
    connection.drain = () => this.#give();
  }

  protected override begin(deadline: number): void {
    this.#deadline = deadline;
    this.#ask();
  }

  #ask(): void {
    this.#position = 0;
    this.connection.socket.write(encodeTransfer({ bytes: this.#plan.transferBytes, thorough: this.#plan.thorough }));
    this.#give();
  }

  #give(): void {
    const { transferBytes, mode } = this.#plan;
    if (mode === 'send') return;
    while (this.#position < transferBytes) {
      const length = Math.min(PIECE_BYTES, transferBytes - this.#position);
      const ready = this.connection.socket.write(piece(this.#position, length));
      this.#position += length;
      if (!ready) return;
    }
  }

  protected override take(length: number): void {
    if (this.#plan.mode === 'receive') this.#takeAnswer(length);
    else this.#takeBytes(length);
  }

  #takeAnswer(length: number): void {
    this.#frame.take(readMemory.subarray(0, length), 0);
    const answer = this.#frame.complete();
    if (answer === undefined) return;
    const fault = faultOf(answer, { bytes: this.#plan.transferBytes, thorough: true });
    if (fault !== undefined) throw new WrongBytes(fault);
    this.#next();
  }

  #takeBytes(length: number): void {
    const { transferBytes } = this.#plan;
    if (length > transferBytes - this.#position) throw new WrongBytes(`more than the ${transferBytes} bytes came`);
    if (!matches(readMemory, 0, length, this.#position)) {
      throw new WrongBytes(`the byte at ${firstWrong(readMemory, 0, length, this.#position)} is not the one that was sent`);
    }
    this.#position += length;
    if (this.#position === transferBytes) this.#next();
  }

  #next(): void {
    this.bytes += this.#plan.transferBytes;
    if (performance.now() < this.#deadline) this.#ask();
    else this.end();
  }
}

/** The connections of a plan. */
export class Connections {
  readonly #plan: LoadPlan;
  readonly #all: Connection[] = [];

  private constructor(plan: LoadPlan) {
    this.#plan = plan;
  }

  static async open(plan: LoadPlan): Promise<Connections> {
    const connections = new Connections(plan);
    const count = plan.mode === 'echo' ? plan.connections : 1;
    while (connections.#all.length < count) {
      const batch = Array.from({ length: Math.min(CONNECTING_MAX, count - connections.#all.length) }, () => new Connection(plan.address));
      connections.#all.push(...batch);
      await Promise.all(batch.map(({ socket }) => once(socket, 'connect')));
    }
    return connections;
  }

  /** One pass. Throws `WrongBytes` when a byte was not right. */
  async pass(): Promise<LoadResult> {
    const histogram = createHistogram();
    const { mode, messageBytes, milliseconds } = this.#plan;
    const echoes = mode === 'echo' ? this.#all.map((connection, index) => new EchoLane(connection, index, messageBytes, histogram)) : [];
    const bulk = mode === 'echo' ? undefined : new BulkLane(this.#all[0]!, this.#plan);
    const before = performance.eventLoopUtilization();
    const begun = performance.now();
    await runLanes(bulk === undefined ? echoes : [bulk], begun + milliseconds);
    const seconds = (performance.now() - begun) / 1000;
    const { utilization: busy } = performance.eventLoopUtilization(before);
    const requests = echoes.reduce((sum, { operations }) => sum + operations, 0);
    const bytes = bulk?.bytes ?? requests * messageBytes;
    const microseconds = (share: number): number | null => (requests === 0 ? null : histogram.percentile(share) / 1000);
    const latencies = { p50Us: microseconds(50), p99Us: microseconds(99), p999Us: microseconds(99.9) };
    return { operations: bulk === undefined ? requests : bytes / MIB, bytes, seconds, busy, ...latencies };
  }

  close(): void {
    for (const connection of this.#all) {
      connection.fail = () => {};
      connection.socket.destroy();
    }
  }
}
