/**
 * A connection on its way from the thread that accepted it to the worker that will serve it.
 *
 * Where a connection can leave its thread it is handed over (`Handed`). On the `node` backend it cannot: it stays with the
 * proactor that accepted it, and the worker uses it through its handle to that (`Lent`). It becomes the worker's when the
 * worker asks for it, so that one that dies before has not taken it along.
 */
import { isStillOffered, handOver, takeOver } from '../hand-over.js';
import type { Moved } from '../hand-over.js';
import type { TcpStream } from '../net/tcp.js';
import type { Proactor } from '../proactor.js';
import type { Guest } from '../remote/guest.js';
import { closeDescriptor } from '../unclosed.js';
import type { Order } from './wire.js';

export interface Passage {
  /** What the worker is told. */
  order(offer: number): Order;
  /** The worker asks for it: what it is told then. */
  give(offer: number, guest: Guest | undefined): Order | undefined;
  /** The worker has ended and had not taken it: whether another may have it. */
  isOffered(): boolean;
  /** Nobody serves it: its peer is told so by its end. */
  refuse(): void;
}

class Handed implements Passage {
  readonly #proactor: Proactor;
  readonly #moved: Moved;

  constructor(proactor: Proactor, moved: Moved) {
    this.#proactor = proactor;
    this.#moved = moved;
  }

  order(offer: number): Order {
    return { kind: 'serve', offer, moved: this.#moved };
  }

  give(): undefined {
    return undefined;
  }

  isOffered(): boolean {
    return isStillOffered(this.#moved);
  }

  refuse(): void {
    takeOver(this.#moved, { proactor: this.#proactor }).then((stream) => stream.close()).catch(() => {}); // it is over already
  }
}

class Lent implements Passage {
  readonly #proactor: Proactor;
  readonly #descriptor: number;
  readonly #fd: number;

  constructor(proactor: Proactor, descriptor: number, fd: number) {
    this.#proactor = proactor;
    this.#descriptor = descriptor;
    this.#fd = fd;
  }

  order(offer: number): Order {
    return { kind: 'offer', offer };
  }

  give(offer: number, guest: Guest | undefined): Order {
    guest!.give(this.#descriptor);
    return { kind: 'lend', offer, descriptor: this.#descriptor, fd: this.#fd };
  }

  isOffered(): boolean {
    return true;
  }

  refuse(): void {
    void closeDescriptor(this.#proactor, this.#descriptor);
  }
}

/** Whether connections of this proactor stay with it. */
export function staysAtHome(proactor: Proactor): boolean {
  return proactor.backend.name === 'node';
}

/** Take the connection out of this thread's hands. */
export async function passageOf(stream: TcpStream, proactor: Proactor): Promise<Passage> {
  if (!staysAtHome(proactor)) return new Handed(proactor, await handOver(stream));
  const { fd } = stream;
  const { descriptor } = await stream.detach({ stays: true });
  return new Lent(proactor, descriptor, fd);
}
