/** Sending datagrams: where to, from which memory, and what came of it. One for each `UdpSocket`. */
import { checkCancelOptions, refusal } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { argumentTypeError, checkInteger, closedError, systemError } from '../errors.js';
import { blockOf, inspect } from '../memory/block.js';
import { Bytes } from '../memory/bytes.js';
import { Parcel } from '../memory/parcel.js';
import type { Writable } from '../memory/parcel.js';
import { ECANCELED, Failure, Opcode, Operation } from '../op.js';
import { versionOf } from './address.js';
import { checkPort, checkText } from './arguments.js';
import type { DatagramQueue } from './datagram-queue.js';
import { addressesOf } from './lookup.js';
import type { LookupPlan } from './lookup.js';
import { internetTarget } from './opened.js';
import type { Target } from './opened.js';

/** What is sent: one piece, or several that are joined to one datagram. Strings are sent as UTF-8. */
export type DatagramData = Writable | readonly Writable[];

/** A datagram of `sendMany`. */
export interface Datagram {
  /** What to send: one datagram. */
  readonly data: DatagramData;
  /** Of the peer. */
  readonly port?: number | string | undefined;
  /** A name or an address; this machine where not given. */
  readonly address?: string | undefined;
}

/** The most parts of one datagram (Linux: IOV_MAX). */
const PARTS_MAX = 1024;
const PART_WORDS = 3;

export class DatagramSender {
  readonly #queue: DatagramQueue;
  readonly #lookup: LookupPlan;
  /** The socket has a peer: datagrams are not addressed. */
  readonly #connected: boolean;
  /** Where the last datagram went: most go to one peer. */
  #last: Target | undefined = undefined;

  constructor(queue: DatagramQueue, lookup: LookupPlan, connected: boolean) {
    this.#queue = queue;
    this.#lookup = lookup;
    this.#connected = connected;
  }

  async send(data: DatagramData, port: unknown, address: unknown, options: CancelOptions | undefined): Promise<number> {
    const limits = checkCancelOptions(options);
    const target = this.#targetOf(port, address, limits);
    const refused = refusal(limits, 'send', this.#queue.open);
    if (refused !== undefined) throw refused;
    const parcels = this.#take(data);
    try {
      return await this.#begin(parcels, target instanceof Promise ? await target : target, limits).promise;
    } finally {
      for (const parcel of parcels) parcel.end();
    }
  }

  async sendMany(datagrams: Iterable<Datagram>, options: CancelOptions | undefined): Promise<number> {
    const sends = listOf(datagrams).map(({ data, port, address }) => this.send(data, port, address, options));
    const outcomes = await Promise.allSettled(sends);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return outcomes.length;
    const messagesSent = outcomes.filter(({ status }) => status === 'fulfilled').length;
    throw Object.assign(failed.reason as Error, { messagesSent });
  }

  #begin(parcels: readonly Parcel[], target: Target | undefined, limits: CancelOptions): Operation<number> {
    const operation = new Operation<number>(Opcode.SEND_MESSAGE, (op, { result }) => {
      if (result >= 0) return result;
      if (result === ECANCELED && op.cancelCause !== undefined) return op.failure(result);
      return new Failure(() => systemError(result, 'send', undefined, target?.endpoint));
    });
    operation.descriptor = this.#queue.descriptor;
    operation.argument = encodeMessage(target?.encoded, parcels);
    if (this.#queue.closed) operation.refuse(() => closedError('send'));
    else this.#queue.host.submit(operation, limits);
    return operation;
  }

  /** Where it goes; undefined for the peer that the socket is connected to. */
  #targetOf(port: unknown, address: unknown, limits: CancelOptions): Target | undefined | Promise<Target> {
    if (this.#connected) {
      if (port === undefined && address === undefined) return undefined;
      throw Object.assign(new Error('Already connected'), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' });
    }
    const number = checkPort('Port', port, 1);
    const host = checkText('address', address) || (this.#lookup.family === 6 ? '::1' : '127.0.0.1');
    const last = this.#last;
    if (last !== undefined && last.endpoint.port === number && last.endpoint.address === host) return last;
    return this.#findTarget(host, number, limits);
  }

  #findTarget(host: string, port: number, limits: CancelOptions): Target | Promise<Target> {
    if (versionOf(host) === 0) {
      const found = addressesOf(host, this.#lookup, limits).then((addresses) => internetTarget(addresses[0]!, port));
      found.catch(() => {}); // told when it is awaited, which it is not if the data are refused
      return found;
    }
    const target = internetTarget(host, port);
    this.#last = target;
    return target;
  }

  #take(data: DatagramData): Parcel[] {
    const parts = Array.isArray(data) ? (data as readonly Writable[]) : [data as Writable];
    checkInteger('data.length', parts.length, 0, PARTS_MAX);
    const parcels: Parcel[] = [];
    try {
      for (const part of parts) parcels.push(Parcel.take(this.#queue.host, borrowed(part)));
    } catch (error) {
      for (const parcel of parcels) parcel.end();
      throw error;
    }
    return parcels;
  }
}

/** All of them before the first is sent: what is iterated may run any code, and fail. */
function listOf(datagrams: Iterable<Datagram>): Datagram[] {
  if (typeof (datagrams as Partial<Iterable<Datagram>> | null)?.[Symbol.iterator] !== 'function') {
    throw argumentTypeError('datagrams', 'an iterable', datagrams);
  }
  return Array.from(datagrams, (datagram: Datagram | null) => {
    if (typeof datagram !== 'object' || datagram === null) throw argumentTypeError('datagram', 'of type object', datagram);
    const { data, port, address } = datagram;
    return { data, port, address };
  });
}

/** Memory of `alloc()` would move into the datagram, and the result has no place to give it back: it is copied. */
function borrowed(data: Writable): Writable {
  if (typeof data === 'string' || data instanceof Bytes) return data;
  const { memory, offset, length } = inspect('data', data);
  if (blockOf(memory)?.kind !== 'own') return data;
  return Uint8Array.from(new Uint8Array(memory, offset, length));
}

/** The argument of SEND_MESSAGE: length of the address (u32), the address padded to 4 bytes, then the parts. */
function encodeMessage(address: Uint8Array | undefined, parcels: readonly Parcel[]): Uint8Array {
  const length = address?.length ?? 0;
  const first = 1 + Math.ceil(length / 4);
  const words = new Uint32Array(first + parcels.length * PART_WORDS);
  const bytes = new Uint8Array(words.buffer);
  words[0] = length;
  if (address !== undefined) bytes.set(address, 4);
  parcels.forEach(({ block, offset, length: size }, index) => words.set([block.id, offset, size], first + index * PART_WORDS));
  return bytes;
}
