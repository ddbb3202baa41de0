/**
 * A TCP proxy: each connection to PORT is connected to TARGET, and bytes are passed on in both directions. The end of
 * one direction is passed on as such, while the other goes on; an error ends both directions of its own connection.
 *
 *     node examples/proxy.ts PORT TARGET-PORT [TARGET-HOST]
 */
import { connect, listen } from 'ritsu';
import type { TcpStream } from 'ritsu';

const CONNECT_MS_MAX = 5000;

interface Target {
  readonly port: string;
  readonly host: string;
}

class Proxy {
  readonly #target: Target;
  readonly #streams = new Set<TcpStream>();

  constructor(target: Target) {
    this.#target = target;
  }

  async serve(client: TcpStream): Promise<void> {
    const { port, host } = this.#target;
    const ends = [client];
    this.#streams.add(client);
    try {
      const target = await connect({ port, host, timeout: CONNECT_MS_MAX });
      ends.push(target);
      this.#streams.add(target);
      // The blocks that were received are sent, and a slow receiver slows its sender down. The end of each direction is passed on, too.
      await Promise.all([client.pipeTo(target), target.pipeTo(client)]);
    } catch (error) {
      if (!client.closed) process.stderr.write(`${(error as Error).message}\n`);
      // Neither side may take what it got for all there was.
      for (const end of ends) if (!end.closed) await end.reset();
    } finally {
      for (const end of ends) this.#streams.delete(end);
      await Promise.all(ends.map((end) => end.close()));
    }
  }

  async end(): Promise<void> {
    await Promise.all(Array.from(this.#streams, (stream) => stream.destroy()));
  }
}

async function main(from: string, target: Target): Promise<void> {
  const listener = await listen({ port: from, host: '127.0.0.1' });
  const proxy = new Proxy(target);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void listener.close());
  process.stdout.write(`listening on port ${listener.address().port}\n`);
  for await (const stream of listener) void proxy.serve(stream);
  await proxy.end();
}

const [from, port, host = '127.0.0.1'] = process.argv.slice(2);
if (from === undefined || port === undefined) {
  process.stderr.write('usage: node examples/proxy.ts PORT TARGET-PORT [TARGET-HOST]\n');
  process.exitCode = 2;
} else {
  await main(from, { port, host }).catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
