//! An op in its slot: how it is put to the kernel (`prep`) and how its completion becomes an outcome (`finish`), side by side.
//!
//! Both match every op of the closed list; those of sockets and streams go on in `stream.rs`. Blocks and descriptors are named by the op;
//! the memory that the kernel reads or writes besides (iovecs, addresses, times, status) lives in the [`Scratch`], in the slot, until the
//! final completion. Only the proactor calls this.

use crate::address::EncodedAddress;
use crate::block::{BlockRange, BlockTable};
use crate::buffer::{MessageBuffer, StatusBuffer};
use crate::descriptor::DescriptorTable;
use crate::identity::{Kind, Token, UserData};
use crate::many::Many;
use crate::memory::Memory;
use crate::op::{Op, OpOptions, Position, StatusTarget};
use crate::outcome::Detail;
use crate::ring::{self, Completion, Entry, Ring};
use io_uring::{opcode, squeue, types};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

/// Memory for the kernel besides blocks; made by `prep`, stays in the slot.
#[derive(Debug)]
pub(crate) enum Scratch {
    None,
    /// Nothing: the slot only carries the answer to an op that was refused.
    Refused,
    Parts(Vec<libc::iovec>),
    /// How far each part of a [`Op::ReadMany`] is.
    Many(Box<Many>),
    Time(types::Timespec),
    Status(StatusBuffer),
    Message(MessageBuffer),
    /// A socket that was made for the op, and is nobody else's before the op has succeeded. Dropped with the op, closed.
    Socket(File),
    /// The same, on its way to an address.
    Connecting(File, Box<EncodedAddress>),
}

/// The cargo of a slot: an op and what it needs on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) op: Op,
    /// The kernel's integer of the descriptor that the op holds; it cannot be reused while it does. -1 without a descriptor.
    pub(crate) file: RawFd,
    pub(crate) options: OpOptions,
    pub(crate) scratch: Scratch,
    /// Cancels that did not find it.
    pub(crate) cancels: u8,
    /// A cancel for it waits for room.
    pub(crate) is_cancel_queued: bool,
}

// As many as idle connections.
const _: () = assert!(size_of::<InFlight>() <= 80);

/// What finishing an op may change.
pub(crate) struct Surroundings<'a> {
    pub(crate) descriptors: &'a mut DescriptorTable<File>,
    pub(crate) memory: &'a mut Memory,
    /// Nobody waits for results any more: a descriptor that arrives is closed.
    pub(crate) abandoned: bool,
}

impl InFlight {
    /// Puts the op into the submission queue, which has room for an entry; one of many parts as far as there is room. Whether that was all.
    #[inline]
    pub(crate) fn push(&mut self, token: Token, blocks: &BlockTable, ring: &mut Ring) -> bool {
        if matches!(self.scratch, Scratch::Many(_)) {
            return self.push_parts(token, blocks, ring);
        }
        let entry = self.prep(blocks).user_data(UserData::new(Kind::Op, token).0);
        let pushed = ring.push(&entry);
        assert!(pushed, "there was room, and only this thread pushes");
        true
    }

    fn push_parts(&mut self, token: Token, blocks: &BlockTable, ring: &mut Ring) -> bool {
        let (Op::ReadMany { target, positions, fixed, .. }, Scratch::Many(many)) = (&self.op, &mut self.scratch) else {
            unreachable!("no other op has parts")
        };
        let file = types::Fd(self.file);
        let length = target.length / positions.len() as u32;
        let fixed = fixed.then(|| blocks.fixed(target.block).expect("checked at submit"));
        while !ring.is_full() {
            let Some(part) = many.next() else { return true };
            let address = blocks.address(BlockRange { offset: target.offset + part * length, length, ..*target });
            let position = positions[part as usize];
            let entry = match fixed {
                Some(buffer) => opcode::ReadFixed::new(file, address, length, buffer).offset(position).build(),
                None => opcode::Read::new(file, address, length).offset(position).build(),
            };
            let entry = if self.options.asynchronous { entry.flags(squeue::Flags::ASYNC) } else { entry };
            let pushed = ring.push(&entry.user_data(UserData::of_part(Kind::Op, token, part).0));
            assert!(pushed, "there was room, and only this thread pushes");
        }
        many.is_pushed()
    }

    /// Puts a cancel for each part that the kernel has into the submission queue. `false`: there was no room for all; called again, it goes on.
    pub(crate) fn push_cancels(&mut self, token: Token, ring: &mut Ring, sent: &mut u64) -> bool {
        let mut whole = Some(0); // what an op without parts is to be cancelled as
        while !ring.is_full() {
            let next = match &mut self.scratch {
                Scratch::Many(many) => many.next_to_cancel(),
                _ => whole.take(),
            };
            let Some(part) = next else { return true };
            let entry = opcode::AsyncCancel::new(UserData::of_part(Kind::Op, token, part).0).build();
            let pushed = ring.push(&entry.user_data(UserData::of_part(Kind::Cancel, token, part).0));
            assert!(pushed, "there was room, and only this thread pushes");
            *sent += 1;
        }
        whole.is_none()
    }

    /// Its cancels have been sent: whether one of the first of them has missed meanwhile, so that they wait for room again.
    pub(crate) fn end_cancels(&mut self) -> bool {
        self.is_cancel_queued = if let Scratch::Many(many) = &mut self.scratch { many.take_missed() } else { false };
        self.is_cancel_queued
    }

