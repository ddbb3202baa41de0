/** Says once, when somebody has waited for memory for a second, who they wait for. */
const EMPTY_WARNING_MS = 1000;

export class EmptyWarning {
  readonly #describe: () => string | undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #warned = false;

  /** `describe` tells what is the matter; undefined when nobody waits any more. */
  constructor(describe: () => string | undefined) {
    this.#describe = describe;
  }

  /** Somebody waits. */
  watch(): void {
    if (this.#warned || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const message = this.#describe();
      if (message === undefined) return;
      this.#warned = true;
      process.emitWarning(message, { code: 'RITSU_POOL_EMPTY', type: 'RitsuWarning' });
    }, EMPTY_WARNING_MS);
    this.#timer.unref();
  }

  /** Nobody waits any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
