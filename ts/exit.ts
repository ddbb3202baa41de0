/**
 * `process.exit()` ends a thread in the middle of a turn: what was begun in that turn is handed to the system before. So the last words
 * that are written to a connection are on their way, as those of Node's own sockets are.
 */
import type { Backend } from './backend/backend.js';

type Flushed = Pick<Backend, 'flush'>;

/** Weak, since one that the program forgets is to be collected. */
const open = new Set<WeakRef<Flushed>>();

function flushAll(): void {
  for (const each of open) {
    try {
      each.deref()?.flush();
    } catch {
      // It is broken, or its end has begun: there is nobody to tell.
    }
  }
}

/** From now on, until the result is called. */
export function flushAtExit(backend: Flushed): () => void {
  if (open.size === 0) process.on('exit', flushAll);
  const own = new WeakRef(backend);
  for (const each of open) if (each.deref() === undefined) open.delete(each);
  open.add(own);
  return () => {
    open.delete(own);
    if (open.size === 0) process.off('exit', flushAll);
  };
}
