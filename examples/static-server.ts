/**
 * An HTTP server for the files of a folder. Node's `http` speaks to the clients, over connections of ritsu's; files are
 * read by ritsu. GET and HEAD; what lies outside of the folder is refused.
 *
 *     node examples/static-server.ts PORT FOLDER
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { listen, open } from 'ritsu';
import type { File } from 'ritsu';
import { toDuplex } from 'ritsu/streams';

const BLOCK_BYTES = 256 * 1024;
/** At the end, what is being sent may take so long. */
const GRACE_MS = 5000;

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
};

const STATUS: Readonly<Record<string, number>> = { ENOENT: 404, ENOTDIR: 404, ENAMETOOLONG: 404, EACCES: 403, EPERM: 403 };

class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

/** The file that a URL means. */
function pathOf(folder: string, url: string): string {
  let name;
  try {
    name = decodeURIComponent(new URL(`http://localhost${url}`).pathname);
  } catch {
    throw new Refusal(400);
  }
  if (name.includes('\0')) throw new Refusal(400);
  const path = join(folder, name.endsWith('/') ? `${name}index.html` : name);
  if (!path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) throw new Refusal(403); // by `..%2f`
  return path;
}

/** So many bytes of the file as content-length has promised: it may have become longer since, or shorter. */
async function* contentOf(file: File, size: number): AsyncGenerator<Buffer> {
  let left = size;
  for await (const bytes of file.allocator({ blockSize: BLOCK_BYTES })) {
    const content = bytes.copy().subarray(0, left); // the response keeps it for longer than we have the block
    left -= content.length;
    yield content;
    if (left === 0) return;
  }
  if (left > 0) throw new Error(`${file.path} has become shorter`); // breaks the connection off
}

async function answer(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') throw new Refusal(405);
  const path = pathOf(folder, request.url!);
  const file = await open(path);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Refusal(404);
    const type = TYPES[extname(path)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-length': stat.size, 'content-type': type });
    if (request.method === 'HEAD') response.end();
    else await pipeline(contentOf(file, stat.size), response);
  } finally {
    await file.close();
  }
}

function refuse(response: ServerResponse, error: Error & { status?: number; code?: string }): void {
  if (response.headersSent) {
    response.destroy(); // too late to say it in any other way
    return;
  }
  const status = error.status ?? STATUS[error.code ?? ''] ?? 500;
  if (status === 500) process.stderr.write(`${error.message}\n`);
  response.writeHead(status, { 'content-type': 'text/plain', ...(status === 405 && { allow: 'GET, HEAD' }) }).end(`${status}\n`);
}

async function main(port: string, folder: string): Promise<void> {
  const server = createServer((request, response) => {
    answer(folder, request, response).catch((error: Error) => refuse(response, error));
  });
  const listener = await listen({ port, host: '127.0.0.1' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void listener.close());
  process.stdout.write(`listening on port ${listener.address().port}\n`);
  server.emit('listening'); // `http` begins to watch its connections: their timeouts, which are idle
  for await (const stream of listener) server.emit('connection', toDuplex(stream)); // and this is how it gets them
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
}

const [port, folder] = process.argv.slice(2);
if (port === undefined || folder === undefined) {
  process.stderr.write('usage: node examples/static-server.ts PORT FOLDER\n');
  process.exitCode = 2;
} else {
  await main(port, resolve(folder)).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
