/** 64 reads of 1 MiB past the page cache, begun all at once and handed to the kernel: what a program is ended with. */
import { Proactor, alloc, open } from 'ritsu';
import type { Bytes } from 'ritsu';
import { ensure } from './report.ts';

export const READS = 64;
export const READ_BYTES = 2 ** 20;

/** Memory of `alloc`, submitted; or a pool's, where a few blocks are registered with the kernel. */
export type MemoryKind = 'own' | 'pool';

export function directProactor(): Proactor {
  return new Proactor({ backend: 'uring', pool: { classes: [{ size: READ_BYTES, count: READS }] } });
}

/** Begin the reads; nothing was waited for when this resolves, and the kernel has all of them. */
export async function beginReads(proactor: Proactor, path: string, memory: MemoryKind): Promise<Promise<Bytes | null>[]> {
  const file = await open(path, { direct: true, proactor });
  const submitter = file.submitter();
  const allocator = file.allocator({ blockSize: READ_BYTES });
  const read = (position: number): Promise<Bytes | null> => {
    if (memory === 'pool') return allocator.read({ position });
    submitter.submit(alloc(READ_BYTES, { proactor }), { position });
    return submitter.poll();
  };
  const reads = Array.from({ length: READS }, (_, index) => read(index * READ_BYTES));
  proactor.backend.flush();
  ensure(proactor.stats().inFlight === READS, `${proactor.stats().inFlight} reads are in flight, not ${READS}`);
  return reads;
}
