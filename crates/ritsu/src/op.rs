//! The ops: the closed list of what can be asked for, and what each of them names.
//!
//! An op names its memory and its file (block ids, descriptor ids) and owns what else it needs (paths, addresses). How it is put to the
//! kernel and how its completion is read is `in_flight.rs`, where every op is matched again, so that a new one cannot be forgotten.

use crate::address::Address;
use crate::block::{BlockId, BlockRange};
use crate::descriptor::DescriptorId;
use crate::error::Fault;
use crate::socket::SocketOptions;
use std::ffi::CString;
use std::net::Shutdown;
use std::time::Duration;

/// `IOV_MAX`: parts of one vectored op, and positions of one read.
const PARTS_MAX: usize = 1024;
const _: () = assert!(PARTS_MAX <= crate::identity::PARTS_MAX as usize);
/// What the kernel takes for "the file's current position".
const CURRENT_POSITION: u64 = u64::MAX;

/// Where in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the file's current position, which moves; the only choice for pipes and other streams.
    Current,
    /// At this byte, below 2^63.
    At(u64),
}

/// What a status op looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusTarget {
    /// An open descriptor.
    Descriptor(DescriptorId),
    /// A path.
    Path {
        /// The path; relative to the working directory unless it is absolute.
        path: CString,
        /// Whether a symbolic link at its end is followed.
        follow: bool,
    },
}

