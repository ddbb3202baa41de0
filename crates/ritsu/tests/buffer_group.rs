//! Description: select reads: the kernel chooses a block of a group. A group that is empty loses no data, and no block gets lost.

mod harness;

use harness::{Harness, RUNGS, TemporaryFile, pattern};
use ritsu::{BlockId, BlockRange, DescriptorId, Detail, Fault, Op, OpOptions, Position};
use std::fs::File;
use std::io::Write;

fn select(descriptor: DescriptorId, group: u16, length: u32, position: Position, provide: Option<BlockId>) -> Op {
    Op::ReadSelect { descriptor, group, length, position, provide, multishot: false }
}

fn selected(detail: &Detail) -> Option<BlockId> {
    if let Detail::Selected(block) = detail { Some(*block) } else { None }
}

#[test]
fn a_select_read_of_a_file_uses_the_block_it_brought() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let content = pattern(40_000, 2);
        let file = TemporaryFile::new(&content);
        let descriptor = harness.open(&file.0, libc::O_RDONLY);
        let (group, first) = harness.pool(4096, 4);
        for (index, chunk) in content.chunks(4096).enumerate() {
            let block = BlockId(first.0 + index as u32 % 4);
            let outcome = harness.run(select(descriptor, group, 4096, Position::Current, Some(block)));
            assert_eq!((outcome.result as usize, selected(&outcome.detail)), (chunk.len(), Some(block)));
            assert_eq!(harness.bytes(BlockRange { block, offset: 0, length: 4096 }, chunk.len()), chunk);
        }
        assert_eq!(harness.proactor.statistics().blocks_provided, 0);
    }
}

#[test]
fn many_select_reads_at_once_get_a_block_each() {
    for asynchronous in [false, true] {
        let mut harness = Harness::on_rung(0);
        let content = pattern(64 * 4096, 4);
        let file = TemporaryFile::new(&content);
        let descriptor = harness.open(&file.0, libc::O_RDONLY);
        let (group, first) = harness.pool(4096, 64);
        let reads: Vec<_> = (0..64)
            .map(|index| {
                let op = select(descriptor, group, 0, Position::At(index * 4096), Some(BlockId(first.0 + index as u32)));
                harness.try_submit(op, OpOptions { asynchronous }).unwrap()
            })
            .collect();
        let mut seen = std::collections::HashSet::new();
        for (index, read) in reads.into_iter().enumerate() {
            let outcome = harness.wait(read);
            let block = selected(&outcome.detail).expect("a block");
            assert!(seen.insert(block), "no block is chosen twice");
            assert_eq!(outcome.result, 4096, "a length of 0 means the whole block");
            let bytes = harness.bytes(BlockRange { block, offset: 0, length: 4096 }, 4096);
            assert_eq!(bytes, &content[index * 4096..][..4096]);
        }
    }
}

#[test]
fn at_the_end_of_a_file_the_block_stays_or_comes_back() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"abc");
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let (group, first) = harness.pool(4096, 2);
    let outcome = harness.run(select(descriptor, group, 4096, Position::At(3), Some(first)));
    assert_eq!(outcome.result, 0);
    // Whichever the kernel does, the block is in one place: chosen and told, or still in the group.
    let provided = harness.proactor.statistics().blocks_provided;
    assert_eq!(provided, u64::from(selected(&outcome.detail).is_none()));
    let provide = selected(&outcome.detail);
    let outcome = harness.run(select(descriptor, group, 4096, Position::At(0), provide));
    assert_eq!((outcome.result, selected(&outcome.detail)), (3, Some(first)));
    assert_eq!(harness.proactor.statistics().blocks_provided, 0);
}

#[test]
fn an_empty_group_refuses_and_the_data_waits() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let (group, first) = harness.pool(4096, 2);
        File::from(writer).write_all(b"waiting").unwrap();
        let outcome = harness.run(select(descriptor, group, 4096, Position::Current, None));
        assert_eq!((outcome.result, outcome.detail), (-libc::ENOBUFS, Detail::None));
        let outcome = harness.run(select(descriptor, group, 4, Position::Current, Some(first)));
        assert_eq!((outcome.result, selected(&outcome.detail)), (4, Some(first)));
        assert_eq!(harness.bytes(BlockRange { block: first, offset: 0, length: 4 }, 4), b"wait");
        let outcome = harness.run(select(descriptor, group, 4096, Position::Current, Some(first)));
        assert_eq!(harness.bytes(BlockRange { block: first, offset: 0, length: 3 }, 3), b"ing");
        assert_eq!(outcome.result, 3);
    }
}

