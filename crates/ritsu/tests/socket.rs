//! Description: sockets: made, connected, accepted and named correctly, whatever the family; options; half-close; readiness.

mod harness;

use harness::{Harness, LOOPBACK, RUNGS, TemporaryFile, pipe};
use ritsu::{Address, DescriptorId, Detail, Fault, Op, OpOptions, Position, SocketOption, SocketOptions, UnixName};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const PLAIN: SocketOptions = SocketOptions { reuse_port: false, ipv6_only: false, reuse_address: false };

fn unix(bytes: &[u8]) -> Address {
    Address::Unix(UnixName::new(bytes.to_vec()).expect("it fits"))
}

/// A path that nothing has yet, removed at the end.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ritsu-socket-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn address(&self) -> Address {
        unix(self.0.as_os_str().as_bytes())
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn exchange(harness: &mut Harness, one: DescriptorId, other: DescriptorId) {
    harness.send(one, b"there");
    assert_eq!(harness.receive(other), b"there");
    harness.send(other, b"and back");
    assert_eq!(harness.receive(one), b"and back");
}

#[test]
fn every_family_connects_and_both_ends_know_each_other() {
    let version_6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    for first_rung in RUNGS {
        let path = SocketPath::new();
        let hidden = unix(format!("\0ritsu-{}-{first_rung}", std::process::id()).as_bytes());
        for address in [LOOPBACK.into(), version_6.into(), path.address(), hidden] {
            let mut harness = Harness::on_rung(first_rung);
            let (listener, bound) = harness.listen(address.clone());
            match (&address, &bound) {
                (Address::Internet(asked), Address::Internet(given)) => {
                    assert_eq!(asked.ip(), given.ip());
                    assert_ne!(given.port(), 0);
                }
                _ => assert_eq!(address, bound),
            }
            let accept = harness.submit(Op::Accept { descriptor: listener, multishot: false });
            let client = harness.connect(&bound);
            let server = harness.next_opened(accept);
            let proactor = &harness.proactor;
            assert_eq!(proactor.address(client, true), Ok(bound.clone()));
            assert_eq!(proactor.address(server, false), Ok(bound));
            assert_eq!(proactor.address(server, true), proactor.address(client, false));
            exchange(&mut harness, client, server);
        }
    }
}

