// SPDX-License-Identifier: GPL-2.0

//! Rings with records: one write is one record, and one read gets one, or many with headers.

use std::io::{IoSlice, IoSliceMut};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::poll::PollFlags;
use nix::sys::sendfile::sendfile;
use nix::sys::uio::{readv, writev};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::pipe2;

use crate::abi::{self, Header, stored};
use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::memory::{PAGE, Pages, Span};
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Task};
use crate::uring::{self, Uring};
use crate::userfault::SlowPages;

pub const TESTS: &[Test] = &[
    test!(record_is_read_as_it_was_written),
    test!(record_may_have_any_length_up_to_a_quarter),
    test!(record_too_long_is_emsgsize),
    test!(record_too_long_for_the_buffer_stays),
    test!(record_of_zero_bytes_is_none),
    test!(record_is_written_whole_or_not_at_all),
    test!(record_is_what_one_writev_gathers),
    test!(record_is_scattered_by_one_readv),
    test!(record_waits_for_room_for_all_of_it),
    test!(record_waits_while_a_shorter_one_goes_in),
    test!(record_of_any_length_gets_in_among_shorter_ones),
    test!(record_of_every_writer_is_in_one_piece).seconds(60),
    test!(record_wraps_without_a_seam),
    test!(record_of_a_stalled_writer_holds_up_nobody),
    test!(record_nowait_goes_in_whole_or_not_at_all),
    test!(fionread_is_what_the_next_read_needs),
    test!(headers_tell_length_sequence_and_time),
    test!(headers_come_with_as_many_records_as_fit),
    test!(headers_come_with_128_kib_or_one_record_at_most),
    test!(headers_do_not_show_what_was_there_before),
    test!(headers_with_too_little_room_are_emsgsize),
    test!(headers_never_wait_for_more),
    test!(headers_are_of_one_endpoint),
    test!(headers_come_with_the_records_before_a_fault),
    test!(headers_of_many_writers_count_without_a_gap).seconds(60),
    test!(headers_are_refused_where_there_are_none),
    test!(record_pollout_means_room_for_the_longest),
    test!(uring_moves_records),
    test!(uring_read_of_a_record_completes_when_one_comes),
    test!(splice_into_records_makes_records),
    test!(splice_out_of_records_moves_one_at_a_time),
];

const SMALL: usize = 4096;

/// The longest record in a ring of a page.
const LONGEST: usize = SMALL / 4;

fn small() -> (Ring, Endpoint) {
    let ring = Ring::small(RECORD);
    (ring, ring.both())
}

fn record_is_read_as_it_was_written() {
    let (_, ring) = small();
    for message in [&b"one"[..], b"two", b"", b"and a longer one", b"\0"] {
        assert_eq!(ring.write(message), Ok(message.len()));
    }
    for message in [&b"one"[..], b"two", b"and a longer one", b"\0"] {
        assert_eq!(ring.take(SMALL), Ok(message.to_vec()));
    }
    assert_eq!(ring.available(), 0);
}

fn record_may_have_any_length_up_to_a_quarter() {
    let (_, ring) = small();
    for length in 1..=LONGEST {
        let message = pattern(length as u64, length);
        ring.put(&message);
        // A buffer that is just large enough is.
        assert_eq!(ring.take(length), Ok(message));
    }
}

// errno: write EMSGSIZE
fn record_too_long_is_emsgsize() {
    for kind in Kind::all().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (writer, reader) = (ring.writer(), ring.reader());
        writer.put(b"stays");
        for length in [LONGEST + 1, SMALL, SMALL + 1, 100_000] {
            let message = vec![0; length];
            assert_eq!(
                writer.write(&message),
                Err(Errno::EMSGSIZE),
                "{length}, {kind}"
            );
        }
        // However full it is.
        writer.set_nonblocking(true);
        while writer.info().unread < SMALL as u64 / 2 {
            writer.put(&[0; 100]);
        }
        assert_eq!(writer.write(&[0; LONGEST + 1]), Err(Errno::EMSGSIZE));
        assert_eq!(writer.info().records_dropped, 0);
        assert_eq!(reader.take(100), Ok(b"stays".to_vec()));
    }
}

