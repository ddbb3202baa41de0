/** What a crew and its members tell each other. */
import type { MessagePort } from 'node:worker_threads';
import type { BackendName } from '../backend/backend.js';
import type { Moved } from '../hand-over.js';

/** A worker's `workerData`. */
export interface Task {
  readonly file: string;
  readonly index: number;
  readonly data: unknown;
  readonly backend: BackendName;
  /** To the proactor whose connections it serves; undefined when they are handed to it. */
  readonly port: MessagePort | undefined;
}

export type Order =
  | { readonly kind: 'serve'; readonly offer: number; readonly moved: Moved }
  /** One that stays where it is: to be asked for, then it is lent. */
  | { readonly kind: 'offer'; readonly offer: number }
  | { readonly kind: 'lend'; readonly offer: number; readonly descriptor: number; readonly fd: number }
  | { readonly kind: 'stop' };

export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'take'; readonly offer: number }
  | { readonly kind: 'took'; readonly offer: number }
  /** It could not be taken: no descriptors are left. */
  | { readonly kind: 'failed'; readonly offer: number }
  | { readonly kind: 'connections'; readonly count: number };
