/**
 * A proactor that is idle, in the way given: `idle <how> <path>`. Nothing here ends the process but the loop running
 * out of work; with `timer` a timer keeps it alive for some seconds, in which the ring makes no call, and the process uses
 * no CPU in the quietest of them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, open } from 'ritsu';
import { report } from './report.ts';

/** Seconds that are watched at most, and the microseconds of CPU in one of them that need no further look. */
const SECONDS_MAX = 6;
const CPU_ENOUGH = 5000;

const [how = '', path = ''] = process.argv.slice(2);
const proactor = Proactor.current();

async function readSome(): Promise<void> {
  const file = await open(path);
  const bytes = await file.allocator().read();
  bytes!.release();
  if (how !== 'file left open') await file.close();
}

if (how !== 'unused') await readSome();
if (how === 'closed') await proactor.close();
report({ at: Date.now(), backend: proactor.info.backend });

if (how === 'timer') {
  await delay(500); // Node compiles for a while after it began
  const first = proactor.stats();
  const { wakes, enters, dispatches } = proactor.stats();
  const lookEnters = enters - first.enters; // what asking costs by itself
  const seconds: number[] = [];
  const watch = (): void => {
    const before = process.cpuUsage();
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before);
      seconds.push(user + system);
      // A busy machine has Node's own housekeeping in one second or the other; an idle process has seconds without any.
      if (seconds.length < SECONDS_MAX && Math.min(...seconds) > CPU_ENOUGH) return watch();
      const after = proactor.stats();
      report({
        cpuMicroseconds: Math.min(...seconds),
        wakes: after.wakes - wakes,
        enters: after.enters - enters - lookEnters,
        dispatches: after.dispatches - dispatches,
      });
    }, 1000);
  };
  watch();
}
