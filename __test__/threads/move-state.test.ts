/**
 * Description: the word of a hand-over, in every order of its steps: two takers, one who revokes, one who closes the old
 * descriptor when it is not needed, each of which may end before any of its steps. The steps are the library's own
 * functions on a real word; the descriptor is modelled: once closed, its number is somebody else's file.
 *
 * What turns it red: a change that is not one atomic step or does not wake who waits for it; two takers that have it; a
 * taker that has a duplicate of somebody else's file; a descriptor that nobody closes. Three wrong protocols show that
 * the search finds these.
 */
import test from 'ava';
import * as real from '../../dist/move-state.js';

type Steps = Pick<typeof real, 'claim' | 'settle' | 'release' | 'revokeFrom' | 'isPending'>;

interface Taker {
  readonly at: 'claim' | 'duplicate' | 'settle' | 'release' | 'over' | 'dead';
  readonly duplicate: 'right' | 'wrong' | undefined;
  readonly owns: boolean;
}

interface World {
  readonly word: number;
  readonly takers: readonly Taker[];
  /** Which state the one who revokes tries next; undefined: it has not begun; -1: it is done. */
  readonly revoking: number | undefined;
  readonly watcher: 'awake' | 'asleep' | 'done';
  readonly isOldOpen: boolean;
}

const word = new Int32Array(new SharedArrayBuffer(4));
const FRESH: Taker = { at: 'claim', duplicate: undefined, owns: false };
const START: World = { word: real.OFFERED, takers: [FRESH, FRESH], revoking: undefined, watcher: 'awake', isOldOpen: true };

/** Do a step on the real word; the world with what it made of it, and the watcher awake if it was notified. */
function act<T>(world: World, step: () => T): readonly [World, T] {
  const { notify } = Atomics;
  let notified = false;
  word[0] = world.word;
  Atomics.notify = () => {
    notified = true;
    return 1;
  };
  try {
    const result = step();
    const watcher = notified && world.watcher === 'asleep' ? 'awake' : world.watcher;
    return [{ ...world, word: word[0], watcher }, result];
  } finally {
    Atomics.notify = notify;
  }
}

function withTaker(world: World, index: number, taker: Taker): World {
  return { ...world, takers: world.takers.with(index, taker) };
}

function takerSteps(world: World, index: number, steps: Steps): World[] {
  const taker = world.takers[index]!;
  if (taker.at === 'over' || taker.at === 'dead') return [];
  const next = [withTaker(world, index, { ...taker, at: 'dead' })];
  if (taker.at === 'claim') {
    const [after, claimed] = act(world, () => steps.claim(word));
    next.push(withTaker(after, index, { ...taker, at: claimed ? 'duplicate' : 'over' }));
  } else if (taker.at === 'duplicate') {
    next.push(withTaker(world, index, { ...taker, at: 'settle', duplicate: world.isOldOpen ? 'right' : 'wrong' }));
    next.push(withTaker(world, index, { ...taker, at: 'release' }));
  } else if (taker.at === 'settle') {
    const [after, owns] = act(world, () => steps.settle(word));
    next.push(withTaker(after, index, { ...taker, at: 'over', owns }));
  } else {
    const [after] = act(world, () => steps.release(word));
    next.push(withTaker(after, index, { ...taker, at: 'over' }));
  }
  return next;
}

function revokerSteps(world: World, steps: Steps): World[] {
  if (world.revoking === -1) return [];
  const from = world.revoking ?? real.OFFERED;
  const [after, was] = act(world, () => steps.revokeFrom(word, from));
  const isDone = was === from || was === real.TAKEN || was === real.REVOKED;
  return [{ ...after, revoking: isDone ? -1 : from === real.OFFERED ? real.TAKING : real.OFFERED }];
}

/** It looks, and sleeps if it is not the time: one step, since the wait compares the word. */
function watcherSteps(world: World, steps: Steps): World[] {
  if (world.watcher !== 'awake') return [];
  return [steps.isPending(world.word) ? { ...world, watcher: 'asleep' } : { ...world, watcher: 'done', isOldOpen: false }];
}

function wrongIn(world: World, isLast: boolean): string | undefined {
  const owners = world.takers.filter(({ owns }) => owns);
  if (owners.length > 1) return 'two have it';
  if (owners.some(({ duplicate }) => duplicate !== 'right')) return 'it is somebody else’s file';
  if (owners.length === 1 && world.word !== real.TAKEN) return 'it is taken, and the word says otherwise';
  if (isLast && world.isOldOpen) return 'nobody closes it';
  return undefined;
}

/** Every world that can be reached, once; what is wrong in any of them. */
function explore(steps: Steps): { readonly worlds: number; readonly wrong: readonly string[] } {
  const seen = new Set<string>();
  const wrong = new Set<string>();
  const open = [START];
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    const key = JSON.stringify({ ...world, revoking: world.revoking ?? 'not begun' });
    if (seen.has(key)) continue;
    seen.add(key);
    const next = [...world.takers.flatMap((_, index) => takerSteps(world, index, steps)), ...revokerSteps(world, steps), ...watcherSteps(world, steps)];
    // Nobody can do anything any more; the one who revokes always can before it has.
    const complaint = wrongIn(world, next.length === 0);
    if (complaint !== undefined) wrong.add(complaint);
    open.push(...next);
  }
  return { worlds: seen.size, wrong: [...wrong].toSorted() };
}

test('in every order of its steps one at most has it, and it is closed', (t) => {
  const { worlds, wrong } = explore(real);
  t.deepEqual(wrong, []);
  t.true(worlds > 300, `${worlds} worlds`);
  t.log(`${worlds} worlds`);
});

test('the search finds what is wrong with other protocols', (t) => {
  const store = (state: Int32Array, value: number): void => {
    Atomics.store(state, 0, value);
    Atomics.notify(state, 0);
  };
  const settlesBlindly = { ...real, settle: (state: Int32Array) => (store(state, real.TAKEN), true) };
  t.true(explore(settlesBlindly).wrong.includes('it is somebody else’s file'));
  const claimsBlindly = { ...real, claim: (state: Int32Array) => Atomics.load(state, 0) === real.OFFERED };
  t.true(explore({ ...claimsBlindly, settle: settlesBlindly.settle }).wrong.includes('two have it'));
  const wakesNobody = { ...real, settle: (state: Int32Array) => Atomics.compareExchange(state, 0, real.TAKING, real.TAKEN) === real.TAKING };
  t.deepEqual(explore(wakesNobody).wrong, ['nobody closes it']);
});

test('revoke ends whatever it meets', (t) => {
  for (const [before, after] of [[real.OFFERED, real.REVOKED], [real.TAKING, real.REVOKED], [real.TAKEN, real.TAKEN], [real.REVOKED, real.REVOKED]] as const) {
    word[0] = before;
    t.is(real.revoke(word), before);
    t.is(word[0], after);
  }
});
