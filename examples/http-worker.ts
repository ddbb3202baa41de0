/** One thread of `http-workers.ts`: Node's http server over the connections that it is given. */
import * as http from 'node:http';
import type { Start } from 'ritsu';
import { toDuplex } from 'ritsu/streams';

export const start: Start = async (connections, { index }) => {
  const server = http.createServer((request, response) => {
    if (request.url === '/crash') process.nextTick(() => { throw new Error('asked to'); });
    else response.setHeader('connection', 'close').end(`worker ${index}\n`);
  });
  const open = new Set<Promise<void>>();
  for await (const stream of connections) {
    const duplex = toDuplex(stream);
    const closed = new Promise<void>((resolve) => duplex.once('close', resolve));
    open.add(closed);
    void closed.then(() => open.delete(closed));
    server.emit('connection', duplex);
  }
  await Promise.all(open);
};
