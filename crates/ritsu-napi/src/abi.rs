//! The shared pages: where every number lies, and what a record means. Owns nothing, touches no memory: pure functions.
//!
//! JavaScript writes [`SubmissionRecord`]s and reads [`CompletionRecord`]s; the bridge copies records in and out. Nothing that
//! JavaScript writes is trusted: [`decode`] turns a record into a request whose numbers have the right shape, and the core checks
//! slots, blocks, ranges and descriptors. The TypeScript side gets these numbers from `layout()` and has no copy of its own to go
//! stale. Little endian, one allocation, offsets in bytes.

use std::ffi::CString;
use std::mem::{offset_of, size_of};
use std::time::Duration;

use ritsu::{
    BlockId, BlockRange, DescriptorId, Detail, Fault, FileStatus, Op, OpOptions, Outcome, Position, StatusTarget, Token,
};

/// Grows with every change of this file that the other side would notice.
pub const ABI_VERSION: u32 = 1;

/// Header: words, then counters.
pub const HEADER_BYTES: usize = 512;
/// Submission records follow the header.
pub const SUBMISSION_OFFSET: usize = HEADER_BYTES;
/// Submission records in the page.
pub const SUBMISSION_MAX: u32 = 1024;
/// Paths and vectors of the submission records.
pub const ARGUMENT_OFFSET: usize = SUBMISSION_OFFSET + SUBMISSION_MAX as usize * size_of::<SubmissionRecord>();
/// Size of the argument arena.
pub const ARGUMENT_BYTES: usize = 65_536;
/// Completion records follow the argument arena.
pub const COMPLETION_OFFSET: usize = ARGUMENT_OFFSET + ARGUMENT_BYTES;
/// Completion records in the page.
pub const COMPLETION_MAX: u32 = 1024;
/// File statuses of the completion records.
pub const RESULT_OFFSET: usize = COMPLETION_OFFSET + COMPLETION_MAX as usize * size_of::<CompletionRecord>();
/// Size of the result arena.
pub const RESULT_BYTES: usize = 65_536;
/// Bytes in use; the allocation is rounded up to whole pages.
pub const TOTAL_BYTES: usize = RESULT_OFFSET + RESULT_BYTES;
/// Numbers of one file status in the result arena.
pub const STATUS_NUMBERS: usize = 20;
/// Size of one file status in the result arena.
pub const STATUS_BYTES: usize = STATUS_NUMBERS * size_of::<f64>();

const _: () = {
    assert!(SUBMISSION_OFFSET == 512);
    assert!(ARGUMENT_OFFSET == 66_048);
    assert!(COMPLETION_OFFSET == 131_584);
    assert!(RESULT_OFFSET == 164_352);
    assert!(TOTAL_BYTES == 229_888);
    assert!(size_of::<SubmissionRecord>() == 64);
    assert!(offset_of!(SubmissionRecord, position) == 32);
    assert!(offset_of!(SubmissionRecord, extra) == 40);
    assert!(offset_of!(SubmissionRecord, argument_offset) == 48);
    assert!(offset_of!(SubmissionRecord, options) == 60);
    assert!(size_of::<CompletionRecord>() == 32);
    assert!(offset_of!(CompletionRecord, value) == 24);
    assert!(COUNTER_OFFSET + COUNTER_COUNT * size_of::<f64>() <= HEADER_BYTES);
    assert!(cfg!(target_endian = "little"));
};

/// Header words, by index.
pub mod word {
    /// Records in the submission page. JavaScript counts up, the bridge zeroes.
    pub const SUBMISSION_COUNT: usize = 0;
    /// Bytes used in the argument arena. JavaScript advances by multiples of 8, the bridge zeroes.
    pub const ARGUMENT_USED: usize = 1;
    /// 1 while the loop is kept alive.
    pub const REFERENCED: usize = 2;
    /// Block ids waiting in `collected()`.
    pub const COLLECTED_COUNT: usize = 3;
    /// 1 when the native side takes nothing more.
    pub const CLOSED: usize = 4;
}

/// Where the counters begin: f64 each, in the order of [`COUNTER_NAMES`].
pub const COUNTER_OFFSET: usize = 64;
/// How many counters there are.
pub const COUNTER_COUNT: usize = 21;
/// The counters' names, in their order.
pub const COUNTER_NAMES: [&str; COUNTER_COUNT] = [
    "submitted",
    "completed",
    "enters",
    "wakes",
    "rounds",
    "dispatches",
    "overflows",
    "faults",
    "withdrawn",
    "cancelsSent",
    "stale",
    "retries",
    "registeredBytes",
    "poolBytes",
    "ownBytes",
    "inFlight",
    "descriptorsOpen",
    "blocksBusy",
    "blocksProvided",
    "leakedBytes",
    "budgetYields",
];

