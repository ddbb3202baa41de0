/** node:net as a careful user writes it. */
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { Server as HttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { PIECE_BYTES, piece } from './pattern.js';
import { BACKLOG, HELLO, reportFault } from './server.js';
import type { Role, Serve } from './server.js';
import { Frame, Receiver, decodeTransfer } from './transfer.js';

function serving(talk: (socket: Socket) => void): Serve {
  return async (name) => {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('error', reportFault);
      talk(socket);
    });
    server.listen(name === undefined ? { port: 0, host: '127.0.0.1', backlog: BACKLOG } : { path: `\0${name}`, backlog: BACKLOG });
    await once(server, 'listening');
    return { address: name === undefined ? `tcp:${(server.address() as AddressInfo).port}` : `unix:${name}` };
  };
}

function echo(socket: Socket): void {
  socket.on('data', (data) => socket.write(data));
}

function receive(socket: Socket): void {
  const receiver = new Receiver();
  socket.on('data', (data: Buffer) => {
    const answer = receiver.take(data);
    if (answer !== undefined) socket.write(answer);
  });
}

function send(socket: Socket): void {
  const frame = new Frame();
  let position = 0;
  let end = 0;
  const goOn = (): void => {
    while (position < end) {
      const length = Math.min(PIECE_BYTES, end - position);
      const ready = socket.write(piece(position, length));
      position += length;
      if (!ready) return;
    }
  };
  socket.on('drain', goOn).on('data', (data: Buffer) => {
    frame.take(data, 0);
    const header = frame.complete();
    if (header === undefined) return;
    position = 0;
    end = decodeTransfer(header).bytes;
    goOn();
  });
}

/** The same for every engine: what differs is what its connections are. */
export function httpServer(): HttpServer {
  return createHttpServer((_request, response) => {
    response.sendDate = false;
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader('Content-Length', HELLO.length);
    response.end(HELLO);
  });
}

const http: Serve = async (name) => {
  const server = httpServer();
  return serving((socket) => server.emit('connection', socket))(name);
};

export const nodeServers: Readonly<Record<Role, Serve>> = { echo: serving(echo), send: serving(send), receive: serving(receive), http };
