/** Getting at what engines need: cargo builds, other runtimes, a ring. Every answer is true or the reason why not. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, copyFileSync, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const target = process.env['CARGO_TARGET_DIR'] ?? join(root, 'target');

export const engineProcess = join(import.meta.dirname, '../engine-process.ts');
export const rawRing = join(target, 'release/examples/raw_ring');
export const rawEcho = join(target, 'release/examples/raw_echo');
export const rawLoad = join(target, 'release/examples/raw_load');
export const sqpollAddon = join(target, 'bench-sqpoll/sqpoll.node');
export const sqpollPreload = join(import.meta.dirname, '../sqpoll/enable.cjs');

/** A bench of the ring must not fall back in silence; a backend forced from outside is the user's word. */
export const ritsuBackend = process.env['RITSU_BACKEND'] ?? 'uring';

export type Availability = string | true;

/** Ask once; builds and probes are dear. */
export function once(ask: () => Availability): () => Availability {
  let answer: Availability | undefined;
  return () => (answer ??= ask());
}

export const always = (): Availability => true;

export const ritsuAvailable = once(() => {
  if (!existsSync(join(root, 'dist/index.js'))) return 'ritsu is not built (npm run build)';
  const probe = "import { Proactor } from 'ritsu'; await new Proactor().close()";
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', probe], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, RITSU_BACKEND: ritsuBackend },
  });
  return run.status === 0 ? true : `ritsu has no ${ritsuBackend} backend here: ${firstError(run.stderr)}`;
});

export const sqpollAvailable = once(() => {
  const manifest = join(import.meta.dirname, '../sqpoll/Cargo.toml');
  const targetDirectory = join(target, 'bench-sqpoll');
  const built = cargoBuild('the SQPOLL switch', ['--locked', '--manifest-path', manifest, '--target-dir', targetDirectory]);
  if (built !== true) return built;
  copyFileSync(join(targetDirectory, 'release/libritsu_bench_sqpoll.so'), sqpollAddon);
  return true;
});

function buildExample(what: string, example: string): Availability {
  return cargoBuild(what, ['--package', 'ritsu', '--example', example, '--target-dir', target]);
}

export const rawAvailable = once(() => {
  const built = buildExample('the raw ring', 'raw_ring');
  if (built !== true) return built;
  const probe = spawnSync(rawRing, ['--mode', 'nop', '--ops', '1'], { encoding: 'utf8' });
  return probe.status === 0 ? true : `the kernel gives no ring: ${firstError(probe.stderr)}`;
});

/** It ends at once: nothing stands on its standard input. */
export const rawEchoAvailable = once(() => {
  const built = buildExample('the raw echo server', 'raw_echo');
  if (built !== true) return built;
  const probe = spawnSync(rawEcho, [], { encoding: 'utf8', input: '' });
  return probe.status === 0 ? true : `the kernel gives no ring: ${firstError(probe.stderr)}`;
});

/** It has a ring, too. */
export const rawLoadAvailable = once(() => {
  const built = buildExample('the raw load', 'raw_load');
  return built === true ? rawEchoAvailable() : built;
});

export const straceAvailable = once(() =>
  findExecutable('strace') === undefined ? 'strace is not on the path' : true,
);

/** From the path or from node_modules. */
export function findExecutable(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(root, 'node_modules/.bin')];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Cargo decides itself whether there is something to do. */
function cargoBuild(what: string, words: readonly string[]): Availability {
  if (process.stderr.isTTY) process.stderr.write(`building ${what} ...\n`);
  const build = spawnSync('cargo', ['build', '--release', ...words], { cwd: root, encoding: 'utf8' });
  if (build.error !== undefined) return `cargo cannot be run (${build.error.message})`;
  return build.status === 0 ? true : `${what} did not build: ${firstError(build.stderr)}`;
}

function firstError(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /^(error|Error|\w*Error \[|\w+Error:)/.test(line))?.trim() ?? lines.at(-1)?.trim() ?? 'no reason given';
}
