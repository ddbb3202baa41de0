/**
 * Description: the records between two threads, against a list: what is read is what was written, each once, in order, with
 * what it names, whatever the sizes of turns and however far the reader is behind. The memory has room for few, so that
 * places are used again and most turns have some that had no room.
 *
 * What turns it red: a place that is written before its reader is done with it; a record that is told of twice or not;
 * others that overtake; the part of another turn.
 */
import { MessageChannel, Worker, receiveMessageOnPort } from 'node:worker_threads';
import test from 'ava';
import fc from 'fast-check';
import { RecordReader, RecordWriter, sharedRecords } from '../../dist/remote/records.js';
import type { Batch } from '../../dist/remote/records.js';
import { sized } from '../support/size.ts';

const FIELDS = 3;

interface Step {
  /** Records that are written and sent in one turn; those of an odd number have a part. */
  readonly write: number;
  /** Records that are read then, if there are so many. */
  readonly read: number;
}

/** Do the steps through a real port and a memory of so many records; what was read, in order. */
function pass(steps: readonly Step[], capacity: number): { written: number[]; read: number[]; wrong: string[]; most: number } {
  const { port1, port2 } = new MessageChannel();
  const memory = sharedRecords(FIELDS, capacity);
  const writer = new RecordWriter<ArrayBuffer>(memory, FIELDS);
  const reader = new RecordReader<ArrayBuffer>(memory, FIELDS);
  const written: number[] = [];
  const read: number[] = [];
  const wrong: string[] = [];
  let most = 0;
  const write = (count: number): void => {
    for (let left = count; left > 0; left -= 1) {
      const number = written.length;
      const part = number % 2 === 1 ? Float64Array.of(number).buffer : undefined;
      writer.next();
      const { words, at } = writer;
      words[at] = number;
      words[at + 1] = part === undefined ? -1 : writer.addPart(part, part);
      words[at + 2] = -number;
      written.push(number);
    }
    if (writer.isEmpty) return;
    writer.send(port1);
    const batch = receiveMessageOnPort(port2)!.message as Batch<ArrayBuffer>;
    if (typeof batch !== 'number') most = Math.max(most, batch.others?.length ?? 0);
    reader.add(batch);
  };
  const take = (count: number): void => {
    for (let left = count; left > 0 && reader.next(); left -= 1) {
      const { words, at, parts } = reader;
      const number = words[at]!;
      const index = words[at + 1]!;
      read.push(number);
      if (words[at + 2] !== -number) wrong.push(`the record of ${number} is torn`);
      const part = index < 0 ? undefined : new Float64Array(parts[index]!)[0];
      if (part !== (number % 2 === 1 ? number : undefined)) wrong.push(`${number} has the part of ${part}`);
    }
    reader.release();
  };
  for (const step of steps) {
    write(step.write);
    take(step.read);
  }
  take(Infinity);
  if (!reader.isEmpty || !writer.isEmpty) wrong.push('something is left');
  port1.close();
  return { written, read, wrong, most };
}

test('what is read is what was written', (t) => {
  const step = fc.record({ write: fc.nat({ max: 150 }), read: fc.nat({ max: 150 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 90 }), (steps, capacity) => {
      const { written, read, wrong } = pass(steps, capacity);
      return wrong.length === 0 && read.length === written.length && read.every((number, index) => number === written[index]);
    }),
    { numRuns: sized(200, 5000) },
  );
  t.pass();
});

test('the memory is used again and again, and what has no room goes with its message', (t) => {
  const even = pass(Array.from({ length: 1000 }, () => ({ write: 7, read: 7 })), 8);
  t.like(even, { most: 0, wrong: [] });
  t.deepEqual(even.read, even.written);
  const behind = pass([{ write: 5, read: 0 }, { write: 5, read: 6 }, { write: 5, read: 9 }], 8);
  t.is(behind.most, 2 * FIELDS);
  t.deepEqual(behind.read, behind.written);
});

/** Writes its records in turns of random sizes, faster than they are read. */
const WRITER = `
  const { workerData: { memory, port, count, fields, file } } = require('node:worker_threads');
  import(file).then(({ RecordWriter }) => {
    const writer = new RecordWriter(memory, fields);
    for (let number = 0; number < count; ) {
      for (let left = 1 + (number * 7919) % 97; left > 0 && number < count; left -= 1, number += 1) {
        writer.next();
        writer.words[writer.at] = number;
        writer.words[writer.at + 2] = -number;
      }
      writer.send(port);
    }
  });
`;

test('two threads: no record is torn, lost or early', async (t) => {
  const count = sized(200_000, 5_000_000);
  t.timeout(sized(60_000, 300_000));
  const { port1, port2 } = new MessageChannel();
  const memory = sharedRecords(FIELDS, 128);
  const reader = new RecordReader<ArrayBuffer>(memory, FIELDS);
  const file = new URL('../../dist/remote/records.js', import.meta.url).href;
  const worker = new Worker(WRITER, { eval: true, workerData: { memory, port: port2, count, fields: FIELDS, file }, transferList: [port2] });
  let expected = 0;
  await new Promise<void>((resolve, reject) => {
    worker.on('error', reject);
    port1.on('message', (batch: Batch<ArrayBuffer>) => {
      reader.add(batch);
      while (reader.next()) {
        const { words, at } = reader;
        if (words[at] !== expected || words[at + 2] !== -expected) reject(new Error(`${words[at]} instead of ${expected}`));
        expected += 1;
      }
      reader.release();
      if (expected === count) resolve();
    });
  });
  t.is(expected, count);
  port1.close();
  await worker.terminate();
});
