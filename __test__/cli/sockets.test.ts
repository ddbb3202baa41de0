/** Description: the socket half of the main job: its tables, what one wrong bit does to it, and that no process outlives it. */
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { backendInfo } from 'ritsu';
import type { BackendName } from 'ritsu';
import { PATTERN_BYTES, PIECE_BYTES, firstWrong, matches, piece } from '../../dist/cli/sockets/pattern.js';
import { Arena } from '../../dist/cli/sockets/contest.js';
import type { Trial } from '../../dist/cli/sockets/contest.js';
import { Load, Server } from '../../dist/cli/sockets/peers.js';
import type { LoadPlan } from '../../dist/cli/sockets/peers.js';
import { Receiver, encodeTransfer, faultOf } from '../../dist/cli/sockets/transfer.js';
import { compare } from '../../dist/cli/comparison.js';
import { WrongBytes } from '../../dist/cli/meter.js';
import { Progress } from '../../dist/cli/progress.js';
import { socketTableText } from '../../dist/cli/table.js';
import type { Report } from '../../dist/cli/report.js';
import { runCli } from './run-cli.ts';

const SHORT = ['--only', 'sockets', '--runs', '1', '--connections', '3'];
const ECHOING = ['node:net', 'ritsu allocator', 'ritsu submit', 'ritsu hybrid pooled'];
const WRITING = ['node:net', 'ritsu writer, memory of alloc', 'ritsu writer, any memory'];
/** For a progress bar that nobody watches. */
const progress = new Progress(new Writable({ write: (_chunk, _encoding, done) => done() }) as NodeJS.WriteStream);
const BACKENDS: readonly BackendName[] = ['uring', 'node'];

// One child at a time: each wants the machine for itself.
function on(backend: BackendName): typeof test.serial {
  return backend === 'node' || backendInfo().backend === 'uring' ? test.serial : (test.serial.skip as typeof test.serial);
}

function corrupting(server: string): NodeJS.ProcessEnv {
  const preload = new URL('../support/corrupt-writes.ts', import.meta.url).href;
  return { NODE_OPTIONS: `--import=${preload}`, RITSU_TEST_CORRUPT: server };
}

for (const backend of BACKENDS) {
  on(backend)(`${backend}: sockets alone: a table for each kind, every engine in it, every byte right`, async (t) => {
    const styles = backend === 'node' ? ['--style', 'allocator'] : [];
    const { code, stdout, stderr } = await runCli([...SHORT, ...styles, '--backend', backend, '--json']);
    t.is(code, 0, stdout + stderr);
    const report = JSON.parse(stdout) as Report;
    t.like(report, { right: true, rounds: 1, file: null, tables: [], backend: { backend } });
    t.deepEqual(report.sockets.map(({ role }) => role), ['echo', 'echo', 'receive', 'send']);
    const reading = backend === 'node' ? ECHOING.slice(0, 2) : ECHOING;
    t.deepEqual(report.sockets.map(({ rows }) => rows.map(({ engine }) => engine)), [reading, reading, reading, WRITING]);
    t.deepEqual(report.sockets.map(({ connections }) => connections), [3, 3, 1, 1]);
    for (const { role, rows, loadBusy } of report.sockets) {
      t.true(loadBusy! > 0 && loadBusy! <= 1, `the load was busy ${loadBusy}`);
      for (const { engine, figures, runs } of rows) {
        t.is(runs.length, 1, engine);
        const { ratio, p50Us, p99Us, ...others } = figures!;
        for (const [name, value] of Object.entries(others)) t.true(value >= 0 && Number.isFinite(value), `${engine}: ${name}`);
        t.true(role === 'echo' ? p50Us! > 0 && p99Us! >= p50Us! : p50Us === null && p99Us === null, engine);
        if (engine === 'node:net') t.is(ratio, 1);
      }
    }
  });

  for (const server of ['node echo', 'allocator echo', 'submit echo', 'hybrid receive', 'node send', 'moved send']) {
    on(backend)(`${backend}: one wrong bit from the server ${server} puts it out of the comparison, and no other`, async (t) => {
      const role = server.split(' ')[1] as Trial['role'];
      const trial = { role, connections: 2, messageBytes: role === 'echo' ? 5000 : 700_001, milliseconds: 20, warmUpMilliseconds: 20 };
      const arena = new Arena(backend);
      Object.assign(process.env, corrupting(server));
      try {
        const outcomes = await compare('wrong', arena.contestants(trial, ['allocator', 'submit', 'hybrid']), 1, progress);
        const wrong = outcomes.filter(({ failure }) => failure !== undefined);
        t.is(wrong.length, 1, JSON.stringify(outcomes));
        t.true(wrong[0]!.failure!.wrongBytes, wrong[0]!.failure!.message);
        t.deepEqual(wrong[0]!.runs, []);
        t.true(outcomes.every(({ failure, runs }) => failure !== undefined || runs.length === 1));
      } finally {
        for (const name of Object.keys(corrupting(server))) delete process.env[name];
        await arena.stop();
      }
    });
  }
}

test.serial('one wrong bit of an echo makes it end with 1, and says whose it was', async (t) => {
  const { code, stdout, stderr } = await runCli([...SHORT, '--style', 'submit'], { environment: corrupting('submit echo') });
  t.is(code, 1, stdout + stderr);
  t.regex(stdout, /WRONG BYTES ritsu submit: byte \d+ of an echo on connection \d is not the one that was sent/);
  t.regex(stdout, /2 of 9 rows read wrong bytes/);
});

