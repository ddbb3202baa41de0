/**
 * Description: much ordinary memory that is written to a socket. What the socket takes is sent where it is, by a call; the rest is
 * copied, and goes in its turn. Nobody can tell, but by what it costs.
 *
 * What turns it red: sending although another write is in flight, an aborted one, or one of a closed stream; a count that leaves out
 * what went at once; a rest that begins in the wrong place; memory that is read after the call; an error of the call that is lost,
 * or told as the next one; an offset or a length that is too large; a rest that cannot be copied, and is not told; code of the
 * program's between what went at once and its rest; a budget that is never used up, also by errors, or never comes back.
 */
import type * as net from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { Memory, WriteOptions, WriteResult } from 'ritsu';
import { alloc } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { eventually } from '../support/net.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { TRANSPORTS, pairOf, receiveAll } from '../support/streams.ts';

const MIB = 2 ** 20;
const BUDGET = MIB;

/** Views of every kind that cannot be moved as a whole, or are not ours to move. */
const KINDS: Readonly<Record<string, (content: Buffer) => Memory>> = {
  'a Buffer': (content) => Buffer.from(content),
  'a slice': (content) => Buffer.concat([Buffer.alloc(7), content, Buffer.alloc(9)]).subarray(7, 7 + content.length),
  'an ArrayBuffer': (content) => new Uint8Array(content).buffer,
  'a DataView': (content) => new DataView(new Uint8Array(content).buffer),
  'other numbers': (content) => new Float64Array(new Uint8Array(content).buffer),
  'shared memory': (content) => filled(new Uint8Array(new SharedArrayBuffer(content.length)), content),
  'memory that says it grows': (content) => filled(new Uint8Array(Object.defineProperty(new ArrayBuffer(content.length), 'resizable', { value: true })), content),
  'memory that grows': (content) => filled(new Uint8Array(new ArrayBuffer(content.length, { maxByteLength: content.length + 8 })), content),
};

function filled(view: Uint8Array, content: Uint8Array): Uint8Array {
  view.set(content);
  return view;
}

function bytesOf(memory: Memory): Uint8Array {
  return memory instanceof ArrayBuffer ? new Uint8Array(memory) : new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength);
}

async function receiveSlowly(peer: net.Socket, random: Random): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of peer) {
    chunks.push(chunk as Buffer);
    if (random.chance(0.1)) await turn();
  }
  return Buffer.concat(chunks);
}

function wasWritten(t: ExecutionContext, { bytesWritten, rest, buffers }: WriteResult, length: number): void {
  t.deepEqual([bytesWritten, rest.length, buffers.length], [length, 0, 0]);
}

onEach('S8: sent at once: what arrives are the bytes of the moment of the call, of whatever memory', async (t, proactor) => {
  for (const transport of TRANSPORTS) {
    const { stream, peer } = await pairOf(proactor, transport);
    const received = receiveAll(peer);
    const writer = stream.writer();
    const sent: Buffer[] = [];
    for (const length of [32_768, 100_000, 3 * MIB]) {
      for (const make of Object.values(KINDS)) {
        const content = randomBytes(length, sent.length + 1);
        const memory = make(content);
        const writing = writer.writeAll(memory);
        bytesOf(memory).fill(0); // it stays the program's, which may go on with it
        sent.push(content);
        wasWritten(t, await writing, length);
        t.is(bytesOf(memory).length, length);
      }
      const text = 'ä'.repeat(length / 2);
      sent.push(Buffer.from(text));
      wasWritten(t, await writer.writeAll(text), length);
    }
    await writer.end();
    sameBytes(t, await received, Buffer.concat(sent));
    await stream.close();
  }
});

onEach('sent at once: writes of all kinds and sizes that are not awaited keep their order', async (t, proactor) => {
  for (let seed = 1; seed <= sized(4, 100); seed += 1) {
    const random = new Random(seed);
    const { stream, peer } = await pairOf(proactor, random.pick(TRANSPORTS));
    const received = receiveSlowly(peer, random);
    const writers = [stream.writer(), stream.writer()];
    const sent: Buffer[] = [];
    const writing: Promise<unknown>[] = [];
    for (let index = 0; index < 100; index += 1) {
      const content = randomBytes(random.pick([1, 500, 32_767, 32_768, 50_000, 300_000]), seed * 1000 + index);
      const data = random.chance(0.3) ? filled(alloc(content.length, { proactor }), content) : content;
      writing.push(random.pick(writers).writeAll(data));
      sent.push(content);
      if (random.chance(0.3)) await writing.at(-1);
      if (random.chance(0.1)) await turn();
    }
    await Promise.all(writing);
    await stream.shutdown();
    sameBytes(t, await received, Buffer.concat(sent));
    await stream.close();
  }
});

