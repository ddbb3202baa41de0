/**
 * Description: opening, as `node:fs` opens: flags, modes, paths, and for every failure the same code, errno, syscall,
 * path and message as Node's own error.
 */
import { execFile, execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { open } from 'ritsu';
import type { OpenMode, PathLike, Proactor } from 'ritsu';
import { onEach, onReal } from '../support/backends.ts';
import { fileOf, freshPath } from '../support/files.ts';

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;

interface Failure {
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly path?: string;
  readonly message: string;
}

type Arguments = [path: unknown, flags?: unknown, mode?: unknown];

function shapeOf(error: unknown): Failure & { readonly name: string } {
  const { name, code, errno, syscall, path, message } = error as Failure & { name: string };
  return { name, ...(code && { code }), ...(errno && { errno }), ...(syscall && { syscall }), ...(path && { path }), message };
}

async function failureOf(work: () => Promise<{ close(): Promise<void> }>): Promise<unknown> {
  try {
    await (await work()).close();
  } catch (error) {
    return error;
  }
  return undefined;
}

async function sameFailure(t: ExecutionContext, proactor: Proactor, [path, flags, mode]: Arguments): Promise<void> {
  const theirs = await failureOf(() => fs.promises.open(path as string, flags as string, mode as number));
  const ours = await failureOf(() =>
    open(path as PathLike, { flags: flags as string, mode: mode as OpenMode, proactor }),
  );
  t.truthy(theirs, 'the oracle fails');
  t.truthy(ours, 'we fail');
  t.deepEqual(shapeOf(ours), shapeOf(theirs));
}

function loopOfLinks(): string {
  const path = freshPath('loop');
  fs.symlinkSync(path, path);
  return path;
}

function fifo(): string {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

const SYSTEM_FAILURES: readonly (readonly [string, () => Arguments])[] = [
  ['ENOENT', () => [freshPath('missing')]],
  ['ENOENT for a directory that is missing', () => [`${freshPath('no-directory')}/file`, 'w']],
  ['ENOENT for an empty path', () => ['']],
  ['ENOENT for a Buffer', () => [Buffer.from(freshPath('búfer'))]],
  ['ENOENT for a file URL', () => [pathToFileURL(freshPath('with space'))]],
  ['ENOTDIR', () => [`${fileOf('x')}/below`]],
  ['ENOTDIR for O_DIRECTORY', () => [fileOf('x'), O_RDONLY | O_DIRECTORY]],
  ['EISDIR', () => ['/tmp', 'r+']],
  ['EISDIR for creation', () => ['/tmp', 'w']],
  ['ELOOP', () => [loopOfLinks()]],
  ['ELOOP for O_NOFOLLOW', () => ['/proc/self/exe', O_RDONLY | O_NOFOLLOW]],
  ['ENAMETOOLONG', () => [`/tmp/${'n'.repeat(256)}`, 'w']],
  ['ENAMETOOLONG for a whole path', () => [`/tmp/${'n/'.repeat(2500)}`]],
  ['EEXIST', () => [fileOf('x'), 'wx']],
  ['EEXIST for appending', () => [fileOf('x'), 'ax+']],
  ['ETXTBSY', () => [process.execPath, O_WRONLY]],
  ['ENXIO', () => [fifo(), O_WRONLY | O_NONBLOCK]],
];

for (const [name, row] of SYSTEM_FAILURES) {
  onEach(`fails as node:fs does: ${name}`, (t, proactor) => sameFailure(t, proactor, row()));
}

const ARGUMENT_FAILURES: readonly (readonly [string, Arguments])[] = [
  ['a path of the wrong type', [42]],
  ['no path', [undefined]],
  ['a path that is null', [null]],
  ['a path that is an object', [{ path: '/tmp' }]],
  ['a path with a null byte', ['/tmp/a\0b']],
  ['a Buffer with a null byte', [Buffer.from('/tmp/a\0b')]],
  ['a URL that is no file', [new URL('http://localhost/tmp')]],
  ['flags that do not exist', ['/tmp', 'rw']],
  ['flags of the empty string', ['/tmp', '']],
  ['flags that an object inherits', ['/tmp', 'toString']],
  ['flags that are no integer', ['/tmp', 1.5]],
  ['flags beyond 32 bits', ['/tmp', 2 ** 32]],
  ['a mode that is no octal number', ['/tmp', 'r', '0o9']],
  ['a mode of the wrong type', ['/tmp', 'r', {}]],
  ['a mode below zero', ['/tmp', 'r', -1]],
  ['a mode beyond 32 bits', ['/tmp', 'r', 2 ** 32]],
  ['a mode that is no integer', ['/tmp', 'r', 1.5]],
];

for (const [name, row] of ARGUMENT_FAILURES) {
  onEach(`refuses with Node's code: ${name}`, async (t, proactor) => {
    const [path, flags, mode] = row;
    const theirs = await failureOf(() => fs.promises.open(path as string, flags as string, mode as number));
    const ours = await failureOf(() =>
      open(path as PathLike, { flags: flags as string, mode: mode as OpenMode, proactor }),
    );
    t.truthy((theirs as Failure | undefined)?.code, 'the oracle refuses');
    t.is((ours as Failure | undefined)?.code, (theirs as Failure).code);
    t.is((ours as Error).constructor.name, (theirs as Error).constructor.name);
  });
}

const STRING_FLAGS = ['r', 'rs', 'sr', 'r+', 'rs+', 'sr+', 'w', 'wx', 'xw', 'w+', 'wx+', 'xw+'];
const APPEND_FLAGS = ['a', 'ax', 'xa', 'as', 'sa', 'a+', 'ax+', 'xa+', 'as+', 'sa+'];

/** What the system knows of an open file's flags. */
function flagsOf(fd: number): number {
  const [, octal] = /flags:\s*([0-7]+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))!;
  return Number.parseInt(octal!, 8);
}

onEach("every flag of Node's does what it does there", async (t, proactor) => {
  for (const flags of [...STRING_FLAGS, ...APPEND_FLAGS]) {
    const paths = [fileOf('content'), fileOf('content')] as const;
    if (flags.includes('x')) for (const path of paths) fs.unlinkSync(path);
    const theirs = await fs.promises.open(paths[0], flags, 0o640);
    const ours = await open(paths[1], { flags, mode: 0o640, proactor });
    t.is(flagsOf(ours.fd), flagsOf(theirs.fd), flags);
    t.is(fs.statSync(paths[1]).mode, fs.statSync(paths[0]).mode, flags);
    t.is(fs.readFileSync(paths[1], 'utf8'), fs.readFileSync(paths[0], 'utf8'), flags);
    await Promise.all([theirs.close(), ours.close()]);
  }
});

onEach('a string of octal digits is a mode, and the umask is respected', async (t, proactor) => {
  for (const mode of ['600', '0755', 0o4711, 0o777, undefined]) {
    const paths = [freshPath(), freshPath()] as const;
    await (await fs.promises.open(paths[0], 'w', mode)).close();
    await (await open(paths[1], { flags: 'w', mode, proactor })).close();
    t.is(fs.statSync(paths[1]).mode, fs.statSync(paths[0]).mode, `${mode}`);
  }
});

onEach('numbers are flags too', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: O_CREAT | O_RDWR, mode: 0o600, proactor });
  t.is(fs.statSync(path).mode & 0o777, 0o600);
  await file.close();
});

