/**
 * Description: random sequences of commands on one file, each compared with `node:fs` doing the same to a file of its
 * own: what is read, how much is written, how long the file is, where the sequences stand.
 */
import * as fs from 'node:fs';
import * as fc from 'fast-check';
import { alloc, open, owned } from 'ritsu';
import type { Bytes, File, FileWriter, Proactor } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { freshPath, randomBytes } from './support/files.ts';
import { STYLES } from './support/styles.ts';
import type { Next } from './support/styles.ts';

const GIB = 2 ** 30;
const BLOCK = 4096;
const POOL = { classes: [{ size: BLOCK, count: 8 }, { size: 65_536, count: 8 }], hugePages: false };

/** The oracle: a file by `node:fs`, and where its sequences stand. */
class Model {
  readonly path: string;
  fd: number;
  readAt = 0;
  writeAt = 0;

  constructor(path: string) {
    this.path = path;
    this.fd = fs.openSync(path, 'w+');
  }

  read(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, fs.readSync(this.fd, bytes, 0, length, position));
  }

  reopen(): void {
    fs.closeSync(this.fd);
    this.fd = fs.openSync(this.path, 'r+');
    this.readAt = 0;
    this.writeAt = 0;
  }
}

/** The file under test, with a reader of each style and a writer. */
class Real {
  readonly path: string;
  readonly proactor: Proactor;
  file: File | undefined = undefined;
  readers: Next[] = [];
  writer: FileWriter | undefined = undefined;

  constructor(path: string, proactor: Proactor) {
    this.path = path;
    this.proactor = proactor;
  }

  async open(flags: string): Promise<void> {
    await this.file?.close();
    const file = await open(this.path, { flags, proactor: this.proactor });
    this.file = file;
    this.readers = STYLES.map((style) => style.reader(file, this.proactor, BLOCK));
    this.writer = file.writer({ start: 0 });
  }
}

type Command = fc.AsyncCommand<Model, Real, true>;

/** Of use in every state. */
class Always {
  async check(): Promise<boolean> {
    return true;
  }
}

function same(actual: Uint8Array | null, expected: Uint8Array, what: string): void {
  const shown = actual ?? Buffer.alloc(0);
  if (Buffer.compare(shown, expected) !== 0) throw new Error(`${what}: ${shown.length} bytes, not ${expected.length}, or others`);
}

class ReadCommand extends Always implements Command {
  readonly #style: number;
  readonly #position: number | undefined;

  constructor(style: number, position: number | undefined) {
    super();
    this.#style = style;
    this.#position = position;
  }

