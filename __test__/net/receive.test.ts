/**
 * Description: what a read into the caller's memory asks of the system, on a socket and on what is none; and that it gets its bytes
 * whether they were there before it or come after it, in either order.
 *
 * What turns it red: `Intake.ask` not saying that the stream is a socket, or saying it of a pipe.
 */
import { pipe, alloc } from 'ritsu';
import { openSync } from 'node:fs';
import { Opcode, SOCKET } from '../../dist/op.js';
import type { Operation } from '../../dist/op.js';
import type { Backend } from '../../dist/backend/backend.js';
import type { Proactor, Stream } from 'ritsu';
import { onEachAlone } from '../support/backends.ts';
import { Random } from '../support/random.ts';
import { fifo, pairOf } from '../support/streams.ts';

/** The flags of the reads that are handed over from now on. */
function flagsOfReads(proactor: Proactor): number[] {
  const { backend } = proactor as unknown as { readonly backend: Backend };
  const encode = backend.encode.bind(backend);
  const seen: number[] = [];
  backend.encode = (operation: Operation<unknown>) => {
    if (operation.opcode === Opcode.READ) seen.push(operation.flags);
    encode(operation);
  };
  return seen;
}

async function readInto(stream: Stream): Promise<string> {
  const reader = stream.submitter();
  reader.submit(alloc(64));
  const filled = await reader.poll();
  return filled.data.toString('latin1');
}

for (const transport of ['tcp', 'unix'] as const) {
  onEachAlone(`a read into given memory receives, of ${transport}; early and late bytes at random`, {}, async (t, proactor) => {
    const seen = flagsOfReads(proactor);
    const { stream, peer } = await pairOf(proactor, transport);
    const random = new Random(0x5eed);
    for (let round = 0; round < 300; round += 1) {
      const text = `${round}`.padStart(6, '0');
      const isEarly = random.below(2) === 0;
      if (isEarly) await new Promise<void>((resolve) => peer.write(text, () => resolve()));
      const read = readInto(stream);
      if (!isEarly) setImmediate(() => peer.write(text));
      t.is(await read, text);
    }
    t.true(seen.length >= 300);
    t.deepEqual([...new Set(seen)], [SOCKET]);
    peer.destroy();
    await stream.close();
  });
}

onEachAlone('a read into given memory reads, of a pipe', {}, async (t, proactor) => {
  const seen = flagsOfReads(proactor);
  const path = fifo();
  const both = openSync(path, 'r+');
  const stream = await pipe(both, { proactor });
  const writer = stream.writer();
  await writer.writeAll('through');
  t.is(await readInto(stream), 'through');
  t.deepEqual([...new Set(seen)], [0]);
  await stream.close();
});
