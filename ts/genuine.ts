/**
 * What the language and the platform put on their prototypes, taken once as this is loaded. What a program does to the prototypes
 * later, or puts on an object of its own, is not asked: it may be any code, at any moment.
 */

/** A method as a function of its object. */
export function uncurry<A extends unknown[], T>(method: (this: never, ...values: A) => T): (object: object, ...values: A) => T {
  return Function.prototype.call.bind(method) as (object: object, ...values: A) => T;
}

/** A getter as a function of its object. */
export function getter<T>(prototype: object, name: string | symbol): (object: object) => T {
  return uncurry(Object.getOwnPropertyDescriptor(prototype, name)!.get as () => T);
}
