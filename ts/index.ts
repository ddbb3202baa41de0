/**
 * ritsu: an io_uring runtime for Node.js, with buffers that the kernel owns while it uses them.
 * @module
 */
export { alloc, owned, pooled } from './buffer.js';
export type { AllocOptions, Allocator, IoBuffer, IoMemory, OwnedBuffer, PooledOptions } from './buffer.js';
export type { Bytes } from './memory/bytes.js';
export { AbortError, RitsuError, TimeoutError } from './errors.js';
export type { RitsuErrorCode, SystemError } from './errors.js';
export { open } from './file.js';
export type { AllocateOptions, File, OpenOptions } from './file.js';
export type { InflightInfo } from './inflight.js';
export type { Memory } from './memory/block.js';
export type { CancelOptions } from './op.js';
export type { OpenMode, PathLike } from './path.js';
export { BufferPool } from './memory/pool.js';
export type { BufferPoolOptions } from './memory/pool.js';
export type { SizeClassOptions, SizeClassStats, WhenEmpty } from './memory/size-class.js';
export type { Writable } from './memory/parcel.js';
export { Proactor, backendInfo } from './proactor.js';
export type { DestroyOptions, ProactorOptions, ProactorStats } from './proactor.js';
export type { BackendInfo, BackendName, CauseKind } from './backend/choose.js';
export type { Features } from './backend/backend.js';
export type { AsyncRead, Style } from './read/read.js';
export type { AllocatorOptions, AllocatorReader } from './read/allocator.js';
export type { HybridOptions, HybridReader } from './read/hybrid.js';
export type { SubmitOptions, SubmitReader, SubmitterOptions } from './read/submit.js';
export type { ReadOptions } from './read/source.js';
export type { Stat } from './stat.js';
export { interval, sleep } from './timer.js';
export type { SleepOptions } from './timer.js';
export type { AsyncWrite, FileWriter, WriteOptions, WriteResult, WriterOptions } from './write.js';
