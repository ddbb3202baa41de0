/**
 * Random records written straight into the page: `fuzz-records <records> <seed> <directory>`. A model says which of
 * them must be answered (`fuzz-model.ts`). At the end everything that was opened is closed, every block that was provided
 * is read into, and nothing is left.
 */
import * as fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import { Layout, loadNative } from '../../dist/backend/native.js';
import { NONE, Opcode } from '../../dist/op.js';
import { Random } from '../support/random.ts';
import { FuzzModel } from './fuzz-model.ts';
import type { Answer } from './fuzz-model.ts';
import { FuzzPage, SLOTS } from './fuzz-page.ts';
import { ensure, report } from './report.ts';

const [total = 0, seed = 0] = process.argv.slice(2, 4).map(Number);
process.chdir(process.argv[4]!);
fs.writeFileSync('a', Buffer.alloc(65_536, 'a'));
fs.writeFileSync('b', '');
// No record can name it: it stays as it is.
fs.writeFileSync('kept', 'kept');
fs.mkdirSync('directory');
fs.symlinkSync('a', 'link');
execFileSync('mkfifo', ['fifo']);

const ENOBUFS = -105;
const EBADF = -9;
const ADDRESSES_MAX = 16;
const LISTENERS_MAX = 20;
/** Where in the header JavaScript says whether the loop is to live on. */
const KEEP_ALIVE = 6;
const random = new Random(seed);
const views = new Map<number, ArrayBuffer>();
const pins = new Map<number, ArrayBuffer>();
/** Encoded addresses of sockets of ours: where to connect and send to. */
const addresses: number[][] = [];
/** Descriptors of the process for `adopt`. */
const fds = [fs.openSync('kept', 'r'), fs.openSync('fifo', 'r+'), fs.openSync('directory', 'r')];
let thrown = 0;
let caught = 0;
let isOver = false;
let heard: ((answer: Answer) => void) | undefined;

const openFds = (): number => fs.readdirSync('/proc/self/fd').length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const { NativeProactor } = loadNative();
await turn();
const fdsBefore = openFds();
const config = { entries: 64, completionEntries: 256, inFlightMax: SLOTS, registeredBytesMax: 2 ** 20 };
const native = new NativeProactor(config, dispatch);
const rows = native.createPool([[4096, 32], [16_384, 8]], false);
const blocksOf = ([, first, , count]: readonly [number, number, number, number]): number[] => Array.from({ length: count }, (_, index) => first + index);
const poolBlocks = rows.flatMap(blocksOf);
for (const [, first, , count] of rows) native.registerPool(first, count);
const blocks = [...poolBlocks];
const model = new FuzzModel(new Map(rows.map((row) => [row[0], new Set(blocksOf(row))])));
const page = new FuzzPage(native.page(), random, {
  blocks,
  groups: rows.map(([group]) => group),
  descriptors: model.descriptors,
  addresses,
  generations: model.generations,
  freeSlot: () => {
    const from = random.below(SLOTS);
    for (let step = 0; step < 32; step += 1) if (model.isFree((from + step) % SLOTS)) return (from + step) % SLOTS;
    return undefined;
  },
  busySlot: () => random.below(SLOTS),
});

function dispatch(count: number): void {
  for (let index = 0; index < count; index += 1) {
    const answer = model.take(page, (Layout.COMPLETIONS + index * Layout.COMPLETION_SIZE) / 4);
    if (answer.result === 0 && (answer.opcode === Opcode.LISTEN || answer.opcode === Opcode.BIND)) note(answer);
    heard?.(answer);
  }
  if (isOver) return;
  if (random.chance(0.2)) meddle();
  if (random.chance(0.001)) {
    thrown += 1;
    throw new Error('on purpose');
  }
}

/** Where a new socket of ours is. */
function note({ value }: Answer): void {
  const address = native.address(value, false);
  if (typeof address === 'number') return;
  ensure(address.length >= 8 && address.length <= 116 && address.every((byte) => byte < 256), `address ${address.join()}`);
  if (addresses.length < ADDRESSES_MAX) addresses.push(address);
  else addresses[random.below(ADDRESSES_MAX)] = address;
}

/** Whatever else JavaScript may do, also from inside a dispatch. Errors are none of our concern here. */
const MEDDLING: readonly (() => unknown)[] = [
  () => native.flush(),
  () => native.collected(),
  () => native.capability(),
  () => native.reference(),
  () => (page.words[KEEP_ALIVE] = random.bits()),
  () => page.scribble(),
  () => views.delete(random.pick(blocks)),
  () => {
    const block = random.pick(blocks);
    views.set(block, native.expose(block));
  },
  () => {
    const block = native.allocate(1 + random.below(20_000));
    blocks.push(block);
    views.set(block, native.expose(block));
  },
  () => {
    const memory = new ArrayBuffer(1 + random.below(20_000));
    const block = native.pin(memory);
    pins.set(block, memory);
    blocks.push(block);
  },
  () => {
    for (const block of pins.keys()) {
      native.unpin(block);
      pins.delete(block);
    }
  },
  () => {
    if (blocks.length > 200) blocks.splice(poolBlocks.length, 50).forEach((block) => views.delete(block));
  },
  () => random.chance(0.02) && globalThis.gc!(),
  () => random.chance(0.1) && native.cancelAll(),
  () => adopt(random.pick(fds)),
  () => socketCalls(random.pick([...model.open])),
  () => ['u1', 'u2', 'u3', 'u4'].forEach((name) => fs.rmSync(name, { force: true })),
  // Listeners and ports are scarce: what is closed here comes again.
  () => model.descriptors.listener.length > LISTENERS_MAX && addresses.splice(0, addresses.length / 2),
];

