/**
 * Switches of the ring's features. A kernel may have a bug in one of them: then everything goes on without it, as on a
 * kernel that does not have it. Read once, when a proactor is made: the option `disable`, and `RITSU_DISABLE`.
 */
import { argumentTypeError, argumentValueError } from '../errors.js';
import type { Features } from './backend.js';

/** No feature at all. */
export const NOTHING: Features = Object.freeze({
  bufferSelect: false,
  registeredBuffers: false,
  direct: false,
  multishot: false,
  zeroCopy: false,
  deferTaskrun: false,
  nopInject: false,
});

const SWITCHES: readonly FeatureSwitch[] = ['multishot', 'bufferSelect', 'registeredBuffers', 'zeroCopy', 'deferTaskrun'];

/** A feature of the ring that can be done without. */
export type FeatureSwitch = 'multishot' | 'bufferSelect' | 'registeredBuffers' | 'zeroCopy' | 'deferTaskrun';

/** The features that the option or the environment wants off. Throws where one of them names what is no such feature. */
export function switchedOff(disable: unknown): Readonly<Record<string, boolean>> {
  if (disable !== undefined && !Array.isArray(disable)) throw argumentTypeError('disable', 'an array of names', disable);
  const named = (process.env.RITSU_DISABLE ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '');
  return Object.fromEntries([...checked('disable', disable ?? []), ...checked('RITSU_DISABLE', named)].map((name) => [name, true]));
}

function checked(where: string, names: readonly unknown[]): readonly FeatureSwitch[] {
  for (const name of names) {
    if (!SWITCHES.includes(name as FeatureSwitch)) throw argumentValueError(where, `must name features of: ${SWITCHES.join(', ')}`, name);
  }
  return names as readonly FeatureSwitch[];
}
