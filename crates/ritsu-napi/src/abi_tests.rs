//! Tests of the abi: one row per opcode, the shapes that are refused, and random bytes.

use std::net::Shutdown;
use std::time::Duration;

use proptest::prelude::*;
use ritsu::{Address, BlockRange, DescriptorId, Position, SocketOptions, StatusTarget, Timestamp, UnixName};

use super::*;

fn record(opcode: Opcode) -> SubmissionRecord {
    SubmissionRecord {
        opcode: opcode as u32,
        slot: 3,
        generation: 9,
        descriptor: 5,
        block: 7,
        offset: 16,
        length: 32,
        position: -1.0,
        ..SubmissionRecord::default()
    }
}

/// All the words that a record of another op has left in its place: of a cancel and a provide most are not written.
fn left_by_another(opcode: Opcode) -> SubmissionRecord {
    SubmissionRecord {
        opcode: opcode as u32,
        slot: u32::MAX,
        generation: u32::MAX,
        descriptor: NONE,
        block: NONE,
        offset: u32::MAX,
        length: u32::MAX,
        flags: u32::MAX,
        position: f64::NAN,
        extra: f64::INFINITY,
        argument_offset: u32::MAX,
        argument_length: u32::MAX,
        target: u32::MAX,
        options: u32::MAX,
    }
}

fn no_argument(_: usize, length: usize) -> Vec<u8> {
    vec![0; length]
}

fn decoded(record: &SubmissionRecord, argument: &[u8]) -> Result<Op, i32> {
    match decode(record, &|offset, length| argument[offset..offset + length].to_vec()) {
        Ok(Request::Submit { token, op, .. }) => {
            assert_eq!(token, Token { slot: 3, generation: 9 });
            Ok(op)
        }
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => {
            assert_eq!(refusal.token, Token { slot: 3, generation: 9 });
            Err(refusal.result)
        }
    }
}

#[test]
fn opcodes_are_numbered_by_position() {
    for (index, (opcode, _)) in Opcode::ALL.iter().enumerate() {
        assert_eq!(*opcode as usize, index);
    }
    assert_eq!(Opcode::from_word(29), None);
    assert_eq!(Opcode::ALL[16].1, "CANCEL");
}

#[test]
fn every_opcode_decodes_to_its_op() {
    let descriptor = DescriptorId(5);
    let range = BlockRange { block: BlockId(7), offset: 16, length: 32 };
    let (target, source, position) = (range, range, Position::Current);
    let rows = [
        (Opcode::Nop, Op::Nop { result: 0 }),
        (Opcode::Close, Op::Close { descriptor }),
        (Opcode::Read, Op::Read { descriptor, target, position }),
        (Opcode::ReadFixed, Op::ReadFixed { descriptor, target, position }),
        (
            Opcode::ReadSelect,
            Op::ReadSelect { descriptor, group: 0, length: 32, position, provide: Some(BlockId(7)), multishot: false },
        ),
        (Opcode::Write, Op::Write { descriptor, source, position }),
        (Opcode::WriteFixed, Op::WriteFixed { descriptor, source, position }),
        (Opcode::Readv, Op::Readv { descriptor, parts: vec![], position }),
        (Opcode::Writev, Op::Writev { descriptor, parts: vec![], position }),
        (Opcode::Fsync, Op::Fsync { descriptor }),
        (Opcode::Fdatasync, Op::Fdatasync { descriptor }),
        (Opcode::Ftruncate, Op::Ftruncate { descriptor, length: 0 }),
        (Opcode::Statx, Op::Statx { target: StatusTarget::Descriptor(descriptor) }),
        (Opcode::Timeout, Op::Timeout { duration: Duration::ZERO }),
        (Opcode::Accept, Op::Accept { descriptor, multishot: false }),
        (
            Opcode::ReceiveSelect,
            Op::ReceiveSelect { descriptor, group: 0, length: 32, provide: Some(BlockId(7)), multishot: false },
        ),
        (Opcode::ReceiveMessage, Op::ReceiveMessage { descriptor, target }),
        (Opcode::Send, Op::Send { descriptor, source, wait_all: false, zero_copy: false }),
        (Opcode::Shutdown, Op::Shutdown { descriptor, how: Shutdown::Read }),
        (Opcode::Poll, Op::Poll { descriptor, events: 0 }),
    ];
    for (opcode, expected) in rows {
        assert_eq!(decoded(&record(opcode), &[]), Ok(expected));
    }
}

