//! How an errno of enter is met, and on which thread a proactor stays.

use super::{EnterFailure, Proactor, enter_failure};

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
