/**
 * Many small runs on a simulated ring, each decided by its seed. A run that fails says how to repeat it alone:
 * `RITSU_SEED=<seed> node node_modules/ava/entrypoints/cli.js <file>`.
 */
import { connect, listen } from 'ritsu';
import type { Stream } from 'ritsu';
import { simulate } from 'ritsu/testing';
import type { Simulation, SimulationOptions } from 'ritsu/testing';
import { Random } from './random.ts';

/** The seeds of a property: 1, 2, 3 .. or the one that the environment names. */
export function seedsOf(count: number): string[] {
  const given = process.env['RITSU_SEED'];
  return given === undefined || given === '' ? Array.from({ length: count }, (_, index) => String(index + 1)) : [given];
}

/** The program's own random numbers, which are not the ring's. */
export function randomOf(seed: string): Random {
  return new Random([...Buffer.from(`program ${seed}`)].reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5));
}

/** Rounds without an event of the ring, in which a slow program may take what has come, until it counts as stuck. */
const ROUNDS = 5000;

/** The result of a program, or an error when nothing can happen any more and it still waits. */
async function finished<T>(simulation: Simulation, program: Promise<T>): Promise<T> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  program.then(over, over);
  for (let round = 0; !isOver && round < ROUNDS; round += 1) {
    const before = simulation.digest;
    await simulation.settled();
    if (simulation.digest !== before) round = -1;
  }
  if (isOver) return program;
  const waiting = simulation.proactor.inflight().map(({ opcode }) => opcode);
  throw new Error(`stuck; in flight: ${waiting.join(', ') || 'nothing'}\n${simulation.trace.slice(-30).join('\n')}`);
}

export type Program<T> = (simulation: Simulation, random: Random) => Promise<T>;

/** One run: a program on a ring of its own, which must be whole in the end. Errors name the seed. */
export async function runSeed<T>(seed: string, options: (random: Random) => SimulationOptions, program: Program<T>): Promise<T> {
  const random = randomOf(seed);
  const simulation = simulate({ ...options(random), seed });
  try {
    const result = await finished(simulation, program(simulation, random));
    await finished(simulation, simulation.close());
    return result;
  } catch (error) {
    throw new Error(`RITSU_SEED=${seed}: ${(error as Error).message}`, { cause: error });
  }
}

/** A connection that exists only in the simulation. */
export interface Ends {
  readonly near: Stream;
  readonly far: Stream;
}

export async function endsOf({ proactor }: Simulation): Promise<Ends> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const { port } = listener.address();
  const [near, far] = await Promise.all([connect({ port, host: '127.0.0.1', proactor }), listener.accept()]);
  await listener.close();
  return { near, far };
}

export async function closeAll({ near, far }: Ends): Promise<void> {
  await Promise.all([near.close(), far.close()]);
}