test.serial('both halves together: the tables follow each other, and one verdict is about all', async (t) => {
  const { code, stdout, stderr } = await runCli(['--size', '1M', '--runs', '1', '--style', 'submit', '--connections', '2']);
  t.is(code, 0, stdout + stderr);
  const titles = ['whole file in order', 'random 4 KiB', 'echo of 64 B over 2 connections', 'echo of 16 KiB', 'client to server', 'server to client'];
  const places = titles.map((title) => stdout.indexOf(title));
  t.deepEqual(places, places.toSorted((left, right) => left - right), stdout);
  t.true(places[0]! > 0);
  for (const head of ['requests/s', 'x node:net', 'CPU us/req', 'CPU us/MiB']) t.true(stdout.includes(head), head);
  t.regex(stdout, /every byte was right in all 15 rows: .*compared byte by byte/);
  t.regex(stderr, /echo of 64 B over 2 connections: round 1 of 1/);
});

test('a load that had no time left is named as the limit, under its table alone', (t) => {
  const table = { title: 'echo', role: 'echo', connections: 1, messageBytes: 64, cores: [], rows: [] } as const;
  const limit = '  the load had no time left (97 % busy): it limits these rates, not the servers; CPU tells them apart';
  t.deepEqual(socketTableText({ ...table, loadBusy: 0.97 }).split('\n').slice(1), [limit]);
  for (const loadBusy of [0.94, null]) t.is(socketTableText({ ...table, loadBusy }).split('\n').length, 1);
});

/** Processes whose environment has this variable. */
function marked(mark: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark);
    } catch {
      return false;
    }
  });
}

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGKILL', null]] as const) {
  test.serial(`${signal} while sockets are measured leaves no process`, async (t) => {
    const mark = `RITSU_TEST_MARK=${signal}-${process.pid}`;
    let seen = 0;
    const ended = await runCli(['--only', 'sockets', '--runs', '100'], {
      environment: { RITSU_TEST_MARK: mark.split('=')[1] },
      onProgress(text, child) {
        if (!text.includes('round 1')) return;
        seen = marked(mark).length;
        child.kill(signal);
      },
    });
    t.is(ended.code, code);
    t.true(seen > 2, `${seen} processes`);
    for (let tries = 0; tries < 100 && marked(mark).length > 0; tries += 1) await delay(50);
    t.deepEqual(marked(mark), []);
  });
}

function planOf(address: LoadPlan['address'], values: Partial<LoadPlan>): LoadPlan {
  return { address, mode: 'echo', connections: 1, messageBytes: 64, transferBytes: 100_003, thorough: true, milliseconds: 20, ...values };
}

test.serial('a server that goes away is a failure, and no wrong byte', async (t) => {
  const server = await Server.start({ engine: 'node', role: 'echo' });
  const load = Load.start();
  const milliseconds = 60_000;
  await load.prepare(planOf(server.address, { milliseconds }));
  const going = load.go(milliseconds);
  await server.stop();
  const error = await t.throwsAsync(going, { message: /the server closed a connection|ECONNRESET|EPIPE/ });
  t.false(error instanceof WrongBytes);
  await load.stop();
});

test.serial('a server is what it is asked to be, or says that there is no such one', async (t) => {
  await t.throwsAsync(Server.start({ engine: 'nobody', role: 'echo' }), { message: /no server nobody echo/ });
  const server = await Server.start({ engine: 'node', role: 'echo', name: `ritsu-test-${process.pid}` });
  t.is(server.address, `unix:ritsu-test-${process.pid}`);
  const socket = connect({ path: `\0ritsu-test-${process.pid}` });
  socket.write('hello');
  const [data] = (await once(socket, 'data')) as [Buffer];
  t.is(data.toString(), 'hello');
  t.true((await server.usage()).rssBytes > 0);
  socket.destroy();
  await server.stop();
});

test('the bytes of all positions: they repeat where it is said, and one wrong one is found wherever it is', (t) => {
  t.deepEqual(piece(PATTERN_BYTES + 5, 100), piece(5, 100));
  t.notDeepEqual(piece(0, 64), piece(65_536, 64));
  for (const [position, length] of [[0, 1], [PATTERN_BYTES - 1, 2], [12_345, PIECE_BYTES]] as const) {
    const memory = Buffer.concat([Buffer.alloc(7), piece(position, length)]);
    t.true(matches(memory, 7, length, position));
    for (const at of new Set([0, length >> 1, length - 1])) {
      memory[7 + at]! ^= 1;
      t.false(matches(memory, 7, length, position));
      t.is(firstWrong(memory, 7, length, position), position + at);
      memory[7 + at]! ^= 1;
    }
  }
});

test('a transfer cut anywhere is answered once, at its end, and a wrong, missing or surplus byte is told', (t) => {
  const transfer = { bytes: 1000, thorough: true };
  const sent = Buffer.concat([encodeTransfer(transfer), piece(0, 1000)]);
  for (let cut = 1; cut < sent.length; cut += 1) {
    const receiver = new Receiver();
    t.is(receiver.take(sent.subarray(0, cut)), undefined);
    t.is(faultOf(receiver.take(sent.subarray(cut))!, transfer), undefined);
    t.is(faultOf(receiver.take(sent)!, transfer), undefined);
  }
  const wrong = Buffer.from(sent);
  wrong[16 + 500]! ^= 1;
  t.regex(faultOf(new Receiver().take(wrong)!, transfer)!, /wrong byte at 500/);
  t.regex(faultOf(new Receiver().take(Buffer.concat([sent, sent]))!, transfer)!, /wrong byte at 1000|2016 bytes, not 1000/);
  const lost = Buffer.concat([sent.subarray(0, 300), sent.subarray(301), piece(1000, 1)]);
  t.regex(faultOf(new Receiver().take(lost)!, transfer)!, /wrong byte at 284/);
});
