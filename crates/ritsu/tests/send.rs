//! Description: sends: all of it or a true count, no signal, and memory that stays the kernel's until it says otherwise.

mod harness;

use harness::{Harness, RUNGS, pattern};
use ritsu::{BlockRange, DescriptorId, Detail, Fault, Op, OpOptions, Outcome, Position, SocketOption, SocketOptions, Token};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::ptr::NonNull;

const LARGE: u32 = 8 << 20;
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn send(descriptor: DescriptorId, source: BlockRange, wait_all: bool, zero_copy: bool) -> Op {
    Op::Send { descriptor, source, wait_all, zero_copy }
}

/// Receives until `length` bytes are there, or the end.
fn receive_all(harness: &mut Harness, descriptor: DescriptorId, length: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < length {
        let bytes = harness.receive(descriptor);
        if bytes.is_empty() {
            break;
        }
        received.extend(bytes);
    }
    received
}

/// Both completions of a zero-copy send, or the only one.
fn outcomes(harness: &mut Harness, token: Token) -> Vec<Outcome> {
    let mut outcomes = vec![harness.wait(token)];
    while outcomes.last().is_some_and(|outcome| outcome.more) {
        outcomes.push(harness.wait(token));
    }
    outcomes
}

#[test]
fn eight_mebibytes_are_sent_whole_by_one_op() {
    let content = pattern(LARGE as usize, 1);
    for first_rung in RUNGS {
        for zero_copy in [false, true] {
            let mut harness = Harness::on_rung(first_rung);
            let (client, server) = harness.connection();
            let source = harness.block(LARGE);
            harness.fill(source, &content);
            let token = harness.submit(send(client, source, true, zero_copy));
            let received = receive_all(&mut harness, server, content.len());
            assert!(received == content, "{} bytes", received.len());
            assert_eq!(outcomes(&mut harness, token)[0].result as usize, content.len());
        }
    }
}

#[test]
fn several_ranges_are_one_message_and_are_sent_whole() {
    let mut harness = Harness::on_rung(0);
    let (client, server) = harness.connection();
    let content = pattern(LARGE as usize, 6);
    let source = harness.block(LARGE);
    harness.fill(source, &content);
    let third = LARGE / 3;
    let parts = vec![
        BlockRange { offset: 2 * third, length: LARGE - 2 * third, ..source },
        BlockRange { offset: 0, length: third, ..source },
        BlockRange { offset: third, length: third, ..source },
    ];
    let expected: Vec<u8> = [&content[2 * third as usize..], &content[..2 * third as usize]].concat();
    let token = harness.submit(Op::SendMessage { descriptor: client, parts, address: None, wait_all: true });
    assert!(receive_all(&mut harness, server, content.len()) == expected);
    assert_eq!(harness.wait(token).result as u32, LARGE);
    let too_many = Op::SendMessage { descriptor: client, parts: vec![source; 1025], address: None, wait_all: true };
    assert_eq!(harness.try_submit(too_many, OpOptions::default()).unwrap_err().error, Fault::Argument);
}

#[test]
fn a_send_that_is_cut_short_tells_how_much_was_sent() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let content = pattern(LARGE as usize, 2);
        let source = harness.block(LARGE);
        harness.fill(source, &content);
        let token = harness.submit(send(client, source, true, false));
        harness.turn();
        assert!(harness.outcomes.is_empty(), "no buffer of a socket is that large");
        harness.proactor.cancel(token);
        let sent = harness.wait(token).result;
        assert!(sent > 0 && (sent as u32) < LARGE, "{sent}");
        let short = harness.run(send(server, source, false, false)).result;
        assert!(short > 0 && (short as u32) < LARGE, "without waiting: what fits, {short}");
        harness.run(Op::Shutdown { descriptor: client, how: Shutdown::Write });
        assert!(receive_all(&mut harness, server, usize::MAX) == content[..sent as usize]);
    }
}

#[test]
fn a_peer_that_is_gone_is_an_errno_and_no_signal() {
    let mut harness = Harness::on_rung(0);
    let source = harness.block(64);
    let message = |descriptor| Op::SendMessage { descriptor, parts: vec![source], address: None, wait_all: true };
    let ops: [&dyn Fn(DescriptorId) -> Op; 3] =
        [&|client| send(client, source, true, false), &|client| send(client, source, true, true), &message];
    for op in ops {
        let (client, server) = harness.connection();
        harness.proactor.set_option(server, SocketOption::Linger, 0).unwrap();
        harness.close(server);
        let token = harness.submit(op(client));
        assert_eq!(outcomes(&mut harness, token)[0].result, -libc::ECONNRESET);
        let token = harness.submit(op(client));
        assert_eq!(outcomes(&mut harness, token)[0].result, -libc::EPIPE);
        assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    }
}

