/**
 * Short turns: of several processes one runs at a time, and the others are stopped. So what the machine does for half a second, or for half
 * a minute, meets all of them alike; see docs/decisions/0021.
 */
import { performance } from 'node:perf_hooks';

const TURN_MS = 250;

/** A process whose work has an end. */
export interface TurnTaker {
  readonly pid: number;
  /** Settles when its work is over. */
  readonly done: Promise<unknown>;
  /** How long each of its turns is; a quarter of a second where not given. */
  readonly turnMs?: number;
}

/** Signal a process that may have ended by itself. */
function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Who is stopped would not notice that we have gone. */
const held = new Set<number>();
process.once('exit', () => held.forEach(release));

/** Keep it from running until its turn comes. */
export function hold(pid: number): void {
  held.add(pid);
  signal(pid, 'SIGSTOP');
}

/** Let it run again. */
export function release(pid: number): void {
  held.delete(pid);
  signal(pid, 'SIGCONT');
}

/** Let those that are held run in turns, to and fro, until all are done; how many seconds each ran. */
export async function inTurns(takers: readonly TurnTaker[]): Promise<number[]> {
  const seconds = takers.map(() => 0);
  const pending = new Set(takers.keys());
  const ends = takers.map(({ done }, index) => done.then(() => {}, () => {}).then(() => pending.delete(index)));
  for (let forwards = true; pending.size > 0; forwards = !forwards) {
    const order = [...pending];
    for (const index of forwards ? order : order.toReversed()) {
      const { pid, turnMs = TURN_MS } = takers[index]!;
      const begun = performance.now();
      release(pid);
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([ends[index], new Promise((resolve) => (timer = setTimeout(resolve, turnMs)))]);
      clearTimeout(timer);
      if (pending.has(index)) hold(pid);
      seconds[index]! += (performance.now() - begun) / 1000;
    }
  }
  return seconds;
}
