/** `simulate`: a proactor on a simulated ring, with the time, the seed and the trace of it. */
import { Clock } from '../backend/node/clock.js';
import { argumentTypeError, argumentValueError, checkInteger, checkOptions } from '../errors.js';
import { Proactor } from '../proactor.js';
import type { ProactorOptions } from '../proactor-options.js';
import { VirtualClock } from './clock.js';
import type { SimulatedClock } from './clock.js';
import { checkFaults } from './faults.js';
import type { Faults } from './faults.js';
import { SimulatedRing } from './ring.js';
import { freshSeed } from './random.js';
import { Trace } from './trace.js';

/** What `simulate` accepts. */
export interface SimulationOptions extends Pick<ProactorOptions, 'fence' | 'inFlightMax' | 'pool' | 'streamPool' | 'traceLeases'> {
  /** What decides; where not given the environment's `RITSU_SEED`, else a new one. */
  readonly seed?: number | string | undefined;
  /** How often each fault happens; those that are not named as by default. `NO_FAULTS`: none. */
  readonly faults?: Partial<Faults> | undefined;
  /** `virtual`, as by default: time stands still until `clock` moves it. `system`: it is the process's. */
  readonly time?: 'virtual' | 'system' | undefined;
  /** `automatic`, as by default: things happen as the event loop turns. `manual`: only by `step()` and `clock`. */
  readonly pace?: 'automatic' | 'manual' | undefined;
  /** Bytes that a socket keeps for its peer, and what it keeps that was not received; 64 KiB each where not given. */
  readonly sendBuffer?: number | undefined;
  /** See `sendBuffer`. */
  readonly receiveBuffer?: number | undefined;
}

const BUFFER = 65_536;
const IN_FLIGHT_MAX = 65_536;
/** Turns of the loop without an event after which nothing more is expected. */
const QUIET_TURNS = 4;
const { setImmediate } = globalThis;

/** A simulated ring, with its seed, its time and its trace. Made by `simulate`. */
export class Simulation implements AsyncDisposable {
  /** A proactor like any other: give it to `open`, `connect`, `listen`, `sleep`. */
  readonly proactor: Proactor;
  /** What repeats this simulation: `RITSU_SEED` in the environment, or `simulate({ seed })`. */
  readonly seed: string;
  /** Its time, under control. */
  readonly clock: SimulatedClock;
  readonly #trace: Trace;
  #ring: SimulatedRing | undefined = undefined;

  /** @internal Used by `simulate`. */
  constructor(options: SimulationOptions) {
    this.seed = seedOf(options.seed);
    const isVirtual = choose('time', options.time, 'virtual', 'system');
    const automatic = choose('pace', options.pace, 'automatic', 'manual');
    const faults = checkFaults(options.faults);
    const buffers = { send: bytesOf('sendBuffer', options.sendBuffer), receive: bytesOf('receiveBuffer', options.receiveBuffer) };
    const trace = new Trace(this.seed);
    const clock = new VirtualClock(() => this.settled());
    this.#trace = trace;
    this.clock = clock;
    const { fence, inFlightMax = IN_FLIGHT_MAX, pool, streamPool, traceLeases } = options;
    this.proactor = new Proactor({ fence, inFlightMax, pool, streamPool, traceLeases }, (settle, most) => {
      const time = isVirtual ? { clock, timers: clock } : { clock: new Clock(), timers: undefined };
      this.#ring = new SimulatedRing(settle, { faults, trace, buffers, automatic, inFlightMax: most, ...time });
      return this.#ring;
    });
  }

  /** What the ring did, line by line, the last some ten thousand. */
  get trace(): readonly string[] {
    return this.#trace.lines;
  }

  /** A short text that two simulations have in common when all that they did was the same. */
  get digest(): string {
    return this.#trace.digest;
  }

  /** Let some events happen, and deliver what completed. False: nothing can happen any more by itself. */
  step(): boolean {
    return this.#ring!.step();
  }

  /** Resolves when nothing more happens without time passing, or somebody outside doing something. */
  async settled(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; ) {
      quiet = this.step() ? 0 : quiet + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * Close the proactor, and check what is left: nothing in flight, no block out of its pool, no descriptor open, no rule
   * broken. Throws a `SimulationError` with the seed.
   */
  async close(): Promise<void> {
    await Promise.all([this.proactor.destroy(), this.settled()]);
    if (this.#trace.failure !== undefined) throw this.#trace.failure;
    const { inFlight, blocksBusy, descriptorsOpen, pool, streamPool } = this.proactor.stats();
    const out = [...pool, ...(streamPool === undefined ? [] : [streamPool])].reduce((sum, { leased }) => sum + leased, 0);
    const left = { inFlight, blocksBusy, descriptorsOpen, 'blocks out of their pool': out };
    const wrong = Object.entries(left).filter(([, count]) => count !== 0);
    if (wrong.length > 0) this.#trace.broken(`left at the end: ${wrong.map(([name, count]) => `${name} ${count}`).join(', ')}`);
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * A simulated ring, and a proactor on it. The same seed and program give the same events.
 * @example
 * await using simulation = simulate({ seed: 7 });
 * const listener = await listen({ port: 0, proactor: simulation.proactor });
 */
export function simulate(options: SimulationOptions = {}): Simulation {
  checkOptions(options);
  return new Simulation(options);
}

function seedOf(seed: unknown): string {
  if (seed === undefined) return process.env['RITSU_SEED'] || freshSeed();
  if (typeof seed !== 'string' && typeof seed !== 'number') throw argumentTypeError('options.seed', 'of type number or string', seed);
  return String(seed);
}

function choose(name: string, given: unknown, first: string, second: string): boolean {
  if (given === undefined || given === first) return true;
  if (given === second) return false;
  throw argumentValueError(`options.${name}`, `must be '${first}' or '${second}'`, given);
}

function bytesOf(name: string, given: unknown): number {
  return given === undefined ? BUFFER : checkInteger(`options.${name}`, given, 1, 2 ** 30);
}
