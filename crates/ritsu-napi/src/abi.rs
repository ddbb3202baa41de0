//! The shared pages: where every number lies, and what a record means. Owns nothing, touches no memory: pure functions.
//!
//! JavaScript writes [`SubmissionRecord`]s and reads [`CompletionRecord`]s; the bridge copies records in and out. Nothing that
//! JavaScript writes is trusted: [`decode`] turns a record into a request whose numbers have the right shape, and the core checks
//! slots, blocks, ranges and descriptors. The TypeScript side gets these numbers from `layout()` and has no copy of its own to go
//! stale. Little endian, one allocation, offsets in bytes.

mod address;
mod decode;

use std::mem::{offset_of, size_of};

use ritsu::{BlockId, Detail, Fault, FileStatus, Op, OpOptions, Outcome, Token};

pub use address::{decode_address, encode_address};

/// Grows with every change of this file that the other side would notice.
pub const ABI_VERSION: u32 = 7;

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
/// What lies in the result arena begins at a multiple of this.
const RESULT_ALIGNMENT: usize = 32;
/// Room of one address in the result arena: its length (u32), and the address as [`encode_address`] writes it.
pub const ADDRESS_BYTES: usize = 128;

const _: () = {
    assert!(SUBMISSION_OFFSET == 512);
    assert!(ARGUMENT_OFFSET == 66_048);
    assert!(COMPLETION_OFFSET == 131_584);
    assert!(RESULT_OFFSET == 164_352);
    assert!(TOTAL_BYTES == 229_888);
    assert!(STATUS_BYTES.is_multiple_of(RESULT_ALIGNMENT) && ADDRESS_BYTES.is_multiple_of(RESULT_ALIGNMENT));
    assert!(RESULT_BYTES >= PARTS_MAX * size_of::<f64>());
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
    /// 1 while the loop is kept alive. The bridge writes it.
    pub const REFERENCED: usize = 2;
    /// Block ids waiting in `collected()`.
    pub const COLLECTED_COUNT: usize = 3;
    /// 1 when the native side takes nothing more.
    pub const CLOSED: usize = 4;
    /// 1 while another copy of the package has rings on this loop. JavaScript sets it.
    pub const COMPANY: usize = 5;
    /// 1 while the loop is to be kept alive. JavaScript sets it, and calls `reference()` when `REFERENCED` is 0.
    pub const KEEP_ALIVE: usize = 6;
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
/// Option bit: hand the op to a kernel worker at once.
pub const OPTION_ASYNC: u32 = 1;
/// Flag of a read at many places: into a registered block.
pub const READ_REGISTERED: u32 = 1;
/// Flag of ops that may bring many completions.
pub const MULTISHOT: u32 = 1;
/// Flag of a send: go on until all is sent.
pub const SEND_WAIT_ALL: u32 = 1;
/// Flag of a send: from the block itself, without a copy.
pub const SEND_ZERO_COPY: u32 = 2;
/// Flag of sockets that are bound: others may have the address, too.
pub const SOCKET_REUSE_PORT: u32 = 1;
/// Flag of sockets that are bound: IPv6 only.
pub const SOCKET_IPV6_ONLY: u32 = 2;
/// Flag of datagram sockets: an address in use may be taken.
pub const SOCKET_REUSE_ADDRESS: u32 = 4;
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
    /// Of the op named in `target` and `options`. Has no slot.
    Cancel,
    /// To the first address in the argument, from the second if there is one.
    Connect,
    /// On the address in the argument; backlog in `target`.
    Listen,
    /// A datagram socket on the first address in the argument, for the second alone if there is one.
    Bind,
    /// Of a socket that listens.
    Accept,
    /// From a socket into a block of the group in `target`; `block` is provided first.
    ReceiveSelect,
    /// One datagram, with its sender's address.
    ReceiveMessage,
    /// From a block to a socket.
    Send,
    /// The address and the parts listed in the argument.
    SendMessage,
    /// Of the direction in `target`: 0 reading, 1 writing, 2 both.
    Shutdown,
    /// Until the descriptor is ready for one of the events in `target`.
    Poll,
    /// Gives `block` to the group in `target`. Has no slot.
    Provide,
    /// Into even shares of a range of a block, from the positions (f64) in the argument.
    ReadMany,
}

impl Opcode {
    /// Every code with its name, in order.
    pub const ALL: [(Opcode, &'static str); 29] = [
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
        (Opcode::Connect, "CONNECT"),
        (Opcode::Listen, "LISTEN"),
        (Opcode::Bind, "BIND"),
        (Opcode::Accept, "ACCEPT"),
        (Opcode::ReceiveSelect, "RECEIVE_SELECT"),
        (Opcode::ReceiveMessage, "RECEIVE_MESSAGE"),
        (Opcode::Send, "SEND"),
        (Opcode::SendMessage, "SEND_MESSAGE"),
        (Opcode::Shutdown, "SHUTDOWN"),
        (Opcode::Poll, "POLL"),
        (Opcode::Provide, "PROVIDE"),
        (Opcode::ReadMany, "READ_MANY"),
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
    /// What opens: the fd's integer. Status, counts, message: byte offset in the result arena.
    pub extra: u32,
    /// What opens: the descriptor id. Status, counts: how many numbers (f64) are there. Message: 1 if it was truncated.
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
    },
    /// Asks the kernel to end an op.
    Cancel(Token),
    /// Gives a block to a group. A group that cannot be is the core's to refuse.
    Provide {
        /// The group.
        group: u16,
        /// The block.
        block: BlockId,
    },
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
    if opcode == Opcode::Provide {
        let group = u16::try_from(record.target).unwrap_or(u16::MAX);
        return Ok(Request::Provide { group, block: BlockId(record.block) });
    }
    if record.options & !OPTION_ASYNC != 0 {
        return Err(Refusal { token: token(record), result: fault::ARGUMENT });
    }
    match decode::operation(opcode, record, argument) {
        Some(op) => Ok(Request::Submit {
            token: token(record),
            op,
            options: OpOptions { asynchronous: record.options & OPTION_ASYNC != 0 },
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

/// An outcome as a record. `result_offset` is where its numbers or its address were put in the result arena.
pub fn encode(outcome: &Outcome, result_offset: u32) -> CompletionRecord {
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
        Detail::Status(_) => {
            record.extra = result_offset;
            record.value = STATUS_NUMBERS as f64;
        }
        Detail::Counts(counts) => {
            record.extra = result_offset;
            record.value = counts.len() as f64;
        }
        Detail::Message { truncated, .. } => {
            record.extra = result_offset;
            record.value = f64::from(u8::from(*truncated));
        }
    }
    record
}

/// Bytes of the result arena that a detail takes: a multiple of 32, so that what follows is aligned for whatever it is.
pub fn result_bytes(detail: &Detail) -> usize {
    match detail {
        Detail::Status(_) => STATUS_BYTES,
        Detail::Counts(counts) => (counts.len() * size_of::<f64>()).next_multiple_of(RESULT_ALIGNMENT),
        Detail::Message { .. } => ADDRESS_BYTES,
        Detail::None | Detail::Refused | Detail::Selected(_) | Detail::Opened(..) => 0,
    }
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

#[cfg(test)]
#[path = "abi_tests.rs"]
mod tests;
