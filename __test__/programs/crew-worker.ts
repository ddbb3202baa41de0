/** A worker of `__test__/threads/crew.test.ts`: says what it was told, then echoes. */
import type { Start, TcpStream } from 'ritsu';

async function echo(stream: TcpStream, greeting: string): Promise<void> {
  const writer = stream.writer();
  await writer.writeAll(greeting);
  for await (const bytes of stream.allocator()) await writer.writeAll(bytes.copy());
  await stream.close();
}

export const start: Start = async (connections, { index, data }) => {
  if ((data as { failing?: Int32Array }).failing?.[0] === 1) throw new Error('on purpose');
  const serving: Promise<void>[] = [];
  for await (const stream of connections) serving.push(echo(stream, `${String(data)} ${index}: `));
  await Promise.all(serving);
};
