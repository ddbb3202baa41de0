/**
 * A bulk transfer, as both sides know it: 16 bytes say how many bytes follow, and whether each is to be compared; who
 * received them answers with 16 bytes: how many came, and the first wrong one. Transfers of a connection follow each other.
 */
import { PIECE_BYTES, firstWrong, matches } from './pattern.js';

export const HEADER_BYTES = 16;
/** What of a piece is compared where comparing all of it would be a part of what is measured. */
const SAMPLE_BYTES = 64;
const NONE = -1;

export interface Transfer {
  readonly bytes: number;
  readonly thorough: boolean;
}

export function encodeTransfer({ bytes, thorough }: Transfer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeDoubleLE(bytes, 0);
  header[8] = Number(thorough);
  return header;
}

export function decodeTransfer(header: Uint8Array): Transfer {
  const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES);
  return { bytes: view.getFloat64(0, true), thorough: view.getUint8(8) !== 0 };
}

/** What is wrong with what the other side received; undefined when nothing is. */
export function faultOf(answer: Uint8Array, { bytes }: Transfer): string | undefined {
  const view = new DataView(answer.buffer, answer.byteOffset, HEADER_BYTES);
  const [came, wrong] = [view.getFloat64(0, true), view.getFloat64(8, true)];
  if (wrong !== NONE) return `the server received a wrong byte at ${wrong}`;
  return came === bytes ? undefined : `the server received ${came} bytes, not ${bytes}`;
}

/** Collects a message of 16 bytes that may come in parts. */
export class Frame {
  readonly #bytes = Buffer.alloc(HEADER_BYTES);
  #length = 0;

  /** Take what is missing; how many bytes that were. */
  take(data: Uint8Array, start: number): number {
    const count = Math.min(HEADER_BYTES - this.#length, data.length - start);
    this.#bytes.set(data.subarray(start, start + count), this.#length);
    this.#length += count;
    return count;
  }

  /** The message if it is there; the next one may be collected then. */
  complete(): Buffer | undefined {
    if (this.#length < HEADER_BYTES) return undefined;
    this.#length = 0;
    return this.#bytes;
  }
}

/** The receiving side of a server's connection. */
export class Receiver {
  readonly #frame = new Frame();
  #transfer: Transfer | undefined = undefined;
  #position = 0;
  #wrong = NONE;

  /** The next bytes of the connection. The answer, when they end a transfer. */
  take(data: Uint8Array): Buffer | undefined {
    let start = 0;
    if (this.#transfer === undefined) {
      start = this.#frame.take(data, 0);
      const header = this.#frame.complete();
      if (header === undefined) return undefined;
      this.#transfer = decodeTransfer(header);
      this.#position = 0;
      this.#wrong = NONE;
    }
    this.#compare(data, start, this.#transfer.thorough);
    if (this.#position < this.#transfer.bytes) return undefined;
    this.#transfer = undefined;
    const answer = Buffer.alloc(HEADER_BYTES);
    answer.writeDoubleLE(this.#position, 0);
    answer.writeDoubleLE(this.#wrong, 8);
    return answer;
  }

  #compare(data: Uint8Array, start: number, thorough: boolean): void {
    for (let offset = start; offset < data.length; ) {
      const length = Math.min(data.length - offset, PIECE_BYTES);
      const compared = thorough ? length : Math.min(length, SAMPLE_BYTES);
      this.#compareAt(data, offset, compared, this.#position);
      this.#compareAt(data, offset + length - compared, compared, this.#position + length - compared);
      this.#position += length;
      offset += length;
    }
  }

  #compareAt(data: Uint8Array, offset: number, length: number, position: number): void {
    if (this.#wrong === NONE && !matches(data, offset, length, position)) this.#wrong = firstWrong(data, offset, length, position);
  }
}
