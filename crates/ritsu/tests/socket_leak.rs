//! Description: sockets that nobody gets: cancelled, refused, drained. No integer of the system leaks, no connection is stolen.

mod harness;

use harness::{Harness, LOOPBACK, PATIENCE, RUNGS};
use ritsu::{Address, Detail, Op, Outcome, SocketOptions, UnixName};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The tests count the integers of the whole process, so they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_integers() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn close_opened(harness: &mut Harness, outcome: &Outcome) -> bool {
    if let Detail::Opened(descriptor, _) = outcome.detail {
        harness.close(descriptor);
        return true;
    }
    // A connect that a kernel worker was waiting in ends with EINTR.
    assert!([-libc::ECANCELED, -libc::EINTR].contains(&outcome.result), "{}", outcome.result);
    false
}

#[test]
fn s30_two_thousand_accepts_cancelled_at_random_leak_no_integer_and_lose_no_connection() {
    let _alone = alone();
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (listener, address) = harness.listen(LOOPBACK);
        let Address::Internet(address) = address else { panic!("not TCP") };
        let before = open_integers();
        let (mut connected, mut accepted, mut cancelled) = (0, 0, 0);
        for round in 0..2000u32 {
            let token = harness.submit(Op::Accept { descriptor: listener, multishot: round % 2 == 0 });
            if round % 5 > 0 {
                harness.enter();
            }
            let clients: Vec<_> = (0..round % 4).take(2).map(|_| TcpStream::connect(address).unwrap()).collect();
            connected += clients.len();
            harness.proactor.cancel(token);
            loop {
                let outcome = harness.wait(token);
                if close_opened(&mut harness, &outcome) {
                    accepted += 1;
                } else {
                    cancelled += 1;
                }
                if !outcome.more {
                    break;
                }
            }
        }
        assert!(accepted > 0 && cancelled > 0, "{accepted} accepted, {cancelled} cancelled");
        // Every connection went to one accept, or still waits for one.
        while accepted < connected {
            let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
            harness.close(server);
            accepted += 1;
        }
        assert_eq!(open_integers(), before);
        assert_eq!(harness.proactor.statistics().descriptors_open, 1);
    }
}

#[test]
fn s31_two_thousand_connects_cancelled_at_random_leak_no_integer() {
    let _alone = alone();
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (listener, address) = harness.listen(LOOPBACK);
        // Nobody accepts there: once its queue is full, a connect waits.
        let full = Address::Unix(UnixName::new(format!("\0ritsu-full-{}", std::process::id()).into()).unwrap());
        let stuck = harness.opened(Op::Listen { address: full.clone(), backlog: 0, options: SocketOptions::default() });
        let before = open_integers();
        let (mut opened, mut cancelled) = (0, 0);
        for round in 0..2000u32 {
            let address = if round % 4 == 3 { full.clone() } else { address.clone() };
            let token = harness.submit(Op::Connect { address, local: None });
            if round % 5 > 0 {
                harness.enter();
            }
            harness.proactor.cancel(token);
            let outcome = harness.wait(token);
            if close_opened(&mut harness, &outcome) {
                opened += 1;
                if round % 4 != 3 {
                    let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
                    harness.close(server);
                }
            } else {
                cancelled += 1;
            }
        }
        assert!(opened > 0 && cancelled > 0, "{opened} opened, {cancelled} cancelled");
        assert_eq!(open_integers(), before);
        harness.close(stuck);
        assert_eq!(harness.proactor.statistics().descriptors_open, 1);
    }
}

/// The kernel passes such a connect from hand to hand before a worker of its own waits in it. A cancel that comes in between finds nothing;
/// sent once only, it would leave the op waiting until somebody accepts.
#[test]
fn a_connect_that_waits_for_room_is_cancelled_wherever_it_is() {
    let _alone = alone();
    for first_rung in RUNGS {
        for turns in [0, 1, 5, 40, 300] {
            let mut harness = Harness::on_rung(first_rung);
            let name = UnixName::new(format!("\0ritsu-room-{}", std::process::id()).into()).unwrap();
            let address = Address::Unix(name);
            harness.opened(Op::Listen { address: address.clone(), backlog: 0, options: SocketOptions::default() });
            harness.connect(&address);
            let token = harness.submit(Op::Connect { address: address.clone(), local: None });
            for _ in 0..turns {
                harness.turn();
            }
            harness.proactor.cancel(token);
            let outcome = harness.wait(token);
            assert!(!close_opened(&mut harness, &outcome));
            for _ in 0..3 {
                harness.submit(Op::Connect { address: address.clone(), local: None });
            }
            harness.enter();
            let drained = harness.proactor.drain(Instant::now() + PATIENCE, &mut |_| {});
            assert_eq!(drained.remaining, 0);
        }
    }
}