onEach('sent at once: what came short is told, where it ended', async (t, proactor, backend) => {
  const { stream, peer } = await pairOf(proactor, 'unix');
  const content = randomBytes(16 * MIB, 3);
  const writing = stream.writer().write(content);
  const received = backend === 'node' ? receiveAll(peer) : writing.then(() => receiveAll(peer)); // Node always writes all of it
  const { bytesWritten, rest } = await writing;
  t.true(bytesWritten > 0 && (backend === 'node' || bytesWritten < content.length), `${bytesWritten}`);
  sameBytes(t, rest, content.subarray(bytesWritten));
  await stream.close();
  sameBytes(t, await received, content.subarray(0, bytesWritten));
});

onEach('sent at once: what is not to begin sends nothing, and what is aborted later says how far it came', async (t, proactor, backend) => {
  const { stream, peer } = await pairOf(proactor, 'unix');
  const content = randomBytes(16 * MIB, 4);
  const writer = stream.writer();
  await t.throwsAsync(writer.writeAll(content, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await t.throwsAsync(writer.writeAll(content, { timeout: 0 }), { name: 'TimeoutError' });
  const controller = new AbortController();
  if (backend === 'node') peer.resume(); // Node takes no write back
  else setTimeout(() => controller.abort(), 20);
  const writing = writer.writeAll(content, { signal: controller.signal });
  if (backend === 'node') return (await writing, stream.close());
  const error = await t.throwsAsync(writing, { name: 'AbortError' });
  const { bytesTransferred, rest } = error as Error & { readonly bytesTransferred: number; readonly rest: Buffer };
  t.true(bytesTransferred > 0 && bytesTransferred < content.length, `${bytesTransferred}`);
  sameBytes(t, rest, content.subarray(bytesTransferred));
  const received = receiveAll(peer);
  await stream.close();
  await t.throwsAsync(writer.writeAll(content), { code: 'ERR_RITSU_CLOSED' });
  sameBytes(t, await received, content.subarray(0, bytesTransferred));
});

onEach('sent at once: an error of the connection is the error of the write', async (t, proactor) => {
  for (const transport of TRANSPORTS) {
    const { stream, peer } = await pairOf(proactor, transport);
    if (transport === 'tcp') peer.resetAndDestroy();
    else peer.destroy();
    await eventually(t, 'it is closed', () => peer.closed);
    await turn();
    const content = randomBytes(100_000, 5);
    const first = await t.throwsAsync(stream.writer().writeAll(content));
    const { code, syscall, bytesTransferred, rest } = first as NodeJS.ErrnoException & { readonly bytesTransferred: number; readonly rest: Buffer };
    t.is(code, transport === 'tcp' ? 'ECONNRESET' : 'EPIPE');
    t.is(syscall, 'write');
    t.is(bytesTransferred, 0);
    sameBytes(t, rest, content);
    const again = await t.throwsAsync<NodeJS.ErrnoException>(stream.writer().writeAll(content));
    t.regex(again?.code ?? '', /^(EPIPE|ECONNRESET)$/);
    await stream.close();
  }
});

onEach('sent at once: beyond 4 GiB of a memory, and not what is too long for one operation', async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor, 'unix');
  const received = receiveAll(peer);
  const memory = new ArrayBuffer(2 ** 32 + 100_000);
  const content = randomBytes(100_000, 7);
  new Uint8Array(memory, 2 ** 32).set(content);
  wasWritten(t, await stream.writer().writeAll(new Uint8Array(memory, 2 ** 32)), content.length);
  await t.throwsAsync(stream.writer().writeAll(memory), { code: 'ERR_OUT_OF_RANGE' });
  await stream.close();
  sameBytes(t, await received, content);
});

onEachAlone('sent at once: where there is no memory for the rest, the error says what went', {}, async (t, proactor, backend) => {
  const { stream, peer } = await pairOf(proactor, 'unix');
  const content = randomBytes(16 * MIB, 8);
  const full = Object.assign(new Error('no memory'), { code: 'ERR_RITSU_MEMORY' });
  internals(proactor).backend.allocate = () => {
    throw full;
  };
  const error = await t.throwsAsync(stream.writer().writeAll(content), { is: full });
  const { bytesTransferred = 0, rest = content } = error as Error & { readonly bytesTransferred?: number; readonly rest?: Buffer };
  t.is(bytesTransferred > 0, backend === 'uring');
  sameBytes(t, rest, content.subarray(bytesTransferred));
  const received = receiveAll(peer);
  await stream.close();
  sameBytes(t, await received, content.subarray(0, bytesTransferred));
});

