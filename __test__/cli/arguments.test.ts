/** Description: every wrong argument ends the main job with one clear line, exit code 2, and nothing else. */
import { mkdirSync } from 'node:fs';
import test from 'ava';
import { UsageError, checkFile, parseArguments } from '../../dist/cli/arguments.js';
import type { Settings } from '../../dist/cli/arguments.js';
import { fileOf, freshPath } from '../support/files.ts';
import { runCli } from './run-cli.ts';

const folder = freshPath('folder');
mkdirSync(folder);

/** What is said, and what the answer must name. */
const WRONG: readonly (readonly [words: string, named: RegExp])[] = [
  ['--bogus', /'--bogus'/],
  ['-x', /'-x'/],
  ['words', /'words'/],
  ['--size', /'--size/],
  ['--size 12Q', /--size 12Q/],
  ['--size M', /--size M/],
  ['--size 1.5G', /--size 1\.5G/],
  ['--size 0', /--size 0: .*at least 1/],
  ['--size -5', /--size -5/],
  ['--size 9999999G', /--size 9999999G/],
  ['--block 0K', /--block 0K/],
  ['--block 65M', /--block 65M: .*at most/],
  ['--depth 0', /--depth 0: .*at least 1/],
  ['--depth -1', /--depth -1/],
  ['--depth many', /--depth many/],
  ['--depth 4097', /--depth 4097: .*at most 4096/],
  ['--depth 1024 --block 1M', /--depth 1024: .*at most 512/],
  ['--runs 0', /--runs 0/],
  ['--runs 1.5', /--runs 1\.5/],
  ['--runs NaN', /--runs NaN/],
  ['--style borrowed', /--style borrowed: .*allocator, submit, hybrid, all/],
  ['--backend epoll', /--backend epoll: .*uring, node, auto/],
  ['--direct --block 1000', /--block 1000: .*multiple of 4096/],
  ['--direct --backend node', /--direct: /],
  ['--json=yes', /'--json'/],
  [`--file ${freshPath('nothing')}`, /nothing: no such file/],
  [`--file ${fileOf('', 'empty')}`, /empty: it is empty/],
  [`--file ${folder}`, /folder: it is a directory/],
  ['--file /dev/null', /not a regular file/],
  [`--file ${fileOf('a')}/b`, /no such file/],
  ['--only memory', /--only memory: .*files, sockets/],
  ['--only', /'--only/],
  ['--connections 0', /--connections 0: .*at least 1/],
  ['--connections -3', /--connections -3/],
  ['--connections 1001', /--connections 1001: .*at most 1000/],
  ['--connections all', /--connections all/],
  ['--only files --connections 4', /--connections is for sockets/],
  ['--only sockets --size 1M', /--size is for files/],
  ['--only sockets --depth 4', /--depth is for files/],
  ['--only sockets --direct', /--direct is for files/],
  ['--only sockets --keep', /--keep is for files/],
  [`--file ${fileOf('a')} --size 1M`, /--size is for the file that is made/],
];

test('a wrong argument: one line that names it, exit code 2', async (t) => {
  const check = async ([words, named]: (typeof WRONG)[number]): Promise<void> => {
    const { code, stdout, stderr } = await runCli(words.split(' '));
    t.is(code, 2, words);
    t.is(stdout, '', words);
    t.regex(stderr, /^[^\n]+\n$/, words);
    t.regex(stderr, named, words);
    t.notRegex(stderr, /Error|^ +at /m, words);
  };
  for (let first = 0; first < WRONG.length; first += 4) await Promise.all(WRONG.slice(first, first + 4).map(check));
});

test('a wrong RITSU_BACKEND is a wrong argument, unless --backend overrides it', async (t) => {
  const environment = { RITSU_BACKEND: 'epoll' };
  const { code, stderr } = await runCli(['--size', '1M'], { environment });
  t.is(code, 2);
  t.regex(stderr, /^RITSU_BACKEND epoll: [^\n]+\n$/);
  const overridden = await runCli(['--only', 'files', '--size', '64K', '--backend', 'node', '--runs', '1', '--style', 'submit'], { environment });
  t.is(overridden.code, 0, overridden.stderr);
});

test('sizes, counts and defaults', (t) => {
  const settings = (...words: string[]): Settings => parseArguments(words) as Settings;
  t.like(settings(), { sequentialBlock: 65_536, randomBlock: 4096, depth: 32, runs: 3, direct: false, json: false, file: undefined, only: undefined, connections: 64 });
  t.like(settings('--only', 'sockets', '--connections', '1000'), { only: 'sockets', connections: 1000 });
  t.is(settings('--size', '3k').size, 3072);
  t.is(settings('--size', '2MiB').size, 2 ** 21);
  t.is(settings('--size', '1GB').size, 2 ** 30);
  t.is(settings('--size=17').size, 17);
  t.like(settings('--block', '8K'), { sequentialBlock: 8192, randomBlock: 8192 });
  t.deepEqual(settings('--style', 'hybrid').styles, ['hybrid']);
  t.deepEqual(settings('--style', 'all').styles, ['allocator', 'submit', 'hybrid']);
  t.is(settings('--backend', 'auto').backend, 'auto');
  t.true(settings('--direct', '--block', '1M').direct);
  t.is(parseArguments(['--help']), 'help');
  t.is(parseArguments(['--version']), 'version');
});

test('a file that can be read is measured, others are refused', (t) => {
  t.is(checkFile(fileOf('abc')), 3);
  t.throws(() => checkFile(folder), { instanceOf: UsageError });
});

test('--help and --version answer and end well', async (t) => {
  const help = await runCli(['--help']);
  t.is(help.code, 0);
  for (const option of ['file', 'size', 'block', 'depth', 'style', 'backend', 'direct', 'runs', 'json', 'keep', 'only', 'connections', 'help', 'version']) {
    t.regex(help.stdout, new RegExp(`--${option}\\b`));
  }
  t.true(help.stdout.split('\n').every((line) => line.length <= 120));
  const version = await runCli(['--version']);
  t.is(version.code, 0);
  t.regex(version.stdout, /^\d+\.\d+\.\d+\S*\n$/);
});