/// One requested operation, with everything it owns.
///
/// Results are as in the man page named, with `-errno` for errors. Addresses that are seldom given are boxed: every op in flight has room for
/// the largest, and there may be as many as connections.
#[derive(Debug, PartialEq, Eq)]
pub enum Op {
    /// Does nothing and answers `result` (`IORING_NOP_INJECT_RESULT`, Linux 6.10; `-EINVAL` without it). 0 works everywhere.
    Nop {
        /// The answer wished for.
        result: i32,
    },
    /// Opens a file (`openat(2)`). On success the result is 0 and the detail [`Detail::Opened`](crate::Detail::Opened).
    Open {
        /// The path; relative to the working directory unless it is absolute.
        path: CString,
        /// `O_*`; `O_CLOEXEC` is added.
        flags: i32,
        /// Permissions of a file that is made.
        mode: u32,
    },
    /// Closes a descriptor (`close(2)`), after every op that holds it. It is out of the table at once. Cannot be cancelled.
    Close {
        /// The descriptor.
        descriptor: DescriptorId,
    },
    /// Reads into a block (`pread(2)`).
    Read {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes go.
        target: BlockRange,
        /// Where they come from.
        position: Position,
    },
    /// As `Read`, into a registered block (`IORING_OP_READ_FIXED`): pays off with `O_DIRECT`.
    ReadFixed {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes go; the block must be registered.
        target: BlockRange,
        /// Where they come from.
        position: Position,
    },
    /// Reads at many places of a file (`pread(2)` for each): one op, of as many parts, which the kernel may do in any order. What the place
    /// at `positions[i]` holds goes to the `i`th even share of the target. The result is the number of bytes in all (at most 2^31 - 1), and
    /// the detail [`Detail::Counts`](crate::Detail::Counts) says how many each place gave; if one failed, it is the first error in the
    /// order of the positions, those of a cancel last.
    ReadMany {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes go; its length is a multiple of the number of positions.
        target: BlockRange,
        /// Where they come from, each below 2^63. 1 to 1024.
        positions: Box<[u64]>,
        /// As [`ReadFixed`](Self::ReadFixed).
        fixed: bool,
    },
    /// Reads into a block that the kernel chooses from a group (`IOSQE_BUFFER_SELECT`, Linux 5.19). The block is in the detail
    /// ([`Detail::Selected`](crate::Detail::Selected)); at the end of the file, on an error or a cancel none may be chosen. An empty group answers `-ENOBUFS`.
    ReadSelect {
        /// The file.
        descriptor: DescriptorId,
        /// The group, from [`PoolClass::group`](crate::PoolClass::group).
        group: u16,
        /// Bytes wanted, at most the group's block size; 0 means the whole block.
        length: u32,
        /// Where they come from.
        position: Position,
        /// An idle block of the group to give to the kernel first. It stays with the group whatever comes of the read.
        provide: Option<BlockId>,
        /// Go on reading, a block for each outcome, until an outcome without `more` (`IORING_OP_READ_MULTISHOT`, Linux 6.7; before, one
        /// read). For what can be polled (pipes, terminals); anything else answers `-EBADFD`. Length 0 and the current position only.
        multishot: bool,
    },
    /// Writes from a block (`pwrite(2)`).
    Write {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes come from.
        source: BlockRange,
        /// Where they go.
        position: Position,
    },
    /// As `Write`, from a registered block (`IORING_OP_WRITE_FIXED`).
    WriteFixed {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes come from; the block must be registered.
        source: BlockRange,
        /// Where they go.
        position: Position,
    },
    /// Reads into several ranges, in order (`preadv(2)`).
    Readv {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes go, at most 1024 parts. A block may appear more than once.
        parts: Vec<BlockRange>,
        /// Where they come from.
        position: Position,
    },
    /// Writes from several ranges, in order (`pwritev(2)`).
    Writev {
        /// The file.
        descriptor: DescriptorId,
        /// Where the bytes come from, at most 1024 parts. A block may appear more than once.
        parts: Vec<BlockRange>,
        /// Where they go.
        position: Position,
    },
    /// Makes data and metadata durable (`fsync(2)`).
    Fsync {
        /// The file.
        descriptor: DescriptorId,
    },
    /// Makes data durable (`fdatasync(2)`).
    Fdatasync {
        /// The file.
        descriptor: DescriptorId,
    },
    /// Sets the length (`ftruncate(2)`; Linux 6.9, before that done synchronously within submit).
    Ftruncate {
        /// The file.
        descriptor: DescriptorId,
        /// The new length in bytes.
        length: u64,
    },
    /// Reserves or frees space (`fallocate(2)`).
    Fallocate {
        /// The file.
        descriptor: DescriptorId,
        /// `FALLOC_FL_*`.
        mode: i32,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
    /// Asks for a file's status (`statx(2)`, basic fields and birth time). The answer is [`Detail::Status`](crate::Detail::Status).
    Statx {
        /// Which file.
        target: StatusTarget,
    },
    /// Completes with 0 after this time (monotonic clock).
    Timeout {
        /// How long.
        duration: Duration,
    },
    /// Makes a stream socket and connects it (`connect(2)`). On success the result is 0 and the detail
    /// [`Detail::Opened`](crate::Detail::Opened).
    Connect {
        /// Where to.
        address: Address,
        /// Where from; otherwise the kernel chooses.
        local: Option<Box<Address>>,
    },
    /// Makes a stream socket that listens (`bind(2)`, `listen(2)`), within submit. Answers as [`Connect`](Self::Connect).
    Listen {
        /// Where.
        address: Address,
        /// Connections that may wait to be accepted.
        backlog: i32,
        /// `SO_REUSEADDR` is always set, except on Unix sockets.
        options: SocketOptions,
    },
    /// Makes a datagram socket (`bind(2)`), within submit. Answers as [`Connect`](Self::Connect).
    Bind {
        /// Where it receives.
        address: Address,
        /// The only address that it talks to.
        peer: Option<Box<Address>>,
        /// What is set before the bind.
        options: SocketOptions,
    },
    /// Takes a connection (`accept(2)`). Answers as [`Connect`](Self::Connect).
    Accept {
        /// A socket that listens.
        descriptor: DescriptorId,
        /// Go on accepting, one connection for each outcome, until an outcome without `more` (Linux 5.19; before, one connection).
        multishot: bool,
    },
    /// Receives from a socket into a block that the kernel chooses; as [`ReadSelect`](Self::ReadSelect). 0 is the end.
    ReceiveSelect {
        /// The socket.
        descriptor: DescriptorId,
        /// The group.
        group: u16,
        /// Bytes wanted; 0 means the whole block.
        length: u32,
        /// An idle block of the group to give to the kernel first.
        provide: Option<BlockId>,
        /// Go on receiving, a block for each outcome, until an outcome without `more` (Linux 6.0; before, once). Length 0 only.
        multishot: bool,
    },
    /// Receives one datagram (`recvmsg(2)`). The answer is [`Detail::Message`](crate::Detail::Message).
    ReceiveMessage {
        /// The socket.
        descriptor: DescriptorId,
        /// Where the bytes go.
        target: BlockRange,
    },
    /// Sends from a block (`send(2)`, never a signal).
    Send {
        /// The socket.
        descriptor: DescriptorId,
        /// What is sent.
        source: BlockRange,
        /// Go on until all is sent (`MSG_WAITALL`): less means that it was cut short.
        wait_all: bool,
        /// Send the block's own memory instead of a copy (`IORING_OP_SEND_ZC`, Linux 6.0; otherwise a plain send). With `more` in the first
        /// outcome, which has the result, the kernel still reads the block; a second one, of result 0, gives it back.
        zero_copy: bool,
    },
    /// Sends several ranges, in order, as one message (`sendmsg(2)`, never a signal).
    SendMessage {
        /// The socket.
        descriptor: DescriptorId,
        /// What is sent, at most 1024 parts.
        parts: Vec<BlockRange>,
        /// Where to; a connected socket knows.
        address: Option<Box<Address>>,
        /// As in [`Send`](Self::Send).
        wait_all: bool,
    },
    /// Ends one direction of a connection, or both (`shutdown(2)`).
    Shutdown {
        /// The socket.
        descriptor: DescriptorId,
        /// Which direction.
        how: Shutdown,
    },
    /// Waits until a file is ready (`poll(2)`). The result is the mask of what it is ready for.
    Poll {
        /// The file.
        descriptor: DescriptorId,
        /// `POLL*`.
        events: u32,
    },
}

/// How an op is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpOptions {
    /// Hand the op to a kernel worker at once (`IOSQE_ASYNC`) instead of trying it inline first: a large cached read does not hold the
    /// thread up.
    pub asynchronous: bool,
}

