//! Description: multishot: one op, many outcomes. In order, no byte lost, no block lost, and nothing held while idle.

mod harness;

use harness::{Harness, LOOPBACK, RUNGS, TemporaryFile, pattern, selected};
use ritsu::{BlockId, BlockRange, Config, DescriptorId, Detail, Fault, Op, OpOptions, Outcome, Position, Token};
use std::fs::File;
use std::io::Write;
use std::net::Shutdown;

const BLOCK: u32 = 4096;

fn receive(descriptor: DescriptorId, group: u16) -> Op {
    Op::ReceiveSelect { descriptor, group, length: 0, provide: None, multishot: true }
}

fn read(descriptor: DescriptorId, group: u16) -> Op {
    Op::ReadSelect { descriptor, group, length: 0, position: Position::Current, provide: None, multishot: true }
}

/// A group whose blocks are all with the kernel.
fn group(harness: &mut Harness, count: u32) -> u16 {
    let (group, first) = harness.pool(BLOCK, count);
    for index in 0..count {
        harness.proactor.provide(group, BlockId(first.0 + index)).unwrap();
    }
    group
}

/// The bytes of an outcome; its block goes back to the group.
fn take(harness: &mut Harness, group: u16, outcome: &Outcome) -> Vec<u8> {
    let Some(block) = selected(outcome) else { return Vec::new() };
    let bytes = harness.bytes(BlockRange { block, offset: 0, length: BLOCK }, outcome.result as usize);
    harness.proactor.provide(group, block).unwrap();
    bytes
}

/// Waits for the final outcome of an op; gives what came before it.
fn finish(harness: &mut Harness, token: Token) -> (Vec<Outcome>, Outcome) {
    let mut before = Vec::new();
    loop {
        let outcome = harness.wait(token);
        if !outcome.more {
            return (before, outcome);
        }
        before.push(outcome);
    }
}

#[test]
fn one_accept_takes_many_connections() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (listener, address) = harness.listen(LOOPBACK);
        let accept = harness.submit(Op::Accept { descriptor: listener, multishot: true });
        for _ in 0..3 {
            let clients: Vec<_> = (0..20).map(|_| harness.connect(&address)).collect();
            for client in clients {
                let outcome = harness.wait(accept);
                assert!(outcome.more);
                let Detail::Opened(server, _) = outcome.detail else { panic!("errno {}", -outcome.result) };
                let peer = harness.proactor.address(server, true);
                assert_eq!(peer, harness.proactor.address(client, false), "in the order of the connects");
            }
        }
        let submitted = harness.proactor.statistics().submitted;
        assert_eq!(submitted, 1 + 1 + 60, "one listen, one accept, sixty connects");
        harness.proactor.cancel(accept);
        let (before, last) = finish(&mut harness, accept);
        assert_eq!((before.len(), last.result), (0, -libc::ECANCELED));
        // Who comes after the cancel waits for the next accept.
        let client = harness.connect(&address);
        let server = harness.opened(Op::Accept { descriptor: listener, multishot: false });
        assert_eq!(harness.proactor.address(server, true), harness.proactor.address(client, false));
    }
}

#[test]
fn without_multishot_each_op_has_one_outcome() {
    let mut harness = Harness::new(Config { multishot: false, ..Config::default() });
    let capability = harness.proactor.capability();
    assert!(!capability.multishot_accept && !capability.multishot_receive && !capability.multishot_read);
    let (listener, address) = harness.listen(LOOPBACK);
    let accept = harness.submit(Op::Accept { descriptor: listener, multishot: true });
    let client = harness.connect(&address);
    let outcome = harness.wait(accept);
    let Detail::Opened(server, _) = outcome.detail else { panic!("errno {}", -outcome.result) };
    assert!(!outcome.more);
    let group = group(&mut harness, 2);
    let content = pattern(BLOCK as usize + 100, 3);
    harness.send(client, &content);
    let mut received = Vec::new();
    while received.len() < content.len() {
        let outcome = harness.run(receive(server, group));
        assert!(!outcome.more && outcome.result > 0);
        received.extend(take(&mut harness, group, &outcome));
    }
    assert_eq!(received, content);
    let (reader, writer) = harness.pipe();
    File::from(writer).write_all(b"piped").unwrap();
    let outcome = harness.run(read(reader, group));
    assert!(!outcome.more);
    assert_eq!(take(&mut harness, group, &outcome), b"piped");
    assert_eq!(harness.proactor.statistics().blocks_provided, 2);
}