    /// Encodes the op, in its slot: everything the entry points at stays where it is until the final completion.
    fn prep(&mut self, blocks: &BlockTable) -> Entry {
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
            Op::ReadSelect { group, position, multishot: true, .. } => {
                opcode::ReadMulti::new(file, 0, *group).offset(position.encoded()).build()
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
            Op::ReadMany { .. } => unreachable!("it is pushed in parts"),
            Op::Connect { .. }
            | Op::Listen { .. }
            | Op::Bind { .. }
            | Op::Accept { .. }
            | Op::ReceiveSelect { .. }
            | Op::ReceiveMessage { .. }
            | Op::Send { .. }
            | Op::SendMessage { .. }
            | Op::Shutdown { .. }
            | Op::Poll { .. } => self.prep_stream(blocks),
        };
        // A worker of the kernel that reads multishot takes a block at the end of the file and names it in no completion: it would be lost.
        let asynchronous = self.options.asynchronous && !matches!(self.op, Op::ReadSelect { multishot: true, .. });
        if asynchronous { entry.flags(squeue::Flags::ASYNC) } else { entry }
    }

    /// Turns a completion of the op into a result and a detail. Called for each completion, in the slot.
    pub(crate) fn finish(&mut self, completion: &Completion, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
        let result = if matches!(self.op, Op::Nop { .. }) { completion.result } else { interrupted(completion.result) };
        match &self.op {
            Op::Open { .. } | Op::Accept { .. } if result >= 0 => opened(ring::own_opened(result), surroundings),
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
            Op::ReadSelect { group, .. } | Op::ReceiveSelect { group, .. } => match completion.selected() {
                Some(id) => (result, Detail::Selected(surroundings.memory.take_selected(*group, id))),
                None => (result, Detail::None),
            },
            Op::Statx { .. } if result >= 0 => match &self.scratch {
                Scratch::Status(status) => (result, Detail::Status(Box::new(status.read()))),
                _ => unreachable!("a status op has a status buffer"),
            },
            Op::Write { descriptor, position: Position::Current, .. }
            | Op::WriteFixed { descriptor, position: Position::Current, .. }
            | Op::Writev { descriptor, position: Position::Current, .. } => {
                let asked: u64 = self.op.parts().iter().map(|part| u64::from(part.length)).sum();
                if result > 0 && (result as u64) < asked {
                    move_position(surroundings.descriptors.file(*descriptor), result);
                }
                (result, Detail::None)
            }
            Op::Timeout { .. } if result == -libc::ETIME => (0, Detail::None),
            Op::ReadMany { .. } => self.finish_parts(),
            Op::Connect { .. }
            | Op::Listen { .. }
            | Op::Bind { .. }
            | Op::ReceiveMessage { .. }
            | Op::Send { .. }
            | Op::SendMessage { .. }
            | Op::Shutdown { .. }
            | Op::Poll { .. } => self.finish_stream(completion, surroundings),
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
            | Op::Timeout { .. }
            | Op::Accept { .. } => (result, Detail::None),
        }
    }

    /// Takes the answer to a part of the op; that of an op without parts is its own. `None`: it is none of the kernel's. Else whether it was
    /// the last.
    #[inline]
    pub(crate) fn answer(&mut self, part: u32, result: i32) -> Option<bool> {
        match &mut self.scratch {
            Scratch::Many(many) => many.answer(part, result).then(|| many.is_over()),
            _ => Some(true),
        }
    }

    fn finish_parts(&mut self) -> (i32, Detail) {
        let Scratch::Many(many) = std::mem::replace(&mut self.scratch, Scratch::None) else { unreachable!("it has parts") };
        let result = many.result();
        (result, if result < 0 { Detail::None } else { Detail::Counts(many.into_counts()) })
    }

    /// The answer to an op that the kernel did not see.
    pub(crate) fn finish_ready(&mut self, result: i32, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
        match std::mem::replace(&mut self.scratch, Scratch::None) {
            Scratch::Refused => (result, Detail::Refused),
            Scratch::Socket(socket) if result >= 0 => opened(socket, surroundings),
            _ => (result, Detail::None),
        }
    }
}

/// What the kernel would begin again by itself (`ERESTARTSYS` and its kin, `include/linux/errno.h`) never leaves a system call, but the
/// ring passes it on of an open that was cancelled while it waited (Linux 6.18).
fn interrupted(result: i32) -> i32 {
    if matches!(result, -514..=-512 | -516) { -libc::EINTR } else { result }
}

/// The file's position after a write of `written` bytes that came short: the next write goes behind them, not over them.
fn move_position(file: Option<&File>, written: i32) {
    let Some(mut file) = file else { return }; // it is being closed
    let kind = file.metadata().map(|metadata| metadata.file_type());
    let has_position = kind.is_ok_and(|kind| kind.is_file() || kind.is_block_device());
    if has_position && !ring::short_write_moves_position() {
        let _ = file.seek(SeekFrom::Current(i64::from(written)));
    }
}

/// Something was opened: its file enters the table, or is closed at once if nobody wants it or the table is full.
pub(crate) fn opened(file: File, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
    if surroundings.abandoned {
        return (-libc::ECANCELED, Detail::None);
    }
    let integer = file.as_raw_fd();
    match surroundings.descriptors.insert(file) {
        Ok(id) => (0, Detail::Opened(id, integer)),
        Err(_closed_here) => (-libc::EMFILE, Detail::None),
    }
}

/// The ranges as the kernel reads them.
pub(crate) fn vector(ranges: &[BlockRange], blocks: &BlockTable) -> Vec<libc::iovec> {
    let part = |range: &BlockRange| libc::iovec { iov_base: blocks.address(*range).cast(), iov_len: range.length as usize };
    ranges.iter().map(part).collect()
}

impl Scratch {
    fn parts(&mut self, ranges: &[BlockRange], blocks: &BlockTable) -> (*const libc::iovec, u32) {
        *self = Self::Parts(vector(ranges, blocks));
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
