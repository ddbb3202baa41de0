/**
 * What keeps the process alive: `keep-alive <case> <fifo>`. Reports `done` when what it waits for has come; a process
 * that ends before was not kept.
 */
import { constants } from 'node:fs';
import { Proactor, alloc, open, sleep } from 'ritsu';
import { internals } from '../support/internals.ts';
import { report } from './report.ts';

const [name = '', fifo = ''] = process.argv.slice(2);
const SHORT_MS = 300;
const LONG_MS = 60_000;
const proactor = Proactor.current();
const done = (): void => report({ done: true });

/** A read of an empty pipe, which only another process could end. */
async function readPipe(begun: () => void): Promise<void> {
  const file = await open(fifo, constants.O_RDWR);
  const reader = file.submitter();
  reader.submit(alloc(100));
  internals(proactor).backend.flush();
  report({ inFlight: proactor.stats().inFlight });
  begun();
  await reader.poll();
}

const CASES: Readonly<Record<string, () => unknown>> = {
  'a sleep': () => sleep(SHORT_MS).then(done),
  'a sleep with ref: false': () => sleep(LONG_MS, { ref: false }).then(done),
  'a sleep with ref: false beside another': () =>
    Promise.all([sleep(LONG_MS, { ref: false }).then(() => report({ wrong: true })), sleep(SHORT_MS).then(done)]),
  'a sleep with ref: false while a timer runs': () => {
    setTimeout(() => {}, 2 * SHORT_MS);
    return sleep(SHORT_MS, { ref: false }).then(done);
  },
  'a sleep on an unreferenced proactor': () => {
    proactor.unref();
    return sleep(LONG_MS).then(done);
  },
  'a sleep on a proactor unreferenced afterwards': () => {
    const sleeping = sleep(LONG_MS).then(done);
    setTimeout(() => proactor.unref(), 50);
    return sleeping;
  },
  'a sleep on a proactor referenced again': () => {
    proactor.unref().ref();
    return sleep(SHORT_MS).then(done);
  },
  'a sleep on a proactor referenced again afterwards': () => {
    proactor.unref();
    const sleeping = sleep(SHORT_MS).then(done);
    setTimeout(() => proactor.ref(), 50);
    return sleeping;
  },
  'a sleep on the other proactor': () => {
    const other = new Proactor();
    proactor.unref();
    void sleep(LONG_MS);
    return sleep(SHORT_MS, { proactor: other }).then(done);
  },
  'a read of an empty pipe': () => readPipe(() => setTimeout(done, SHORT_MS)),
  'a read of an empty pipe, unreferenced': () => readPipe(() => proactor.unref()),
  'a timeout cancelled': async () => {
    await sleep(LONG_MS, { signal: AbortSignal.timeout(SHORT_MS) }).catch(() => {});
    done();
  },
};

report({ at: Date.now() });
void CASES[name]!();
