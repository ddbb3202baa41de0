/**
 * Becomes another user while a ring is at work: `other-user <file that only root may read>`. Reports what opening the file
 * says before and after, on the ring that was there and on one that is made afterwards.
 */
import { Proactor, open } from 'ritsu';
import { internals } from '../support/internals.ts';
import { report } from './report.ts';

const [path = ''] = process.argv.slice(2);

async function codeOf(proactor: Proactor): Promise<string> {
  try {
    const file = await open(path, { proactor });
    await file.close();
    return 'opened';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  }
}

const proactor = Proactor.current();
const before = await codeOf(proactor);
const kept = await open(path);
// A thread of the kernel's has worked for us as root.
await Promise.all(Array.from({ length: 50 }, () => kept.sync()));
process.setgroups!([]);
process.setgid!(65_534);
process.setuid!(65_534);
const codes = new Set<string>();
for (let round = 0; round < 100; round += 1) codes.add(await codeOf(proactor));
for (const code of await Promise.all(Array.from({ length: 100 }, () => codeOf(proactor)))) codes.add(code);
const other = new Proactor({ backend: internals(proactor).backend.name as 'uring' });
codes.add(await codeOf(other));
await other.close();
const bytes = (await kept.allocator().read())!;
report({ before, after: [...codes], kept: bytes.data.toString(), uid: process.getuid!() });
bytes.release();