// errno: read EMSGSIZE
fn record_too_long_for_the_buffer_stays() {
    let (_, ring) = small();
    let message = pattern(0, 500);
    ring.put(&message);
    ring.put(b"next");
    for size in [1, 2, 250, 499] {
        assert_eq!(ring.take(size), Err(Errno::EMSGSIZE));
        assert_eq!(ring.available(), 500);
    }
    assert_eq!(ring.read(&mut []), Ok(0), "nothing asked, nothing said");
    assert_eq!(ring.cursor().records_out, 0);
    assert_eq!(ring.take(500), Ok(message));
    assert_eq!(ring.take(4), Ok(b"next".to_vec()));
}

fn record_of_zero_bytes_is_none() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (writer, reader) = (ring.writer(), ring.reader());
        assert_eq!(writer.write(b""), Ok(0));
        assert_eq!(
            writev(writer, &[IoSlice::new(b""), IoSlice::new(b"")]),
            Ok(0)
        );
        assert_eq!(reader.ready(PollFlags::POLLIN), PollFlags::empty());
        assert_eq!((reader.info().records_in, reader.info().bytes_in), (0, 0));
    }
}

fn record_is_written_whole_or_not_at_all() {
    let (_, ring) = small();
    ring.set_nonblocking(true);
    let mut written = 0;
    while ring.write(&[b'x'; 300]).is_ok() {
        written += 1;
    }
    // 332 bytes with the header, 336 with the padding.
    assert_eq!(written, SMALL / stored(300));
    assert_eq!(ring.write(&[b'y'; 300]), Err(Errno::EAGAIN));
    let free = SMALL - written * stored(300);
    assert_eq!(ring.write(&vec![b'z'; free - 32 + 1]), Err(Errno::EAGAIN));
    // To the last byte.
    ring.put(&vec![b'z'; free - 32]);
    assert_eq!(ring.write(b"x"), Err(Errno::EAGAIN));
    assert_eq!(ring.info().unread, SMALL as u64);
    for _ in 0..written {
        assert_eq!(ring.take(SMALL), Ok(vec![b'x'; 300]));
    }
    assert_eq!(ring.take(SMALL), Ok(vec![b'z'; free - 32]));
}

fn record_is_what_one_writev_gathers() {
    let (_, ring) = small();
    let parts = [&b"one "[..], b"", b"record", b" of parts"];
    assert_eq!(writev(ring, &parts.map(IoSlice::new)), Ok(19));
    ring.put(b"next");
    assert_eq!(ring.take(SMALL), Ok(b"one record of parts".to_vec()));
    // All together they are too long, however short each of them is.
    let bytes = pattern(0, LONGEST + 1);
    let parts: Vec<_> = bytes.chunks(100).map(IoSlice::new).collect();
    assert_eq!(writev(ring, &parts), Err(Errno::EMSGSIZE));
    assert_eq!(ring.take(SMALL), Ok(b"next".to_vec()));
}

fn record_is_scattered_by_one_readv() {
    let (_, ring) = small();
    ring.put(&pattern(0, 100));
    let (mut one, mut none, mut two) = ([0; 30], [0; 0], [0; 69]);
    let mut parts = [&mut one[..], &mut none, &mut two].map(IoSliceMut::new);
    assert_eq!(
        readv(ring, &mut parts),
        Err(Errno::EMSGSIZE),
        "a byte too little"
    );
    let mut three = [0; 10];
    let mut parts = [&mut one[..], &mut none, &mut two, &mut three].map(IoSliceMut::new);
    assert_eq!(readv(ring, &mut parts), Ok(100));
    assert_pattern(&[&one[..], &two, &three[..1]].concat(), 0);
    assert_eq!(three[1..], [0; 9]);
}

/// Fills the ring with short records, and returns how many.
fn fill(ring: Endpoint) -> usize {
    ring.set_nonblocking(true);
    let mut filled = 0;
    while ring.write(b"12345678").is_ok() {
        filled += 1;
    }
    ring.set_nonblocking(false);
    filled
}

