/**
 * Runs the calls of one backend: from accepted to finished. It decides when a call is begun (end of the turn, the turn
 * of its lane, the limit of calls that are out), tries again where a pipe or terminal was not ready, closes a file when
 * the last call that holds it has finished, and gives back what a call owned. Delivery is the backend's.
 */
import { Fifo } from '../../fifo.js';
import { NONE, Opcode, SELECTED } from '../../op.js';
import { FINISHED, OUT, WAITING } from './call.js';
import { EAGAIN, STARTERS, closeFile, closeFileSync, errnoOf, startOpen } from './calls.js';
import { Clock } from './clock.js';
import { breakOff, startSocket } from './sockets.js';
import type { Ends } from './sockets.js';
import type { Tables } from './accept.js';
import type { Call } from './call.js';
import type { Descriptor } from './descriptors.js';

const { nextTick } = process;

/** Keeps Node's pool (4 threads, seldom more than 16) busy from one turn to the next. */
const CALLS_MAX = 64;
/** Pause between two tries on a pipe or terminal, doubled from one to the next. */
const PAUSE_MIN_MS = 1;
const PAUSE_MAX_MS = 16;

const ENFILE = -23;
const ENOBUFS = -105;
const ECANCELED = -125;

export class Runner {
  readonly clock = new Clock();
  readonly #tables: Tables;
  readonly #onFinished: (call: Call) => void;
  /** Accepted in this turn. */
  readonly #fresh = new Fifo<Call>();
  /** To be begun as soon as fewer than `CALLS_MAX` are out. */
  readonly #backlog = new Fifo<Call>();
  readonly #socketEnds: Ends = {
    finish: (call, result) => this.#finish(call, result),
    opened: (call, descriptor) => this.#opened(call, descriptor, (result) => this.#finish(call, result)),
  };
  #flushDue = false;
  #feeding = false;
  #abandoned = false;
  /** Calls that `node:fs` has. */
  #out = 0;
  begun = 0;
  retries = 0;
  withdrawn = 0;

  constructor(tables: Tables, onFinished: (call: Call) => void) {
    this.#tables = tables;
    this.#onFinished = onFinished;
  }

  /** Take a call that was accepted; it is begun at the end of this turn at the latest. */
  place(call: Call): void {
    const { descriptor, lane } = call;
    if (descriptor !== undefined && call.operation.opcode === Opcode.CLOSE) {
      descriptor.closing = call;
      if (descriptor.holders > 0) return;
    } else if (descriptor !== undefined) descriptor.holders += 1;
    if (lane === undefined || lane[0] === call) this.#enqueue(call);
  }

  /** Begin what was placed. */
  flush = (): void => {
    this.#flushDue = false;
    for (let call = this.#fresh.shift(); call !== undefined; call = this.#fresh.shift()) {
      if (call.state !== WAITING) continue;
      const { opcode, extra } = call.operation;
      if (opcode === Opcode.NOP) this.#finish(call, extra | 0);
      else if (opcode === Opcode.TIMEOUT) this.#startTimeout(call);
      else this.#backlog.push(call);
    }
    this.#feed();
  };

  /** End a call that was not begun, or that is tried again and again. A file that is to be closed is closed. */
  withdraw(call: Call): void {
    if (call.operation.opcode === Opcode.CLOSE) return;
    call.isUnwanted = true;
    if (call.state === WAITING) this.withdrawn += 1;
    else if (call.stop === undefined) return call.state === OUT ? breakOff(call) : undefined;
    call.stop?.();
    this.#finish(call, ECANCELED);
  }

  /** Close what is still open; a file that a call holds is closed when that call ends, if ever. */
  abandon(): void {
    this.#abandoned = true;
    for (const descriptor of this.#tables.descriptors.drain()) {
      descriptor.orphaned = true;
      if (descriptor.holders === 0) closeFileSync(descriptor);
    }
  }

  #enqueue(call: Call): void {
    this.#fresh.push(call);
    if (this.#flushDue) return;
    this.#flushDue = true;
    nextTick(this.flush);
  }

  #feed(): void {
    if (this.#feeding) return; // a call that answers at once comes back here
    this.#feeding = true;
    while (this.#out < CALLS_MAX) {
      const call = this.#backlog.shift();
      if (call === undefined) break;
      if (call.state !== FINISHED) this.#begin(call);
    }
    this.#feeding = false;
  }

  #begin(call: Call): void {
    const { opcode, target, length } = call.operation;
    call.state = OUT;
    if (startSocket(call, this.#tables.blocks, this.#socketEnds)) {
      this.begun += 1;
      return;
    }
    if (opcode === Opcode.READ_SELECT && call.block === NONE) {
      const selected = this.#tables.blocks.select(target, length);
      if (selected === undefined) return this.#finish(call, ENOBUFS);
      call.block = selected.id;
      call.views = [selected.view];
    }
    this.#out += 1;
    this.begun += 1;
    try {
      this.#start(call);
    } catch (error) {
      this.#report(call, errnoOf(error));
    }
  }

  #start(call: Call): void {
    const report = (result: number): void => this.#report(call, result);
    const { opcode } = call.operation;
    if (opcode === Opcode.OPEN) startOpen(call, (descriptor) => this.#opened(call, descriptor, report), report);
    else if (opcode === Opcode.CLOSE) closeFile(call.descriptor!, report);
    else STARTERS[opcode]!(call, report);
  }

  #opened(call: Call, descriptor: Descriptor, finish: (result: number) => void): void {
    const id = this.#abandoned ? undefined : this.#tables.descriptors.add(descriptor);
    if (id === undefined) return closeFile(descriptor, () => finish(ENFILE));
    call.value = id;
    call.extra = descriptor.fd;
    finish(0);
  }

  #startTimeout(call: Call): void {
    const { extra } = call.operation;
    if (extra === 0) return this.#finish(call, 0);
    call.state = OUT;
    call.stop = this.clock.after(extra, () => this.#finish(call, 0));
  }

  #report(call: Call, result: number): void {
    this.#out -= 1;
    if (result !== EAGAIN || call.descriptor?.patientFd === undefined) this.#finish(call, result);
    else if (call.isUnwanted) this.#finish(call, ECANCELED);
    else this.#pause(call);
    this.#feed();
  }

  #pause(call: Call): void {
    this.retries += 1;
    call.pause = Math.min(Math.max(call.pause * 2, PAUSE_MIN_MS), PAUSE_MAX_MS);
    call.stop = this.clock.after(call.pause, () => {
      call.stop = undefined;
      this.#backlog.push(call);
      this.#feed();
    });
  }

  #finish(call: Call, result: number): void {
    call.state = FINISHED;
    call.stop = undefined;
    call.result = result;
    this.#giveBack(call);
    if (call.lane !== undefined) this.#leaveLane(call);
    if (call.descriptor !== undefined) this.#letGo(call);
    this.#onFinished(call);
  }

  #giveBack(call: Call): void {
    const { blocks } = this.#tables;
    for (const id of call.blocks) blocks.giveBack(id);
    if (call.block === NONE) return;
    if (call.result > 0) {
      blocks.giveBack(call.block);
      call.flags |= SELECTED;
    } else {
      blocks.deselect(call.operation.target, call.block);
      call.block = NONE;
    }
  }

  #leaveLane(call: Call): void {
    const lane = call.lane!;
    const wasFirst = lane[0] === call;
    lane.splice(lane.indexOf(call), 1);
    if (wasFirst && lane[0] !== undefined) this.#enqueue(lane[0]);
  }

  #letGo(call: Call): void {
    const descriptor = call.descriptor!;
    if (descriptor.closing === call) return;
    descriptor.holders -= 1;
    if (descriptor.holders > 0) return;
    if (descriptor.closing !== undefined) this.#enqueue(descriptor.closing);
    else if (descriptor.orphaned) closeFileSync(descriptor);
  }
}
