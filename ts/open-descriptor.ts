/** Opening by a path, which `open` and `pipe` have in common. */
import { constants } from 'node:fs';
import type { Opened } from './backend/backend.js';
import type { CancelOptions } from './cancel.js';
import { ASYNCHRONOUS, Opcode, Operation } from './op.js';
import { pathBytes, pathText } from './path.js';
import type { PathLike } from './path.js';
import type { Proactor } from './proactor.js';

/** What is to be opened, and how. */
export interface Opening {
  readonly path: PathLike;
  /** Bits of `fs.constants.O_*`. */
  readonly flags: number;
  readonly mode: number;
  /** By a worker thread of the kernel. */
  readonly offload: boolean;
}

const ENXIO = -6;
const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

/**
 * On this thread the ring opens as if with O_NONBLOCK (Linux 6.18), so a FIFO that is to be written and that nobody reads is refused
 * (ENXIO); on a worker thread it waits for a reader, as `open(2)` does.
 */
export async function openDescriptor(proactor: Proactor, { path, flags, mode, offload }: Opening, limits: CancelOptions): Promise<Opened> {
  const [argument, text] = [pathBytes(path, flags), pathText(path)];
  const attempt = (options: number): Promise<Opened> => {
    const operation = new Operation<Opened>(Opcode.OPEN, (op, { result, value, extra }) =>
      result < 0 ? op.failure(result) : { descriptor: value, fd: extra },
    );
    operation.argument = argument;
    operation.path = text;
    operation.flags = flags;
    operation.target = mode;
    operation.options = options;
    return proactor.submit(operation, limits).promise;
  };
  if (offload) return attempt(ASYNCHRONOUS);
  try {
    return await attempt(0);
  } catch (error) {
    const mayWait = (flags & ACCESS_MODE) === constants.O_WRONLY && (flags & constants.O_NONBLOCK) === 0;
    if (!mayWait || (error as NodeJS.ErrnoException).errno !== ENXIO) throw error;
    return attempt(ASYNCHRONOUS);
  }
}
