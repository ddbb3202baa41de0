/** A PostgreSQL server for a test file: a new cluster in a folder of its own, reached over TCP and over a Unix socket. */
import { execFile } from 'node:child_process';
import { chownSync, chmodSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { certificate } from './certificate.ts';
import { freshPath } from './files.ts';
import { closedPort } from './net.ts';
import { findServer, otherUser, startServer } from './servers.ts';
import type { Program, Server } from './servers.ts';

const run = promisify(execFile);
export const HOST = '127.0.0.1';

/** Undefined where there is no PostgreSQL and none can be fetched. */
export const postgres = findServer('postgres');

export interface Cluster extends Server {
  readonly port: number;
  /** The folder of its Unix socket. */
  readonly socketFolder: string;
}

/** Quick to start and to stop; nothing of it has to outlive the machine. */
const SETTINGS = ['fsync=off', 'full_page_writes=off', 'shared_buffers=16MB', 'max_connections=40', 'autovacuum=off', 'ssl=on'];

export async function startPostgres({ path, env }: Program): Promise<Cluster> {
  const folder = freshPath('postgres');
  const data = join(folder, 'data');
  const user = otherUser('postgres', 'nobody'); // it refuses root
  mkdirSync(folder);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const initdb = join(dirname(realpathSync(path)), 'initdb');
  const choices = ['--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync', '--username=postgres'];
  await run(initdb, ['-D', data, ...choices], { ...user, env, cwd: '/' });
  for (const [name, content] of Object.entries(certificate())) {
    const file = join(data, `server.${name.replace('cert', 'crt')}`);
    writeFileSync(file, content);
    chmodSync(file, 0o600);
    if (user !== undefined) chownSync(file, user.uid, user.gid);
  }
  const port = await closedPort();
  const where = ['-D', data, '-h', HOST, '-p', `${port}`, '-k', folder];
  const args = [...where, ...SETTINGS.flatMap((each) => ['-c', each])];
  const server = await startServer({ path, env }, args, { folder, user, signal: 'QUIT', ready: /ready to accept connections/ });
  return { ...server, port, socketFolder: folder };
}
