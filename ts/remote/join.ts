/** `remoteProactor`: another thread's proactor, as an object of this thread's. */
import { MessagePort } from 'node:worker_threads';
import { checkCancelOptions, isAborted, limit, limitError, reasonOf } from '../cancel.js';
import type { CancelOptions, Ending } from '../cancel.js';
import { abortError, argumentTypeError, closedError } from '../errors.js';
import { Proactor } from '../proactor.js';
import type { ProactorOptions } from '../proactor-options.js';
import { RemoteBackend } from './remote.js';

/** What a remote proactor may be told; and how long its owner may take to answer for the first time, for ever where not given. */
export type RemoteOptions = Pick<ProactorOptions, 'inFlightMax' | 'pool' | 'streamPool' | 'traceLeases'> &
  Pick<CancelOptions, 'signal' | 'timeout'>;

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
 * life of what they open are this thread's. Resolves when the owner's thread has answered. A port that no `share()` made never
 * answers: `timeout` and `signal` end that, and close the port.
 * @example
 * const disk = await remoteProactor(workerData.port);
 * await using file = await open('access.log', { proactor: disk });
 */
export async function remoteProactor(port: MessagePort, options: RemoteOptions = {}): Promise<Proactor> {
  if (!(port instanceof MessagePort)) throw argumentTypeError('port', 'an instance of MessagePort', port);
  const { signal, timeout } = checkCancelOptions(options);
  if (signal !== undefined && isAborted(signal)) throw abortError(reasonOf(signal));
  if (taken.has(port) || !isOpen(port)) throw closedError('remoteProactor');
  let backend: RemoteBackend | undefined;
  const proactor = new Proactor({ inFlightMax: IN_FLIGHT_MAX, ...options }, (settle, inFlightMax) => {
    taken.add(port);
    backend = new RemoteBackend(port, settle, inFlightMax);
    return backend;
  });
  await answered(backend!, port, { signal, timeout });
  return proactor;
}

/** The owner has answered; or the limit was over before, and the port is closed. */
function answered({ joined }: RemoteBackend, port: MessagePort, options: CancelOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let ending: Ending = 'failed';
    const stop = limit(options, (cause, reason) => {
      ending = 'aborted';
      reject(limitError(cause, reason, 'remoteProactor'));
      port.close(); // nobody answers then: it is not waited for any more
    });
    joined.then(
      () => {
        stop('completed');
        resolve();
      },
      (error: Error) => {
        stop(ending);
        reject(error);
      },
    );
  });
}
