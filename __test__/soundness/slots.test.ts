/** Description: a completion that comes late, or twice, reaches no other operation: also where no Rust stands in between. */
import test from 'ava';
import type { Backend } from '../../dist/backend/backend.js';
import { Inflight } from '../../dist/inflight.js';
import { Liveness } from '../../dist/liveness.js';
import { Opcode, Operation } from '../../dist/op.js';
import type { Completion } from '../../dist/op.js';

/** One slot, and a backend that does nothing by itself. */
function oneSlot(): { inflight: Inflight; cancelled: unknown[] } {
  const cancelled: unknown[] = [];
  const backend = { inFlightMax: 1, encode() {}, cancel: (operation: unknown) => cancelled.push(operation) };
  return { inflight: new Inflight(backend as unknown as Backend, new Liveness(() => {})), cancelled };
}

const completion = (generation: number, result: number): Completion =>
  ({ slot: 0, generation, result, flags: 0, block: 0, extra: 0, value: 0 });

const echo = (): Operation<unknown> => new Operation<unknown>(Opcode.NOP, (_, { result }) => result);

// Red without the look at the generation in `Inflight.settle` (ts/inflight.ts).
test('S16: a completion of an old generation settles nobody, and is counted', async (t) => {
  const { inflight } = oneSlot();
  const [first, second] = [echo(), echo()];
  inflight.submit(first);
  inflight.submit(second);
  inflight.settle(completion(0, 1));
  t.is(await first.promise, 1);
  t.is(inflight.count, 1, 'the second has the slot');
  inflight.settle(completion(0, 1));
  inflight.settle(completion(7, 1));
  t.false(second.settled);
  t.is(inflight.stale, 2);
  inflight.settle(completion(1, 2));
  t.is(await second.promise, 2);
});

// Red without the look at `settled` in `Inflight.cancel` (ts/inflight.ts).
test('S16: a cancel that comes late asks for nothing', async (t) => {
  const { inflight, cancelled } = oneSlot();
  const [first, second] = [echo(), echo()];
  inflight.submit(first);
  inflight.submit(second);
  inflight.settle(completion(0, 1));
  inflight.cancel(first, 'abort');
  t.deepEqual(cancelled, []);
  inflight.cancel(second, 'abort');
  t.deepEqual(cancelled, [second]);
  inflight.settle(completion(1, 2));
  t.is(await second.promise, 2);
});
