/** A worker of a crew: what `serve` starts on each thread. It runs the program's `start` and brings it connections. */
import { parentPort, workerData } from 'node:worker_threads';
import { argumentTypeError } from '../errors.js';
import { Fifo } from '../fifo.js';
import { takeOver } from '../hand-over.js';
import { TcpStream } from '../net/tcp.js';
import { Proactor } from '../proactor.js';
import { remoteProactor } from '../remote/join.js';
import type { Order, Report, Task } from './wire.js';

/** What a program's `start` is told. */
export interface Station {
  /** Which of the crew's workers it is, from 0. */
  readonly index: number;
  /** A copy of `data` of `serve`. */
  readonly data: unknown;
}

/** What a crew's file exports as `start`: called once in each worker. It returns when all that it began is finished. */
export type Start = (connections: AsyncIterable<TcpStream>, station: Station) => Promise<void> | void;

const { file, index, data, backend, port: home } = workerData as Task;
const port = parentPort!;
const COUNT_MS = 50;
/** Every idle connection has an operation out. */
const IN_FLIGHT_MAX = 65_536;

function tell(report: Report): void {
  port.postMessage(report);
}

/** Connections in the order in which they come, until it is ended. */
class Connections implements AsyncIterable<TcpStream> {
  readonly #waiting = new Fifo<TcpStream>();
  readonly #open = new Set<TcpStream>();
  #wake: (() => void) | undefined = undefined;
  /** Connections that are being taken over. */
  #taking = 0;
  #ended = false;

  get count(): number {
    for (const stream of this.#open) if (stream.closed) this.#open.delete(stream);
    return this.#open.size;
  }

  push(stream: TcpStream): void {
    this.#waiting.push(stream);
    this.#open.add(stream);
    this.#wake?.();
  }

  /** Whether it could be taken. */
  async take(taking: Promise<TcpStream>): Promise<boolean> {
    this.#taking += 1;
    const stream = await taking.catch(() => undefined);
    if (stream !== undefined) this.push(stream);
    this.#taking -= 1;
    this.#wake?.();
    return stream !== undefined;
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TcpStream, void, undefined> {
    for (;;) {
      const stream = this.#waiting.shift();
      if (stream !== undefined) yield stream;
      else if (this.#ended && this.#taking === 0) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

const connections = new Connections();

Proactor.configure({ backend });
const remote = home === undefined ? undefined : await remoteProactor(home, { inFlightMax: IN_FLIGHT_MAX });
/** Connections that were asked for, by offer: what is called when they are lent. */
const lending = new Map<number, (stream: TcpStream) => void>();

/** It is the crew's until it has been asked for: it may go to another while this thread is busy, or dead. */
function askFor(offer: number): void {
  const { promise, resolve } = Promise.withResolvers<TcpStream>();
  lending.set(offer, resolve);
  void connections.take(promise);
  tell({ kind: 'take', offer });
}

port.on('message', (order: Order) => {
  if (order.kind === 'serve') {
    const { offer } = order;
    const taking = connections.take(takeOver(order.moved) as Promise<TcpStream>);
    void taking.then((taken) => tell({ kind: taken ? 'took' : 'failed', offer }));
  } else if (order.kind === 'offer') askFor(order.offer);
  else if (order.kind === 'lend') {
    lending.get(order.offer)!(new TcpStream(remote!, order.descriptor, order.fd));
    lending.delete(order.offer);
  } else connections.end();
});

const { start } = (await import(file)) as { readonly start?: Start };
if (typeof start !== 'function') throw argumentTypeError('start', 'a function that the file exports', start);
const counting = setInterval(() => tell({ kind: 'connections', count: connections.count }), COUNT_MS);
const serving = start(connections, { index, data });
// What fails at once was never ready.
await Promise.race([serving, new Promise((resolve) => setImmediate(resolve))]);
tell({ kind: 'ready' });
await serving;
clearInterval(counting);
await remote?.close();
await Proactor.current().close();
port.close();
