//! A record's numbers as an op. Pure; each number is checked for its shape here, and for what it names by the core.

use std::ffi::CString;
use std::net::Shutdown;
use std::time::Duration;

use ritsu::{Address, BlockId, BlockRange, DescriptorId, Op, Position, SocketOptions, StatusTarget};

use super::address::decode_address;
use super::{
    ARGUMENT_BYTES, MULTISHOT, NONE, Opcode, PARTS_MAX, READ_REGISTERED, SEND_WAIT_ALL, SEND_ZERO_COPY, SOCKET_IPV6_ONLY,
    SOCKET_REUSE_ADDRESS, SOCKET_REUSE_PORT, STATX_NOFOLLOW, SubmissionRecord,
};

/// `None`: an argument has the wrong shape.
pub fn operation(opcode: Opcode, record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<Op> {
    let descriptor = DescriptorId(record.descriptor);
    let range = BlockRange { block: BlockId(record.block), offset: record.offset, length: record.length };
    Some(match opcode {
        Opcode::Nop => Op::Nop { result: injected(record.extra)? },
        Opcode::Open => Op::Open { path: path(record, argument)?, flags: record.flags.cast_signed(), mode: record.target },
        Opcode::Close => Op::Close { descriptor },
        Opcode::Read => Op::Read { descriptor, target: range, position: position(record.position)? },
        Opcode::ReadFixed => Op::ReadFixed { descriptor, target: range, position: position(record.position)? },
        Opcode::ReadMany => Op::ReadMany {
            descriptor,
            target: range,
            positions: positions(&argument_bytes(record, argument)?)?,
            fixed: flags(record, READ_REGISTERED)? != 0,
        },
        Opcode::ReadSelect => Op::ReadSelect {
            descriptor,
            group: u16::try_from(record.target).ok()?,
            length: record.length,
            position: position(record.position)?,
            provide: provided(record),
            multishot: multishot(record)?,
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
        _ => return socket_operation(opcode, record, argument),
    })
}

fn socket_operation(opcode: Opcode, record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<Op> {
    let descriptor = DescriptorId(record.descriptor);
    let range = BlockRange { block: BlockId(record.block), offset: record.offset, length: record.length };
    Some(match opcode {
        Opcode::Connect => {
            let (address, local) = addresses(record, argument)?;
            flags(record, 0)?;
            Op::Connect { address, local }
        }
        Opcode::Listen => {
            let address = decode_address(&argument_bytes(record, argument)?)?;
            let options = socket_options(record, SOCKET_REUSE_PORT | SOCKET_IPV6_ONLY)?;
            Op::Listen { address, backlog: i32::try_from(record.target).ok()?, options }
        }
        Opcode::Bind => {
            let (address, peer) = addresses(record, argument)?;
            let options = socket_options(record, SOCKET_REUSE_PORT | SOCKET_IPV6_ONLY | SOCKET_REUSE_ADDRESS)?;
            Op::Bind { address, peer, options }
        }
        Opcode::Accept => Op::Accept { descriptor, multishot: multishot(record)? },
        Opcode::ReceiveSelect => Op::ReceiveSelect {
            descriptor,
            group: u16::try_from(record.target).ok()?,
            length: record.length,
            provide: provided(record),
            multishot: multishot(record)?,
        },
        Opcode::ReceiveMessage => Op::ReceiveMessage { descriptor, target: range },
        Opcode::Send => {
            let flags = flags(record, SEND_WAIT_ALL | SEND_ZERO_COPY)?;
            let (wait_all, zero_copy) = (flags & SEND_WAIT_ALL != 0, flags & SEND_ZERO_COPY != 0);
            Op::Send { descriptor, source: range, wait_all, zero_copy }
        }
        Opcode::SendMessage => {
            let wait_all = flags(record, SEND_WAIT_ALL)? != 0;
            let (address, parts) = message(&argument_bytes(record, argument)?)?;
            Op::SendMessage { descriptor, parts, address, wait_all }
        }
        Opcode::Shutdown => {
            let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both].get(record.target as usize).copied()?;
            Op::Shutdown { descriptor, how }
        }
        Opcode::Poll => Op::Poll { descriptor, events: record.target },
        // Cancel and provide have no slot, `decode` took them out before; all others are in `operation`.
        _ => return None,
    })
}

/// The record's flags, if they are among these.
fn flags(record: &SubmissionRecord, known: u32) -> Option<u32> {
    (record.flags & !known == 0).then_some(record.flags)
}

fn multishot(record: &SubmissionRecord) -> Option<bool> {
    flags(record, MULTISHOT).map(|flags| flags != 0)
}

fn provided(record: &SubmissionRecord) -> Option<BlockId> {
    (record.block != NONE).then_some(BlockId(record.block))
}

fn socket_options(record: &SubmissionRecord, known: u32) -> Option<SocketOptions> {
    let flags = flags(record, known)?;
    Some(SocketOptions {
        reuse_port: flags & SOCKET_REUSE_PORT != 0,
        ipv6_only: flags & SOCKET_IPV6_ONLY != 0,
        reuse_address: flags & SOCKET_REUSE_ADDRESS != 0,
    })
}

/// One or two addresses, each with its length (u16) before it.
fn addresses(record: &SubmissionRecord, argument: &dyn Fn(usize, usize) -> Vec<u8>) -> Option<(Address, Option<Box<Address>>)> {
    let bytes = argument_bytes(record, argument)?;
    let (first, rest) = measured(&bytes)?;
    let second = match rest {
        [] => None,
        _ => match measured(rest)? {
            (second, []) => Some(Box::new(decode_address(second)?)),
            _ => return None,
        },
    };
    Some((decode_address(first)?, second))
}

/// A length (u16) and so many bytes; and what follows.
fn measured(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// The length of an address (u32; 0 for none), the address, zeros up to a multiple of 4, then parts.
fn message(bytes: &[u8]) -> Option<(Option<Box<Address>>, Vec<BlockRange>)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (padded, parts) = rest.split_at_checked(length.checked_next_multiple_of(4)?)?;
    let address = if length == 0 { None } else { Some(Box::new(decode_address(&padded[..length])?)) };
    Some((address, ranges(parts)?))
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
    ranges(&argument_bytes(record, argument)?)
}

/// Block, offset and length of each part.
fn ranges(bytes: &[u8]) -> Option<Vec<BlockRange>> {
    const PART_BYTES: usize = 12;
    if !bytes.len().is_multiple_of(PART_BYTES) || bytes.len() / PART_BYTES > PARTS_MAX {
        return None;
    }
    let (words, _) = bytes.as_chunks::<4>();
    let (triples, _) = words.as_chunks::<3>();
    let range = |triple: &[[u8; 4]; 3]| {
        let [block, offset, length] = triple.map(u32::from_le_bytes);
        BlockRange { block: BlockId(block), offset, length }
    };
    Some(triples.iter().map(range).collect())
}

/// Places in a file, as f64.
fn positions(bytes: &[u8]) -> Option<Box<[u64]>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() || numbers.len() > PARTS_MAX {
        return None;
    }
    numbers.iter().map(|number| whole(f64::from_le_bytes(*number))).collect()
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
