/**
 * How long a duplex has been silent. `http` sets the same time behind each response, and none at the next request: one timer
 * serves them all.
 */
export class Silence {
  readonly #isOver: () => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  /** What the timer was made for. */
  #span = 0;
  /** Milliseconds that are too long; 0 for no time. */
  #limit = 0;

  constructor(isOver: () => void) {
    this.#isOver = isOver;
  }

  /** From now on, so many milliseconds; 0: for ever. */
  limit(milliseconds: number): void {
    this.#limit = milliseconds;
    if (milliseconds === this.#span) this.#timer?.refresh();
    else if (milliseconds > 0) {
      clearTimeout(this.#timer);
      this.#span = milliseconds;
      this.#timer = setTimeout(() => {
        if (this.#limit > 0) this.#isOver();
      }, milliseconds).unref();
    }
  }

  /** Something was heard. */
  broken(): void {
    if (this.#limit > 0) this.#timer!.refresh();
  }

  end(): void {
    this.#limit = 0;
    clearTimeout(this.#timer);
  }
}
