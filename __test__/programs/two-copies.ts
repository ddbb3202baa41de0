/**
 * Two copies of the package in one thread, as where two versions of it are installed: `two-copies <folder of the other> <path>`.
 * What one answers begins what the other is asked; nothing else turns the loop.
 */
import { pathToFileURL } from 'node:url';
import * as here from 'ritsu';
import { report } from './report.ts';

const [folder = '', path = ''] = process.argv.slice(2);
const there = (await import(pathToFileURL(`${folder}/dist/index.js`).href)) as typeof here;
const readers: here.AllocatorReader[] = [];
const proactors = [here, there, here, there].map(({ Proactor }) => new Proactor());
for (const [index, copy] of [here, there, here, there].entries()) readers.push((await copy.open(path, { proactor: proactors[index]! })).allocator());
let bytes = 0;
for (let round = 0; round < 500; round += 1) {
  for (const reader of readers) {
    const lease = (await reader.read({ position: round }))!;
    bytes += lease.length;
    lease.release();
  }
}
for (const proactor of proactors) await proactor.destroy();
report({ bytes, isAnother: there.Proactor !== here.Proactor });