/// No block, no descriptor.
pub const NONE: u32 = 0xFFFF_FFFF;

/// Completion flag: not the final completion.
pub const FLAG_MORE: u32 = 1;
/// Completion flag: the record names the block that the kernel chose.
pub const FLAG_SELECTED: u32 = 2;
/// Completion flag: refused before the kernel saw it; nothing that the record named changed hands.
pub const FLAG_REFUSED: u32 = 4;
/// Option bit: the op does not keep the loop alive.
pub const OPTION_UNREF: u32 = 1;
/// Option bit: hand the op to a kernel worker at once.
pub const OPTION_ASYNC: u32 = 2;
/// Flag of a status op: a symbolic link at the end of the path is not followed.
pub const STATX_NOFOLLOW: u32 = 1;
/// Parts of one vectored op, as the kernel limits them (`UIO_MAXIOV`).
pub const PARTS_MAX: usize = 1024;

/// Results below every errno: what the boundary says about a record that it cannot submit.
pub mod fault {
    /// Unknown operation code.
    pub const OPCODE: i32 = -10_001;
    /// Unknown block, or one that is not idle.
    pub const BLOCK: i32 = -10_003;
    /// A range outside its block.
    pub const RANGE: i32 = -10_004;
    /// An argument of the wrong shape.
    pub const ARGUMENT: i32 = -10_005;
    /// The proactor takes nothing more.
    pub const CLOSED: i32 = -10_006;
}

/// Operation codes; the number is the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Completes at once, or with the result given in `extra`.
    Nop,
    /// Path in the argument; `flags`, mode in `target`.
    Open,
    /// Ordered behind the descriptor's ops.
    Close,
    /// Into a block.
    Read,
    /// Into a registered block.
    ReadFixed,
    /// Into a block of the group in `target`; `block` is provided first.
    ReadSelect,
    /// From a block.
    Write,
    /// From a registered block.
    WriteFixed,
    /// Into the parts listed in the argument.
    Readv,
    /// From the parts listed in the argument.
    Writev,
    /// Data and metadata to storage.
    Fsync,
    /// Data to storage.
    Fdatasync,
    /// To the length in `extra`.
    Ftruncate,
    /// Mode in `flags`, from `position`, `extra` bytes.
    Fallocate,
    /// Of the descriptor, or of the path in the argument.
    Statx,
    /// After `extra` milliseconds.
    Timeout,
    /// Of the op named in `target` and `options`.
    Cancel,
}

impl Opcode {
    /// Every code with its name, in order.
    pub const ALL: [(Opcode, &'static str); 17] = [
        (Opcode::Nop, "NOP"),
        (Opcode::Open, "OPEN"),
        (Opcode::Close, "CLOSE"),
        (Opcode::Read, "READ"),
        (Opcode::ReadFixed, "READ_FIXED"),
        (Opcode::ReadSelect, "READ_SELECT"),
        (Opcode::Write, "WRITE"),
        (Opcode::WriteFixed, "WRITE_FIXED"),
        (Opcode::Readv, "READV"),
        (Opcode::Writev, "WRITEV"),
        (Opcode::Fsync, "FSYNC"),
        (Opcode::Fdatasync, "FDATASYNC"),
        (Opcode::Ftruncate, "FTRUNCATE"),
        (Opcode::Fallocate, "FALLOCATE"),
        (Opcode::Statx, "STATX"),
        (Opcode::Timeout, "TIMEOUT"),
        (Opcode::Cancel, "CANCEL"),
    ];

    fn from_word(word: u32) -> Option<Opcode> {
        Self::ALL.get(word as usize).map(|(opcode, _)| *opcode)
    }
}

/// One op as JavaScript describes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SubmissionRecord {
    /// See [`Opcode`].
    pub opcode: u32,
    /// Index of the op's slot.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
    /// Descriptor id or [`NONE`].
    pub descriptor: u32,
    /// Block id or [`NONE`].
    pub block: u32,
    /// First byte in the block.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
    /// The opcode's own flags.
    pub flags: u32,
    /// Place in the file; -1 is the current one.
    pub position: f64,
    /// The opcode's own number.
    pub extra: f64,
    /// First byte in the argument arena.
    pub argument_offset: u32,
    /// Bytes in the argument arena.
    pub argument_length: u32,
    /// The opcode's own: slot, group or mode.
    pub target: u32,
    /// Option bits; for a cancel, the target's generation.
    pub options: u32,
}

