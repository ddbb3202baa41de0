/**
 * Addresses of sockets: read as people write them, written as an op's argument has them, and shown as Node shows them.
 *
 * In a record an address is: family (4, 6, or 1 for Unix), 0, port (u16), scope (u32), then 4 or 16 bytes in network
 * order, or the bytes of a Unix name (none for a socket without a name; a first byte 0 for an abstract one).
 * `crates/ritsu-napi` and the `node` backend read and write the same. Pure, but for the names of network interfaces.
 */
import { networkInterfaces } from 'node:os';
import { interfaceIndex } from '../backend/system.js';

/** Where a TCP or UDP socket is, as Node's `address()` says it. */
export interface InternetAddress {
  /** An IP address. */
  readonly address: string;
  /** As Node names it. */
  readonly family: 'IPv4' | 'IPv6';
  /** 1 to 65535. */
  readonly port: number;
}

const UNIX = 1;
const V4 = 4;
const V6 = 6;
const HEADER = 8;
/** Bytes of `sun_path`: what a Unix name may have. */
export const UNIX_NAME_MAX = 108;

const WORDS = 8;
const ZONE = /^[0-9a-zA-Z.:_-]{1,64}$/;
const BYTE = /^(0|[1-9]\d{0,2})$/;
const GROUP = /^[0-9a-fA-F]{1,4}$/;

/** 4 or 6 when the text is an address of that version, else 0: a name to look up. */
export function versionOf(text: string): 0 | 4 | 6 {
  if (parseV4(text) !== undefined) return V4;
  return parseV6(text.split('%', 1)[0]!) !== undefined && isZone(text) ? V6 : 0;
}

/** An address that a person wrote, for an argument; undefined when it is none. */
export function encodeInternet(text: string, port: number): Uint8Array | undefined {
  const four = parseV4(text);
  if (four !== undefined) return encode(V4, port, 0, four);
  const [digits, zone] = text.split('%', 2);
  const six = parseV6(digits!);
  return six === undefined || !isZone(text) ? undefined : encode(V6, port, scopeOf(zone), six);
}

/** A Unix socket's path or, with a leading NUL, abstract name; undefined when the system has no such name. */
export function encodeUnix(path: string): Uint8Array | undefined {
  const name = Buffer.from(path);
  const isPath = name[0] !== 0;
  if (name.length === 0 || name.length > UNIX_NAME_MAX || (isPath && name.includes(0))) return undefined;
  return encode(UNIX, 0, 0, name);
}

/** Several addresses as one argument: each after its length (u16). */
export function encodeAddresses(addresses: readonly Uint8Array[]): Uint8Array {
  const lengths = addresses.map(({ length }) => Uint8Array.of(length & 0xff, length >> 8));
  return Buffer.concat(addresses.flatMap((address, index) => [lengths[index]!, address]));
}

/** An address of the internet families as Node shows it; undefined for any other. */
export function decodeInternet(bytes: Uint8Array): InternetAddress | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER) return undefined;
  const port = view.getUint16(2, true);
  const octets = bytes.subarray(HEADER);
  if (bytes[0] === V4) return { address: octets.join('.'), family: 'IPv4', port };
  if (bytes[0] !== V6) return undefined;
  const isLinkLocal = octets[0] === 0xfe && (octets[1]! & 0xc0) === 0x80;
  const scope = view.getUint32(4, true);
  const zone = isLinkLocal && scope > 0 ? `%${interfaceName(scope) ?? scope}` : '';
  return { address: formatV6(octets) + zone, family: 'IPv6', port };
}

/** The name of a Unix socket: its path, with a leading NUL its abstract name, empty where it has none. */
export function decodeUnix(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + HEADER, bytes.length - HEADER).toString();
}

function encode(family: number, port: number, scope: number, name: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + name.length);
  bytes[0] = family;
  bytes[2] = port & 0xff;
  bytes[3] = port >> 8;
  new DataView(bytes.buffer).setUint32(4, scope, true);
  bytes.set(name, HEADER);
  return bytes;
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => BYTE.test(part) && Number(part) <= 255)) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  const [before, after] = groups;
  if (before === undefined || (halves.length === 2 && after === undefined)) return undefined;
  const missing = WORDS - before.length - (after?.length ?? 0);
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const words = [...before, ...Array.from({ length: missing }, () => 0), ...(after ?? [])];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
}

/** Groups between colons; the last of an address may be an IPv4 address, which stands for two. */
function parseGroups(text: string, mayEndInV4: boolean): number[] | undefined {
  if (text === '') return [];
  const words: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const four = mayEndInV4 && index === parts.length - 1 && part.includes('.') ? parseV4(part) : undefined;
    if (four !== undefined) words.push((four[0]! << 8) | four[1]!, (four[2]! << 8) | four[3]!);
    else if (GROUP.test(part)) words.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return words;
}

/** As `inet_ntop` does: the longest run of zero groups is left out, and a mapped IPv4 address is written as one. */
function formatV6(octets: Uint8Array): string {
  const words = Array.from({ length: WORDS }, (_, index) => (octets[index * 2]! << 8) | octets[index * 2 + 1]!);
  const [start, length] = longestZeros(words);
  const isV4 = start === 0 && (length === 6 || (length === 5 && words[5] === 0xffff));
  const tail = isV4 ? [octets.subarray(12).join('.')] : [];
  const groups = words.slice(0, isV4 ? 6 : WORDS).map((word) => word.toString(16));
  if (length < 2) return [...groups, ...tail].join(':');
  return `${groups.slice(0, start).join(':')}::${[...groups.slice(start + length), ...tail].join(':')}`;
}

function longestZeros(words: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [-1, 0];
  let start = 0;
  for (const [index, word] of words.entries()) {
    if (word !== 0) start = index + 1;
    else if (index + 1 - start > best[1]) best = [start, index + 1 - start];
  }
  return best;
}

function isZone(text: string): boolean {
  const at = text.indexOf('%');
  return at < 0 || ZONE.test(text.slice(at + 1));
}

/** The number of a network interface by its name or number; 0, any, where there is none. */
export function scopeOf(zone: string | undefined): number {
  if (zone === undefined) return 0;
  if (/^\d+$/.test(zone)) return Number(zone);
  return interfaceIndex(zone) ?? 0;
}

/** The number of the interface that has this address; undefined when none has. */
export function interfaceOf(address: string): number | undefined {
  const found = Object.entries(networkInterfaces()).find(([, each]) => each?.some((one) => one.address === address));
  return found === undefined ? undefined : interfaceIndex(found[0]);
}

function interfaceName(scope: number): string | undefined {
  return Object.keys(networkInterfaces()).find((name) => interfaceIndex(name) === scope);
}