#[test]
fn a_path_of_108_bytes_needs_no_terminator() {
    let mut harness = Harness::on_rung(0);
    let directory = TemporaryFile::new(b"").0.with_extension("long");
    std::fs::create_dir(&directory).unwrap();
    let mut path = directory.as_os_str().as_bytes().to_vec();
    path.push(b'/');
    path.resize(108, b'x');
    let (listener, address) = harness.listen(unix(&path));
    assert_eq!(address, unix(&path));
    let client = harness.connect(&address);
    let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
    assert_eq!(harness.proactor.address(client, true), Ok(address));
    assert_eq!(harness.proactor.address(server, true), Ok(unix(b"")), "a client without a name");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_connection_comes_from_the_local_address_that_was_asked_for() {
    let mut harness = Harness::on_rung(0);
    let (listener, address) = harness.listen(LOOPBACK);
    let local = SocketAddr::from(([127, 0, 0, 9], 0));
    let client = harness.opened(Op::Connect { address, local: Some(Box::new(local.into())) });
    let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
    let peer = harness.proactor.address(server, true).unwrap();
    assert!(matches!(peer, Address::Internet(peer) if peer.ip() == local.ip() && peer.port() != 0));
    assert_eq!(harness.proactor.address(client, false), Ok(peer));
}

#[test]
fn what_cannot_be_made_answers_with_the_systems_errno() {
    let mut harness = Harness::on_rung(0);
    let (listener, taken) = harness.listen(LOOPBACK);
    let (free, unused) = harness.listen(LOOPBACK);
    harness.close(free);
    let file = TemporaryFile::new(b"");
    let existing = unix(file.0.as_os_str().as_bytes());
    let foreign = Address::from(SocketAddr::from(([203, 0, 113, 1], 0)));
    let connect = |address: &Address, local: Option<&Address>| Op::Connect {
        address: address.clone(),
        local: local.cloned().map(Box::new),
    };
    let listen = |address: &Address| Op::Listen { address: address.clone(), backlog: 1, options: PLAIN };
    let bind = |address: &Address, peer: &Address| Op::Bind {
        address: address.clone(),
        peer: Some(Box::new(peer.clone())),
        options: PLAIN,
    };
    let version_6 = Address::from(SocketAddr::from((Ipv6Addr::LOCALHOST, 1)));
    let rows = [
        (connect(&unused, None), libc::ECONNREFUSED),
        (connect(&unix(b"/nonexistent/socket"), None), libc::ENOENT),
        (connect(&existing, None), libc::ECONNREFUSED),
        (connect(&taken, Some(&foreign)), libc::EADDRNOTAVAIL),
        (connect(&taken, Some(&version_6)), libc::EAFNOSUPPORT),
        (listen(&taken), libc::EADDRINUSE),
        (listen(&existing), libc::EADDRINUSE),
        (listen(&foreign), libc::EADDRNOTAVAIL),
        (bind(&LOOPBACK.into(), &version_6), libc::EAFNOSUPPORT),
        (bind(&LOOPBACK.into(), &existing), libc::EAFNOSUPPORT),
    ];
    for (op, errno) in rows {
        let shown = format!("{op:?}");
        let outcome = harness.run(op);
        assert_eq!((outcome.result, outcome.detail), (-errno, Detail::None), "{shown}");
    }
    let (reader, _writer) = harness.pipe();
    assert_eq!(harness.run(Op::Accept { descriptor: reader, multishot: true }).result, -libc::ENOTSOCK);
    assert_eq!(harness.run(Op::Shutdown { descriptor: reader, how: Shutdown::Both }).result, -libc::ENOTSOCK);
    let client = harness.connect(&taken);
    assert_eq!(harness.run(Op::Accept { descriptor: client, multishot: false }).result, -libc::EINVAL, "does not listen");
    harness.close(listener);
    assert_eq!(harness.proactor.statistics().descriptors_open, 2, "nothing half made stays");
}

#[test]
fn listeners_share_a_port_or_a_family_only_when_asked() {
    let mut harness = Harness::on_rung(0);
    let listen = |address: Address, options| Op::Listen { address, backlog: 1, options };
    let shared = SocketOptions { reuse_port: true, ..PLAIN };
    let first = harness.opened(listen(LOOPBACK.into(), shared));
    let address = harness.proactor.address(first, false).unwrap();
    harness.opened(listen(address.clone(), shared));
    assert_eq!(harness.run(listen(address, PLAIN)).result, -libc::EADDRINUSE);

    let any = Address::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    for ipv6_only in [false, true] {
        let listener = harness.opened(listen(any.clone(), SocketOptions { ipv6_only, ..PLAIN }));
        let Ok(Address::Internet(bound)) = harness.proactor.address(listener, false) else { panic!("no address") };
        let version_4 = Address::from(SocketAddr::from(([127, 0, 0, 1], bound.port())));
        let outcome = harness.run(Op::Connect { address: version_4, local: None });
        assert_eq!(outcome.result, if ipv6_only { -libc::ECONNREFUSED } else { 0 });
        if !ipv6_only {
            let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
            let Ok(Address::Internet(peer)) = harness.proactor.address(server, true) else { panic!("no address") };
            assert!(peer.ip().to_string().starts_with("::ffff:127.0.0.1"), "{peer}");
        }
    }
}

#[test]
fn sockets_close_on_exec_and_block() {
    let mut harness = Harness::on_rung(0);
    let (listener, address) = harness.listen(LOOPBACK);
    for multishot in [false, true] {
        let accept = harness.submit(Op::Accept { descriptor: listener, multishot });
        let connected = harness.run(Op::Connect { address: address.clone(), local: None });
        for outcome in [connected, harness.wait(accept)] {
            let Detail::Opened(_, integer) = outcome.detail else { panic!("errno {}", -outcome.result) };
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{integer}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_eq!(flags & (libc::O_CLOEXEC | libc::O_NONBLOCK), libc::O_CLOEXEC);
        }
    }
}

#[test]
fn options_come_back_as_they_were_set() {
    use SocketOption::{
        Broadcast, KeepAlive, KeepAliveDelay, Linger, MulticastInterface, MulticastLoopback, MulticastTimeToLive, NoDelay,
        ReceiveBuffer, SendBuffer, TimeToLive,
    };
    let mut harness = Harness::on_rung(0);
    let (stream, _) = harness.listen(LOOPBACK);
    let datagram = |address: SocketAddr| Op::Bind { address: address.into(), peer: None, options: PLAIN };
    let version_4 = harness.opened(datagram(LOOPBACK));
    let version_6 = harness.opened(datagram((Ipv6Addr::LOCALHOST, 0).into()));
    let rows: [(DescriptorId, SocketOption, &[i32]); 17] = [
        (stream, NoDelay, &[1, 0]),
        (stream, KeepAlive, &[1, 0]),
        (stream, KeepAliveDelay, &[7, 32_767]),
        (stream, Linger, &[0, 5, -1]),
        (stream, ReceiveBuffer, &[65_536]),
        (stream, SendBuffer, &[65_536]),
        (version_4, Broadcast, &[1, 0]),
        (version_4, TimeToLive, &[1, 255]),
        (version_6, TimeToLive, &[1, 255]),
        (version_4, MulticastTimeToLive, &[0, 255]),
        (version_6, MulticastTimeToLive, &[0, 255]),
        (version_4, MulticastLoopback, &[0, 1]),
        (version_6, MulticastLoopback, &[0, 1]),
        (version_6, MulticastInterface, &[1, 0]),
        (version_4, ReceiveBuffer, &[8192]),
        (version_6, SendBuffer, &[8192]),
        (version_6, Broadcast, &[1]),
    ];
    for (socket, option, values) in rows {
        for value in values {
            assert_eq!(harness.proactor.set_option(socket, option, *value), Ok(()), "{option:?} {value}");
            let doubled = if matches!(option, ReceiveBuffer | SendBuffer) { 2 } else { 1 };
            assert_eq!(harness.proactor.option(socket, option), Ok(value * doubled), "{option:?}");
        }
    }
    assert_eq!(harness.proactor.set_option(version_4, MulticastInterface, 1), Ok(()), "the loopback interface");
}

#[test]
fn options_that_cannot_be_are_refused_with_the_systems_errno() {
    let mut harness = Harness::on_rung(0);
    let (stream, _) = harness.listen(LOOPBACK);
    let (reader, _writer) = harness.pipe();
    for number in 0..12 {
        let option = SocketOption::from_number(number).expect("twelve options");
        assert_eq!(option as u32, number);
        assert_eq!(harness.proactor.set_option(DescriptorId::NONE, option, 0), Err(libc::EBADF));
        assert_eq!(harness.proactor.option(DescriptorId::NONE, option), Err(libc::EBADF));
        assert!(harness.proactor.option(reader, option).is_err(), "{option:?} of a pipe");
    }
    assert_eq!(harness.proactor.option(reader, SocketOption::NoDelay), Err(libc::ENOTSOCK));
    assert_eq!(harness.proactor.address(reader, false), Err(libc::ENOTSOCK));
    assert_eq!(harness.proactor.address(stream, true), Err(libc::ENOTCONN));
    let rows = [
        (SocketOption::KeepAliveDelay, 0),
        (SocketOption::KeepAliveDelay, -1),
        (SocketOption::Linger, -2),
        (SocketOption::ReceiveBuffer, -1),
        (SocketOption::TimeToLive, 256),
        (SocketOption::TimeToLive, -1),
    ];
    for (option, value) in rows {
        assert_eq!(harness.proactor.set_option(stream, option, value), Err(libc::EINVAL), "{option:?} {value}");
    }
    assert_eq!(harness.proactor.set_option(stream, SocketOption::Error, 0), Err(libc::ENOPROTOOPT));
}

#[test]
fn a_reset_is_an_error_that_waits_to_be_asked_for() {
    let mut harness = Harness::on_rung(0);
    let (client, server) = harness.connection();
    assert_eq!(harness.proactor.option(client, SocketOption::Error), Ok(0));
    harness.proactor.set_option(server, SocketOption::Linger, 0).unwrap();
    harness.close(server);
    assert_eq!(harness.proactor.option(client, SocketOption::Error), Ok(libc::ECONNRESET));
    assert_eq!(harness.proactor.option(client, SocketOption::Error), Ok(0), "asked once");
}

#[test]
fn a_duplicate_leaves_the_callers_integer_alone() {
    let mut harness = Harness::on_rung(0);
    let (reader, writer) = pipe();
    let mut writer = File::from(writer);
    let (descriptor, integer) = harness.proactor.adopt_duplicate(reader.as_raw_fd()).unwrap();
    assert_ne!(integer, reader.as_raw_fd());
    writer.write_all(b"one").unwrap();
    assert_eq!(harness.receive(descriptor), b"one");
    harness.close(descriptor);
    let (again, _) = harness.proactor.adopt_duplicate(reader.as_raw_fd()).expect("still open");
    // Somebody closes their own integer: ours still reads.
    drop(reader);
    writer.write_all(b"two").unwrap();
    assert_eq!(harness.receive(again), b"two");
    assert_eq!(harness.proactor.adopt_duplicate(-1), Err(libc::EBADF));
    assert_eq!(harness.proactor.adopt_duplicate(i32::MAX), Err(libc::EBADF));
}

#[test]
fn half_a_connection_ends_and_the_other_half_goes_on() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        assert_eq!(harness.run(Op::Shutdown { descriptor: client, how: Shutdown::Write }).result, 0);
        assert_eq!(harness.receive(server), b"");
        harness.send(server, b"late");
        assert_eq!(harness.receive(client), b"late");
        let source = harness.block(64);
        let send = harness.run(Op::Send { descriptor: client, source, wait_all: false, zero_copy: false });
        assert_eq!(send.result, -libc::EPIPE, "and no signal");
        // A read that waits is ended by a shutdown, as by no close.
        let target = harness.block(64);
        let read = harness.submit(Op::Read { descriptor: server, target, position: Position::Current });
        let both = harness.submit(Op::Shutdown { descriptor: server, how: Shutdown::Both });
        assert_eq!((harness.wait(both).result, harness.wait(read).result), (0, 0));
    }
}

