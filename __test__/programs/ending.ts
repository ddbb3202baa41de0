/**
 * Ends this process, in the way given, while the kernel has 64 direct reads: `ending <how> <memory> <path>`.
 * Reports the time just before.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beginReads, directProactor } from './direct-reads.ts';
import type { MemoryKind } from './direct-reads.ts';
import { report } from './report.ts';

const [how = '', memory = '', path = ''] = process.argv.slice(2);
const proactor = directProactor();

function ending(): void {
  report({ at: Date.now(), inFlight: proactor.stats().inFlight });
}

const ENDINGS: Readonly<Record<string, (reads: Promise<unknown>[]) => unknown>> = {
  'process.exit': () => {
    ending();
    process.exit(7);
  },
  'process.exit a turn later': async () => {
    await nextTurn();
    ending();
    process.exit(7);
  },
  'process.exit in a continuation': async (reads) => {
    await Promise.race(reads);
    ending();
    process.exit(7);
  },
  'an uncaught error': () => {
    setImmediate(() => {
      ending();
      throw new Error('on purpose');
    });
  },
  'an uncaught error in a continuation': async (reads) => {
    await Promise.race(reads);
    ending();
    queueMicrotask(() => {
      throw new Error('on purpose');
    });
  },
  'an unhandled rejection': () => {
    ending();
    void Promise.reject(new Error('on purpose'));
  },
  SIGTERM: () => {
    ending();
    process.kill(process.pid, 'SIGTERM');
  },
  'its natural end': async (reads) => {
    ending();
    await Promise.all(reads);
    report({ settled: true });
  },
  'its natural end, unreferenced': () => {
    proactor.unref();
    ending();
  },
};

await ENDINGS[how]!(await beginReads(proactor, path, memory as MemoryKind));
