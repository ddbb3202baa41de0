/**
 * Description: addresses as people write them, as records have them, and as Node shows them. What is an address and how
 * one is written is compared with Node's own.
 *
 * What turns it red: a text taken for an address, or not, other than `net.isIP` does; bytes in another order; an IPv6
 * address written other than `inet_ntop` does; a name that does not fit `sun_path` let through.
 */
import * as net from 'node:net';
import test from 'ava';
import fc from 'fast-check';
import { decodeInternet, decodeUnix, encodeAddresses, encodeInternet, encodeUnix, versionOf } from '../../dist/net/address.js';

const WRITTEN = [
  '127.0.0.1', '0.0.0.0', '255.255.255.255', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '1.2.3.-4', '1.2.3.4 ', '',
  '::', '::1', '1::', 'fe80::1', 'FE80::ABCD', '2001:db8::1:0:0:1', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9',
  '1::2::3', ':1:2:3:4:5:6:7', '1:2:3:4:5:6:7:', '::1:2:3:4:5:6:7', '1:2:3:4:5:6:7::', '::1:2:3:4:5:6:7:8', '12345::', 'g::',
  '::ffff:1.2.3.4', '::1.2.3.4', '1:2:3:4:5:6:1.2.3.4', '::1.2.3.4:5', '1.2.3.4::', '::ffff:1.2.3.256', ':', ':::', '1:::2',
  'fe80::1%lo', 'fe80::1%1', 'fe80::1%', '::%eth0.1', '127.0.0.1%lo', 'localhost', 'a.b.c.d',
];

for (const text of WRITTEN) {
  test(`is it an address, and of which version: '${text}'`, (t) => {
    t.is(versionOf(text), net.isIP(text) as 0 | 4 | 6);
    t.is(encodeInternet(text, 1) === undefined, net.isIP(text) === 0);
  });
}

/** How Node writes an address: by having the system look at it. */
function canonical(text: string): string {
  return net.isIPv4(text) ? text : new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

test('an address survives the way there and back, for any bytes', (t) => {
  const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff }));
  fc.assert(fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), fc.integer({ min: 0, max: 65_535 }), (words, port) => {
    const written = words.map((word) => word.toString(16)).join(':');
    const shown = decodeInternet(encodeInternet(written, port)!)!;
    t.is(shown.family, 'IPv6');
    t.is(shown.port, port);
    t.is(canonical(shown.address.split('%', 1)[0]!), canonical(written));
    if (!shown.address.includes('.')) t.is(shown.address.split('%', 1)[0], canonical(written));
  }), { numRuns: 500 });
  fc.assert(fc.property(fc.ipV4(), fc.integer({ min: 0, max: 65_535 }), (address, port) => {
    t.deepEqual(decodeInternet(encodeInternet(address, port)!), { address, family: 'IPv4', port });
  }));
});

test('addresses are written as inet_ntop does', (t) => {
  const shown = (text: string): string => decodeInternet(encodeInternet(text, 0)!)!.address;
  t.is(shown('::ffff:7f00:1'), '::ffff:127.0.0.1');
  t.is(shown('::7f00:1'), '::127.0.0.1');
  t.is(shown('0:0:0:0:0:0:0:1'), '::1');
  t.is(shown('0:0:0:0:0:0:0:0'), '::');
  t.is(shown('1:0:2:0:0:3:0:0'), '1:0:2::3:0:0');
  t.is(shown('1:0:2:3:4:5:6:7'), '1:0:2:3:4:5:6:7');
  t.is(shown('fe80::1%1'), 'fe80::1%lo');
  t.is(shown('fe80::1%lo'), 'fe80::1%lo');
  t.is(shown('fe80::1%4000000'), 'fe80::1%4000000');
});

test('the bytes of a record', (t) => {
  t.deepEqual([...encodeInternet('1.2.3.4', 0x1234)!], [4, 0, 0x34, 0x12, 0, 0, 0, 0, 1, 2, 3, 4]);
  t.deepEqual([...encodeInternet('fe80::1%2', 80)!].slice(0, 10), [6, 0, 80, 0, 2, 0, 0, 0, 0xfe, 0x80]);
  t.deepEqual([...encodeUnix('/a')!], [1, 0, 0, 0, 0, 0, 0, 0, 0x2f, 0x61]);
  t.deepEqual([...encodeAddresses([Uint8Array.of(1, 2), Uint8Array.of(3)])], [2, 0, 1, 2, 1, 0, 3]);
});

test('names of Unix sockets', (t) => {
  for (const name of ['/run/a', '\0abstract', '\0with\0zeros', 'ä', 'x'.repeat(108)]) t.is(decodeUnix(encodeUnix(name)!), name);
  for (const name of ['', 'x'.repeat(109), 'ä'.repeat(55), 'a\0b']) t.is(encodeUnix(name), undefined, name);
  t.is(decodeUnix(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)), '');
});

test('bytes that are no address of the internet are none', (t) => {
  t.is(decodeInternet(new Uint8Array(0)), undefined);
  t.is(decodeInternet(encodeUnix('/a')!), undefined);
});
