//! The ritsu core: an `io_uring` proactor. It takes [ops](Op) and gives [outcomes](Outcome); it knows nothing of JavaScript.
//!
//! # Bird's-eye view
//!
//! A [`Proactor`] owns one ring, its op slots, its blocks of memory and its descriptors. Completion-based I/O has one hard question: who
//! owns the buffer while the kernel writes to it? Here the answer is always the same. **The kernel is given only memory that the
//! proactor owns, from the push until the op's final completion.** An op names its memory by [`BlockId`] and its file by
//! [`DescriptorId`]; with its submission it owns both, and nobody can free, lend or close them until its final [`Outcome`] was reaped.
//!
//! ```text
//!   submit ──> queue ──> push ──> enter ──> (kernel) ──> reap ──> finish ──> Outcome
//!   op takes slot,       encoded  one                    by user_data        slot, block and
//!   block, descriptor    in place system call            and generation      descriptor are free
//! ```
//!
//! # Entry points
//!
//! | to know | read |
//! |---|---|
//! | what can be asked for | `op.rs`: [`Op`] |
//! | how it is put to the kernel, and how the answer is read | `in_flight.rs`, `stream.rs`: `prep` and `finish` |
//! | how a socket is made | `socket.rs` |
//! | the states of an op | `slot.rs` |
//! | the states of a block | `block.rs`; pools, groups, registration: `memory.rs` |
//! | why an open file cannot be swapped under an op | `descriptor.rs` |
//! | enter, push, next completion | `ring.rs` |
//! | set-up, what is asked of the kernel | `ladder.rs`, [`Capability`] |
//! | how an op is ended before its time | `cancel.rs`: [`Proactor::cancel`] |
//! | how it ends | `drain.rs`: [`Proactor::drain`] |
//!
//! # What is deliberately absent
//!
//! - Threads, locks, wakers and futures: one proactor belongs to one thread, and its caller decides when to enter.
//! - Callbacks into the caller: outcomes go to a sink that cannot reach the proactor.
//! - References into block memory: the kernel and the caller write it; Rust passes raw pointers on.
//! - SQPOLL and registered personalities: both keep old credentials after setuid.
//! - `unsafe` outside of `ring.rs` and `buffer.rs`.
//!
//! # Example: read a file into a block
//!
//! ```
//! use ritsu::{BlockRange, Config, Detail, Op, OpOptions, Outcome, Position, Proactor, SizeClass, Token};
//! use std::time::Duration;
//!
//! fn run(proactor: &mut Proactor, token: Token, op: Op) -> Outcome {
//!     proactor.submit(token, op, OpOptions::default()).expect("the slot is free");
//!     let mut outcome = None;
//!     while outcome.is_none() {
//!         proactor.enter_and_wait(Duration::from_secs(1));
//!         proactor.reap(1, &mut |reaped| outcome = Some(reaped));
//!     }
//!     outcome.expect("just seen")
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut proactor = Proactor::new(Config::default())?;
//! let pool = proactor.create_pool(&[SizeClass { block_size: 4096, count: 4 }], false)?;
//! let token = Token { slot: 0, generation: 0 };
//!
//! let opened = run(&mut proactor, token, Op::Open { path: c"/proc/version".into(), flags: 0, mode: 0 });
//! let Detail::Opened(descriptor, _) = opened.detail else { panic!("errno {}", -opened.result) };
//! let target = BlockRange { block: pool.classes[0].first, offset: 0, length: 4096 };
//! let read = run(&mut proactor, token.next(), Op::Read { descriptor, target, position: Position::At(0) });
//! assert!(read.result > 0);
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]
#![deny(unsafe_code)]

mod address;
mod block;
#[allow(unsafe_code)] // Owns the memory that the kernel writes.
mod buffer;
mod cancel;
mod capability;
mod config;
mod descriptor;
mod drain;
mod error;
mod identity;
mod in_flight;
mod ladder;
mod many;
mod memory;
mod op;
mod outcome;
mod proactor;
#[allow(unsafe_code)] // Speaks to the kernel.
mod ring;
mod slot;
mod socket;
mod statistics;
mod stream;

pub use address::{Address, UnixName};
pub use block::{BlockId, BlockRange};
pub use buffer::Mapping;
pub use capability::Capability;
pub use config::Config;
pub use descriptor::DescriptorId;
pub use drain::{Drained, leaked_bytes};
pub use error::{Cause, Fault, MemoryError, SetupError, Stage, SubmitError};
pub use identity::Token;
pub use memory::{BlockMemory, Pool, PoolClass, SizeClass};
pub use op::{Op, OpOptions, Position, StatusTarget};
pub use outcome::{Detail, FileStatus, Outcome, Timestamp};
pub use proactor::{Entered, Proactor};
pub use socket::{SocketOption, SocketOptions};
pub use statistics::Statistics;