function adopt(fd: number): void {
  if (model.descriptors.file.length > 100) return;
  const adopted = native.adopt(fd);
  if (typeof adopted === 'number') return;
  model.open.add(adopted[0]);
  model.descriptors.file.push(adopted[0]);
}

function socketCalls(descriptor: number | undefined): void {
  if (descriptor === undefined) return;
  native.address(descriptor, random.chance(0.5));
  native.option(descriptor, random.below(13));
  native.setOption(descriptor, random.below(13), random.pick([-1, 0, 1, 255, 65_536, 2 ** 31 - 1]));
  native.membership(descriptor, random.chance(0.5), [4, 0, 0, 0, 0, 0, 0, 0, 239, 1, 2, 3], [4, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1]);
}

function meddle(): void {
  try {
    random.pick(MEDDLING)();
  } catch (error) {
    const { code } = error as { code?: string };
    ensure(error instanceof Error && typeof code === 'string', `an error without a code: ${(error as Error).stack}`);
  }
}

process.on('uncaughtException', (error) => {
  if (error.message !== 'on purpose') {
    report({ failed: error.stack });
    process.exit(5);
  }
  caught += 1;
});

async function fuzz(): Promise<void> {
  let written = 0;
  while (written < total) {
    const count = random.chance(0.004) ? Layout.SUBMISSION_COUNT : 1 + random.below(40);
    if (random.chance(0.05)) page.fillArguments();
    for (let index = 0; index < count; index += 1) page.writeRecord(index);
    written += count;
    const claimed = random.chance(0.01) ? random.pick([count + 1, 1025, 0xffff_ffff]) : count;
    page.words[1] = random.chance(0.1) ? random.bits() : 0;
    hand(claimed);
    if (random.chance(0.5)) native.flush();
    await turn();
    if (random.chance(0.3)) meddle();
    if (model.busy > SLOTS / 2) native.cancelAll();
    if (random.chance(0.001)) report({ written, answered: model.answered, busy: model.busy });
  }
  report({ written });
}

function hand(claimed: number): void {
  page.words[0] = claimed;
  model.expect(page, claimed);
}

/** Whatever is in flight ends when it is asked to. */
async function settle(): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (model.busy > 0 && Date.now() < deadline) {
    native.cancelAll();
    await turn();
  }
}

/** One record, whose slot is free since all are, and its result. */
async function ask(opcode: number, fields: Readonly<Record<number, number>> = {}, position = 0): Promise<Answer> {
  const { words, doubles } = page;
  const word = Layout.SUBMISSIONS / 4;
  words.fill(0, word, word + Layout.SUBMISSION_SIZE / 4);
  words[word] = opcode;
  words[word + 2] = model.generations[0]!;
  for (const [index, value] of Object.entries(fields)) words[word + Number(index)] = value;
  doubles[word / 2 + 4] = position;
  return new Promise((resolve) => {
    heard = resolve;
    hand(1);
    words[KEEP_ALIVE] = 1;
    native.reference();
  });
}

/** All that was opened is closed, all that was provided comes back, and every block can be used. */
async function restore(): Promise<void> {
  isOver = true;
  for (const descriptor of model.open) {
    const { result } = await ask(Opcode.CLOSE, { 3: descriptor });
    if (result === EBADF) model.open.delete(descriptor);
  }
  const adopted = native.adopt(fds[0]!);
  ensure(typeof adopted !== 'number', `adopting gave ${String(adopted)}`);
  const file = adopted[0];
  for (const [group, , , count] of rows) {
    let answer = await ask(Opcode.READ_SELECT, { 3: file, 4: NONE, 6: 1, 14: group });
    for (let given = 1; answer.result === 1 && given <= count; given += 1) answer = await ask(Opcode.READ_SELECT, { 3: file, 4: NONE, 6: 1, 14: group });
    ensure(answer.result === ENOBUFS, `a group that was emptied answers ${answer.result}`);
  }
  for (const block of poolBlocks) {
    const { result } = await ask(Opcode.READ, { 3: file, 4: block, 6: 1 });
    ensure(result === 1, `reading into block ${block} gave ${result}`);
  }
  await ask(Opcode.CLOSE, { 3: file });
  for (const block of pins.keys()) native.unpin(block);
  views.clear();
  for (let count = 0; count < 10; count += 1) {
    globalThis.gc!();
    await turn();
    native.collected();
  }
}

page.fillArguments();
await fuzz();
await settle();
await restore();
native.flush();
const { answered, busy, more, selected, good, bad } = model;
const counter = (index: number): number => page.doubles[Layout.COUNTERS / 8 + index]!;
const [faults, stale, ownBytes, inFlight, descriptorsOpen, blocksBusy, blocksProvided, leaked] = [7, 10, 14, 15, 16, 17, 18, 19].map(counter);
report({ answered, busy, more, selected, thrown, caught, good, bad, faults });
report({ stale, ownBytes, inFlight, descriptorsOpen, blocksBusy, blocksProvided, leaked });
native.close(() => setImmediate(() => report({ closed: true, fdsLeft: openFds() - fdsBefore })));
