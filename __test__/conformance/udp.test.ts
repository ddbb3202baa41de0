/**
 * Description: UDP: one read is one datagram, with who sent it and whether it was cut off, in every style; batches; groups;
 * errors with Node's codes.
 *
 * What turns it red: a datagram joined with another, lost without need, or given twice; an empty one taken for the end; a
 * truncation that nobody can see; a sender that is somebody else; a read that an abort leaves behind, or that it loses a
 * datagram to; a group that is not left.
 */
import { networkInterfaces } from 'node:os';
import { alloc, bind, owned } from 'ritsu';
import type { AsyncRead, BindOptions, Proactor, UdpSocket } from 'ritsu';
import { onEach } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { closeAll, pause } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { textOf } from '../support/sources.ts';

const hasV6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));
const HOSTS = ['127.0.0.1', ...(hasV6 ? ['::1'] : [])];

/** Two sockets on this machine. */
async function two(proactor: Proactor, host = '127.0.0.1', options: BindOptions = {}): Promise<[UdpSocket, UdpSocket]> {
  return [await bind({ host, proactor, ...options }), await bind({ host, proactor, ...options })];
}

const READERS: readonly (readonly [string, (socket: UdpSocket) => AsyncRead])[] = [
  ['allocator', (socket) => socket.allocator()],
  ['submit', (socket) => socket.submitter()],
  ['hybrid', (socket) => socket.hybrid()],
];

for (const host of HOSTS) {
  for (const [name, readerOf] of READERS) {
    onEach(`there and back, with the sender's address: ${name}, ${host}`, async (t, proactor) => {
      const [server, client] = await two(proactor, host);
      const { port } = server.address();
      t.is(await client.send('ping', port, host), 4);
      const bytes = await readerOf(server).pull();
      t.is(bytes!.data.toString(), 'ping');
      t.deepEqual(bytes!.address, client.address());
      t.false(bytes!.truncated);
      t.is(await server.send(bytes!, client.address().port, host), 4);
      t.is(textOf(await readerOf(client).pull()), 'ping');
      await closeAll(server, client);
    });
  }
}

onEach('datagrams keep their limits and their order, and an empty one is not the end', async (t, proactor) => {
  for (const [name, readerOf] of READERS) {
    const [server, client] = await two(proactor);
    const sent = ['a', '', 'bc', '', '', 'd'.repeat(5000), ''];
    const { port } = server.address();
    for (const data of sent) t.is(await client.send(data, port), data.length);
    const seen: string[] = [];
    for await (const bytes of readerOf(server)) {
      t.is(bytes.address?.port, client.address().port);
      seen.push(bytes.data.toString());
      if (seen.length === sent.length) break;
    }
    t.deepEqual(seen, sent, name);
    await closeAll(server, client);
  }
});

onEach('many reads at once get the datagrams in the order of their calls', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const reader = server.allocator();
  const reading = Array.from({ length: 50 }, () => reader.read());
  for (let index = 0; index < 50; index += 1) await client.send(`${index}`, server.address().port);
  t.deepEqual((await Promise.all(reading)).map(textOf), Array.from({ length: 50 }, (_, index) => `${index}`));
  await closeAll(server, client);
});

onEach('too long for the memory: cut off, and it says so', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const { port } = server.address();
  const data = randomBytes(3000);
  for (let count = 0; count < 4; count += 1) await client.send(data, port);
  const reader = server.submitter();
  reader.submit(alloc(1000));
  const short = await reader.poll();
  t.true(short.truncated);
  sameBytes(t, short.data, data.subarray(0, 1000));
  reader.submit(alloc(3000));
  const whole = await reader.poll();
  t.false(whole.truncated);
  sameBytes(t, whole.data, data);
  const into = owned(Buffer.alloc(100));
  t.true((await server.hybrid().read(into))!.truncated);
  t.is(into.take().length, 100);
  const lent = await server.allocator({ blockSize: 4096 }).read();
  sameBytes(t, lent!.data, data);
  lent!.release();
  await closeAll(server, client);
});

onEach('the largest datagram, and one too large', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const { port } = server.address();
  const data = randomBytes(65_507);
  t.is(await client.send(data, port), 65_507);
  const bytes = await server.allocator().read();
  sameBytes(t, bytes!.data, data);
  bytes!.release();
  await t.throwsAsync(client.send(randomBytes(65_508), port), {
    code: 'EMSGSIZE', message: `send EMSGSIZE 127.0.0.1:${port}`,
  });
  await closeAll(server, client);
});

