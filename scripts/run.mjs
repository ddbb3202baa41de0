// Sets up, then runs a program of the package: `node scripts/run.mjs PROGRAM [arguments]`.
// Its output, input and exit code are the program's own; the set-up speaks on standard error.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { failWith, say } from './console.mjs';
import { setUp } from './setup.mjs';
import { root } from './toolchain.mjs';

async function main([program, ...args]) {
  const { node, env } = await setUp();
  // Ctrl-C reaches the program from the terminal: it decides, we wait for it and pass on how it ended.
  process.removeAllListeners('SIGINT');
  process.on('SIGINT', () => {});
  const child = spawn(node.path, [join(root, program), ...args], {
    env,
    cwd: process.env.INIT_CWD ?? process.cwd(), // relative paths mean what they mean where the user typed them
    stdio: 'inherit',
  });
  process.removeAllListeners('SIGTERM');
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', failWith);
  child.on('exit', (code, signal) => {
    if (signal) say(`${program} was ended by ${signal}`);
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

main(process.argv.slice(2)).catch(failWith);
