/**
 * Description: UDP sockets: where they are bound, peers, groups and options, wrong arguments, and how they end.
 *
 * What turns it red: an option that is accepted and not set; a group that is joined on another interface, or not left;
 * another code than Node's; a read that does not end with the socket; anything left open.
 */
import * as dgram from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { bind } from 'ritsu';
import type { BindOptions, UdpSocket } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import type { Body } from '../support/backends.ts';
import { closeAll, nodeError, shapeOf } from '../support/net.ts';
import { textOf } from '../support/sources.ts';

const hasV6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

/** A machine without IPv6 has no such tests. */
function withV6(name: string, body: Body): void {
  if (hasV6) onEach(name, body);
}

onEach('in use; not ours; reuseAddr and reusePort', async (t, proactor) => {
  const socket = await bind({ host: '127.0.0.1', proactor });
  const { port } = socket.address();
  const nodes = async (options: dgram.BindOptions): Promise<object> => nodeError(() => dgram.createSocket('udp4').bind(options));
  const ours = async (options: BindOptions): Promise<object> => bind({ ...options, proactor }).then(() => ({}), shapeOf);
  const taken = { port, address: '127.0.0.1' };
  t.deepEqual(await ours({ port, host: '127.0.0.1' }), { ...await nodes(taken) });
  t.deepEqual(await ours({ port: 7, host: '203.0.113.1' }), { ...await nodes({ port: 7, address: '203.0.113.1' }) });
  await socket.close();
  for (const options of [{ reuseAddr: true }, { reusePort: true }]) {
    const first = await bind({ host: '127.0.0.1', ...options, proactor });
    const second = await bind({ host: '127.0.0.1', port: first.address().port, ...options, proactor });
    await closeAll(first, second);
  }
});

