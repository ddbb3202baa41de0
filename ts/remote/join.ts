/** `remoteProactor`: another thread's proactor, as an object of this thread's. */
import { MessagePort } from 'node:worker_threads';
import { argumentTypeError, closedError } from '../errors.js';
import { Proactor } from '../proactor.js';
import type { ProactorOptions } from '../proactor-options.js';
import { RemoteBackend } from './remote.js';

/** What a remote proactor may be told. */
export type RemoteOptions = Pick<ProactorOptions, 'inFlightMax' | 'pool' | 'streamPool' | 'traceLeases'>;

/** Operations of one handle that may be out at once. */
const IN_FLIGHT_MAX = 1024;
/** Ports that have a handle: a second one would take the first one's answers. */
const taken = new WeakSet<MessagePort>();

/** Only a port that has not been closed, or sent to another thread, keeps a loop alive. Its `close` event may be long past. */
function isOpen(port: MessagePort): boolean {
  if (port.hasRef()) return true;
  port.ref();
  const takesIt = port.hasRef();
  port.unref();
  return takesIt;
}

/**
 * Another thread's proactor, by the port that its `share()` gave. Operations run there; promises, memory, limits and the
 * life of what they open are this thread's.
 * @example
 * const disk = await remoteProactor(workerData.port);
 * await using file = await open('access.log', { proactor: disk });
 */
export async function remoteProactor(port: MessagePort, options: RemoteOptions = {}): Promise<Proactor> {
  if (!(port instanceof MessagePort)) throw argumentTypeError('port', 'an instance of MessagePort', port);
  if (taken.has(port) || !isOpen(port)) throw closedError('remoteProactor');
  let backend: RemoteBackend | undefined;
  const proactor = new Proactor({ inFlightMax: IN_FLIGHT_MAX, ...options }, (settle, inFlightMax) => {
    taken.add(port);
    backend = new RemoteBackend(port, settle, inFlightMax);
    return backend;
  });
  await backend!.joined;
  return proactor;
}
