//! Everything that can go wrong as a value. Broken invariants are panics and not in this file.
//!
//! Operating errors of an op are not here either: they are the negative `result` of its [`Outcome`](crate::Outcome).

use crate::op::Op;

/// Why a submit or a memory call was refused. Nothing has happened: no slot, block or descriptor was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The slot index is not below `in_flight_max`.
    #[error("the slot does not exist")]
    Slot,
    /// The slot still holds an op whose final completion has not been reaped.
    #[error("the slot is occupied")]
    Occupied,
    /// The token's generation is not the slot's.
    #[error("the generation is not the slot's")]
    Generation,
    /// Unknown descriptor, or one that is being closed: `EBADF`.
    #[error("the descriptor is unknown or closed")]
    Descriptor,
    /// Unknown block, or one that is not idle, or not of the kind the op needs (not registered, not of the group's class).
    #[error("the block is unknown, in use, or of the wrong kind")]
    Block,
    /// A range reaches past the end of its block.
    #[error("the range lies outside the block")]
    Range,
    /// A number or a list that the kernel would refuse: too many parts, a length or position that does not fit.
    #[error("an argument is not valid")]
    Argument,
    /// The kernel was asked for this at set-up and does not have it; see [`Capability`](crate::Capability).
    #[error("the kernel does not support this")]
    Unsupported,
    /// The kernel refused to register what the op needs, with this errno (positive).
    #[error("registration failed with errno {0}")]
    Registration(i32),
    /// The proactor is draining or drained and takes nothing more.
    #[error("the proactor takes no more ops")]
    Closed,
}

/// A refused submit: the reason, and the op with everything it owns.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SubmitError {
    /// Why it was refused.
    pub error: Fault,
    /// The op as it was given.
    pub op: Op,
}

/// The step of making a ring that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stage {
    /// `io_uring_setup(2)` and mapping the rings, on every rung of the ladder.
    #[error("io_uring_setup")]
    Setup,
    /// A feature without which completions could be lost (`IORING_FEAT_NODROP`, Linux 5.5) or positions misread
    /// (`IORING_FEAT_RW_CUR_POS`, Linux 5.6) is missing.
    #[error("io_uring features")]
    Features,
    /// `IORING_REGISTER_PROBE` failed, or an op of Linux 5.6 is missing from its answer.
    #[error("io_uring probe")]
    Probe,
    /// `eventfd(2)`.
    #[error("eventfd")]
    Event,
    /// `IORING_REGISTER_EVENTFD`.
    #[error("registering the eventfd")]
    RegisterEvent,
    /// A trial op did not come back as the kernel promises.
    #[error("io_uring trial")]
    Trial,
}

/// Why there is no ring to be had on this machine; each has its own remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The kernel lacks `io_uring` or is too old.
    Kernel,
    /// `kernel.io_uring_disabled` (Linux 6.6) forbids it.
    Sysctl,
    /// A seccomp filter (a container's default profile, say) answers for the kernel.
    Seccomp,
    /// The locked-memory limit (`RLIMIT_MEMLOCK`) or memory itself does not suffice.
    Memlock,
    /// None of these explains it.
    Unknown,
}

/// No ring could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage} failed with errno {errno}: {}", cause.hint())]
pub struct SetupError {
    /// The step that failed.
    pub stage: Stage,
    /// The kernel's answer, positive (`libc::EPERM`, ...).
    pub errno: i32,
    /// What most likely lies behind it.
    pub cause: Cause,
}

impl Cause {
    /// One sentence that names the likely cause and the remedy.
    ///
    /// ```
    /// assert!(ritsu::Cause::Sysctl.hint().contains("kernel.io_uring_disabled"));
    /// ```
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel has no usable io_uring; Linux 5.6 or newer is needed",
            Self::Sysctl => "sysctl kernel.io_uring_disabled forbids io_uring; set it to 0, or join kernel.io_uring_group",
            Self::Seccomp => "a seccomp filter forbids io_uring; allow io_uring_setup, io_uring_enter and io_uring_register",
            Self::Memlock => "the locked-memory limit is exhausted; raise RLIMIT_MEMLOCK or ask for smaller queues",
            Self::Unknown => "the cause is not known",
        }
    }
}

/// Memory for blocks could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// A size class is not of the allowed shape: block size a power of two from 4096 to 1 GiB, count from 1 to 32768.
    #[error("size class {index} is not valid")]
    Class {
        /// Index of the class in the list given.
        index: usize,
    },
    /// A size of 0, or one of 4 GiB and more.
    #[error("{size} bytes is not a valid block size")]
    Size {
        /// The size asked for, in bytes.
        size: usize,
    },
    /// `mmap(2)` failed.
    #[error("mapping {size} bytes failed with errno {errno}")]
    Map {
        /// The size asked for, in bytes.
        size: usize,
        /// The kernel's answer, positive.
        errno: i32,
    },
    /// The proactor is draining or drained.
    #[error("the proactor is closed")]
    Closed,
}