#[test]
fn readiness_is_told_once_and_can_be_cancelled() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (reader, writer) = harness.pipe();
        let input = libc::POLLIN as u32;
        let poll = harness.submit(Op::Poll { descriptor: reader, events: input });
        harness.turn();
        assert!(harness.outcomes.is_empty());
        let other = harness.submit(Op::Poll { descriptor: reader, events: input });
        harness.turn();
        harness.proactor.cancel(other);
        assert_eq!(harness.wait(other).result, -libc::ECANCELED);
        let mut writer = File::from(writer);
        writer.write_all(b"x").unwrap();
        assert_eq!(harness.wait(poll).result, i32::from(libc::POLLIN));
        drop(writer);
        let hangup = harness.run(Op::Poll { descriptor: reader, events: input }).result;
        assert_eq!(hangup, i32::from(libc::POLLIN | libc::POLLHUP));
        assert_eq!(harness.receive(reader), b"x", "a poll takes nothing");
    }
}

/// A read of connection A is queued, A is closed, and another connection is accepted before the turn's ops reach the kernel.
#[test]
fn s13_a_queued_read_of_a_closed_connection_takes_no_byte_of_the_next_one() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (listener, address) = harness.listen(LOOPBACK);
        let _first_client = harness.connect(&address);
        let outcome = harness.run(Op::Accept { descriptor: listener, multishot: false });
        let Detail::Opened(connection, integer) = outcome.detail else { panic!("errno {}", -outcome.result) };
        let second_client = harness.connect(&address);
        harness.send(second_client, b"for the second");

        let target = harness.block(64);
        let read = harness.submit(Op::Read { descriptor: connection, target, position: Position::Current });
        let close = harness.submit(Op::Close { descriptor: connection });
        let accept = harness.submit(Op::Accept { descriptor: listener, multishot: false });
        harness.proactor.cancel(read);
        assert_eq!(harness.wait(read).result, -libc::ECANCELED);
        assert_eq!(harness.wait(close).result, 0);
        let second = harness.next_opened(accept);
        let late = harness.try_submit(Op::Accept { descriptor: connection, multishot: false }, OpOptions::default());
        assert_eq!(late.unwrap_err().error, Fault::Descriptor);
        assert_eq!(harness.receive(second), b"for the second");

        // The same without a cancel: the read holds its integer, so the connection that comes meanwhile has another.
        let third_client = harness.connect(&address);
        let third = harness.opened(Op::Accept { descriptor: listener, multishot: false });
        let fourth_client = harness.connect(&address);
        harness.send(fourth_client, b"for the fourth");
        let read = harness.submit(Op::Read { descriptor: third, target, position: Position::Current });
        let close = harness.submit(Op::Close { descriptor: third });
        let fourth = harness.opened(Op::Accept { descriptor: listener, multishot: false });
        harness.send(third_client, b"for the third");
        assert_eq!(harness.wait(read).result, 13);
        assert_eq!(harness.bytes(target, 13), b"for the third");
        assert_eq!(harness.wait(close).result, 0);
        assert_eq!(harness.receive(fourth), b"for the fourth");
        assert!(integer > 2);
    }
}

