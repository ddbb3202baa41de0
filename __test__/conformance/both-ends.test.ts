/**
 * Description: connections whose two ends are both ours, on one proactor: what one end does, and what the other is told.
 * The same on the ring, on Node's sockets, and on the simulated network, which is compared with the kernel's here.
 */
import { execFileSync } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { bind, connect, listen, pipe, remoteProactor } from 'ritsu';
import type { Proactor, Stream, TcpListener } from 'ritsu';
import { onEach, onEachAlone, onRealAlone } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import { disposed } from '../support/net.ts';

interface Ends {
  readonly near: Stream;
  readonly far: Stream;
}

type Transport = 'tcp' | 'unix';
const TRANSPORTS: readonly Transport[] = ['tcp', 'unix'];

const here = (proactor: Proactor): Promise<TcpListener> => listen({ port: 0, host: '127.0.0.1', proactor });

async function endsOf(proactor: Proactor, transport: Transport): Promise<Ends> {
  const path = freshPath('socket');
  const listener = await (transport === 'unix' ? listen({ path, proactor }) : here(proactor));
  const address = listener.address();
  const target = typeof address === 'string' ? { path } : { port: address.port, host: '127.0.0.1' };
  const [near, far] = await Promise.all([connect({ ...target, proactor }) as Promise<Stream>, listener.accept() as Promise<Stream>]);
  await listener.close();
  return { near, far };
}

/** All bytes until the end; the error where there is one instead. */
async function rest(stream: Stream): Promise<string> {
  let text = '';
  try {
    for await (const bytes of stream.allocator()) text += bytes.data.toString();
    return text;
  } catch (error) {
    return `${text}${(error as { code?: string }).code}`;
  }
}

const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'fine', (error: { code?: string }) => error.code ?? String(error));

