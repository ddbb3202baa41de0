/**
 * A guest that is terminated at a stage of its operations: the worker of `__test__/threads/remote-ends.test.ts`. It has a
 * file and a listener open, and asks for all sorts when it is told to; with a gate it is asleep when the answers come.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { listen, open, pooled, remoteProactor } from 'ritsu';
import { internals } from '../support/internals.ts';

export interface StagesData {
  readonly port: MessagePort;
  readonly path: string;
  /** Nobody opens it. */
  readonly gate: Int32Array | undefined;
}

export const OPENS = 40;

const { port, path, gate } = workerData as StagesData;
const remote = await remoteProactor(port);
const file = await open(path, { flags: 'r+', proactor: remote });
const listener = await listen({ port: 0, host: '127.0.0.1', proactor: remote });

function ask(): void {
  const asked: Promise<unknown>[] = [listener.accept()];
  // Opens that may create go to the kernel's workers: a cancel comes too late for some.
  for (let count = 0; count < OPENS; count += 1) asked.push(open(path, { flags: 'a+', proactor: remote }));
  for (let count = 0; count < 10; count += 1) {
    asked.push(file.hybrid().read(pooled({ pool: remote.pool }), { position: count }));
    asked.push(file.writer().writeAll('written'));
  }
  void Promise.allSettled(asked);
  internals(remote).backend.flush();
  parentPort!.postMessage('asked');
  if (gate !== undefined) Atomics.wait(gate, 0, 0);
}

parentPort!.once('message', ask);
parentPort!.postMessage(listener.address().port);
setInterval(() => {}, 1000);
