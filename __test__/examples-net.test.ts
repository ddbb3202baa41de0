/** The examples of sockets and pipes, run as their first lines say, on both backends, with clients and servers of Node's. */
import type { ExecutionContext } from 'ava';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { onEach } from './support/backends.ts';
import { Serving, ended, example, servingOnPort, shell } from './support/example.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';
import { closedPort, disposed, eventually, nodeConnect, nodeServer } from './support/net.ts';
import { fifo } from './support/streams.ts';

const content = randomBytes(3_000_001);
const HOST = '127.0.0.1';

async function client(port: number): Promise<net.Socket> {
  return nodeConnect({ port, host: HOST, allowHalfOpen: true });
}

/** Send it, end, and give what came until the other side has ended. */
async function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = await client(port);
  socket.end(bytes);
  return buffer(socket);
}

/** The code of the error by which a connection ends. */
async function brokenBy(socket: net.Socket): Promise<unknown> {
  const [error] = (await once(socket.resume(), 'error')) as [NodeJS.ErrnoException];
  return error.code;
}

async function refusesTakenPort(t: ExecutionContext, name: string, port: number, args: readonly string[], backend: string): Promise<void> {
  const second = await example(name, [`${port}`, ...args], backend);
  t.is(second.code, 1);
  t.is(second.stdout, '');
  t.is(second.stderr, `listen EADDRINUSE: address already in use ${HOST}:${port}\n`);
}

onEach('cat.ts: files and standard input, in order, to a pipe and to a file', async (t, _proactor, backend) => {
  const [first, second, third] = [fileOf(content), fileOf('in between'), fileOf(randomBytes(70_000, 7))];
  const target = freshPath('target');
  const line = 'cat "$2" | "$NODE" examples/cat.ts "$1" - "$3" > "$4" && "$NODE" examples/cat.ts - < "$4" | cat >> "$4.again"';
  ended(t, await shell(line, [first, second, third, target], backend), '');
  const expected = Buffer.concat([first, second, third].map((path) => readFileSync(path)));
  t.true(readFileSync(target).equals(expected));
  t.true(readFileSync(`${target}.again`).equals(expected));
});

onEach('cat.ts: what is missing is named, and the others are written; a reader that leaves is no error', async (t, _proactor, backend) => {
  const missing = freshPath('missing');
  const partly = await shell('"$NODE" examples/cat.ts "$1" "$2" "$1" | cat; exit 3', [fileOf('text\n'), missing], backend);
  t.is(partly.stdout, 'text\ntext\n');
  t.is(partly.stderr, `${missing}: ENOENT: no such file or directory, open '${missing}'\n`);
  t.is((await example('cat.ts', [missing], backend)).code, 1);

  const left = await shell('("$NODE" examples/cat.ts "$1" "$1"; echo "$?" >&2) | head -c 4', [fileOf(content)], backend);
  t.is(left.stdout.length > 0, true);
  t.is(left.stderr, '0\n');
});

onEach('echo-server.ts: every style sends back every byte, to several clients at once', async (t, _proactor, backend) => {
  for (const style of ['allocator', 'submit', 'hybrid']) {
    const server = await servingOnPort(t, 'echo-server.ts', [style], backend);
    const bodies = Array.from({ length: 5 }, (_, index) => content.subarray(index * 100_000));
    const echoes = await Promise.all(bodies.map((body) => exchange(server.port, body)));
    for (const [index, echo] of echoes.entries()) t.true(echo.equals(bodies[index]!), `${style}, ${index}`);
    t.is(await server.stop('SIGTERM'), 0);
    t.is(server.stderr, '', style);
  }
});

onEach('echo-server.ts: a reset ends one connection, a signal all of them, a taken port the server', async (t, _proactor, backend) => {
  const server = await servingOnPort(t, 'echo-server.ts', [], backend);
  const [lasting, lost] = [await client(server.port), await client(server.port)];
  lost.write('x');
  await once(lost, 'data');
  lost.resetAndDestroy();
  await eventually(t, 'the reset is told', () => /ECONNRESET|EPIPE/.test(server.stderr));
  lasting.write('still there?');
  t.is(String((await once(lasting, 'data'))[0]), 'still there?');

  await refusesTakenPort(t, 'echo-server.ts', server.port, [], backend);

  const over = once(lasting, 'end');
  t.is(await server.stop('SIGINT'), 0);
  await over;
  t.is(lasting.destroy().readableEnded, true);
  t.is(server.stderr.split('\n').length, 2, server.stderr);
});

