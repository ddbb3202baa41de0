/** On what a run was made; the same words as in the records of the benches. */
import { cpus, loadavg, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly libuv: string;
  /** How busy the machine was besides us: on a loaded one only ratios mean something. */
  readonly loadBefore: number;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: (processors[0]?.model ?? '').trim() || 'unknown processor',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release().split('-')[0]}`,
    node: process.version,
    libuv: process.versions.uv ?? 'unknown',
    loadBefore: loadavg()[0]!,
  };
}