onEach('strings, Buffers, Uint8Arrays and file URLs are paths', async (t, proactor) => {
  const path = fileOf('found', 'nämé with space');
  const bytes = Uint8Array.from(Buffer.from(path));
  for (const each of [path, Buffer.from(path), bytes as Buffer, pathToFileURL(path)]) {
    const file = await open(each, { proactor });
    t.is(file.path, path);
    const chunk = await file.allocator().read();
    t.is(chunk!.data.toString(), 'found');
    chunk!.release();
    await file.close();
  }
});

onEach('a path that is no UTF-8 is opened as it is', async (t, proactor) => {
  const path = Buffer.concat([Buffer.from(freshPath('bytes')), Buffer.from([0xff, 0xfe])]);
  fs.writeFileSync(path, 'raw');
  const file = await open(path, { proactor });
  t.is((await file.stat()).size, 3);
  await file.close();
});

onEach('the path is read once, at the call', async (t, proactor) => {
  const path = Buffer.from(fileOf('right'));
  const opening = open(path, { proactor });
  path.fill(0x78);
  const file = await opening;
  t.is((await file.stat()).size, 5);
  await file.close();
});

onEach('an open file does not outlive an exec', async (t, proactor) => {
  const file = await open(fileOf('x'), { proactor });
  t.is(flagsOf(file.fd) & 0o2000000, 0o2000000);
  await file.close();
});

const CHILD = `
import { open, Proactor } from 'ritsu';
import * as fs from 'node:fs';
const shape = ({ name, code, errno, syscall, path, message }) => ({ name, code, errno, syscall, path, message });
const proactor = new Proactor({ backend: process.argv[1] });
const ours = await open(process.argv[2], { proactor }).catch(shape);
const theirs = await fs.promises.open(process.argv[2]).catch(shape);
console.log(JSON.stringify({ ours, theirs }));
`;

onReal('fails as node:fs does: EACCES, for a user who may not', async (t, _proactor, backend) => {
  const path = fileOf('secret');
  fs.chmodSync(path, 0o000);
  const node = [process.execPath, '--input-type=module', '-e', CHILD, backend, path];
  const drop = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];
  const [command, ...parameters] = process.getuid?.() === 0 ? [...drop, ...node] : node;
  const { stdout } = await promisify(execFile)(command!, parameters, { cwd: new URL('../..', import.meta.url) });
  const { ours, theirs } = JSON.parse(stdout) as { ours: Failure; theirs: Failure };
  t.is(theirs.code, 'EACCES', 'the oracle fails');
  t.deepEqual(ours, theirs);
});
