/** Files, datagrams, timers and a pool that is too small: the parts of a soak that are no streams. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { alloc, bind, interval, open, owned, pipe, pooled, sleep } from 'ritsu';
import type { Bytes, File, Proactor } from 'ritsu';
import { sleepSync } from './report.ts';
import type { Random } from '../support/random.ts';
import { Way } from './soak-streams.ts';
import { Pattern, limits } from './soak-tally.ts';
import type { Tally } from './soak-tally.ts';

const DIRECT = 4096;

export interface Surroundings {
  readonly random: Random;
  readonly tally: Tally;
  readonly proactor: Proactor;
  readonly directory: string;
}

/** A file of this pattern, written with aborts on the way. */
export async function writeFile({ random, tally, proactor }: Surroundings, path: string, key: number, size: number): Promise<void> {
  const pattern = new Pattern(key);
  const file = await open(path, { flags: 'w+', proactor });
  const writer = file.writer();
  for (let written = 0; written < size; ) {
    const data = pattern.at(written, Math.min(size - written, 1 + random.below(200_000)));
    // Not prompt: the next write must know where it begins.
    const result = await writer.writeAll(data, { ...limits(random), prompt: false }).then(({ bytesWritten }) => bytesWritten, (error: unknown) => {
      if (!tally.isAborted(error)) throw error;
      return (error as { bytesTransferred: number }).bytesTransferred;
    });
    written += result;
  }
  if (random.chance(0.2)) await file.datasync();
  if ((await file.stat()).size !== size) tally.find(`a file of ${size} bytes has ${(await file.stat()).size}`);
  await file.close();
}

/** Opened, read in styles that take turns, here and there and one after the other, and closed: sometimes with reads under way. */
export async function readFile(here: Surroundings, path: string, key: number, size: number): Promise<void> {
  const { random, tally, proactor } = here;
  const direct = random.chance(0.5);
  const file = await open(path, { direct, proactor });
  const pattern = new Pattern(key);
  const reads: Promise<unknown>[] = [];
  for (let count = 5 + random.below(60); count > 0; count -= 1) {
    const read = random.chance(0.2) ? readMany : readOnce;
    reads.push(read(here, file, direct, pattern, size).catch((error: unknown) => void (tally.isAborted(error) || tally.expected('file', error))));
    if (random.chance(0.3)) await reads.at(-1);
  }
  if (random.chance(0.8)) await Promise.all(reads);
  await file.close();
  await Promise.all(reads);
  tally.add('filesClosed');
}

async function readOnce({ random, tally, proactor }: Surroundings, file: File, direct: boolean, pattern: Pattern, size: number): Promise<void> {
  const unit = direct ? DIRECT : 1;
  const position = random.below(size / unit) * unit;
  const length = (1 + random.below(65_536 / unit)) * unit;
  const options = { position, ...limits(random) };
  let bytes: Bytes | null;
  const style = random.below(4);
  if (style === 0) bytes = await file.allocator({ blockSize: length }).read(options);
  else if (style === 1) bytes = await file.hybrid().read(pooled({ pool: proactor.pool, size: length }), options);
  else if (style === 2) bytes = await file.hybrid().read(owned(alloc(length, { proactor })), options);
  else {
    const reader = file.submitter();
    reader.submit(alloc(length, { proactor }), options);
    bytes = await reader.poll();
  }
  if (bytes === null || bytes.length === 0) return tally.find(`no bytes at ${position} of ${size}`);
  tally.verify('file', pattern, bytes.data, position);
  if (style > 1) return;
  tally.add('leases');
  if (random.chance(0.2)) await sleep(random.below(5), { proactor });
  if (!pattern.holds(bytes.data, position)) tally.find(`a lease of a file changed while it was held, at ${position}`);
  bytes.release();
}

/** Many positions at once, in whatever order; often more than the ring's queue has entries. */
async function readMany({ random, tally, proactor }: Surroundings, file: File, direct: boolean, pattern: Pattern, size: number): Promise<void> {
  const unit = direct ? DIRECT : 1;
  const style = random.below(4);
  const most = style < 2 ? 65_536 : 4_194_304; // a block of the pool, or memory of its own
  const length = (1 + random.below(direct ? 2 : 2000)) * unit;
  const positions = Array.from({ length: 1 + random.below(Math.min(1024, Math.floor(most / length))) }, () => random.below(size / unit) * unit);
  const total = positions.length * length;
  const options = { length, ...limits(random) };
  let bytes: Bytes | null;
  if (style === 0) bytes = await file.allocator({ blockSize: length }).readMany(positions, options);
  else if (style === 1) bytes = await file.hybrid().readMany(pooled({ pool: proactor.pool, size: total }), positions, options);
  else if (style === 2) bytes = await file.hybrid().readMany(owned(alloc(total, { proactor })), positions, options);
  else {
    const reader = file.submitter();
    reader.submitMany(alloc(total, { proactor }), positions, options);
    bytes = await reader.poll();
  }
  if (bytes === null || bytes.length !== total) return tally.find(`${bytes?.length} bytes of ${positions.length} places`);
  tally.add('places', positions.length);
  for (const [index, position] of positions.entries()) {
    const place = bytes.data.subarray(index * length, (index + 1) * length);
    const came = Math.min(length, size - position);
    if (bytes.lengths?.[index] !== came) tally.find(`${bytes.lengths?.[index]} bytes at ${position} of ${size}`);
    tally.verify('file, at many places', pattern, place.subarray(0, came), position);
    if (place.subarray(came).some((byte) => byte !== 0)) tally.find(`behind the end of a file no zeros, at ${position}`);
  }
  if (style < 2) bytes.release();
}

