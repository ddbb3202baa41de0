/** Values that nobody expects. */
export const NUMBERS = [NaN, Infinity, -Infinity, -0, 0, 1, -1, 0.5, 2, 3, 100, 4096, 65_536, 65_535, 1e6, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 1e300, 5e-324];
export const STRINGS = ['', ' ', 'a', 'b', 'missing', '0', '1', '-1', '1e3', 'NaN', 'utf8', 'hex', 'r', 'w+', 'x'.repeat(300), 'a\0b', '\0', '\ud800', 'null', '__proto__', 'constructor', 'localhost', '::1', 'nowhere', '.'];
/** Rare: it costs time. */
export const HUGE = 'ü'.repeat(2 ** 19);

export function detached<T>(view: (memory: ArrayBuffer) => T): T {
  const memory = new ArrayBuffer(64);
  const made = view(memory);
  structuredClone(memory, { transfer: [memory] });
  return made;
}

export function wasmMemory(): ArrayBuffer {
  const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: { readonly Memory: new (size: object) => { readonly buffer: ArrayBuffer } } };
  return new WebAssembly.Memory({ initial: 1 }).buffer;
}

export function cyclic(): object {
  const object: Record<string, unknown> = { length: 1, size: 4096 };
  object['options'] = object;
  object['data'] = [object];
  return object;
}

export function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
