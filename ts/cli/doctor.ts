#!/usr/bin/env node
/**
 * `npx ritsu doctor`: what a program of ritsu's runs on here; where that is not the ring, why, and what would bring it.
 * Works without a native binary. Exit codes: 0 on the ring, 1 on anything else, 2 for arguments that mean nothing.
 */
import { createRequire } from 'node:module';
import { arch, release, type } from 'node:os';
import { backendInfo } from '../index.js';
import type { BackendInfo } from '../index.js';

const USAGE = 'usage: ritsu doctor [--json]';

/** As `backendInfo()` has it; without a backend where one was asked for that cannot be had. */
type Finding = BackendInfo | { readonly backend: undefined; readonly cause: { readonly kind: string; readonly message: string } };

function examine(): Finding {
  process.removeAllListeners('warning'); // that it falls back is what the report says
  try {
    return backendInfo();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { backend: undefined, cause: { kind: code ?? 'unknown', message } };
  }
}

function report(finding: Finding, version: string): string {
  const { backend, cause } = finding;
  const lines = [`ritsu ${version}, Node ${process.versions.node}, ${type()} ${release()}, ${arch()}`, `backend: ${backend ?? 'none'}`];
  if (cause !== undefined) lines.push(`because: ${cause.message} (${cause.kind})`);
  if ('fix' in finding && finding.fix !== undefined) lines.push(`to have the ring: ${finding.fix}`);
  if ('features' in finding) {
    // Whether a no-op can be told what to answer matters to nobody but those who measure no-ops.
    const features = Object.entries(finding.features).filter(([name]) => name !== 'nopInject');
    const names = (wanted: boolean): string[] => features.flatMap(([name, on]) => (on === wanted ? [name] : []));
    lines.push(`with: ${names(true).join(', ') || 'nothing of its own'}`);
    if (backend === 'uring' && names(false).length > 0) lines.push(`without: ${names(false).join(', ')}`);
  }
  return lines.join('\n');
}

function main(args: readonly string[]): number {
  const [command, ...flags] = args;
  if (command !== 'doctor' || flags.some((flag) => flag !== '--json')) {
    console.error(USAGE);
    return 2;
  }
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  const finding = examine();
  console.log(flags.length > 0 ? JSON.stringify({ version, node: process.versions.node, ...finding }) : report(finding, version));
  return finding.backend === 'uring' ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
