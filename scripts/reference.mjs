// The reference, docs/api, from what programs see of the library (dist/types): `npm run reference`. Something public that has no
// description is an error. `--check` writes nothing, and fails where docs/api is not what would be written.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Explained, failWith, say } from './console.mjs';
import { setUp } from './setup.mjs';
import { root, toolEnvironment } from './toolchain.mjs';

const home = join(root, 'scripts/reference');
const reference = join(root, 'docs/api');

function write(node, folder) {
  const args = [join(home, 'node_modules/typedoc/bin/typedoc'), '--options', join(home, 'typedoc.json'), '--out', folder];
  const { status, stdout, stderr } = spawnSync(node.path, args, { cwd: home, env: toolEnvironment(node), encoding: 'utf8' });
  if (status !== 0) throw new Explained(`${stdout}${stderr}\nThe reference could not be written.`);
}

function pagesOf(folder) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.md'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

function check(node) {
  const folder = mkdtempSync(join(tmpdir(), 'ritsu-reference-'));
  try {
    write(node, folder);
    const wanted = pagesOf(folder);
    const found = pagesOf(reference);
    const stale = [...new Set([...wanted.keys(), ...found.keys()])].filter((name) => wanted.get(name) !== found.get(name));
    if (stale.length > 0) throw new Explained(`docs/api/${stale.join(', docs/api/')}: out of date; \`npm run reference\` writes them anew.`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function main() {
  const { node } = await setUp({ native: false });
  if (process.argv.includes('--check')) return check(node);
  write(node, reference);
  say('docs/api is written.');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main().catch(failWith);
