//! The ops: what can be asked for, how each is put to the kernel (`prep`) and how its completion becomes an outcome (`finish`).
//!
//! The list is closed. `prep` and `finish` stand side by side and match every op, so that a new one cannot be forgotten in either. An op
//! names its memory and its file (block ids, descriptor ids); the memory that the kernel reads or writes besides (paths, iovecs, times,
//! status) lives in the op or in its [`Scratch`], in the slot, until the final completion. Only the proactor calls `prep` and `finish`.

use crate::block::{BlockId, BlockRange, BlockTable};
use crate::buffer::StatusBuffer;
use crate::descriptor::{DescriptorId, DescriptorTable};
use crate::error::Fault;
use crate::memory::Memory;
use crate::outcome::Detail;
use crate::ring::{self, Completion, Entry};
use io_uring::{opcode, squeue, types};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::time::Duration;

/// `IOV_MAX`: parts of one vectored op.
const PARTS_MAX: usize = 1024;
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
/// Results are as in the man page named, with `-errno` for errors.
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
}

/// How an op is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpOptions {
    /// Hand the op to a kernel worker at once (`IOSQE_ASYNC`) instead of trying it inline first: a large cached read does not hold the
    /// thread up.
    pub asynchronous: bool,
}

/// Memory for the kernel besides blocks; made by `prep`, stays in the slot.
#[derive(Debug)]
pub(crate) enum Scratch {
    None,
    /// Nothing: the slot only carries the answer to an op that was refused.
    Refused,
    Parts(Vec<libc::iovec>),
    Time(types::Timespec),
    Status(StatusBuffer),
}

/// The cargo of a slot: an op and what it needs on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) op: Op,
    /// The kernel's integer of the descriptor that the op holds; it cannot be reused while it does. -1 without a descriptor.
    pub(crate) file: RawFd,
    pub(crate) options: OpOptions,
    pub(crate) scratch: Scratch,
}

/// What finishing an op may change.
pub(crate) struct Surroundings<'a> {
    pub(crate) descriptors: &'a mut DescriptorTable<File>,
    pub(crate) memory: &'a mut Memory,
    /// Nobody waits for results any more: a descriptor that arrives is closed.
    pub(crate) abandoned: bool,
}

impl Op {
    /// The descriptor that the op holds until it is over. A close takes it out of the table instead.
    #[inline]
    pub(crate) fn descriptor(&self) -> Option<DescriptorId> {
        match self {
            Self::Read { descriptor, .. }
            | Self::ReadFixed { descriptor, .. }
            | Self::ReadSelect { descriptor, .. }
            | Self::Write { descriptor, .. }
            | Self::WriteFixed { descriptor, .. }
            | Self::Readv { descriptor, .. }
            | Self::Writev { descriptor, .. }
            | Self::Fsync { descriptor }
            | Self::Fdatasync { descriptor }
            | Self::Ftruncate { descriptor, .. }
            | Self::Fallocate { descriptor, .. }
            | Self::Statx { target: StatusTarget::Descriptor(descriptor) } => Some(*descriptor),
            Self::Nop { .. } | Self::Open { .. } | Self::Close { .. } | Self::Statx { .. } | Self::Timeout { .. } => None,
        }
    }

