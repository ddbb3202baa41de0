//! The limit that the benches measure against: one ring, one thread, no JavaScript and no ritsu.
//!
//! It does the same plan as every other engine (`benches/plan.ts` writes the plan, this file mirrors its generator, its
//! content function and its checksum word for word) and prints one line of JSON. It is not a user of the core on
//! purpose: a limit that shares the code under test would share its faults.
//!
//! ```text
//! raw_ring --mode random --path FILE --block 4096 --blocks 262144 --depth 32 --ops 300000 --warm-up 30000
//!          --seed 7 --content-seed 1 [--direct] [--fixed] [--verify]
//! raw_ring --mode nop --depth 32 --ops 300000
//! ```
//!
//! With `RITSU_BENCH_WAITS` in the environment it prints `ready` when it has warmed up, and goes on at a line on standard input.

#![expect(clippy::print_stdout, reason = "the result is a line for the harness to read")]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use io_uring::{EnterFlags, IoUring, opcode, squeue, types};

type Failure = Box<dyn Error>;

/// `O_DIRECT` wants memory aligned to the device's logical block; a page is enough for every device.
const ALIGNMENT: usize = 4096;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Random,
    Sequential,
    Nop,
}

struct Plan {
    mode: Mode,
    path: String,
    block_size: usize,
    blocks: u64,
    depth: usize,
    operations: u64,
    warm_up_operations: u64,
    seed: u32,
    content_seed: u32,
    direct: bool,
    fixed: bool,
    verify: bool,
}

impl Plan {
    fn from_arguments() -> Result<Plan, Failure> {
        let mut plan = Plan {
            mode: Mode::Random,
            path: String::new(),
            block_size: 4096,
            blocks: 1,
            depth: 32,
            operations: 100_000,
            warm_up_operations: 0,
            seed: 7,
            content_seed: 1,
            direct: false,
            fixed: false,
            verify: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--direct" => plan.direct = true,
                "--fixed" => plan.fixed = true,
                "--verify" => plan.verify = true,
                _ => {
                    let value = arguments.next().ok_or(format!("{name} wants a value"))?;
                    plan.set(&name, &value)?;
                }
            }
        }
        plan.check()?;
        Ok(plan)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            "--mode" => {
                self.mode = match value {
                    "random" => Mode::Random,
                    "sequential" => Mode::Sequential,
                    "nop" => Mode::Nop,
                    _ => return Err(format!("--mode {value}: random, sequential or nop").into()),
                }
            }
            "--path" => value.clone_into(&mut self.path),
            "--block" => self.block_size = value.parse()?,
            "--blocks" => self.blocks = value.parse()?,
            "--depth" => self.depth = value.parse()?,
            "--ops" => self.operations = value.parse()?,
            "--warm-up" => self.warm_up_operations = value.parse()?,
            "--seed" => self.seed = value.parse()?,
            "--content-seed" => self.content_seed = value.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
        Ok(())
    }

    /// One of so many reads has its latency taken, in every engine.
    fn sample_every(&self) -> u64 {
        if self.block_size < 65_536 { 16 } else { 1 }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.mode != Mode::Nop && self.path.is_empty() {
            return Err("--path is missing".into());
        }
        if self.block_size < 8 || !self.block_size.is_multiple_of(4) {
            return Err("--block must be a multiple of 4 and at least 8".into());
        }
        if self.blocks == 0 || u32::try_from(self.blocks).is_err() || self.seed == 0 {
            return Err("--blocks must be 1 to 2^32 - 1 and --seed not 0".into());
        }
        if self.depth == 0 || self.depth > 4096 {
            return Err("--depth must be 1 to 4096".into());
        }
        Ok(())
    }
}

/// The block order, drawn before the clock runs: xorshift32 for random reads, a counter for sequential ones.
struct Order {
    indexes: Vec<u32>,
    issued: usize,
}

impl Order {
    fn new(plan: &Plan, seed: u32, operations: u64) -> Order {
        let mut state = seed;
        let indexes = (0..operations).map(|position| {
            if plan.mode != Mode::Random {
                return (position % plan.blocks) as u32;
            }
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (u64::from(state) % plan.blocks) as u32
        });
        Order { indexes: indexes.collect(), issued: 0 }
    }

    fn next(&mut self) -> Option<u64> {
        let block = *self.indexes.get(self.issued)?;
        self.issued += 1;
        Some(u64::from(block))
    }
}

