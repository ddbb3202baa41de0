//! The load that the benches of sockets put on every server: one thread, one ring, no JavaScript, so that it is the server that is measured.
//!
//! Every byte that comes back is compared. What is sent follows from positions: `ts/cli/sockets/pattern.ts` has the same function, and when
//! one changes so must the other, or every answer is wrong. Connections are opened and warmed up, then `ready` is printed; at a line on
//! standard input the measured pass runs and its result is printed as one line of JSON; the connections stay open until standard input ends.
//!
//! ```text
//! raw_load --address tcp:PORT|unix:NAME --mode echo|send|receive|idle --connections 64 --message 64 --milliseconds 1000
//!          [--warm-up 0] [--transfer 16777216] [--thorough] [--request HEX --response HEX]
//! ```
//!
//! `send` has the server send, `receive` has it receive; a name is that of an abstract Unix socket; a request and its response stand in
//! for the echoed bytes.

#![expect(clippy::print_stdout, reason = "what it says is for the harness to read")]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, squeue, types};

type Failure = Box<dyn Error>;

const PATTERN: usize = 1_048_573;
const SLICE: usize = 262_144;
const SEED: u32 = 0x0123_4567;
/// Every connection does so many requests, however short the pass.
const REQUESTS_MIN: u64 = 4;
/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const ENTRIES: u32 = 2048;
const HEADER: usize = 16;
/// Of idle connections, those that are made before the clock runs.
const IDLE_BEFORE: usize = 2_000;

const TAKEN_WITHIN: Duration = Duration::from_millis(500);

/// The user data of a send that failed; the others are the index of their lane.
const SEND: u64 = 1 << 63;

/// The bytes at all positions, once around and a slice more, so that every slice is in one piece.
fn pattern() -> Vec<u8> {
    let byte = |position: usize| {
        let mut word = ((position % PATTERN) as u32 ^ SEED).wrapping_mul(0x9e37_79b1);
        word = (word ^ (word >> 15)).wrapping_mul(0x85eb_ca6b);
        (word ^ (word >> 13)) as u8
    };
    (0..PATTERN + SLICE).map(byte).collect()
}

/// Whoever measures several servers in turns stops the loads of the others, and has them go on.
fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

trait Socket: Read + Write + AsRawFd {}
impl<T: Read + Write + AsRawFd> Socket for T {}

struct Options {
    address: String,
    mode: String,
    connections: usize,
    message: usize,
    transfer: u64,
    milliseconds: u64,
    warm_up: u64,
    thorough: bool,
    exchange: Option<(Vec<u8>, Vec<u8>)>,
}

fn bytes_from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(text.get(at..at + 2).ok_or("half a byte")?, 16)?)).collect()
}

fn options_from_arguments() -> Result<Options, Failure> {
    let mut options = Options {
        address: String::new(),
        mode: "echo".into(),
        connections: 1,
        message: 64,
        transfer: 1 << 24,
        milliseconds: 1000,
        warm_up: 0,
        thorough: false,
        exchange: None,
    };
    let (mut request, mut response) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--thorough" {
            options.thorough = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--address" => options.address = value,
            "--mode" => options.mode = value,
            "--connections" => options.connections = value.parse()?,
            "--message" => options.message = value.parse()?,
            "--transfer" => options.transfer = value.parse()?,
            "--milliseconds" => options.milliseconds = value.parse()?,
            "--warm-up" => options.warm_up = value.parse()?,
            "--request" => request = Some(bytes_from_hex(&value)?),
            "--response" => response = Some(bytes_from_hex(&value)?),
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    options.exchange = request.zip(response);
    if options.message > SLICE { Err(format!("--message: at most {SLICE}").into()) } else { Ok(options) }
}

fn connect(address: &str) -> Result<Box<dyn Socket>, Failure> {
    if let Some(name) = address.strip_prefix("unix:") {
        let socket = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        return Ok(Box::new(socket));
    }
    let port: u16 = address.strip_prefix("tcp:").ok_or("--address: tcp:PORT or unix:NAME")?.parse()?;
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(Box::new(socket))
}

/// What a pass did.
#[derive(Default)]
struct Pass {
    operations: u64,
    bytes: u64,
    seconds: f64,
    nanoseconds: Vec<u64>,
}

impl Pass {
    fn json(mut self) -> String {
        self.nanoseconds.sort_unstable();
        let mut text = format!("{{\"operations\":{},\"bytes\":{},\"seconds\":{}", self.operations, self.bytes, self.seconds);
        for (name, share) in [("p50Us", 0.5), ("p99Us", 0.99), ("p999Us", 0.999)] {
            let at = (self.nanoseconds.len() as f64 * share) as usize;
            let value = self.nanoseconds.get(at).map_or("null".into(), |time| (*time as f64 / 1000.0).to_string());
            let _ = write!(text, ",\"{name}\":{value}");
        }
        text + "}"
    }
}

