/**
 * ritsu/testing: a simulated ring. The same `Proactor`, the same files, sockets and timers, on a ring that a seed decides.
 *
 * What is simulated is what is below the boundary: the `Backend` of the proactor. Everything above it, which is all that
 * a program can call, is the library's own code. An op goes through the same stages as in the kernel, each of them an
 * event that the seed puts in some order:
 *
 *   encode     what it names is taken, or it is refused            `ring.ts`, with the checks of `backend/node/accept.ts`
 *   submit     the turn is over: until then a cancel withdraws it  `kernel.ts`
 *   attempt    it is tried: done, or it waits                      `attempts.ts`: files, sockets, pipes, timers
 *   post       its completion is in the queue, perhaps much later  `kernel.ts`
 *   deliver    a batch of the queue, first in, first out           `ring.ts`
 *
 * Files are real, and asked synchronously; sockets and pipes exist only here (`network.ts`, `connection.ts`,
 * `listener.ts`, `datagrams.ts`, `fifo.ts`); time is a number (`clock.ts`). `faults.ts` says what may happen to an op,
 * `trace.ts` what did. The ring checks the library: a block that two ops own, a descriptor used after its close, memory
 * moved away while the kernel has it are a `SimulationError` that carries the seed.
 *
 * Nothing here reads the clock, or randomness, but for a fresh seed: the same program and seed give the same trace.
 * @module ritsu/testing
 */
export type { SimulatedClock } from './clock.js';
export { NO_FAULTS } from './faults.js';
export type { Faults } from './faults.js';
export { Simulation, simulate } from './simulation.js';
export type { SimulationOptions } from './simulation.js';
export { SimulationError } from './trace.js';
