//! Outcomes: what comes back for an op. Plain values; what they name (a block, a descriptor) belongs to the caller from then on.

use crate::address::Address;
use crate::block::BlockId;
use crate::descriptor::DescriptorId;
use crate::identity::Token;
use std::os::fd::RawFd;

/// A moment, as `statx(2)` tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds on top, below 10^9.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Milliseconds since 1970, with fraction.
    ///
    /// ```
    /// assert_eq!(ritsu::Timestamp { seconds: 2, nanoseconds: 500_000 }.milliseconds(), 2000.5);
    /// ```
    #[must_use]
    pub fn milliseconds(&self) -> f64 {
        self.seconds as f64 * 1000.0 + f64::from(self.nanoseconds) / 1e6
    }
}

/// What `statx(2)` said about a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// The device it lies on, as `makedev(3)` packs it.
    pub device: u64,
    /// Type and permissions, `S_IF*` included.
    pub mode: u32,
    /// Hard links.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// The device it stands for, if it is a device file.
    pub special_device: u64,
    /// Preferred block size in bytes.
    pub block_size: u32,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of the status.
    pub changed: Timestamp,
    /// Birth; 0 where the file system does not know.
    pub born: Timestamp,
}

/// An op's completion, typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which op.
    pub token: Token,
    /// A count or 0, or a negative errno.
    pub result: i32,
    /// More outcomes of this op follow; its slot is still taken.
    pub more: bool,
    /// What the op brought besides the number.
    pub detail: Detail,
}

/// What an op brought besides its result.
#[derive(Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The op was refused before the kernel saw it: nothing it named changed hands.
    Refused,
    /// The block that the kernel chose; it is idle again and holds `result` bytes.
    Selected(BlockId),
    /// The descriptor that was opened, and the kernel's integer for it (to be shown, not to be closed).
    Opened(DescriptorId, RawFd),
    /// The file's status.
    Status(Box<FileStatus>),
    /// How many bytes each place of an [`Op::ReadMany`](crate::Op::ReadMany) gave, in the order of its positions.
    Counts(Box<[i32]>),
    /// A message was received.
    Message {
        /// Who sent it, where the socket has such a thing.
        address: Option<Address>,
        /// It was longer than the memory for it; the rest is lost.
        truncated: bool,
    },
}
