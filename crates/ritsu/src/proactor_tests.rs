//! How an errno of enter is met, which cancels are sent again, and on which thread a proactor stays.

use super::{EnterFailure, Proactor, enter_failure};
use crate::{BlockRange, Config, Op, OpOptions, Token};

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
