/**
 * Sockets for tests: pairs of ours, peers made of `node:net`, a port where nobody answers, and counts of what is open.
 */
import * as net from 'node:net';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { spawn } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { connect, listen } from 'ritsu';
import type { AsyncRead, Proactor, Stream, TcpListenOptions, TcpListener, TcpStream, UnixListener, UnixStream } from 'ritsu';
import { freshPath } from './files.ts';

export interface Pair<S extends Stream, L> extends AsyncDisposable {
  readonly listener: L;
  /** The accepted end. */
  readonly inside: S;
  /** The connecting end. */
  readonly outside: S;
}

/** Both ends of a TCP connection of ours. */
export async function tcpPair(proactor: Proactor, options: TcpListenOptions = {}): Promise<Pair<TcpStream, TcpListener>> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor, ...options });
  const { address, port } = listener.address();
  const [inside, outside] = await Promise.all([listener.accept(), connect({ port, host: address, proactor })]);
  return { listener, inside, outside, [Symbol.asyncDispose]: () => closeAll(inside, outside, listener) };
}

/** Both ends of a Unix connection of ours. */
export async function unixPair(proactor: Proactor): Promise<Pair<UnixStream, UnixListener>> {
  const path = freshPath('socket');
  const listener = await listen({ path, proactor });
  const [inside, outside] = await Promise.all([listener.accept(), connect({ path, proactor })]);
  return { listener, inside, outside, [Symbol.asyncDispose]: () => closeAll(inside, outside, listener) };
}

/** What was made, given away when the test is over. (`await using`, which Node 22 does not know.) */
export async function disposed<T extends AsyncDisposable>(t: ExecutionContext, making: Promise<T>): Promise<T> {
  const made = await making;
  t.teardown(() => made[Symbol.asyncDispose]());
  return made;
}

export async function closeAll(...resources: readonly { destroy(): Promise<void> }[]): Promise<void> {
  await Promise.all(resources.map((resource) => resource.destroy()));
}

/** A server of Node's on a free port. */
export async function nodeServer(
  onConnection: (socket: net.Socket) => void,
  options: net.ServerOpts & net.ListenOptions = {},
): Promise<net.Server & AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer(options, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  server.listen(options.path === undefined ? { port: 0, host: '127.0.0.1', ...options } : { path: options.path });
  await once(server, 'listening');
  const port = (server.address() as net.AddressInfo | null)?.port ?? 0;
  const dispose = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return Object.assign(server, { port, [Symbol.asyncDispose]: dispose });
}

/** A connection of Node's. */
export async function nodeConnect(options: net.NetConnectOpts): Promise<net.Socket> {
  const socket = net.connect(options);
  await once(socket, 'connect');
  return socket.on('error', () => {});
}

/** A server that never accepts, with its queue full: connecting to it neither succeeds nor fails. */
export async function blackHole(host = '127.0.0.1', wanted = 0): Promise<{ readonly port: number } & AsyncDisposable> {
  const program = `
    use IO::Socket::INET;
    my $s = IO::Socket::INET->new(Listen => 0, LocalAddr => '${host}', LocalPort => ${wanted}, ReuseAddr => 1) or die "listen: $!";
    listen($s, 0);
    my @full = map { IO::Socket::INET->new(PeerAddr => '${host}', PeerPort => $s->sockport, Blocking => 0) } 1 .. 4;
    $| = 1;
    print $s->sockport, "\\n";
    sleep 600;
  `;
  const child = spawn('perl', ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const dispose = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'close');
  };
  return { port: Number(line.toString()), [Symbol.asyncDispose]: dispose };
}

/** A port on which nobody listens. */
export async function closedPort(host = '127.0.0.1'): Promise<number> {
  const server = net.createServer().listen({ port: 0, host });
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** How many sockets this process has open. */
export function socketCount(): number {
  return linksOf().filter((target) => target.startsWith('socket:')).length;
}

/** How many descriptors this process has open. */
export function descriptorCount(): number {
  return linksOf().length;
}

function linksOf(): string[] {
  const pid = process.pid;
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // the one that listed the directory
    }
  });
}

/** Asks again and again until it is so; for what the other side does in its own time. */
export async function eventually(t: ExecutionContext, what: string, isSo: () => boolean, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!isSo()) {
    if (Date.now() > deadline) return t.fail(`not within ${withinMs} ms: ${what}`);
    await pause(10);
  }
  t.pass();
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Everything that comes until the end. */
export async function drain(reader: AsyncRead): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const bytes of reader) parts.push(bytes.copy());
  return Buffer.concat(parts);
}

export function checksum(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** What programs look at in an error. */
export interface Shape {
  readonly name: unknown;
  readonly message: unknown;
  readonly code: unknown;
  readonly errno: unknown;
  readonly syscall: unknown;
  readonly address: unknown;
  readonly port: unknown;
}

export function shapeOf(error: unknown): Shape {
  const { name, message, code, errno, syscall, address, port } = error as Record<keyof Shape, unknown>;
  return { name, message, code, errno, syscall, address, port };
}

/** The error that Node ends a socket or a server with. */
export async function nodeError(make: () => NodeJS.EventEmitter): Promise<Shape> {
  try {
    const [error] = (await once(make(), 'error')) as [unknown];
    return shapeOf(error);
  } catch (error) {
    return shapeOf(error); // of an argument, thrown at once
  }
}
