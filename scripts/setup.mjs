// Set-up: npm dependencies, the native addon, TypeScript; each only when what it is made from changed.
// Runs on Node >= 20 with nothing installed. `node scripts/setup.mjs [native|ts]` does it alone.
import { existsSync, readdirSync, realpathSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Explained, bold, dim, failWith, runStep, say, seconds } from './console.mjs';
import { filesUnder, hashOf, isInstalled, isStamped, stamp, unstamp } from './stamp.mjs';
import {
  NO_LINKER,
  commandOf,
  findNpm,
  missingForNative,
  pickNode,
  requireNode20,
  root,
  toolEnvironment,
  versionOf,
} from './toolchain.mjs';

const NATIVE_SOURCES = ['crates', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo'];
const NATIVE_STAMP = 'native/.stamp';
const TS_SOURCES = ['ts', 'tsconfig.json', 'tsconfig.types.json', 'node_modules/typescript/package.json'];
const TS_STAMP = 'dist/.stamp';

async function installDependencies() {
  if (isInstalled()) return false;
  const [npm, ...first] = findNpm();
  // The development tools are wanted whatever NODE_ENV says; none of them needs an install script.
  const args = [...first, 'ci', '--include=dev', '--include=optional', '--ignore-scripts', '--loglevel=error'];
  const { ok, output } = await runStep('npm dependencies', npm, args, { cwd: root, env: process.env });
  if (!ok) throw new Explained(`${output}\nThe npm dependencies could not be installed.`);
  dropUnusableNode();
  return true;
}

/** A Node that came with the dependencies but does not run here (musl) must not shadow the machine's. */
function dropUnusableNode() {
  const link = join(root, 'node_modules', '.bin', 'node');
  if (existsSync(link) && versionOf(link) === undefined) unlinkSync(link);
}

function nativeIsBuilt() {
  const folder = join(root, 'native');
  return existsSync(folder) && readdirSync(folder).some((name) => /^ritsu\..*\.node$/.test(name));
}

/** Resolves to whether anything was done, or to the sentence that says why there is no native addon. */
async function buildNative(node) {
  const hash = hashOf(NATIVE_SOURCES, process.platform, process.arch, process.env.RUSTFLAGS ?? '');
  if (process.platform === 'linux' && nativeIsBuilt() && isStamped(NATIVE_STAMP, hash)) return false;
  const missing = missingForNative();
  if (missing !== undefined) return missing;
  const args = [
    commandOf('@napi-rs/cli', 'napi'),
    ...'build --platform --release --no-js'.split(' '),
    ...'--manifest-path crates/ritsu-napi/Cargo.toml --output-dir native'.split(' '),
  ];
  unstamp(NATIVE_STAMP);
  const { ok, output } = await runStep('native addon', node.path, args, { cwd: root, env: toolEnvironment(node) });
  if (!ok && /linker `?cc`? not found/.test(output)) return NO_LINKER;
  if (!ok) {
    const said = output.replace(/\nInternal Error: Build failed with exit code[\s\S]*?(?=\nnative addon:)/, '');
    throw new Explained(`${said}\nThe native addon could not be built.`);
  }
  stamp(NATIVE_STAMP, hash);
  return true;
}

async function compileTypeScript(node) {
  const hash = hashOf(TS_SOURCES);
  if (isStamped(TS_STAMP, hash)) return false;
  unstamp(TS_STAMP);
  for (const [what, project] of [['TypeScript', 'tsconfig.json'], ['TypeScript declarations', 'tsconfig.types.json']]) {
    const args = [commandOf('typescript', 'tsc'), '-p', project];
    const { ok, output } = await runStep(what, node.path, args, { cwd: root, env: toolEnvironment(node) });
    if (!ok) throw new Explained(`${output}\nTypeScript found errors.`);
  }
  dropOrphans();
  stamp(TS_STAMP, hash);
  return true;
}

/** What was compiled from a source that is gone would still be imported, and published. */
function dropOrphans() {
  for (const file of filesUnder('dist')) {
    const source = file.replace(/^dist\/(types\/)?/, 'ts/').replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
    if (source.endsWith('.ts') && !existsSync(join(root, source))) rmSync(join(root, file));
  }
}

/** Says which backend children run on when it is not the one the user asked for or would get. */
function fallBack(reason) {
  if (process.env.RITSU_BACKEND === 'uring') {
    throw new Explained(`RITSU_BACKEND=uring needs the native addon. ${reason.replace(/(, or go on|: running) .*/, '.')}`);
  }
  say(bold(reason));
  return { RITSU_BACKEND: 'node' };
}

/**
 * Everything needed before a command of the package can run. Resolves to the Node to run it on, the
 * environment to give it, and why there is no native addon, if there is none.
 */
export async function setUp({ native = true, ts = true } = {}) {
  const begun = performance.now();
  requireNode20();
  let done = await installDependencies();
  const node = pickNode();
  let extra = {};
  let withoutNative;
  if (native && process.env.RITSU_BACKEND !== 'node') {
    const result = await buildNative(node);
    if (typeof result === 'string') extra = fallBack((withoutNative = result));
    else done ||= result;
  }
  if (ts && (await compileTypeScript(node))) done = true;
  const what = done ? 'set-up done' : 'set-up: everything is up to date';
  say(dim(`${what}  ${seconds(begun)}, Node ${node.version}`));
  return { node, env: toolEnvironment(node, extra), withoutNative };
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) {
  const only = process.argv[2];
  const known = [undefined, 'native', 'ts'].includes(only);
  if (!known) failWith(new Explained(`Unknown part '${only}': say native, ts or nothing.`, 2));
  setUp({ native: only !== 'ts', ts: only !== 'native' }).catch(failWith);
}
