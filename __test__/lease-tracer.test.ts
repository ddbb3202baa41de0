/** Description: the leak finder names the call that asked for a lease which was never released, and no other. */
import { setTimeout as delay } from 'node:timers/promises';
import { open } from 'ritsu';
import type { AllocatorReader } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { collectUntil } from './support/collect.ts';
import { fileOf, randomBytes } from './support/files.ts';

interface Warned extends Error {
  readonly code?: string;
}

async function forgetsOne(reader: AllocatorReader): Promise<void> {
  await reader.read({ position: 0 });
}

async function releasesAll(reader: AllocatorReader): Promise<void> {
  for (let index = 0; index < 20; index += 1) (await reader.read({ position: index }))!.release();
}

onEachAlone('a lease that was collected unreleased: the warning names the call', { traceLeases: true }, async (t, proactor) => {
  const file = await open(fileOf(randomBytes(10_000)), { proactor });
  const warnings: Warned[] = [];
  const listen = (warning: Warned): void => void (warning.code === 'RITSU_LEASE_LEAK' && warnings.push(warning));
  process.on('warning', listen);
  const reader = file.allocator({ blockSize: 4096 });
  await releasesAll(reader);
  await forgetsOne(reader);
  t.true(await collectUntil(() => warnings.length > 0), 'it warns');
  await delay(20);
  t.is(warnings.length, 1, 'once');
  t.is(warnings[0]!.name, 'RitsuWarning');
  t.regex(warnings[0]!.message, /forgetsOne/);
  t.regex(warnings[0]!.message, /lease-tracer\.test\.ts/);
  t.notRegex(warnings[0]!.message, /releasesAll/);
  process.off('warning', listen);
});
