/** Opening by a path, which `open` and `pipe` have in common. */
import { constants } from 'node:fs';
import type { Opened } from './backend/backend.js';
import type { CancelOptions } from './cancel.js';
import { ASYNCHRONOUS, Opcode, Operation } from './op.js';
import type { Completion } from './op.js';
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

/** What was opened, and by which path: what the program had it in may have changed since. */
export interface OpenedPath extends Opened {
  readonly path: string;
}

const ENXIO = -6;
const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

/** On this thread the ring opens as if with O_NONBLOCK (Linux 6.18): nobody who reads a FIFO is ENXIO. On a worker thread it waits for one. */
class OpenOperation extends Operation<OpenedPath> {
  readonly #proactor: Proactor;

  constructor(proactor: Proactor) {
    super(Opcode.OPEN, (op, { result, value, extra }) => (result < 0 ? op.failure(result) : { descriptor: value, fd: extra, path: op.path! }));
    this.#proactor = proactor;
  }

  override complete(completion: Completion): void {
    const mayWait = (this.flags & ACCESS_MODE) === constants.O_WRONLY && (this.flags & constants.O_NONBLOCK) === 0;
    if (completion.result !== ENXIO || !mayWait || this.options === ASYNCHRONOUS || this.cancelCause !== undefined) {
      super.complete(completion);
      return;
    }
    this.options = ASYNCHRONOUS;
    this.slot = -1;
    this.#proactor.start(this);
  }
}

export async function openDescriptor(proactor: Proactor, { path, flags, mode, offload }: Opening, limits: CancelOptions): Promise<OpenedPath> {
  const operation = new OpenOperation(proactor);
  operation.argument = pathBytes(path, flags);
  operation.path = pathText(path);
  operation.flags = flags;
  operation.target = mode;
  if (offload) operation.options = ASYNCHRONOUS;
  return proactor.submit(operation, limits).promise;
}