/// What the file holds at a word's index; the same function as `contentWord` in `benches/plan.ts`.
fn content_word(seed: u32, index: u32) -> u32 {
    let mut word = (index ^ seed).wrapping_mul(0x9e37_79b1);
    word = (word ^ (word >> 15)).wrapping_mul(0x85eb_ca6b);
    word ^ (word >> 13)
}

/// `depth` page-aligned blocks in one allocation. The kernel writes it, so it is reached by raw pointer only, and it is
/// never freed: a ring that failed may still write, and the process ends with its plan anyway.
struct Memory {
    base: *mut u8,
    size: usize,
    block_size: usize,
}

impl Memory {
    fn new(depth: usize, block_size: usize) -> Result<Memory, Failure> {
        let layout = std::alloc::Layout::from_size_align(depth * block_size, ALIGNMENT)?;
        // SAFETY: depth and block_size were checked to be above zero, so the layout is not empty.
        let base = unsafe { std::alloc::alloc_zeroed(layout) };
        if base.is_null() {
            return Err("no memory for the blocks".into());
        }
        Ok(Memory { base, size: layout.size(), block_size })
    }

    fn block(&self, lane: usize) -> *mut u8 {
        debug_assert!((lane + 1) * self.block_size <= self.size);
        self.base.wrapping_add(lane * self.block_size)
    }

    fn word(&self, lane: usize, offset: usize) -> u32 {
        debug_assert!(offset + 4 <= self.block_size);
        let word = self.block(lane).wrapping_add(offset).cast::<[u8; 4]>();
        // SAFETY: in bounds by the assertions above, and no read into this lane is in flight: its completion was reaped.
        u32::from_le_bytes(unsafe { word.read() })
    }
}

/// What a pass adds up: the answer that must equal everybody else's, and the sampled latencies.
#[derive(Default)]
struct Tally {
    bytes: u64,
    checksum: u32,
    latencies_us: Vec<f64>,
}

impl Tally {
    fn add(&mut self, memory: &Memory, lane: usize, block: u64, length: usize) {
        self.bytes += length as u64;
        let (first, last) = (memory.word(lane, 0), memory.word(lane, memory.block_size - 4));
        self.checksum = self.checksum.wrapping_add(first ^ block as u32).wrapping_add(last ^ block as u32);
    }
}

#[derive(Clone, Copy)]
struct Lane {
    block: u64,
    started: Option<Instant>,
}

struct Runner<'plan> {
    plan: &'plan Plan,
    ring: IoUring,
    memory: Memory,
    file: Option<File>,
}

impl<'plan> Runner<'plan> {
    fn new(plan: &'plan Plan) -> Result<Runner<'plan>, Failure> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .build(u32::try_from(plan.depth.next_power_of_two())?)?;
        let memory = Memory::new(plan.depth, plan.block_size)?;
        let flags = if plan.direct { libc::O_DIRECT } else { 0 };
        let file =
            if plan.mode == Mode::Nop { None } else { Some(OpenOptions::new().read(true).custom_flags(flags).open(&plan.path)?) };
        let runner = Runner { plan, ring, memory, file };
        runner.register()?;
        Ok(runner)
    }

    /// A limit may use what the kernel offers: the file is registered always, the memory when `--fixed` says so.
    fn register(&self) -> Result<(), Failure> {
        let submitter = self.ring.submitter();
        if let Some(file) = &self.file {
            submitter.register_files(&[file.as_raw_fd()])?;
        }
        if self.plan.fixed {
            let vectors: Vec<libc::iovec> = (0..self.plan.depth)
                .map(|lane| libc::iovec { iov_base: self.memory.block(lane).cast(), iov_len: self.plan.block_size })
                .collect();
            // SAFETY: the memory is never freed and stays where it is.
            unsafe { submitter.register_buffers(&vectors)? };
        }
        Ok(())
    }

    fn entry(&self, lane: usize, block: u64) -> squeue::Entry {
        let length = self.plan.block_size as u32;
        let offset = block * self.plan.block_size as u64;
        let target = self.memory.block(lane);
        let entry = match (self.plan.mode, self.plan.fixed) {
            (Mode::Nop, _) => opcode::Nop::new().build(),
            (_, true) => opcode::ReadFixed::new(types::Fixed(0), target, length, lane as u16).offset(offset).build(),
            (_, false) => opcode::Read::new(types::Fixed(0), target, length).offset(offset).build(),
        };
        entry.user_data(lane as u64)
    }

