//! Description: datagrams: whole or visibly cut, with the address of who sent them; groups that many listen to.

mod harness;

use harness::{Harness, LOOPBACK, RUNGS};
use ritsu::{Address, BlockRange, DescriptorId, Detail, Op, SocketOption, SocketOptions, UnixName};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

const PLAIN: SocketOptions = SocketOptions { reuse_port: false, ipv6_only: false, reuse_address: false };

fn bind(harness: &mut Harness, address: impl Into<Address>, peer: Option<Address>) -> (DescriptorId, Address) {
    let socket = harness.opened(Op::Bind { address: address.into(), peer: peer.map(Box::new), options: PLAIN });
    let address = harness.proactor.address(socket, false).expect("a socket has an address");
    (socket, address)
}

fn send_to(harness: &mut Harness, descriptor: DescriptorId, bytes: &[u8], address: Option<&Address>) -> i32 {
    let source = BlockRange { length: bytes.len() as u32, ..harness.block(65_536) };
    harness.fill(source, bytes);
    harness
        .run(Op::SendMessage { descriptor, parts: vec![source], address: address.cloned().map(Box::new), wait_all: false })
        .result
}

/// One datagram: its bytes, its sender, whether it was cut.
fn receive(harness: &mut Harness, descriptor: DescriptorId, length: u32) -> (Vec<u8>, Option<Address>, bool) {
    let target = BlockRange { length, ..harness.block(65_536) };
    let outcome = harness.run(Op::ReceiveMessage { descriptor, target });
    let Detail::Message { address, truncated } = outcome.detail else { panic!("errno {}", -outcome.result) };
    (harness.bytes(target, outcome.result as usize), address, truncated)
}

#[test]
fn every_datagram_comes_with_its_sender() {
    let version_6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    for first_rung in RUNGS {
        let name =
            |end| Address::Unix(UnixName::new(format!("\0ritsu-{}-{first_rung}-{end}", std::process::id()).into()).unwrap());
        let rows = [(LOOPBACK.into(), LOOPBACK.into()), (version_6.into(), version_6.into()), (name(1), name(2))];
        for (one, other) in rows {
            let mut harness = Harness::on_rung(first_rung);
            let (receiver, to) = bind(&mut harness, one, None);
            let (sender, from) = bind(&mut harness, other, None);
            // One waits before it is sent, one is there when it is asked for.
            let target = harness.block(64);
            let waiting = harness.submit(Op::ReceiveMessage { descriptor: receiver, target });
            harness.turn();
            assert_eq!(send_to(&mut harness, sender, b"first", Some(&to)), 5);
            let outcome = harness.wait(waiting);
            assert_eq!(outcome.detail, Detail::Message { address: Some(from.clone()), truncated: false });
            assert_eq!(harness.bytes(target, outcome.result as usize), b"first");
            assert_eq!(send_to(&mut harness, sender, b"", Some(&to)), 0);
            assert_eq!(receive(&mut harness, receiver, 64), (vec![], Some(from), false), "an empty one is one, too");
        }
    }
}

#[test]
fn a_datagram_that_does_not_fit_is_cut_and_says_so() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (receiver, to) = bind(&mut harness, LOOPBACK, None);
        let (sender, from) = bind(&mut harness, LOOPBACK, None);
        send_to(&mut harness, sender, b"too long for it", Some(&to));
        send_to(&mut harness, sender, b"fits", Some(&to));
        assert_eq!(receive(&mut harness, receiver, 8), (b"too long".to_vec(), Some(from.clone()), true));
        assert_eq!(receive(&mut harness, receiver, 4), (b"fits".to_vec(), Some(from.clone()), false));
        let largest = vec![7; 65_507];
        assert_eq!(send_to(&mut harness, sender, &largest, Some(&to)), 65_507);
        assert_eq!(receive(&mut harness, receiver, 65_536), (largest, Some(from), false));
        assert_eq!(send_to(&mut harness, sender, &vec![7; 65_508], Some(&to)), -libc::EMSGSIZE);
    }
}

#[test]
fn parts_are_one_datagram() {
    let mut harness = Harness::on_rung(0);
    let (receiver, to) = bind(&mut harness, LOOPBACK, None);
    let (sender, _) = bind(&mut harness, LOOPBACK, None);
    let source = harness.block(64);
    harness.fill(source, b"onetwo");
    let part = |offset| BlockRange { offset, length: 3, ..source };
    let parts = vec![part(3), part(0), part(3)];
    let outcome = harness.run(Op::SendMessage { descriptor: sender, parts, address: Some(Box::new(to)), wait_all: false });
    assert_eq!(outcome.result, 9);
    assert_eq!(receive(&mut harness, receiver, 64).0, b"twoonetwo");
}

