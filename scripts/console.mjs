// What the set-up and the test runner print, and how they run a tool: visibly, and with the end of
// its output shown when it fails. Needs nothing installed.
import { spawn } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';

const HEARTBEAT_MS = 15_000;
const REDRAW_MS = 120;
const TAIL_LINES = 60;
export const CARGO_PROGRESS = /^\s*(Compiling|Checking|Finished|Fresh|Running|Blocking|Updating|Locking|Downloading|Downloaded|Adding) /;

const colours = process.stderr.isTTY && !process.env.NO_COLOR;
export const bold = (text) => (colours ? `\u001b[1m${text}\u001b[22m` : text);
export const red = (text) => (colours ? `\u001b[31m${text}\u001b[39m` : text);
export const dim = (text) => (colours ? `\u001b[2m${text}\u001b[22m` : text);

/** A line for the reader; standard error, so that a command's own output stays clean. */
export function say(line = '') {
  process.stderr.write(`${line}\n`);
}

export function seconds(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

/** A failure that has been explained: its message is all that is printed. */
export class Explained extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Ends the process on any failure: a sentence for those we explain, a stack for our own bugs. */
export function failWith(error) {
  say(error instanceof Explained ? red(error.message) : String(error?.stack ?? error));
  process.exit(error?.exitCode ?? 1);
}

/**
 * One line that keeps moving on a terminal; elsewhere a line every 15 seconds. `detail()` gives its
 * words. Returns the function that ends it.
 */
export function progress(label, detail) {
  const begun = performance.now();
  const line = () => `${label}  ${seconds(begun)}  ${detail()}`.trimEnd();
  if (!process.stderr.isTTY) {
    const timer = setInterval(() => say(`  ${line()}`), HEARTBEAT_MS);
    return () => clearInterval(timer);
  }
  const clear = '\r\u001b[2K';
  const timer = setInterval(() => {
    process.stderr.write(clear + line().slice(0, (process.stderr.columns || 80) - 1));
  }, REDRAW_MS);
  return () => {
    clearInterval(timer);
    process.stderr.write(clear);
  };
}

/** Calls `take` with each whole line of a stream. */
export function eachLine(stream, take) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
  });
  stream.on('end', () => {
    if (rest !== '') take(rest);
  });
}

const LAST_WORDS_MS = 20_000;
const running = new Set();

function endGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Already gone.
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) endGroup(child, signal);
    process.exit(130);
  });
}

/**
 * Runs a tool in a process group of its own, so that a time-out or Ctrl-C ends all of it.
 * `take(line, stream)` sees each line. After `quietMs` without a line the tool is interrupted, to say what it was at, and
 * soon ended if that does not help. Resolves with how it ended.
 */
export function runTool(command, args, { cwd, env, take, timeoutMs, quietMs }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let timedOut = false;
    const kill = () => {
      timedOut = true;
      endGroup(child, 'SIGKILL');
    };
    const timers = [timeoutMs && setTimeout(kill, timeoutMs)];
    const quiet = quietMs && setTimeout(() => {
      timers.push(setTimeout(kill, LAST_WORDS_MS));
      child.kill('SIGINT');
    }, quietMs);
    const heard = (line, stream) => {
      if (quiet) quiet.refresh();
      take(line, stream);
    };
    eachLine(child.stdout, (line) => heard(line, 'stdout'));
    eachLine(child.stderr, (line) => heard(line, 'stderr'));
    const end = (code, signal, error) => {
      for (const timer of [...timers, quiet]) clearTimeout(timer);
      running.delete(child);
      resolve({ ok: code === 0, code, signal, timedOut, error });
    };
    child.on('error', (error) => end(null, null, error));
    child.on('close', (code, signal) => end(code, signal));
  });
}

export function howItEnded({ code, signal, timedOut, error }) {
  if (error) return `could not be started: ${error.message}`;
  if (timedOut) return 'was ended: it took too long';
  return signal ? `was ended by ${signal}` : `exited with code ${code}`;
}

/** Runs one step of the set-up with progress; on failure shows the end of what it printed. */
export async function runStep(label, command, args, options) {
  const begun = performance.now();
  const tail = [];
  let last = '';
  say(`${bold(label)} ...`);
  const stop = progress(label, () => last);
  const result = await runTool(command, args, {
    ...options,
    take(raw) {
      const line = stripVTControlCharacters(raw).trimEnd();
      if (line === '') return;
      last = line.trim();
      if (CARGO_PROGRESS.test(line)) return;
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
    },
  });
  stop();
  if (result.ok) {
    say(`${bold(label)} done  ${dim(seconds(begun))}`);
    return { ok: true, output: '' };
  }
  return { ok: false, output: `${tail.join('\n')}\n${label}: ${howItEnded(result)}` };
}
