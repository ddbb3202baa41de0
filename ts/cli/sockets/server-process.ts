/**
 * The process of one server: `server-process.js OPTIONS`, as JSON. A process of its own, so that its CPU time and its
 * memory are the server's. Prints its address, answers each line on standard input by its usage as a line of JSON, and
 * ends when standard input does.
 */
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor } from '../../index.js';
import { nodeServers } from './node-servers.js';
import type { ServerOptions, Usage } from './peers.js';
import { ritsuServers } from './ritsu-servers.js';
import type { Serve } from './server.js';

const COLLECTIONS = 4;
const BETWEEN_COLLECTIONS_MS = 300;

function find({ engine, role }: ServerOptions): Serve {
  const serve = engine === 'node' ? nodeServers[role] : ritsuServers[`${engine} ${role}`];
  if (serve === undefined) throw new Error(`no server ${engine} ${role}`);
  return serve;
}

const options = JSON.parse(process.argv[2] ?? '{}') as ServerOptions;
if (options.inFlightMax !== undefined) Proactor.configure({ inFlightMax: options.inFlightMax });
const serving = await find(options)(options.name);

/**
 * With --expose-gc: without what only waits to be collected, and what V8 keeps for a time in case as much is made again. An ordinary
 * collection leaves the young generation, which doubles as it grows, at its size: that would decide, and not what is alive.
 */
async function collect(): Promise<void> {
  for (let pass = 0; pass < COLLECTIONS && globalThis.gc !== undefined; pass += 1) {
    globalThis.gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    await delay(BETWEEN_COLLECTIONS_MS);
  }
}

async function usage(): Promise<Usage> {
  const { user, system } = process.cpuUsage();
  await collect();
  const held = serving.blocksHeld?.();
  return { cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss(), ...(held !== undefined && { blocksHeld: held }) };
}

const lines = createInterface({ input: process.stdin });
lines.on('line', () => void usage().then((used) => process.stdout.write(`${JSON.stringify(used)}\n`)));
lines.on('close', () => process.exit());
process.stdout.write(`${serving.address}\n`);