onEach('wrong arguments', async (t, proactor) => {
  const wrong: readonly (readonly [object, string])[] = [
    [{ port: 70_000 }, 'ERR_SOCKET_BAD_PORT'],
    [{ port: -1 }, 'ERR_SOCKET_BAD_PORT'],
    [{ host: 7 }, 'ERR_INVALID_ARG_TYPE'],
    [{ type: 'udp5' }, 'ERR_SOCKET_BAD_TYPE'],
    [{ reuseAddr: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ peer: { port: 'x' } }, 'ERR_SOCKET_BAD_PORT'],
    [{ signal: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ recvBufferSize: 0 }, 'ERR_OUT_OF_RANGE'],
  ];
  for (const [options, code] of wrong) {
    await t.throwsAsync(bind({ ...options, proactor }), { code }, JSON.stringify(options));
  }
  await t.throwsAsync(bind(7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(bind({ signal: AbortSignal.abort(), proactor }), { name: 'AbortError' });
  const socket = await bind({ host: '127.0.0.1', proactor });
  await t.throwsAsync(socket.send('x'), { code: 'ERR_SOCKET_BAD_PORT' });
  await t.throwsAsync(socket.send('x', 70_000), { code: 'ERR_SOCKET_BAD_PORT' });
  await t.throwsAsync(socket.send('x', 0), { code: 'ERR_SOCKET_BAD_PORT' });
  await t.throwsAsync(socket.send(7 as never, 1), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(socket.send('x', 1, 7 as never), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(socket.send('x', 1, 'ritsu.invalid'), { message: /getaddrinfo/ });
  t.throws(() => socket.setTTL(0), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => socket.setMulticastTTL(256), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => socket.addMembership('nowhere'), { code: 'EINVAL' });
  t.throws(() => socket.addMembership('10.0.0.1'), { code: 'EINVAL' });
  t.throws(() => socket.setMulticastInterface('nowhere'), { code: 'ERR_INVALID_IP_ADDRESS' });
  t.throws(() => socket.remoteAddress(), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
  await socket.close();
});

onEach('a peer: no address is needed, nobody else is heard, and its refusal is an error', async (t, proactor) => {
  const server = await bind({ host: '127.0.0.1', proactor });
  const { port } = server.address();
  const client = await bind({ host: '127.0.0.1', peer: { port, host: '127.0.0.1' }, proactor });
  t.deepEqual(client.remoteAddress(), { address: '127.0.0.1', family: 'IPv4', port });
  t.is(await client.send('to the peer'), 11);
  t.is(textOf(await server.allocator().read()), 'to the peer');
  await t.throwsAsync(client.send('x', port), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' });
  const stranger = await bind({ host: '127.0.0.1', proactor });
  await stranger.send('spam', client.address().port);
  await server.send('answer', client.address().port);
  t.is(textOf(await client.allocator().read()), 'answer');
  await server.close();
  const reading = client.allocator().read({ timeout: 5000 });
  await client.send('is anybody there').catch(() => {});
  await t.throwsAsync(reading, { code: 'ECONNREFUSED' });
  await closeAll(client, stranger);
});

onEach('node:dgram at the other end', async (t, proactor) => {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const ours = await bind({ proactor });
  t.is(ours.address().address, '0.0.0.0');
  const heard = once(socket, 'message') as Promise<[Buffer, dgram.RemoteInfo]>;
  await ours.send('hello', socket.address().port, 'localhost');
  const [message, from] = await heard;
  t.is(message.toString(), 'hello');
  t.is(from.port, ours.address().port);
  socket.send('yourself', from.port, from.address);
  const bytes = await ours.allocator().read();
  t.deepEqual(bytes!.address, { address: '127.0.0.1', family: 'IPv4', port: socket.address().port });
  t.is(textOf(bytes), 'yourself');
  socket.close();
  await ours.close();
});

async function groupOf(t: Parameters<Body>[0], [member, sender]: readonly [UdpSocket, UdpSocket], group: string, over: string): Promise<void> {
  const { port } = member.address();
  sender.setMulticastInterface(over).setMulticastTTL(1).setMulticastLoopback(true);
  member.addMembership(group, over);
  t.throws(() => member.addMembership(group, over), { code: 'EADDRINUSE' });
  await sender.send('to all', port, group);
  t.is(textOf(await member.allocator().read({ timeout: 5000 })), 'to all');
  member.dropMembership(group, over);
  t.throws(() => member.dropMembership(group, over), { code: 'EADDRNOTAVAIL' });
  await sender.send('to nobody', port, group).catch(() => {});
  const late = await member.allocator().read({ timeout: 50 }).then(textOf, (error: Error) => error.name);
  t.is(late, 'TimeoutError', 'what came after the member had left');
}

onEach('a group, on the loopback interface', async (t, proactor, backend) => {
  const sockets = [await bind({ proactor }), await bind({ proactor })] as const;
  // One of its own: Linux gives every socket what comes for a group that any socket of the machine has joined.
  await groupOf(t, sockets, `239.${backend.length}.${process.pid >> 8 & 0xff}.${process.pid & 0xff}`, '127.0.0.1');
  await closeAll(...sockets);
});

withV6('a group of IPv6, on the loopback interface', async (t, proactor, backend) => {
  const sockets = [await bind({ type: 'udp6', proactor }), await bind({ type: 'udp6', proactor })] as const;
  // Few machines have a route for groups on `lo`: then Node cannot send there, either.
  const group = `ff01::${backend.length}:${(process.pid & 0xffff).toString(16)}`;
  const error = await groupOf(t, sockets, `${group}%lo`, '::%lo').catch((thrown: NodeJS.ErrnoException) => thrown);
  if (error !== undefined) {
    t.is(error.code, 'ENETUNREACH');
    sockets[0].dropMembership(group, '::%lo');
    t.throws(() => sockets[0].dropMembership(group, '::%lo'), { code: 'EADDRNOTAVAIL' });
  }
  await closeAll(...sockets);
});

onEach('options', async (t, proactor) => {
  const socket = await bind({ host: '127.0.0.1', recvBufferSize: 8192, sendBufferSize: 16_384, proactor });
  t.is(socket.getRecvBufferSize(), 16_384);
  t.is(socket.getSendBufferSize(), 32_768);
  t.is(socket.setBroadcast(true).setTTL(9).setMulticastTTL(0).setMulticastLoopback(false).setSendBufferSize(8192), socket);
  t.is(socket.getSendBufferSize(), 16_384);
  await socket.close();
  t.throws(() => socket.setTTL(9), { code: 'ERR_RITSU_CLOSED' });
  t.throws(() => socket.getSendBufferSize(), { code: 'ERR_RITSU_CLOSED' });
  t.throws(() => socket.address(), { code: 'ERR_RITSU_CLOSED' });
});

onEachAlone('the end: reads that wait are refused, nothing is left', {}, async (t, proactor) => {
  const socket = await bind({ host: '127.0.0.1', proactor });
  const reader = socket.allocator();
  const reads = [reader.read(), socket.hybrid().pull(), socket.receiveMany()];
  const refused = Promise.allSettled(reads);
  t.is(socket.close(), socket.close());
  for (const outcome of await refused) t.like(outcome, { status: 'rejected', reason: { code: 'ERR_RITSU_CLOSED' } });
  await socket.destroy();
  t.is(socket.fd, -1);
  await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(socket.send('x', 1), { code: 'ERR_RITSU_CLOSED' });
  const { inFlight, descriptorsOpen, blocksBusy, pool } = proactor.stats();
  t.deepEqual({ inFlight, descriptorsOpen, blocksBusy }, { inFlight: 0, descriptorsOpen: 0, blocksBusy: 0 });
  for (const each of pool) t.is(each.available, each.count);
});
