/**
 * `bind`: makes UDP sockets, with the options of `dgram.createSocket` and `socket.bind` in one. The socket: `udp.ts`.
 */
import { checkCancelOptions } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { traced } from '../deferred.js';
import { checkInteger, checkOptions, closedError } from '../errors.js';
import { IPV6_ONLY, Opcode, Operation, REUSE_ADDRESS, REUSE_PORT } from '../op.js';
import type { Proactor } from '../proactor.js';
import { encodeAddresses, versionOf } from './address.js';
import { checkFlag, checkPermission, checkPort, checkProactor, checkText } from './arguments.js';
import { addressesOf, checkLookup } from './lookup.js';
import type { LookupOptions } from './lookup.js';
import { internetTarget, opened } from './opened.js';
import type { Opened } from './opened.js';
import { UdpSocket } from './udp.js';

export interface BindOptions extends CancelOptions, Pick<LookupOptions, 'lookup'> {
  /** 0, or not given: one that is free. */
  readonly port?: number | string | undefined;
  /** A name or an address; every address of this machine where not given. */
  readonly host?: string | undefined;
  /** As in `dgram.createSocket`; where not given, what `host` is, and IPv4 for a name. */
  readonly type?: 'udp4' | 'udp6' | undefined;
  /** Other sockets may have the same address (SO_REUSEADDR). */
  readonly reuseAddr?: boolean | undefined;
  /** Several sockets share what comes in (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined;
  /** Leave IPv4 alone when bound to an IPv6 address. */
  readonly ipv6Only?: boolean | undefined;
  /** Connect to this peer: `send` needs no address then, and only the peer's datagrams are received. */
  readonly peer?:
    | {
        /** 1 to 65535, or a text of it. */
        readonly port: number | string;
        /** A name or an address; this machine where not given. */
        readonly host?: string | undefined;
      }
    | undefined;
  /** Bytes of the system's receive buffer. */
  readonly recvBufferSize?: number | undefined;
  /** Bytes of the system's send buffer. */
  readonly sendBufferSize?: number | undefined;
  /** Whose socket it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/**
 * Make a UDP socket.
 * @example
 * await using socket = await bind({ port: 5353 });
 * for await (const bytes of socket.allocator()) await socket.send(bytes.data, bytes.address.port, bytes.address.address);
 */
export async function bind(options: BindOptions = {}): Promise<UdpSocket> {
  checkOptions(options);
  const limits = checkCancelOptions(options);
  const proactor = checkProactor(options.proactor);
  if (!proactor.open) throw closedError('bind');
  const { port, peer } = options;
  const sizes = bufferSizes(options);
  const version = versionFor(options.type, checkText('options.host', options.host) || undefined);
  const everywhere = version === 6 ? '::' : '0.0.0.0';
  const lookup = checkLookup({ family: version, lookup: options.lookup });
  const number = checkPort('options.port', port ?? 0);
  const peerPort = peer === undefined ? 0 : checkPort('options.peer.port', peer.port, 1);
  const peerHost = checkText('options.peer.host', peer?.host) || (version === 6 ? '::1' : '127.0.0.1');
  const flags = flagsOf(options);
  checkPermission(options.host ?? everywhere);
  const local = internetTarget((await traced(addressesOf(options.host || everywhere, lookup, limits)))[0]!, number);
  const remote = peer && internetTarget((await traced(addressesOf(peerHost, lookup, limits)))[0]!, peerPort);
  const operation = new Operation<Opened>(Opcode.BIND, opened);
  operation.argument = encodeAddresses(remote === undefined ? [local.encoded] : [local.encoded, remote.encoded]);
  operation.endpoint = local.endpoint;
  operation.flags = flags;
  const socket = new UdpSocket(proactor, await traced(proactor.submit(operation, limits).promise), lookup, remote !== undefined);
  try {
    if (sizes.receive > 0) socket.setRecvBufferSize(sizes.receive);
    if (sizes.send > 0) socket.setSendBufferSize(sizes.send);
  } catch (error) {
    await socket.close();
    throw error;
  }
  return socket;
}

/** 0 for those that are not given. */
function bufferSizes({ recvBufferSize, sendBufferSize }: BindOptions): { readonly receive: number; readonly send: number } {
  const check = (name: string, size: unknown): number => (size === undefined ? 0 : checkInteger(name, size, 1, 2 ** 31 - 1));
  return { receive: check('options.recvBufferSize', recvBufferSize), send: check('options.sendBufferSize', sendBufferSize) };
}

function versionFor(type: unknown, host: string | undefined): 4 | 6 {
  if (type === undefined) return host !== undefined && versionOf(host) === 6 ? 6 : 4;
  if (type === 'udp4') return 4;
  if (type === 'udp6') return 6;
  throw Object.assign(new TypeError('Bad socket type specified. Valid types are: udp4, udp6'), { code: 'ERR_SOCKET_BAD_TYPE' });
}

function flagsOf({ reuseAddr, reusePort, ipv6Only }: BindOptions): number {
  return (
    (checkFlag('options.reuseAddr', reuseAddr) ? REUSE_ADDRESS : 0) |
    (checkFlag('options.reusePort', reusePort) ? REUSE_PORT : 0) |
    (checkFlag('options.ipv6Only', ipv6Only) ? IPV6_ONLY : 0)
  );
}
