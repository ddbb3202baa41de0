/** A Redis server for tests, that keeps nothing. */
import { mkdirSync } from 'node:fs';
import { freshPath } from './files.ts';
import { closedPort } from './net.ts';
import { findServer, startServer } from './servers.ts';
import type { Program, Server } from './servers.ts';

export const HOST = '127.0.0.1';

/** Undefined where there is no Redis and none can be fetched. */
export const redisServer = findServer('redis-server');

export interface RunningRedis extends Server {
  readonly port: number;
}

/** On a free port, or on one where a server was. */
export async function startRedis(program: Program, wanted?: number): Promise<RunningRedis> {
  const port = wanted ?? (await closedPort());
  const folder = freshPath('redis');
  mkdirSync(folder);
  const where = ['--bind', HOST, '--port', `${port}`, '--dir', folder];
  const args = [...where, '--save', '', '--appendonly', 'no', '--repl-diskless-load', 'disabled'];
  const server = await startServer(program, args, { folder, signal: 'KILL', ready: /Ready to accept connections/ });
  return { ...server, port };
}
