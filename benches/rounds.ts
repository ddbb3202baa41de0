/** Engines in turns (A B A B ...), so that a busy minute of the machine meets all of them. */
import type { Participant } from './engines/engine.ts';
import { straceAvailable } from './engines/provision.ts';
import type { Measurement } from './plan.ts';
import type { Outcome } from './report.ts';
import type { Settings } from './settings.ts';

/** What is done with each engine. `run` throws when a byte was not right. */
export interface Work<E extends Participant> {
  run(engine: E): Promise<Measurement>;
  syscallsPerOperation(engine: E): Promise<number>;
  /** All of them in one round, in short turns, where that can be: closer than one after the other. */
  together?(engines: readonly E[]): Promise<readonly PromiseSettledResult<Measurement>[]>;
}

/** An engine that fails is out; the others go on. */
export async function runRounds<E extends Participant>(
  title: string,
  engines: readonly E[],
  { runs, syscalls }: Pick<Settings, 'runs' | 'syscalls'>,
  work: Work<E>,
): Promise<Outcome[]> {
  const results = new Map<E, Measurement[]>();
  const failures = new Map<E, string>();
  const counted = new Map<E, number>();
  const attempt = async (engine: E, what: () => Promise<void>): Promise<void> => {
    if (engine.available() !== true || failures.has(engine)) return;
    await what().catch((error: Error) => failures.set(engine, error.message));
  };
  const keep = (engine: E, result: Measurement): void => void results.set(engine, [...(results.get(engine) ?? []), result]);
  for (let round = 0; round < runs; round += 1) {
    const name = `${title}: round ${round + 1} of ${runs}`;
    if (work.together !== undefined) {
      progress(name);
      const able = engines.filter((engine) => engine.available() === true && !failures.has(engine));
      for (const [index, settled] of (await work.together(able)).entries()) {
        if (settled.status === 'fulfilled') keep(able[index]!, settled.value);
        else failures.set(able[index]!, (settled.reason as Error).message);
      }
      continue;
    }
    for (const engine of engines) {
      progress(`${name}, ${engine.name}`);
      await attempt(engine, async () => keep(engine, await work.run(engine)));
    }
  }
  if (syscalls && straceAvailable() === true) {
    for (const engine of engines) {
      progress(`${title}: system calls of ${engine.name}`);
      await attempt(engine, async () => void counted.set(engine, await work.syscallsPerOperation(engine)));
    }
  }
  progress('');
  return engines.map((engine) => outcomeOf(engine, results.get(engine), failures.get(engine), counted.get(engine)));
}

function outcomeOf(engine: Participant, results: readonly Measurement[] = [], failure?: string, syscalls?: number): Outcome {
  const available = engine.available();
  return {
    engine,
    results: failure === undefined ? results : [],
    ...(available !== true && { absent: available }),
    ...(failure !== undefined && { failure }),
    ...(syscalls !== undefined && { syscallsPerOperation: syscalls }),
  };
}

/** One line that is written over; nothing where nobody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[2K${text}`);
}
