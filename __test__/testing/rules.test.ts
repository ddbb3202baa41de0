/**
 * Description: a simulated ring is stricter than a real one. What the library must never do (use a descriptor after its
 * close, own a block twice, touch memory that the kernel has, leave something behind) is an error that carries the seed.
 */
import test from 'ava';
import { open } from 'ritsu';
import { SimulationError, simulate } from 'ritsu/testing';
import type { Simulation } from 'ritsu/testing';
import { Block } from '../../dist/memory/block.js';
import { Opcode, Operation } from '../../dist/op.js';
import { fileOf } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { closeAll, endsOf } from '../support/simulated.ts';

/** An op that the library would not make, begun all the same. */
function begin(simulation: Simulation, make: (operation: Operation<number>) => void): Operation<number> {
  const operation = new Operation<number>(Opcode.READ, (_, { result }) => result);
  make(operation);
  internals(simulation.proactor).start(operation);
  return operation;
}

test('rules: a descriptor that is used after its close is an error with the seed', async (t) => {
  const simulation = simulate({ seed: 'used after close' });
  const ends = await endsOf(simulation);
  await closeAll(ends);
  const error = t.throws(() => begin(simulation, (operation) => (operation.descriptor = 0)), { instanceOf: SimulationError });
  t.is(error.seed, 'used after close');
  t.regex(error.message, /RITSU_SEED=used after close/);
  await t.throwsAsync(simulation.close(), { instanceOf: SimulationError });
});

test('rules: a block that two ops own is an error', async (t) => {
  const simulation = simulate({ seed: 1 });
  const { proactor } = simulation;
  const file = await open(fileOf(Buffer.alloc(100)), { proactor });
  const lease = await file.allocator().read({ position: 0 });
  const id = internals(proactor).backend.allocate(64);
  const block = new Block(id, 64, 'own', internals(proactor).backend);
  block.memory = internals(proactor).backend.expose(block);
  const owning = (operation: Operation<number>): void => {
    Object.assign(operation, { descriptor: 0, block, length: 64, position: 0 });
  };
  begin(simulation, owning);
  t.throws(() => begin(simulation, owning), { instanceOf: SimulationError, message: /a block that it may not use/ });
  lease?.release();
  void file.close();
});

test('rules: memory that is moved away, or changed, while the kernel has it, is an error', async (t) => {
  for (const [what, meddle] of [
    ['moved away', (block: Block) => block.memory!.transfer()],
    ['changed', (block: Block) => new Uint8Array(block.memory!).fill(1)],
  ] as const) {
    const simulation = simulate({ seed: what, pace: 'manual' });
    const { proactor } = simulation;
    const [file] = await Promise.all([open(fileOf(Buffer.alloc(100)), { flags: 'r+', proactor }), simulation.settled()]);
    const block = new Block(internals(proactor).backend.allocate(64), 64, 'own', internals(proactor).backend);
    block.memory = internals(proactor).backend.expose(block);
    begin(simulation, (operation) => {
      Object.assign(operation, { opcode: Opcode.WRITE, descriptor: 0, block, length: 64, position: 0 });
    });
    meddle(block);
    t.throws(() => {
      while (simulation.step());
    }, { instanceOf: SimulationError, message: new RegExp(`was ${what} while`) });
    void file.close();
  }
});

test('close() says what is left: descriptors, leases', async (t) => {
  const simulation = simulate({ seed: 'left' });
  const file = await open(fileOf(Buffer.alloc(100)), { proactor: simulation.proactor });
  const bytes = await file.allocator().read();
  const error = await t.throwsAsync(simulation.close(), { instanceOf: SimulationError });
  t.regex(error.message, /blocks out of their pool 1/);
  bytes!.release();
  await file.close();
});
