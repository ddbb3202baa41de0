//! Addresses of sockets: where a connection goes to or comes from, and how the kernel writes them down. Pure.
//!
//! A Unix name is kept as bytes, since Linux does: a path (which need not end in a zero), an abstract name (its first byte is zero), or
//! nothing at all (unnamed). Ops own addresses; the memory that the kernel is shown (`EncodedAddress`) lies in their slot.

use rustix::net::AddressFamily;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of `sun_path` (`unix(7)`).
const UNIX_NAME_MAX: usize = 108;

/// The name of a Unix socket: a path, an abstract name (first byte 0), or empty for a socket without a name.
///
/// ```
/// let name = ritsu::UnixName::new(b"/run/service.sock".to_vec()).expect("108 bytes are enough");
/// assert_eq!(name.bytes(), b"/run/service.sock");
/// assert!(ritsu::UnixName::new(vec![b'a'; 109]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixName(Vec<u8>);

impl UnixName {
    /// Takes a name of at most 108 bytes. `None` if it is longer, or a path with a zero in it: the kernel would end it there.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let path = bytes.first().is_some_and(|first| *first != 0);
        let fits = bytes.len() <= UNIX_NAME_MAX && !(path && bytes.contains(&0));
        fits.then_some(Self(bytes))
    }

    /// The bytes of the name, without a terminator.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where a socket is.
///
/// ```
/// let address = ritsu::Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
/// assert!(matches!(address, ritsu::Address::Internet(internet) if internet.port() == 80));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6, and a port.
    Internet(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Internet(address)
    }
}

/// An address as the kernel reads it (`struct sockaddr_storage`), aligned for all of its kinds.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct EncodedAddress {
    bytes: [u8; EncodedAddress::SIZE],
    length: u32,
}

impl EncodedAddress {
    /// Room for an address of any kind.
    pub(crate) const SIZE: usize = size_of::<libc::sockaddr_storage>();
    /// No address.
    pub(crate) const EMPTY: Self = Self { bytes: [0; Self::SIZE], length: 0 };

    fn new(family: libc::c_int) -> Self {
        let mut encoded = Self::EMPTY;
        encoded.append(&(family as libc::sa_family_t).to_ne_bytes());
        encoded
    }

    fn append(&mut self, bytes: &[u8]) {
        let start = self.length as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u32;
    }

    /// All of the room; [`length`](Self::length) says how much of it is used.
    pub(crate) fn bytes(&self) -> &[u8; Self::SIZE] {
        &self.bytes
    }

    /// First byte. Valid as long as self stays where it is.
    pub(crate) fn address(&self) -> *const libc::sockaddr {
        self.bytes.as_ptr().cast()
    }

    /// Bytes used.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }
}

impl Address {
    /// Which kind of socket can have this address (`AF_*`).
    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Self::Internet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Internet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Unix(_) => AddressFamily::UNIX,
        }
    }

    /// The address as the kernel reads it.
    pub(crate) fn encode(&self) -> EncodedAddress {
        match self {
            Self::Internet(SocketAddr::V4(address)) => {
                let mut encoded = EncodedAddress::new(libc::AF_INET);
                encoded.append(&address.port().to_be_bytes());
                encoded.append(&address.ip().octets());
                encoded.append(&[0; 8]);
                encoded
            }
            Self::Internet(SocketAddr::V6(address)) => {
                let mut encoded = EncodedAddress::new(libc::AF_INET6);
                encoded.append(&address.port().to_be_bytes());
                encoded.append(&address.flowinfo().to_be_bytes());
                encoded.append(&address.ip().octets());
                encoded.append(&address.scope_id().to_ne_bytes());
                encoded
            }
            Self::Unix(UnixName(name)) => {
                let mut encoded = EncodedAddress::new(libc::AF_UNIX);
                encoded.append(name);
                // A path ends in a zero where there is room for it; an abstract name ends with its length.
                if name.len() < UNIX_NAME_MAX && name.first().is_some_and(|first| *first != 0) {
                    encoded.append(&[0]);
                }
                encoded
            }
        }
    }

    /// What the kernel wrote. `None` for a family that no op here makes (netlink, say), and for nothing.
    pub(crate) fn decode(encoded: &[u8]) -> Option<Self> {
        let (family, rest) = encoded.split_first_chunk::<2>()?;
        match libc::c_int::from(libc::sa_family_t::from_ne_bytes(*family)) {
            libc::AF_INET => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                let octets = rest.first_chunk::<4>()?;
                Some(Self::Internet(SocketAddrV4::new((*octets).into(), u16::from_be_bytes(*port)).into()))
            }
            libc::AF_INET6 => {
                let (port, rest) = rest.split_first_chunk::<2>()?;
                let (flow, rest) = rest.split_first_chunk::<4>()?;
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
                let (port, flow) = (u16::from_be_bytes(*port), u32::from_be_bytes(*flow));
                Some(Self::Internet(SocketAddrV6::new((*octets).into(), port, flow, scope).into()))
            }
            libc::AF_UNIX => {
                let path = rest.first().is_some_and(|first| *first != 0);
                // The kernel counts the zero behind a path, even the one for which `sun_path` has no room.
                let name = if path { rest.split(|byte| *byte == 0).next().unwrap_or_default() } else { rest };
                UnixName::new(name.to_vec()).map(Self::Unix)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