fn record_waits_for_room_for_all_of_it() {
    let (_, ring) = small();
    // To the last byte: a hundred of 40 bytes each, with their headers, and one of 96.
    for _ in 0..100 {
        ring.put(b"12345678");
    }
    ring.put(&[b'6'; 64]);
    let message = pattern(0, LONGEST);
    let sent = message.clone();
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(&sent));
    // 26 of them make room for a quarter of the ring, but not for the header as well.
    writer.sleeper.sleeps_through(Call::WRITE, || {
        for _ in 0..26 {
            ring.take(8).expect("read");
        }
    });
    ring.take(8).expect("read");
    assert_eq!(writer.finish(), Ok(LONGEST));
    for _ in 27..100 {
        assert_eq!(ring.take(8), Ok(b"12345678".to_vec()));
    }
    assert_eq!(ring.take(64), Ok(vec![b'6'; 64]));
    assert_eq!(ring.take(SMALL), Ok(message));
}

fn record_waits_while_a_shorter_one_goes_in() {
    // Nobody waits behind a record that does not fit yet.
    let (_, ring) = small();
    fill(ring);
    let long = Task::asleep_in(Call::WRITE, move || ring.write(&[b'l'; LONGEST]));
    ring.take(8).expect("read");
    ring.set_nonblocking(true);
    ring.put(b"short");
    assert_eq!(ring.write(b"short"), Err(Errno::EAGAIN));
    ring.set_nonblocking(false);
    while ring.take(SMALL) != Ok(b"short".to_vec()) {}
    assert_eq!(long.finish(), Ok(LONGEST));
    assert_eq!(ring.take(SMALL), Ok(vec![b'l'; LONGEST]));
}

/// The longest record waits first, and behind it two who always have another short one.
fn record_of_any_length_gets_in_among_shorter_ones() {
    const SHORT: usize = 32;
    for kind in [RECORD, RECORD.broadcast()] {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..SMALL / stored(SHORT) {
            writer.put(&[b's'; SHORT]);
        }
        let long = Task::asleep_in(Call::WRITE, move || writer.write(&[b'l'; LONGEST]));
        let others = [(); 2].map(|()| {
            Task::asleep_in(Call::WRITE, move || {
                // More than are ever read here.
                for _ in 0..1000 {
                    writer.put(&[b's'; SHORT]);
                }
            })
        });
        let mut reads = 0;
        while !long.is_finished() {
            // A reader that is slow: whoever it wakes has gone to sleep again when it comes back.
            reader.take(SMALL).expect("read");
            thread::sleep(Duration::from_millis(2));
            for other in &others {
                other.sleeper.await_sleep_in(Call::WRITE);
            }
            reads += 1;
            assert!(reads < 300, "{kind}: it does not get in");
        }
        note!("{kind}: in after {reads} reads");
        assert_eq!(long.finish(), Ok(LONGEST));
    }
}

/// Each record has one byte for its writer and is full of it; its length is in it, too.
fn record_of_every_writer_is_in_one_piece() {
    const WRITERS: u8 = 6;
    let ring = Ring::new(RECORD, 8192);
    let each = by_lane(5000, 700);
    let writers: Vec<_> = (1..=WRITERS)
        .map(|number| {
            let writer = ring.writer();
            Task::spawn(move || {
                let mut random = Random::new(number.into());
                for _ in 0..each {
                    let length = 3 + random.up_to(1500) as u16;
                    let mut message = vec![number; length.into()];
                    message[..2].copy_from_slice(&length.to_ne_bytes());
                    // In one go, or from several places.
                    if length % 2 == 0 {
                        writer.put(&message);
                    } else {
                        let parts: Vec<_> = message.chunks(700).map(IoSlice::new).collect();
                        assert_eq!(writev(writer, &parts), Ok(message.len()));
                    }
                }
            })
        })
        .collect();
    let reader = ring.reader();
    let mut seen = [0; 1 + WRITERS as usize];
    for _ in 0..each * u64::from(WRITERS) {
        let message = reader.take(2048).expect("read");
        let length = u16::from_ne_bytes([message[0], message[1]]);
        assert_eq!(message.len(), length.into());
        let number = message[2];
        assert!(
            message[2..].iter().all(|byte| *byte == number),
            "a torn record"
        );
        seen[usize::from(number)] += 1;
    }
    for writer in writers {
        writer.finish();
    }
    assert!(seen[1..].iter().all(|count| *count == each), "{seen:?}");
    assert_eq!(reader.available(), 0);
}

