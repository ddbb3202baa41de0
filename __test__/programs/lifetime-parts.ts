/** What the programs about the life of a process have in common. */
import { Proactor, connect, listen } from 'ritsu';
import type { TcpListener, TcpStream } from 'ritsu';
import { report } from './report.ts';

export const QUIET_MS = 50;
/** Peers, which would end the connection if they were collected. */
export const kept: unknown[] = [];
export const done = (): void => report({ done: true, at: Date.now() });
export const pause = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, QUIET_MS));

export async function listening(proactor: Proactor): Promise<TcpListener> {
  return listen({ port: 0, host: '127.0.0.1', proactor });
}

/** One that waits for a connection, and keeps nothing alive by that. */
export async function idleListener(proactor: Proactor): Promise<TcpListener> {
  const listener = (await listening(proactor)).unref();
  listener.accept().catch(() => {});
  await pause();
  return listener;
}

export async function connected(proactor: Proactor, other = proactor): Promise<{ readonly stream: TcpStream; readonly peer: TcpStream }> {
  const listener = await listening(proactor);
  const [peer, stream] = await Promise.all([listener.accept(), connect({ ...listener.address(), host: '127.0.0.1', proactor: other })]);
  kept.push(peer);
  await listener.close();
  return { stream, peer };
}

/** One that waits for bytes, and keeps nothing alive by that. */
export async function idleStream(proactor: Proactor): Promise<TcpStream> {
  const { stream } = await connected(proactor);
  stream.unref();
  stream.allocator().pull().catch(() => {});
  await pause();
  return stream;
}

/** One that keeps nothing alive, has much to write, and a peer that reads it all if the process lives so long. */
export async function heavyStream(proactor: Proactor): Promise<TcpStream> {
  const { stream, peer } = await connected(new Proactor(), proactor);
  const reads = async (): Promise<void> => {
    for await (const bytes of peer.allocator()) bytes.release();
  };
  setTimeout(() => void reads().catch(() => {}), 4 * QUIET_MS).unref();
  stream.unref();
  for (let times = 0; times < 3; times += 1) stream.writer().writeAll(Buffer.alloc(16 * 2 ** 20)).catch(() => {});
  await pause();
  return stream;
}

/** To a peer that reads nothing; nobody refers to the stream afterwards. */
export async function beginWriting(proactor: Proactor): Promise<void> {
  const { stream } = await connected(new Proactor(), proactor);
  stream.unref().writer().writeAll(Buffer.alloc(64 * 2 ** 20)).catch(() => {});
}

/** Fires only if something else keeps the process alive, as `what` shall do from now on. */
export function staysFor(what: { ref(): unknown }): void {
  what.ref();
  setTimeout(() => {
    done();
    process.exit();
  }, 4 * QUIET_MS).unref();
}