    fn push(&mut self, lanes: &mut [Lane], lane: usize, order: &mut Order) -> Result<bool, Failure> {
        let sampled = (order.issued as u64).is_multiple_of(self.plan.sample_every());
        let Some(block) = order.next() else { return Ok(false) };
        lanes[lane] = Lane { block, started: sampled.then(Instant::now) };
        let entry = self.entry(lane, block);
        // SAFETY: the lane's block is never freed, and no other op into it is in flight.
        unsafe { self.ring.submission().push(&entry)? };
        Ok(true)
    }

    /// One pass over an order.
    fn run(&mut self, mut order: Order) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let mut lanes = vec![Lane { block: 0, started: None }; self.plan.depth];
        let mut waiting = 0_u32;
        for lane in 0..self.plan.depth {
            waiting += u32::from(self.push(&mut lanes, lane, &mut order)?);
        }
        let mut in_flight = waiting;
        let mut finished = Vec::with_capacity(self.plan.depth);
        let mut failure = None;
        while in_flight > 0 {
            // SAFETY: no argument is passed by pointer.
            waiting -=
                unsafe { self.ring.submitter().enter::<libc::sigset_t>(waiting, 1, EnterFlags::GETEVENTS.bits(), None)? } as u32;
            finished.extend(self.ring.completion().map(|completion| (completion.user_data() as usize, completion.result())));
            for (lane, result) in finished.drain(..) {
                in_flight -= 1;
                if let Err(error) = self.finish(&mut tally, lanes[lane], lane, result) {
                    failure = Some(error);
                }
                if failure.is_none() && self.push(&mut lanes, lane, &mut order)? {
                    waiting += 1;
                    in_flight += 1;
                }
            }
        }
        failure.map_or(Ok(tally), Err)
    }

    fn finish(&self, tally: &mut Tally, state: Lane, lane: usize, result: i32) -> Result<(), Failure> {
        if let Some(started) = state.started {
            tally.latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        }
        if self.plan.mode == Mode::Nop {
            return Ok(());
        }
        if result != self.plan.block_size as i32 {
            return Err(format!("read of block {} gave {result}", state.block).into());
        }
        tally.add(&self.memory, lane, state.block, self.plan.block_size);
        if self.plan.verify { self.verify(lane, state.block) } else { Ok(()) }
    }

    fn verify(&self, lane: usize, block: u64) -> Result<(), Failure> {
        let first = block * self.plan.block_size as u64 / 4;
        for word in 0..self.plan.block_size / 4 {
            if self.memory.word(lane, word * 4) != content_word(self.plan.content_seed, first as u32 + word as u32) {
                return Err(format!("block {block} differs from the plan at byte {}", word * 4).into());
            }
        }
        Ok(())
    }
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::zeroed();
    // SAFETY: getrusage writes only into the struct it is given.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: zeroed before and filled since; any bits are a valid rusage.
    unsafe { usage.assume_init() }
}

fn cpu_seconds(usage: &libc::rusage) -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The most memory the process ever had. Not `ru_maxrss`: that begins with what the parent had before exec.
fn maximum_rss_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("/proc/self/status has no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() as f64 * share) as usize).or(sorted.get(last)).copied().unwrap_or(0.0)
}

fn main() -> Result<(), Failure> {
    let plan = Plan::from_arguments()?;
    let mut runner = Runner::new(&plan)?;
    // Another seed, so that the warm-up does not read ahead of the measured order.
    runner.run(Order::new(&plan, plan.seed ^ 0x5555_5555, plan.warm_up_operations))?;

    if std::env::var_os("RITSU_BENCH_WAITS").is_some() {
        println!("ready");
        if std::io::stdin().read_line(&mut String::new())? == 0 {
            return Err("nobody said go".into());
        }
    }
    let cpu_before = cpu_seconds(&usage());
    let started = Instant::now();
    let mut tally = runner.run(Order::new(&plan, plan.seed, plan.operations))?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_after = cpu_seconds(&usage());

    tally.latencies_us.sort_by(f64::total_cmp);
    let at = |share| percentile(&tally.latencies_us, share);
    println!(
        "{{\"operations\":{},\"bytes\":{},\"checksum\":{},\"seconds\":{seconds},\"cpuSeconds\":{},\
         \"p50Us\":{},\"p99Us\":{},\"p999Us\":{},\"maximumRssBytes\":{}}}",
        plan.operations,
        tally.bytes,
        tally.checksum,
        cpu_after - cpu_before,
        at(0.5),
        at(0.99),
        at(0.999),
        maximum_rss_bytes()?,
    );
    Ok(())
}
