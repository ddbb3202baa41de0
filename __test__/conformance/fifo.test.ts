/**
 * Description: a FIFO is opened to write as `open(2)` opens it, only when somebody reads it; to read, on the ring, mostly at once. Who waits can be
 * told to stop.
 *
 * What turns it red: an open that is not tried again on a worker thread, since on this one the kernel adds O_NONBLOCK
 * (`ts/open-descriptor.ts`); a kernel's own ERESTARTSYS that is passed on (`interrupted` of crates/ritsu/src/in_flight.rs).
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { CancelScope, Proactor, open, pipe } from 'ritsu';
import { onReal } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import { pause } from '../support/net.ts';
import { ringTest } from '../support/ring.ts';

function fifo(): string {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

interface Ended extends NodeJS.ErrnoException {
  readonly bytesTransferred?: number;
}

type Limits = { readonly timeout?: number; readonly signal?: AbortSignal; readonly proactor: Proactor };

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;

const OPENS: readonly (readonly [string, 'r' | 'w', (path: string, limits: Limits) => Promise<{ close(): Promise<void> }>])[] = [
  ['pipe, to be read', 'r', pipe],
  ['pipe, to be written', 'w', (path, limits) => pipe(path, { flags: 'w', ...limits })],
  ['pipe by O_WRONLY', 'w', (path, limits) => pipe(path, { flags: O_WRONLY, ...limits })],
  ['open, to be written', 'w', (path, limits) => open(path, { flags: 'w', ...limits })],
  ['open by O_WRONLY', 'w', (path, limits) => open(path, { flags: O_WRONLY, ...limits })],
];

// One after the other: on `node` each of them blocks a thread of Node's pool.
onReal('it is open when its other side is', async (t, proactor, backend) => {
  for (const [name, side, start] of OPENS) {
    const path = fifo();
    let isOpen = false;
    const opening = start(path, { proactor }).finally(() => {
      isOpen = true;
    });
    await pause(100);
    if (side === 'w' || backend === 'node') t.false(isOpen, name);
    const other = await fs.promises.open(path, side === 'r' ? 'w' : 'r');
    const opened = await opening;
    await Promise.all([opened.close(), other.close()]);
  }
});

onReal('with O_NONBLOCK it waits for nobody, and nobody to read it is ENXIO', async (t, proactor) => {
  const path = fifo();
  await t.throwsAsync(() => open(path, { flags: O_WRONLY | O_NONBLOCK, proactor }), { code: 'ENXIO' });
  const reading = await pipe(path, { flags: O_RDONLY | O_NONBLOCK, proactor });
  const writing = await open(path, { flags: O_WRONLY | O_NONBLOCK, proactor });
  await Promise.all([reading.close(), writing.close()]);
});

for (const [name, , start] of OPENS.filter(([, side]) => side === 'w')) {
  ringTest(`who waits for the other side can be stopped: ${name}`, async (t) => {
    const proactor = new Proactor({ backend: 'uring' });
    const endings = [
      [() => ({ timeout: 30 }), { name: 'TimeoutError', code: 'ERR_RITSU_TIMEOUT' }],
      [() => ({ signal: AbortSignal.timeout(30) }), { name: 'AbortError', code: 'ABORT_ERR' }],
    ] as const;
    for (const [limits, expected] of endings) {
      const error = await t.throwsAsync<Ended>(() => start(fifo(), { ...limits(), proactor }));
      t.is(error.name, expected.name, error.message);
      t.is(error.code, expected.code);
      t.is(error.bytesTransferred, 0);
    }
    t.is(proactor.stats().cancel.won, 2);
    const scope = new CancelScope(AbortSignal.timeout(30));
    await t.throwsAsync(start(fifo(), { signal: scope.signal, proactor }));
    t.deepEqual(await scope.settled(), { completed: 0, aborted: 1, failed: 0 });
    await proactor.close();
    t.is(proactor.stats().descriptorsOpen, 0);
  });
}
