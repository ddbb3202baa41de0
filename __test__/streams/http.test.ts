/**
 * Description: Node's own servers and clients over our connections: http with keep-alive, chunked and large bodies both
 * ways and aborts, http2, tls in both directions.
 */
import { createHash, randomBytes } from 'node:crypto';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import * as tls from 'node:tls';
import { connect, listen } from 'ritsu';
import type { Proactor, TcpListener } from 'ritsu';
import { toDuplex } from 'ritsu/streams';
import { certificate } from '../support/certificate.ts';
import { onEach } from '../support/backends.ts';
import { disposed } from '../support/net.ts';

const LARGE = 100 * 2 ** 20;
const CHUNK = 2 ** 16;

interface Place {
  readonly port: number;
  connect(): Promise<Duplex>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A listener whose connections go to `serve`. */
async function place(proactor: Proactor, serve: (duplex: Duplex) => void): Promise<Place> {
  const listener: TcpListener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const accepting = (async () => {
    for await (const stream of listener) serve(toDuplex(stream));
  })();
  const { port } = listener.address();
  return {
    port,
    connect: async () => toDuplex(await connect({ port, host: '127.0.0.1', proactor })),
    async [Symbol.asyncDispose]() {
      await listener.close();
      await accepting;
    },
  };
}

function request(duplex: Duplex, options: http.RequestOptions, body?: (to: http.ClientRequest) => void): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ ...options, createConnection: () => duplex }, resolve);
    sent.on('error', reject);
    if (body === undefined) sent.end();
    else body(sent);
  });
}

function* chunksOf(total: number): Generator<Buffer> {
  const chunk = randomBytes(CHUNK);
  for (let left = total; left > 0; left -= CHUNK) yield chunk.subarray(0, Math.min(left, CHUNK));
}

onEach('http: one connection serves many requests, with and without lengths', async (t, proactor) => {
  const server = http.createServer((message, response) => {
    void text(message).then((body) => {
      if (message.url === '/chunked') for (const letter of body) response.write(letter);
      else response.setHeader('content-length', Buffer.byteLength(body)).write(body);
      response.end();
    });
  });
  let connections = 0;
  const at = await disposed(t, place(proactor, (duplex) => {
    connections += 1;
    server.emit('connection', duplex);
  }));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = (_options, done) => {
    void at.connect().then((duplex) => done?.(null, duplex), (error: Error) => done?.(error, undefined as never));
    return undefined;
  };
  for (let round = 0; round < 20; round += 1) {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const path = round % 2 === 0 ? '/chunked' : '/whole';
      http.request({ agent, method: 'POST', path }, resolve).on('error', reject).end(`body ${round}`);
    });
    t.is(await text(response), `body ${round}`);
  }
  t.is(connections, 1);
  agent.destroy();
});

onEach('http: a large body there and back, every byte', async (t, proactor) => {
  const server = http.createServer((message, response) => {
    void pipeline(message, response);
  });
  const at = await disposed(t, place(proactor, (duplex) => server.emit('connection', duplex)));
  const sent = createHash('sha256');
  const came = createHash('sha256');
  const response = await request(await at.connect(), { method: 'POST' }, (to) => {
    void pipeline(async function* () {
      for (const chunk of chunksOf(LARGE)) {
        sent.update(chunk);
        yield chunk;
      }
    }, to).catch(() => {});
  });
  let total = 0;
  for await (const chunk of response) {
    total += (chunk as Buffer).length;
    came.update(chunk as Buffer);
  }
  t.is(total, LARGE);
  t.is(came.digest('hex'), sent.digest('hex'));
});

onEach('http: either side may abort in the middle of a body', async (t, proactor) => {
  const aborted: string[] = [];
  const server = http.createServer((message, response) => {
    message.on('error', ({ message: what }) => aborted.push(what));
    if (message.method === 'GET') {
      response.setHeader('content-length', LARGE);
      response.write(Buffer.alloc(CHUNK), () => setTimeout(() => response.destroy(), 20));
    } else message.resume();
  });
  const at = await disposed(t, place(proactor, (duplex) => server.emit('connection', duplex)));

  const response = await request(await at.connect(), { method: 'GET' });
  await t.throwsAsync(buffer(response), { message: 'aborted' });

  const duplex = await at.connect();
  const closed = once(duplex, 'close');
  const sent = http.request({ method: 'POST', createConnection: () => duplex });
  sent.on('error', () => {});
  sent.write(Buffer.alloc(CHUNK));
  await new Promise((resolve) => setTimeout(resolve, 20));
  sent.destroy();
  await closed;
  while (aborted.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.deepEqual(aborted, ['aborted']);
});

onEach('http: a context of AsyncLocalStorage reaches the answer', async (t, proactor) => {
  const storage = new AsyncLocalStorage<number>();
  const server = http.createServer((_message, response) => response.end('ok'));
  const at = await disposed(t, place(proactor, (duplex) => server.emit('connection', duplex)));
  const seen = await Promise.all(
    [1, 2, 3, 4].map((number) =>
      storage.run(number, async () => {
        const response = await request(await at.connect(), {});
        await text(response);
        return storage.getStore();
      }),
    ),
  );
  t.deepEqual(seen, [1, 2, 3, 4]);
});

onEach('http2: many streams over one connection', async (t, proactor) => {
  const server = http2.createServer();
  server.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const at = await disposed(t, place(proactor, (duplex) => server.emit('connection', duplex)));
  const duplex = await at.connect();
  const client = http2.connect('http://localhost', { createConnection: () => duplex });
  const bodies = Array.from({ length: 16 }, (_, index) => randomBytes(10_000 * (index + 1)));
  const answers = await Promise.all(
    bodies.map(async (body) => {
      const stream = client.request({ ':method': 'POST', ':path': '/' });
      stream.end(body);
      return buffer(stream);
    }),
  );
  answers.forEach((answer, index) => t.true(answer.equals(bodies[index]!), `${index}`));
  await new Promise<void>((resolve) => client.close(resolve));
  server.close();
});

onEach('tls: encrypted in both directions', async (t, proactor) => {
  const { key, cert } = certificate();
  const context = tls.createSecureContext({ key, cert });
  const at = await disposed(t, place(proactor, (duplex) => {
    const secure = new tls.TLSSocket(duplex, { isServer: true, secureContext: context });
    secure.on('error', () => {});
    secure.pipe(secure);
  }));
  const secure = tls.connect({ socket: await at.connect(), ca: cert, servername: 'localhost' });
  await once(secure, 'secureConnect');
  t.true(secure.authorized);
  const body = randomBytes(3 * 2 ** 20);
  secure.end(body);
  t.true((await buffer(secure)).equals(body));
});
