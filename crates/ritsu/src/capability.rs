//! What the running kernel supports, found by asking it, and what stands in the way when there is no ring. Pure but for two reads of
//! `/proc`; the asking itself is done in `ring.rs`.
//!
//! Nothing is concluded from a version number: distributions port features back, and sandboxes answer differently from the kernel.

use crate::error::{Cause, SetupError, Stage};

/// What the running kernel was asked and supports.
///
/// ```
/// # fn main() -> Result<(), ritsu::SetupError> {
/// let proactor = ritsu::Proactor::new(ritsu::Config::default())?;
/// assert!(proactor.capability().entries >= 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
// Each answers one question to the kernel; they are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub struct Capability {
    /// Index of the rung of the set-up ladder that the kernel took; 0 is the newest mode.
    pub rung: usize,
    /// The `IORING_SETUP_*` flags in use (`io_uring_setup(2)`).
    pub setup_flags: u32,
    /// Entries of the submission queue.
    pub entries: u32,
    /// Entries of the completion queue.
    pub completion_entries: u32,
    /// Completion work is deferred to our own enter (`IORING_SETUP_DEFER_TASKRUN`, Linux 6.1).
    pub defer_taskrun: bool,
    /// Provided-buffer rings (Linux 5.19): select reads work.
    pub buffer_select: bool,
    /// `IORING_NOP_INJECT_RESULT` (Linux 6.10): a nop can be made to answer anything.
    pub nop_inject: bool,
    /// `IORING_OP_FTRUNCATE` (Linux 6.9). Without it the core truncates synchronously, within submit.
    pub ftruncate: bool,
    /// `IORING_OP_SHUTDOWN` (Linux 5.11). Without it the core shuts down synchronously, within submit.
    pub shutdown: bool,
    /// One accept brings many connections (Linux 5.19); otherwise it ends with the first.
    pub multishot_accept: bool,
    /// One receive fills many blocks (Linux 6.0); otherwise it ends with the first.
    pub multishot_receive: bool,
    /// One read fills many blocks (`IORING_OP_READ_MULTISHOT`, Linux 6.7); otherwise it ends with the first.
    pub multishot_read: bool,
    /// Sends without a copy (`IORING_OP_SEND_ZC`, Linux 6.0); otherwise they are plain sends.
    pub zero_copy: bool,
    /// `io_uring_enter(2)` takes a time limit (`IORING_FEAT_EXT_ARG`, Linux 5.11).
    pub wait_timeout: bool,
    /// Signalling can be turned off while awake (x86-64 only, see [`Proactor::mute`](crate::Proactor::mute)).
    pub signalling: bool,
}

/// What may stand between a process and its ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// `kernel.io_uring_disabled`; the file exists since Linux 6.6 where `io_uring` is built in.
    disabled: Option<u32>,
    /// `Seccomp:` of `/proc/self/status`; 2 means that a filter is installed.
    seccomp: Option<u32>,
}

impl Surroundings {
    pub(crate) fn read() -> Self {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { disabled: disabled.and_then(|text| text.trim().parse().ok()), seccomp: seccomp_mode(&status) }
    }
}

fn seccomp_mode(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).and_then(|mode| mode.trim().parse().ok())
}

/// The likeliest reason for `errno` (positive) at `stage`.
pub(crate) fn cause(stage: Stage, errno: i32, surroundings: Surroundings) -> Cause {
    let filtered = surroundings.seccomp == Some(2);
    match (stage, errno) {
        (Stage::Features, _) => Cause::Kernel,
        (_, libc::ENOMEM | libc::EAGAIN) => Cause::Memlock,
        (_, libc::EPERM | libc::EACCES) => match surroundings.disabled {
            Some(1..) => Cause::Sysctl,
            _ if filtered => Cause::Seccomp,
            _ => Cause::Unknown,
        },
        // The sysctl file proves that this kernel has io_uring, so somebody else must have said that it does not.
        (_, libc::ENOSYS) if filtered && surroundings.disabled.is_some() => Cause::Seccomp,
        (_, libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP) => Cause::Kernel,
        _ => Cause::Unknown,
    }
}

/// A set-up error with its likely cause.
pub(crate) fn setup_error(stage: Stage, errno: i32) -> SetupError {
    SetupError { stage, errno, cause: cause(stage, errno, Surroundings::read()) }
}

#[cfg(test)]
mod tests {
    use super::{Surroundings, cause, seccomp_mode};
    use crate::error::{Cause, Stage};

    #[test]
    fn each_obstacle_is_told_from_the_others() {
        let rows = [
            (libc::EPERM, Some(2), Some(0), Cause::Sysctl),
            (libc::EPERM, Some(1), Some(2), Cause::Sysctl),
            (libc::EPERM, Some(0), Some(2), Cause::Seccomp),
            (libc::EPERM, None, Some(2), Cause::Seccomp),
            (libc::EPERM, Some(0), Some(0), Cause::Unknown),
            (libc::EACCES, None, Some(2), Cause::Seccomp),
            (libc::ENOSYS, Some(0), Some(2), Cause::Seccomp),
            (libc::ENOSYS, None, Some(2), Cause::Kernel),
            (libc::ENOSYS, None, None, Cause::Kernel),
            (libc::EINVAL, Some(0), Some(0), Cause::Kernel),
            (libc::ENOMEM, Some(0), Some(0), Cause::Memlock),
            (libc::EMFILE, Some(0), Some(0), Cause::Unknown),
        ];
        for (errno, disabled, seccomp, expected) in rows {
            assert_eq!(cause(Stage::Setup, errno, Surroundings { disabled, seccomp }), expected, "errno {errno}");
        }
        assert_eq!(cause(Stage::Features, 0, Surroundings::default()), Cause::Kernel);
    }

    #[test]
    fn the_seccomp_mode_is_found_in_the_status() {
        assert_eq!(seccomp_mode("Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"), Some(2));
        assert_eq!(seccomp_mode("Name:\tx\n"), None);
    }
}
