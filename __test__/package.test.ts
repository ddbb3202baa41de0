/**
 * Description: the packages, as they would be published, in the hands of a user: npm installs the one that is JavaScript and the
 * one with this machine's binary from a registry, into a folder that knows nothing of this repository.
 *
 * What turns it red: a file that is missing in `files`; a script that runs at install; a name, version, `os`, `cpu` or `libc` that does
 * not fit; a loader that looks only where the binding is built, or that needs `import.meta.url`; an entry of `exports` without its
 * types; a declaration that a strict compiler refuses, or that tells a program what is the library's own.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { commandOf, findNpm } from '../scripts/toolchain.mjs';
import { fileOf, freshPath, randomBytes } from './support/files.ts';
import { disposed } from './support/net.ts';
import { serveArchives } from './support/registry.ts';
import type { Registry } from './support/registry.ts';
import { backendTest, ringTest } from './support/ring.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string };
const TARGETS = ['linux-arm64-gnu', 'linux-arm64-musl', 'linux-x64-gnu', 'linux-x64-musl'];

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run a command as a user would: nothing of the npm that runs the tests, nor of their choice of a backend, reaches it. */
async function run(folder: string, command: string, args: readonly string[]): Promise<Ran> {
  const ours = Object.entries(process.env).filter(([name]) => !/^(npm_|RITSU_|NODE_OPTIONS|INIT_CWD)/i.test(name));
  const path = [dirname(process.execPath), process.env['PATH']].join(delimiter);
  const child = spawn(command, args, { cwd: folder, env: { ...Object.fromEntries(ours), PATH: path }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function freshFolder(name: string): string {
  const folder = freshPath(name);
  mkdirSync(folder);
  return folder;
}

const packed = new Map<string, string>();

/** The packages of this tree, from a registry; with these binaries where a folder of all is named. */
async function published(t: ExecutionContext, native = ''): Promise<Registry> {
  let out = packed.get(native);
  if (out === undefined) {
    packed.set(native, (out = freshPath('packages')));
    const args = [join(root, 'scripts/pack.mjs'), '--out', out, ...(native === '' ? [] : ['--native', native, '--all'])];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
    t.is(status, 0, stderr);
  }
  return disposed(t, serveArchives(out));
}

/** Four files with the names of binaries. */
const fakeBinaries = freshFolder('native');
for (const target of TARGETS) writeFileSync(join(fakeBinaries, `ritsu.${target}.node`), target);

/** A new project with `ritsu` in it. */
async function installed(t: ExecutionContext, registry: Registry, flags: readonly string[] = []): Promise<string> {
  const folder = freshFolder('project');
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  const npm = findNpm().at(-1)!; // by the Node that is tested: npm leaves out optional packages that are not for the Node it runs on
  const command = npm.endsWith('.js') ? [process.execPath, npm] : [npm];
  const options = ['--registry', registry.url, '--cache', freshPath('cache'), '--no-audit', '--no-fund', '--no-update-notifier', ...flags];
  const [program, ...args] = [...command, 'install', 'ritsu', ...options] as [string, ...string[]];
  const { code, stderr } = await run(folder, program, args);
  t.is(code, 0, stderr);
  return folder;
}

function packagesIn(folder: string): string[] {
  return readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')).sort();
}

const PROGRAM = `
  import { backendInfo, open } from 'ritsu';
  import { toReadable } from 'ritsu/streams';
  import { createRequire } from 'node:module';
  const file = await open(process.argv[2]);
  const bytes = await file.allocator().read({ position: 7 });
  const text = bytes.data.toString('hex');
  bytes.release();
  await file.close();
  const same = createRequire(import.meta.url)('ritsu').open === open;
  console.log(JSON.stringify({ ...backendInfo(), text, same, streams: typeof toReadable }));
`;

/** Of one file, as a bundler makes it: without the top-level `await` that CommonJS has not. */
const BUNDLED = `
  import { backendInfo, open, serve } from 'ritsu';
  async function main() {
    const file = await open(process.argv[2]);
    const bytes = await file.allocator().read({ position: 7 });
    const text = bytes.data.toString('hex');
    bytes.release();
    await file.close();
    const refused = await serve('/server.js', { listen: { port: 0 }, workers: 1 }).catch(({ code, message }) => code + ': ' + message);
    console.log(JSON.stringify({ ...backendInfo(), text, refused }));
  }
  void main();
`;

/** What is `@internal` is not there: each of these lines would be an error if it were. */
const TYPED = `
  import { Proactor, open, listen, connect } from 'ritsu';
  import type { AsyncRead, Bytes, File, Stream } from 'ritsu';
  import { toDuplex, toWeb } from 'ritsu/streams';
  import { simulate } from 'ritsu/testing';
  const proactor = new Proactor({ inFlightMax: 64 });
  // @ts-expect-error
  proactor.backend;
  // @ts-expect-error
  proactor.submit();
  export async function lines(file: File, stream: Stream, input: AsyncRead): Promise<Bytes | null> {
    // @ts-expect-error
    void file.detach();
    // @ts-expect-error
    stream.prepend(new Uint8Array(1));
    await stream.sendFile(file);
    return input.pull({ timeout: 5 });
  }
  export const all = { open, listen, connect, toDuplex, toWeb, simulate };
`;

interface Said {
  readonly backend: string;
  readonly cause?: { readonly kind: string; readonly message: string };
  readonly fix?: string;
  readonly text: string;
}

async function readBy(t: ExecutionContext, folder: string): Promise<{ readonly said: Said; readonly stderr: string }> {
  const content = randomBytes(3000);
  writeFileSync(join(folder, 'program.js'), PROGRAM);
  const { code, stdout, stderr } = await run(folder, process.execPath, ['program.js', fileOf(content)]);
  t.is(code, 0, stderr);
  const said = JSON.parse(stdout) as Said;
  t.is(said.text, content.subarray(7).toString('hex'));
  t.like(said, { same: true, streams: 'function' });
  return { said, stderr };
}

function doctor(folder: string): Promise<Ran> {
  return run(folder, join(folder, 'node_modules/.bin/ritsu'), ['doctor', '--json']);
}

ringTest('what npm installs runs on the ring, by the package with the binary of this machine', async (t) => {
  t.timeout(120_000);
  const registry = await published(t);
  const { manifests } = registry;
  t.deepEqual(manifests.filter(({ scripts }) => scripts !== undefined), []);
  const folder = await installed(t, registry);
  t.is(packagesIn(folder).length, 2, packagesIn(folder).join());
  const { said, stderr } = await readBy(t, folder);
  t.is(said.backend, 'uring', said.cause?.message);
  t.is(stderr, '');
  const { code, stdout } = await doctor(folder);
  t.is(code, 0);
  t.is((JSON.parse(stdout) as Said).backend, 'uring');
});

for (const [format, extension] of [['esm', 'mjs'], ['cjs', 'cjs']] as const) {
  ringTest(`a bundle as ${format} finds the binary that npm installed, and says what it cannot do`, async (t) => {
    t.timeout(120_000);
    const folder = await installed(t, await published(t));
    const [stdin, outfile] = [{ contents: BUNDLED, resolveDir: folder }, join(folder, `out/bundle.${extension}`)];
    // Of CommonJS it warns that `import.meta` is empty: that is what is tried.
    await build({ stdin, outfile, format, bundle: true, platform: 'node', minify: true, logLevel: 'error' });
    const content = randomBytes(3000);
    const { code, stdout, stderr } = await run(folder, process.execPath, [outfile, fileOf(content)]);
    t.is(code, 0, stderr);
    const said = JSON.parse(stdout) as Said & { readonly refused: string };
    t.is(said.backend, 'uring', said.cause?.message);
    t.is(said.text, content.subarray(7).toString('hex'));
    t.regex(said.refused, /^ERR_RITSU_UNAVAILABLE: serve: .*have the bundler leave ritsu external$/);
    t.is(stderr, '');
  });
}

test.serial('a strict compiler accepts the declarations, which are of what is for programs alone', async (t) => {
  t.timeout(120_000);
  const folder = await installed(t, await published(t), ['--omit=optional']);
  for (const name of ['@types', 'undici-types']) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  writeFileSync(join(folder, 'program.mts'), TYPED);
  const strict = 'strict exactOptionalPropertyTypes noUncheckedIndexedAccess noImplicitOverride preserveSymlinks noEmit'.split(' ');
  const options = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2024,esnext.disposable', '--types', 'node', '--skipLibCheck', 'false'];
  const tsc = [commandOf('typescript', 'tsc'), ...strict.map((name) => `--${name}`), ...options, 'program.mts'];
  const { code, stdout } = await run(folder, process.execPath, tsc);
  t.is(code, 0, stdout);
});

backendTest('node', 'installed without the binary it says so once, what to do about it, and works', async (t) => {
  t.timeout(120_000);
  const folder = await installed(t, await published(t), ['--omit=optional']);
  t.deepEqual(packagesIn(folder), ['ritsu']);
  const { said, stderr } = await readBy(t, folder);
  t.is(said.backend, 'node');
  t.is(said.cause?.kind, 'binding');
  t.regex(said.cause?.message ?? '', /the package ritsu-linux-\w+-\w+ is not installed$/);
  t.regex(said.fix ?? '', /optional dependencies/);
  t.is(stderr.split('RITSU_FALLBACK').length, 2, stderr);
  const { code, stdout, stderr: silence } = await doctor(folder);
  t.is(code, 1);
  t.is(silence, '');
  t.deepEqual((JSON.parse(stdout) as Said).cause, said.cause);
});

backendTest('node', 'a binary that cannot be loaded is told from one that is missing', async (t) => {
  t.timeout(120_000);
  const registry = await published(t, fakeBinaries);
  const folder = await installed(t, registry);
  t.is(packagesIn(folder).length, 2, packagesIn(folder).join());
  const { said } = await readBy(t, folder);
  t.is(said.backend, 'node');
  t.is(said.cause?.kind, 'binding');
  t.notRegex(said.cause?.message ?? '', /not installed/);
});

test.serial('each system gets its own binary and no other; one without gets none', async (t) => {
  t.timeout(300_000);
  const registry = await published(t, fakeBinaries);
  const { manifests } = registry;
  const named = manifests.find(({ name }) => name === 'ritsu')?.optionalDependencies;
  t.deepEqual(Object.keys(named ?? {}).sort(), TARGETS.map((target) => `ritsu-${target}`));
  const systems = [
    ...TARGETS.map((target) => ({ target, flags: target.split('-') })),
    { target: undefined, flags: ['darwin', 'arm64', ''] },
    { target: undefined, flags: ['linux', 'riscv64', 'gnu'] },
  ];
  for (const { target, flags: [os, cpu, libc] } of systems) {
    const names = { gnu: 'glibc', musl: 'musl' } as const;
    const libcFlag = libc === '' ? [] : [`--libc=${names[libc as keyof typeof names]}`];
    const folder = await installed(t, registry, [`--os=${os}`, `--cpu=${cpu}`, ...libcFlag]);
    t.deepEqual(packagesIn(folder), ['ritsu', ...(target === undefined ? [] : [`ritsu-${target}`])], `${os} ${cpu} ${libc}`);
    const file = join(folder, `node_modules/ritsu-${target}/ritsu.${target}.node`);
    t.is(existsSync(file), target !== undefined);
  }
});

test.serial('what lies in the folder that is packed into stays, but for the archives themselves', (t) => {
  const out = freshFolder('packages');
  for (const name of ['mine.txt', 'ritsu-0.0.1.tgz']) writeFileSync(join(out, name), 'mine');
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/pack.mjs'), '--out', out, '--native', fakeBinaries], { encoding: 'utf8' });
  t.is(status, 0, stderr);
  const made = ['ritsu', ...TARGETS.map((target) => `ritsu-${target}`)].map((name) => `${name}-${version}.tgz`);
  t.deepEqual(readdirSync(out).sort(), [...made, 'mine.txt', 'ritsu-0.0.1.tgz'].sort());
});

test.serial('on a Node that is too old it says so', async (t) => {
  const older = 'data:text/javascript,delete ArrayBuffer.prototype.transfer'; // as in Node 20
  const { code, stderr } = await run(root, process.execPath, ['--import', older, join(root, 'dist/cli/doctor.js'), 'doctor']);
  t.is(code, 1);
  t.regex(stderr, /RitsuError: ritsu needs Node 22\.12 or newer, this is v\d+/);
});

const CONSUMER = `
  import { open, pooled } from 'ritsu';
  import type { AsyncRead, Bytes } from 'ritsu';
  import { toDuplex } from 'ritsu/streams';
  import { simulate } from 'ritsu/testing';
  export async function first(path: string): Promise<number> {
    const file = await open(path);
    const readers: AsyncRead[] = [file.allocator(), file.hybrid({ into: pooled() })];
    const bytes: Bytes | null = await readers[0]!.pull();
    return bytes === null ? 0 : bytes.length;
  }
  export const makers = [toDuplex, simulate] as const;
`;

test.serial('a TypeScript program compiles against it, and the package is in order', async (t) => {
  t.timeout(120_000);
  const folder = await installed(t, await published(t));
  symlinkSync(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  symlinkSync(join(root, 'node_modules/undici-types'), join(folder, 'node_modules/undici-types'));
  writeFileSync(join(folder, 'consumer.ts'), CONSUMER);
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  for (const [module, resolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']] as const) {
    const flags = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2024,esnext.disposable', '--types', 'node'];
    const args = [...flags, '--module', module, '--moduleResolution', resolution, '--skipLibCheck', 'false', 'consumer.ts'];
    const { code, stdout } = await run(folder, process.execPath, [compiler, ...args]);
    t.is(code, 0, stdout);
  }
  const pkgDir = join(folder, 'node_modules/ritsu');
  const { messages, pkg } = await publint({ pkgDir, strict: true, pack: false });
  t.deepEqual(messages.map((message) => formatMessage(message, pkg as Record<string, unknown>)), []);
});
