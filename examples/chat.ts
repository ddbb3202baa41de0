/**
 * A chat over a Unix socket: each line that a client sends goes to all others. A client that does not read is
 * disconnected before what waits for it fills the memory.
 *
 *     node examples/chat.ts server|client SOCKET [NAME]
 */
import { StringDecoder } from 'node:string_decoder';
import { connect, listen, pipe } from 'ritsu';
import type { AsyncRead, AsyncWrite, UnixStream } from 'ritsu';

const LINE_MAX = 4096;
const WAITING_BYTES_MAX = 2 ** 20;

/** Bytes come in pieces of any length; lines, and letters of several bytes, may lie across them. */
async function* linesOf(input: AsyncRead): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const { data } of input) {
    const lines = (rest + decoder.write(data)).split('\n');
    rest = lines.pop()!;
    if (rest.length > LINE_MAX) throw new Error(`a line is longer than ${LINE_MAX}`);
    yield* lines;
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}

class Member {
  readonly stream: UnixStream;
  readonly #writer: AsyncWrite;
  #waitingBytes = 0;

  constructor(stream: UnixStream) {
    this.stream = stream;
    this.#writer = stream.writer();
  }

  tell(line: string): void {
    if (this.stream.closed) return;
    const text = Buffer.from(`${line}\n`);
    this.#waitingBytes += text.length;
    if (this.#waitingBytes > WAITING_BYTES_MAX) {
      void this.stream.destroy();
      return;
    }
    const told = (): void => void (this.#waitingBytes -= text.length);
    this.#writer.writeAll(text).then(told, () => {}); // one that is gone is noticed by whoever reads from it
  }
}

class Room {
  readonly #members = new Set<Member>();

  async enter(stream: UnixStream): Promise<void> {
    const member = new Member(stream);
    this.#members.add(member);
    try {
      for await (const line of linesOf(stream.allocator())) {
        for (const other of this.#members) if (other !== member) other.tell(line);
      }
    } catch (error) {
      if (!stream.closed) process.stderr.write(`${(error as Error).message}\n`);
    } finally {
      this.#members.delete(member);
      await stream.close();
    }
  }

  async leave(): Promise<void> {
    await Promise.all(Array.from(this.#members, ({ stream }) => stream.destroy()));
  }
}

async function serve(path: string): Promise<void> {
  const listener = await listen({ path });
  const room = new Room();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void listener.close());
  process.stdout.write(`listening at ${path}\n`);
  for await (const stream of listener) void room.enter(stream);
  await room.leave();
}

/** What is typed goes out, what comes is printed, until either side ends. */
async function join(path: string, name: string): Promise<void> {
  const server = await connect({ path });
  const keyboard = await pipe(0);
  const leave = (): Promise<unknown> => Promise.all([server.close(), keyboard.close()]);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void leave());

  const talk = async (): Promise<void> => {
    const writer = server.writer();
    for await (const line of linesOf(keyboard.allocator())) await writer.writeAll(`${name}: ${line}\n`);
    await writer.end(); // the server lets us go when it has heard the last line
  };
  const hear = async (): Promise<void> => {
    for await (const line of linesOf(server.allocator())) process.stdout.write(`${line}\n`);
    await keyboard.close();
  };
  try {
    await Promise.all([talk(), hear()]);
  } catch (error) {
    if (!server.closed && !keyboard.closed) throw error;
  } finally {
    await leave();
  }
}

const [role, path, name = 'somebody'] = process.argv.slice(2);
if (path === undefined || (role !== 'server' && role !== 'client')) {
  process.stderr.write('usage: node examples/chat.ts server|client SOCKET [NAME]\n');
  process.exitCode = 2;
} else {
  await (role === 'server' ? serve(path) : join(path, name)).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
