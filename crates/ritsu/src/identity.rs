//! Who an op is: slot and generation, and how they travel through the kernel in `user_data`. Pure.
//!
//! `user_data` = slot (20 bits) | part (12 bits) << 20 | generation (24 bits) << 32 | kind (8 bits) << 56. The generation makes a late
//! completion or a late cancel of an earlier op in the same slot recognisable: it is counted and ignored. Part 0 is all of an op, but for
//! one that the kernel has in many parts.

/// Bits of a slot number.
const SLOT_BITS: u32 = 20;
/// Slots that can be named.
pub(crate) const SLOTS_MAX: u32 = 1 << SLOT_BITS;
/// Parts of one op that can be told apart.
pub(crate) const PARTS_MAX: u32 = 1 << (32 - SLOT_BITS);
/// Bits of a generation.
const GENERATION_BITS: u32 = 24;
/// The largest generation; the one after it is 0.
pub(crate) const GENERATION_MAX: u32 = (1 << GENERATION_BITS) - 1;

/// A slot and its generation: the identity of one op from submit to its final outcome.
///
/// The caller chooses the slot; the generation must be the slot's own. A slot's generation starts at 0 and grows by one (wrapping in
/// 24 bits) each time a final outcome of the slot is reaped, so the caller can mirror it without asking.
///
/// ```
/// let first = ritsu::Token { slot: 7, generation: 0 };
/// assert_eq!(first.next(), ritsu::Token { slot: 7, generation: 1 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// Index of the slot, below `in_flight_max`.
    pub slot: u32,
    /// The slot's generation, 24 bits.
    pub generation: u32,
}

impl Token {
    /// The identity of the slot's next op, once this one's final outcome has been reaped.
    #[must_use]
    pub fn next(self) -> Self {
        Self { slot: self.slot, generation: self.generation.wrapping_add(1) & GENERATION_MAX }
    }
}

/// What a completion belongs to. Zero is no kind, so that a zeroed entry is never taken for an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An op in a slot.
    Op = 1,
    /// A cancel; its token is the target's. Its own result says nothing: the target's completion decides.
    Cancel = 2,
    /// The crate's own trial ops at set-up.
    Internal = 3,
}

/// The 64 bits that the kernel carries for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserData(pub(crate) u64);

impl UserData {
    #[inline]
    pub(crate) fn new(kind: Kind, token: Token) -> Self {
        Self::of_part(kind, token, 0)
    }

    #[inline]
    pub(crate) fn of_part(kind: Kind, token: Token, part: u32) -> Self {
        debug_assert!(token.generation <= GENERATION_MAX && token.slot < SLOTS_MAX && part < PARTS_MAX);
        let low = token.slot | part << SLOT_BITS;
        Self(u64::from(low) | u64::from(token.generation) << 32 | (kind as u64) << 56)
    }

    #[inline]
    pub(crate) fn kind(self) -> Option<Kind> {
        match self.0 >> 56 {
            1 => Some(Kind::Op),
            2 => Some(Kind::Cancel),
            3 => Some(Kind::Internal),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn token(self) -> Token {
        Token { slot: self.0 as u32 & (SLOTS_MAX - 1), generation: (self.0 >> 32) as u32 & GENERATION_MAX }
    }

    #[inline]
    pub(crate) fn part(self) -> u32 {
        self.0 as u32 >> SLOT_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATION_MAX, Kind, PARTS_MAX, SLOTS_MAX, Token, UserData};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn user_data_gives_back_what_went_in(slot in 0..SLOTS_MAX, part in 0..PARTS_MAX, generation in 0..=GENERATION_MAX, kind in 0usize..3) {
            let kind = [Kind::Op, Kind::Cancel, Kind::Internal][kind];
            let token = Token { slot, generation };
            let data = UserData::of_part(kind, token, part);
            prop_assert_eq!(data.kind(), Some(kind));
            prop_assert_eq!(data.token(), token);
            prop_assert_eq!(data.part(), part);
            prop_assert_eq!(UserData::new(kind, token).part(), 0);
        }
    }

    #[test]
    fn a_zeroed_or_foreign_entry_is_of_no_kind() {
        assert_eq!(UserData(0).kind(), None);
        assert_eq!(UserData(u64::MAX).kind(), None);
    }

    #[test]
    fn a_generation_wraps_in_24_bits() {
        assert_eq!(Token { slot: 1, generation: GENERATION_MAX }.next().generation, 0);
    }
}
