/**
 * The process of one server: `server-process.js OPTIONS`, as JSON. A process of its own, so that its CPU time and its
 * memory are the server's. Prints its address, answers each line on standard input by its usage as a line of JSON, and
 * ends when standard input does.
 */
import { createInterface } from 'node:readline';
import { Proactor } from '../../index.js';
import { nodeServers } from './node-servers.js';
import type { ServerOptions, Usage } from './peers.js';
import { ritsuServers } from './ritsu-servers.js';
import type { Serve } from './server.js';

function find({ engine, role }: ServerOptions): Serve {
  const serve = engine === 'node' ? nodeServers[role] : ritsuServers[`${engine} ${role}`];
  if (serve === undefined) throw new Error(`no server ${engine} ${role}`);
  return serve;
}

const options = JSON.parse(process.argv[2] ?? '{}') as ServerOptions;
if (options.inFlightMax !== undefined) Proactor.configure({ inFlightMax: options.inFlightMax });
const serving = await find(options)(options.name);

function usage(): Usage {
  // With --expose-gc: memory without what is only waiting to be collected; what the first one ends, the second one frees.
  globalThis.gc?.();
  globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  const held = serving.blocksHeld?.();
  return { cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss(), ...(held !== undefined && { blocksHeld: held }) };
}

const lines = createInterface({ input: process.stdin });
lines.on('line', () => process.stdout.write(`${JSON.stringify(usage())}\n`));
lines.on('close', () => process.exit());
process.stdout.write(`${serving.address}\n`);