#[test]
fn what_arrives_in_a_drain_is_closed() {
    let _alone = alone();
    for first_rung in RUNGS {
        let before = open_integers();
        let mut harness = Harness::on_rung(first_rung);
        let (listener, address) = harness.listen(LOOPBACK);
        let Address::Internet(internet) = address else { panic!("not TCP") };
        let opened = open_integers();
        let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(internet).unwrap()).collect();
        harness.submit(Op::Accept { descriptor: listener, multishot: true });
        harness.submit(Op::Accept { descriptor: listener, multishot: false });
        let options = SocketOptions::default();
        harness.submit(Op::Bind { address: LOOPBACK.into(), peer: None, options });
        harness.submit(Op::Listen { address: LOOPBACK.into(), backlog: 1, options });
        harness.enter();
        for _ in 0..10 {
            harness.submit(Op::Connect { address: address.clone(), local: None });
        }
        harness.enter();
        harness.submit(Op::Connect { address: address.clone(), local: None });
        let mut outcomes = Vec::new();
        let drained = harness.proactor.drain(Instant::now() + PATIENCE, &mut |outcome| outcomes.push(outcome));
        assert_eq!(drained.remaining, 0);
        assert!(outcomes.len() >= 15, "{}", outcomes.len());
        assert!(outcomes.iter().all(|outcome| outcome.result == -libc::ECANCELED && outcome.detail == Detail::None));
        assert_eq!(open_integers(), opened + waiting.len());
        drop(harness);
        drop(waiting);
        assert_eq!(open_integers(), before, "the listener, the ring and the eventfd, too");
    }
}

/// The drop of a proactor is a drain as well: armed multishot ops must not keep it waiting, let alone be leaked.
#[test]
fn a_proactor_is_dropped_at_once_with_multishot_ops_armed() {
    let _alone = alone();
    let before = (open_integers(), ritsu::leaked_bytes());
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (listener, _) = harness.listen(LOOPBACK);
        harness.submit(Op::Accept { descriptor: listener, multishot: true });
        let (group, first) = harness.pool(4096, 1);
        harness.proactor.provide(group, first).unwrap();
        for _ in 0..20 {
            let (_, server) = harness.connection();
            harness.submit(Op::ReceiveSelect { descriptor: server, group, length: 0, provide: None, multishot: true });
            harness.submit(Op::Poll { descriptor: server, events: libc::POLLIN as u32 });
        }
        harness.turn();
        let start = Instant::now();
        drop(harness);
        assert!(start.elapsed().as_millis() < 400, "{:?}", start.elapsed());
    }
    assert_eq!((open_integers(), ritsu::leaked_bytes()), before);
}

/// A multishot accept ends when the process has no room for another integer; the connection waits, and is not lost. (The kernel notes the
/// limit when the accept is armed.)
#[test]
fn an_accept_without_room_for_an_integer_leaves_the_connection_waiting() {
    let _alone = alone();
    let mut harness = Harness::on_rung(0);
    let (listener, address) = harness.listen(LOOPBACK);
    // Its socket is made now; only the accepted one finds no room.
    let connect = harness.submit(Op::Connect { address: address.clone(), local: None });
    let limit = Limit::to(0);
    let accept = harness.submit(Op::Accept { descriptor: listener, multishot: true });
    let outcome = harness.wait(accept);
    assert_eq!((outcome.result, outcome.more, outcome.detail), (-libc::EMFILE, false, Detail::None));
    let client = harness.next_opened(connect);
    let options = SocketOptions::default();
    let ops = [
        Op::Connect { address: address.clone(), local: None },
        Op::Listen { address: address.clone(), backlog: 1, options },
        Op::Bind { address, peer: None, options },
    ];
    for op in ops {
        assert_eq!(harness.run(op).result, -libc::EMFILE);
    }
    assert_eq!(harness.proactor.adopt_duplicate(0), Err(libc::EINVAL), "no integer at all: not even a number to try");
    drop(limit);
    let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
    assert_eq!(harness.proactor.address(server, true), harness.proactor.address(client, false));
}

/// Lowers the number of integers that the process may open, until it is dropped.
struct Limit(libc::rlimit);

impl Limit {
    fn set(limit: &libc::rlimit) {
        // SAFETY: one rlimit, alive during the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }, 0);
    }

    fn to(integers: libc::rlim_t) -> Self {
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: one rlimit, alive during the call.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut old) }, 0);
        Self::set(&libc::rlimit { rlim_cur: integers, ..old });
        Self(old)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        Self::set(&self.0);
    }
}
