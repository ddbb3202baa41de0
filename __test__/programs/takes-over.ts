/** A thread that takes over what it is sent, and says what it read of it: the worker of `__test__/threads/hand-over.test.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor, takeOver } from 'ritsu';
import { claim } from '../../dist/move-state.js';
import type { BackendName, File, Moved, Stream } from 'ritsu';

const { backend, dies } = workerData as { backend: BackendName; dies?: 'with it' | 'half-way' };
const proactor = new Proactor({ backend });

async function readAll(resource: Stream | File): Promise<string> {
  let text = '';
  for await (const bytes of resource.allocator()) {
    text += bytes.data.toString('latin1');
    if (text.endsWith('\n')) break; // the sender waits for an answer
  }
  if ('shutdown' in resource) await resource.writer().writeAll(`${text.length} bytes`);
  return text;
}

async function take(moved: Moved): Promise<unknown> {
  const resource = await takeOver(moved, { proactor });
  const again = await takeOver(moved, { proactor }).catch((error: NodeJS.ErrnoException) => error.code);
  const text = await readAll(resource);
  const remotePort = 'remotePort' in resource ? resource.remotePort : undefined;
  const path = 'path' in resource ? resource.path : undefined;
  await resource.close();
  return { text, again, remotePort, path };
}

parentPort!.on('message', (moved: Moved | 'end') => {
  if (moved === 'end') {
    void proactor.close().then(() => parentPort!.close());
    return;
  }
  if (dies === 'half-way') claim(moved.state);
  if (dies !== undefined) process.exit(0);
  take(moved).then((taken) => parentPort!.postMessage(taken), (error: NodeJS.ErrnoException) => parentPort!.postMessage({ code: error.code }));
});
parentPort!.postMessage('ready');
