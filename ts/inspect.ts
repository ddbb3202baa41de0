/** What `console.log` and `util.inspect` show of what a program holds: what it is and how it stands, as its getters say. */
import type { InspectContext, inspect } from 'node:util';

const CUSTOM = Symbol.for('nodejs.util.inspect.custom');

/**
 * Gives a class the method that Node's `inspect` asks. It is on the prototype: nothing is kept for an object.
 * @param fields of what can be asked anyway, and without an effect
 */
export function show<T extends object>(subject: abstract new (...args: never) => T, fields: (self: T) => object): void {
  function custom(this: T, depth: number | null, options: InspectContext, again: typeof inspect): string {
    const name = this.constructor.name;
    if (depth !== null && depth < 0) return options.stylize(`[${name}]`, 'special');
    let shown = {};
    try {
      shown = fields(this);
    } catch {
      // An object that was made from one of ours, not by us: it has nothing to show.
    }
    return `${name} ${again(shown, { ...options, depth: depth === null ? null : depth - 1 })}`;
  }
  Object.defineProperty(subject.prototype, CUSTOM, { value: custom, configurable: true, writable: true });
}
