/** What a server of the comparison is: an engine, what it does on each connection, and where it listens. */

/** `send`: bulk from the server to the client. `receive`: the other way. */
export type Role = 'echo' | 'send' | 'receive' | 'http';
export type Transport = 'tcp' | 'unix';

/** `tcp:PORT` on the loopback, or `unix:NAME` for an abstract Unix socket. */
export type Address = `tcp:${number}` | `unix:${string}`;

/** A server that listens. */
export interface Serving {
  readonly address: Address;
  /** Blocks of memory that its connections hold, where the engine has such. */
  blocksHeld?(): number;
}

/** Listen; `undefined` for a free port, else an abstract name. */
export type Serve = (name: string | undefined) => Promise<Serving>;

/** Bytes of one read of a bulk transfer: what `node:net` reads at a time. */
export const READ_BYTES = 65_536;
/** Connections that the system keeps until the server takes them. */
export const BACKLOG = 4096;

/** What becomes of a connection whose peer has left is not worth a word; anything else is the server's fault. */
const GONE = new Set(['ECONNRESET', 'EPIPE', 'ERR_RITSU_CLOSED', 'ERR_STREAM_PREMATURE_CLOSE']);

export function reportFault(error: Error): void {
  if (!GONE.has((error as NodeJS.ErrnoException).code ?? '')) process.stderr.write(`${error.stack}\n`);
}

export const HELLO = 'hello world\n';
export const HTTP_REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
/** All of it, so that a client can compare it: the server sends no date. */
export const HTTP_RESPONSE =
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${HELLO.length}\r\n` +
  `Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n${HELLO}`;