#[test]
fn fields_reach_their_ops() {
    let at = SubmissionRecord { position: 4096.0, ..record(Opcode::Read) };
    let target = BlockRange { block: BlockId(7), offset: 16, length: 32 };
    let expected = Op::Read { descriptor: DescriptorId(5), target, position: Position::At(4096) };
    assert_eq!(decoded(&at, &[]), Ok(expected));

    let select = SubmissionRecord { block: NONE, target: 2, ..record(Opcode::ReadSelect) };
    let expected = Op::ReadSelect {
        descriptor: DescriptorId(5),
        group: 2,
        length: 32,
        position: Position::Current,
        provide: None,
        multishot: false,
    };
    assert_eq!(decoded(&select, &[]), Ok(expected));

    let fallocate = SubmissionRecord { flags: 1, position: 8.0, extra: 16.0, ..record(Opcode::Fallocate) };
    let expected = Op::Fallocate { descriptor: DescriptorId(5), mode: 1, offset: 8, length: 16 };
    assert_eq!(decoded(&fallocate, &[]), Ok(expected));

    let timeout = SubmissionRecord { extra: 1.5, ..record(Opcode::Timeout) };
    assert_eq!(decoded(&timeout, &[]), Ok(Op::Timeout { duration: Duration::from_micros(1500) }));
}

#[test]
fn arguments_come_from_the_arena() {
    let arena = b"________/tmp/x__";
    let open = SubmissionRecord { argument_offset: 8, argument_length: 6, flags: 2, target: 0o644, ..record(Opcode::Open) };
    assert_eq!(decoded(&open, arena), Ok(Op::Open { path: c"/tmp/x".to_owned(), flags: 2, mode: 0o644 }));

    let statx = SubmissionRecord {
        argument_offset: 8,
        argument_length: 6,
        flags: STATX_NOFOLLOW,
        descriptor: NONE,
        ..record(Opcode::Statx)
    };
    let target = StatusTarget::Path { path: c"/tmp/x".to_owned(), follow: false };
    assert_eq!(decoded(&statx, arena), Ok(Op::Statx { target }));

    let triples: Vec<u8> = [1u32, 2, 3, 4, 5, 6].iter().flat_map(|word| word.to_le_bytes()).collect();
    let readv = SubmissionRecord { argument_length: 24, ..record(Opcode::Readv) };
    let parts =
        vec![BlockRange { block: BlockId(1), offset: 2, length: 3 }, BlockRange { block: BlockId(4), offset: 5, length: 6 }];
    let expected = Op::Readv { descriptor: DescriptorId(5), parts, position: Position::Current };
    assert_eq!(decoded(&readv, &triples), Ok(expected));
}

#[test]
fn numbers_of_the_wrong_shape_are_refused() {
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.0, 0.5, 1e300];
    for number in bad {
        for opcode in [Opcode::Read, Opcode::ReadSelect, Opcode::Writev, Opcode::Fallocate] {
            let record = SubmissionRecord { position: number, ..record(opcode) };
            assert_eq!(decoded(&record, &[]), Err(fault::ARGUMENT), "{opcode:?} at {number}");
        }
        let truncate = SubmissionRecord { extra: number, ..record(Opcode::Ftruncate) };
        assert_eq!(decoded(&truncate, &[]), Err(fault::ARGUMENT), "{number}");
    }
    for number in [f64::NAN, f64::INFINITY, -1.0, -0.5, 1e300] {
        let timeout = SubmissionRecord { extra: number, ..record(Opcode::Timeout) };
        assert_eq!(decoded(&timeout, &[]), Err(fault::ARGUMENT), "{number}");
    }
    for number in [f64::NAN, 0.5, 2_147_483_648.0, -2_147_483_649.0] {
        let nop = SubmissionRecord { extra: number, ..record(Opcode::Nop) };
        assert_eq!(decoded(&nop, &[]), Err(fault::ARGUMENT), "{number}");
    }
}

