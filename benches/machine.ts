/** Where and on what a run was made. Nothing here names a host or a path. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';

export interface Machine {
  /** The folder of its records: processor and cores. */
  readonly name: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly libuv: string;
}

export function describeMachine(): Machine {
  const cores = cpus().length;
  const processor = (cpus()[0]?.model ?? 'unknown').trim();
  const words = `${processor} ${cores} cores`.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return {
    name: words.replaceAll(/^-|-$/g, ''),
    processor,
    cores,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release().split('-')[0]}`,
    node: process.version,
    libuv: process.versions.uv ?? 'unknown',
  };
}

/** The commit, with `+` when files differ from it; `none` outside of git. */
export function describeCommit(): string {
  const git = (...words: string[]): string | undefined => {
    const run = spawnSync('git', words, { cwd: import.meta.dirname, encoding: 'utf8' });
    return run.status === 0 ? run.stdout.trim() : undefined;
  };
  const commit = git('rev-parse', '--short=12', 'HEAD');
  if (commit === undefined) return 'none';
  return git('status', '--porcelain') === '' ? commit : `${commit}+`;
}

/** How busy the machine is besides us: on a loaded machine only ratios mean something. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}