impl Op {
    /// The descriptor that the op holds until it is over. A close takes it out of the table instead.
    #[inline]
    pub(crate) fn descriptor(&self) -> Option<DescriptorId> {
        match self {
            Self::Read { descriptor, .. }
            | Self::ReadFixed { descriptor, .. }
            | Self::ReadMany { descriptor, .. }
            | Self::ReadSelect { descriptor, .. }
            | Self::Write { descriptor, .. }
            | Self::WriteFixed { descriptor, .. }
            | Self::Readv { descriptor, .. }
            | Self::Writev { descriptor, .. }
            | Self::Fsync { descriptor }
            | Self::Fdatasync { descriptor }
            | Self::Ftruncate { descriptor, .. }
            | Self::Fallocate { descriptor, .. }
            | Self::Accept { descriptor, .. }
            | Self::ReceiveSelect { descriptor, .. }
            | Self::ReceiveMessage { descriptor, .. }
            | Self::Send { descriptor, .. }
            | Self::SendMessage { descriptor, .. }
            | Self::Shutdown { descriptor, .. }
            | Self::Poll { descriptor, .. }
            | Self::Statx { target: StatusTarget::Descriptor(descriptor) } => Some(*descriptor),
            Self::Nop { .. }
            | Self::Open { .. }
            | Self::Close { .. }
            | Self::Statx { .. }
            | Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Listen { .. }
            | Self::Bind { .. } => None,
        }
    }

    /// The block ranges that the op owns until it is over.
    #[inline]
    pub(crate) fn parts(&self) -> &[BlockRange] {
        match self {
            Self::Read { target: range, .. }
            | Self::ReadFixed { target: range, .. }
            | Self::ReadMany { target: range, .. }
            | Self::Write { source: range, .. }
            | Self::WriteFixed { source: range, .. }
            | Self::ReceiveMessage { target: range, .. }
            | Self::Send { source: range, .. } => std::slice::from_ref(range),
            Self::Readv { parts, .. } | Self::Writev { parts, .. } | Self::SendMessage { parts, .. } => parts,
            _ => &[],
        }
    }

    /// Refuses what can be seen to be wrong without any table.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Readv { parts, position, .. } | Self::Writev { parts, position, .. } => {
                if parts.len() > PARTS_MAX {
                    Err(Fault::Argument)
                } else {
                    position.check()
                }
            }
            Self::SendMessage { parts, .. } if parts.len() > PARTS_MAX => Err(Fault::Argument),
            Self::ReadMany { target, positions, .. } => {
                let count = positions.len();
                let even = (1..=PARTS_MAX).contains(&count) && (target.length as usize).is_multiple_of(count);
                let within = positions.iter().all(|position| i64::try_from(*position).is_ok());
                if even && within { Ok(()) } else { Err(Fault::Argument) }
            }
            Self::ReadSelect { multishot: true, position: Position::At(_), .. }
            | Self::ReadSelect { multishot: true, length: 1.., .. }
            | Self::ReceiveSelect { multishot: true, length: 1.., .. } => Err(Fault::Argument),
            Self::Read { position, .. }
            | Self::ReadFixed { position, .. }
            | Self::ReadSelect { position, .. }
            | Self::Write { position, .. }
            | Self::WriteFixed { position, .. } => position.check(),
            _ => Ok(()),
        }
    }
}

impl Position {
    #[inline]
    fn check(self) -> Result<(), Fault> {
        match self {
            Self::At(position) if position > i64::MAX as u64 => Err(Fault::Argument),
            Self::At(_) | Self::Current => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn encoded(self) -> u64 {
        match self {
            Self::Current => CURRENT_POSITION,
            Self::At(position) => position,
        }
    }
}