#[test]
fn records_of_the_wrong_shape_are_refused() {
    let beyond = ARGUMENT_BYTES as u32;
    let rows = [
        (SubmissionRecord { argument_offset: beyond, argument_length: 1, ..record(Opcode::Open) }, fault::ARGUMENT),
        (SubmissionRecord { argument_offset: u32::MAX, argument_length: u32::MAX, ..record(Opcode::Open) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 5, ..record(Opcode::Open) }, fault::ARGUMENT), // zeros: NUL inside
        (SubmissionRecord { argument_length: 11, ..record(Opcode::Readv) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 12 * 1025, ..record(Opcode::Readv) }, fault::ARGUMENT),
        (SubmissionRecord { target: 65_536, ..record(Opcode::ReadSelect) }, fault::ARGUMENT),
        (SubmissionRecord { flags: 2, ..record(Opcode::Statx) }, fault::ARGUMENT),
        (SubmissionRecord { options: 4, ..record(Opcode::Fsync) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 12, ..record(Opcode::ReadMany) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 1025 * 8, ..record(Opcode::ReadMany) }, fault::ARGUMENT),
        (SubmissionRecord { flags: 2, ..record(Opcode::ReadMany) }, fault::ARGUMENT),
        (SubmissionRecord { opcode: 29, ..record(Opcode::Nop) }, fault::OPCODE),
        (SubmissionRecord { flags: 2, ..record(Opcode::Accept) }, fault::ARGUMENT),
        (SubmissionRecord { flags: 4, ..record(Opcode::Send) }, fault::ARGUMENT),
        (SubmissionRecord { flags: 2, ..record(Opcode::ReadSelect) }, fault::ARGUMENT),
        (SubmissionRecord { target: 3, ..record(Opcode::Shutdown) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 3, ..record(Opcode::Connect) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 12, target: u32::MAX, ..record(Opcode::Listen) }, fault::ARGUMENT),
        (SubmissionRecord { argument_length: 7, ..record(Opcode::SendMessage) }, fault::ARGUMENT),
        (SubmissionRecord { opcode: u32::MAX, ..record(Opcode::Nop) }, fault::OPCODE),
    ];
    for (record, result) in rows {
        assert_eq!(decoded(&record, &vec![0; 65_536]), Err(result), "{record:?}");
    }
}

#[test]
fn options_and_cancels() {
    let asynchronous = SubmissionRecord { options: OPTION_ASYNC, ..record(Opcode::Fsync) };
    let Ok(Request::Submit { options, .. }) = decode(&asynchronous, &no_argument) else { panic!("refused") };
    assert!(options.asynchronous);

    for cancel in [record(Opcode::Cancel), left_by_another(Opcode::Cancel)] {
        let cancel = SubmissionRecord { target: 11, options: 12, ..cancel };
        assert_eq!(decode(&cancel, &no_argument), Ok(Request::Cancel(Token { slot: 11, generation: 12 })));
    }
}

fn addresses() -> [(Address, Vec<u8>); 4] {
    let six = "[fe80::1%7]:443".parse::<std::net::SocketAddr>().expect("an address");
    let mut six_bytes = vec![6, 0, 0xBB, 1, 7, 0, 0, 0, 0xFE, 0x80];
    six_bytes.extend([0; 13]);
    six_bytes.push(1);
    let path = UnixName::new(b"/run/x".to_vec()).expect("short");
    let hidden = UnixName::new(b"\0x".to_vec()).expect("short");
    [
        (Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80))), vec![4, 0, 80, 0, 0, 0, 0, 0, 127, 0, 0, 1]),
        (Address::from(six), six_bytes),
        (Address::Unix(path), [&[1, 0, 0, 0, 0, 0, 0, 0][..], b"/run/x"].concat()),
        (Address::Unix(hidden), [&[1, 0, 0, 0, 0, 0, 0, 0][..], b"\0x"].concat()),
    ]
}

#[test]
fn addresses_survive_the_way_there_and_back() {
    for (address, bytes) in addresses() {
        assert_eq!(encode_address(&address), bytes);
        assert_eq!(decode_address(&bytes), Some(address));
        for length in 0..bytes.len().min(8) {
            assert_eq!(decode_address(&bytes[..length]), None);
        }
    }
    for bad in
        [&[4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3][..], &[4, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], &[5, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]]
    {
        assert_eq!(decode_address(bad), None);
    }
}