    /// The block ranges that the op owns until it is over.
    #[inline]
    pub(crate) fn parts(&self) -> &[BlockRange] {
        match self {
            Self::Read { target: range, .. }
            | Self::ReadFixed { target: range, .. }
            | Self::Write { source: range, .. }
            | Self::WriteFixed { source: range, .. } => std::slice::from_ref(range),
            Self::Readv { parts, .. } | Self::Writev { parts, .. } => parts,
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
    fn encoded(self) -> u64 {
        match self {
            Self::Current => CURRENT_POSITION,
            Self::At(position) => position,
        }
    }
}

impl InFlight {
    /// Encodes the op, in its slot: everything the entry points at stays where it is until the final completion.
    pub(crate) fn prep(&mut self, blocks: &BlockTable) -> Entry {
        let file = types::Fd(self.file);
        let entry = match &self.op {
            Op::Nop { result: 0 } => opcode::Nop::new().build(),
            Op::Nop { result } => ring::nop_injecting(*result),
            Op::Open { path, flags, mode } => {
                opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).flags(flags | libc::O_CLOEXEC).mode(*mode).build()
            }
            Op::Close { .. } => opcode::Close::new(file).build(),
            Op::Read { target, position, .. } => {
                opcode::Read::new(file, blocks.address(*target), target.length).offset(position.encoded()).build()
            }
            Op::ReadFixed { target, position, .. } => {
                let fixed = blocks.fixed(target.block).expect("checked at submit");
                opcode::ReadFixed::new(file, blocks.address(*target), target.length, fixed).offset(position.encoded()).build()
            }
            Op::ReadSelect { group, length, position, .. } => {
                let read = opcode::Read::new(file, std::ptr::null_mut(), *length).offset(position.encoded()).buf_group(*group);
                read.build().flags(squeue::Flags::BUFFER_SELECT)
            }
            Op::Write { source, position, .. } => {
                opcode::Write::new(file, blocks.address(*source), source.length).offset(position.encoded()).build()
            }
            Op::WriteFixed { source, position, .. } => {
                let fixed = blocks.fixed(source.block).expect("checked at submit");
                opcode::WriteFixed::new(file, blocks.address(*source), source.length, fixed).offset(position.encoded()).build()
            }
            Op::Readv { parts, position, .. } => {
                let (first, count) = self.scratch.parts(parts, blocks);
                opcode::Readv::new(file, first, count).offset(position.encoded()).build()
            }
            Op::Writev { parts, position, .. } => {
                let (first, count) = self.scratch.parts(parts, blocks);
                opcode::Writev::new(file, first, count).offset(position.encoded()).build()
            }
            Op::Fsync { .. } => opcode::Fsync::new(file).build(),
            Op::Fdatasync { .. } => opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build(),
            Op::Ftruncate { length, .. } => opcode::Ftruncate::new(file, *length).build(),
            Op::Fallocate { mode, offset, length, .. } => {
                opcode::Fallocate::new(file, *length).offset(*offset).mode(*mode).build()
            }
            Op::Statx { target } => self.scratch.status(target, self.file),
            Op::Timeout { duration } => opcode::Timeout::new(self.scratch.time(*duration)).build(),
        };
        if self.options.asynchronous { entry.flags(squeue::Flags::ASYNC) } else { entry }
    }

    /// Turns a completion of the op into a result and a detail. Called for each completion, in the slot.
    pub(crate) fn finish(&mut self, completion: &Completion, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
        let result = completion.result;
        match &self.op {
            Op::Open { .. } if result >= 0 => opened(ring::own_opened(result), surroundings),
            Op::Close { descriptor } => {
                let file = surroundings.descriptors.closed(*descriptor);
                if result == -libc::ECANCELED {
                    // The kernel gave the op up before it ran (this happens only to a dying thread): the integer is still ours to close.
                    drop(file);
                    return (0, Detail::None);
                }
                // Whatever else it answered, `close(2)` has given the integer free; it may be somebody else's by now.
                let _ = file.into_raw_fd();
                (result, Detail::None)
            }
            Op::ReadSelect { group, .. } => match completion.selected() {
                Some(id) => (result, Detail::Selected(surroundings.memory.take_selected(*group, id))),
                None => (result, Detail::None),
            },
            Op::Statx { .. } if result >= 0 => match &self.scratch {
                Scratch::Status(status) => (result, Detail::Status(Box::new(status.read()))),
                _ => unreachable!("a status op has a status buffer"),
            },
            Op::Timeout { .. } if result == -libc::ETIME => (0, Detail::None),
            Op::Nop { .. }
            | Op::Open { .. }
            | Op::Read { .. }
            | Op::ReadFixed { .. }
            | Op::Write { .. }
            | Op::WriteFixed { .. }
            | Op::Readv { .. }
            | Op::Writev { .. }
            | Op::Fsync { .. }
            | Op::Fdatasync { .. }
            | Op::Ftruncate { .. }
            | Op::Fallocate { .. }
            | Op::Statx { .. }
            | Op::Timeout { .. } => (result, Detail::None),
        }
    }
}

/// An open has succeeded: its file enters the table, or is closed at once if nobody wants it or the table is full.
fn opened(file: File, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
    if surroundings.abandoned {
        return (-libc::ECANCELED, Detail::None);
    }
    let integer = file.as_raw_fd();
    match surroundings.descriptors.insert(file) {
        Ok(id) => (0, Detail::Opened(id, integer)),
        Err(_closed_here) => (-libc::EMFILE, Detail::None),
    }
}

impl Scratch {
    fn parts(&mut self, ranges: &[BlockRange], blocks: &BlockTable) -> (*const libc::iovec, u32) {
        let part = |range: &BlockRange| libc::iovec { iov_base: blocks.address(*range).cast(), iov_len: range.length as usize };
        *self = Self::Parts(ranges.iter().map(part).collect());
        let Self::Parts(parts) = self else { unreachable!("set just above") };
        (parts.as_ptr(), parts.len() as u32)
    }

    fn time(&mut self, duration: Duration) -> *const types::Timespec {
        let seconds = duration.as_secs().min(i64::MAX as u64);
        *self = Self::Time(types::Timespec::new().sec(seconds).nsec(duration.subsec_nanos()));
        let Self::Time(time) = self else { unreachable!("set just above") };
        time
    }

    fn status(&mut self, target: &StatusTarget, file: RawFd) -> Entry {
        let buffer = StatusBuffer::new();
        let (directory, path, flags) = match target {
            StatusTarget::Descriptor(_) => (file, c"".as_ptr(), libc::AT_EMPTY_PATH),
            StatusTarget::Path { path, follow } => {
                (libc::AT_FDCWD, path.as_ptr(), if *follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
            }
        };
        let statx = opcode::Statx::new(types::Fd(directory), path, buffer.address().cast());
        *self = Self::Status(buffer);
        statx.flags(flags).mask(libc::STATX_BASIC_STATS | libc::STATX_BTIME).build()
    }
}