/// Bytes that are not the ones that were sent.
fn wrong(what: &str) -> ! {
    println!("{{\"wrong\":\"{what}\"}}");
    std::process::exit(1);
}

/// One connection with one request on its way.
struct Lane {
    socket: Box<dyn Socket>,
    reply: Vec<u8>,
    /// Where in the pattern its message begins.
    at: usize,
    count: u64,
    left: u64,
    started: Instant,
}

/// Requests and their answers on many connections.
struct Exchange {
    uring: IoUring,
    lanes: Vec<Lane>,
    message: usize,
    pattern: Vec<u8>,
    fixed: Option<(Vec<u8>, Vec<u8>)>,
}

impl Exchange {
    fn new(options: &Options) -> Result<Exchange, Failure> {
        let uring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES)?;
        let reply = options.exchange.as_ref().map_or(options.message, |(_, response)| response.len());
        let lane = |index: usize| -> Result<Lane, Failure> {
            let socket = connect(&options.address)?;
            let at = index * 16_411 % PATTERN;
            Ok(Lane { socket, reply: vec![0; reply], at, count: 0, left: 0, started: Instant::now() })
        };
        let lanes = (0..options.connections).map(lane).collect::<Result<_, _>>()?;
        Ok(Exchange { uring, lanes, message: options.message, pattern: pattern(), fixed: options.exchange.clone() })
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), Failure> {
        loop {
            // SAFETY: it names the pattern, a fixed request or a lane's reply: none of them moves or ends while the ring lives.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            uninterrupted(|| self.uring.submit())?;
        }
    }

    fn request(&mut self, index: usize) -> Result<(), Failure> {
        let lane = &mut self.lanes[index];
        lane.started = Instant::now();
        let fd = types::Fd(lane.socket.as_raw_fd());
        let data = self.fixed.as_ref().map_or(&self.pattern[lane.at..lane.at + self.message], |(request, _)| request);
        let send = opcode::Send::new(fd, data.as_ptr(), data.len() as u32)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(SEND | index as u64);
        let receive = opcode::Recv::new(fd, lane.reply.as_mut_ptr(), lane.reply.len() as u32).flags(libc::MSG_WAITALL).build();
        self.push(&send)?;
        self.push(&receive.user_data(index as u64))
    }

    /// Compares an answer, and moves on to the next message.
    fn check(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let expected = self.fixed.as_ref().map_or(&self.pattern[lane.at..lane.at + self.message], |(_, response)| response);
        if lane.reply != expected {
            let at = lane.reply.iter().zip(expected).take_while(|(came, sent)| came == sent).count();
            wrong(&format!("byte {at} of answer {} on connection {index} is not the right one", lane.count));
        }
        lane.reply.fill(0);
        lane.at = (lane.at + 4099) % PATTERN;
        lane.count += 1;
        lane.left = lane.left.saturating_sub(1);
    }

    fn pass(&mut self, duration: Duration) -> Result<Pass, Failure> {
        let mut pass = Pass::default();
        let begun = Instant::now();
        for index in 0..self.lanes.len() {
            self.lanes[index].left = REQUESTS_MIN;
            self.request(index)?;
        }
        let mut active = self.lanes.len();
        let mut completions = Vec::new();
        while active > 0 {
            uninterrupted(|| self.uring.submit_and_wait(1))?;
            completions.extend(self.uring.completion().map(|entry| (entry.user_data(), entry.result())));
            for (user_data, result) in completions.drain(..) {
                let index = (user_data & !SEND) as usize;
                if result < 0 {
                    return Err(std::io::Error::from_raw_os_error(-result).into());
                }
                if user_data & SEND != 0 {
                    continue;
                }
                if result as usize != self.lanes[index].reply.len() {
                    return Err(format!("the server ended connection {index} within an answer").into());
                }
                let now = Instant::now();
                pass.nanoseconds.push((now - self.lanes[index].started).as_nanos() as u64);
                pass.operations += 1;
                pass.bytes += result as u64;
                self.check(index);
                if now - begun < duration || self.lanes[index].left > 0 {
                    self.request(index)?;
                } else {
                    active -= 1;
                }
            }
        }
        pass.seconds = begun.elapsed().as_secs_f64();
        Ok(pass)
    }
}

/// One connection over which transfers follow each other. An operation is a mebibyte.
struct Bulk {
    socket: Box<dyn Socket>,
    pattern: Vec<u8>,
    buffer: Vec<u8>,
    transfer: u64,
    server_sends: bool,
    thorough: bool,
}

impl Bulk {
    fn new(options: &Options) -> Result<Bulk, Failure> {
        Ok(Bulk {
            socket: connect(&options.address)?,
            pattern: pattern(),
            buffer: vec![0; SLICE],
            transfer: options.transfer,
            server_sends: options.mode == "send",
            thorough: options.thorough,
        })
    }

