/**
 * Description: `serve`: HTTP from two threads, through a killed worker and rolling restarts under load; and what it refuses.
 *
 * What turns it red: a request that fails in a restart, on either backend (a listener that is closed with connections in
 * its queue); a dead worker that is not replaced, or takes connections with it
 * that it never had; a worker that is stopped before it has finished; threads
 * left when it is closed, or more of them than were asked for (two restarts at once; one that fails).
 */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import * as http from 'node:http';
import * as net from 'node:net';
import { inspect } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import { serve } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { internals } from '../support/internals.ts';
import { eventually, nodeConnect } from '../support/net.ts';
import { sized } from '../support/size.ts';

const EXAMPLE = new URL('../../examples/http-workers.ts', import.meta.url).pathname;

class Server {
  readonly #child: ChildProcess;
  port = 0;
  restarts = 0;
  replaced = 0;

  constructor(backend: string) {
    const env = { ...process.env, RITSU_BACKEND: backend, NODE_OPTIONS: '' };
    this.#child = spawn(process.execPath, [EXAMPLE, '0', '2'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout!.on('data', (text: Buffer) => {
      this.port = Number(/listening on (\d+)/.exec(text.toString())?.[1] ?? this.port);
      this.restarts += text.toString().split('restarted').length - 1;
    });
    this.#child.stderr!.on('data', (text: Buffer) => (this.replaced += text.toString().split('replaced').length - 1));
  }

  get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const asked = http.get({ port: this.port, path, agent: false, host: '127.0.0.1' }, (answer) => {
        let text = '';
        answer.on('data', (part: Buffer) => (text += part.toString())).on('end', () => resolve(text)).on('error', reject);
      });
      asked.on('error', reject);
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async end(): Promise<number> {
    const exited = once(this.#child, 'exit') as Promise<[number]>;
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    const [code] = await exited;
    clearTimeout(timer);
    return code;
  }
}

onEach('HTTP from two workers: restarts lose no request, a worker that dies is replaced', async (t, _proactor, backend) => {
  const server = new Server(backend);
  t.teardown(() => server.signal('SIGKILL'));
  await eventually(t, 'it listens', () => server.port > 0);
  const seen = new Set<string>();
  const failed: string[] = [];
  let count = 0;
  let over = false;
  const lanes = Array.from({ length: 6 }, async () => {
    while (!over) {
      await server.get('/').then((text) => seen.add(text), (error: NodeJS.ErrnoException) => failed.push(error.code!));
      if (failed.length > 1000) over = true; // it is dead
      count += 1;
    }
  });
  await eventually(t, 'both answer', () => seen.size === 2);
  for (const round of [1, 2]) {
    server.signal('SIGHUP');
    await eventually(t, 'it has restarted', () => server.restarts === round, 30_000);
  }
  t.deepEqual(failed, [], 'no request failed in a restart');
  const before = count;
  const failedBefore = failed.length;
  await t.throwsAsync(server.get('/crash'));
  await eventually(t, 'it is replaced', () => server.replaced === 1);
  await eventually(t, 'requests go on', () => count > before + 100, 30_000);
  // Those of the dead worker alone: not more than were under way.
  t.true(failed.length - failedBefore <= 6, failed.join());
  over = true;
  await Promise.all(lanes);
  t.is(await server.end(), 0);
  t.log(`${count} requests`);
});