onEach('proxy.ts: both directions at once, each with an end of its own', async (t, _proactor, backend) => {
  const greeting = randomBytes(500_000, 3);
  const answering = (socket: net.Socket): void => {
    socket.write(greeting);
    const body: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => body.push(chunk)).on('end', () => socket.end(Buffer.concat(body)));
  };
  const target = await disposed(t, nodeServer(answering, { allowHalfOpen: true }));
  const proxy = await servingOnPort(t, 'proxy.ts', [`${target.port}`], backend);
  const answers = await Promise.all([content, content.subarray(1), Buffer.alloc(0)].map((body) => exchange(proxy.port, body)));
  t.true(answers[0]!.equals(Buffer.concat([greeting, content])));
  t.true(answers[1]!.equals(Buffer.concat([greeting, content.subarray(1)])));
  t.true(answers[2]!.equals(greeting));
  await refusesTakenPort(t, 'proxy.ts', proxy.port, [`${target.port}`], backend);
  t.is(await proxy.stop('SIGTERM'), 0);
  t.is(proxy.stderr, '');
});

onEach('proxy.ts: an error on either side reaches the other as a reset, and ends no more than that', async (t, _proactor, backend) => {
  const accepted: net.Socket[] = [];
  const target = await disposed(t, nodeServer((socket) => accepted.push(socket.resume())));
  const proxy = await servingOnPort(t, 'proxy.ts', [`${target.port}`], backend);

  const first = await client(proxy.port);
  await eventually(t, 'the proxy has connected', () => accepted.length === 1);
  accepted[0]!.resetAndDestroy();
  t.is(await brokenBy(first), 'ECONNRESET');

  const second = await client(proxy.port);
  await eventually(t, 'the proxy has connected again', () => accepted.length === 2);
  second.resetAndDestroy();
  t.is(await brokenBy(accepted[1]!), 'ECONNRESET');
  t.is(proxy.child.exitCode, null);
  t.is(await proxy.stop('SIGTERM'), 0);

  const nowhere = await servingOnPort(t, 'proxy.ts', [`${await closedPort()}`], backend);
  t.is(await brokenBy(net.connect(nowhere.port, HOST)), 'ECONNRESET');
  await eventually(t, 'it says why', () => nowhere.stderr.startsWith('connect ECONNREFUSED'));
  t.is(await nowhere.stop('SIGTERM'), 0);
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

async function request(port: number, path: string, options: http.RequestOptions = {}): Promise<Answer> {
  const sent = http.request({ port, host: HOST, path, ...options }).end();
  const [response] = (await once(sent, 'response')) as [http.IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
}

function site(): string {
  const folder = freshPath('site');
  mkdirSync(join(folder, 'sub folder'), { recursive: true });
  writeFileSync(join(folder, 'index.html'), '<p>hello');
  writeFileSync(join(folder, 'large.bin'), content);
  writeFileSync(join(folder, 'empty.txt'), '');
  writeFileSync(join(folder, 'sub folder', 'a.txt'), 'inside');
  writeFileSync(`${folder}-secret.txt`, 'outside');
  return folder;
}

onEach('static-server.ts: files, with type and length, over connections that are kept', async (t, _proactor, backend) => {
  const server = await servingOnPort(t, 'static-server.ts', [site()], backend);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const rows = [
    ['/', '<p>hello', 'text/html; charset=utf-8'],
    ['/large.bin', content, 'application/octet-stream'],
    ['/empty.txt?query', '', 'text/plain; charset=utf-8'],
    ['/sub%20folder/a.txt', 'inside', 'text/plain; charset=utf-8'],
  ] as const;
  for (const [path, body, type] of rows) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await request(server.port, path, { method, agent });
      t.is(answer.status, 200, path);
      t.is(answer.headers['content-type'], type);
      t.is(answer.headers['content-length'], `${body.length}`);
      t.true(answer.body.equals(method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(body)), path);
    }
  }
  const begun = performance.now();
  t.is(await server.stop('SIGTERM'), 0);
  t.true(performance.now() - begun < 4500, 'an idle connection holds it up for the 5 s that it is kept');
  agent.destroy();
  t.is(server.stderr, '');
});

onEach('static-server.ts: what is not there, not a file, not inside or not asked for right', async (t, _proactor, backend) => {
  const folder = site();
  const server = await servingOnPort(t, 'static-server.ts', [folder], backend);
  const secret = `${folder.split('/').at(-1)}-secret.txt`;
  const rows = [
    ['/missing', 404],
    ['/index.html/more', 404],
    ['/sub%20folder', 404],
    ['/sub%20folder/', 404],
    [`/../${secret}`, 404], // a URL has no more above its root
    [`/..%2f${secret}`, 403],
    [`/sub%20folder/..%2f..%2f${secret}`, 403],
    ['/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd', 403],
    ['/%00', 400],
    ['/%zz', 400],
  ] as const;
  for (const [path, status] of rows) t.is((await request(server.port, path)).status, status, path);
  t.is((await request(server.port, '/', { method: 'POST' })).status, 405);
  await refusesTakenPort(t, 'static-server.ts', server.port, [folder], backend);

  // One that goes away in the middle of a file, and one that is served while the signal comes.
  http.get({ port: server.port, host: HOST, path: '/large.bin' }, (response) => response.destroy()).on('error', () => {});
  const late = http.get({ port: server.port, host: HOST, path: '/large.bin', agent: false });
  const [response] = (await once(late, 'response')) as [http.IncomingMessage];
  const stopped = server.stop('SIGINT');
  t.true((await buffer(response)).equals(content));
  t.is(await stopped, 0);
  t.is(server.stderr, '');
});

onEach('chat.ts: lines go to all others, whole; the client program is one of them', async (t, _proactor, backend) => {
  const path = freshPath('chat');
  const server = new Serving(t, 'chat.ts', ['server', path], backend);
  t.is(await server.announcement(), `listening at ${path}`);
  const ann = await nodeConnect({ path });
  const keyboard = fifo();
  const bob = shell('exec "$NODE" examples/chat.ts client "$1" bob < "$2"', [path, keyboard], backend);
  const typing = openSync(keyboard, 'w');
  let heard = '';
  ann.setEncoding('utf8').on('data', (text: string) => (heard += text));
  writeSync(typing, 'hello\nsecond ');
  await eventually(t, 'the first line has come', () => heard === 'bob: hello\n');

  const euro = Buffer.from('5 € each\n');
  ann.write(euro.subarray(0, 3)); // in the middle of a letter
  writeSync(typing, 'line\n');
  await eventually(t, 'the second line has come', () => heard === 'bob: hello\nbob: second line\n');
  ann.write(euro.subarray(3));
  ann.write('and no newline');
  ann.end();
  await once(ann, 'close');

  const second = await example('chat.ts', ['server', path], backend);
  t.is(second.code, 1);
  t.is(second.stderr, `listen EADDRINUSE: address already in use ${path}\n`);
  closeSync(typing);
  ended(t, await bob, '5 € each\nand no newline\n');
  t.is(await server.stop('SIGTERM'), 0);
  t.false(existsSync(path));
  t.is(server.stderr, '');

  const nobody = await example('chat.ts', ['client', path, 'bob'], backend);
  t.is(nobody.code, 1);
  t.is(nobody.stderr, `connect ENOENT ${path}\n`);
});

onEach('chat.ts: one that does not read, and one that sends no line, are disconnected', async (t, _proactor, backend) => {
  const path = freshPath('chat');
  const server = new Serving(t, 'chat.ts', ['server', path], backend);
  await server.announcement();
  const [deaf, endless, speaker] = [await nodeConnect({ path }), await nodeConnect({ path }), await nodeConnect({ path })];
  const heard = buffer(speaker);
  const line = `${'x'.repeat(4000)}\n`;
  let deafClosed = false;
  deaf.pause().on('close', () => (deafClosed = true));
  const gone = once(endless.resume(), 'close');
  endless.write('y'.repeat(5000));
  await gone;
  for (let sent = 0; sent < 600; sent += 1) if (!speaker.write(line)) await once(speaker, 'drain');
  speaker.end();
  t.is((await heard).length, 0);
  t.regex(server.stderr, /a line is longer than 4096/);
  deaf.resume();
  await eventually(t, 'the one that did not read is disconnected', () => deafClosed);
  t.is(await server.stop('SIGINT'), 0);
});