#[test]
fn a_cancelled_select_read_leaves_its_block_as_surplus() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, writer) = harness.pipe();
    let (group, first) = harness.pool(4096, 2);
    let pushed = harness.submit(select(descriptor, group, 4096, Position::Current, Some(first)));
    harness.turn();
    let queued = harness.submit(select(descriptor, group, 4096, Position::Current, Some(BlockId(first.0 + 1))));
    harness.proactor.cancel(pushed);
    harness.proactor.cancel(queued);
    assert_eq!(harness.wait(queued).result, -libc::ECANCELED);
    assert_eq!(harness.wait(pushed).result, -libc::ECANCELED);
    assert_eq!(harness.proactor.statistics().blocks_provided, 2);
    let refused = harness.try_submit(select(descriptor, group, 4096, Position::Current, Some(first)), OpOptions::default());
    assert_eq!(refused.unwrap_err().error, Fault::Block, "provided once");
    File::from(writer).write_all(b"twice").unwrap();
    for expected in [b"twi".as_slice(), b"ce"] {
        let outcome = harness.run(select(descriptor, group, 3, Position::Current, None));
        let block = selected(&outcome.detail).expect("a surplus block");
        assert_eq!(harness.bytes(BlockRange { block, offset: 0, length: 3 }, expected.len()), expected);
    }
    assert_eq!(harness.proactor.statistics().blocks_provided, 0);
}

#[test]
fn what_does_not_belong_to_the_group_is_refused() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, _writer) = harness.pipe();
    let (group, first) = harness.pool(4096, 2);
    let (other, _) = harness.pool(8192, 2);
    let own = harness.block(4096).block;
    let busy = BlockRange { block: BlockId(first.0 + 1), offset: 0, length: 1 };
    harness.submit(Op::Read { descriptor, target: busy, position: Position::Current });
    let rows = [
        (group, 4097, None, Fault::Range),
        (group, 1, Some(own), Fault::Block),
        (group, 1, Some(busy.block), Fault::Block),
        (other, 1, Some(first), Fault::Block),
        (99, 1, None, Fault::Argument),
    ];
    for (group, length, provide, fault) in rows {
        let refused = harness.try_submit(select(descriptor, group, length, Position::Current, provide), OpOptions::default());
        assert_eq!(refused.unwrap_err().error, fault, "group {group}, {provide:?}");
    }
    assert_eq!(harness.proactor.statistics().blocks_provided, 0);
}

#[test]
fn s26_ten_thousand_cancel_races_lose_no_block_and_no_byte() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, writer) = harness.pipe();
    let mut writer = File::from(writer);
    let (group, first) = harness.pool(4096, 8);
    let mut idle: Vec<BlockId> = (0..8).map(|index| BlockId(first.0 + index)).collect();
    let (mut sent, mut received, mut surplus) = (0u32, 0u32, 0);
    for round in 0..10_000u32 {
        // A surplus block serves the next read, as the caller's book-keeping has it.
        let provide = if surplus > 0 { None } else { idle.pop() };
        let token = harness.submit(select(descriptor, group, 4, Position::Current, provide));
        surplus += usize::from(provide.is_some());
        if round % 3 > 0 {
            harness.enter();
        }
        if round % 2 == 0 {
            writer.write_all(&sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        harness.proactor.cancel(token);
        let outcome = harness.wait(token);
        if let Some(block) = selected(&outcome.detail) {
            assert_eq!(outcome.result, 4);
            let bytes = harness.bytes(BlockRange { block, offset: 0, length: 4 }, 4);
            assert_eq!(bytes, received.to_le_bytes());
            received += 1;
            idle.push(block);
            surplus -= 1;
        } else {
            assert_eq!(outcome.result, -libc::ECANCELED);
        }
        assert_eq!(harness.proactor.statistics().blocks_provided as usize, surplus);
        assert_eq!(idle.len() + surplus, 8);
    }
    drop(writer);
    while received < sent {
        let provide = if surplus > 0 { None } else { idle.pop() };
        surplus += usize::from(provide.is_some());
        let outcome = harness.run(select(descriptor, group, 4, Position::Current, provide));
        let block = selected(&outcome.detail).expect("bytes are left in the pipe");
        assert_eq!(harness.bytes(BlockRange { block, offset: 0, length: 4 }, 4), received.to_le_bytes());
        received += 1;
        idle.push(block);
        surplus -= 1;
    }
}
