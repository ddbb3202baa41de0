/** A task of a thread pool: reads a file on the thread's own proactor. What `__test__/threads/pools.test.ts` gives to piscina. */
import { createHash } from 'node:crypto';
import { threadId } from 'node:worker_threads';
import { Proactor, open } from 'ritsu';

export interface PoolResult {
  readonly digest: string;
  readonly thread: number;
  readonly backend: string;
  /** Of this thread's proactor, so far: it is the same one for each task. */
  readonly submitted: number;
}

export default async function digest(path: string): Promise<PoolResult> {
  const file = await open(path);
  const hash = createHash('sha256');
  for await (const bytes of file.allocator()) hash.update(bytes.data);
  await file.close();
  const { submitted, backend } = Proactor.current().stats();
  return { digest: hash.digest('hex'), thread: threadId, backend, submitted };
}
