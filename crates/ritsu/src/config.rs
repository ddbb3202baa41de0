//! What a proactor is asked for. Owns no resource; plain numbers, checked once.
//!
//! Every queue of the crate has a maximum, and each maximum is a sum written out here.

use crate::identity::SLOTS_MAX;

/// Submission queue entries: one flush of a busy turn (64 to 128 ops) twice over, so that a full queue is the exception.
const ENTRIES: u32 = 256;
/// Ops in flight: every idle connection has one, so this is how many of those there may be. Slots are made as they are needed.
const IN_FLIGHT_MAX: u32 = 65_536;
/// Completion queue entries: a burst from 4096 ops without overflow, which costs a call more and loses nothing.
const COMPLETION_ENTRIES: u32 = 4096;
/// Registered memory: half of the usual 8 MiB memlock limit, which is shared by all processes of one user.
const REGISTERED_BYTES_MAX: usize = 4 << 20;

/// As many slots as `user_data` can name; a table of more than a million would be a mistake in the caller.
const IN_FLIGHT_LIMIT: u32 = SLOTS_MAX;
/// `IORING_MAX_ENTRIES` (`io_uring_setup(2)`).
const ENTRIES_LIMIT: u32 = 32_768;
/// `IORING_MAX_CQ_ENTRIES` (`io_uring_setup(2)`).
const COMPLETION_ENTRIES_LIMIT: u32 = 65_536;

/// What a [`Proactor`](crate::Proactor) is made with. Values out of range are brought into range, never refused.
///
/// ```
/// let config = ritsu::Config { entries: 64, ..ritsu::Config::default() };
/// assert_eq!(config.entries, 64);
/// assert_eq!(config.completion_entries, 4096);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Entries of the submission queue: how many ops one `io_uring_enter(2)` can carry. 1 to 32768, rounded up to a power of two.
    pub entries: u32,
    /// Entries of the completion queue. At least `entries`, at most 65536, rounded up to a power of two. More completions than this
    /// are kept by the kernel (overflow) and fetched by the next enter: slower, never lost.
    pub completion_entries: u32,
    /// Op slots: ops that may be in flight at the same time. 1 to 2^20.
    pub in_flight_max: u32,
    /// Memory, in bytes, that may be registered with the ring (fixed buffers). Counts against `RLIMIT_MEMLOCK`.
    pub registered_bytes_max: usize,
    /// The first rung of the set-up ladder to try; 0 is the newest mode. Tests walk down it on a new kernel, and a kernel with a bug in
    /// the newest mode can be kept away from it. Rungs below the last one count as the last.
    pub first_rung: usize,
    /// Ask for multishot ops where the kernel has them. Off: each is answered by one outcome, as on an old kernel.
    pub multishot: bool,
    /// Use provided-buffer rings where the kernel has them. Off: select reads are refused, as on an old kernel.
    pub buffer_select: bool,
    /// Send without a copy where the kernel can. Off: such sends are plain ones, as on an old kernel.
    pub zero_copy: bool,
}

impl Config {
    /// The first rung whose completion work is not deferred to our own enter: for a kernel that has a bug there.
    pub const FIRST_RUNG_NOT_DEFERRED: usize = 2;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries: ENTRIES,
            completion_entries: COMPLETION_ENTRIES,
            in_flight_max: IN_FLIGHT_MAX,
            registered_bytes_max: REGISTERED_BYTES_MAX,
            first_rung: 0,
            multishot: true,
            buffer_select: true,
            zero_copy: true,
        }
    }
}

impl Config {
    /// The same wishes within the limits of the kernel and of this crate.
    pub(crate) fn clamped(&self) -> Self {
        let entries = self.entries.clamp(1, ENTRIES_LIMIT).next_power_of_two();
        let completion_entries = self.completion_entries.clamp(entries, COMPLETION_ENTRIES_LIMIT).next_power_of_two();
        Self { entries, completion_entries, in_flight_max: self.in_flight_max.clamp(1, IN_FLIGHT_LIMIT), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn values_out_of_range_are_brought_into_range() {
        let rows =
            [((0, 0, 0), (1, 1, 1)), ((100, 5, 7), (128, 128, 7)), ((u32::MAX, u32::MAX, u32::MAX), (32_768, 65_536, 1 << 20))];
        for ((entries, completion_entries, in_flight_max), expected) in rows {
            let config = Config { entries, completion_entries, in_flight_max, ..Config::default() }.clamped();
            assert_eq!((config.entries, config.completion_entries, config.in_flight_max), expected);
        }
    }
}
