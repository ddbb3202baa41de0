/**
 * Resources that the program forgot: when nothing refers to a `File`, a stream or a listener any more and it was not
 * closed, its descriptor is closed here, with a warning, as Node does for a FileHandle.
 *
 * What is given here must not refer to the resource, or that would never be collected. Who calls: the resources, when
 * they are made and when they are closed.
 */
import { Opcode, Operation } from './op.js';

export interface Unclosed {
  readonly fd: number;
  close(): Promise<void>;
  /** Close it for nobody, where that may take its time. */
  forgotten?(): Promise<void>;
}

const registry = new FinalizationRegistry<Unclosed>((unclosed) => {
  const { fd } = unclosed;
  const what = fd < 0 ? 'a socket' : `file descriptor ${fd}`; // Node does not tell every socket's
  process.emitWarning(`closing ${what}, which was collected without having been closed`, {
    code: 'RITSU_UNCLOSED',
    type: 'RitsuWarning',
  });
  const closed = unclosed.forgotten?.() ?? unclosed.close();
  closed.catch(() => {}); // nobody is left to be told
});

/** Close it when `resource` has been collected. */
export function closeWhenCollected(resource: object, unclosed: Unclosed): void {
  registry.register(resource, unclosed, unclosed);
}

/** It is being closed by the program. */
export function isBeingClosed(unclosed: Unclosed): void {
  registry.unregister(unclosed);
}

/** Who closes descriptors. */
export interface Closer {
  /** Everything is closed already. */
  readonly ended: boolean;
  start<T>(operation: Operation<T>): void;
}

/** Close it; rejects when the system says that it could not. */
export function closeOrFail(closer: Closer, descriptor: number): Promise<void> {
  if (closer.ended) return Promise.resolve();
  const operation = new Operation<void>(Opcode.CLOSE, (op, { result }) => (result < 0 ? op.failure(result) : undefined));
  operation.descriptor = descriptor;
  closer.start(operation);
  return operation.promise;
}

/** Close what nobody got; nobody is told when that fails. */
export function closeDescriptor(closer: Closer, descriptor: number): Promise<void> {
  return closeOrFail(closer, descriptor).catch(() => {});
}