onEachAlone('sent at once: where there is no memory to tell what did not go, the connection’s error is told all the same', {}, async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  peer.resetAndDestroy();
  await eventually(t, 'it is closed', () => peer.closed);
  await turn();
  const { allocate } = internals(proactor).backend;
  internals(proactor).backend.allocate = () => {
    throw Object.assign(new Error('no memory'), { code: 'ERR_RITSU_MEMORY' });
  };
  const content = randomBytes(16 * MIB, 9);
  const error = await t.throwsAsync<NodeJS.ErrnoException & { readonly rest: Buffer }>(stream.writer().writeAll(content));
  t.is(error?.code, internals(proactor).backend.name === 'node' ? 'ERR_RITSU_MEMORY' : 'ECONNRESET'); // there nothing is sent at the call
  if (internals(proactor).backend.name === 'uring') sameBytes(t, error.rest, content);
  internals(proactor).backend.allocate = allocate;
  const next = await t.throwsAsync<NodeJS.ErrnoException>(stream.writer().writeAll(content.subarray(0, 100_000)));
  t.regex(next?.code ?? '', /^(EPIPE|ECONNRESET)$/); // it is the next one's turn
  await stream.close();
});

/** Ways to have code run while a write is being called. */
const BETWEEN: Readonly<Record<string, (content: Buffer, run: () => void) => { data: Memory; options?: WriteOptions; after?: () => void }>> = {
  'a signal that is listened to': (content, run) => {
    const { signal } = new AbortController();
    signal.addEventListener = (...listening: Parameters<AbortSignal['addEventListener']>) => {
      run();
      EventTarget.prototype.addEventListener.apply(signal, listening);
    };
    return { data: content, options: { signal } };
  },
  'a signal that is asked': (content, run) => {
    const { signal } = new AbortController();
    return { data: content, options: { signal: Object.defineProperty(signal, 'aborted', { get: () => (run(), false) }) } };
  },
  'a signal behind a proxy': (content, run) => {
    const { signal } = new AbortController();
    let looks = 0;
    const get = (target: AbortSignal, name: string | symbol): unknown => ((looks += 1) > 3 && run(), Reflect.get(target, name, target));
    return { data: content, options: { signal: new Proxy(signal, { get }) } };
  },
  'a replaced setTimeout': (content, run) => {
    const genuine = globalThis.setTimeout;
    const replaced = (...values: Parameters<typeof genuine>): NodeJS.Timeout => (run(), genuine(...values));
    globalThis.setTimeout = replaced as typeof genuine;
    return { data: content, options: { timeout: 60_000 }, after: () => (globalThis.setTimeout = genuine) };
  },
};

for (const [name, make] of Object.entries(BETWEEN)) {
  onEachAlone(`sent at once: code of the program’s puts nothing in between: ${name}`, {}, async (t, proactor) => {
    const { stream, peer } = await pairOf(proactor, 'unix');
    const writer = stream.writer();
    const [outer, inner] = [randomBytes(4 * MIB, 10), randomBytes(300_000, 11)];
    const writings: Promise<WriteResult>[] = [];
    const run = (): void => {
      if (writings.length === 0) writings.push(writer.writeAll(inner));
    };
    const { data, options, after } = make(outer, run);
    const writing = writer.writeAll(data, options);
    after?.();
    const received = receiveAll(peer);
    wasWritten(t, await writing, outer.length);
    await Promise.all(writings);
    await stream.close();
    const came = await received;
    const inside = writings.length === 0 ? [] : [inner];
    sameBytes(t, came, Buffer.concat(came[0] === outer[0] ? [outer, ...inside] : [...inside, outer]));
  });
}

onEachAlone('sent at once: what fails again and again leaves others their turn', {}, async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor, 'unix');
  peer.destroy();
  await eventually(t, 'it is closed', () => peer.closed);
  const content = randomBytes(100_000, 12);
  let hadTurn = false;
  setImmediate(() => (hadTurn = true));
  for (let round = 0; round < 1000 && !hadTurn; round += 1) await t.throwsAsync(stream.writer().writeAll(content), { code: 'EPIPE' });
  t.true(hadTurn);
  await stream.close();
});

onEachAlone('sent at once: without a copy and an operation, but not too much before others have their turn', {}, async (t, proactor, backend) => {
  const { stream, peer } = await pairOf(proactor);
  const received = receiveAll(peer);
  const writer = stream.writer();
  const content = randomBytes(BUDGET / 4, 6);
  await turn();
  const before = proactor.stats();
  const since = (): Record<'submitted' | 'copies', number> => {
    const { submitted, copies } = proactor.stats();
    return { submitted: submitted - before.submitted, copies: copies - before.copies };
  };
  let passes = 0;
  for (let more = true; more; passes += 1) {
    const writing = writer.writeAll(content);
    more = backend === 'uring' && since().submitted === 0;
    await writing;
  }
  if (backend === 'uring') {
    t.true(passes > 1, 'none went at once');
    t.true(passes <= BUDGET / content.length + 1, `${passes} writes before one was an operation`);
  }
  for (; passes < 60; passes += 1) await writer.writeAll(content);
  if (backend === 'uring') t.true(since().copies <= 40, `${since().copies} copies`);
  await stream.close();
  t.is((await received).length, passes * content.length);
});