/// What somebody else made nonblocking, as Node does with its pipes, is waited for all the same: the flag is for system calls.
#[test]
fn an_adopted_file_that_does_not_block_is_waited_for() {
    let mut harness = Harness::on_rung(0);
    let mut ends = [0; 2];
    // SAFETY: two integers, as socketpair wants them.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0, ends.as_mut_ptr()) };
    assert_eq!(made, 0);
    // SAFETY: just made, known to nobody else.
    let [one, other] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    // SAFETY: two integers, as pipe2 wants them.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) }, 0);
    // SAFETY: just made, known to nobody else.
    let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    let (group, first) = harness.pool(4096, 2);
    for (input, output) in [(one, other), (reader, writer)] {
        let (descriptor, _) = harness.proactor.adopt_duplicate(input.as_raw_fd()).unwrap();
        let mut output = File::from(output);
        let target = harness.block(64);
        let read = harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.turn();
        assert!(harness.outcomes.is_empty());
        output.write_all(b"now").unwrap();
        assert_eq!(harness.wait(read).result, 3);
        harness.proactor.provide(group, first).unwrap();
        let (position, provide) = (Position::Current, None);
        let read = harness.submit(Op::ReadSelect { descriptor, group, length: 0, position, provide, multishot: true });
        harness.turn();
        assert!(harness.outcomes.is_empty());
        output.write_all(b"more").unwrap();
        let outcome = harness.wait(read);
        assert_eq!((outcome.result, outcome.more), (4, true));
        harness.proactor.cancel(read);
        assert_eq!(harness.wait(read).result, -libc::ECANCELED);
    }
}
