/** What `pipeTo` is between: a client, a source, a target and a sink; and how they are fed and emptied. */
import type { ExecutionContext } from 'ava';
import type { LateOutcome, Proactor, Stream } from 'ritsu';
import { eventually, pause, tcpPair, unixPair } from './net.ts';
import type { Pair } from './net.ts';
import type { Random } from './random.ts';

const MIB = 2 ** 20;
/** More than all that is between a client and a sink holds: of TCP, and of Unix sockets. */
export const MUCH = 24 * MIB;
export const ENOUGH = 8 * MIB;

/** The error of a `pipeTo`. */
export interface Failure extends Error {
  readonly code: string;
  readonly bytesTransferred: number;
  readonly rest?: Uint8Array;
  readonly outcome?: Promise<LateOutcome>;
}

type Made = Pair<Stream, { destroy(): Promise<void> }>;
export type PairOf = (proactor: Proactor) => Promise<Made>;

/** `client` -> `source` ... `target` -> `sink`; in between is what is tested. */
export interface Relay extends AsyncDisposable {
  readonly client: Stream;
  readonly source: Stream;
  readonly target: Stream;
  readonly sink: Stream;
}

export async function relayOf(proactor: Proactor, from: PairOf = tcpPair, to: PairOf = tcpPair): Promise<Relay> {
  const [first, second] = [await from(proactor), await to(proactor)];
  const dispose = async (): Promise<void> => {
    await Promise.all([first[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]);
  };
  return { client: first.outside, source: first.inside, target: second.inside, sink: second.outside, [Symbol.asyncDispose]: dispose };
}

/** By Unix sockets, of which the buffers are small. */
export function smallRelayOf(proactor: Proactor): Promise<Relay> {
  return relayOf(proactor, unixPair, unixPair);
}

/** Every block is back: those that were sent when the kernel has let go. */
export async function whole(t: ExecutionContext, proactor: Proactor): Promise<void> {
  const held = (): number => {
    const { pool, streamPool, blocksBusy } = proactor.stats();
    return pool.reduce((sum, { leased }) => sum + leased, streamPool?.leased ?? 0) + blocksBusy;
  };
  await eventually(t, 'all blocks are back', () => held() === 0);
}

/** Send it in pieces of any size, then the end. `onSent` is told how much has gone. */
export async function feed(stream: Stream, content: Buffer, random: Random, most = 200_000, onSent: (at: number) => void = () => {}): Promise<void> {
  const writer = stream.writer();
  for (let at = 0; at < content.length; onSent(at)) {
    const length = 1 + random.below(random.chance(0.5) ? 100 : most);
    await writer.writeAll(content.subarray(at, at + length));
    at += length;
  }
  await writer.end();
}

/** `feed`, and resolves when for a while nothing more has gone: all that is between the client and the sink is full. */
export async function fill(stream: Stream, content: Buffer, random: Random): Promise<{ readonly sending: Promise<void> }> {
  let sent = 0;
  const sending = feed(stream, content, random, undefined, (at) => {
    sent = at;
  });
  sending.catch(() => {}); // told when it is awaited
  let before = -1;
  for (let quiet = 0; quiet < 4; await pause(80)) {
    quiet = before === sent && sent > 0 ? quiet + 1 : 0;
    before = sent;
  }
  return { sending };
}

/** Exactly so many bytes of what comes. */
export async function take(stream: Stream, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let left = length; left > 0; ) {
    const bytes = await stream.allocator({ blockSize: Math.min(left, 65_536) }).read();
    if (bytes === null) break;
    left -= bytes.length;
    parts.push(bytes.copy());
    bytes.release();
  }
  return Buffer.concat(parts);
}
