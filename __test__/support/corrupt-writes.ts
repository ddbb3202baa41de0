/**
 * Preloaded into the servers that the main job and the benches start: one server's third write has one wrong bit. Which
 * server it is, `RITSU_TEST_CORRUPT` says by its engine and role: `node echo`, `allocator receive`.
 */
import { Socket } from 'node:net';

const WRITE = 3;
const argument = process.argv[2] ?? '';
const isServer = process.argv[1]?.endsWith('server-process.js') === true && argument.startsWith('{');
const { engine, role } = (isServer ? JSON.parse(argument) : {}) as { engine?: string; role?: string };
let writes = 0;

/** The bytes that are to be sent, with the last bit of their middle byte flipped when it is this write's turn. */
function corrupted(data: Uint8Array): Buffer | undefined {
  writes += 1;
  if (writes !== WRITE) return undefined;
  const copy = Buffer.from(data);
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

if (isServer && process.env['RITSU_TEST_CORRUPT'] === `${engine} ${role}`) {
  if (engine === 'node') {
    const { write } = Socket.prototype;
    Socket.prototype.write = function (this: Socket, data: Uint8Array | string): boolean {
      const sent = typeof data === 'string' ? data : (corrupted(data) ?? data);
      return write.call(this, sent);
    };
  } else {
    const { StreamWriter } = await import('../../dist/stream-writer.js');
    const { writeAll } = StreamWriter.prototype;
    StreamWriter.prototype.writeAll = function (data, writeOptions) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : 'data' in data ? data.data : data;
      const wrong = corrupted(Buffer.from(bytes as Uint8Array));
      if (wrong === undefined) return writeAll.call(this, data, writeOptions);
      (bytes as Uint8Array).set(wrong);
      return writeAll.call(this, data, writeOptions);
    };
  }
}
