//! Description: the end of a proactor. After a drain the kernel writes nothing any more, and everything submitted has had its outcome.

mod harness;

use harness::{Harness, PATIENCE, RUNGS, TemporaryFile, pattern};
use ritsu::{
    BlockMemory, Config, Entered, Fault, MemoryError, Op, OpOptions, Position, Proactor, SizeClass, Token, leaked_bytes,
};
use std::time::{Duration, Instant};

const READS: usize = 64;
const READ_BYTES: usize = 1 << 20;
const PAGE: usize = 4096;

/// One byte of each page. Volatile: the kernel may be writing.
fn sample(memories: &[BlockMemory]) -> Vec<u8> {
    let pages = memories
        .iter()
        .flat_map(|memory| (0..memory.length / PAGE).map(move |page| memory.address.as_ptr().wrapping_add(page * PAGE)));
    // SAFETY: inside mappings that the `Arc`s in `memories` keep.
    pages.map(|address| unsafe { address.read_volatile() }).collect()
}

fn blank(memories: &[BlockMemory]) {
    for memory in memories {
        // SAFETY: inside mappings that the `Arc`s in `memories` keep; written by raw pointer as the kernel does.
        unsafe { memory.address.as_ptr().write_bytes(0, memory.length) };
    }
}

fn changed(before: &[u8], after: &[u8]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

/// Submits 64 direct reads of 1 MiB and gives the memory they go to.
fn read_all(harness: &mut Harness, file: &TemporaryFile) -> Vec<BlockMemory> {
    let descriptor = harness.open(&file.0, libc::O_RDONLY | libc::O_DIRECT);
    let targets: Vec<_> = (0..READS).map(|_| harness.block(READ_BYTES as u32)).collect();
    let memories: Vec<_> = targets.iter().map(|target| harness.proactor.block_memory(target.block).unwrap()).collect();
    blank(&memories);
    for (index, target) in targets.into_iter().enumerate() {
        harness.submit(Op::Read { descriptor, target, position: Position::At((index * READ_BYTES) as u64) });
    }
    while harness.proactor.push_and_submit() != Entered::Done {}
    memories
}

#[test]
fn s21_after_a_drain_no_page_changes() {
    // No zero byte, so that a page that was read differs from a blank one.
    let content: Vec<u8> = pattern(READS * READ_BYTES, 1).iter().map(|byte| byte | 1).collect();
    let file = TemporaryFile::new(&content);
    drop(content);

    // The control: without a drain the kernel is still writing, so this test can see what it is about.
    let mut harness = Harness::on_rung(0);
    let memories = read_all(&mut harness, &file);
    let before = sample(&memories);
    std::thread::sleep(Duration::from_millis(500));
    let late = changed(&before, &sample(&memories));
    assert!(late > 0, "the disk was done before anybody could look; nothing can be proved here");
    drop(harness);

    for by_drop in [false, true] {
        let mut harness = Harness::on_rung(0);
        let memories = read_all(&mut harness, &file);
        if by_drop {
            drop(harness);
        } else {
            assert_eq!(harness.proactor.drain(Instant::now() + PATIENCE, &mut |_| {}).remaining, 0);
        }
        blank(&memories);
        std::thread::sleep(Duration::from_millis(500));
        let late = sample(&memories).iter().filter(|byte| **byte != 0).count();
        assert_eq!(late, 0, "pages written after the drain; by drop: {by_drop}");
    }
    assert_eq!(leaked_bytes(), 0);
}

#[test]
fn a_drain_gives_every_op_its_outcome_and_takes_nothing_more() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, _writer) = harness.pipe();
        let (closing, _other_writer) = harness.pipe();
        for descriptor in [descriptor, closing] {
            let target = harness.block(64);
            harness.submit(Op::Read { descriptor, target, position: Position::Current });
        }
        harness.submit(Op::Timeout { duration: Duration::from_secs(100) });
        harness.turn();
        harness.submit(Op::Close { descriptor: closing });
        harness.submit(Op::Nop { result: 0 });
        harness.proactor.mute();
        let start = Instant::now();
        let mut results = Vec::new();
        assert_eq!(harness.proactor.drain(start + PATIENCE, &mut |outcome| results.push(outcome.result)).remaining, 0);
        assert!(start.elapsed() < Duration::from_secs(5));
        results.sort_unstable();
        assert_eq!(
            results,
            [-libc::ECANCELED, -libc::ECANCELED, -libc::ECANCELED, -libc::ECANCELED, 0],
            "only the close succeeds"
        );
        let token = Token { slot: 77, generation: 0 };
        let refused = harness.proactor.submit(token, Op::Nop { result: 0 }, OpOptions::default()).unwrap_err();
        assert_eq!(refused.error, Fault::Closed);
        assert_eq!(harness.proactor.allocate_block(1), Err(MemoryError::Closed));
        assert_eq!(harness.proactor.create_pool(&[SizeClass { block_size: 4096, count: 1 }], false), Err(MemoryError::Closed));
        assert_eq!(harness.proactor.drain(start, &mut |_| {}).remaining, 0, "a second drain is harmless");
    }
}

