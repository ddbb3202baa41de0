//! How far an op of many parts has come. Pure; the parts are entries of their own to the kernel, the op is one to everybody else.
//!
//! ```text
//!   not pushed ── next ──> pushed ── answer ──> answered
//!        └──── withdraw_rest ──────────────────────^
//! ```

/// A part that the kernel has not answered.
const UNANSWERED: i32 = i32::MIN;

/// The parts of one op, each with its answer.
#[derive(Debug)]
pub(crate) struct Many {
    answers: Box<[i32]>,
    pushed: u32,
    answered: u32,
    /// The first part that a cancel has not been sent for, while cancels are being sent.
    cancelling: u32,
    /// One of those that were sent since the first has missed its part.
    missed: bool,
}

impl Many {
    pub(crate) fn new(count: usize) -> Self {
        Self { answers: vec![UNANSWERED; count].into_boxed_slice(), pushed: 0, answered: 0, cancelling: 0, missed: false }
    }

    /// The next part for the kernel.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u32> {
        let part = self.pushed;
        if part as usize == self.answers.len() {
            return None;
        }
        self.pushed += 1;
        Some(part)
    }

    /// Takes the kernel's answer to a part. `false`: there is no such part in the kernel.
    #[inline]
    pub(crate) fn answer(&mut self, part: u32, result: i32) -> bool {
        if !self.is_out(part) {
            return false;
        }
        self.answers[part as usize] = result;
        self.answered += 1;
        true
    }

    /// Every part has its answer.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.answered as usize == self.answers.len()
    }

    /// The kernel has the part.
    #[inline]
    pub(crate) fn is_out(&self, part: u32) -> bool {
        part < self.pushed && self.answers[part as usize] == UNANSWERED
    }

    /// What the kernel has not seen, it shall not see.
    pub(crate) fn withdraw_rest(&mut self) {
        for answer in &mut self.answers[self.pushed as usize..] {
            *answer = -libc::ECANCELED;
            self.answered += 1;
        }
        self.pushed = self.answers.len() as u32;
    }

    /// The kernel has seen every part.
    pub(crate) fn is_pushed(&self) -> bool {
        self.pushed as usize == self.answers.len()
    }

    /// A cancel missed its part while those of others wait for room. `false`: its part's turn comes all the same.
    pub(crate) fn cancel_missed(&mut self, part: u32) -> bool {
        part < self.cancelling && !std::mem::replace(&mut self.missed, true)
    }

    /// All cancels have been sent: whether they are to be sent once more.
    pub(crate) fn take_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// The next part that a cancel is to be sent for. After the last of them it begins anew.
    pub(crate) fn next_to_cancel(&mut self) -> Option<u32> {
        while self.cancelling < self.pushed {
            let part = self.cancelling;
            self.cancelling += 1;
            if self.is_out(part) {
                return Some(part);
            }
        }
        self.cancelling = 0;
        None
    }

    /// The answer of all: the bytes, or the first error, one that says more than that it was cancelled before others.
    pub(crate) fn result(&self) -> i32 {
        let failed = |answer: &&i32| **answer < 0;
        let ended = |answer: &&i32| **answer == -libc::ECANCELED || **answer == -libc::EINTR;
        let mut errors = self.answers.iter().filter(failed);
        if let Some(error) = errors.clone().find(|answer| !ended(answer)).or_else(|| errors.next()) {
            return *error;
        }
        let sum: u64 = self.answers.iter().map(|answer| u64::from(answer.cast_unsigned())).sum();
        i32::try_from(sum).unwrap_or(i32::MAX)
    }

    /// What each part got.
    pub(crate) fn into_counts(self) -> Box<[i32]> {
        self.answers
    }
}

#[cfg(test)]
mod tests {
    use super::Many;
    use proptest::prelude::*;

    #[test]
    fn parts_are_answered_once_and_in_any_order() {
        let mut many = Many::new(3);
        assert_eq!((many.next(), many.next()), (Some(0), Some(1)));
        assert!(!many.answer(2, 5), "the kernel does not have it");
        assert!(many.answer(1, 7));
        assert!(!many.answer(1, 8), "once");
        assert_eq!((many.next(), many.next()), (Some(2), None));
        assert!(many.answer(2, 1) && !many.is_over());
        assert!(many.answer(0, 0) && many.is_over());
        assert_eq!(many.result(), 8);
        assert_eq!(*many.into_counts(), [0, 7, 1]);
    }

    #[test]
    fn cancels_are_sent_once_more_where_one_of_them_has_missed() {
        let mut many = Many::new(3);
        while many.next().is_some() {}
        assert_eq!((many.next_to_cancel(), many.next_to_cancel()), (Some(0), Some(1)));
        assert!(!many.cancel_missed(2), "it has not been sent");
        assert!(many.cancel_missed(0) && !many.cancel_missed(1), "once for all");
        assert_eq!((many.next_to_cancel(), many.next_to_cancel()), (Some(2), None));
        assert!(many.take_missed() && !many.take_missed());
        many.answer(1, -libc::ECANCELED);
        assert!(!many.cancel_missed(0), "they have not begun again");
        let all: Vec<_> = std::iter::from_fn(|| many.next_to_cancel()).collect();
        assert_eq!(all, [0, 2]);
    }

    #[test]
    fn an_error_that_says_more_goes_before_a_cancel() {
        let rows: [(&[i32], i32); 5] = [
            (&[5, -libc::EIO, -libc::EISDIR], -libc::EIO),
            (&[-libc::ECANCELED, -libc::EIO, 3], -libc::EIO),
            (&[-libc::EINTR, -libc::ECANCELED, 3], -libc::EINTR),
            (&[i32::MAX, i32::MAX], i32::MAX),
            (&[0, 0], 0),
        ];
        for (answers, expected) in rows {
            let mut many = Many::new(answers.len());
            for answer in answers {
                let part = many.next().unwrap();
                many.answer(part, *answer);
            }
            assert_eq!(many.result(), expected, "{answers:?}");
        }
    }

    proptest! {
        /// Whatever is pushed, answered, cancelled and withdrawn, and when: each part is answered once, and cancels go to parts that are out.
        #[test]
        fn every_part_comes_to_one_end(count in 1usize..40, steps in prop::collection::vec((0u8..5, 0u32..40), 0..200)) {
            let mut many = Many::new(count);
            let mut out = Vec::new();
            let (mut pushed, mut answered) = (0, 0);
            for (kind, pick) in steps {
                match kind {
                    0 => if let Some(part) = many.next() {
                        prop_assert_eq!(part as usize, pushed);
                        pushed += 1;
                        out.push(part);
                    },
                    1 if !out.is_empty() => {
                        let part = out.remove(pick as usize % out.len());
                        prop_assert!(many.answer(part, 1));
                        answered += 1;
                    }
                    2 => if let Some(part) = many.next_to_cancel() { prop_assert!(out.contains(&part)); },
                    3 if pick == 0 => {
                        many.withdraw_rest();
                        answered += count - pushed;
                        pushed = count;
                    }
                    4 => { many.cancel_missed(pick); }
                    _ => {}
                }
                prop_assert_eq!(many.is_over(), answered == count);
            }
            let mut cancels = Vec::new();
            while many.next_to_cancel().is_some() {}
            while let Some(part) = many.next_to_cancel() { cancels.push(part); }
            out.sort_unstable();
            prop_assert_eq!(cancels, out);
        }
    }
}
