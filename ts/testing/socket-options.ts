/** The options of a simulated socket: remembered, and, but for linger and the sizes of buffers, without effect. */
const NO_DELAY = 0;
const LINGER = 3;
const RECEIVE_BUFFER = 4;
const SEND_BUFFER = 5;
const ERROR = 10;
const LINGER_OFF = -1;
const OPTION_MAX = 11;
const EINVAL = -22;
const ENOPROTOOPT = -92;

export class SocketOptions {
  readonly #values = new Map<number, number>([[LINGER, LINGER_OFF], [NO_DELAY, 0], [RECEIVE_BUFFER, 212_992], [SEND_BUFFER, 212_992]]);

  get linger(): number {
    return this.#values.get(LINGER)!;
  }

  set(option: number, value: number): number {
    if (option < 0 || option > OPTION_MAX || option === ERROR) return ENOPROTOOPT;
    if (value < LINGER_OFF) return EINVAL;
    // As Linux does, which counts its own memory, too.
    this.#values.set(option, option === RECEIVE_BUFFER || option === SEND_BUFFER ? value * 2 : value);
    return 0;
  }

  get(option: number): number {
    return this.#values.get(option) ?? 0;
  }
}
