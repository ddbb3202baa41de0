/**
 * How long a process lives: `lifetime <case>`. In most cases something waits and was told to keep nothing alive, and then what must be
 * waited for is done all the same. In the others nothing waits in the end. Reports `done` when that has happened: a process that ends
 * before was not kept, one that does not end afterwards was.
 */
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, remoteProactor } from 'ritsu';
import { ENDS } from './lifetime-ends.ts';
import { done } from './lifetime-parts.ts';
import { WAITS } from './lifetime-waits.ts';
import { report } from './report.ts';

const CASES = { ...WAITS, ...ENDS };
const UNUSED = 'another thread’s proactor is never used';

/** The same in a worker, on the proactor of the main thread. */
function inWorker(name: string): void {
  const port = Proactor.current().share();
  new Worker(fileURLToPath(import.meta.url), { workerData: { name, port }, transferList: [port] }).on('exit', () => report({ ended: true }));
}

if (isMainThread) {
  const [name = '', where] = process.argv.slice(2);
  if (where === 'remote') inWorker(name);
  else await CASES[name]!(new Proactor());
} else {
  const { name, port } = workerData as { readonly name: string; readonly port: MessagePort };
  const proactor = await remoteProactor(port);
  if (name === UNUSED) done();
  else await CASES[name]!(proactor);
}
