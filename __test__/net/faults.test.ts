/**
 * Description: faults that a program cannot cause in itself: a port that only root may have, a network that is down, no
 * descriptors left, a descriptor closed by somebody else. Each in a process of its own.
 *
 * What turns it red: an error other than Node's; a listener that ends, spins or forgets connections when the process has
 * no descriptors left; a process that crashes or hangs.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as net from 'node:net';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BACKENDS, onEach } from '../support/backends.ts';
import type { Body } from '../support/backends.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { freshPath } from '../support/files.ts';
import { pause } from '../support/net.ts';
import { ringTest } from '../support/ring.ts';

const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];
const APART = ['unshare', '--net'];

function works([command, ...args]: readonly string[]): boolean {
  return spawnSync(command!, [...args, 'true']).status === 0;
}

const canBeNobody = works(NOBODY) && Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) > 80;
const canBeApart = works(APART);

async function faultOf(t: ExecutionContext, wrapper: readonly string[], args: readonly (string | number)[]): Promise<object> {
  const ended = await runProgram('socket-faults', args, { wrapper });
  endedWith(t, ended, 0);
  return reported(ended);
}

/** A test for each backend, where the machine allows it; else a named skip. */
function onEachIf(possible: boolean, name: string, body: Body): void {
  if (possible) onEach(name, body);
  else for (const backend of BACKENDS) (possible ? test : test.skip)(`${backend}: ${name}`, () => {});
}

onEachIf(canBeNobody, 'a port that only root may have', async (t, _proactor, backend) => {
  const there = await faultOf(t, NOBODY, [backend, 'listen', 80, '127.0.0.1']);
  t.like(there, { message: 'listen EACCES: permission denied 127.0.0.1:80', code: 'EACCES', errno: -13, syscall: 'listen', port: 80 });
  // Everywhere: Node tries IPv6, then IPv4, and tells of that.
  t.like(await faultOf(t, NOBODY, [backend, 'listen', 80]), { message: 'listen EACCES: permission denied 0.0.0.0:80', address: '0.0.0.0' });
});

onEachIf(canBeApart, 'a network that is unreachable', async (t, _proactor, backend) => {
  const fault = await faultOf(t, APART, [backend, 'connect', 80, '192.0.2.1']);
  t.like(fault, { message: 'connect ENETUNREACH 192.0.2.1:80', code: 'ENETUNREACH', errno: -101, address: '192.0.2.1', port: 80 });
});

// On the other backend the descriptor is libuv's, which aborts the process.
ringTest('a descriptor that somebody else closes', async (t) => {
  const { outcomes, descriptorsOpen, inFlight } = await faultOf(t, [], ['uring', 'closedByOthers']) as Record<string, unknown>;
  t.deepEqual(outcomes, ['EBADF', 'EBADF', 'EBADF']);
  t.deepEqual([descriptorsOpen, inFlight], [0, 0]);
});

/** Comes again until it is greeted: a server without descriptors may hang up. */
async function visit(path: string): Promise<void> {
  for (;;) {
    const greeted = await new Promise<boolean>((resolve) => {
      const socket = net.connect(path);
      let heard = '';
      socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
      socket.on('error', () => {}).on('close', () => resolve(heard === 'hello'));
    });
    if (greeted) return;
    await pause(20);
  }
}

onEach('no descriptors left while accepting: it waits, says so once, and goes on', async (t, _proactor, backend) => {
  const path = freshPath('socket');
  const total = 150;
  const program = runProgram('socket-faults', [backend, 'acceptAll', path, total], { wrapper: ['prlimit', '--nofile=70:70'] });
  const visits = Array.from({ length: total }, () => visit(path));
  const ended = await program;
  endedWith(t, ended, 0);
  await Promise.all(visits);
  const { served, most, warnings, descriptorsOpen, inFlight, enters } = reported(ended);
  t.is(served, total);
  t.true(Number(most) < 70, `${String(most)} at once`);
  t.deepEqual([descriptorsOpen, inFlight], [0, 0]);
  if (backend === 'uring') {
    t.deepEqual(warnings, ['RITSU_ACCEPT_PAUSED']);
    t.true(Number(enters) < total * 20, `${String(enters)} enters: it spins`);
  }
});