/** More readers than blocks: they wait for each other. */
export async function exhaust({ random, tally, proactor }: Surroundings, path: string, key: number, size: number): Promise<void> {
  const pool = proactor.pool;
  const [{ size: blockSize, count } = { size: 4096, count: 0 }] = proactor.stats().pool;
  const file = await open(path, { proactor });
  const pattern = new Pattern(key);
  await Promise.all(Array.from({ length: count * 2 }, async () => {
    const position = random.below(size);
    const bytes = await file.allocator({ allocator: pool, blockSize }).read({ position, ...limits(random) }).catch((error: unknown) => {
      if (!tally.isAborted(error)) throw error;
      return null;
    });
    if (bytes === null) return;
    tally.verify('file, of a pool that is too small', pattern, bytes.data, position);
    tally.add('leases');
    if (random.chance(0.5)) await sleep(1, { proactor });
    bytes.release();
  }));
  await file.close();
}

/** A pipe that has a name, from its first byte to its end. */
export async function throughPipe({ random, tally, proactor, directory }: Surroundings): Promise<void> {
  const path = join(directory, `fifo-${random.bits()}`);
  execFileSync('mkfifo', [path]);
  const [from, to] = await Promise.all([pipe(path, { flags: 'r', proactor }), pipe(path, { flags: 'w', proactor })]);
  const way = new Way(random, tally, proactor, random.bits());
  const reading = way.read(from);
  if (await way.write(to, random.below(500_000))) await to.close();
  else tally.find('a pipe could not be written');
  await reading;
  way.settle('pipe');
  await from.close();
  rmSync(path);
}

/** Datagrams may be lost, but not changed. */
export async function datagrams({ random, tally, proactor }: Surroundings): Promise<void> {
  const pattern = new Pattern(random.bits());
  const [from, to] = await Promise.all([bind({ host: '127.0.0.1', proactor }), bind({ host: '127.0.0.1', proactor })]);
  const { port } = to.address();
  const total = 200 + random.below(400);
  let over = false;
  const receiving = (async () => {
    while (!over) {
      const several = await to.receiveMany(16, { timeout: 20 }).catch((error: unknown) => {
        if (!tally.isAborted(error)) throw error;
        return [];
      });
      for (const bytes of several) {
        tally.verify('datagram', pattern, bytes.data.subarray(4), bytes.data.readUInt32LE(0));
        tally.add('datagrams');
        bytes.release();
      }
    }
  })();
  for (let sent = 0; sent < total; ) {
    const batch = Array.from({ length: 1 + random.below(16) }, () => {
      const position = random.below(1e6);
      const head = Buffer.alloc(4);
      head.writeUInt32LE(position);
      return { data: [head, pattern.at(position, 1 + random.below(1200))], port, address: '127.0.0.1' };
    });
    sent += await from.sendMany(batch);
  }
  await sleep(5, { proactor });
  over = true;
  await receiving;
  await Promise.all([from.close(), to.destroy()]);
}

/** More than the completion queue holds, while JavaScript does something else. */
export async function burst({ random, tally, proactor }: Surroundings): Promise<void> {
  const count = 50 + random.below(400);
  const nops = Array.from({ length: count }, (_, index) => proactor.nop(index));
  const sleeps = Array.from({ length: count }, () => sleep(1 + random.below(3), { proactor }));
  await sleep(0, { proactor });
  sleepSync(5);
  for (const [index, result] of (await Promise.all(nops)).entries()) if (result !== index) tally.find(`no-op ${index} got ${result}`);
  await Promise.all(sleeps);
}

/** Never early; an aborted one at once. */
export async function timers({ random, tally, proactor }: Surroundings): Promise<void> {
  await Promise.all(Array.from({ length: 50 }, async () => {
    const milliseconds = random.below(30);
    const started = performance.now();
    const isOver = await sleep(milliseconds, { proactor, ...limits(random) }).then(() => true, (error: unknown) => {
      if (!tally.isAborted(error)) throw error;
      return false;
    });
    if (isOver && performance.now() - started < milliseconds - 1) tally.find(`a sleep of ${milliseconds} ms was early`);
    tally.add('sleeps');
  }));
  let ticks = 0;
  for await (const _ of interval(1 + random.below(4), { proactor })) if ((ticks += 1) === 5) break;
}
