/** Who keeps the process alive: as long as anybody does, and it is allowed. Who calls: `Inflight`. */
export class Keeper {
  readonly #tell: (on: boolean) => void;
  #count = 0;
  #allowed = true;
  #told = false;

  /** `tell` is called at each change; at first nobody keeps anything alive. */
  constructor(tell: (on: boolean) => void) {
    this.#tell = tell;
  }

  /** So many more, or fewer. */
  change(by: number): void {
    this.#count += by;
    const on = this.#allowed && this.#count > 0;
    if (on === this.#told) return;
    this.#told = on;
    this.#tell(on);
  }

  allow(on: boolean): void {
    this.#allowed = on;
    this.change(0);
  }

  /** Nobody does any more. */
  end(): void {
    this.change(-this.#count);
  }
}
