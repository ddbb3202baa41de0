/**
 * Pipes, FIFOs and terminals as streams: by a descriptor that the process has (it keeps its own: the pipe has a
 * duplicate), or by path.
 */
import type { Opened } from './backend/backend.js';
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentTypeError, checkInteger, systemError } from './errors.js';
import { traced } from './deferred.js';
import { openDescriptor } from './open-descriptor.js';
import { openFlags } from './path.js';
import type { PathLike } from './path.js';
import { Proactor } from './proactor.js';
import { Stream } from './stream.js';

/** What `pipe` accepts. */
export interface PipeOptions extends CancelOptions {
  /** Of a path, Node's flags: `'r'`, `'w'`, `'r+'` …, or a number of `fs.constants.O_*`. `'r'` where not given. */
  readonly flags?: string | number | undefined;
  /** Whose stream it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

const FD_MAX = 2 ** 31 - 1;
const MODE_DEFAULT = 0o666;

/** A pipe, a FIFO or a terminal: a `Stream` that may have one direction only. Made by `pipe`. */
export class Pipe extends Stream {
  /** Undefined when it was made of a descriptor. */
  readonly path: string | undefined;

  /** @internal Used by `pipe`. */
  constructor(proactor: Proactor, { descriptor, fd }: Opened, path: string | undefined) {
    super(proactor, descriptor, fd, 'pipe');
    this.path = path;
  }
}

/**
 * A pipe, a FIFO or a terminal as a stream. Opening a FIFO to write waits for who reads it, as `open(2)` does; to read, on the ring, it is
 * mostly open at once, and the first read waits.
 * @param source a descriptor (0 is standard input), or a path as Node takes it
 * @param flags of a path: Node's flags, or options
 * @example
 * await using input = await pipe(0);
 * for await (const bytes of input.allocator()) hash.update(bytes.data);
 */
export async function pipe(source: number | PathLike, flags?: string | number | PipeOptions): Promise<Pipe> {
  const options: PipeOptions = typeof flags === 'object' && flags !== null ? flags : { flags };
  const cancel = checkCancelOptions(options);
  const proactor = options.proactor ?? Proactor.current();
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
  if (typeof source === 'number') return adopted(proactor, checkInteger('fd', source, 0, FD_MAX));
  const bits = openFlags(options.flags);
  const opening = { path: source, flags: bits, mode: MODE_DEFAULT, offload: false };
  const opened = await traced(openDescriptor(proactor, opening, cancel));
  return new Pipe(proactor, opened, opened.path);
}

function adopted(proactor: Proactor, fd: number): Pipe {
  const own = proactor.backend.adopt(fd);
  if (typeof own === 'number') throw systemError(own, 'dup');
  return new Pipe(proactor, own, undefined);
}
