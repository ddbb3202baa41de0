/** A worker of `__test__/threads/crew.test.ts`: says what it was told, then echoes. */
import type { Start, TcpStream } from 'ritsu';

async function echo(stream: TcpStream, greeting: string): Promise<void> {
  const writer = stream.writer();
  await writer.writeAll(greeting);
  for await (const bytes of stream.allocator()) await writer.writeAll(bytes.copy());
  await stream.close();
}

export const start: Start = async (connections, { index, data }) => {
  const serving: Promise<void>[] = [];
  for await (const stream of connections) serving.push(echo(stream, `${String(data)} ${index}: `));
  await Promise.all(serving);
};
