//! The limit that the benches of sockets measure against: a TCP echo server on one ring, one thread, no JavaScript and no ritsu.
//!
//! One multishot accept; one multishot receive for each connection, into one ring of provided buffers; each buffer is sent as it came and
//! provided again. It prints the port as a line and ends when its standard input does. It is not a user of the core on purpose: a limit that
//! shares the code under test would share its faults.
//!
//! ```text
//! raw_echo [--port 0]
//! ```

#![expect(clippy::print_stdout, reason = "the port is a line for the harness to read")]

use std::collections::VecDeque;
use std::error::Error;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};

type Failure = Box<dyn Error>;

const BLOCK: usize = 65_536;
/// A power of two.
const BLOCKS: u16 = 256;
const ENTRIES: u32 = 1024;
const GROUP: u16 = 0;
const PAGE: usize = 4096;

/// What an entry is for; the upper bits of `user_data`. The lower ones: the connection, and the block of a send.
const ACCEPT: u64 = 1 << 60;
const RECEIVE: u64 = 2 << 60;
const SEND: u64 = 3 << 60;
const INPUT: u64 = 4 << 60;
const KIND: u64 = 15 << 60;

/// The blocks and the ring through which the kernel is given them. Never freed: the process ends with its server.
struct Blocks {
    base: *mut u8,
    ring: *mut BufRingEntry,
    tail: u16,
}

impl Blocks {
    fn new(uring: &IoUring) -> Result<Blocks, Failure> {
        let base = allocate(BLOCK * usize::from(BLOCKS))?;
        let ring = allocate(size_of::<BufRingEntry>() * usize::from(BLOCKS))?;
        // SAFETY: that many entries, page aligned, and never freed.
        unsafe { uring.submitter().register_buf_ring_with_flags(ring as u64, BLOCKS, GROUP, 0)? };
        let mut blocks = Blocks { base, ring: ring.cast(), tail: 0 };
        (0..BLOCKS).for_each(|block| blocks.provide(block));
        Ok(blocks)
    }

    fn address(&self, block: u16) -> *mut u8 {
        self.base.wrapping_add(usize::from(block) * BLOCK)
    }

    fn provide(&mut self, block: u16) {
        let entry = self.ring.wrapping_add(usize::from(self.tail & (BLOCKS - 1)));
        // SAFETY: the index is below the number of entries; the kernel reads this one only once the tail covers it.
        let entry = unsafe { &mut *entry };
        entry.set_addr(self.address(block) as u64);
        entry.set_len(BLOCK as u32);
        entry.set_bid(block);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the first entry of the ring, whose reserved half-word is the tail.
        let tail = unsafe { BufRingEntry::tail(self.ring) };
        // SAFETY: an aligned u16 that the kernel only reads.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tail, Ordering::Release);
    }
}

fn allocate(size: usize) -> Result<*mut u8, Failure> {
    let layout = std::alloc::Layout::from_size_align(size, PAGE)?;
    // SAFETY: the sizes asked for are above zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) };
    if memory.is_null() { Err("no memory for the blocks".into()) } else { Ok(memory) }
}

/// A block that arrived, and what of it is still to be sent.
struct Chunk {
    block: u16,
    start: u32,
    end: u32,
}

/// One connection. Its number is its index; it is closed when its receive has ended and everything was sent.
struct Connection {
    socket: OwnedFd,
    chunks: VecDeque<Chunk>,
    receiving: bool,
    broken: bool,
}

struct Server {
    uring: IoUring,
    blocks: Blocks,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    /// Connections whose receive found no block.
    starved: VecDeque<usize>,
    /// Entries that wait for room.
    backlog: VecDeque<squeue::Entry>,
}

