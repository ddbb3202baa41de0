/** Says once, when somebody has waited for a second for what has run out, what that is. */
const EMPTY_WARNING_MS = 1000;

export class EmptyWarning {
  readonly #describe: () => string | undefined;
  readonly #code: string;
  #timer: NodeJS.Timeout | undefined = undefined;
  #warned = false;

  /** `describe` tells what is the matter; undefined when nobody waits any more. */
  constructor(describe: () => string | undefined, code = 'RITSU_POOL_EMPTY') {
    this.#describe = describe;
    this.#code = code;
  }

  /** Somebody waits. */
  watch(): void {
    if (this.#warned || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const message = this.#describe();
      if (message === undefined) return;
      this.#warned = true;
      process.emitWarning(message, { code: this.#code, type: 'RitsuWarning' });
    }, EMPTY_WARNING_MS);
    this.#timer.unref();
  }

  /** Nobody waits any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
