//! Description: what the kernel is given besides blocks (vectors, addresses, paths, times, room for a status) lives in the op's slot.
//! Many ops of each kind are queued at once and behind a queue of eight, so that memory which did not last would be used again by the
//! next op, and an op would see what belongs to another.

mod harness;

use harness::{Harness, TemporaryFile, c_path, pattern};
use ritsu::{Address, BlockRange, Config, Detail, Op, Position, StatusTarget, Token};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

const EACH: usize = 64;

fn narrow() -> Harness {
    Harness::new(Config { entries: 8, ..Config::default() })
}

fn outcome_of(outcomes: &[ritsu::Outcome], token: Token) -> &ritsu::Outcome {
    outcomes.iter().find(|outcome| outcome.token == token).expect("each has its outcome")
}

/// Red when an op's vector is freed once it was pushed.
#[test]
fn s18_each_vectored_read_has_its_own_parts() {
    let content = pattern(EACH * 100, 3);
    let file = TemporaryFile::new(&content);
    let mut harness = narrow();
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let targets: Vec<_> = (0..EACH).map(|_| harness.block(4096)).collect();
    for (index, target) in targets.iter().enumerate() {
        let part = |offset, length| BlockRange { offset, length, ..*target };
        let (parts, position) = (vec![part(0, 40), part(1000, 60)], Position::At(index as u64 * 100));
        harness.submit(Op::Readv { descriptor, parts, position });
    }
    assert!(harness.wait_all().iter().all(|outcome| outcome.result == 100));
    for (index, target) in targets.iter().enumerate() {
        let expected = &content[index * 100..][..100];
        assert_eq!(harness.bytes(*target, 40), expected[..40], "read {index}");
        assert_eq!(harness.bytes(BlockRange { offset: 1000, ..*target }, 60), expected[40..], "read {index}");
    }
}

/// Red when an op's room for the status is freed once it was pushed.
#[test]
fn s18_each_status_and_path_is_its_ops_own() {
    let files: Vec<_> = (0..EACH).map(|index| TemporaryFile::new(&vec![0; index])).collect();
    let mut harness = narrow();
    let asked: Vec<_> = files
        .iter()
        .map(|file| harness.submit(Op::Statx { target: StatusTarget::Path { path: c_path(&file.0), follow: true } }))
        .collect();
    let outcomes = harness.wait_all();
    for (index, token) in asked.into_iter().enumerate() {
        let Detail::Status(status) = &outcome_of(&outcomes, token).detail else { panic!("no status") };
        assert_eq!(status.size, index as u64);
    }
}

/// Red when an op's address is freed once it was pushed.
#[test]
fn s18_each_connect_has_its_own_address() {
    let rounds = if std::env::var_os("RITSU_TEST_FULL").is_some() { 160 } else { 4 };
    for _ in 0..rounds {
        let mut harness = narrow();
        let loopback = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        let listeners: Vec<_> = (0..EACH).map(|_| harness.listen(loopback).1).collect();
        let connects: Vec<_> =
            listeners.iter().map(|address| harness.submit(Op::Connect { address: address.clone(), local: None })).collect();
        let outcomes = harness.wait_all();
        for (token, expected) in connects.into_iter().zip(&listeners) {
            let Detail::Opened(descriptor, _) = outcome_of(&outcomes, token).detail else { panic!("not connected") };
            let peer: Address = harness.proactor.address(descriptor, true).expect("it has a peer");
            assert_eq!(&peer, expected);
            harness.close(descriptor);
        }
    }
}

/// Red when the time of a timeout is overwritten once it was pushed.
#[test]
fn s18_each_timeout_has_its_own_time() {
    let mut harness = narrow();
    let start = Instant::now();
    let times: Vec<_> = (0..EACH as u64).map(|index| Duration::from_millis(index % 8 * 20)).collect();
    let tokens: Vec<_> = times.iter().map(|duration| harness.submit(Op::Timeout { duration: *duration })).collect();
    for (token, time) in tokens.into_iter().zip(times).rev() {
        assert_eq!(harness.wait(token).result, 0);
        assert!(start.elapsed() >= time, "too early");
    }
}