onEachAlone('a worker that is stopped finishes what it has', {}, async (t, proactor) => {
  const file = new URL('../programs/crew-worker.ts', import.meta.url);
  const crew = await serve(file, { listen: { port: 0, host: '127.0.0.1' }, workers: 1, data: 'greeting', proactor });
  t.is(crew.workers, 1);
  t.regex(inspect(crew, { breakLength: Infinity }), /^Crew \{ address: \{ address: '127\.0\.0\.1', .*workers: 1, connections: \d+ \}$/);
  const socket = await nodeConnect({ port: crew.address().port, host: '127.0.0.1' });
  const text: string[] = [];
  socket.on('data', (part: Buffer) => text.push(part.toString()));
  socket.write('a');
  await eventually(t, 'it answers', () => text.join('') === 'greeting 0: a');
  const closing = crew.close();
  await delay(100);
  socket.write('b');
  await eventually(t, 'it still answers', () => text.join('').endsWith('b'));
  socket.end();
  await closing;
  t.is(crew.workers, 0);
  await t.throwsAsync(nodeConnect({ port: crew.address().port, host: '127.0.0.1' }), { code: 'ECONNREFUSED' });
});

/** Connect, say a word, and have all of the answer: `undefined`, or why that failed. */
async function ask(port: number, word: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let text = '';
  const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.end(word));
  socket.on('data', (part: Buffer) => (text += part.toString()));
  socket.on('error', ({ message }) => resolve(message));
  socket.on('close', () => resolve(/^load \d+: /.test(text) && text.endsWith(word) ? undefined : `it answered ${JSON.stringify(text)}`));
  return promise;
}

onEachAlone('many short connections through one restart after another: none fails', {}, async (t, proactor) => {
  t.timeout(sized(240_000, 900_000));
  const file = new URL('../programs/crew-worker.ts', import.meta.url);
  const crew = await serve(file, { listen: { port: 0, host: '127.0.0.1' }, workers: 3, data: 'load', proactor });
  t.teardown(() => crew.close());
  const { port } = crew.address();
  const failed: string[] = [];
  let count = 0;
  let over = false;
  const lanes = Array.from({ length: 12 }, async () => {
    while (!over) {
      count += 1;
      const why = await ask(port, `number ${count}`);
      if (why !== undefined) failed.push(why);
      if (failed.length > 100) over = true;
    }
  });
  for (let round = 0; round < sized(3, 60); round += 1) await crew.restart();
  over = true;
  await Promise.all(lanes);
  t.deepEqual(failed, []);
  t.true(count > 100, `${count} connections`);
  t.is(crew.workers, 3);
  await crew.close();
  t.log(`${count} connections`);
  await eventually(t, 'nothing is left', () => {
    const { descriptorsOpen, inFlight } = proactor.stats();
    return descriptorsOpen + inFlight === 0 && internals(proactor).residents.size === 0;
  });
});

onEachAlone('what cannot be served is refused', {}, async (t, proactor) => {
  const file = new URL('../programs/report.ts', import.meta.url);
  const where = { listen: { port: 0, host: '127.0.0.1' }, proactor };
  // An error that a thread threw is no `Error` that ava knows.
  const codeOf = (error: NodeJS.ErrnoException): string => `${error.code}: ${error.message}`;
  t.regex(String(await serve(file, { ...where, workers: 1 }).catch(codeOf)), /^ERR_INVALID_ARG_TYPE: .*"start"/);
  t.regex(String(await serve('/nonexistent.js', { ...where, workers: 1 }).catch(codeOf)), /^ERR_MODULE_NOT_FOUND/);
  await t.throwsAsync(serve(file, { ...where, workers: 0 }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(serve(7 as never, where), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(serve(file, undefined as never), { code: 'ERR_INVALID_ARG_TYPE' });
  await eventually(t, 'nothing is left', () => proactor.stats().descriptorsOpen === 0);
});

onEachAlone('restarts at once, one that fails, and a worker that dies meanwhile leave as many workers as there were', {}, async (t, proactor) => {
  const file = new URL('../programs/crew-worker.ts', import.meta.url);
  const data = { failing: new Int32Array(new SharedArrayBuffer(4)) };
  const crew = await serve(file, { listen: { port: 0, host: '127.0.0.1' }, workers: 2, data, proactor });
  t.teardown(() => crew.close());
  await Promise.all([crew.restart(), crew.restart(), crew.restart()]);
  t.is(crew.workers, 2);
  Atomics.store(data.failing, 0, 1);
  t.regex(String(await crew.restart().catch((error: Error) => error.message)), /on purpose/);
  Atomics.store(data.failing, 0, 0);
  await delay(300); // what takes a place would have by now
  t.is(crew.workers, 2);
  const restarting = crew.restart();
  await crew.close();
  await restarting.catch(() => {});
  t.is(crew.workers, 0);
});