/// One completion as JavaScript reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompletionRecord {
    /// Index of the op's slot.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u32,
    /// The answer; negative is an errno or one of [`fault`].
    pub result: i32,
    /// [`FLAG_MORE`], [`FLAG_SELECTED`], [`FLAG_REFUSED`].
    pub flags: u32,
    /// The block that the kernel chose, or [`NONE`].
    pub block: u32,
    /// Open: the fd's integer. Status: byte offset in the result arena.
    pub extra: u32,
    /// Open: the descriptor id.
    pub value: f64,
}

/// What a record asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// An op for the slot.
    Submit {
        /// Slot and generation.
        token: Token,
        /// The op.
        op: Op,
        /// How to submit it.
        options: OpOptions,
        /// Whether the op keeps the loop alive.
        referenced: bool,
    },
    /// Asks the kernel to end an op.
    Cancel(Token),
}

/// A record that cannot be submitted: its slot completes with this result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Slot and generation, as the record says.
    pub token: Token,
    /// One of [`fault`].
    pub result: i32,
}

/// Turns a record into a request. `argument` copies bytes out of the argument arena; it is only asked for ranges inside it.
pub fn decode(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Result<Request, Refusal> {
    let Some(opcode) = Opcode::from_word(record.opcode) else {
        return Err(Refusal { token: token(record), result: fault::OPCODE });
    };
    if opcode == Opcode::Cancel {
        return Ok(Request::Cancel(Token { slot: record.target, generation: record.options }));
    }
    if record.options & !(OPTION_UNREF | OPTION_ASYNC) != 0 {
        return Err(Refusal { token: token(record), result: fault::ARGUMENT });
    }
    match operation(opcode, record, argument) {
        Some(op) => Ok(Request::Submit {
            token: token(record),
            op,
            options: OpOptions { asynchronous: record.options & OPTION_ASYNC != 0 },
            referenced: record.options & OPTION_UNREF == 0,
        }),
        None => Err(Refusal { token: token(record), result: fault::ARGUMENT }),
    }
}

/// The result that tells JavaScript why the core refused an op. `None`: the slot itself is not the record's to complete.
pub fn refusal_result(fault: Fault) -> Option<i32> {
    match fault {
        Fault::Slot | Fault::Occupied | Fault::Generation => None,
        Fault::Descriptor => Some(-libc::EBADF),
        Fault::Block => Some(fault::BLOCK),
        Fault::Range => Some(fault::RANGE),
        Fault::Argument => Some(fault::ARGUMENT),
        Fault::Unsupported => Some(-libc::EINVAL),
        Fault::Registration(errno) => Some(-errno),
        Fault::Closed => Some(fault::CLOSED),
    }
}

/// An outcome as a record. `status_offset` is where a file status was put in the result arena.
pub fn encode(outcome: &Outcome, status_offset: u32) -> CompletionRecord {
    let mut record = CompletionRecord {
        slot: outcome.token.slot,
        generation: outcome.token.generation,
        result: outcome.result,
        flags: if outcome.more { FLAG_MORE } else { 0 },
        block: NONE,
        extra: 0,
        value: 0.0,
    };
    match &outcome.detail {
        Detail::None => {}
        Detail::Refused => record.flags |= FLAG_REFUSED,
        Detail::Selected(block) => {
            record.flags |= FLAG_SELECTED;
            record.block = block.0;
        }
        Detail::Opened(descriptor, fd) => {
            record.result = 0;
            record.extra = fd.cast_unsigned();
            record.value = f64::from(descriptor.0);
        }
        Detail::Status(_) => record.extra = status_offset,
    }
    record
}

/// A file status as the numbers of the result arena.
pub fn status_numbers(status: &FileStatus) -> [f64; STATUS_NUMBERS] {
    let mut numbers = [0.0; STATUS_NUMBERS];
    numbers[..14].copy_from_slice(&[
        status.device as f64,
        f64::from(status.mode),
        f64::from(status.links),
        f64::from(status.user),
        f64::from(status.group),
        status.special_device as f64,
        f64::from(status.block_size),
        status.inode as f64,
        status.size as f64,
        status.blocks as f64,
        status.accessed.milliseconds(),
        status.modified.milliseconds(),
        status.changed.milliseconds(),
        status.born.milliseconds(),
    ]);
    numbers
}

fn token(record: &SubmissionRecord) -> Token {
    Token { slot: record.slot, generation: record.generation }
}

/// `None`: an argument has the wrong shape.
fn operation(opcode: Opcode, record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<Op> {
    let descriptor = DescriptorId(record.descriptor);
    let range = BlockRange { block: BlockId(record.block), offset: record.offset, length: record.length };
    Some(match opcode {
        Opcode::Nop => Op::Nop { result: injected(record.extra)? },
        Opcode::Open => Op::Open { path: path(record, argument)?, flags: record.flags.cast_signed(), mode: record.target },
        Opcode::Close => Op::Close { descriptor },
        Opcode::Read => Op::Read { descriptor, target: range, position: position(record.position)? },
        Opcode::ReadFixed => Op::ReadFixed { descriptor, target: range, position: position(record.position)? },
        Opcode::ReadSelect => Op::ReadSelect {
            descriptor,
            group: u16::try_from(record.target).ok()?,
            length: record.length,
            position: position(record.position)?,
            provide: (record.block != NONE).then_some(BlockId(record.block)),
        },
        Opcode::Write => Op::Write { descriptor, source: range, position: position(record.position)? },
        Opcode::WriteFixed => Op::WriteFixed { descriptor, source: range, position: position(record.position)? },
        Opcode::Readv => Op::Readv { descriptor, parts: parts(record, argument)?, position: position(record.position)? },
        Opcode::Writev => Op::Writev { descriptor, parts: parts(record, argument)?, position: position(record.position)? },
        Opcode::Fsync => Op::Fsync { descriptor },
        Opcode::Fdatasync => Op::Fdatasync { descriptor },
        Opcode::Ftruncate => Op::Ftruncate { descriptor, length: whole(record.extra)? },
        Opcode::Fallocate => Op::Fallocate {
            descriptor,
            mode: record.flags.cast_signed(),
            offset: whole(record.position)?,
            length: whole(record.extra)?,
        },
        Opcode::Statx => Op::Statx { target: status_target(record, argument)? },
        Opcode::Timeout => Op::Timeout { duration: duration(record.extra)? },
        // Has no slot; `decode` took it out before.
        Opcode::Cancel => return None,
    })
}

/// A whole number from 0 to 2^53, beyond which f64 has gaps.
fn whole(number: f64) -> Option<u64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && (0.0..=LIMIT).contains(&number)).then_some(number as u64)
}

