/** Every engine that is compared: node:fs first, which sizes the plans, then ritsu's styles. */
import type { Style } from '../index.js';
import type { RandomEngine, SequentialEngine } from './engine.js';
import { nodeRandom, nodeSequential } from './node-engines.js';
import { ritsuRandom, ritsuSequential } from './ritsu-engines.js';

function chosen<E extends { readonly style: Style | undefined }>(engines: readonly E[], styles: readonly Style[]): E[] {
  return engines.filter(({ style }) => style === undefined || styles.includes(style));
}

export function randomEngines(styles: readonly Style[]): RandomEngine[] {
  return chosen([...nodeRandom, ...ritsuRandom], styles);
}

export function sequentialEngines(styles: readonly Style[]): SequentialEngine[] {
  return chosen([...nodeSequential, ...ritsuSequential], styles);
}