fn record_wraps_without_a_seam() {
    let (_, ring) = small();
    let mut random = Random::new(2);
    let (mut written, mut read) = (0, 0);
    let mut lengths = std::collections::VecDeque::new();
    ring.set_nonblocking(true);
    for _ in 0..by_lane(10_000, 2000) {
        let length = random.up_to(LONGEST as u64) as usize;
        match ring.write(&pattern(written, length)) {
            Ok(_) => {
                written += length as u64;
                lengths.push_back(length);
            }
            Err(error) => {
                assert_eq!(error, Errno::EAGAIN);
                let message = ring.take(LONGEST).expect("read");
                assert_eq!(Some(message.len()), lengths.pop_front());
                assert_pattern(&message, read);
                read += message.len() as u64;
            }
        }
    }
    note!("{read} bytes went round a ring of {SMALL}");
}

fn record_of_a_stalled_writer_holds_up_nobody() {
    let (_, ring) = small();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 100);
    let writer = Task::spawn(move || ring.write_from(span));
    assert_eq!(slow.await_fault(), 0);
    for _ in 0..100 {
        ring.put(b"others");
        assert_eq!(ring.take(100), Ok(b"others".to_vec()));
    }
    slow.provide(0, &[b's'; 4096]);
    assert_eq!(writer.finish(), Ok(100));
    assert_eq!(ring.take(1000), Ok(vec![b's'; 100]));
}

fn record_nowait_goes_in_whole_or_not_at_all() {
    let (_, ring) = small();
    let nowait = |length: usize| ring.pwritev2(&vec![b'n'; length], -1, libc::RWF_NOWAIT);
    assert_eq!(nowait(LONGEST), Ok(LONGEST));
    fill(ring);
    assert_eq!(nowait(1), Err(Errno::EAGAIN));
    assert_eq!(nowait(LONGEST + 1), Err(Errno::EMSGSIZE));
    let mut buffer = [0; LONGEST];
    let read = |buffer: &mut [u8]| ring.preadv2(buffer, -1, libc::RWF_NOWAIT);
    assert_eq!(read(&mut buffer[..10]), Err(Errno::EMSGSIZE));
    assert_eq!(read(&mut buffer), Ok(LONGEST));
    ring.drain();
    assert_eq!(read(&mut buffer), Err(Errno::EAGAIN));
}

