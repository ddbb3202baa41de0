/** What a crew and its members tell each other. */
import type { BackendName } from '../backend/backend.js';
import type { Moved } from '../hand-over.js';
import type { TcpListenOptions } from '../net/listener.js';

/** A worker's `workerData`. */
export interface Task {
  readonly file: string;
  readonly index: number;
  readonly data: unknown;
  readonly backend: BackendName;
  /** Where the worker listens itself; undefined when connections are handed to it. */
  readonly listen: TcpListenOptions | undefined;
}

export type Order = { readonly kind: 'serve'; readonly offer: number; readonly moved: Moved } | { readonly kind: 'stop' };

export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'took'; readonly offer: number }
  /** It could not be taken: no descriptors are left. */
  | { readonly kind: 'failed'; readonly offer: number }
  | { readonly kind: 'connections'; readonly count: number };