#[test]
fn a_read_is_told_of_a_reset() {
    let mut harness = Harness::on_rung(0);
    let (client, server) = harness.connection();
    let target = harness.block(64);
    let read = harness.submit(Op::Read { descriptor: client, target, position: Position::Current });
    harness.turn();
    harness.proactor.set_option(server, SocketOption::Linger, 0).unwrap();
    harness.close(server);
    assert_eq!(harness.wait(read).result, -libc::ECONNRESET);
}

/// The peer does not read, so the kernel still needs the memory after the result: the block is nobody else's until the notification.
#[test]
fn s33_a_zero_copy_send_gives_its_block_back_at_the_notification() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        assert!(harness.proactor.capability().zero_copy);
        let (client, server) = harness.connection();
        let source = harness.block(1 << 18);
        let content = pattern(1 << 18, 3);
        harness.fill(source, &content);
        let token = harness.submit(send(client, source, false, true));
        let result = harness.wait(token);
        assert!(result.more && result.result > 0);
        let sent = result.result as usize;
        assert!(harness.outcomes.is_empty(), "nobody has received it");
        let again = harness.try_submit(send(client, source, false, false), OpOptions::default());
        assert_eq!(again.unwrap_err().error, Fault::Block, "the kernel still reads it");
        assert_eq!(harness.proactor.statistics().blocks_busy, 1);
        assert!(receive_all(&mut harness, server, sent) == content[..sent]);
        let notification = harness.wait(token);
        assert_eq!((notification.result, notification.more, notification.detail), (0, false, Detail::None));
        let statistics = harness.proactor.statistics();
        assert_eq!((statistics.blocks_busy, statistics.in_flight), (0, 0));
    }
}

#[test]
fn s33_a_zero_copy_send_that_a_reset_interrupts_still_ends() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let source = harness.block(LARGE);
        let token = harness.submit(send(client, source, true, true));
        harness.turn();
        harness.proactor.set_option(server, SocketOption::Linger, 0).unwrap();
        harness.close(server);
        let outcomes = outcomes(&mut harness, token);
        let first = outcomes[0].result;
        assert!(first == -libc::ECONNRESET || (first > 0 && (first as u32) < LARGE), "{first}");
        assert!(outcomes.len() <= 2 && outcomes.get(1).is_none_or(|notification| notification.result == 0));
        let statistics = harness.proactor.statistics();
        assert_eq!((statistics.blocks_busy, statistics.in_flight), (0, 0));
        harness.close(client);
    }
}

/// A cancel ends the send, never the kernel's use of what was sent already.
#[test]
fn s33_a_cancelled_zero_copy_send_keeps_its_block_until_the_notification() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let source = harness.block(LARGE);
        let content = pattern(LARGE as usize, 4);
        harness.fill(source, &content);
        let token = harness.submit(send(client, source, true, true));
        harness.turn();
        harness.proactor.cancel(token);
        let result = harness.wait(token);
        assert!(result.more && result.result > 0 && (result.result as u32) < LARGE, "{}", result.result);
        let sent = result.result as usize;
        assert!(receive_all(&mut harness, server, sent) == content[..sent]);
        let notification = harness.wait(token);
        assert_eq!((notification.result, notification.more), (0, false));
        assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    }
}

/// Sends from a slice, at once.
fn send_now(harness: &Harness, descriptor: DescriptorId, bytes: &[u8]) -> Result<usize, i32> {
    let address = NonNull::from(bytes).cast();
    // SAFETY: the slice is valid for the time of the call.
    unsafe { harness.proactor.send_now(descriptor, address, bytes.len()) }
}

/// What is sent at once is the kernel's own when the call returns; what is not is told, and never waited for.
#[test]
fn what_a_socket_takes_is_sent_at_once_and_errors_are_told() {
    let mut harness = Harness::on_rung(0);
    let (client, server) = harness.connection();
    let mut content = pattern(LARGE as usize, 5);
    let mut sent = 0;
    let refused = loop {
        match send_now(&harness, client, &content[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(errno) => break errno,
        }
        assert!(sent < content.len(), "the socket took all of it");
    };
    assert_eq!(refused, libc::EAGAIN);
    assert!(sent > 0);
    let expected = content[..sent].to_vec();
    content.fill(0);
    assert!(receive_all(&mut harness, server, sent) == expected);

    let closed = harness.opened(Op::Bind { address: LOOPBACK.into(), peer: None, options: SocketOptions::default() });
    harness.close(closed);
    assert_eq!(send_now(&harness, closed, &content), Err(libc::EBADF));
    let (pipe, _reader) = harness.pipe();
    assert_eq!(send_now(&harness, pipe, &content), Err(libc::ENOTSOCK));
    harness.close(server);
    // The first one reaches a peer that is gone, whose answer ends the connection; no signal either way.
    let errors: Vec<_> = (0..100).map_while(|_| send_now(&harness, client, b"x").err().or(Some(0))).collect();
    assert!(errors.iter().any(|&errno| errno == libc::EPIPE || errno == libc::ECONNRESET), "{errors:?}");
}
