/** A listening socket of the `node` backend, over `net.Server`: connections wait here, paused, until they are accepted. */
import net from 'node:net';
import { Fifo } from '../../fifo.js';
import { fdOf, Waiters } from './channel.js';
import type { WaitableChannel } from './channel.js';
import { Connection } from './connection.js';
import { errnoOf } from './calls.js';
import type { SocketAddress } from './address.js';
import { IPV6_ONLY, REUSE_PORT } from '../../op.js';

const ENOTCONN = -107;
const EOPNOTSUPP = -95;

export class Server implements WaitableChannel {
  readonly kind = 'server';
  readonly waiters: Waiters;
  readonly fd: number;
  readonly #server: net.Server;
  readonly #waiting = new Fifo<net.Socket>();
  #errno = 0;

  constructor(server: net.Server) {
    this.#server = server;
    this.fd = fdOf(server);
    this.waiters = new Waiters(server);
    server.on('connection', (socket) => {
      socket.unref();
      this.#waiting.push(socket);
      this.waiters.tell();
    });
    server.on('error', (error) => {
      this.#errno = errnoOf(error);
      this.waiters.tell();
    });
  }

  get acceptable(): boolean {
    return this.#waiting.length > 0 || this.#errno !== 0;
  }

  /** The next connection, or `-errno`. Only when acceptable. */
  accept(): Connection | number {
    const socket = this.#waiting.shift();
    if (socket !== undefined) {
      const own = this.#server.address();
      return new Connection(socket, typeof own === 'string' ? { local: own, peer: '' } : undefined);
    }
    const errno = this.#errno;
    this.#errno = 0;
    return errno;
  }

  address(peer: boolean): SocketAddress | number {
    if (peer) return ENOTCONN;
    const address = this.#server.address();
    if (address === null) return ENOTCONN;
    return typeof address === 'string' ? { address, port: -1 } : { address: address.address, port: address.port };
  }

  setOption(): number {
    return EOPNOTSUPP;
  }

  close(done: () => void): void {
    for (let socket = this.#waiting.shift(); socket !== undefined; socket = this.#waiting.shift()) socket.destroy();
    this.#server.close();
    done(); // Node would wait for the connections, which have descriptors of their own
  }
}

/** Begin to listen; the flags are LISTEN's. */
export function startListen(
  { address, port }: SocketAddress,
  { backlog, flags }: { readonly backlog: number; readonly flags: number },
  listening: (server: Server) => void,
  failed: (errno: number) => void,
): void {
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const onError = (error: Error): void => failed(errnoOf(error));
  server.once('error', onError);
  server.once('listening', () => {
    server.off('error', onError);
    listening(new Server(server));
  });
  const place = port < 0 ? { path: address } : { host: address, port, ipv6Only: (flags & IPV6_ONLY) !== 0, reusePort: (flags & REUSE_PORT) !== 0 };
  server.listen({ ...place, backlog, exclusive: true });
}
