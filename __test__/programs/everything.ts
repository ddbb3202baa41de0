/**
 * A little of everything, wherever it runs, with each result checked: `everything <directory>`. Reports which backend
 * answered and why, and the warnings of the process.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, alloc, backendInfo, open, owned, pooled, sleep } from 'ritsu';
import { ensure, report } from './report.ts';

const path = join(process.argv[2]!, `everything-${process.pid}`);
const warnings: Readonly<Record<string, unknown>>[] = [];
process.on('warning', (warning: Error & { code?: string; detail?: string }) => {
  warnings.push({ code: warning.code, message: warning.message, detail: warning.detail });
});

async function use(proactor: Proactor, direct: boolean): Promise<void> {
  const content = Buffer.from('0123456789abcdef'.repeat(1024));
  const file = await open(path, { flags: 'w+', direct, proactor });
  const writer = file.writer();
  await writer.writeAll(Buffer.from(content));
  ensure((await file.stat()).size === content.length, 'size');
  const lease = await file.allocator().read({ position: 0 });
  ensure(content.equals(lease!.data), 'allocator');
  lease!.release();
  const submitter = file.submitter();
  submitter.submit(alloc(content.length, { proactor }), { position: 0 });
  ensure(content.equals((await submitter.poll()).data), 'submitter');
  for (const into of [owned(alloc(content.length, { proactor })), pooled({ pool: proactor.pool })]) {
    ensure(content.equals((await file.hybrid().read(into, { position: 0 }))!.data), 'hybrid');
  }
  await file.truncate(4096);
  await file.sync();
  ensure((await file.stat()).size === 4096, 'size after truncation');
  await file.close();
  const missing = await open(`${path}-missing`, { proactor }).catch((error: Error & { code?: string }) => error.code);
  ensure(missing === 'ENOENT', `open of nothing: ${String(missing)}`);
  ensure((await proactor.nop()) === 0, 'nop');
  await sleep(1, { proactor });
}

try {
  const info = backendInfo();
  const proactors = [Proactor.current(), new Proactor(), new Proactor()];
  for (const proactor of proactors) {
    await use(proactor, false);
    await use(proactor, true);
  }
  const { retries, registeredBytes } = proactors[0]!.stats();
  await Promise.all(proactors.map((proactor) => proactor.close()));
  await delay(1); // warnings are emitted a turn later
  report({ ...info, warnings, retries, registeredBytes });
} catch (error) {
  const { code, message } = error as Error & { code?: string };
  report({ failed: { code, message } });
  process.exitCode = 3;
}