#[test]
fn one_receive_brings_every_byte_in_order_and_then_the_end() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let group = group(&mut harness, 16);
        let token = harness.submit(receive(server, group));
        let content = pattern(300_000, first_rung as u32);
        let mut received = Vec::new();
        for (index, chunk) in content.chunks(30_000).enumerate() {
            harness.send(client, chunk);
            while received.len() < (index * 30_000 + chunk.len()).min(content.len()) {
                let outcome = harness.wait(token);
                assert!(outcome.more, "16 blocks are enough for one chunk: {}", outcome.result);
                received.extend(take(&mut harness, group, &outcome));
            }
        }
        assert!(received == content);
        harness.run(Op::Shutdown { descriptor: client, how: Shutdown::Write });
        let (before, last) = finish(&mut harness, token);
        assert_eq!((before.len(), last.result), (0, 0));
        take(&mut harness, group, &last);
        let statistics = harness.proactor.statistics();
        assert_eq!((statistics.blocks_provided, statistics.blocks_busy, statistics.in_flight), (16, 0, 0));
    }
}

#[test]
fn idle_connections_hold_no_block() {
    const CONNECTIONS: usize = 50;
    let mut harness = Harness::on_rung(0);
    let group = group(&mut harness, 2);
    let pairs: Vec<_> = (0..CONNECTIONS).map(|_| harness.connection()).collect();
    let receives: Vec<_> = pairs.iter().map(|(_, server)| harness.submit(receive(*server, group))).collect();
    harness.turn();
    let statistics = harness.proactor.statistics();
    assert_eq!((statistics.blocks_provided, statistics.blocks_busy), (2, 0));
    // Two blocks serve fifty connections, as long as they come back.
    for (index, (client, _)) in pairs.iter().enumerate() {
        let message = format!("message {index}");
        harness.send(*client, message.as_bytes());
        let outcome = harness.wait(receives[index]);
        assert!(outcome.more);
        assert_eq!(take(&mut harness, group, &outcome), message.as_bytes());
    }
}

/// The empty group ends the op; what arrived stays in the socket and comes when the op is armed again.
#[test]
fn an_empty_group_ends_the_op_and_loses_no_byte() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let (reader, writer) = harness.pipe();
        let mut writer = File::from(writer);
        let group = group(&mut harness, 3);
        let content = pattern(60_000, 9);
        harness.send(client, &content);
        writer.write_all(&content).unwrap();
        for op in [receive as fn(DescriptorId, u16) -> Op, read] {
            let descriptor = if op(server, group) == receive(server, group) { server } else { reader };
            let (mut received, mut empty) = (Vec::new(), 0);
            while received.len() < content.len() {
                let token = harness.submit(op(descriptor, group));
                let (outcomes, last) = loop {
                    harness.enter();
                    harness.reap();
                    if harness.outcomes.last().is_some_and(|outcome| !outcome.more) {
                        break finish(&mut harness, token);
                    }
                    if received.len() + harness.outcomes.iter().map(|outcome| outcome.result as usize).sum::<usize>()
                        == content.len()
                    {
                        harness.proactor.cancel(token);
                        break finish(&mut harness, token);
                    }
                };
                for outcome in &outcomes {
                    received.extend(take(&mut harness, group, outcome));
                }
                assert_eq!(selected(&last), None);
                if last.result == -libc::ENOBUFS {
                    empty += 1;
                } else {
                    assert_eq!(last.result, -libc::ECANCELED);
                }
            }
            assert!(received == content && empty > 3, "{empty} times empty");
            assert_eq!(harness.proactor.statistics().blocks_provided, 3);
        }
        // Empty even before any byte: the op ends at once, and without a spin.
        let mut empty = Harness::on_rung(first_rung);
        let (_client, server) = empty.connection();
        let (bare, first) = empty.pool(BLOCK, 1);
        empty.proactor.register_group(bare).unwrap();
        let token = empty.submit(receive(server, bare));
        empty.turn();
        empty.proactor.provide(bare, first).unwrap();
        empty.turn();
        empty.proactor.cancel(token);
        let (before, last) = finish(&mut empty, token);
        assert!(before.is_empty() && [-libc::ENOBUFS, -libc::ECANCELED].contains(&last.result));
        assert_eq!(empty.proactor.statistics().blocks_provided, 1);
    }
}

