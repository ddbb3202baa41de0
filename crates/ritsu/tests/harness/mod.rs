//! What the tests on the real ring share: a proactor that waits, files that go away, and bytes of blocks.

// Each test file uses its part.
#![allow(dead_code)]

use ritsu::{
    Address, BlockId, BlockRange, Config, DescriptorId, Detail, Entered, Op, OpOptions, Outcome, Position, Proactor, SizeClass,
    SocketOptions, SubmitError, Token,
};
use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Rungs of the set-up ladder that differ in how completions arrive: deferred, cooperative, plain.
pub const RUNGS: [usize; 3] = [0, 3, 5];

/// A test that has not ended by then hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A proactor with a free list of tokens, as a caller would keep it.
pub struct Harness {
    pub proactor: Proactor,
    free: Vec<Token>,
    pub outcomes: Vec<Outcome>,
}

impl Harness {
    pub fn new(config: Config) -> Self {
        let free = (0..config.in_flight_max).rev().map(|slot| Token { slot, generation: 0 }).collect();
        let proactor = Proactor::new(config).expect("these tests need a kernel with io_uring");
        Self { proactor, free, outcomes: Vec::new() }
    }

    pub fn on_rung(first_rung: usize) -> Self {
        Self::new(Config { first_rung, ..Config::default() })
    }

    pub fn try_submit(&mut self, op: Op, options: OpOptions) -> Result<Token, SubmitError> {
        let token = self.free.pop().expect("a free slot");
        match self.proactor.submit(token, op, options) {
            Ok(()) => Ok(token),
            Err(refused) => {
                self.free.push(token);
                Err(refused)
            }
        }
    }

    pub fn submit(&mut self, op: Op) -> Token {
        self.try_submit(op, OpOptions::default()).expect("accepted")
    }

    /// Reaps what is there into `outcomes` and frees the tokens. Returns how many came.
    pub fn reap(&mut self) -> usize {
        let (free, outcomes) = (&mut self.free, &mut self.outcomes);
        self.proactor.reap(usize::MAX, &mut |outcome| {
            if !outcome.more {
                free.push(outcome.token.next());
            }
            outcomes.push(outcome);
        })
    }

    /// Enters and reaps until the op is over; its outcome is taken out of `outcomes`.
    pub fn wait(&mut self, token: Token) -> Outcome {
        let start = Instant::now();
        loop {
            if let Some(index) = self.outcomes.iter().position(|outcome| outcome.token == token) {
                return self.outcomes.remove(index);
            }
            assert!(start.elapsed() < PATIENCE, "op {token:?} does not end");
            let entered = self.proactor.enter_and_wait(Duration::from_millis(100));
            Self::rest(entered);
            self.reap();
        }
    }

    pub fn wait_all(&mut self) -> Vec<Outcome> {
        let start = Instant::now();
        while self.proactor.in_flight() > 0 {
            assert!(start.elapsed() < PATIENCE, "{} ops do not end", self.proactor.in_flight());
            let entered = self.proactor.enter_and_wait(Duration::from_millis(100));
            Self::rest(entered);
            self.reap();
        }
        std::mem::take(&mut self.outcomes)
    }

    /// Pushes and enters once, without waiting.
    pub fn enter(&mut self) {
        let mut entered = self.proactor.enter();
        while entered != Entered::Done {
            Self::rest(entered);
            entered = self.proactor.enter();
        }
    }

    /// Pushes, enters and reaps once, without waiting.
    pub fn turn(&mut self) {
        self.enter();
        self.reap();
    }

