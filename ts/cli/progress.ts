/**
 * How far a run is: on a terminal one line that keeps moving, elsewhere a plain line for each phase. On standard
 * error, so that the report stays clean.
 */
import { styleText } from 'node:util';

const BAR_WIDTH = 24;
const REDRAW_MS = 200;
const CLEAR = '\r\u001b[2K';

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #total = 1;
  #done = 0;
  #weight = 0;
  #label = '';
  #phase = '';
  #part: () => number = () => 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    process.once('exit', () => this.clear());
  }

  /** How many steps there will be, together with those done. */
  expect(steps: number): void {
    this.#total = Math.max(steps, 1);
  }

  /** A new phase begins; the only thing told where no bar can be drawn. */
  phase(label: string): void {
    this.#phase = label;
    if (!this.#stream.isTTY) this.#stream.write(`${label}\n`);
  }

  /** A new step begins, which ends the last one. `part` tells how much of it is done. */
  step(label: string, part: () => number = () => 0, weight = 1): void {
    this.#done += this.#weight;
    this.#weight = weight;
    this.#label = label;
    this.#part = part;
    if (!this.#stream.isTTY) return;
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  /** Take the bar away, for other output or for good; the next step draws it again. */
  clear(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#stream.write(CLEAR);
  }

  #draw(): void {
    const done = Math.min((this.#done + this.#weight * Math.min(this.#part(), 1)) / this.#total, 1);
    const full = Math.round(done * BAR_WIDTH);
    const words = `${Math.floor(done * 100).toString().padStart(3)} %  ${this.#phase}${this.#label === '' ? '' : `, ${this.#label}`}`;
    const room = Math.max((this.#stream.columns ?? 80) - BAR_WIDTH - 3, 0);
    const bar = styleText('cyan', '█'.repeat(full), { stream: this.#stream }) + '░'.repeat(BAR_WIDTH - full);
    this.#stream.write(`${CLEAR}${bar} ${words.slice(0, room)}`);
  }
}
