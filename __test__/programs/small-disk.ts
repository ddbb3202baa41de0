/** Fills a disk that has room for a megabyte: `small-disk <file>`. Reports what the writes said, and what is in the file. */
import { readFileSync, statSync } from 'node:fs';
import { open } from 'ritsu';
import { randomBytes } from '../support/files.ts';
import { report } from './report.ts';

const [path = ''] = process.argv.slice(2);
const content = randomBytes(3 * 2 ** 20, 9);

const first = await open(path, { flags: 'w' });
const { bytesWritten, rest } = await first.writer().write(content);
await first.close();
report({ short: bytesWritten, rest: rest.length });

const file = await open(path, { flags: 'w' });
const writer = file.writer();
const error = (await writer.writeAll(content).catch((thrown: unknown) => thrown)) as NodeJS.ErrnoException & { bytesTransferred: number };
report({ code: error.code, transferred: error.bytesTransferred, size: statSync(path).size });
report({ equal: readFileSync(path).equals(content.subarray(0, error.bytesTransferred)) });
const later = (await writer.write('more').catch((thrown: unknown) => thrown)) as NodeJS.ErrnoException;
report({ later: later.code });
await file.close();
