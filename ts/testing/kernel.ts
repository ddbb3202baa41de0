/**
 * The simulated kernel's order of events: which op is tried, which cancel is heard, which link carries something, when a
 * completion is posted. All of it is drawn from the seed, within the rules of the kernel: ops of one lane follow each
 * other, the queue is first in, first out, and a final completion is the last of its op.
 *
 * A step is a few events and then one batch of deliveries. Who calls: the ring.
 */
import { Fifo } from '../fifo.js';
import { ECANCELED, MORE, NONE, Opcode, SELECTED } from '../op.js';
import { attempt, giveUp } from './attempts.js';
import { PROGRESS } from './call.js';
import type { Answer, Entry, RingCall } from './call.js';
import type { World } from './world.js';

const EINTR = -4;
/** Events of one step, at most. */
const BURST = 8;
/** Steps that a delay takes, at most. */
const DELAY_MAX = 24;

interface Posting {
  readonly entry: Entry;
  readonly notBefore: number;
}

export class Kernel {
  readonly #world: World;
  readonly #deliver: (entries: readonly Entry[]) => void;
  /** Encoded in this turn. */
  #fresh: RingCall[] = [];
  /** Submitted, in order. */
  readonly #pending: RingCall[] = [];
  readonly #cancels: RingCall[] = [];
  /** Final completions that are late. */
  readonly #postings: Posting[] = [];
  readonly #queue = new Fifo<Entry>();
  #step = 0;
  /** Attempts that came to something: the counterpart of an enter. */
  attempts = 0;

  constructor(world: World, deliver: (entries: readonly Entry[]) => void) {
    this.#world = world;
    this.#deliver = deliver;
  }

  /** Take an op, which the kernel sees when the turn is over. */
  place(call: RingCall): void {
    this.#fresh.push(call);
  }

