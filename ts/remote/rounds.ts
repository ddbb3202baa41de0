/**
 * Whose turn it is: of each guest of this thread only so many records are begun before the others have theirs, and only so
 * many in a row before the loop looks for messages again. So a guest with one record waits for a few turns, however many
 * the others have. A round begins once the loop has taken the messages of all ports: none is first for having been looked
 * at first.
 */
import { Fifo } from '../fifo.js';

/** Records of one guest that are begun before the next guest has its turn. */
const TURN = 64;
/** Turns that are had before the loop looks for messages again, so that who has just come waits no longer. */
const TURNS = 8;

interface TurnTaker {
  /** Begin so many of what waits; whether there is more. */
  begin(count: number): boolean;
}

const waiting = new Fifo<TurnTaker>();
let serving = false;

/** Have the taker begin what it has, when it is its turn. Not again before `begin` has returned false. */
export function awaitTurn(taker: TurnTaker): void {
  waiting.push(taker);
  scheduleServing();
}

function scheduleServing(): void {
  if (serving) return;
  serving = true;
  setImmediate(serve);
}

function serve(): void {
  serving = false;
  for (let turn = 0; turn < TURNS; turn += 1) {
    const taker = waiting.shift();
    if (taker === undefined) return;
    if (taker.begin(TURN)) waiting.push(taker);
  }
  if (waiting.length > 0) scheduleServing();
}
