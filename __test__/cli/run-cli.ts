/** The main job as a child process: what `npm start` runs once everything is set up. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { freshPath } from '../support/files.ts';

export const entry = join(import.meta.dirname, '..', '..', 'dist', 'cli', 'start.js');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The folder for temporary files that the child was given: its own. */
  readonly folder: string;
}

export interface CliOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** Called with each piece of what the child says on standard error. */
  readonly onProgress?: (text: string, child: ChildProcess) => void;
}

export async function runCli(words: readonly string[], { environment = {}, onProgress }: CliOptions = {}): Promise<Ended> {
  const folder = freshPath('tmp');
  mkdirSync(folder);
  const env = { ...process.env, TMPDIR: folder, FORCE_COLOR: undefined, ...environment };
  const child = spawn(process.execPath, [entry, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onProgress?.(text, child);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr, folder }));
  });
}
