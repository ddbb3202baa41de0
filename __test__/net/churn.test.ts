/**
 * Description: connections that come, talk and die at random points, on both sides, for a while: memory stays flat, and
 * nothing is left open. With RITSU_TEST_FULL=1 for five minutes on each backend.
 *
 * What turns it red: a descriptor, slot or block that is lost when a connection dies at the wrong moment; memory that
 * grows with the connections; an error that nobody expects; a hang.
 */
import { endedWith, reported, runProgram } from '../support/child.ts';
import { onEach } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import { sized } from '../support/size.ts';

const SECONDS = sized(5, 300);
/** Of JavaScript's heap, after collection: a hundred bytes for each connection would show. */
const HEAP_GROWTH_MAX = 4 << 20;
/** Of the process: the pool's and the allocator's pages are touched one after another at first. */
const RESIDENT_GROWTH_MAX = sized(128, 32) << 20;

type Resources = Record<'descriptorsOpen' | 'inFlight' | 'blocksBusy' | 'stale' | 'faults' | 'leakedBytes' | 'residentBytes' | 'heapBytes' | 'descriptors', number>;

onEach('churn', async (t, _proactor, backend) => {
  t.timeout((SECONDS + 120) * 1000);
  const args = [backend, SECONDS, 11, freshPath('socket')];
  const options = { nodeOptions: ['--expose-gc'], timeoutMs: (SECONDS + 60) * 1000 };
  const ended = await runProgram('socket-churn', args, options);
  endedWith(t, ended, 0);
  const { connections, unexpected, ended: whole, ...rounds } = reported(ended);
  t.true(whole);
  t.deepEqual(unexpected, []);
  t.true(Number(connections) > SECONDS * 100, `${String(connections)} connections`);
  const all = Object.values(rounds) as Resources[];
  t.is(all.length, 5);
  for (const { descriptorsOpen, inFlight, blocksBusy, stale, faults, leakedBytes, descriptors } of all) {
    t.deepEqual({ descriptorsOpen, inFlight, blocksBusy, stale, faults, leakedBytes }, {
      descriptorsOpen: 0, inFlight: 0, blocksBusy: 0, stale: 0, faults: 0, leakedBytes: 0,
    });
    t.is(descriptors, all[0]!.descriptors);
  }
  const [, first, , , last] = all as [Resources, Resources, Resources, Resources, Resources];
  const heap = last.heapBytes - first.heapBytes;
  const resident = last.residentBytes - first.residentBytes;
  t.log(`${String(connections)} connections; heap ${Math.round(heap / 1024)} KiB more, resident ${Math.round(resident / 1024)} KiB more`);
  t.true(heap < HEAP_GROWTH_MAX, `${heap} bytes of heap more`);
  t.true(resident < RESIDENT_GROWTH_MAX, `${resident} bytes more`);
});
