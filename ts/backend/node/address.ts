/** Addresses in the arguments and answers of ops, as Node's own modules take and give them. */

export interface SocketAddress {
  /** An IP address; a Unix socket's path, with a leading NUL its abstract name. */
  readonly address: string;
  /** -1 for Unix sockets. */
  readonly port: number;
}

const UNIX = 1;
const V4 = 4;
const V6 = 6;
const HEADER = 8;
const WORDS = 8;

/** An address of an argument; undefined when its shape is wrong. */
export function decodeAddress(bytes: Uint8Array): SocketAddress | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER || bytes[1] !== 0) return undefined;
  const body = bytes.subarray(HEADER);
  const port = view.getUint16(2, true);
  if (bytes[0] === UNIX) return { address: Buffer.from(body).toString(), port: -1 };
  if (bytes[0] === V4 && body.length === 4) return { address: body.join('.'), port };
  if (bytes[0] !== V6 || body.length !== 16) return undefined;
  const words = Array.from({ length: WORDS }, (_, index) => ((body[index * 2]! << 8) | body[index * 2 + 1]!).toString(16));
  const scope = view.getUint32(4, true);
  return { address: words.join(':') + (scope === 0 ? '' : `%${scope}`), port };
}

/** Addresses of an argument, each after its length (u16); undefined when their shape is wrong. */
export function decodeAddresses(bytes: Uint8Array): SocketAddress[] | undefined {
  const found: SocketAddress[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes[at]! | ((bytes[at + 1] ?? 0) << 8);
    const address = decodeAddress(bytes.subarray(at + 2, at + 2 + length));
    if (address === undefined || at + 2 + length > bytes.length) return undefined;
    found.push(address);
    at += 2 + length;
  }
  return found;
}

/** An address that Node gave, as ops carry it. */
export function encodeAddress({ address, port }: SocketAddress): Uint8Array {
  if (port < 0) return encode(UNIX, 0, 0, Buffer.from(address));
  const [digits, zone] = address.split('%', 2) as [string, string?];
  if (!digits.includes(':')) return encode(V4, port, 0, Uint8Array.from(digits.split('.'), Number));
  return encode(V6, port, zone === undefined ? 0 : Number(zone) || 0, octetsOf(digits));
}

/** The 16 bytes of an IPv6 address as Node writes it: at most one `::`, perhaps an IPv4 address at its end. */
function octetsOf(text: string): Uint8Array {
  const [before = '', after] = text.split('::');
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').flatMap(wordsOf));
  const head = groups(before);
  const tail = after === undefined ? [] : groups(after);
  const words = [...head, ...Array.from({ length: WORDS - head.length - tail.length }, () => 0), ...tail];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

function wordsOf(group: string): number[] {
  if (!group.includes('.')) return [Number.parseInt(group, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}

function encode(family: number, port: number, scope: number, name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + name.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = family;
  view.setUint16(2, port, true);
  view.setUint32(4, scope, true);
  bytes.set(name, HEADER);
  return bytes;
}