#[test]
fn sockets_are_made_from_arguments() {
    let measured = |bytes: &[u8]| [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat();
    let [(first, first_bytes), (second, second_bytes), ..] = addresses();
    let both = [measured(&first_bytes), measured(&second_bytes)].concat();
    let with = |opcode, argument: &[u8]| SubmissionRecord { argument_length: argument.len() as u32, ..record(opcode) };

    let connect = with(Opcode::Connect, &both);
    assert_eq!(decoded(&connect, &both), Ok(Op::Connect { address: first.clone(), local: Some(Box::new(second.clone())) }));
    let bind = SubmissionRecord { flags: SOCKET_REUSE_ADDRESS, ..with(Opcode::Bind, &measured(&first_bytes)) };
    let options = SocketOptions { reuse_address: true, ..SocketOptions::default() };
    assert_eq!(decoded(&bind, &measured(&first_bytes)), Ok(Op::Bind { address: first.clone(), peer: None, options }));
    let listen =
        SubmissionRecord { target: 511, flags: SOCKET_REUSE_PORT | SOCKET_IPV6_ONLY, ..with(Opcode::Listen, &second_bytes) };
    let options = SocketOptions { reuse_port: true, ipv6_only: true, ..SocketOptions::default() };
    assert_eq!(decoded(&listen, &second_bytes), Ok(Op::Listen { address: second, backlog: 511, options }));

    let part: Vec<u8> = [1u32, 2, 3].iter().flat_map(|word| word.to_le_bytes()).collect();
    let parts = vec![BlockRange { block: BlockId(1), offset: 2, length: 3 }];
    let message = [&12u32.to_le_bytes()[..], &first_bytes, &part].concat();
    let expected = Op::SendMessage { descriptor: DescriptorId(5), parts, address: Some(Box::new(first)), wait_all: false };
    assert_eq!(decoded(&with(Opcode::SendMessage, &message), &message), Ok(expected));
}

#[test]
fn many_places_come_as_numbers() {
    let bytes = |positions: &[f64]| positions.iter().flat_map(|position| position.to_le_bytes()).collect::<Vec<u8>>();
    let with =
        |argument: &[u8], flags| SubmissionRecord { argument_length: argument.len() as u32, flags, ..record(Opcode::ReadMany) };
    let target = BlockRange { block: BlockId(7), offset: 16, length: 32 };
    for (flags, fixed) in [(0, false), (READ_REGISTERED, true)] {
        let argument = bytes(&[4096.0, 0.0, 9_007_199_254_740_992.0]);
        let positions = Box::new([4096, 0, 1 << 53]);
        let expected = Op::ReadMany { descriptor: DescriptorId(5), target, positions, fixed };
        assert_eq!(decoded(&with(&argument, flags), &argument), Ok(expected));
    }
    for wrong in [-1.0, 0.5, f64::NAN, f64::INFINITY, 9_007_199_254_740_994.0] {
        let argument = bytes(&[0.0, wrong]);
        assert_eq!(decoded(&with(&argument, 0), &argument), Err(fault::ARGUMENT), "{wrong}");
    }
}

#[test]
fn a_block_may_be_provided() {
    let provide = SubmissionRecord { target: 3, ..record(Opcode::Provide) };
    assert_eq!(decode(&provide, &no_argument), Ok(Request::Provide { group: 3, block: BlockId(7) }));
    let stale = SubmissionRecord { target: 3, block: 7, ..left_by_another(Opcode::Provide) };
    assert_eq!(decode(&stale, &no_argument), Ok(Request::Provide { group: 3, block: BlockId(7) }));
    let beyond = SubmissionRecord { target: 70_000, ..record(Opcode::Provide) };
    assert_eq!(decode(&beyond, &no_argument), Ok(Request::Provide { group: u16::MAX, block: BlockId(7) }));
}

#[test]
fn outcomes_become_records() {
    let outcome = |result, more, detail| Outcome { token: Token { slot: 1, generation: 2 }, result, more, detail };
    let plain = CompletionRecord { slot: 1, generation: 2, result: -5, block: NONE, ..CompletionRecord::default() };
    assert_eq!(encode(&outcome(-5, false, Detail::None), 0), plain);
    assert_eq!(encode(&outcome(-5, true, Detail::None), 0), CompletionRecord { flags: FLAG_MORE, ..plain });
    let refused = CompletionRecord { result: -9, flags: FLAG_REFUSED, ..plain };
    assert_eq!(encode(&outcome(-9, false, Detail::Refused), 0), refused);
    let selected = CompletionRecord { result: 10, flags: FLAG_SELECTED, block: 4, ..plain };
    assert_eq!(encode(&outcome(10, false, Detail::Selected(BlockId(4))), 0), selected);
    let opened = CompletionRecord { result: 0, extra: 17, value: 4_293_918_720.0, ..plain };
    assert_eq!(encode(&outcome(0, false, Detail::Opened(DescriptorId(0xFFF0_0000), 17)), 0), opened);
    let status = CompletionRecord { result: 0, extra: 160, value: 20.0, ..plain };
    let counts = CompletionRecord { result: 7, extra: 320, value: 3.0, ..plain };
    assert_eq!(encode(&outcome(7, false, Detail::Counts(vec![3, 0, 4].into())), 320), counts);
    assert_eq!(encode(&outcome(0, false, Detail::Status(Box::default())), 160), status);
    let message = CompletionRecord { result: 9, extra: 128, value: 1.0, ..plain };
    assert_eq!(encode(&outcome(9, false, Detail::Message { address: None, truncated: true }), 128), message);
}

#[test]
fn a_status_keeps_its_fields() {
    let time = |seconds| Timestamp { seconds, nanoseconds: 500_000 };
    let status = FileStatus {
        device: 1,
        mode: 2,
        links: 3,
        user: 4,
        group: 5,
        special_device: 6,
        block_size: 7,
        inode: 8,
        size: 9,
        blocks: 10,
        accessed: time(11),
        modified: time(12),
        changed: time(13),
        born: time(14),
    };
    let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11_000.5, 12_000.5, 13_000.5, 14_000.5];
    assert_eq!(status_numbers(&status)[..14], expected);
}

