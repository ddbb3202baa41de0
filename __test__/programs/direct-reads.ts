/** 64 reads of 1 MiB past the page cache, begun all at once and handed to the kernel: what a program is ended with. */
import { Proactor, alloc, open } from 'ritsu';
import type { Bytes } from 'ritsu';
import { internals } from '../support/internals.ts';
import { ensure } from './report.ts';

export const READS = 64;
export const READ_BYTES = 2 ** 20;

/** Memory of `alloc`, submitted; or a pool's, where a few blocks are registered with the kernel. */
export type MemoryKind = 'own' | 'pool';

export function directProactor(): Proactor {
  return new Proactor({ backend: 'uring', pool: { classes: [{ size: READ_BYTES, count: READS }] } });
}

type Reads = Promise<Bytes | null>[];

/** Open the file and have the memory; what begins the reads. When it returns the kernel has all of them. */
export async function prepareReads(proactor: Proactor, path: string, memory: MemoryKind): Promise<() => Reads> {
  const file = await open(path, { direct: true, proactor });
  const submitter = file.submitter();
  const allocator = file.allocator({ blockSize: READ_BYTES });
  // Memory that was touched before: the kernel would be slower to find it than the disk to read.
  const own = memory === 'own' ? Array.from({ length: READS }, () => alloc(READ_BYTES, { proactor }).fill(1)) : [];
  const read = (index: number): Promise<Bytes | null> => {
    const position = index * READ_BYTES;
    if (memory === 'pool') return allocator.read({ position });
    submitter.submit(own[index]!, { position });
    return submitter.poll();
  };
  return () => {
    const reads = Array.from({ length: READS }, (_, index) => read(index));
    internals(proactor).backend.flush();
    ensure(proactor.stats().inFlight === READS, `${proactor.stats().inFlight} reads are in flight, not ${READS}`);
    return reads;
  };
}

export async function beginReads(proactor: Proactor, path: string, memory: MemoryKind): Promise<Reads> {
  const begin = await prepareReads(proactor, path, memory);
  return begin();
}
