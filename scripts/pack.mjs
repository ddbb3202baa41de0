// The packages as they are published: `ritsu`, which is JavaScript alone, and one with the binary for each target, which `ritsu`
// names as optional, so that npm installs the one that fits and no other. `npm run pack -- [--out FOLDER] [--native FOLDER] [--all]`
// packs the targets whose binaries lie in `native`; with `--all` one that is missing is an error. What else lies in FOLDER stays.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Explained, failWith, say } from './console.mjs';
import { setUp } from './setup.mjs';
import { commandOf, findNpm, root, toolEnvironment } from './toolchain.mjs';

const OPTIONS = /** @type {const} */ ({ out: { type: 'string' }, native: { type: 'string' }, all: { type: 'boolean' } });
/** What of our manifest is only for working on the package. */
const OURS = ['devDependencies', 'napi', 'overrides', 'scripts', 'workspaces'];

function run(command, args, options) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status !== 0) throw new Explained(`${stdout}${stderr}\n${[command, ...args].join(' ')} failed.`);
  return stdout;
}

function npm(args, cwd) {
  const [command, ...first] = findNpm();
  return run(command, [...first, ...args, '--ignore-scripts', '--json'], { cwd });
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** A folder for the package of each target, with its binary; their manifests. */
function packBinaries(node, native, staging, all) {
  const folder = join(staging, 'npm');
  copy(join(root, 'package.json'), join(staging, 'package.json')); // napi writes only below the manifest it reads
  const napi = commandOf('@napi-rs/cli', 'napi');
  run(node.path, [napi, 'create-npm-dirs', '--npm-dir', 'npm'], { cwd: staging, env: toolEnvironment(node) });
  const manifests = [];
  for (const target of readdirSync(folder)) {
    const manifest = JSON.parse(readFileSync(join(folder, target, 'package.json'), 'utf8'));
    const binary = join(native, manifest.main);
    if (existsSync(binary)) {
      copy(binary, join(folder, target, manifest.main));
      copy(join(root, 'LICENSE'), join(folder, target, 'LICENSE'));
      manifests.push(manifest);
    } else {
      if (all) throw new Explained(`${binary} is missing.`);
      rmSync(join(folder, target), { recursive: true });
    }
  }
  return manifests;
}

/** The package that everybody names: what npm would pack here, with a manifest of its own. */
function packRoot(folder, binaries) {
  const [{ files }] = JSON.parse(npm(['pack', '--dry-run'], root));
  for (const { path } of files) copy(join(root, path), join(folder, path));
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const key of OURS) delete manifest[key];
  const optionalDependencies = Object.fromEntries(binaries.map(({ name, version }) => [name, version]));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ ...manifest, optionalDependencies }, undefined, 2)}\n`);
  for (const program of Object.values(manifest.bin)) chmodSync(join(folder, program), 0o755);
}

function readOptions() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    throw new Explained(error.message, 2);
  }
}

async function main() {
  const values = readOptions();
  const from = process.env.INIT_CWD ?? process.cwd();
  const out = resolve(from, values.out ?? join(root, 'target/packages'));
  const native = resolve(from, values.native ?? join(root, 'native'));
  const { node } = await setUp({ native: values.native === undefined });
  mkdirSync(out, { recursive: true });
  const staging = mkdtempSync(join(out, 'staging-'));
  try {
    pack(node, native, staging, out, values.all === true);
  } finally {
    rmSync(staging, { recursive: true });
  }
}

/** Their archives, in the order to publish them. */
function pack(node, native, staging, out, all) {
  const binaries = packBinaries(node, native, staging, all);
  packRoot(join(staging, 'ritsu'), binaries);
  const folders = [...readdirSync(join(staging, 'npm')).map((target) => join('npm', target)), 'ritsu'];
  for (const folder of folders) {
    const [{ filename, size, unpackedSize }] = JSON.parse(npm(['pack', '--pack-destination', out], join(staging, folder)));
    console.log(`${join(out, filename)}  ${Math.ceil(size / 1024)} KiB, unpacked ${Math.ceil(unpackedSize / 1024)} KiB`);
  }
  if (binaries.length === 0) say('No binary was packed: the package runs on the node backend alone.');
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) main().catch(failWith);
