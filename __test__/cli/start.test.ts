/** Description: the file half of the main job from its command line to its exit code, on small files. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readdirSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { backendInfo } from 'ritsu';
import type { Report } from '../../dist/cli/report.js';
import { IN_MEMORY, choosePlace, isInMemory } from '../../dist/cli/workplace.js';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { runCli } from './run-cli.ts';

// One child at a time: each wants the machine for itself.
const testUring = backendInfo().backend === 'uring' ? test.serial : test.serial.skip;
const FILES = ['--only', 'files'];
const SMALL = [...FILES, '--size', '1M', '--runs', '1'];
const IN_ORDER = ['node FileHandle.read', 'node createReadStream', 'ritsu allocator', 'ritsu submit', 'ritsu hybrid pooled'];
const AT_RANDOM = [
  'node FileHandle.read',
  'node fs.read',
  'ritsu allocator',
  'ritsu submit',
  'ritsu hybrid pooled',
  'ritsu hybrid owned',
  'ritsu readMany',
];

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function engines(report: Report): string[][] {
  return report.tables.map((table) => table.rows.map((row) => row.engine));
}

test.serial('a run shows a table of every engine, in order and at random, and leaves nothing behind', async (t) => {
  const { code, stdout, stderr, folder } = await runCli(SMALL);
  t.is(code, 0, stdout + stderr);
  const rows = [...stdout.matchAll(/^ {2}((?:node|ritsu) \S+(?: pooled| owned)?) {2,}[\d.,]+ /gm)].map(([, name]) => name);
  t.deepEqual(rows, [...IN_ORDER, ...AT_RANDOM]);
  for (const head of ['ops/s', 'MB/s', 'x node:fs', 'CPU us/op', 'p50 us', 'p99 us']) t.is(stdout.split(head).length, 3, head);
  t.regex(stdout, /whole file in order, cached, 64 KiB/);
  t.regex(stdout, /random 4 KiB, cached, depth 32/);
  t.regex(stdout, /page cache warm|page cache unknown/);
  t.regex(stdout, new RegExp(`on ${backendInfo().backend}, fence on`));
  t.true(stdout.includes(process.version));
  t.regex(stdout, /every byte was right in all 12 rows/);
  t.regex(stderr, /round 1 of 1/);
  t.false((stdout + stderr).includes('\u001b'));
  t.deepEqual(readdirSync(folder), []);
});

test.serial('--json prints the report, and nothing but it, on standard output', async (t) => {
  const { code, stdout, folder } = await runCli([...SMALL, '--json', '--runs', '2', '--depth', '5', '--block', '8K']);
  t.is(code, 0);
  const report = JSON.parse(stdout) as Report;
  t.like(report, { right: true, rounds: 2, fence: true, backend: { backend: backendInfo().backend } });
  t.like(report.file, { size: 2 ** 20, made: true, changed: false });
  t.deepEqual(engines(report), [IN_ORDER, AT_RANDOM]);
  t.like(report.tables[1], { blockSize: 8192, depth: 5 });
  for (const row of report.tables.flatMap((table) => table.rows)) {
    t.is(row.runs.length, 2, row.engine);
    const { ratio, ...others } = row.figures!;
    for (const [name, value] of Object.entries(others)) t.true(value! >= 0 && Number.isFinite(value), `${row.engine}: ${name}`);
    if (row.engine === 'node FileHandle.read') t.is(ratio, 1);
    if (!row.engine.startsWith('ritsu')) t.deepEqual(row.behind, []);
  }
  t.deepEqual(readdirSync(folder), []);
});

test.serial('--style leaves the other styles out, never node:fs', async (t) => {
  const { stdout } = await runCli([...SMALL, '--json', '--style', 'submit']);
  t.deepEqual(engines(JSON.parse(stdout) as Report), [
    ['node FileHandle.read', 'node createReadStream', 'ritsu submit'],
    ['node FileHandle.read', 'node fs.read', 'ritsu submit'],
  ]);
});

test.serial('--file reads a file of any size and leaves it as it was', async (t) => {
  for (const size of [1, 3, 4096, 123_457]) {
    const content = randomBytes(size);
    const path = fileOf(content);
    const before = statSync(path);
    const { code, stdout, folder } = await runCli([...FILES, '--file', path, '--runs', '1', '--json']);
    t.is(code, 0, stdout);
    const report = JSON.parse(stdout) as Report;
    t.like(report.file, { path, size, made: false, sha256: sha256(content) });
    t.deepEqual(readFileSync(path), content);
    t.is(statSync(path).mtimeMs, before.mtimeMs);
    t.deepEqual(readdirSync(folder), []);
  }
});

test.serial('blocks of an odd size, larger than the file, and more reads in flight than blocks', async (t) => {
  const path = fileOf(randomBytes(10_001));
  for (const words of ['--block 1000 --depth 7', '--block 1M', '--block 5M --depth 2', '--depth 1000', '--block 97 --depth 1']) {
    const { code, stdout } = await runCli([...FILES, '--file', path, '--runs', '1', ...words.split(' ')]);
    t.is(code, 0, `${words}: ${stdout}`);
  }
});

test.serial('one byte that changes while the file is read makes it end with 1, and says why', async (t) => {
  const path = fileOf(randomBytes(4 * 2 ** 20));
  let changed = false;
  const onProgress = (text: string): void => {
    if (changed || !text.includes('checking every byte')) return;
    changed = true;
    const fd = openSync(path, 'r+');
    const byte = Buffer.alloc(1);
    byte[0] = readFileSync(path)[2_000_000]! ^ 1;
    writeSync(fd, byte, 0, 1, 2_000_000);
    closeSync(fd);
  };
  const { code, stdout } = await runCli([...FILES, '--file', path, '--runs', '1'], { onProgress });
  t.is(code, 1, stdout);
  t.regex(stdout, /WRONG BYTES ritsu submit: the block at byte 1998848 is not the file's/);
  t.regex(stdout, /rows read wrong bytes; the file was changed while it was read/);
});

test.serial('a file that shrinks while it is read makes it end with 1', async (t) => {
  const path = fileOf(randomBytes(2 ** 20));
  const onProgress = (text: string): void => {
    if (text.includes('checking every byte')) closeSync(openSync(path, 'w'));
  };
  const { code, stdout } = await runCli([...FILES, '--file', path, '--runs', '1', '--json'], { onProgress });
  t.is(code, 1);
  const report = JSON.parse(stdout) as Report;
  t.like(report, { right: false, file: { changed: true } });
});

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
  test.serial(`${signal} ends it with ${code} and leaves no file`, async (t) => {
    let made = '';
    const ended = await runCli([...FILES, '--size', '4M', '--runs', '100'], {
      onProgress(text, child) {
        made ||= /making 4 MiB at (\S+)/.exec(text)?.[1] ?? '';
        if (text.includes('round 1')) child.kill(signal);
      },
    });
    t.is(ended.code, code, ended.stderr);
    t.true(made.startsWith(ended.folder));
    t.false(existsSync(made));
    t.deepEqual(readdirSync(ended.folder), []);
  });
}

test.serial('--keep leaves the file that was made, and says where', async (t) => {
  const { code, stdout, folder } = await runCli([...SMALL, '--keep', '--style', 'allocator']);
  t.is(code, 0);
  const path = /^the file is kept: (.+)$/m.exec(stdout)?.[1];
  t.is(dirname(dirname(path!)), folder);
  t.is(statSync(path!).size, 2 ** 20);
  t.true(stdout.includes(`sha256 ${sha256(readFileSync(path!))}`));
});

test.serial('on the node backend it says that there is no io_uring, and all is right', async (t) => {
  const { code, stdout } = await runCli(SMALL, { environment: { RITSU_BACKEND: 'node' } });
  t.is(code, 0, stdout);
  t.regex(stdout, /^ritsu \S+ on node, /m);
  t.regex(stdout, /no io_uring in this run/);
});

testUring('uring: --direct bypasses the page cache, whatever the size of the file', async (t) => {
  const path = fileOf(randomBytes(300_001));
  const { code, stdout } = await runCli([...FILES, '--file', path, '--direct', '--runs', '1', '--json']);
  t.is(code, 0, stdout);
  for (const table of (JSON.parse(stdout) as Report).tables) {
    t.is(table.cache, 'bypassed');
    t.true(table.diskBytes === null || table.diskBytes >= table.bytes * 0.9, `${table.diskBytes} of ${table.bytes}`);
  }
});

test.serial('the file is made on a disk where there is one, else it is said that it is not', (t) => {
  const memory = '/dev/shm';
  const here = import.meta.dirname;
  t.true(isInMemory(memory));
  t.is(choosePlace(1, [memory]).remark, IN_MEMORY);
  if (isInMemory(here)) t.is(choosePlace(1, [here, memory]).folder, here);
  else {
    t.deepEqual(choosePlace(1, [here]), { folder: here });
    t.deepEqual(choosePlace(1, [memory, here]), { folder: here, remark: `${memory} is in memory, full or closed to us` });
  }
  const deep = join(freshPath('made'), 'deeper');
  t.is(choosePlace(1, [deep]).folder, deep);
  t.throws(() => choosePlace(2 ** 52, [memory, here]), { message: /no room for the file .*MiB in/ });
});