#[allow(clippy::float_cmp)] // -1 is a mark, not a measurement
fn position(number: f64) -> Option<Position> {
    if number == -1.0 { Some(Position::Current) } else { whole(number).map(Position::At) }
}

fn injected(number: f64) -> Option<i32> {
    (number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number)).then_some(number as i32)
}

/// Up to 2^53 milliseconds, some 285,000 years.
fn duration(milliseconds: f64) -> Option<Duration> {
    whole(milliseconds.trunc())?;
    Duration::try_from_secs_f64(milliseconds / 1000.0).ok()
}

fn argument_bytes(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<Vec<u8>> {
    let (offset, length) = (record.argument_offset as usize, record.argument_length as usize);
    (offset + length <= ARGUMENT_BYTES).then(|| argument(offset, length))
}

fn path(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<CString> {
    CString::new(argument_bytes(record, argument)?).ok()
}

fn parts(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<Vec<BlockRange>> {
    const PART_BYTES: usize = 12;
    let length = record.argument_length as usize;
    if !length.is_multiple_of(PART_BYTES) || length / PART_BYTES > PARTS_MAX {
        return None;
    }
    let bytes = argument_bytes(record, argument)?;
    let (words, _) = bytes.as_chunks::<4>();
    let (triples, _) = words.as_chunks::<3>();
    Some(
        triples
            .iter()
            .map(|triple| {
                let [block, offset, length] = triple.map(u32::from_le_bytes);
                BlockRange { block: BlockId(block), offset, length }
            })
            .collect(),
    )
}

fn status_target(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<StatusTarget> {
    if record.flags & !STATX_NOFOLLOW != 0 {
        return None;
    }
    if record.descriptor != NONE {
        return Some(StatusTarget::Descriptor(DescriptorId(record.descriptor)));
    }
    Some(StatusTarget::Path { path: path(record, argument)?, follow: record.flags & STATX_NOFOLLOW == 0 })
}

#[cfg(test)]
#[path = "abi_tests.rs"]
mod tests;
