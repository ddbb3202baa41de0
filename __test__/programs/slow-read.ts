/**
 * A read, left to the kernel's workers or not: `slow-read <path> <offload> <stat>`. Reports how often the event loop turned meanwhile,
 * and how many workers there are.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { open } from 'ritsu';
import { report } from './report.ts';

const [path = '', offload = '', stat = ''] = process.argv.slice(2);
const file = await open(path, { offload: offload === 'true' });
if (stat === 'true') await file.stat(); // before it, FUSE knows no size, and nothing is read
let turns = 0;
const timer = setInterval(() => (turns += 1), 5);
const bytes = await file.allocator().read({ position: 0 });
clearInterval(timer);
const names = readdirSync('/proc/self/task').map((task) => readFileSync(`/proc/self/task/${task}/comm`, 'latin1'));
report({ turns, length: bytes!.length, workers: names.filter((name) => name.startsWith('iou-wrk')).length });
bytes!.release();
await file.close();