onEach('what is sent: text, bytes, parts, memory of alloc() and leases', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const { port } = server.address();
  const own = alloc(4, { proactor });
  own.write('own!');
  await client.send('grüße', port);
  await client.send(['of ', Buffer.from('several '), 'parts'], port);
  await client.send(new Uint16Array([0x4141]), port);
  await client.send(own, port);
  t.is(own.toString(), 'own!', 'it was copied');
  const reader = server.allocator();
  const seen: string[] = [];
  for (let count = 0; count < 4; count += 1) seen.push(textOf(await reader.read()));
  t.deepEqual(seen, ['grüße', 'of several parts', 'AA', 'own!']);
  await client.send('lease', port);
  const lease = (await reader.read())!;
  await server.send(lease, client.address().port);
  t.true(lease.released, 'a lease moves');
  t.is(textOf(await client.allocator().read()), 'lease');
  await closeAll(server, client);
});

onEach('batches: sendMany and receiveMany', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const { port } = server.address();
  const texts = Array.from({ length: 40 }, (_, index) => `datagram ${index}`);
  t.is(await client.sendMany(texts.map((data) => ({ data, port }))), 40);
  await pause(20);
  const seen: string[] = [];
  const sizes: number[] = [];
  while (seen.length < texts.length) {
    const batch = await server.receiveMany(16, { timeout: 5000 });
    sizes.push(batch.length);
    for (const bytes of batch) {
      t.is(bytes.address?.port, client.address().port);
      seen.push(textOf(bytes));
    }
  }
  t.deepEqual(seen, texts);
  t.true(sizes.every((size) => size >= 1 && size <= 16), sizes.join());
  t.true(Math.max(...sizes) > 1, sizes.join());
  t.is(await client.sendMany([]), 0);
  const error = await t.throwsAsync<Error & { messagesSent: number }>(
    client.sendMany([{ data: 'good', port }, { data: Buffer.alloc(70_000), port }, { data: 'good', port }]),
    { code: 'EMSGSIZE' },
  );
  t.is(error.messagesSent, 2);
  await t.throwsAsync(server.receiveMany(0), { code: 'ERR_OUT_OF_RANGE' });
  t.is((await server.receiveMany(1)).map(textOf).join(), 'good');
  await closeAll(server, client);
});

onEach('an aborted read takes no datagram', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const reader = server.allocator();
  const controllers = Array.from({ length: 3 }, () => new AbortController());
  const reads = controllers.map(({ signal }) => reader.read({ signal }));
  const batch = server.receiveMany(4);
  controllers[1]!.abort();
  await t.throwsAsync(reads[1]!, { name: 'AbortError' });
  controllers[0]!.abort();
  await t.throwsAsync(reads[0]!, { name: 'AbortError' });
  await client.send('first', server.address().port);
  t.is(textOf(await reads[2]!), 'first');
  await client.send('second', server.address().port);
  t.deepEqual((await batch).map(textOf), ['second']);
  const buffer = alloc(100, { proactor });
  const submitter = server.submitter();
  submitter.submit(buffer, { timeout: 10 });
  const error = await t.throwsAsync<Error & { buffer: Buffer }>(submitter.poll(), { name: 'TimeoutError' });
  t.is(error.buffer.length, 100);
  await t.throwsAsync(reader.read({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await t.throwsAsync(reader.read({ position: 0 }), { code: 'ERR_INVALID_ARG_VALUE' });
  await closeAll(server, client);
});

onEach('aborts in a race with datagrams: none is lost, none is doubled', async (t, proactor) => {
  const [server, client] = await two(proactor);
  const reader = server.allocator();
  const seen: string[] = [];
  for (let index = 0; index < 200; index += 1) {
    const controller = new AbortController();
    const reading = reader.read({ signal: controller.signal });
    const sending = client.send(`${index}`, server.address().port);
    if (index % 3 === 0) setImmediate(() => controller.abort());
    else if (index % 3 === 1) controller.abort();
    await sending;
    seen.push(textOf(await reading.catch(() => reader.read({ timeout: 5000 }))));
  }
  t.deepEqual(seen, Array.from({ length: 200 }, (_, index) => `${index}`));
  await closeAll(server, client);
});
