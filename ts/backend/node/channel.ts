/**
 * What a descriptor of the `node` backend is where it is no file: a connection, a server, a datagram socket. All three
 * are waited for in the same way: ask whether something is there, and be told when it may be.
 *
 * Node keeps a process alive for an open socket; an op does so only while it waits. So channels are unreferenced, and
 * referenced while an op waits that shall keep the process alive.
 */
import type { SocketAddress } from './address.js';

/** Something that Node can hold the loop open for. */
interface Holder {
  ref(): unknown;
  unref(): unknown;
}

/** Those who wait at one channel; told all together, they look again themselves. */
export class Waiters {
  readonly #holder: Holder;
  readonly #waiting = new Set<() => void>();
  #holding = 0;

  constructor(holder: Holder) {
    this.#holder = holder;
    holder.unref();
  }

  /** Call `ready` once, when something happened. The result prevents it. */
  add(referenced: boolean, ready: () => void): () => void {
    const told = (): void => {
      stop();
      ready();
    };
    const stop = (): void => {
      if (this.#waiting.delete(told) && referenced) this.#hold(-1);
    };
    this.#waiting.add(told);
    if (referenced) this.#hold(1);
    return stop;
  }

  tell(): void {
    for (const told of [...this.#waiting]) told();
  }

  #hold(change: 1 | -1): void {
    this.#holding += change;
    if (this.#holding === 0) this.#holder.unref();
    else if (change === 1 && this.#holding === 1) this.#holder.ref();
  }
}

export type ChannelKind = 'connection' | 'server' | 'datagrams' | 'pipe';

export interface Channel {
  readonly kind: ChannelKind;
  readonly fd: number;
  /** Its own address, or its peer's; or `-errno`. */
  address(peer: boolean): SocketAddress | number;
  /** Set an option (`SocketOption` by number): 0 or `-errno`. */
  setOption(option: number, value: number): number;
  /** Close it; pending waits are ended before by the caller. */
  close(done: () => void): void;
}

/** One that something may be waited for at. */
export interface WaitableChannel extends Channel {
  readonly waiters: Waiters;
}

/** The descriptor's number with the system, as far as Node tells it. */
export function fdOf(socket: object): number {
  const { _handle: handle } = socket as { _handle?: { fd?: number } | null };
  return handle?.fd ?? -1;
}
