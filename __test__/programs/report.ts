/** How a program tells its test what happened: one line of JSON, written before anything else can go wrong. */
import { writeSync } from 'node:fs';

export function report(fields: Readonly<Record<string, unknown>>): void {
  writeSync(1, `${JSON.stringify(fields)}\n`);
}

/** The program's own failure, as a test must not see it end well. */
export function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

export function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
