/** What a backend is asked and must answer at once, asked of another thread: this one is blocked meanwhile. */
import type { Opened } from '../backend/backend.js';
import { FAULT_CLOSED } from '../errors.js';
import { CALL_BYTES_MAX, CALL_WORDS } from './wire.js';
import type { Call } from './wire.js';

const ENOTCONN = -107;
const ETIMEDOUT = -110;
/** A thread that does not answer for so long is busy, or waits for us. */
const TIMEOUT_MS = 5000;

export class Questions {
  readonly #call: (call: Call) => boolean;

  constructor(call: (call: Call) => boolean) {
    this.#call = call;
  }

  adopt(fd: number): Opened | number {
    const answer = this.#ask('adopt', [fd]);
    if (typeof answer === 'number') return answer;
    return answer[1]! < 0 ? answer[1]! : { descriptor: answer[1]! >>> 0, fd: answer[2]! };
  }

  address(descriptor: number, peer: boolean): Uint8Array | number {
    const answer = this.#ask('address', [descriptor, peer]);
    if (typeof answer === 'number') return answer;
    return answer[3]! > 0 ? new Uint8Array(answer.buffer, CALL_WORDS * 4, answer[3]).slice() : answer[1]! || ENOTCONN;
  }

  number(method: Call['method'], args: readonly unknown[]): number {
    const answer = this.#ask(method, args);
    return typeof answer === 'number' ? answer : answer[1]!;
  }

  #ask(method: Call['method'], args: readonly unknown[]): Int32Array | number {
    const answer = new Int32Array(new SharedArrayBuffer(CALL_WORDS * 4 + CALL_BYTES_MAX), 0, CALL_WORDS);
    if (!this.#call({ method, args, answer })) return FAULT_CLOSED;
    return Atomics.wait(answer, 0, 0, TIMEOUT_MS) === 'timed-out' ? ETIMEDOUT : answer;
  }
}

/** Write the answer, and wake who waits for it. */
export function giveAnswer(answer: Int32Array, result: unknown): void {
  if (typeof result === 'number') answer[1] = result;
  else if (result instanceof Uint8Array) {
    answer[3] = result.length;
    new Uint8Array(answer.buffer, CALL_WORDS * 4).set(result.subarray(0, CALL_BYTES_MAX));
  } else {
    const { descriptor, fd } = result as Opened;
    answer[1] = descriptor;
    answer[2] = fd;
  }
  Atomics.store(answer, 0, 1);
  Atomics.notify(answer, 0);
}