impl Server {
    fn new(port: u16) -> Result<Server, Failure> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(ENTRIES * 4)
            .build(ENTRIES)?;
        let blocks = Blocks::new(&uring)?;
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let (connections, vacant) = (Vec::new(), Vec::new());
        Ok(Server { uring, blocks, listener, connections, vacant, starved: VecDeque::new(), backlog: VecDeque::new() })
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: an entry names a block that is lent to no other op until its completion, or memory of the ring's.
        if unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry.user_data(ACCEPT));
    }

    fn receive(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        connection.receiving = true;
        let entry = opcode::RecvMulti::new(types::Fd(connection.socket.as_raw_fd()), GROUP).build();
        self.push(entry.user_data(RECEIVE | index as u64));
    }

    /// Sends the first chunk of a connection. One send at a time keeps the order.
    fn send(&mut self, index: usize) {
        let Some(connection) = &self.connections[index] else { return };
        let Some(chunk) = connection.chunks.front() else { return };
        let address = self.blocks.address(chunk.block).wrapping_add(chunk.start as usize);
        let entry = opcode::Send::new(types::Fd(connection.socket.as_raw_fd()), address, chunk.end - chunk.start)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.push(entry.user_data(SEND | index as u64));
    }

    /// Gives a block back, and whoever had found none another try.
    fn provide(&mut self, block: u16) {
        self.blocks.provide(block);
        if let Some(index) = self.starved.pop_front() {
            self.receive(index);
        }
    }

    fn accepted(&mut self, result: i32, more: bool) {
        if result >= 0 {
            // SAFETY: the kernel made this descriptor for this completion, and nobody else knows it.
            let socket = unsafe { OwnedFd::from_raw_fd(result as RawFd) };
            set_no_delay(&socket);
            let connection = Some(Connection { socket, chunks: VecDeque::new(), receiving: false, broken: false });
            let index = self.vacant.pop().unwrap_or(self.connections.len());
            if index == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[index] = connection;
            }
            self.receive(index);
        }
        if !more {
            self.accept();
        }
    }

    fn received(&mut self, index: usize, result: i32, flags: u32) {
        let connection = self.connections[index].as_mut().expect("open while it receives");
        connection.receiving = cqueue::more(flags);
        if let Some(block) = cqueue::buffer_select(flags) {
            if result > 0 && !connection.broken {
                connection.chunks.push_back(Chunk { block, start: 0, end: result as u32 });
                if connection.chunks.len() == 1 {
                    self.send(index);
                }
            } else {
                self.provide(block);
            }
        }
        if cqueue::more(flags) {
            return;
        }
        match result {
            libc::c_int::MIN..=0 if result != -libc::ENOBUFS => self.close_if_done(index),
            result if result == -libc::ENOBUFS => self.starved.push_back(index),
            _ => self.receive(index),
        }
    }

    fn sent(&mut self, index: usize, result: i32) {
        let connection = self.connections[index].as_mut().expect("open while it sends");
        if result < 0 {
            connection.broken = true;
            let left: Vec<_> = connection.chunks.drain(..).collect();
            for chunk in left {
                self.provide(chunk.block);
            }
            return self.close_if_done(index);
        }
        let chunk = connection.chunks.front_mut().expect("it was sent from");
        chunk.start += result as u32;
        if chunk.start == chunk.end {
            let block = chunk.block;
            connection.chunks.pop_front();
            self.provide(block);
        }
        self.send(index);
        self.close_if_done(index);
    }

    fn close_if_done(&mut self, index: usize) {
        let Some(connection) = &self.connections[index] else { return };
        if !connection.receiving && connection.chunks.is_empty() && !self.starved.contains(&index) {
            self.connections[index] = None;
            self.vacant.push(index);
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.accept();
        let input = opcode::PollAdd::new(types::Fd(0), libc::POLLIN as u32).build();
        self.push(input.user_data(INPUT));
        let mut completions = Vec::new();
        loop {
            let waiting = self.uring.submission().len() as u32;
            let wanted = u32::from(self.backlog.is_empty());
            // SAFETY: no argument is passed by pointer.
            let entered =
                unsafe { self.uring.submitter().enter::<libc::sigset_t>(waiting, wanted, EnterFlags::GETEVENTS.bits(), None) };
            match entered {
                Err(error) if ![Some(libc::EINTR), Some(libc::EAGAIN), Some(libc::EBUSY)].contains(&error.raw_os_error()) => {
                    return Err(error.into());
                }
                _ => {}
            }
            completions.extend(self.uring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
            for (user_data, result, flags) in completions.drain(..) {
                let index = (user_data & !KIND) as usize;
                match user_data & KIND {
                    ACCEPT => self.accepted(result, cqueue::more(flags)),
                    RECEIVE => self.received(index, result, flags),
                    SEND => self.sent(index, result),
                    _ => return Ok(()),
                }
            }
            for _ in 0..self.backlog.len() {
                let entry = self.backlog.pop_front().expect("counted just above");
                self.push(entry);
            }
        }
    }
}

fn set_no_delay(socket: &OwnedFd) {
    let on: libc::c_int = 1;
    // SAFETY: one int, alive during the call. Without the option the server is only slower.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

fn port_from_arguments() -> Result<u16, Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut port = 0;
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--port" => port = arguments.next().ok_or("--port wants a value")?.parse()?,
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(port)
}

fn main() -> Result<(), Failure> {
    let mut server = Server::new(port_from_arguments()?)?;
    println!("{}", server.listener.local_addr()?.port());
    server.run()
}
