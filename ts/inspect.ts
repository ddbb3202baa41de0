/** What `console.log` and `util.inspect` show of what a program holds: what it is and how it stands, as its getters say. */
import { inspect } from 'node:util';
import type { InspectOptions } from 'node:util';

const CUSTOM = Symbol.for('nodejs.util.inspect.custom');

/**
 * Gives a class the method that Node's `inspect` asks. It is on the prototype: nothing is kept for an object.
 * @param fields of what can be asked anyway, and without an effect
 */
export function show<T extends object>(subject: abstract new (...args: never) => T, fields: (self: T) => object): void {
  function custom(this: T, depth?: number | null, options?: InspectOptions): string {
    const { name } = this.constructor;
    if (typeof depth === 'number' && depth < 0) return `[${name}]`;
    let shown = {};
    try {
      shown = fields(this);
    } catch {
      // An object that was made from one of ours, not by us: it has nothing to show.
    }
    return `${name} ${inspect(shown, { ...options, depth: typeof depth === 'number' ? depth - 1 : null })}`;
  }
  Object.defineProperty(subject.prototype, CUSTOM, { value: custom, configurable: true, writable: true });
}