    fn pass(&mut self, duration: Duration) -> Result<Pass, Failure> {
        let begun = Instant::now();
        let mut bytes = 0;
        while bytes == 0 || begun.elapsed() < duration {
            let mut header = [0; HEADER];
            header[..8].copy_from_slice(&(self.transfer as f64).to_le_bytes());
            header[8] = u8::from(self.thorough);
            self.socket.write_all(&header)?;
            if self.server_sends {
                self.take()?;
            } else {
                self.give()?;
            }
            bytes += self.transfer;
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Pass { operations: bytes >> 20, bytes, seconds, nanoseconds: Vec::new() })
    }

    fn take(&mut self) -> Result<(), Failure> {
        let mut position = 0;
        while position < self.transfer {
            let most = SLICE.min((self.transfer - position) as usize);
            let length = uninterrupted(|| self.socket.read(&mut self.buffer[..most]))?;
            if length == 0 {
                return Err(format!("the server ended after {position} bytes").into());
            }
            let at = (position % PATTERN as u64) as usize;
            if self.buffer[..length] != self.pattern[at..at + length] {
                wrong(&format!("what came between the bytes {position} and {} was not sent so", position + length as u64));
            }
            position += length as u64;
        }
        Ok(())
    }

    fn give(&mut self) -> Result<(), Failure> {
        let mut position = 0;
        while position < self.transfer {
            let length = SLICE.min((self.transfer - position) as usize);
            let at = (position % PATTERN as u64) as usize;
            self.socket.write_all(&self.pattern[at..at + length])?;
            position += length as u64;
        }
        let mut answer = [0; HEADER];
        self.socket.read_exact(&mut answer)?;
        let number = |at: usize| f64::from_le_bytes(answer[at..at + 8].try_into().expect("eight bytes"));
        if (number(0) as u64, number(8) as i64) != (self.transfer, -1) {
            wrong(&format!("the server took {} of {} bytes; the first wrong one: {}", number(0), self.transfer, number(8)));
        }
        Ok(())
    }
}

/// Connections that did one request each, or none where its length is 0, and are kept; an operation is a connection.
struct Idle {
    sockets: Vec<Box<dyn Socket>>,
    pattern: Vec<u8>,
    message: usize,
}

impl Idle {
    fn open(&mut self, address: &str, count: usize) -> Result<Pass, Failure> {
        let mut pass = Pass::default();
        let mut reply = vec![0; self.message];
        let begun = Instant::now();
        for _ in 0..count {
            let started = Instant::now();
            let mut socket = connect(address)?;
            let at = self.sockets.len() * 16_411 % PATTERN;
            socket.write_all(&self.pattern[at..at + self.message])?;
            socket.read_exact(&mut reply)?;
            if reply != self.pattern[at..at + self.message] {
                wrong(&format!("the echo on connection {} is not what was sent", self.sockets.len()));
            }
            self.sockets.push(socket);
            pass.nanoseconds.push(started.elapsed().as_nanos() as u64);
            pass.operations += 1;
            pass.bytes += self.message as u64;
        }
        if self.message == 0 {
            // Nobody has answered: the server may not have taken the last ones yet.
            std::thread::sleep(TAKEN_WITHIN);
        }
        pass.seconds = begun.elapsed().as_secs_f64();
        Ok(pass)
    }
}

/// Says that it is ready and waits to be told to go.
fn wait_to_go() -> Result<(), Failure> {
    println!("ready");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 { Err("nobody said go".into()) } else { Ok(()) }
}

/// Prints the result; whoever owns the connections keeps them until standard input ends.
fn report(pass: Pass) -> Result<(), Failure> {
    println!("{}", pass.json());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let options = options_from_arguments()?;
    let [warm_up, duration] = [options.warm_up, options.milliseconds].map(Duration::from_millis);
    match options.mode.as_str() {
        "echo" => {
            let mut exchange = Exchange::new(&options)?;
            if options.warm_up > 0 {
                exchange.pass(warm_up)?;
            }
            wait_to_go()?;
            report(exchange.pass(duration)?)
        }
        "send" | "receive" => {
            let mut bulk = Bulk::new(&options)?;
            if options.warm_up > 0 {
                bulk.pass(warm_up)?;
            }
            wait_to_go()?;
            report(bulk.pass(duration)?)
        }
        "idle" => {
            let mut idle = Idle { sockets: Vec::new(), pattern: pattern(), message: options.message };
            idle.open(&options.address, IDLE_BEFORE.min(options.connections))?;
            wait_to_go()?;
            report(idle.open(&options.address, options.connections)?)
        }
        mode => Err(format!("unknown mode {mode}").into()),
    }
}
