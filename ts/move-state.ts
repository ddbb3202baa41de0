/**
 * How far a hand-over is: one word of memory that both threads have. Each change is one atomic step, so whoever comes
 * second sees that it did, and either thread may end between any two of them.
 *
 *     OFFERED <── release ── TAKING        the duplicate could not be made: another may try
 *     OFFERED ── claim ────> TAKING ── settle ──> TAKEN
 *        └────────┬─── revoke ───┘
 *                 └──> REVOKED
 *
 * The old thread keeps its descriptor open in OFFERED and TAKING and closes it in the other two, which nothing leaves. A
 * taker makes its duplicate while TAKING and may use it only if `settle` was true: then the descriptor was open all the
 * time, and no other taker has one. Otherwise it may have duplicated whatever has the number by then, and drops it.
 * `__test__/threads/move-state.test.ts` tries every order of these steps.
 */
export const OFFERED = 0;
export const TAKING = 1;
export const TAKEN = 2;
export const REVOKED = 3;

function change(state: Int32Array, from: number, to: number): number {
  const was = Atomics.compareExchange(state, 0, from, to);
  if (was === from) Atomics.notify(state, 0);
  return was;
}

/** Become the one who takes it. */
export function claim(state: Int32Array): boolean {
  return change(state, OFFERED, TAKING) === OFFERED;
}

/** The duplicate is made. False: it was revoked meanwhile, the duplicate is to be dropped. */
export function settle(state: Int32Array): boolean {
  return change(state, TAKING, TAKEN) === TAKING;
}

/** No duplicate could be made. */
export function release(state: Int32Array): void {
  change(state, TAKING, OFFERED);
}

/** One step of `revoke`: what it was. */
export function revokeFrom(state: Int32Array, from: number): number {
  return change(state, from, REVOKED);
}

/** Nobody shall take it any more; the state in which that found it. */
export function revoke(state: Int32Array): number {
  for (let from = OFFERED; ; from = from === OFFERED ? TAKING : OFFERED) {
    const was = revokeFrom(state, from);
    if (was === from || was === TAKEN || was === REVOKED) return was;
  }
}

/** The old thread still needs its descriptor. */
export function isPending(state: number): boolean {
  return state === OFFERED || state === TAKING;
}
