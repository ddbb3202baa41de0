//! Counters: what a proactor has done and holds. Plain numbers, read at any time.

/// Counters of one proactor since it was made, and sizes as they are now.
///
/// ```
/// # fn main() -> Result<(), ritsu::SetupError> {
/// let proactor = ritsu::Proactor::new(ritsu::Config::default())?;
/// assert_eq!(proactor.statistics().submitted, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Ops accepted, and refusals to be answered ([`Proactor::refuse`](crate::Proactor::refuse)); less `completed` gives `in_flight`.
    pub submitted: u64,
    /// Ops whose final outcome was reaped.
    pub completed: u64,
    /// Calls of `io_uring_enter(2)`.
    pub enters: u64,
    /// Enters made while the kernel held completions back for want of room in the completion queue (`IORING_SQ_CQ_OVERFLOW`).
    pub overflows: u64,
    /// Submits refused.
    pub faults: u64,
    /// Ops cancelled before the kernel saw them.
    pub withdrawn: u64,
    /// Cancels given to the kernel.
    pub cancels_sent: u64,
    /// Completions of an old generation or of no known kind, ignored.
    pub stale: u64,
    /// Enters that the kernel could not serve (`EAGAIN`, `EBUSY`, `ENOMEM`) or that a signal cut short (`EINTR`).
    pub retries: u64,
    /// Bytes registered as fixed buffers, now.
    pub registered_bytes: u64,
    /// Bytes in pool mappings, now.
    pub pool_bytes: u64,
    /// Bytes in own blocks, now.
    pub own_bytes: u64,
    /// Ops in flight, now.
    pub in_flight: u64,
    /// Descriptors open or closing, now.
    pub descriptors_open: u64,
    /// Blocks owned by ops, now.
    pub blocks_busy: u64,
    /// Blocks in provided-buffer rings, now.
    pub blocks_provided: u64,
    /// Bytes leaked on purpose by this whole process; see [`leaked_bytes`](crate::leaked_bytes).
    pub leaked_bytes: u64,
}
