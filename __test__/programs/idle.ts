/**
 * A proactor that is idle, in the way given: `idle <how> <path>`. Nothing here ends the process but the loop running
 * out of work; with `busy` a timer keeps it alive for a second, in which the program uses no CPU and makes no call.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, open } from 'ritsu';
import { report } from './report.ts';

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
  const before = process.cpuUsage();
  setTimeout(() => {
    const { user, system } = process.cpuUsage(before);
    const after = proactor.stats();
    report({
      cpuMicroseconds: user + system,
      wakes: after.wakes - wakes,
      enters: after.enters - enters - lookEnters,
      dispatches: after.dispatches - dispatches,
    });
  }, 1000);
}
