/**
 * A ring's descriptor that somebody else closes, as the proactor finds out in a call that is made from a continuation of its own
 * operation: `broken-ring`. What is out must fail, and the end of the proactor must come.
 */
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { Proactor, sleep } from 'ritsu';
import { report } from './report.ts';

function rings(): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[io_uring]';
    } catch {
      return false;
    }
  });
}

/** More than may be registered with the kernel; one that is, is entered without its descriptor. */
const others = Array.from({ length: 16 }, () => new Proactor({ backend: 'uring' }));
const before = new Set(rings());
const proactor = new Proactor({ backend: 'uring' });
const own = rings().find((fd) => !before.has(fd));
const alive = setTimeout(() => {}, 20_000);
await proactor.nop();
const sleeping = sleep(60_000, { proactor });
await proactor.nop();
closeSync(Number(own));
const codeOf = (error: unknown): string => (error as { readonly code: string }).code;
const late = proactor.nop().then(String, codeOf);
let thrown = 'nothing';
try {
  proactor.stats();
} catch (error) {
  thrown = codeOf(error);
}
const failed = await Promise.all([sleeping.then(String, codeOf), late]);
const { open } = proactor;
await proactor.destroy({ deadline: 100 });
report({ thrown, failed, open });
await Promise.all(others.map((other) => other.destroy()));
clearTimeout(alive);
