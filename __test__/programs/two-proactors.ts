/**
 * Two proactors of one thread: `two-proactors <what>`. What one answers begins an operation of the other, which in the same breath is
 * asked about a descriptor, by a call: `send` sends much at once, `option` sets an option. Nothing else turns the loop.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Proactor, connect } from 'ritsu';
import { report } from './report.ts';

const isSend = process.argv[2] === 'send';
const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const older = new Proactor({ backend: 'uring' });
const newer = new Proactor({ backend: 'uring' });
const data = new Uint8Array(65_536);
let rounds = 0;
for (const [answering, asked] of [[older, newer], [newer, older]] as const) {
  const connected = once(server, 'connection');
  const stream = await connect({ host: '127.0.0.1', port, proactor: asked });
  await connected;
  for (let round = 0; round < 3; round += 1) {
    await pause(20); // all is quiet: only the next lines turn the loop
    await answering.nop();
    const nop = asked.nop();
    const written = isSend ? stream.writer().writeAll(data) : void stream.setNoDelay(round % 2 === 0);
    await nop;
    await written;
    rounds += 1;
  }
}
report({ rounds });
process.exit();
