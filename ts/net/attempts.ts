/**
 * One connection out of several addresses (RFC 8305, "happy eyeballs"): the next address is tried when one has failed,
 * or has not answered for a while; the first that answers wins, the others are cancelled, and a connection that comes
 * all the same is closed.
 *
 * States: trying -> won, or ended (aborted, timed out) -> failed. Made by `connect`, once for each call.
 */
import { limit, limitError } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { Opcode, Operation } from '../op.js';
import type { Completion, Failure } from '../op.js';
import type { Proactor } from '../proactor.js';
import { encodeAddresses } from './address.js';
import { bindFailure, opened } from './opened.js';
import type { Opened, Target } from './opened.js';
import type { Alarm } from '../timers.js';
import { closeDescriptor } from '../unclosed.js';

/** A connection that has not begun. `local`: the address that it is bound to first. */
export function connecting(target: Target, local: Target | undefined): Operation<Opened> {
  const operation = new Operation<Opened>(Opcode.CONNECT, local === undefined ? opened : boundFinish(local));
  operation.argument = encodeAddresses(local === undefined ? [target.encoded] : [target.encoded, local.encoded]);
  operation.endpoint = target.endpoint;
  return operation;
}

/** The system says of one op that it failed; Node says whether that was in binding or in connecting. */
function boundFinish(local: Target): (operation: Operation<Opened>, completion: Completion) => Opened | Failure {
  return (operation, completion) => bindFailure(completion.result, local) ?? opened(operation, completion);
}

export class Attempts {
  readonly #proactor: Proactor;
  readonly #targets: readonly Target[];
  readonly #localOf: (target: Target) => Target | undefined;
  readonly #staggerMs: number;
  readonly #ending = new AbortController();
  readonly #errors: Error[] = [];
  readonly #result = Promise.withResolvers<Opened>();
  #next = 0;
  #running = 0;
  #won = false;
  /** Why no further attempt is made. */
  #ended: (() => Error) | undefined = undefined;
  #timer: Alarm | undefined = undefined;

  constructor(
    proactor: Proactor,
    targets: readonly Target[],
    localOf: (target: Target) => Target | undefined,
    staggerMs: number,
  ) {
    this.#proactor = proactor;
    this.#targets = targets;
    this.#localOf = localOf;
    this.#staggerMs = staggerMs;
  }

  /** The first connection. Aborted or timed out: none was made, or the one that has won. */
  async first(options: CancelOptions): Promise<Opened> {
    const stop = limit(options, (cause, reason) => this.#end(() => limitError(cause, reason, 'connect')), this.#proactor.timers);
    this.#begin();
    try {
      return await this.#result.promise;
    } finally {
      stop(this.#won ? 'completed' : this.#ended === undefined ? 'failed' : 'aborted');
    }
  }

  #begin(): void {
    this.#proactor.timers.clear(this.#timer);
    if (this.#won || this.#ended !== undefined || this.#next === this.#targets.length) return this.#finish();
    const target = this.#targets[this.#next]!;
    this.#next += 1;
    this.#running += 1;
    const operation = connecting(target, this.#localOf(target));
    this.#proactor.submit(operation, { signal: this.#ending.signal });
    operation.promise.then(
      (socket) => this.#succeed(socket),
      (error: Error) => this.#fail(error),
    );
    if (this.#next < this.#targets.length) this.#timer = this.#proactor.timers.set(this.#staggerMs, () => this.#begin());
  }

  #succeed(socket: Opened): void {
    this.#running -= 1;
    if (this.#won) {
      void closeDescriptor(this.#proactor, socket.descriptor);
      return;
    }
    this.#won = true;
    this.#proactor.timers.clear(this.#timer);
    this.#result.resolve(socket);
    this.#ending.abort();
  }

  #fail(error: Error): void {
    this.#running -= 1;
    this.#errors.push(error);
    this.#begin();
  }

  #end(error: () => Error): void {
    this.#ended ??= error;
    this.#proactor.timers.clear(this.#timer);
    this.#ending.abort();
  }

  #finish(): void {
    if (this.#won || this.#running > 0) return;
    this.#result.reject(this.#ended?.() ?? failureOf(this.#errors));
  }
}

/** As Node has it: the error itself where there is one, else all of them, with the code of the first. */
function failureOf(errors: readonly Error[]): Error {
  if (errors.length === 1) return errors[0]!;
  const { code } = errors[0] as NodeJS.ErrnoException;
  const message = errors.map((error) => error.message).join('; ');
  return Object.assign(new AggregateError(errors, message), { code });
}
