/**
 * Sockets for client libraries: ours, made on a proactor and connected by the library, and Node's own to compare with.
 * A library takes either for the same thing.
 */
import * as net from 'node:net';
import type { ExecutionContext } from 'ava';
import { connect } from 'ritsu';
import type { Proactor } from 'ritsu';
import { toDuplex } from 'ritsu/streams';
import { eventually } from './net.ts';

export interface Sockets {
  /** A socket that is not connected yet. */
  make(): net.Socket;
  /** All that were made. */
  readonly made: readonly net.Socket[];
}

function recorded(make: () => net.Socket): Sockets {
  const made: net.Socket[] = [];
  const record = (): net.Socket => {
    const socket = make();
    made.push(socket);
    return socket;
  };
  return { make: record, made };
}

export function oursOn(proactor: Proactor): Sockets {
  return recorded(() => toDuplex((options) => connect({ ...options, proactor })) as unknown as net.Socket);
}

export function nodesOwn(): Sockets {
  return recorded(() => new net.Socket());
}

/** The library went over our sockets and has let all of them go. */
export async function allUsedAndClosed(t: ExecutionContext, { made }: Sockets, count?: number): Promise<void> {
  await eventually(t, 'every socket is closed', () => made.every((socket) => socket.closed));
  if (count === undefined) t.true(made.length > 0);
  else t.is(made.length, count);
  for (const socket of made) t.true(socket.bytesWritten > 0);
}
