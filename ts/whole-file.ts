/** What `readFile` and `writeFile` have in common: options as Node takes them, and a file that is closed in any case. */
import { refusal } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentValueError, checkOptions } from './errors.js';
import type { Proactor } from './proactor.js';

/** What both accept. */
export interface WholeFileOptions extends CancelOptions {
  /** Of text. `readFile` gives a Buffer where not given; `writeFile` takes `'utf8'` for text. */
  readonly encoding?: BufferEncoding | null | undefined;
  /** Node's flags, as for `open`. */
  readonly flag?: string | number | undefined;
  /** Whose work it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** An encoding stands for the options that have it. */
export function optionsOf<Options extends WholeFileOptions>(options: BufferEncoding | Options | null | undefined): Partial<Options> {
  if (options === undefined || options === null) return {};
  if (typeof options === 'string') return { encoding: options } as Partial<Options>;
  checkOptions(options);
  return options;
}

/** Undefined: none was given. */
export function checkEncoding(encoding: unknown): BufferEncoding | undefined {
  if (encoding === undefined || encoding === null || encoding === '') return undefined;
  if (typeof encoding === 'string' && Buffer.isEncoding(encoding)) return encoding;
  throw argumentValueError('encoding', 'is invalid encoding', encoding);
}

/** Throws where it must not begin. */
export function checkLimits(cancel: CancelOptions, what: string, host: Proactor): void {
  const refused = refusal(cancel, what, host.open);
  if (refused !== undefined) throw refused;
}

/** Do it, then close; in any case, but who wants to be told promptly does not wait for the end of what failed. */
export async function closing<T>(work: Promise<T>, close: () => Promise<void>, { prompt }: CancelOptions): Promise<T> {
  let result: T;
  try {
    result = await work;
  } catch (error) {
    const closed = close().catch(() => {}); // the first error is the one to be told
    if (prompt !== true) await closed;
    throw error;
  }
  await close();
  return result;
}