#[test]
fn slot_faults_have_no_result_and_all_others_do() {
    for fault in [Fault::Slot, Fault::Occupied, Fault::Generation] {
        assert_eq!(refusal_result(fault), None);
    }
    let rows = [
        (Fault::Descriptor, -libc::EBADF),
        (Fault::Block, fault::BLOCK),
        (Fault::Range, fault::RANGE),
        (Fault::Argument, fault::ARGUMENT),
        (Fault::Unsupported, -libc::EINVAL),
        (Fault::Registration(12), -12),
        (Fault::Closed, fault::CLOSED),
    ];
    for (fault, result) in rows {
        assert_eq!(refusal_result(fault), Some(result));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// Whatever the 64 bytes say: no panic, arguments only from inside the arena, and only known ops come out.
    #[test]
    fn random_records_decode_or_are_refused(
        words in prop::array::uniform14(any::<u32>()),
        position in any::<u64>(),
        extra in any::<u64>(),
        small in any::<bool>(),
        fill in any::<u8>(),
    ) {
        let [opcode, slot, generation, descriptor, block, offset, length, flags, argument_offset, argument_length, target, options, ..] = words;
        // Half of the time any bits at all, NaNs of every kind among them; else numbers near what an op can use.
        let number = |bits: u64| if small { (bits % 0xFFFF) as f64 / 4.0 - 2.0 } else { f64::from_bits(bits) };
        let record = SubmissionRecord {
            position: number(position),
            extra: number(extra),
            opcode: if small { opcode % 28 } else { opcode },
            slot, generation, descriptor, block, offset, length, flags,
            argument_offset: if small { argument_offset % 1024 } else { argument_offset },
            argument_length: if small { argument_length % 1200 / 12 * 12 } else { argument_length },
            target: if small { target % 65_536 } else { target },
            options: if small { options % 4 } else { options },
        };
        let argument = |offset: usize, length: usize| {
            assert!(offset + length <= ARGUMENT_BYTES);
            vec![fill; length]
        };
        match decode(&record, &argument) {
            Ok(Request::Submit { token, .. }) => prop_assert_eq!((token.slot, token.generation), (slot, generation)),
            Ok(Request::Cancel(token)) => prop_assert_eq!((token.slot, token.generation), (record.target, record.options)),
            Ok(Request::Provide { block: given, .. }) => prop_assert_eq!(given.0, block),
            Err(refusal) => {
                prop_assert_eq!((refusal.token.slot, refusal.token.generation), (slot, generation));
                prop_assert!(refusal.result < -4095);
            }
        }
    }
}
