/**
 * What a descriptor of the `node` backend is where it is no file: a connection, a server, a datagram socket. All three
 * are waited for in the same way: ask whether something is there, and be told when it may be.
 *
 * Node keeps a process alive for an open socket; an op does so only while it waits, and the backend sees to that. So
 * channels are unreferenced.
 */
import type { SocketAddress } from './address.js';

/** Those who wait at one channel; told all together, they look again themselves. */
export class Waiters {
  readonly #waiting = new Set<() => void>();

  constructor(socket: { unref(): unknown }) {
    socket.unref();
  }

  /** Call `ready` once, when something happened. The result prevents it. */
  add(ready: () => void): () => void {
    const told = (): void => {
      this.#waiting.delete(told);
      ready();
    };
    this.#waiting.add(told);
    return () => void this.#waiting.delete(told);
  }

  tell(): void {
    for (const told of [...this.#waiting]) if (this.#waiting.has(told)) told();
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
