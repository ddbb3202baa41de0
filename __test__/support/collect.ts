/** The garbage collector, asked until something that shall follow from it has happened. */
const { gc } = globalThis as { gc?: () => void };

export async function collectUntil(done: () => boolean, rounds = 50): Promise<boolean> {
  if (gc === undefined) throw new Error('run with --expose-gc');
  for (let round = 0; round < rounds && !done(); round += 1) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return done();
}

export async function collect(): Promise<void> {
  await collectUntil(() => false, 3);
}