    /// What a caller does when the kernel could not: nothing is lost, so wait a little. Lets these tests run under injected faults, too.
    fn rest(entered: Entered) {
        if let Entered::Retry(_) = entered {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn run(&mut self, op: Op) -> Outcome {
        let token = self.submit(op);
        self.wait(token)
    }

    pub fn open(&mut self, path: &Path, flags: i32) -> DescriptorId {
        let outcome = self.run(Op::Open { path: c_path(path), flags, mode: 0o600 });
        match outcome.detail {
            Detail::Opened(descriptor, _) => descriptor,
            _ => panic!("open {}: errno {}", path.display(), -outcome.result),
        }
    }

    /// Runs an op that brings a descriptor.
    pub fn opened(&mut self, op: Op) -> DescriptorId {
        let token = self.submit(op);
        self.next_opened(token)
    }

    /// The next descriptor that an op brings.
    pub fn next_opened(&mut self, token: Token) -> DescriptorId {
        let outcome = self.wait(token);
        let Detail::Opened(descriptor, _) = outcome.detail else { panic!("errno {}", -outcome.result) };
        assert_eq!(outcome.result, 0);
        descriptor
    }

    pub fn listen(&mut self, address: impl Into<Address>) -> (DescriptorId, Address) {
        let op = Op::Listen { address: address.into(), backlog: 128, options: SocketOptions::default() };
        let listener = self.opened(op);
        let address = self.proactor.address(listener, false).expect("a socket has an address");
        (listener, address)
    }

    pub fn connect(&mut self, address: &Address) -> DescriptorId {
        self.opened(Op::Connect { address: address.clone(), local: None })
    }

    /// Two ends of a TCP connection, both known to the proactor.
    pub fn connection(&mut self) -> (DescriptorId, DescriptorId) {
        let (listener, address) = self.listen(LOOPBACK);
        let client = self.connect(&address);
        let server = self.opened(Op::Accept { descriptor: listener, multishot: false });
        self.close(listener);
        (client, server)
    }

    /// Sends all of `bytes`, at most one block of 64 KiB.
    pub fn send(&mut self, descriptor: DescriptorId, bytes: &[u8]) {
        let source = BlockRange { length: bytes.len() as u32, ..self.block(65_536) };
        self.fill(source, bytes);
        let outcome = self.run(Op::Send { descriptor, source, wait_all: true, zero_copy: false });
        assert_eq!(outcome.result as usize, bytes.len());
        self.proactor.retire_block(source.block);
    }

    /// One read of a stream, at most 64 KiB.
    pub fn receive(&mut self, descriptor: DescriptorId) -> Vec<u8> {
        let target = self.block(65_536);
        let bytes = self.read(descriptor, target, Position::Current);
        self.proactor.retire_block(target.block);
        bytes
    }

    pub fn close(&mut self, descriptor: DescriptorId) {
        assert_eq!(self.run(Op::Close { descriptor }).result, 0);
    }

    /// A block of its own, as a range over all of it.
    pub fn block(&mut self, size: u32) -> BlockRange {
        let block = self.proactor.allocate_block(size as usize).expect("memory");
        BlockRange { block, offset: 0, length: size }
    }

    /// A pool of one class; gives group and first block.
    pub fn pool(&mut self, block_size: u32, count: u32) -> (u16, BlockId) {
        let pool = self.proactor.create_pool(&[SizeClass { block_size, count }], false).expect("memory");
        (pool.classes[0].group, pool.classes[0].first)
    }

    pub fn pipe(&mut self) -> (DescriptorId, OwnedFd) {
        let (reader, writer) = pipe();
        (self.proactor.adopt(reader).expect("room"), writer)
    }

    /// Copies bytes into a block that is idle.
    pub fn fill(&self, range: BlockRange, bytes: &[u8]) {
        let memory = self.proactor.block_memory(range.block).expect("a block");
        assert!(range.offset as usize + bytes.len() <= memory.length);
        let start = memory.address.as_ptr().wrapping_add(range.offset as usize);
        // SAFETY: within the block (asserted), and the test has it: it is idle.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len()) };
    }

    /// Copies bytes out of a block that is idle.
    pub fn bytes(&self, range: BlockRange, length: usize) -> Vec<u8> {
        let memory = self.proactor.block_memory(range.block).expect("a block");
        assert!(range.offset as usize + length <= memory.length);
        let start = memory.address.as_ptr().wrapping_add(range.offset as usize);
        let mut bytes = vec![0; length];
        // SAFETY: within the block (asserted), and the test has it: it is idle.
        unsafe { std::ptr::copy_nonoverlapping(start, bytes.as_mut_ptr(), length) };
        bytes
    }

    pub fn read(&mut self, descriptor: DescriptorId, target: BlockRange, position: Position) -> Vec<u8> {
        let outcome = self.run(Op::Read { descriptor, target, position });
        assert!(outcome.result >= 0, "errno {}", -outcome.result);
        self.bytes(target, outcome.result as usize)
    }
}

/// A port of the kernel's choice that only this machine reaches.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The block that the kernel chose for an outcome.
pub fn selected(outcome: &Outcome) -> Option<BlockId> {
    if let Detail::Selected(block) = outcome.detail { Some(block) } else { None }
}

/// A path of this test's own on the disk (not in memory), removed at the end.
pub struct TemporaryFile(pub PathBuf);

impl TemporaryFile {
    pub fn new(content: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ritsu-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        std::fs::write(&file.0, content).expect("a writable temporary directory");
        file
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path")
}

/// A pipe: reader, writer.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: two integers, as pipe2 wants them.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: just made, known to nobody else.
    let own = |end| unsafe { OwnedFd::from_raw_fd(end) };
    (own(ends[0]), own(ends[1]))
}

/// Bytes that differ from position to position, and from seed to seed.
pub fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|index| (index.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}