/** Write until it fails: the peer may take a moment to say that it is gone. */
async function writeUntilRefused(stream: Stream): Promise<string> {
  for (let tries = 0; tries < 1000; tries += 1) {
    const code = await codeOf(stream.writer().write('more'));
    if (code !== 'fine') return code;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return 'never';
}

for (const transport of TRANSPORTS) {
  const onEnds = (name: string, body: (t: ExecutionContext, ends: Ends) => Promise<void>): void =>
    onEach(`${transport}: ${name}`, async (t, proactor) => {
      const ends = await endsOf(proactor, transport);
      await body(t, ends);
      await Promise.all([ends.near.close(), ends.far.close()]);
    });

  onEnds('the end comes after the bytes, and the other direction goes on', async (t, { near, far }) => {
    await near.writer().writeAll('question');
    await near.shutdown();
    t.is(await rest(far), 'question');
    await far.writer().writeAll('answer');
    await far.shutdown();
    t.is(await rest(near), 'answer');
  });

  onEnds('after a shutdown nothing can be written: EPIPE', async (t, { near }) => {
    await near.shutdown();
    t.is(await codeOf(near.writer().write('late')), 'EPIPE');
  });

  onEnds('a stream that is closed with everything read ends the other', async (t, { near, far }) => {
    await near.close();
    t.is(await rest(far), '');
    t.is(await writeUntilRefused(far), 'EPIPE');
  });

  onEnds('more bytes than the buffers hold, in both directions', async (t, { near, far }) => {
    const content = 'abcdefgh'.repeat(50_000);
    const one = async (from: Stream, to: Stream): Promise<void> => {
      const sent = from.writer().writeAll(content).then(() => from.shutdown());
      t.is((await rest(to)).length, content.length);
      await sent;
    };
    await Promise.all([one(near, far), one(far, near)]);
  });
}

onEach('tcp: a connection to where nobody listens: ECONNREFUSED', async (t, proactor) => {
  // An address of its own: a port of 127.0.0.1 that came free is soon another test's.
  const host = '127.0.4.1';
  const listener = await listen({ port: 0, host, proactor });
  const { port } = listener.address();
  await listener.close();
  t.is(await codeOf(connect({ port, host, proactor })), 'ECONNREFUSED');
});

onEach('tcp: a port that is in use: EADDRINUSE', async (t, proactor) => {
  const listener = await disposed(t, here(proactor));
  const { port } = listener.address();
  t.is(await codeOf(listen({ port, host: '127.0.0.1', proactor })), 'EADDRINUSE');
  const other = await disposed(t, listen({ port, host: '127.0.0.2', proactor }));
  t.is(other.address().port, port);
});

onEach('tcp: the addresses of both ends agree', async (t, proactor) => {
  const listener = await disposed(t, here(proactor));
  const { port } = listener.address();
  const [near, far] = await Promise.all([connect({ port, host: '127.0.0.1', proactor }), listener.accept()]);
  t.is(near.remotePort, port);
  t.is(near.remoteAddress, '127.0.0.1');
  t.is(far.localPort, port);
  t.is(far.remotePort, near.localPort);
  await Promise.all([near.close(), far.close()]);
});

onEach('tcp: IPv4 reaches a listener of IPv6, as a mapped address', async (t, proactor) => {
  const listener = await disposed(t, listen({ port: 0, host: '::', proactor }));
  const { port } = listener.address();
  const [near, far] = await Promise.all([connect({ port, host: '127.0.0.1', proactor }), listener.accept()]);
  t.is(far.remoteAddress, '::ffff:127.0.0.1');
  t.is(near.remoteAddress, '127.0.0.1');
  await Promise.all([near.close(), far.close()]);
});

onEach('udp: a datagram is one read, from its sender', async (t, proactor) => {
  const one = await disposed(t, bind({ port: 0, host: '127.0.0.1', proactor }));
  const two = await disposed(t, bind({ port: 0, host: '127.0.0.1', proactor }));
  await one.send('first', two.address().port, '127.0.0.1');
  await one.send('', two.address().port, '127.0.0.1');
  await one.send('third', two.address().port, '127.0.0.1');
  const reader = two.allocator();
  const found: [string, number | undefined][] = [];
  for (let count = 0; count < 3; count += 1) {
    const bytes = await reader.read();
    found.push([bytes!.data.toString(), bytes!.address?.port]);
    bytes!.release();
  }
  const { port } = one.address();
  t.deepEqual(found, [['first', port], ['', port], ['third', port]]);
});

onEach('a FIFO: what one side writes the other reads, and its end', async (t, proactor) => {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  const [input, output] = await Promise.all([pipe(path, { flags: 'r', proactor }), pipe(path, { flags: 'w', proactor })]);
  const writing = output.writer().writeAll('x'.repeat(200_000)).then(() => output.close());
  t.is((await rest(input)).length, 200_000);
  await writing;
  await input.close();
});

onEachAlone('nothing stays open behind connections', {}, async (t, proactor) => {
  const ends = await endsOf(proactor, 'tcp');
  t.is(proactor.stats().descriptorsOpen, 2);
  await Promise.all([ends.near.close(), ends.far.close()]);
  t.is(proactor.stats().descriptorsOpen, 0);
});

/** More than two sockets hold. */
const FULL_BYTES = 64 << 20;

/** Of a write that cannot be taken back, a timeout says nothing; the end of its stream does. */
async function isEndedByDestroy(t: ExecutionContext, { near, far }: Ends, hasOwnTimeout: boolean): Promise<void> {
  const writing = near.writer().writeAll(Buffer.alloc(FULL_BYTES), hasOwnTimeout ? { timeout: 20 } : {});
  const failed = t.throwsAsync<Error & { bytesTransferred: number }>(writing);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await near.destroy();
  const { bytesTransferred } = await failed;
  t.true(bytesTransferred < FULL_BYTES, `${bytesTransferred} bytes`);
  await far.destroy();
}

// Seen red on `node`, and through a handle to it: the first cancel of an operation was its only one, so that a write whose timeout had
// passed was never ended (`#giveUp` of ts/inflight.ts).
for (const transport of TRANSPORTS) {
  for (const hasOwnTimeout of [true, false]) {
    const when = hasOwnTimeout ? 'after its timeout' : 'before';
    onEach(`${transport}: destroy ends a write that waits for room, ${when}`, async (t, proactor) => {
      await isEndedByDestroy(t, await endsOf(proactor, transport), hasOwnTimeout);
    });
  }
}

for (const hasOwnTimeout of [true, false]) {
  onRealAlone(`destroy ends it through a handle, too, ${hasOwnTimeout ? 'after its timeout' : 'before'}`, {}, async (t, proactor) => {
    const remote = await remoteProactor(proactor.share());
    await isEndedByDestroy(t, await endsOf(remote, 'tcp'), hasOwnTimeout);
    await remote.close();
  });
}
