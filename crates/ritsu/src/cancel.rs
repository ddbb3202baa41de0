//! Cancels: asked for by token, sent once there is room, sent again where the kernel may have missed its op.
//!
//! A cancel ends nothing by itself: the op's own completion decides. What is queued here is a token; a cancel whose op has ended meanwhile
//! is skipped when its turn comes (`Proactor::push`).

use crate::identity::Token;
use crate::in_flight::Scratch;
use crate::op::Op;
use crate::proactor::Proactor;
use crate::slot::CancelStep;

/// How often an op of a file is cancelled: often enough to meet it between two places of the kernel, and no endless loop.
const CANCELS_MAX: u8 = 200;

impl Proactor {
    /// Asks for the end of an op. A token of another generation is ignored, and so is a second cancel. An op still queued is withdrawn:
    /// it completes with `-ECANCELED` and has had no effect. For any other op its own completion decides whether it was cancelled.
    /// A close is not cancelled.
    pub fn cancel(&mut self, target: Token) {
        if self.slots.cargo(target).is_none_or(|cargo| matches!(cargo.op, Op::Close { .. })) {
            return;
        }
        match self.slots.cancel(target) {
            CancelStep::Withdrawn => {
                self.ready.push_back(target);
                self.statistics.withdrawn += 1;
            }
            CancelStep::Send => self.withdraw_rest(target),
            CancelStep::Nothing => {}
        }
    }

    /// What the kernel has not seen of an op of many parts never happens; for the rest a cancel is sent.
    fn withdraw_rest(&mut self, target: Token) {
        let cargo = self.slots.complete(target).expect("it is cancelling");
        if let Scratch::Many(many) = &mut cargo.scratch {
            many.withdraw_rest();
            if many.is_over() {
                let result = many.result();
                self.slots.make_ready(target, result);
                return self.ready.push_back(target);
            }
        }
        self.queue_cancel(target);
    }

    fn queue_cancel(&mut self, target: Token) {
        let cargo = self.slots.complete(target).expect("it is cancelling");
        if !std::mem::replace(&mut cargo.is_cancel_queued, true) {
            self.cancels.push_back(target);
        }
    }

    /// Cancels every op in flight.
    pub fn cancel_all(&mut self) {
        for token in self.slots.tokens() {
            self.cancel(token);
        }
    }

    /// A cancel that did not find its op, or found it with a kernel worker, may have missed it for good: an op on its way from one place of
    /// the kernel to another goes on (seen with connects, to be expected of multishot). So it is sent once more, unless the op has ended.
    pub(crate) fn repeat_cancel(&mut self, target: Token, part: u32, result: i32) {
        let missed = result == -libc::ENOENT || result == -libc::EALREADY;
        if missed && self.slots.is_cancelling(target) {
            let cargo = self.slots.complete(target).expect("it is cancelling");
            // The parts of one op have a cancel each, and are cancelled together again, once those that wait for room have been sent.
            let is_new = match &mut cargo.scratch {
                Scratch::Many(many) if !many.is_out(part) => return,
                Scratch::Many(many) if cargo.is_cancel_queued => cargo.cancels < CANCELS_MAX && many.cancel_missed(part),
                _ => !cargo.is_cancel_queued,
            };
            if !is_new {
                return;
            }
            cargo.cancels = cargo.cancels.saturating_add(1);
            // What waits for a peer is found sooner or later; what waits for a disk, or for its notification, never is.
            if cargo.op.waits_for_a_peer() || cargo.cancels < CANCELS_MAX {
                self.queue_cancel(target);
            }
        }
    }

    /// Sends a cancel again to every op that was cancelled and has not ended.
    pub(crate) fn repeat_cancels(&mut self) {
        if self.cancels.is_empty() {
            for token in self.slots.tokens() {
                if self.slots.is_cancelling(token) {
                    self.queue_cancel(token);
                }
            }
        }
    }
}
