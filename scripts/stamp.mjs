// Whether something is still current: a hash of what it was made from, kept beside what was made.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './toolchain.mjs';

const NOT_SOURCE = new Set(['node_modules', 'target', '.git']);

/** Every file under a path of the repository, sorted, as paths relative to it. */
export function filesUnder(path) {
  const whole = join(root, path);
  if (!existsSync(whole)) return [];
  if (statSync(whole).isFile()) return [path];
  return readdirSync(whole)
    .filter((name) => !NOT_SOURCE.has(name))
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

/** Hash of the files' names and contents, and of any words that change the result. */
export function hashOf(paths, ...words) {
  const hash = createHash('sha256').update(JSON.stringify(words));
  for (const file of paths.flatMap(filesUnder)) {
    const bytes = readFileSync(join(root, file));
    hash.update(`\0${file}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

export function isStamped(file, hash) {
  const path = join(root, file);
  return existsSync(path) && readFileSync(path, 'utf8').trim() === hash;
}

export function stamp(file, hash) {
  const path = join(root, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${hash}\n`);
}

export function unstamp(file) {
  rmSync(join(root, file), { force: true });
}

/**
 * Whether node_modules is what the lock file asks for, by npm's own record of what it installed.
 * Optional packages are left out: most are other platforms' binaries.
 */
export function isInstalled() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (!path.startsWith('node_modules/') || (optional && !installed[path])) return true;
    return installed[path]?.version === version && installed[path]?.integrity === integrity;
  });
}
