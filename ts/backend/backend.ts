/**
 * What answers operations. `uring` hands them to the kernel's ring, `node` to `node:fs`; both speak the same records:
 * an operation goes down by `encode`, its completion comes up through the `Settle` given at the start, with `-errno`
 * as the kernel would say it. A backend has no policy: slots, waiting, promises and the pool's free list live above it.
 */
import type { Block } from '../memory/block.js';
import type { Completion, Operation } from '../op.js';
import type { Timers } from '../timers.js';

/** The ring, or Node's own calls. */
export type BackendName = 'uring' | 'node';
/** Of what kind it is: one of those, a handle to another thread's proactor, or a simulation (`ritsu/testing`). */
export type BackendKind = BackendName | 'remote' | 'simulated';

/** Makes a backend that is not chosen by name. */
export type BackendMaker = (settle: Settle, inFlightMax: number) => Backend;

/** Takes each completion, final or not. Never called from inside `encode`, `cancel` or `flush`. */
export type Settle = (completion: Completion) => void;

/** An open file or socket: its number with the proactor, and with the system. */
export interface Opened {
  readonly descriptor: number;
  readonly fd: number;
}

/** One size class of a pool as the backend laid it out. */
export interface ClassLayout {
  readonly group: number;
  /** Block id of the first block; the others follow. */
  readonly first: number;
  readonly size: number;
  readonly count: number;
}

/** What the running system was asked for and supports. */
export interface Features {
  /** The kernel chooses the buffer of a read (IOSQE_BUFFER_SELECT). */
  readonly bufferSelect: boolean;
  /** Reads and writes into registered memory (READ_FIXED). */
  readonly registeredBuffers: boolean;
  /** `direct: true` bypasses the page cache (O_DIRECT). */
  readonly direct: boolean;
  /** One operation brings many connections, or many chunks of a stream. */
  readonly multishot: boolean;
  /** A stream sends from the caller's memory, where it is asked to. */
  readonly zeroCopy: boolean;
  /** The kernel does completion work when this thread enters it, and never interrupts it. */
  readonly deferTaskrun: boolean;
  /** A no-op may carry the result it shall have (IORING_NOP_INJECT_RESULT). */
  readonly nopInject: boolean;
}

/** Counters of the backend, all since its start but the last six. */
export interface Counters {
  /** Operations begun. */
  submitted: number;
  /** Operations ended. */
  completed: number;
  /** Calls of `io_uring_enter`; on `node`, of `node:fs`, `node:net` and `node:dgram`. */
  enters: number;
  /** Wake-ups by the ring. */
  wakes: number;
  /** Rounds of submit and reap. */
  rounds: number;
  /** Calls into JavaScript. */
  dispatches: number;
  /** Enters that found the completion queue run over. */
  overflows: number;
  /** Records that were refused: 0 in a program that uses the API. */
  faults: number;
  /** Operations ended before the kernel saw them. */
  withdrawn: number;
  /** Cancels given to the kernel. */
  cancelsSent: number;
  /** Completions of nobody: 0 in a program that uses the API. */
  stale: number;
  /** Enters that the kernel could not serve at once. */
  retries: number;
  /** Bytes of memory that are registered with the ring. */
  registeredBytes: number;
  /** Bytes of all pools. */
  poolBytes: number;
  /** Bytes of `alloc`. */
  ownBytes: number;
  /** Operations that have a slot. */
  inFlight: number;
  /** Files and sockets that are open. */
  descriptorsOpen: number;
  /** Blocks that the kernel has. */
  blocksBusy: number;
  /** Blocks that the kernel may choose. */
  blocksProvided: number;
  /** Bytes that the kernel had not let go at the deadline of `destroy`, and that stay its own. */
  leakedBytes: number;
  /** Turns that ended with work left, so that timers and other handles had theirs. */
  budgetYields: number;
}