#[test]
fn a_pipe_is_read_by_one_op_until_its_end() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (reader, writer) = harness.pipe();
        let mut writer = File::from(writer);
        let group = group(&mut harness, 8);
        let token = harness.submit(read(reader, group));
        let content = pattern(200_000, 5);
        let mut received = Vec::new();
        for chunk in content.chunks(10_000) {
            writer.write_all(chunk).unwrap();
            let aim = received.len() + chunk.len();
            while received.len() < aim {
                let outcome = harness.wait(token);
                assert!(outcome.more, "{}", outcome.result);
                received.extend(take(&mut harness, group, &outcome));
            }
        }
        assert!(received == content);
        drop(writer);
        let (before, last) = finish(&mut harness, token);
        assert_eq!((before.len(), last.result), (0, 0));
        take(&mut harness, group, &last);
        assert_eq!(harness.proactor.statistics().blocks_provided, 8);
    }
}

#[test]
fn a_file_that_cannot_be_polled_refuses_multishot_and_allows_one_read() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"content");
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let group = group(&mut harness, 2);
    let outcome = harness.run(read(descriptor, group));
    assert_eq!((outcome.result, outcome.more, outcome.detail), (-libc::EBADFD, false, Detail::None));
    let position = Position::Current;
    let once = Op::ReadSelect { descriptor, group, length: 0, position, provide: None, multishot: false };
    let outcome = harness.run(once);
    assert_eq!(take(&mut harness, group, &outcome), b"content");
    assert_eq!(harness.proactor.statistics().blocks_provided, 2);
}

#[test]
fn what_cannot_be_provided_is_refused_and_changes_nothing() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, _writer) = harness.pipe();
    let (group, first) = harness.pool(BLOCK, 3);
    let (other, foreign) = harness.pool(2 * BLOCK, 1);
    let own = harness.block(BLOCK).block;
    let busy = BlockId(first.0 + 1);
    let target = BlockRange { block: busy, offset: 0, length: 1 };
    let token = harness.submit(Op::Read { descriptor, target, position: Position::Current });
    harness.proactor.provide(group, first).unwrap();
    let rows = [
        (group, first, Fault::Block),
        (group, busy, Fault::Block),
        (group, own, Fault::Block),
        (group, foreign, Fault::Block),
        (other, BlockId(first.0 + 2), Fault::Block),
        (group, BlockId::NONE, Fault::Block),
        (99, BlockId(first.0 + 2), Fault::Argument),
    ];
    for (group, block, fault) in rows {
        assert_eq!(harness.proactor.provide(group, block), Err(fault), "group {group}, {block:?}");
    }
    assert_eq!(harness.proactor.statistics().blocks_provided, 1);
    let lent = BlockRange { block: first, offset: 0, length: 1 };
    let refused = harness.try_submit(Op::Read { descriptor, target: lent, position: Position::Current }, OpOptions::default());
    assert_eq!(refused.unwrap_err().error, Fault::Block, "the kernel has it");
    harness.proactor.cancel(token);
    harness.wait(token);
    let deadline = std::time::Instant::now() + harness::PATIENCE;
    harness.proactor.drain(deadline, &mut |_| {});
    assert_eq!(harness.proactor.provide(group, busy), Err(Fault::Closed));
}

#[test]
fn a_multishot_op_of_the_wrong_shape_is_refused() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, _writer) = harness.pipe();
    let group = group(&mut harness, 1);
    let sized = Op::ReceiveSelect { descriptor, group, length: 1, provide: None, multishot: true };
    let at = |length, position| Op::ReadSelect { descriptor, group, length, position, provide: None, multishot: true };
    for op in [sized, at(1, Position::Current), at(0, Position::At(0))] {
        let refused = harness.try_submit(op, OpOptions::default()).unwrap_err();
        assert_eq!(refused.error, Fault::Argument);
    }
    let foreign = Op::ReceiveSelect { descriptor, group: 99, length: 0, provide: None, multishot: true };
    assert_eq!(harness.try_submit(foreign, OpOptions::default()).unwrap_err().error, Fault::Argument);
}

