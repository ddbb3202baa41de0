/**
 * What goes between a thread that asks and the thread whose proactor answers: records (`records.ts`) of operations one way,
 * of completions the other. Numbers go as doubles, since a position may have 53 bits.
 *
 * Memory never is in two threads. What is to be written goes as a copy, made at the hand-over; what was read comes in an
 * ArrayBuffer that the owner made for it and moves (`transfer`) with the answer. So whichever thread dies, the other one
 * has all of its own memory.
 */
import type { Features } from '../backend/backend.js';
import type { Batch } from './records.js';

/** Doubles of one operation. */
export const ASK_FIELDS = 12;
export const Ask = {
  SLOT: 0,
  GENERATION: 1,
  OPCODE: 2,
  DESCRIPTOR: 3,
  FLAGS: 4,
  OPTIONS: 5,
  TARGET: 6,
  LENGTH: 7,
  POSITION: 8,
  EXTRA: 9,
  /** Index of its argument among the parts, or -1. */
  ARGUMENT: 10,
  /** Index of the bytes to be written, or -1. */
  PAYLOAD: 11,
} as const;

/** Flag of CANCEL: the resource is being destroyed. */
export const GIVEN_UP = 1;

/** Doubles of one completion. */
export const ANSWER_FIELDS = 8;
export const Answer = {
  SLOT: 0,
  GENERATION: 1,
  RESULT: 2,
  FLAGS: 3,
  EXTRA: 4,
  VALUE: 5,
  /** Index of the memory that was read into, or -1. */
  MEMORY: 6,
  /** Index of a `Detail`, or -1. */
  DETAIL: 7,
} as const;

/** What a completion tells besides numbers. */
export interface Detail {
  readonly numbers?: Float64Array;
  readonly sender?: Uint8Array;
  /** Of a new socket: where it is, and its peer; or `-errno`. */
  readonly local?: Uint8Array | number;
  readonly peer?: Uint8Array | number;
}

/** A question that is answered while the asker waits: `answer` holds 1 when it is, then the result. */
export interface Call {
  readonly method: 'adopt' | 'address' | 'setOption' | 'option' | 'membership';
  readonly args: readonly unknown[];
  /** State, result, second result, length of the bytes; then bytes. */
  readonly answer: Int32Array;
}

export const CALL_WORDS = 4;
export const CALL_BYTES_MAX = 128;

/** From the thread that asks. */
export type Request =
  | Batch<Uint8Array>
  /** The first of a handle. A guest has one handle: another one, that got the port later, is told that it is closed. */
  | { readonly kind: 'join'; readonly asks: SharedArrayBuffer; readonly answers: SharedArrayBuffer }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'close' };

/** From the owner. */
export type Response =
  | { readonly kind: 'welcome'; readonly features: Features; readonly owner: string }
  | Batch<ArrayBuffer | Detail>
  | { readonly kind: 'closed' };