  /** The turn is over: what was encoded is the kernel's. */
  submit(): void {
    const { random, faults, trace } = this.#world;
    for (const call of this.#fresh) {
      call.stage = 'pending';
      if (random.chance(faults.delay)) call.notBefore = this.#step + 1 + random.below(DELAY_MAX);
      this.#pending.push(call);
      trace.call('submit', call);
      if (call.operation.opcode === Opcode.TIMEOUT && call.operation.extra > 0) attempt(call, this.#world); // its time begins
    }
    this.#fresh = [];
  }

  /** Ask for its end. True: it was withdrawn, the kernel never saw it. */
  cancel(call: RingCall): boolean {
    if (call.stage === 'fresh') {
      this.#fresh.splice(this.#fresh.indexOf(call), 1);
      this.#finish(call, { result: ECANCELED }, true);
      return true;
    }
    if (call.stage === 'pending' && !call.cancelled) {
      call.cancelled = true;
      this.#cancels.push(call);
    }
    return false;
  }

  /** A completion that needs no kernel. */
  post(entry: Entry): void {
    this.#queue.push(entry);
  }

  /** A timer's time has come. */
  rang(call: RingCall): void {
    if (call.stage !== 'pending') return;
    this.#pending.splice(this.#pending.indexOf(call), 1);
    call.stage = 'over';
    this.#arrive(entryOf(call, { result: 0 }, 0));
  }

  /** Some events, and a batch of completions. False: nothing can happen any more by itself. */
  step(): boolean {
    this.submit();
    this.#step += 1;
    let goesOn = false;
    for (let count = 1 + this.#world.random.below(BURST); count > 0; count -= 1) {
      if (!this.#event()) break;
      goesOn = true;
    }
    if (!goesOn && this.#queue.length === 0) goesOn = this.#skipDelays();
    return this.#deliverSome() || goesOn;
  }

  /** Something happens, if anything can: to the first that it can happen to, from a place that the seed says. */
  #event(): boolean {
    const { random, faults, network } = this.#world;
    const kinds = [this.#tryOp, this.#hearCancel, this.#transmit, this.#postLate];
    const lengths = [this.#pending.length, this.#cancels.length, network.links.length, this.#postings.length];
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const start = total > 0 && random.chance(faults.reorder) ? random.below(total) : 0;
    for (let offset = 0; offset < total; offset += 1) {
      let at = (start + offset) % total;
      for (const [kind, length] of lengths.entries()) {
        if (at < length) {
          if (kinds[kind]!.call(this, at)) return true;
          break;
        }
        at -= length;
      }
    }
    return false;
  }

  #tryOp(at: number): boolean {
    const call = this.#pending[at]!;
    if (call.notBefore > this.#step || (call.lane !== undefined && call.lane[0] !== call)) return false;
    const answer = attempt(call, this.#world);
    if (answer === undefined) return false;
    this.#answer(call, answer);
    return true;
  }

  /** The op may end with its result all the same. What it did before counts: a send that was cut short tells how much went. */
  #hearCancel(at: number): boolean {
    const { random, faults, trace } = this.#world;
    const call = this.#cancels[at]!;
    if (call.stage === 'over' || call.notice !== undefined) {
      this.#cancels.splice(at, 1);
      return true;
    }
    const isFirst = call.lane === undefined || call.lane[0] === call;
    if (isFirst && random.chance(faults.cancelLoses)) {
      const answer = attempt(call, this.#world);
      if (answer !== undefined) {
        trace.call('cancel loses to', call);
        this.#answer(call, answer);
        return true;
      }
    }
    this.#cancels.splice(at, 1);
    const wasWaiting = call.opening !== undefined;
    giveUp(call);
    const errno = wasWaiting && random.chance(faults.interrupt) ? EINTR : ECANCELED;
    trace.call('cancel ends', call);
    this.#answer(call, { result: call.sent > 0 ? call.sent : errno });
    return true;
  }

  #transmit(at: number): boolean {
    const { network, random, faults, trace } = this.#world;
    const link = network.links[at]!;
    if (random.chance(faults.reset)) {
      trace.note(`reset ${link.fd}`);
      link.other?.reset();
      link.reset();
    } else if (!link.transmit()) return false;
    network.tidy();
    return true;
  }

  #postLate(at: number): boolean {
    const posting = this.#postings[at]!;
    if (posting.notBefore > this.#step) return false;
    this.#postings.splice(at, 1);
    this.#arrive(posting.entry);
    return true;
  }

  #answer(call: RingCall, answer: Answer): void {
    this.attempts += 1;
    if (answer === PROGRESS) return this.#world.trace.call('progress', call, ` sent ${call.sent}`);
    if (answer.more === true) return this.#arrive(entryOf(call, answer, MORE));
    this.#pending.splice(this.#pending.indexOf(call), 1);
    this.#finish(call, answer, false);
  }

  #finish(call: RingCall, answer: Answer, wasWithdrawn: boolean): void {
    const { random, faults } = this.#world;
    call.stage = 'over';
    const entry = entryOf(call, answer, 0);
    const isLate = !wasWithdrawn && call.operation.opcode !== Opcode.NOP && random.chance(faults.delay);
    if (isLate) this.#postings.push({ entry, notBefore: this.#step + 1 + random.below(DELAY_MAX) });
    else this.#arrive(entry);
  }

  /** A completion enters the queue. After a final one the next op of the lane may be tried. */
  #arrive(entry: Entry): void {
    const { call, flags, result, block } = entry;
    this.#world.trace.completion('post', call, result, flags, block);
    if ((flags & MORE) === 0 && call.lane !== undefined) call.lane.splice(call.lane.indexOf(call), 1);
    this.#queue.push(entry);
  }

  /** Where only what is late is left, it is not late any more. */
  #skipDelays(): boolean {
    const moments = [
      ...this.#pending.filter((call) => call.lane === undefined || call.lane[0] === call).map(({ notBefore }) => notBefore),
      ...this.#postings.map(({ notBefore }) => notBefore),
    ].filter((moment) => moment > this.#step);
    if (moments.length === 0) return false;
    this.#step = Math.min(...moments) - 1;
    return true;
  }

  #deliverSome(): boolean {
    const { random, faults } = this.#world;
    const { length } = this.#queue;
    if (length === 0) return false;
    const count = random.chance(faults.delay) ? random.below(length + 1) : length;
    const batch = Array.from({ length: count }, () => this.#queue.shift()!);
    if (count > 0) this.#deliver(batch);
    return true;
  }
}

export function entryOf(call: RingCall, answer: Answer, flags: number): Entry {
  const { result, block = NONE, extra = 0, value = 0, numbers, sender } = answer;
  return { call, result, flags: flags | (block === NONE ? 0 : SELECTED), block, extra, value, numbers, sender };
}
