/** What the ring did, for people and for comparing two runs; and the error that says that a rule was broken. */
import { MORE, NO_DESCRIPTOR, NONE, OPCODE_NAMES, REFUSED, SELECTED } from '../op.js';
import type { RingCall } from './call.js';

/** Lines that are kept; older ones are forgotten by halves. */
const LINES_MAX = 65_536;
/** Lines that an error shows. */
const TAIL = 20;

/** The library broke a rule of the ring. The seed repeats it. */
export class SimulationError extends Error {
  /** For people. */
  override readonly name = 'SimulationError';
  /** What repeats the simulation. */
  readonly seed: string;

  constructor(message: string, seed: string, tail: readonly string[]) {
    super(`${message} (RITSU_SEED=${seed})\n${tail.join('\n')}`);
    this.seed = seed;
  }
}

export class Trace {
  readonly seed: string;
  #lines: string[] = [];
  /** Of all lines, in order: FNV-1a. */
  #digest = 0x811c9dc5;
  #failure: SimulationError | undefined = undefined;

  constructor(seed: string) {
    this.seed = seed;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  get digest(): string {
    return this.#digest.toString(16);
  }

  /** The first rule that was broken. */
  get failure(): SimulationError | undefined {
    return this.#failure;
  }

  note(line: string): void {
    for (let at = 0; at < line.length; at += 1) {
      this.#digest = Math.imul(this.#digest ^ line.charCodeAt(at), 0x01000193) >>> 0;
    }
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines = this.#lines.slice(LINES_MAX / 2);
  }

  call(what: string, call: RingCall, more = ''): void {
    this.note(`${what} ${describe(call)}${more}`);
  }

  completion(what: string, call: RingCall, result: number, flags: number, block: number): void {
    const marks = [
      (flags & MORE) === 0 ? '' : ' more',
      (flags & SELECTED) === 0 || block === NONE ? '' : ` block ${block}`,
      (flags & REFUSED) === 0 ? '' : ' refused',
    ];
    this.note(`${what} ${describe(call)} = ${result}${marks.join('')}`);
  }

  /** A rule was broken: throws. */
  broken(message: string): never {
    const error = new SimulationError(message, this.seed, this.#lines.slice(-TAIL));
    this.#failure ??= error;
    throw error;
  }
}

export function describe({ operation, slot, generation }: RingCall): string {
  const { opcode, descriptor, length } = operation;
  const target = descriptor === NO_DESCRIPTOR ? '' : ` of ${descriptor}`;
  return `${OPCODE_NAMES[opcode] ?? opcode} ${slot}.${generation}${target}${length > 0 ? ` length ${length}` : ''}`;
}