fn fionread_is_what_the_next_read_needs() {
    let ring = Ring::small(RECORD);
    let (plain, headers) = (ring.both(), ring.both());
    headers.set_headers(true);
    assert_eq!((plain.available(), headers.available()), (0, 0));
    for length in [1, 8, 500, LONGEST] {
        plain.put(&vec![b'x'; length]);
        plain.put(b"more");
        assert_eq!(plain.available(), length);
        assert_eq!(headers.available(), Header::SIZE + length);
        if length > 8 {
            assert_eq!(plain.take(plain.available() - 1), Err(Errno::EMSGSIZE));
            let less = headers.available() - 1;
            assert_eq!(headers.take_records(less), Err(Errno::EMSGSIZE));
        }
        assert_eq!(
            plain.take(plain.available()).map(|bytes| bytes.len()),
            Ok(length)
        );
        let more = headers.take_records(headers.available()).expect("read");
        assert_eq!(more[0].1, b"more");
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("clock_gettime");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn headers_tell_length_sequence_and_time() {
    let (_, ring) = small();
    ring.set_headers(true);
    let mut before = monotonic_ns();
    for sequence in 0..500 {
        let message = pattern(sequence, 1 + sequence as usize % 50);
        ring.put(&message);
        let after = monotonic_ns();
        let records = ring.take_records(SMALL).expect("read");
        let [(header, payload)] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(*payload, message);
        assert_eq!(header.length as usize, message.len());
        assert_eq!((header.sequence, header.lost), (sequence, 0));
        let time = header.timestamp_ns;
        assert!(
            (before..=after).contains(&time),
            "{before}, {time}, {after}"
        );
        before = time;
    }
}

fn headers_come_with_as_many_records_as_fit() {
    let (_, ring) = small();
    ring.set_headers(true);
    let lengths = [1, 7, 8, 9, 100];
    for length in lengths {
        ring.put(&vec![length as u8; length]);
    }
    // What the first three take up, with the last of them unpadded.
    let three = stored(1) + stored(7) + Header::SIZE + 8;
    // A byte less, and there are two of them.
    for (room, count) in [
        (three - 1, 2),
        (three - stored(1) - stored(7), 1),
        (SMALL, 2),
    ] {
        let bytes = ring.take(room).expect("read");
        assert!(bytes.len() <= room);
        let records = abi::records(&bytes);
        assert_eq!(records.len(), count);
        let padded: usize = records.iter().map(|record| stored(record.1.len())).sum();
        let last = records[count - 1].1.len();
        assert_eq!(bytes.len(), padded - stored(last) + Header::SIZE + last);
    }
    assert_eq!(ring.available(), 0);
    assert_eq!(ring.cursor().records_out, 5);
    let payload: usize = lengths.into_iter().sum();
    assert_eq!(ring.cursor().bytes_out, payload as u64);
}

/// That is how long others at the same cursor wait for a batch.
fn headers_come_with_128_kib_or_one_record_at_most() {
    const MOST: usize = 128 << 10;
    const LENGTH: usize = 4000;
    const LONG: usize = 200 << 10;
    for kind in Kind::all().filter(|kind| !kind.is_stream()) {
        let ring = Ring::new(kind, 1 << 20);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        for _ in 0..2 * MOST / LENGTH {
            writer.put(&[1; LENGTH]);
        }
        writer.put(&[1; LONG]);
        let batch = reader.take(1 << 20).expect("a batch").len();
        assert!(
            batch <= MOST && batch > MOST - stored(LENGTH),
            "{kind}: {batch}"
        );
        while reader.available() == Header::SIZE + LENGTH {
            reader.take(1 << 20).expect("another batch");
        }
        let alone = reader.take(1 << 20).expect("a long record");
        assert_eq!(alone.len(), Header::SIZE + LONG, "{kind}");
    }
}

fn headers_do_not_show_what_was_there_before() {
    let (_, ring) = small();
    ring.set_headers(true);
    let pages = Pages::map(2);
    pages.put(0, &[0xff; 4096]);
    pages.protect(1, 1, nix::sys::mman::ProtFlags::PROT_NONE);
    for length in 1..16 {
        // Ones everywhere, of records that were read, and of one that was never written.
        for _ in 0..4 {
            ring.put(&[0xff; LONGEST - Header::SIZE]);
            ring.take(SMALL).expect("read");
        }
        assert_eq!(
            ring.write_from(pages.span(4096 - 512, 900)),
            Err(Errno::EFAULT)
        );
        ring.put(&vec![1; length]);
        ring.put(b"next");
        let bytes = ring.take(SMALL).expect("read");
        let padding = &bytes[Header::SIZE + length..stored(length)];
        assert!(
            padding.iter().all(|byte| *byte == 0),
            "{length}: {padding:?}"
        );
        assert_eq!(abi::records(&bytes)[1].1, b"next");
    }
}

// errno: read EMSGSIZE
fn headers_with_too_little_room_are_emsgsize() {
    let (_, ring) = small();
    ring.set_headers(true);
    ring.put(b"ten bytes!");
    for room in [1, 31, 32, 41] {
        assert_eq!(ring.take_records(room), Err(Errno::EMSGSIZE));
    }
    assert_eq!(ring.take_records(42).map(|records| records.len()), Ok(1));
}

fn headers_never_wait_for_more() {
    let (_, ring) = small();
    ring.set_headers(true);
    let reader = Task::asleep_in(Call::READ, move || ring.take_records(SMALL));
    ring.put(b"one");
    let records = reader.finish().expect("read");
    assert_eq!(records.len(), 1);
    ring.set_nonblocking(true);
    assert_eq!(ring.take_records(SMALL), Err(Errno::EAGAIN));
}

fn headers_are_of_one_endpoint() {
    let ring = Ring::small(RECORD);
    let (plain, headers) = (ring.both(), ring.both());
    headers.set_headers(true);
    // Those who share an endpoint share its mode.
    let same = Endpoint::keep(nix::unistd::dup(headers).expect("dup"));
    for message in [b"1", b"2", b"3", b"4"] {
        plain.put(message);
    }
    assert_eq!(plain.take(SMALL), Ok(b"1".to_vec()));
    let second = same.take_records(33).expect("read");
    assert_eq!((second[0].0.sequence, &second[0].1[..]), (1, &b"2"[..]));
    headers.set_headers(false);
    assert_eq!(same.take(SMALL), Ok(b"3".to_vec()));
    headers.set_headers(true);
    assert_eq!(
        headers
            .take_records(SMALL)
            .map(|records| records[0].0.sequence),
        Ok(3)
    );
}

/// The memory ends in a header, in a payload or between the two, of the first record of a batch or
/// of a later one. What was not returned is still there.
fn headers_come_with_the_records_before_a_fault() {
    const LENGTH: usize = 50;
    const COUNT: u64 = 5;
    for kind in Kind::all().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        let pages = Pages::map(2);
        pages.protect(1, 1, nix::sys::mman::ProtFlags::PROT_NONE);
        // An address of the kernel readv(2) refuses before it asks the driver.
        let bad = [pages.span(PAGE, PAGE), Span::null(1000)];
        let mut written = 0;
        let mut write = |count| {
            for _ in 0..count {
                writer.put(&[written as u8; LENGTH]);
                written += 1;
            }
            written
        };
        let mut next = 0;
        for good in (0..COUNT as usize * stored(LENGTH)).step_by(7) {
            for lost in [false, true] {
                for way in 0..=bad.len() {
                    let case = format!("{kind}, {good} good bytes, lost: {lost}, way {way}");
                    if lost && kind.overwrites() {
                        write(2 * reader.info().capacity / stored(LENGTH) as u64);
                    } else if lost {
                        write(1);
                        ring.clear();
                    }
                    let end = write(COUNT);
                    let answer = match way.checked_sub(1) {
                        None => reader.read_to(pages.span(PAGE - good, SMALL)),
                        Some(way) => reader.readv_to(&[pages.span(PAGE - good, good), bad[way]]),
                    };
                    let mut records = match answer {
                        Ok(count) => {
                            assert!(count <= good, "{case}: {count} bytes");
                            abi::records(&pages.get(PAGE - good, count))
                        }
                        Err(error) => {
                            assert_eq!(error, Errno::EFAULT, "{case}");
                            Vec::new()
                        }
                    };
                    let first_fits = good >= Header::SIZE + LENGTH;
                    assert_eq!(!records.is_empty(), first_fits, "{case}");
                    while records
                        .last()
                        .is_none_or(|(header, _)| header.sequence + 1 < end)
                    {
                        records.extend(reader.take_records(2 * SMALL).expect("read"));
                    }
                    let first = records[0].0;
                    assert_eq!(first.sequence - next, first.lost, "{case}");
                    assert_eq!(first.lost > 0, lost, "{case}");
                    for ((header, payload), sequence) in records.iter().zip(first.sequence..) {
                        assert_eq!(header.sequence, sequence, "{case}");
                        assert_eq!(payload, &[sequence as u8; LENGTH], "{case}");
                        let is_first = sequence == first.sequence;
                        assert!(is_first || header.lost == 0, "{case}");
                    }
                    next = end;
                }
            }
        }
    }
}

fn headers_of_many_writers_count_without_a_gap() {
    let ring = Ring::new(RECORD, 1 << 14);
    let each = by_lane(5000, 700);
    let writers: Vec<_> = (1..=4)
        .map(|number| {
            let writer = ring.writer();
            Task::spawn(move || {
                let mut random = Random::new(number);
                for _ in 0..each {
                    writer.put(&vec![b'x'; random.up_to(200) as usize]);
                }
            })
        })
        .collect();
    let reader = ring.reader();
    reader.set_headers(true);
    let (mut next, mut time, mut largest) = (0, 0, 0);
    while next < 4 * each {
        let records = reader.take_records(SMALL).expect("read");
        largest = largest.max(records.len());
        for (header, _) in records {
            assert_eq!((header.sequence, header.lost), (next, 0));
            assert!(header.timestamp_ns >= time, "time runs backwards");
            time = header.timestamp_ns;
            next += 1;
        }
    }
    for writer in writers {
        writer.finish();
    }
    note!("up to {largest} records in a batch");
    assert!(largest > 1);
}

// errno: READ_MODE EBADF EINVAL
fn headers_are_refused_where_there_are_none() {
    let stream = Ring::small(STREAM);
    assert_eq!(stream.both().try_set_headers(true), Err(Errno::EINVAL));
    let records = Ring::small(RECORD);
    // Who only writes has nothing to read.
    assert_eq!(records.writer().try_set_headers(true), Err(Errno::EBADF));
    assert_eq!(records.reader().try_set_headers(true), Ok(()));
}

fn record_pollout_means_room_for_the_longest() {
    let (_, ring) = small();
    ring.set_nonblocking(true);
    let mut left = SMALL;
    while ring.ready(PollFlags::POLLOUT) == PollFlags::POLLOUT {
        ring.put(b"x");
        left -= stored(1);
    }
    assert!(left < stored(LONGEST) && left + stored(1) >= stored(LONGEST));
    // A shorter one may still fit.
    ring.put(b"x");
    assert_eq!(ring.write(&[b'x'; LONGEST]), Err(Errno::EAGAIN));
}

fn uring_moves_records() {
    let (_, ring) = small();
    let mut uring = Uring::new();
    let pages = Pages::map(2);
    pages.put(0, &pattern(0, 2000));
    assert_eq!(uring.run(uring::write(ring, pages.span(0, 300))), Ok(300));
    assert_eq!(uring.run(uring::write(ring, pages.span(300, 400))), Ok(400));
    let too_long = uring.run(uring::write(ring, pages.span(0, LONGEST + 1)));
    assert_eq!(too_long, Err(Errno::EMSGSIZE));
    let too_short = uring.run(uring::read(ring, pages.span(4096, 299)));
    assert_eq!(too_short, Err(Errno::EMSGSIZE));
    assert_eq!(
        uring.run(uring::read(ring, pages.span(4096, 4096))),
        Ok(300)
    );
    assert_pattern(&pages.get(4096, 300), 0);
    assert_eq!(
        uring.run(uring::read(ring, pages.span(4096, 4096))),
        Ok(400)
    );
    assert_pattern(&pages.get(4096, 400), 300);
}

fn uring_read_of_a_record_completes_when_one_comes() {
    let (_, ring) = small();
    ring.set_headers(true);
    let mut uring = Uring::new();
    let pages = Pages::map(1);
    for sequence in 0..10 {
        uring.start(uring::read(ring, pages.span(0, 1000)), 1);
        assert!(uring.try_result(1).is_none());
        ring.put(b"now");
        assert_eq!(uring.result(1), Ok(35));
        let records = abi::records(&pages.get(0, 35));
        assert_eq!(
            (records[0].0.sequence, &records[0].1[..]),
            (sequence, &b"now"[..])
        );
    }
}

fn splice_into_records_makes_records() {
    let (_, ring) = small();
    let (pipe, to_pipe) = pipe2(OFlag::O_CLOEXEC).expect("pipe2");
    // What one splice moves is one record.
    nix::unistd::write(&to_pipe, &pattern(0, 900)).expect("write");
    let move_in = |length| splice(&pipe, None, ring, None, length, SpliceFFlags::empty());
    assert_eq!(move_in(300), Ok(300));
    assert_eq!(move_in(1 << 16), Ok(600));
    assert_pattern(&ring.take(300).expect("read"), 0);
    assert_pattern(&ring.take(600).expect("read"), 300);
    // Too much for one: nothing is lost on the way.
    let bytes = pattern(0, LONGEST + 500);
    nix::unistd::write(&to_pipe, &bytes).expect("write");
    assert_eq!(move_in(1 << 16), Err(Errno::EMSGSIZE));
    assert_eq!(ring.available(), 0);
    assert_eq!(move_in(LONGEST), Ok(LONGEST));
    assert_eq!(move_in(LONGEST), Ok(500));
    let moved = [ring.take(SMALL), ring.take(SMALL)].map(|taken| taken.expect("read"));
    assert_eq!(moved.concat(), bytes);
}

fn splice_out_of_records_moves_one_at_a_time() {
    let (_, ring) = small();
    let (pipe, to_pipe) = pipe2(OFlag::O_CLOEXEC).expect("pipe2");
    ring.put(&pattern(0, 300));
    ring.put(&pattern(300, 400));
    let out = |length| splice(ring, None, &to_pipe, None, length, SpliceFFlags::empty());
    assert_eq!(out(299), Err(Errno::EMSGSIZE));
    assert_eq!(ring.available(), 300);
    assert_eq!(out(1 << 16), Ok(300));
    assert_eq!(sendfile(&to_pipe, ring, None, 400), Ok(400));
    let mut bytes = vec![0; 700];
    assert_eq!(nix::unistd::read(&pipe, &mut bytes), Ok(700));
    assert_pattern(&bytes, 0);
}
