//! How an errno of enter is met, which cancels are sent again, and on which thread a proactor stays.

use super::{EnterFailure, Proactor, enter_failure};
use crate::{BlockRange, Config, Op, OpOptions, Token};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn s17_each_errno_of_enter_is_met_in_its_own_way() {
    let rows = [
        (libc::EINTR, EnterFailure::Interrupted),
        (libc::ETIME, EnterFailure::Elapsed),
        (libc::EAGAIN, EnterFailure::Busy),
        (libc::EBUSY, EnterFailure::Busy),
        (libc::ENOMEM, EnterFailure::Busy),
        (libc::EBADR, EnterFailure::Broken),
        (libc::EBADF, EnterFailure::Broken),
        (libc::EEXIST, EnterFailure::Broken),
        (libc::EINVAL, EnterFailure::Broken),
    ];
    for (errno, expected) in rows {
        assert_eq!(enter_failure(errno), expected, "errno {errno}");
    }
}

/// Compiles only while `Proactor` is not `Send`: were it, both impls would fit and the call would be ambiguous.
#[test]
fn a_proactor_stays_on_its_thread() {
    trait AmbiguousIfSend<A> {
        fn check() {}
    }
    impl<T: ?Sized> AmbiguousIfSend<()> for T {}
    impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}
    <Proactor as AmbiguousIfSend<_>>::check();
}

/// On a socket, what the last receive found is what the next one expects; and either way it gets what comes.
#[test]
fn a_receive_waits_first_where_the_last_one_had_to() {
    let mut proactor = Proactor::new(Config::default()).unwrap();
    let (mut peer, socket) = UnixStream::pair().unwrap();
    let descriptor = proactor.adopt(socket.into()).unwrap();
    let block = proactor.allocate_block(64).unwrap();
    let mut token = Token { slot: 0, generation: 0 };
    let mut expected = false;
    let mut seed = 0x5eed_u32;
    for round in 0..1000_u32 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let is_late = seed >> 31 == 1;
        let bytes = round.to_le_bytes();
        if !is_late {
            peer.write_all(&bytes).unwrap();
        }
        assert_eq!(proactor.descriptors.waits(descriptor), expected);
        let target = BlockRange { block, offset: 0, length: 64 };
        proactor.submit(token, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
        proactor.enter();
        let mut result = None;
        proactor.reap(1, &mut |outcome| result = Some(outcome.result));
        if is_late {
            assert_eq!(result, None, "nothing is there");
            peer.write_all(&bytes).unwrap();
            proactor.enter_and_wait(Duration::from_secs(5));
            proactor.reap(1, &mut |outcome| result = Some(outcome.result));
        }
        assert_eq!(result, Some(4), "round {round}");
        expected = is_late;
        token = token.next();
    }
    // One that waits first sees the end, as one that tries first does.
    proactor.descriptors.set_waits(descriptor, true);
    drop(peer);
    let target = BlockRange { block, offset: 0, length: 64 };
    proactor.submit(token, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
    proactor.enter();
    let mut result = None;
    proactor.reap(1, &mut |outcome| result = Some(outcome.result));
    assert_eq!(result, Some(0));
}

fn only_result(proactor: &mut Proactor) -> Option<i32> {
    let mut results = Vec::new();
    proactor.reap(usize::MAX, &mut |outcome| results.push(outcome.result));
    assert!(results.len() <= 1);
    results.pop()
}

/// A pipe is no socket, which the kernel notices when it tries, and not while it waits.
#[test]
fn a_receive_that_waits_first_is_not_tried() {
    for waits in [false, true] {
        let mut proactor = Proactor::new(Config::default()).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let descriptor = proactor.adopt(reader.into()).unwrap();
        let target = BlockRange { block: proactor.allocate_block(64).unwrap(), offset: 0, length: 64 };
        proactor.descriptors.set_waits(descriptor, waits);
        proactor.submit(Token { slot: 0, generation: 0 }, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
        proactor.enter();
        assert_eq!(only_result(&mut proactor), (!waits).then_some(-libc::ENOTSOCK));
        if waits {
            writer.write_all(b"x").unwrap();
            proactor.enter_and_wait(Duration::from_secs(5));
            assert_eq!(only_result(&mut proactor), Some(-libc::ENOTSOCK));
            assert!(!proactor.descriptors.waits(descriptor), "after an error the next one tries");
        }
    }
}

/// A cancel ends one that waits first, and the bytes that come then are the next one's; so does a drain.
#[test]
fn a_receive_that_waits_first_can_be_cancelled() {
    let mut proactor = Proactor::new(Config::default()).unwrap();
    let (mut peer, socket) = UnixStream::pair().unwrap();
    let descriptor = proactor.adopt(socket.into()).unwrap();
    let target = BlockRange { block: proactor.allocate_block(64).unwrap(), offset: 0, length: 64 };
    let mut token = Token { slot: 0, generation: 0 };
    for _ in 0..100 {
        proactor.descriptors.set_waits(descriptor, true);
        proactor.submit(token, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
        proactor.enter();
        proactor.cancel(token);
        proactor.enter_and_wait(Duration::from_secs(5));
        assert_eq!(only_result(&mut proactor), Some(-libc::ECANCELED));
        peer.write_all(b"next").unwrap();
        token = token.next();
        proactor.submit(token, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
        proactor.enter();
        assert_eq!(only_result(&mut proactor), Some(4));
        token = token.next();
    }
    proactor.descriptors.set_waits(descriptor, true);
    proactor.submit(token, Op::Receive { descriptor, target }, OpOptions::default()).unwrap();
    proactor.enter();
    let mut results = Vec::new();
    let drained = proactor.drain(Instant::now() + Duration::from_secs(5), &mut |outcome| results.push(outcome.result));
    assert_eq!((drained.remaining, results), (0, vec![-libc::ECANCELED]));
}

/// The cancels of an op of many parts do not fit the queue at once, and one of the first misses its part while others wait for room: after
/// those it is sent again. Nothing is reaped here, so that every part stays the kernel's as far as the proactor knows.
#[test]
fn a_cancel_that_misses_while_others_wait_for_room_is_sent_again() {
    const PARTS: u64 = 8;
    let mut proactor = Proactor::new(Config { entries: 4, completion_entries: 64, ..Config::default() }).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let descriptor = proactor.adopt(reader.into()).unwrap();
    let block = proactor.allocate_block(64).unwrap();
    let token = Token { slot: 0, generation: 0 };
    let target = BlockRange { block, offset: 0, length: 64 };
    let op = Op::ReadMany { descriptor, target, positions: Box::new([0; PARTS as usize]), fixed: false };
    proactor.submit(token, op, OpOptions::default()).unwrap();
    for _ in 0..3 {
        proactor.enter();
    }
    proactor.cancel(token);
    proactor.enter();
    assert_eq!(proactor.statistics.cancels_sent, 4, "there was no room for more");
    for _ in 0..2 {
        proactor.repeat_cancel(token, 1, -libc::EALREADY);
    }
    for _ in 0..9 {
        proactor.enter();
    }
    assert_eq!(proactor.statistics.cancels_sent, 2 * PARTS, "all once more, and then no more");
    drop(writer);
}
