/**
 * The process of the load: a plan as a line of JSON on standard input, `ready`; then `go`, and the result as a line of
 * JSON; then `finish`, `ready`, and the next plan. Ends when standard input does.
 */
import { createInterface } from 'node:readline';
import { WrongBytes } from '../meter.js';
import { Connections } from './load.js';
import type { LoadPlan } from './peers.js';

let connections: Connections | undefined;

async function answer(line: string): Promise<string> {
  try {
    if (line === 'go') return JSON.stringify(await connections!.pass());
    if (line === 'finish') connections?.close();
    else connections = await Connections.open(JSON.parse(line) as LoadPlan);
    return 'ready';
  } catch (error) {
    const { message } = error as Error;
    return JSON.stringify(error instanceof WrongBytes ? { wrong: message } : { error: message });
  }
}

for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${await answer(line)}\n`);
process.exit();
