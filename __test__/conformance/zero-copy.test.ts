/**
 * Description: `zeroCopy`: which writes are sent from the memory itself, and that such a write ends when the network has done with it, and not
 * when it was sent. That it is one cannot be seen from outside, so what is handed to the backend is looked at.
 *
 * What turns it red: a write that silently becomes a plain one; one that is sent so although a copy is cheaper; a result that is told by the
 * notification.
 */
import type { ExecutionContext } from 'ava';
import { alloc } from 'ritsu';
import type { Proactor, StreamWriteOptions, StreamWriterOptions } from 'ritsu';
import { ZERO_COPY } from '../../dist/op.js';
import { onEachAlone } from '../support/backends.ts';
import { internals } from '../support/internals.ts';
import { disposed, drain, pause, tcpPair, unixPair } from '../support/net.ts';
import { MUCH, relayOf, take } from '../support/relay.ts';
import { sameBytes } from '../support/same.ts';

const KIB = 1024;

/** How many operations that were handed over had the flag, so far. */
function counting(proactor: Proactor): () => number {
  const { backend } = internals(proactor);
  const encode = backend.encode.bind(backend);
  let count = 0;
  backend.encode = (operation) => {
    if (operation.syscall === 'write' && (operation.flags & ZERO_COPY) !== 0) count += 1;
    encode(operation);
  };
  return () => count;
}

type Row = readonly [what: string, size: number, made: StreamWriterOptions, given: StreamWriteOptions | undefined, expected: number];
const ROWS: readonly Row[] = [
  ['asked for of the writer', 16 * KIB, { zeroCopy: true }, undefined, 1],
  ['asked for of the write', 100 * KIB, {}, { zeroCopy: true }, 1],
  ['of the writer, and not of the write', 100 * KIB, { zeroCopy: true }, { zeroCopy: false }, 0],
  ['of fewer bytes a copy is cheaper', 16 * KIB - 1, { zeroCopy: true }, undefined, 0],
  ['not asked for', 100 * KIB, {}, undefined, 0],
];

async function write(t: ExecutionContext, proactor: Proactor, [what, size, made, given, expected]: Row): Promise<void> {
  const sent = counting(proactor);
  for (const isTcp of [true, false]) {
    const { outside, inside } = await (isTcp ? disposed(t, tcpPair(proactor)) : disposed(t, unixPair(proactor)));
    const memory = alloc(size, { proactor }).fill(size % 251);
    const copy = Buffer.from(memory);
    const receiving = drain(inside.allocator());
    const before = sent();
    const { bytesWritten, buffers } = await outside.writer(made).writeAll(memory, given);
    t.is(sent() - before, isTcp ? expected : 0, `${what}: ${isTcp ? 'TCP' : 'Unix, between which the system knows none'}`);
    t.is(bytesWritten, size);
    t.deepEqual(buffers.map(({ length }) => length), [size], 'the memory is back');
    buffers[0]!.fill(0); // nobody sends it any more
    await outside.shutdown();
    sameBytes(t, await receiving, copy);
  }
}

for (const row of ROWS) onEachAlone(row[0], {}, (t, proactor) => write(t, proactor, row));

onEachAlone('a long one: what is left goes the same way, and passing on does, too', {}, async (t, proactor) => {
  const sent = counting(proactor);
  const { outside, inside } = await disposed(t, tcpPair(proactor));
  const content = Buffer.alloc(8 * KIB * KIB, 'content');
  const receiving = drain(inside.allocator());
  const echo = await disposed(t, tcpPair(proactor));
  const passing = echo.inside.pipeTo(outside.writer({ zeroCopy: true }));
  await echo.outside.writer().writeAll(content);
  await echo.outside.shutdown();
  t.is(await passing, content.length);
  sameBytes(t, await receiving, content);
  t.true(sent() > 8, `${sent()}`);
});

onEachAlone('passed on: also by the write that took others along before', {}, async (t, proactor) => {
  const sent = counting(proactor);
  const { client, source, target, sink } = await disposed(t, relayOf(proactor));
  const piping = source.pipeTo(target.writer({ zeroCopy: true }));
  await client.writer().writeAll('first');
  t.is((await take(sink, 5)).toString(), 'first');
  const others = [target.writer().writeAll(Buffer.alloc(MUCH))];
  await client.writer().writeAll('second');
  await pause(50); // it waits for its turn
  others.push(target.writer().writeAll('third'));
  await take(sink, MUCH);
  t.is((await take(sink, 11)).toString(), 'secondthird');
  await Promise.all(others);
  const before = sent();
  const large = Buffer.alloc(60_000, 'large');
  await client.writer().push(large).end();
  sameBytes(t, await drain(sink.allocator()), large);
  t.is(await piping, 60_011);
  t.true(sent() > before);
});
