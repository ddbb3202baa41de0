/**
 * Description: what the kernel is asked for by a server: connections and bytes come through the ring and nowhere else, one
 * operation accepts all connections, and in style 1 one operation receives all that comes on a connection, into blocks
 * that the kernel chooses.
 *
 * What turns it red: an accept, a receive or a send by a system call; an accept or a receive submitted for each event; an
 * enter for each operation.
 */
import type { ExecutionContext } from 'ava';
import { endedWith, reported } from '../support/child.ts';
import { closedPort, nodeConnect, pause } from '../support/net.ts';
import { ringTest } from '../support/ring.ts';
import { hasStrace, trace } from '../support/strace.ts';
import type { Traced } from '../support/strace.ts';

const CONNECTIONS = 20;
const ROUNDS = 50;
const CALLS = 'trace=accept,accept4,recvfrom,recvmsg,recvmmsg,sendto,sendmsg,sendmmsg,read,readv,write,writev,epoll_pwait,epoll_wait,io_uring_enter';
const STREAM_CALLS = new Set(['accept', 'accept4', 'recvfrom', 'recvmsg', 'recvmmsg', 'sendto', 'sendmsg', 'sendmmsg']);

/** Ask and be answered, again and again. */
async function visit(port: number): Promise<void> {
  let socket;
  for (;;) {
    socket = await nodeConnect({ port, host: '127.0.0.1', noDelay: true }).catch(() => undefined);
    if (socket !== undefined) break;
    await pause(50);
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const answer = new Promise((resolve) => socket.once('data', resolve));
    socket.write(`question ${round}`);
    await answer;
  }
  socket.end();
  await new Promise((resolve) => socket.once('close', resolve));
}

async function traceServer(style: string): Promise<Traced> {
  const port = await closedPort();
  const tracing = trace([CALLS], 'socket-echo', [style, port, CONNECTIONS], { env: { RITSU_BACKEND: 'uring' } });
  await Promise.all(Array.from({ length: CONNECTIONS }, () => visit(port)));
  return tracing;
}

function socketCalls({ calls, mainThread }: Traced): string[] {
  const ofSockets = calls.filter(({ thread, name, text }) => {
    // Not the resolver's, nor the report on standard output.
    if (thread !== mainThread || text.includes('AF_NETLINK') || text.startsWith('1<')) return false;
    return STREAM_CALLS.has(name) || (/^(read|write)v?$/.test(name) && /<(socket|TCP)/.test(text));
  });
  return ofSockets.map(({ name, text }) => `${name}(${text}`);
}

function servedWell(t: ExecutionContext, traced: Traced): Record<string, number> {
  endedWith(t, traced, 0);
  const seen = reported(traced) as Record<string, number>;
  t.like(seen, { backend: 'uring', messages: CONNECTIONS * ROUNDS, inFlight: 0, descriptorsOpen: 0, blocksBusy: 0 });
  return seen;
}

for (const style of ['allocator', 'submit', 'hybrid']) {
  ringTest(`strace: a server makes no system call for a connection or its bytes: ${style}`, async (t) => {
    const traced = await traceServer(style);
    const { submitted, provided } = servedWell(t, traced);
    t.deepEqual(socketCalls(traced), []);
    const sends = CONNECTIONS * ROUNDS;
    const enters = traced.calls.filter(({ name, text }) => name === 'io_uring_enter' && text.includes('REGISTERED_RING')).length;
    t.true(enters > 0, 'the ring was not seen at all');
    t.log({ submitted, enters, sends, provided });
    if (style === 'submit') return;
    // The sends; beside them for each connection a receive, an end and a close, and one accept: not one for each event.
    t.true(submitted! <= sends + CONNECTIONS * 5 + 50, `${submitted} operations for ${sends} answers`);
    t.true(provided! > 0, 'no block was given to the kernel to choose from');
  }, hasStrace);
}
