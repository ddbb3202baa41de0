/**
 * Random records written straight into the page: `fuzz-records <records> <seed> <directory>`. A model says which of
 * them must be answered: those whose slot is free and whose generation is right, once each, whatever else they say.
 */
import * as fs from 'node:fs';
import { Layout, loadNative } from '../../dist/backend/native.js';
import { MORE, OPCODE_NAMES, Opcode, SELECTED } from '../../dist/op.js';
import { Random } from '../support/random.ts';
import { FuzzPage, SLOTS } from './fuzz-page.ts';
import { ensure, report } from './report.ts';

const [total = 0, seed = 0] = process.argv.slice(2, 4).map(Number);
process.chdir(process.argv[4]!);
fs.writeFileSync('a', Buffer.alloc(65_536, 'a'));
fs.writeFileSync('b', '');
fs.mkdirSync('directory');
fs.symlinkSync('a', 'link');

const FREE = -1;
/** Stands for every opcode that is none. */
const UNKNOWN = 1000;
/** How often each opcode was answered well, and each answer otherwise. */
const good: Record<string, number> = {};
const bad: Record<string, number> = {};
const random = new Random(seed);
const generations = new Uint32Array(SLOTS);
/** Opcode of the record that has the slot. */
const slots = new Int32Array(SLOTS).fill(FREE);
const descriptors: number[] = [];
const views = new Map<number, ArrayBuffer>();
const pins = new Map<number, ArrayBuffer>();
let busy = 0;
let thrown = 0;
let caught = 0;
let answered = 0;

const { NativeProactor } = loadNative();
const config = { entries: 64, completionEntries: 256, inFlightMax: SLOTS, registeredBytesMax: 2 ** 20 };
const native = new NativeProactor(config, dispatch);
const rows = native.createPool([[4096, 32], [16_384, 8]], false);
const poolBlocks = rows.flatMap(([, first, , count]) => Array.from({ length: count }, (_, index) => first + index));
for (const [, first, , count] of rows) native.registerPool(first, count);
const blocks = [...poolBlocks];
const page = new FuzzPage(native.page(), random, {
  blocks,
  groups: rows.map(([group]) => group),
  descriptors,
  generations,
  freeSlot: () => {
    const from = random.below(SLOTS);
    for (let step = 0; step < 32; step += 1) if (slots[(from + step) % SLOTS] === FREE) return (from + step) % SLOTS;
    return undefined;
  },
  busySlot: () => random.below(SLOTS),
});

/** The model's half of a submission: Rust takes the records in this order. */
function expect(claimed: number): void {
  for (let index = 0; index < Math.min(claimed, Layout.SUBMISSION_COUNT); index += 1) {
    const word = (Layout.SUBMISSIONS + index * Layout.SUBMISSION_SIZE) / 4;
    const [opcode, slot, generation] = page.words.subarray(word, word + 3) as unknown as [number, number, number];
    if (opcode === Opcode.CANCEL || slot >= SLOTS || slots[slot] !== FREE || generations[slot] !== generation) continue;
    slots[slot] = Math.min(opcode, UNKNOWN);
    busy += 1;
  }
}

function checkCompletion(word: number): void {
  const { words, doubles } = page;
  const [slot, generation] = [words[word]!, words[word + 1]!];
  const result = words[word + 2]! | 0;
  const flags = words[word + 3]!;
  ensure(slot < SLOTS && slots[slot] !== FREE && generations[slot] === generation, `nobody waits for ${slot}/${generation}`);
  ensure(flags < 8 && (flags & MORE) === 0, `flags ${flags}`);
  if ((flags & SELECTED) !== 0) ensure(poolBlocks.includes(words[word + 4]!), `block ${words[word + 4]}`);
  const opcode = slots[slot]!;
  // A no-op may carry whatever result it shall have.
  ensure(opcode === Opcode.NOP || result >= -4095 || (result >= -10_006 && result <= -10_001), `result ${result}`);
  if (opcode === Opcode.OPEN && result === 0) descriptors.push(doubles[word / 2 + 3]!);
  if (opcode === Opcode.STATX && result === 0) ensure(words[word + 5]! + 160 <= Layout.RESULTS_SIZE, 'a status beyond the arena');
  const [counts, kind] = result >= 0 ? [good, OPCODE_NAMES[opcode]!] : [bad, String(opcode === Opcode.NOP ? 'NOP' : result)];
  counts[kind] = (counts[kind] ?? 0) + 1;
  slots[slot] = FREE;
  generations[slot] = (generation + 1) & 0xff_ffff;
  busy -= 1;
  answered += 1;
}

function dispatch(count: number): void {
  for (let index = 0; index < count; index += 1) {
    checkCompletion((Layout.COMPLETIONS + index * Layout.COMPLETION_SIZE) / 4);
  }
  while (descriptors.length > 150) descriptors.splice(random.below(descriptors.length), 1);
  if (random.chance(0.2)) meddle();
  if (random.chance(0.001)) {
    thrown += 1;
    throw new Error('on purpose');
  }
}

/** Whatever else JavaScript may do, also from inside a dispatch. Errors are none of our concern here. */
const MEDDLING: readonly (() => unknown)[] = [
  () => native.flush(),
  () => native.collected(),
  () => native.capability(),
  () => native.reference(),
  () => native.setKeepAlive(random.chance(0.5)),
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
];

function meddle(): void {
  try {
    random.pick(MEDDLING)();
  } catch (error) {
    const { code } = error as { code?: string };
    ensure(error instanceof Error && typeof code === 'string', `an error without a code: ${String(error)}`);
  }
}

process.on('uncaughtException', (error) => {
  if (error.message !== 'on purpose') {
    report({ failed: error.stack });
    process.exit(5);
  }
  caught += 1;
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
let written = 0;
while (written < total) {
  const count = random.chance(0.004) ? Layout.SUBMISSION_COUNT : 1 + random.below(40);
  if (random.chance(0.05)) page.fillArguments();
  for (let index = 0; index < count; index += 1) page.writeRecord(index);
  written += count;
  const claimed = random.chance(0.01) ? random.pick([count + 1, 1025, 0xffff_ffff]) : count;
  page.words[0] = claimed;
  page.words[1] = random.chance(0.1) ? random.bits() : 0;
  expect(claimed);
  if (random.chance(0.5)) native.flush();
  await turn();
  if (random.chance(0.3)) meddle();
  if (busy > SLOTS / 2) native.cancelAll();
  if (random.chance(0.001)) report({ written, answered, busy });
}

const deadline = Date.now() + 20_000;
while (busy > 0 && Date.now() < deadline) {
  native.cancelAll();
  await turn();
}
native.flush();
const counter = (index: number): number => page.doubles[Layout.COUNTERS / 8 + index]!;
const [faults, stale, inFlight, leaked] = [7, 10, 15, 19].map(counter);
report({ written, answered, busy, thrown, caught, good, bad, faults, stale, inFlight, leaked });
native.close(() => report({ closed: true }));
