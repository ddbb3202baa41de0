//! Addresses of sockets as bytes, the same in both directions. Pure.
//!
//! A header of 8 bytes: family (4, 6; 1 for Unix), 0, port (u16), scope (u32), little endian. Then 4 or 16 bytes of the IP address as
//! the network orders them, or the Unix socket's name: a path, an abstract name (first byte 0), or nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ritsu::{Address, UnixName};

const FAMILY_UNIX: u8 = 1;
const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;
const HEADER_BYTES: usize = 8;

/// Reads an address. `None` if its shape is wrong.
pub fn decode_address(bytes: &[u8]) -> Option<Address> {
    let ([family, zero, port @ .., _, _, _, _], body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let scope = u32::from_le_bytes(*bytes[4..HEADER_BYTES].first_chunk()?);
    let port = u16::from_le_bytes(*port);
    match (family, zero) {
        (&FAMILY_V4, 0) => {
            let octets: [u8; 4] = body.try_into().ok()?;
            Some(Address::Internet(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), port))))
        }
        (&FAMILY_V6, 0) => {
            let octets: [u8; 16] = body.try_into().ok()?;
            Some(Address::Internet(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope))))
        }
        (&FAMILY_UNIX, 0) => UnixName::new(body.to_vec()).map(Address::Unix),
        _ => None,
    }
}

/// Writes an address.
pub fn encode_address(address: &Address) -> Vec<u8> {
    let header = |family: u8, port: u16, scope: u32| {
        let mut bytes = vec![family, 0];
        bytes.extend(port.to_le_bytes());
        bytes.extend(scope.to_le_bytes());
        bytes
    };
    match address {
        Address::Internet(SocketAddr::V4(address)) => {
            let mut bytes = header(FAMILY_V4, address.port(), 0);
            bytes.extend(address.ip().octets());
            bytes
        }
        Address::Internet(SocketAddr::V6(address)) => {
            let mut bytes = header(FAMILY_V6, address.port(), address.scope_id());
            bytes.extend(address.ip().octets());
            bytes
        }
        Address::Unix(name) => {
            let mut bytes = header(FAMILY_UNIX, 0, 0);
            bytes.extend(name.bytes());
            bytes
        }
    }
}