#[test]
fn a_socket_with_a_peer_talks_to_it_alone() {
    let mut harness = Harness::on_rung(0);
    let (one, to) = bind(&mut harness, LOOPBACK, None);
    let (other, from) = bind(&mut harness, LOOPBACK, Some(to.clone()));
    assert_eq!(harness.proactor.address(other, true), Ok(to.clone()));
    harness.send(other, b"no address");
    assert_eq!(receive(&mut harness, one, 64), (b"no address".to_vec(), Some(from.clone()), false));
    let (stranger, _) = bind(&mut harness, LOOPBACK, None);
    send_to(&mut harness, stranger, b"from a stranger", Some(&from));
    send_to(&mut harness, one, b"from the peer", Some(&from));
    assert_eq!(receive(&mut harness, other, 64).0, b"from the peer");
    // Nobody is there any more: the kernel tells whoever asks next.
    harness.close(one);
    harness.send(other, b"into the void");
    let target = harness.block(64);
    assert_eq!(harness.run(Op::ReceiveMessage { descriptor: other, target }).result, -libc::ECONNREFUSED);
    let (alone, _) = bind(&mut harness, LOOPBACK, None);
    assert_eq!(send_to(&mut harness, alone, b"where to?", None), -libc::EDESTADDRREQ);
}

#[test]
fn a_receive_that_is_cancelled_takes_no_datagram() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (receiver, to) = bind(&mut harness, LOOPBACK, None);
        let (sender, _) = bind(&mut harness, LOOPBACK, None);
        let target = harness.block(64);
        let mut delivered = 0;
        for round in 0..500u32 {
            let token = harness.submit(Op::ReceiveMessage { descriptor: receiver, target });
            if round % 3 > 0 {
                harness.enter();
            }
            if round % 2 == 0 {
                send_to(&mut harness, sender, &round.to_le_bytes(), Some(&to));
            }
            harness.proactor.cancel(token);
            let outcome = harness.wait(token);
            if outcome.result >= 0 {
                assert_eq!(harness.bytes(target, 4), (delivered * 2u32).to_le_bytes());
                delivered += 1;
            } else {
                assert_eq!((outcome.result, outcome.detail), (-libc::ECANCELED, Detail::None));
            }
        }
        for number in delivered..250 {
            assert_eq!(receive(&mut harness, receiver, 64).0, (number * 2).to_le_bytes());
        }
    }
}

#[test]
fn members_of_a_group_receive_what_is_sent_to_it_until_they_leave() {
    let mut harness = Harness::on_rung(0);
    let options = SocketOptions { reuse_address: true, ..PLAIN };
    let any = Address::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let member = harness.opened(Op::Bind { address: any.clone(), peer: None, options });
    let Ok(Address::Internet(bound)) = harness.proactor.address(member, false) else { panic!("no address") };
    let group = Address::from(SocketAddr::from((Ipv4Addr::new(239, 7, 7, 7), bound.port())));
    let over = Address::from(LOOPBACK);
    assert_eq!(harness.proactor.membership(member, true, &group, Some(&over)), Ok(()));
    assert_eq!(harness.proactor.membership(member, true, &group, Some(&over)), Err(libc::EADDRINUSE));
    let (sender, from) = bind(&mut harness, LOOPBACK, None);
    harness.proactor.set_option(sender, SocketOption::MulticastInterface, 1).unwrap();
    assert_eq!(send_to(&mut harness, sender, b"to all", Some(&group)), 6);
    assert_eq!(receive(&mut harness, member, 64), (b"to all".to_vec(), Some(from), false));
    assert_eq!(harness.proactor.membership(member, false, &group, Some(&over)), Ok(()));
    assert_eq!(harness.proactor.membership(member, false, &group, Some(&over)), Err(libc::EADDRNOTAVAIL));
    let nobody = Address::Unix(UnixName::new(Vec::new()).unwrap());
    assert_eq!(harness.proactor.membership(member, true, &nobody, None), Err(libc::EINVAL));
    assert_eq!(harness.proactor.membership(member, true, &group, Some(&nobody)), Err(libc::EINVAL));
    assert_eq!(harness.proactor.membership(DescriptorId::NONE, true, &group, None), Err(libc::EBADF));
}

/// The loopback interface has no route for IPv6 multicast, so the kernel's own list of memberships is asked.
#[test]
fn a_membership_of_version_6_is_of_the_interface_that_the_scope_names() {
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 7, 7);
    let listed =
        || std::fs::read_to_string("/proc/net/igmp6").unwrap().contains("lo              ff010000000000000000000000070007");
    let mut harness = Harness::on_rung(0);
    let (member, _) = bind(&mut harness, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), None);
    let (scoped, plain) = (SocketAddrV6::new(GROUP, 0, 0, 1), SocketAddrV6::new(GROUP, 0, 0, 0));
    let over = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 1);
    let rows = [(SocketAddr::from(scoped), None), (plain.into(), Some(Address::from(SocketAddr::from(over))))];
    for (group, over) in rows {
        assert!(!listed());
        assert_eq!(harness.proactor.membership(member, true, &group.into(), over.as_ref()), Ok(()));
        assert!(listed());
        assert_eq!(harness.proactor.membership(member, false, &group.into(), over.as_ref()), Ok(()));
    }
    assert!(!listed());
}