#[test]
fn a_deadline_in_the_past_ends_the_wait_and_a_later_drain_ends_the_ops() {
    let content = pattern(READS * READ_BYTES, 2);
    let file = TemporaryFile::new(&content);
    let mut harness = Harness::on_rung(0);
    let memories = read_all(&mut harness, &file);
    let start = Instant::now();
    let mut outcomes = 0;
    let first = harness.proactor.drain(start, &mut |_| outcomes += 1);
    assert_eq!(first.remaining, harness.proactor.in_flight());
    assert_eq!(harness.proactor.drain(start + PATIENCE, &mut |_| outcomes += 1).remaining, 0);
    assert_eq!(outcomes, READS);
    drop(memories);
}

#[test]
fn s1_a_retired_block_outlives_its_op_and_its_readers() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, writer) = harness.pipe();
    let target = harness.block(4096);
    let read = harness.submit(Op::Read { descriptor, target, position: Position::Current });
    harness.turn();
    harness.proactor.retire_block(target.block);
    assert_eq!(harness.proactor.statistics().own_bytes, 4096, "the kernel has it");
    let memory = harness.proactor.block_memory(target.block).expect("still there");
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"late").unwrap();
    assert_eq!(harness.wait(read).result, 4);
    assert_eq!(harness.proactor.statistics().own_bytes, 0);
    assert!(harness.proactor.block_memory(target.block).is_none());
    // SAFETY: the mapping is kept by the `Arc` in `memory`.
    assert_eq!(unsafe { memory.address.as_ptr().read() }, b'l');
    assert_eq!(harness.block(64).block, target.block, "the id is free again");
}

#[test]
fn a_pinned_block_is_not_unpinned_under_an_op() {
    let mut memory = vec![0_u8; 100];
    let mut harness = Harness::on_rung(0);
    let (descriptor, writer) = harness.pipe();
    let address = std::ptr::NonNull::new(memory.as_mut_ptr()).unwrap();
    // SAFETY: `memory` outlives the unpin below and is not touched before.
    let block = unsafe { harness.proactor.pin_block(address, 100) }.unwrap();
    let target = ritsu::BlockRange { block, offset: 10, length: 90 };
    let read = harness.submit(Op::Read { descriptor, target, position: Position::Current });
    assert_eq!(harness.proactor.unpin_block(block), Err(Fault::Block));
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"pinned").unwrap();
    assert_eq!(harness.wait(read).result, 6);
    harness.proactor.retire_block(block);
    assert_eq!(harness.proactor.unpin_block(block), Ok(()));
    assert_eq!(harness.proactor.unpin_block(block), Err(Fault::Block));
    assert_eq!(&memory[10..16], b"pinned");
}

#[test]
fn many_proactors_live_and_end_in_one_process() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..20 {
                    let mut proactors: Vec<_> = (0..3).map(|_| Proactor::new(Config::default()).unwrap()).collect();
                    for proactor in &mut proactors {
                        let duration = Duration::from_secs(100);
                        proactor
                            .submit(Token { slot: 0, generation: 0 }, Op::Timeout { duration }, OpOptions::default())
                            .unwrap();
                        while proactor.enter() != Entered::Done {}
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
