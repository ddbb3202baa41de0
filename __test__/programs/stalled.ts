/**
 * Ends, in the way given, with a read or a write in the kernel that nothing can cancel: `stalled <how> <path>`, where neither
 * is answered in time for the file. Reports the time just before.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, alloc, open } from 'ritsu';
import { report } from './report.ts';

/** As long as the read needs to get to where a cancel does not reach it. */
const ON_ITS_WAY_MS = 200;

interface Stalled {
  readonly proactor: Proactor;
  readonly read: Promise<unknown>;
}

async function begin(path: string, isMany: boolean): Promise<Stalled> {
  const proactor = new Proactor({ backend: 'uring' });
  const file = await open(path, { proactor });
  await file.stat(); // without a size nothing is read
  const reader = file.submitter();
  if (isMany) reader.submitMany(alloc(4096, { proactor }), [0, 1024]);
  else reader.submit(alloc(4096, { proactor }), { position: 0 });
  const read = reader.poll().catch((error: unknown) => error);
  await delay(ON_ITS_WAY_MS);
  return { proactor, read };
}

/** Memory that moved into a write does not come back while the kernel may still read it. */
async function destroyUnderWrite(path: string): Promise<void> {
  const proactor = new Proactor({ backend: 'uring' });
  const file = await open(path, { flags: 'r+', proactor });
  const memory = alloc(4096, { proactor });
  const write = file.writer().writeAll(memory).catch((error: unknown) => error);
  await delay(ON_ITS_WAY_MS);
  report({ at: Date.now(), inFlight: proactor.stats().inFlight });
  await proactor.destroy({ deadline: 100 });
  const { code, rest, buffers } = (await write) as { code: string; rest?: Buffer; buffers?: readonly Buffer[] };
  report({ code, isKept: memory.length === 0 && rest === undefined && buffers === undefined });
  process.exit(0);
}

async function destroy({ proactor, read }: Stalled): Promise<void> {
  await proactor.destroy({ deadline: 100 });
  const { code, buffer } = (await read) as { code: string; buffer?: Buffer };
  report({ code, isKept: buffer === undefined });
  process.exit(0);
}

const ENDINGS: Readonly<Record<string, (stalled: Stalled) => unknown>> = {
  'process.exit': () => process.exit(7),
  'an uncaught error': () => setImmediate(() => { throw new Error('on purpose'); }),
  SIGTERM: () => process.kill(process.pid, 'SIGTERM'),
  'its natural end': ({ proactor }) => void proactor.unref(),
  destroy,
  'destroy, under many reads as one': destroy,
};

const [how = '', path = ''] = process.argv.slice(2);
if (how === 'destroy, under a write') await destroyUnderWrite(path);
const stalled = await begin(path, how.endsWith('as one'));
report({ at: Date.now(), inFlight: stalled.proactor.stats().inFlight });
await ENDINGS[how]!(stalled);