/// Each round arms, sends, and cancels at a moment of its own: queued, armed, in the middle of what arrives. Both ends of the race are met,
/// and what was received is what was sent.
#[test]
fn s32_ten_thousand_cancel_races_lose_no_block_and_no_byte_of_a_stream() {
    for (first_rung, rounds) in [(0, 10_000u32), (3, 2_000), (5, 2_000)] {
        let mut harness = Harness::on_rung(first_rung);
        let (client, server) = harness.connection();
        let (reader, writer) = harness.pipe();
        let mut writer = File::from(writer);
        let group = group(&mut harness, 8);
        let source = BlockRange { length: 4, ..harness.block(64) };
        let (mut sent, mut received) = ([0u32; 2], [Vec::new(), Vec::new()]);
        let (mut cancelled, mut won) = (0, 0);
        for round in 0..rounds {
            let stream = (round % 2) as usize;
            let token = harness.submit(if stream == 0 { receive(server, group) } else { read(reader, group) });
            if round % 5 > 0 {
                harness.enter();
            }
            for _ in 0..round % 3 {
                if stream == 0 {
                    harness.fill(source, &sent[0].to_le_bytes());
                    harness.submit(Op::Send { descriptor: client, source, wait_all: true, zero_copy: false });
                    harness.turn();
                } else {
                    writer.write_all(&sent[1].to_le_bytes()).unwrap();
                }
                sent[stream] += 1;
            }
            harness.proactor.cancel(token);
            let (before, last) = finish(&mut harness, token);
            harness.outcomes.clear();
            won += before.len();
            for outcome in before.iter().chain([&last]) {
                received[stream].extend(take(&mut harness, group, outcome));
            }
            cancelled += usize::from(last.result == -libc::ECANCELED);
            let statistics = harness.proactor.statistics();
            assert_eq!((statistics.blocks_provided, statistics.blocks_busy), (8, 0), "round {round}");
        }
        assert!(won > 0 && cancelled > 0, "{won} won, {cancelled} cancelled");
        for (stream, descriptor) in [server, reader].into_iter().enumerate() {
            while received[stream].len() < sent[stream] as usize * 4 {
                received[stream].extend(harness.receive(descriptor));
            }
            let expected: Vec<u8> = (0..sent[stream]).flat_map(u32::to_le_bytes).collect();
            assert!(received[stream] == expected, "stream {stream}");
        }
    }
}

/// A worker is asked to begin; the poll that follows is the same.
#[test]
fn a_multishot_op_that_a_worker_begins_goes_on_all_the_same() {
    let mut harness = Harness::on_rung(0);
    let (client, server) = harness.connection();
    let group = group(&mut harness, 2);
    let token = harness.try_submit(receive(server, group), OpOptions { asynchronous: true }).unwrap();
    harness.turn();
    for message in [b"one", b"two"] {
        harness.send(client, message);
        let outcome = harness.wait(token);
        assert!(outcome.more);
        assert_eq!(take(&mut harness, group, &outcome), message);
    }
    harness.proactor.cancel(token);
    assert_eq!(finish(&mut harness, token).1.result, -libc::ECANCELED);
}

/// Completions that the queue has no room for are kept by the kernel, which ends a multishot op rather than lose one.
#[test]
fn a_full_completion_queue_loses_no_outcome() {
    let mut harness = Harness::new(Config { entries: 4, completion_entries: 4, ..Config::default() });
    let (client, server) = harness.connection();
    let group = group(&mut harness, 64);
    let content = pattern(64 * 500, 8);
    let mut received = Vec::new();
    let mut token = harness.submit(receive(server, group));
    harness.turn();
    for chunk in content.chunks(500) {
        harness.send(client, chunk);
        for _ in 0..8 {
            harness.submit(Op::Nop { result: 0 });
        }
        harness.enter();
    }
    while received.len() < content.len() {
        let outcome = harness.wait(token);
        assert!(outcome.result > 0);
        received.extend(take(&mut harness, group, &outcome));
        if !outcome.more {
            token = harness.submit(receive(server, group));
        }
    }
    assert!(received == content);
    assert!(harness.proactor.statistics().overflows > 0, "the queue was full");
}