export interface Backend {
  readonly name: BackendKind;
  readonly features: Features;
  /** How many operations may have a slot at once. */
  readonly inFlightMax: number;
  /** A cancel may have done nothing, and does more once the resource is given up: `cancel` is called again then. */
  readonly cancelsAgain?: boolean;
  /** Set where it has a time of its own. */
  readonly timers?: Timers;

  /** Describe the operation, which has its slot, to the system; it is handed over at the end of this turn at the latest. */
  encode(operation: Operation<unknown>): void;
  /**
   * Send at once what the socket takes of an ordinary ArrayBuffer, which stays where it is: how many bytes, or `-errno`; `-EAGAIN`
   * also when this turn of the loop has sent enough. For a socket of which no send is in flight. Not every backend can.
   */
  sendNow?(descriptor: number, memory: ArrayBuffer, offset: number, length: number): number;
  /** Ask for the end of an operation that is in flight. Its own completion decides what happened. */
  cancel(operation: Operation<unknown>): void;
  cancelAll(): void;
  /** The sender of a RECEIVE_MESSAGE completion, encoded (see `net/address.ts`), empty where there is none; valid until the settle call returns. */
  messageAddress(completion: Completion): Uint8Array;
  /** The 20 numbers of a STATX completion (see `File.stat`), or how many bytes each place of a READ_MANY gave; valid until the settle call returns. */
  numbers(completion: Completion): Float64Array;

  createPool(classes: readonly (readonly [size: number, count: number])[], hugePages: boolean): ClassLayout[];
  /** Register the pool's memory as far as the budget allows; how many bytes of it, from the start, are. */
  registerPool(classes: readonly ClassLayout[]): number;
  /** Whether the kernel can choose blocks of this class; asked once for each, when the first read of it begins. */
  registerGroup(layout: ClassLayout): boolean;
  /** Give an idle block to its group, from which the kernel may choose it for any operation that selects. */
  provide(block: Block, group: number): void;
  /** The memory of a block as JavaScript sees it; while one such ArrayBuffer lives there is no second. */
  expose(block: Block): ArrayBuffer;
  /** A block of its own, page-aligned and zeroed, freed when its ArrayBuffer is collected. */
  allocate(size: number): number;
  /** Lend the memory of an ArrayBuffer that nobody else can reach; until `unpin`. */
  pin(memory: ArrayBuffer): number;
  unpin(id: number): void;
  /** A pool block's ArrayBuffer was moved away by its holder. True: a new one may be exposed at once. */
  lost(block: Block): boolean;
  /** Called with ids of pool blocks that may be exposed again, since nothing can reach their memory any more. */
  onCollected: ((ids: readonly number[]) => void) | undefined;
  /** Called when the backend has failed for good: nothing in flight will be answered. */
  onBroken: (() => void) | undefined;

  /** Take in a duplicate of a descriptor that somebody else goes on owning; or `-errno`. */
  adopt(fd: number): Opened | number;
  /** Where a socket is, or its peer, encoded (see `net/address.ts`); or `-errno`. */
  address(descriptor: number, peer: boolean): Uint8Array | number;
  /** Set an option of a socket (`net/options.ts`): 0 or `-errno`. */
  setOption(descriptor: number, option: number, value: number): number;
  /** Ask for an option of a socket: its value or `-errno`. */
  option(descriptor: number, option: number): number;
  /** Join or leave a multicast group, on the interface that `over` names: 0 or `-errno`. */
  membership(descriptor: number, join: boolean, group: Uint8Array, over: Uint8Array | undefined): number;

  counters(): Counters;
  /** Whether it keeps the process alive, from now on; at first it does not. Called very often where one operation follows the other. */
  setKeepAlive(on: boolean): void;
  /** Hand over what is encoded now instead of at the end of the turn. */
  flush(): void;
  /** End the backend; nothing is in flight. */
  close(): Promise<void>;
  /** Cancel all and wait synchronously up to the deadline; how many operations are left (their memory is leaked). */
  abandon(deadline: number): number;
}
