//! Addresses: what is encoded decodes to the same.

use super::{Address, UnixName};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

fn unix(bytes: &[u8]) -> Address {
    Address::Unix(UnixName::new(bytes.to_vec()).expect("it fits"))
}

#[test]
fn every_kind_of_address_survives_the_kernels_form() {
    let scoped = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 0xffff), 65_535, 0, 7);
    let rows = [
        Address::from(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 255), 0))),
        Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 65_535))),
        Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 80))),
        Address::from(SocketAddr::from(scoped)),
        unix(b""),
        unix(b"/tmp/a"),
        unix(&[b'x'; 107]),
        unix(&[b'x'; 108]),
        unix(b"\0"),
        unix(b"\0name\0with zeroes\0"),
        unix(&[0; 108]),
        unix(&[&[0][..], &[0xff; 107]].concat()),
    ];
    for address in rows {
        let encoded = address.encode();
        assert_eq!(Address::decode(&encoded.bytes[..encoded.length() as usize]), Some(address));
    }
}

#[test]
fn names_that_the_kernel_would_cut_are_refused() {
    assert_eq!(UnixName::new(vec![b'a'; 109]), None);
    assert_eq!(UnixName::new(vec![0; 109]), None);
    assert_eq!(UnixName::new(b"/tmp/a\0b".to_vec()), None);
}

#[test]
fn what_the_kernel_writes_in_its_own_ways_is_understood() {
    let family = |family: libc::c_int| (family as u16).to_ne_bytes().to_vec();
    let longest = [family(libc::AF_UNIX), vec![b'x'; 108], vec![0]].concat();
    assert_eq!(Address::decode(&longest), Some(unix(&[b'x'; 108])), "one byte more than sockaddr_un has");
    assert_eq!(Address::decode(&family(libc::AF_UNIX)), Some(unix(b"")));
    assert_eq!(Address::decode(&family(libc::AF_NETLINK)), None);
    assert_eq!(Address::decode(&[]), None);
    for (kind, length) in [(libc::AF_INET, 5), (libc::AF_INET6, 25)] {
        assert_eq!(Address::decode(&[family(kind), vec![0; length]].concat()), None, "cut short");
    }
}
