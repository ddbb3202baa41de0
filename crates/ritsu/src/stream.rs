//! The ops of sockets and streams: their half of `prep` and `finish` in `in_flight.rs`, which is the only caller.
//!
//! A multishot op is pushed once and completes many times; it stays in its slot, and holds its descriptor, until a completion without
//! `more`. A zero-copy send completes twice: the result, and then the notification that the kernel reads its block no longer.

use crate::block::{BlockRange, BlockTable};
use crate::buffer::MessageBuffer;
use crate::capability::Capability;
use crate::in_flight::{InFlight, Scratch, Surroundings, opened, vector};
use crate::op::Op;
use crate::outcome::Detail;
use crate::ring::{Completion, Entry};
use io_uring::{opcode, squeue, types};
use std::net::Shutdown;
use std::ptr;

/// A peer that is gone is an errno, not a signal.
fn send_flags(wait_all: bool) -> i32 {
    libc::MSG_NOSIGNAL | if wait_all { libc::MSG_WAITALL } else { 0 }
}

/// `SHUT_*` (`shutdown(2)`).
pub(crate) fn direction(how: Shutdown) -> i32 {
    match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    }
}

impl Op {
    /// Whether the kernel can find the op until the moment it ends, since all that it does is wait for somebody else.
    pub(crate) fn waits_for_a_peer(&self) -> bool {
        match self {
            Self::ReadSelect { multishot, .. } => *multishot,
            // After its result it can be found no more, and still waits for its notification.
            Self::Send { zero_copy, .. } => !zero_copy,
            Self::Connect { .. }
            | Self::Accept { .. }
            | Self::ReceiveSelect { .. }
            | Self::ReceiveMessage { .. }
            | Self::SendMessage { .. }
            | Self::Poll { .. } => true,
            _ => false,
        }
    }

    /// Makes do with what the kernel can: one outcome instead of many, a copy instead of none. Both are what the op may do anyway.
    #[inline]
    pub(crate) fn make_do(&mut self, capability: &Capability) {
        match self {
            Self::Accept { multishot, .. } => *multishot &= capability.multishot_accept,
            Self::ReadSelect { multishot, .. } => *multishot &= capability.multishot_read,
            Self::ReceiveSelect { multishot, .. } => *multishot &= capability.multishot_receive,
            Self::Send { zero_copy, .. } => *zero_copy &= capability.zero_copy,
            _ => {}
        }
    }
}

impl InFlight {
    pub(crate) fn prep_stream(&mut self, blocks: &BlockTable) -> Entry {
        let file = types::Fd(self.file);
        match &self.op {
            Op::Connect { .. } => {
                let Scratch::Connecting(_, address) = &self.scratch else { unreachable!("made at submit") };
                opcode::Connect::new(file, address.address(), address.length()).build()
            }
            Op::Accept { multishot: true, .. } => opcode::AcceptMulti::new(file).flags(libc::SOCK_CLOEXEC).build(),
            Op::Accept { .. } => opcode::Accept::new(file, ptr::null_mut(), ptr::null_mut()).flags(libc::SOCK_CLOEXEC).build(),
            Op::ReceiveSelect { group, multishot: true, .. } => opcode::RecvMulti::new(file, *group).build(),
            Op::ReceiveSelect { group, length, .. } => {
                let receive = opcode::Recv::new(file, ptr::null_mut(), *length).buf_group(*group);
                receive.build().flags(squeue::Flags::BUFFER_SELECT)
            }
            Op::ReceiveMessage { target, .. } => {
                let message = self.scratch.message(MessageBuffer::receiving(vector(&[*target], blocks)));
                opcode::RecvMsg::new(file, message).build()
            }
            Op::Send { source, wait_all, zero_copy: true, .. } => {
                let (address, length) = memory(*source, blocks);
                opcode::SendZc::new(file, address, length).flags(send_flags(*wait_all)).build()
            }
            Op::Send { source, wait_all, .. } => {
                let (address, length) = memory(*source, blocks);
                opcode::Send::new(file, address, length).flags(send_flags(*wait_all)).build()
            }
            Op::SendMessage { parts, address, wait_all, .. } => {
                let buffer = MessageBuffer::sending(vector(parts, blocks), address.as_deref());
                let message = self.scratch.message(buffer);
                opcode::SendMsg::new(file, message).flags(send_flags(*wait_all) as u32).build()
            }
            Op::Shutdown { how, .. } => opcode::Shutdown::new(file, direction(*how)).build(),
            Op::Poll { events, .. } => opcode::PollAdd::new(file, *events).build(),
            _ => unreachable!("not an op of streams"),
        }
    }

    pub(crate) fn finish_stream(&mut self, completion: &Completion, surroundings: &mut Surroundings<'_>) -> (i32, Detail) {
        match &self.op {
            Op::Connect { .. } if completion.result >= 0 => {
                let Scratch::Connecting(socket, _) = std::mem::replace(&mut self.scratch, Scratch::None) else {
                    unreachable!("made at submit")
                };
                opened(socket, surroundings)
            }
            Op::ReceiveMessage { .. } if completion.result >= 0 => {
                let Scratch::Message(message) = &self.scratch else { unreachable!("made by prep") };
                let (address, truncated) = message.received();
                (completion.result, Detail::Message { address, truncated })
            }
            // The result came before; what a notification carries is how the kernel went about it.
            Op::Send { .. } if completion.is_notification() => (0, Detail::None),
            _ => (completion.result, Detail::None),
        }
    }
}

fn memory(source: BlockRange, blocks: &BlockTable) -> (*const u8, u32) {
    (blocks.address(source), source.length)
}

impl Scratch {
    fn message(&mut self, buffer: MessageBuffer) -> *mut libc::msghdr {
        let header = buffer.header();
        *self = Self::Message(buffer);
        header
    }
}
