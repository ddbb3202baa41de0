// What this machine has: a Node new enough, npm, a Rust toolchain, a C linker. Only looks; installs nothing.
import { accessSync, constants, existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Explained } from './console.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));
const binFolder = join(root, 'node_modules', '.bin');
const bundledNode = join(binFolder, 'node');

/** The Nodes that the package, its tests and the test runner all run on. */
export function isSupported(version) {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  return major >= 26 || (major === 24 && minor >= 12) || (major === 22 && minor >= 20);
}

const SUPPORTED = 'Node 22.20, 24.12, 26 or newer';

export function versionOf(node) {
  const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The scripts themselves run on the machine's own Node, which may be older than the package needs. */
export function requireNode20() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Explained(
      `Node ${process.versions.node} is too old to set ritsu up: install Node 22 or newer from https://nodejs.org.`,
    );
  }
}

/**
 * The Node that everything runs on: the one RITSU_NODE names, else the one that npm runs on (the user's
 * choice), else the one running now, else the one that came with the dependencies.
 */
export function pickNode() {
  const named = process.env.RITSU_NODE;
  if (named) {
    const path = resolve(process.env.INIT_CWD ?? process.cwd(), named);
    const version = versionOf(path);
    if (version === undefined) throw new Explained(`RITSU_NODE=${named} is not a Node that runs here.`, 2);
    if (!isSupported(version)) throw new Explained(`RITSU_NODE=${named} is Node ${version}: it must be ${SUPPORTED}.`, 2);
    return { path, version };
  }
  const npmNodeVersion = / node\/(v[\d.]+) /.exec(process.env.npm_config_user_agent ?? '')?.[1];
  const candidates = [
    [process.env.npm_node_execpath, () => npmNodeVersion],
    [process.execPath, () => process.version],
    [existsSync(bundledNode) ? realpathSync(bundledNode) : undefined, (path) => versionOf(path)],
  ];
  for (const [path, ask] of candidates) {
    const version = path && existsSync(path) ? ask(path) : undefined;
    if (version && isSupported(version)) return { path, version };
  }
  throw new Explained(
    `Node ${process.version} is too old and none comes with the dependencies for ${process.platform}-${process.arch}: ` +
      `install ${SUPPORTED} from https://nodejs.org.`,
  );
}

function searchPath() {
  return (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
}

export function onPath(name, folders = searchPath()) {
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Where tests unpack a server of another project that the system lacks. */
export function cacheFolder(name) {
  return join(root, 'node_modules', '.cache', name);
}

/** Debian keeps PostgreSQL's programs off the PATH, in a folder for each version. */
function postgresFolders(prefix) {
  const folder = join(prefix, 'usr/lib/postgresql');
  const versions = existsSync(folder) ? readdirSync(folder).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(folder, version, 'bin'));
}

/** A program that single tests need, on the PATH or where tests fetched it to. */
export function findProgram(name) {
  const folders = [...searchPath(), join(cacheFolder(name), 'usr/bin')];
  if (name === 'postgres') folders.push(...postgresFolders('/'), ...postgresFolders(cacheFolder(name)));
  return onPath(name, folders);
}

/** Programs without which single tests are skipped. Ask when the tests have run: they fetch what they can. */
export function missingPrograms() {
  return ['strace', 'perl', 'cc', 'postgres', 'redis-server'].filter((name) => findProgram(name) === undefined);
}

/** npm as a command and its first arguments, never run by the Node that npm is about to replace. */
export function findNpm() {
  const { npm_execpath: script, npm_node_execpath: node } = process.env;
  if (script?.endsWith('npm-cli.js') && node && existsSync(script) && existsSync(node)) return [node, script];
  const outside = searchPath().filter((folder) => !folder.includes('node_modules'));
  const npm = onPath(process.platform === 'win32' ? 'npm.cmd' : 'npm', outside);
  if (npm === undefined) throw new Explained('npm not found: it comes with Node, install that from https://nodejs.org.');
  return [npm];
}

/** Environment of a tool: the picked Node first on the PATH, then the dependencies' commands. */
export function toolEnvironment(node, extra = {}) {
  const folders = searchPath().filter((folder) => folder !== binFolder);
  return { ...process.env, ...extra, PATH: [dirname(node.path), binFolder, ...folders].join(delimiter) };
}

/** The script behind a dependency's command, to be run by the picked Node. */
export function commandOf(packageName, command = packageName) {
  const folder = join(root, 'node_modules', packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return join(folder, typeof bin === 'string' ? bin : bin[command]);
}

const GO_ON = 'or go on without: running on the node backend';

/** Why the native addon cannot be built here, in one sentence with the fix; undefined when it can. */
export function missingForNative() {
  if (process.platform !== 'linux') {
    return `io_uring needs Linux and this is ${process.platform}: running on the node backend.`;
  }
  if (!cargoRuns()) return `Rust toolchain not found: install it from https://rustup.rs, ${GO_ON}.`;
  const linkerChosen = Object.keys(process.env).some((key) => /^CARGO_TARGET_.*_LINKER$/.test(key));
  if (!linkerChosen && !/linker=/.test(process.env.RUSTFLAGS ?? '') && onPath('cc') === undefined) return NO_LINKER;
  return undefined;
}

export const NO_LINKER = `C linker (cc) not found: install gcc or clang (Debian: apt install gcc; Fedora: dnf install gcc), ${GO_ON}.`;

export function cargoRuns(...subcommand) {
  return onPath('cargo') !== undefined && spawnSync('cargo', [...subcommand, '--version'], { cwd: root }).status === 0;
}