  async run(model: Model, real: Real): Promise<void> {
    const position = this.#position;
    const expected = model.read(position ?? model.readAt, BLOCK);
    if (position === undefined) model.readAt += expected.length;
    same(await real.readers[this.#style]!(position === undefined ? {} : { position }), expected, this.toString());
  }

  override toString(): string {
    return `read(${STYLES[this.#style]!.name}, ${this.#position ?? 'on'})`;
  }
}

/** Several sequential reads at once, each of another style. */
class ReadTogetherCommand extends Always implements Command {
  readonly #styles: readonly number[];

  constructor(styles: readonly number[]) {
    super();
    this.#styles = styles;
  }

  async run(model: Model, real: Real): Promise<void> {
    const chunks = await Promise.all(this.#styles.map((style) => real.readers[style]!()));
    for (const chunk of chunks) {
      const expected = model.read(model.readAt, BLOCK);
      model.readAt += expected.length;
      same(chunk, expected, this.toString());
    }
  }

  override toString(): string {
    return `readTogether(${this.#styles.map((style) => STYLES[style]!.name).join(' + ')})`;
  }
}

/** Many positions by one read, in one of the three styles. */
class ReadManyCommand extends Always implements Command {
  readonly #style: number;
  readonly #positions: readonly number[];

  constructor(style: number, positions: readonly number[]) {
    super();
    this.#style = style;
    this.#positions = positions;
  }

  async run(model: Model, real: Real): Promise<void> {
    const places = this.#positions.map((position) => model.read(position, BLOCK));
    const bytes = await this.#read(real);
    const isNothing = places.every(({ length }) => length === 0);
    const expected = Buffer.concat(isNothing ? [] : places.map((place) => Buffer.concat([place], BLOCK)));
    same(bytes?.data ?? null, expected, this.toString());
    const lengths = places.map(({ length }) => length).join(' ');
    if (bytes !== null && bytes.lengths!.join(' ') !== lengths) throw new Error(`${this.toString()}: not ${lengths}`);
    bytes?.release();
  }

  override toString(): string {
    return `readMany(${this.#style}, ${this.#positions.join(' ')})`;
  }

  #read({ file, proactor }: Real): Promise<Bytes | null> {
    if (this.#style === 0) return file!.allocator({ blockSize: BLOCK }).readMany(this.#positions);
    const memory = alloc(this.#positions.length * BLOCK, { proactor });
    if (this.#style === 1) return file!.hybrid().readMany(owned(memory), this.#positions);
    const reader = file!.submitter();
    reader.submitMany(memory, this.#positions);
    return reader.poll();
  }
}

type How = 'write' | 'writeAll' | 'owned' | 'pushed';

class WriteCommand extends Always implements Command {
  readonly #how: How;
  readonly #length: number;
  readonly #position: number | undefined;

  constructor(how: How, length: number, position: number | undefined) {
    super();
    this.#how = how;
    this.#length = length;
    this.#position = position;
  }

  async run(model: Model, real: Real): Promise<void> {
    const data = randomBytes(this.#length, this.#length + 7);
    const at = this.#position ?? model.writeAt;
    fs.writeSync(model.fd, data, 0, data.length, at);
    if (this.#position === undefined) model.writeAt += data.length;
    const { bytesWritten, rest } = await this.#write(real, data, this.#position);
    if (bytesWritten !== data.length || rest.length !== 0) throw new Error(`${this.toString()}: ${bytesWritten} written`);
  }

  override toString(): string {
    return `write(${this.#how}, ${this.#length} bytes, ${this.#position ?? 'on'})`;
  }

  #write({ writer, proactor }: Real, data: Buffer, position: number | undefined): ReturnType<FileWriter['write']> {
    const options = position === undefined ? {} : { position };
    if (this.#how === 'write') return writer!.write(data, options);
    if (this.#how === 'writeAll') return writer!.writeAll(data, options);
    if (this.#how === 'owned') {
      const memory = alloc(data.length, { proactor });
      memory.set(data);
      return writer!.write(memory, options);
    }
    const half = Math.floor(data.length / 2);
    return writer!.push(data.subarray(0, half)).push(data.subarray(half)).flush(options);
  }
}

class TruncateCommand extends Always implements Command {
  readonly #length: number;

  constructor(length: number) {
    super();
    this.#length = length;
  }

  async run(model: Model, real: Real): Promise<void> {
    fs.ftruncateSync(model.fd, this.#length);
    await real.file!.truncate(this.#length);
  }

  override toString(): string {
    return `truncate(${this.#length})`;
  }
}

class SyncCommand extends Always implements Command {
  async run(_model: Model, real: Real): Promise<void> {
    await Promise.all([real.file!.sync(), real.file!.datasync()]);
  }

  override toString(): string {
    return 'sync()';
  }
}

class StatCommand extends Always implements Command {
  async run(model: Model, real: Real): Promise<void> {
    const [ours, theirs] = [await real.file!.stat(), fs.fstatSync(model.fd)];
    if (ours.size !== theirs.size || ours.mode !== theirs.mode) throw new Error(`size ${ours.size}, not ${theirs.size}`);
  }

  override toString(): string {
    return 'stat()';
  }
}

class ReopenCommand extends Always implements Command {
  async run(model: Model, real: Real): Promise<void> {
    model.reopen();
    await real.open('r+');
  }

  override toString(): string {
    return 'reopen()';
  }
}

/** Near the beginning, where it all happens; sometimes around and beyond 4 GiB. */
const places = fc.oneof(
  { weight: 6, arbitrary: fc.nat(3 * BLOCK) },
  { weight: 1, arbitrary: fc.nat(2 * BLOCK).map((offset) => 4 * GIB - BLOCK + offset) },
  { weight: 1, arbitrary: fc.nat(BLOCK).map((offset) => 9 * GIB + offset) },
);
const maybePlace = fc.option(places, { nil: undefined });
const styles = fc.nat(STYLES.length - 1);

const commands = fc.commands<Model, Real, true>(
  [
    fc.tuple(styles, maybePlace).map(([style, position]) => new ReadCommand(style, position)),
    fc.tuple(fc.nat(2), fc.array(places, { minLength: 1, maxLength: 6 })).map(([style, all]) => new ReadManyCommand(style, all)),
    fc.array(styles, { minLength: 2, maxLength: 5 }).map((all) => new ReadTogetherCommand(all)),
    fc
      .tuple(fc.constantFrom<How>('write', 'writeAll', 'owned', 'pushed'), fc.integer({ min: 2, max: 3 * BLOCK }), maybePlace)
      .map(([how, length, position]) => new WriteCommand(how, length, position)),
    places.map((length) => new TruncateCommand(length)),
    fc.constant(new SyncCommand()),
    fc.constant(new StatCommand()),
    fc.constant(new ReopenCommand()),
  ],
  { maxCommands: 60 },
);

onEachAlone('random sequences of reads, writes, truncations and reopenings do what node:fs does', { pool: POOL }, async (t, proactor) => {
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      runs += 1;
      const model = new Model(freshPath('model'));
      const real = new Real(freshPath('real'), proactor);
      await real.open('w+');
      try {
        await fc.asyncModelRun(() => ({ model, real }), sequence);
      } finally {
        await real.file!.close();
        fs.closeSync(model.fd);
        fs.unlinkSync(model.path);
        fs.unlinkSync(real.path);
      }
    }),
    { includeErrorInReport: true, numRuns: 60, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false },
  );
  t.true(runs >= 10, `${runs} sequences`);
  const { pool, inFlight, descriptorsOpen } = proactor.stats();
  for (const { available, count, size } of pool) t.is(available, count, `blocks of ${size} bytes`);
  t.is(inFlight, 0);
  t.is(descriptorsOpen, 0);
});
