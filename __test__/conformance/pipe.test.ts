/** What is particular to pipes, FIFOs and descriptors that the process has: how they end, and whose they are. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { pipe } from 'ritsu';
import { onEach } from '../support/backends.ts';
import { pause } from '../support/net.ts';
import { STREAM_STYLES, fifo } from '../support/streams.ts';

for (const { name, reader } of STREAM_STYLES) {
  onEach(`${name}: a FIFO ends for a read that waits, when its last writer closes it`, async (t, proactor) => {
    const path = fifo();
    const [input, output] = await Promise.all([pipe(path, { proactor }), pipe(path, { flags: 'w', proactor })]);
    const next = reader(input, proactor, 4096);
    const first = next();
    await pause(20);
    await output.writer().writeAll('hello');
    t.is(String(await first), 'hello');
    const second = next();
    await pause(20);
    await output.close();
    t.is(await second, null);
    t.is(await next(), null);
    await input.close();
  });
}

onEach('a descriptor that the process has: the pipe has one of its own, and leaves the other open', async (t, proactor) => {
  const fd = openSync(fifo(), 'r+'); // both ends, so that opening does not wait
  const child = spawn('printf', ['hello'], { stdio: ['ignore', fd, 'inherit'] });
  const closed = once(child, 'close');
  const input = await pipe(fd, { proactor });
  const reader = input.allocator();
  let heard = '';
  while (heard.length < 5) {
    const bytes = await reader.read();
    heard += String(bytes?.data);
    bytes?.release();
  }
  t.is(heard, 'hello');
  await closed;
  await input.close();
  t.is(writeSync(fd, 'still open'), 10);
  closeSync(fd);
});
