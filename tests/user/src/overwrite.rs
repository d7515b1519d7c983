// SPDX-License-Identifier: GPL-2.0

//! Rings that are overwritten: the writer never waits, the oldest goes, and what is gone is
//! counted to the byte.

use std::fs;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::mman::ProtFlags;
use nix::unistd::{Whence, close, lseek64};

use crate::abi::{self, Header, stored};
use crate::control::{Kind, Kinds, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::memory::{PAGE, Pages, Span};
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};
use crate::userfault::SlowPages;
use crate::words::{Receiver, Sender};

pub const TESTS: &[Test] = &[
    test!(overwrite_of_a_stream_keeps_the_newest_bytes),
    test!(overwrite_of_records_keeps_the_newest_whole_ones),
    test!(overwrite_counts_exactly_what_was_lost),
    test!(overwrite_of_what_was_read_loses_nothing),
    test!(overwrite_by_one_long_write_keeps_its_end),
    test!(overwrite_gives_up_no_more_than_can_be_read),
    test!(overwrite_tells_in_the_header_what_is_missing_before_it),
    test!(overwrite_never_keeps_a_writer_waiting),
    test!(overwrite_goes_on_under_a_sleeping_reader),
    test!(flight_recorder_survives_the_death_of_its_writer),
    test!(lapped_in_a_fault_it_goes_on_at_the_oldest),
    test!(lapped_all_the_time_it_reads_nothing_torn).seconds(60),
    test!(pollpri_says_that_something_was_missed),
    test!(pollpri_stays_when_it_was_read_on),
    test!(pollpri_goes_when_somebody_asks_how_much),
    test!(pollpri_comes_back_with_the_next_loss),
    test!(pollpri_wakes_who_waits_for_it),
    test!(pollpri_outlives_reads_that_fail_and_seeks),
    test!(pollpri_outlives_an_answer_that_cannot_be_stored),
    test!(pollpri_goes_with_the_header_that_tells),
    test!(pollpri_says_nothing_twice),
    test!(pollpri_tells_of_a_clear),
    test!(pollpri_is_never_said_where_nothing_was_lost),
    test!(pollpri_is_never_said_whatever_happens_but_a_loss).seconds(40),
    test!(pollpri_outlives_whoever_looks_on),
];

const SMALL: usize = 4096;

const PRI: PollFlags = PollFlags::POLLPRI;

/// The kinds that are overwritten.
fn kinds() -> Kinds {
    Kind::all().filter(|kind| kind.overwrites())
}

fn overwrite_of_a_stream_keeps_the_newest_bytes() {
    for kind in kinds().filter(|kind| kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for round in 0..10 {
            writer.put(&pattern(round * 1000, 1000));
        }
        assert_eq!(reader.available(), SMALL);
        assert_pattern(&reader.take(SMALL).expect("read"), 10_000 - SMALL as u64);
        assert_eq!(reader.available(), 0);
    }
}

fn overwrite_of_records_keeps_the_newest_whole_ones() {
    for kind in kinds().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut random = Random::new(1);
        let lengths: Vec<_> = (0..200).map(|_| random.up_to(1000) as usize).collect();
        for (number, length) in lengths.iter().enumerate() {
            writer.put(&vec![number as u8; *length]);
        }
        // As many as fit, from the end; and no more was given up than had to be.
        let mut there = 0;
        let mut size = 0;
        for length in lengths.iter().rev() {
            size += stored(*length);
            if size > SMALL {
                break;
            }
            there += 1;
        }
        for (number, length) in lengths.iter().enumerate().skip(200 - there) {
            let message = reader.take(SMALL).expect("read");
            assert_eq!(message, vec![number as u8; *length]);
        }
        assert_eq!(reader.available(), 0);
        assert_eq!(reader.cursor().records_lost, 200 - there as u64);
    }
}

fn overwrite_counts_exactly_what_was_lost() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut random = Random::new(2);
        let (mut sent, mut received) = (0, 0);
        for _ in 0..by_lane(300, 60) {
            for _ in 0..random.up_to(20) {
                writer.put(&[b'x'; 200]);
                sent += 1;
            }
            let cursor = reader.cursor();
            let (lost, unit) = if kind.is_stream() {
                (cursor.bytes_lost, 200)
            } else {
                (cursor.records_lost, 1)
            };
            // What is lost is known before it is missed.
            let unread = if kind.is_stream() {
                cursor.unread
            } else {
                cursor.unread / stored(200) as u64
            };
            assert_eq!(received + lost + unread, sent * unit, "{kind}");
            for _ in 0..random.up_to(8) {
                if reader.available() == 0 {
                    break;
                }
                let count = reader.take(200).expect("read").len() as u64;
                received += if kind.is_stream() { count } else { 1 };
            }
        }
        let cursor = reader.cursor();
        note!("{kind}: of {sent} writes {received} received, {cursor:?}");
        assert!(cursor.records_lost + cursor.bytes_lost > 0);
        if kind.is_stream() {
            assert_eq!(cursor.records_lost, 0);
        } else {
            assert_eq!(cursor.bytes_lost, 0);
        }
    }
}

fn overwrite_of_what_was_read_loses_nothing() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for round in 0..100 {
            writer.put(&pattern(round, 700));
            assert_eq!(reader.take(SMALL), Ok(pattern(round, 700)));
        }
        let cursor = reader.cursor();
        assert_eq!((cursor.records_lost, cursor.bytes_lost), (0, 0));
        assert_eq!(reader.ready(PRI), PollFlags::empty());
    }
}

fn overwrite_by_one_long_write_keeps_its_end() {
    let ring = Ring::small(STREAM.overwriting());
    let both = ring.both();
    both.put(b"old");
    let bytes = pattern(0, 200_000);
    both.put(&bytes);
    assert_eq!(both.take(2 * SMALL), Ok(bytes[200_000 - SMALL..].to_vec()));
    assert_eq!(both.cursor().bytes_lost, 200_003 - SMALL as u64);
    assert_eq!(both.info().bytes_in, 200_003);
}

fn overwrite_gives_up_no_more_than_can_be_read() {
    let kind = kinds().find(|kind| kind.is_stream()).expect("there is one");
    let ring = Ring::small(kind);
    let (reader, writer) = (ring.reader(), ring.writer());
    writer.put(&[b'a'; SMALL]);
    // Of all these bytes one is there; the other ones take no room.
    let pages = Pages::map(1);
    pages.put(PAGE - 1, b"b");
    assert_eq!(writer.write_from(pages.span(PAGE - 1, 3000)), Ok(1));
    assert_eq!(reader.cursor().bytes_lost, 1);
    let read = reader.take_exactly(SMALL);
    assert_eq!(read[..SMALL - 1], [b'a'; SMALL - 1]);
    assert_eq!(read[SMALL - 1], b'b');
}

fn overwrite_tells_in_the_header_what_is_missing_before_it() {
    for kind in kinds().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        let mut random = Random::new(3);
        let (mut next, mut lost) = (0, 0);
        for _ in 0..100 {
            for _ in 0..random.up_to(40) {
                writer.put(&vec![b'x'; random.up_to(400) as usize]);
            }
            for (header, _) in reader
                .take_records(random.up_to(4096).max(500) as usize)
                .expect("read")
            {
                assert_eq!(header.sequence, next + header.lost, "{kind}");
                next = header.sequence + 1;
                lost += header.lost;
            }
        }
        while reader.available() > 0 {
            let records = reader.take_records(SMALL).expect("read");
            assert!(records.iter().all(|(header, _)| header.lost == 0));
        }
        assert_eq!(reader.cursor().records_lost, lost);
        assert_eq!(reader.cursor().records_out + lost, writer.info().records_in);
        assert!(lost > 0);
    }
}

fn overwrite_never_keeps_a_writer_waiting() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let writer = ring.writer();
        // Not even the reader that keeps a hangup ring writable reads anything.
        let _reader = ring.reader();
        for _ in 0..500 {
            assert_eq!(writer.ready(PollFlags::POLLOUT), PollFlags::POLLOUT);
            writer.put(&[0; 1000]);
        }
        assert_eq!(writer.info().writer_sleeps, 0);
        assert_eq!(writer.info().records_dropped, 0);
    }
}

fn overwrite_goes_on_under_a_sleeping_reader() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(SMALL));
        for number in 0..100_u8 {
            writer.put(&[number; 500]);
        }
        let got = sleeper.finish().expect("read");
        assert!(!got.is_empty());
        let first = got[0];
        assert!(first <= 99);
        if !kind.is_stream() {
            assert_eq!(got, vec![first; 500]);
        }
    }
}

fn flight_recorder_survives_the_death_of_its_writer() {
    let ring = Ring::new(RECORD.overwriting(), 1 << 16);
    let writer = Process::fork(|| {
        let writer = ring.writer();
        for number in 0_u64.. {
            writer.put(format!("event {number}").as_bytes());
        }
    });
    // It has been round at least once when it dies, at a point that nobody chose.
    while ring.info().bytes_in < 1 << 18 {
        std::thread::yield_now();
    }
    writer.kill_for_good();
    let info = ring.info();
    assert_eq!((info.readers, info.writers), (0, 0));
    // Only now somebody comes to look.
    let reader = ring.reader();
    reader.set_headers(true);
    reader.set_nonblocking(true);
    let mut events = Vec::new();
    while let Ok(records) = reader.take_records(1 << 15) {
        events.extend(records);
    }
    note!("{} of {} events are there", events.len(), info.records_in);
    let first = events[0].0.sequence;
    for ((header, payload), number) in events.iter().zip(first..) {
        assert_eq!(header.sequence, number);
        assert_eq!(*payload, format!("event {number}").into_bytes());
    }
    // Up to the very last that a write returned for.
    assert_eq!(first + events.len() as u64, info.records_in);
    assert_eq!(events[0].0.lost, first);
    assert_eq!(reader.cursor().records_lost, first);
    let size: usize = events.iter().map(|event| stored(event.1.len())).sum();
    assert!(size > (1 << 16) - 100, "and the ring is full of them");
}

/// A reader stalls in a page fault. Meanwhile the ring goes round several times. What it gets is
/// from the oldest on, whole, and all that is missing is counted.
fn lapped_in_a_fault_it_goes_on_at_the_oldest() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let slow = SlowPages::map(1);
        let span = slow.pages.span(0, 500);
        writer.put(&[b'a'; 500]);
        let stalled = Task::spawn(move || reader.read_to(span));
        assert_eq!(slow.await_fault(), 0);
        for number in 0..100 {
            writer.put(&[number; 500]);
        }
        slow.provide(0, &[0; SMALL]);
        assert_eq!(stalled.finish(), Ok(500));
        let got = slow.pages.get(0, 500);
        let cursor = reader.cursor();
        if kind.is_stream() {
            let mut all = vec![b'a'; 500];
            all.extend((0..100).flat_map(|number| [number; 500]));
            assert_eq!(got, all[all.len() - SMALL..][..500]);
            assert_eq!(cursor.bytes_lost, (all.len() - SMALL) as u64);
        } else {
            let there = SMALL / stored(500);
            assert_eq!(got, vec![100 - there as u8; 500]);
            assert_eq!(cursor.records_lost, 101 - there as u64);
        }
    }
}

/// Nothing but writers and readers at full speed, in a ring that is as small as can be.
fn lapped_all_the_time_it_reads_nothing_torn() {
    for kind in kinds().filter(|kind| !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let task = Task::spawn(move || {
            let mut sender = Sender::new(writer, kind, 1);
            sender.send_many(by_lane(30_000, 4000));
            sender.account
        });
        let mut receiver = Receiver::new(reader, kind);
        while !task.is_finished() {
            receiver.drain();
        }
        let sent = task.finish();
        receiver.drain();
        let cursor = reader.cursor();
        note!(
            "{kind}: {} of {} received",
            receiver.account.received,
            sent.sent
        );
        let lost = cursor.bytes_lost + cursor.records_lost;
        assert_eq!(receiver.account.received + lost, sent.sent);
    }
}

fn pollpri_says_that_something_was_missed() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        while reader.cursor().unread as usize + Header::SIZE + 400 <= SMALL {
            assert_eq!(reader.ready(PRI), PollFlags::empty());
            writer.put(&[0; 400]);
        }
        for _ in 0..2 {
            writer.put(&[0; 400]);
        }
        assert_eq!(
            reader.ready(PRI | PollFlags::POLLIN),
            PRI | PollFlags::POLLIN,
            "{kind}"
        );
        // It is of no interest to those who write.
        assert_eq!(writer.ready(PRI), PollFlags::empty());
    }
}

fn pollpri_stays_when_it_was_read_on() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..20 {
            writer.put(&[0; 400]);
        }
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        reader.drain();
        assert_eq!(
            reader.ready(PRI),
            PRI,
            "{kind}: nobody has asked how much yet"
        );
        reader.cursor();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

fn pollpri_goes_when_somebody_asks_how_much() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..20 {
            writer.put(&[0; 400]);
        }
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        let cursor = reader.cursor();
        assert!(cursor.records_lost + cursor.bytes_lost > 0);
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}: it was told");
    }
}

fn pollpri_comes_back_with_the_next_loss() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..5 {
            for _ in 0..20 {
                writer.put(&[0; 400]);
            }
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
            reader.drain();
            reader.cursor();
        }
    }
}

fn pollpri_wakes_who_waits_for_it() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(&[0; 400]);
        let poll = Task::asleep_in(Call::POLL, move || reader.poll(PRI, PollTimeout::NONE));
        let epoll = Task::asleep_in(Call::EPOLL_WAIT, move || {
            let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
            set.add(reader, EpollEvent::new(EpollFlags::EPOLLPRI, 0))
                .expect("add");
            let mut events = [EpollEvent::empty()];
            set.wait(&mut events, EpollTimeout::NONE)
                .map(|_| events[0].events())
        });
        for _ in 0..20 {
            writer.put(&[0; 400]);
        }
        assert_eq!(poll.finish(), Ok(PRI), "{kind}");
        assert_eq!(epoll.finish(), Ok(EpollFlags::EPOLLPRI), "{kind}");
    }
}

/// Laps whoever has read all there is.
fn lap(writer: Endpoint) {
    for _ in 0..20 {
        writer.put(&[0; 400]);
    }
}

fn pollpri_outlives_reads_that_fail_and_seeks() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        lap(writer);
        // Each of these finds out, and tells nobody.
        assert!(reader.available() > 0);
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        assert_eq!(reader.read_to(Span::null(400)), Err(Errno::EFAULT));
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        if !kind.is_stream() {
            assert_eq!(reader.take(10), Err(Errno::EMSGSIZE));
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
        }
        if kind.is_broadcast() {
            reader.drain();
            reader.cursor();
            lap(writer);
            lseek64(reader, 0, Whence::SeekEnd).expect("lseek");
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
            lseek64(reader, 0, Whence::SeekSet).expect("lseek");
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
        }
        reader.cursor();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

fn pollpri_outlives_an_answer_that_cannot_be_stored() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        lap(writer);
        let pages = Pages::map(1);
        let size = size_of::<abi::Cursor>();
        pages.put(0, &(size as u32).to_ne_bytes());
        pages.protect(0, 1, ProtFlags::PROT_READ);
        let answer = abi::call_at(reader, abi::CURSOR, pages.span(0, size));
        assert_eq!(answer, Err(Errno::EFAULT), "{kind}");
        assert_eq!(reader.ready(PRI), PRI, "{kind}: nobody was told");
        reader.cursor();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

fn pollpri_goes_with_the_header_that_tells() {
    for kind in kinds().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        for _ in 0..3 {
            lap(writer);
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
            let records = reader.take_records(SMALL).expect("read");
            assert!(records[0].0.lost > 0);
            assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
        }
        // What was lost before a record that came without a header, no later one tells.
        lap(writer);
        reader.set_headers(false);
        reader.take(400).expect("read");
        reader.set_headers(true);
        lap(writer);
        reader.take_records(SMALL).expect("read");
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        reader.cursor();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

fn pollpri_says_nothing_twice() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        lap(writer);
        let told = reader.cursor();
        // The records before which it was lost are read afterwards only.
        reader.drain();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
        let cursor = reader.cursor();
        assert_eq!(cursor.records_lost, told.records_lost);
        assert_eq!(cursor.bytes_lost, told.bytes_lost);
    }
}

fn pollpri_tells_of_a_clear() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        ring.clear();
        assert_eq!(
            reader.ready(PRI),
            PollFlags::empty(),
            "{kind}: it was empty"
        );
        writer.put(&[0; 400]);
        let poll = Task::asleep_in(Call::POLL, move || reader.poll(PRI, PollTimeout::NONE));
        ring.clear();
        assert_eq!(poll.finish(), Ok(PRI), "{kind}");
        let cursor = reader.cursor();
        assert!(cursor.records_lost + cursor.bytes_lost > 0);
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

fn pollpri_is_never_said_where_nothing_was_lost() {
    for kind in Kind::all().filter(|kind| !kind.overwrites()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.set_nonblocking(true);
        while writer.write(&[0; 400]).is_ok() {}
        assert!(matches!(
            writer.write(&[0; 400]),
            Err(Errno::EAGAIN | Errno::ENOBUFS)
        ));
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
        reader.drain();
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

/// Whatever may be read: what is said of a file by the kernel, of the ring by whoever asks.
fn look_on(ring: &Ring, end: Endpoint) {
    end.info();
    end.available();
    end.ready(PRI);
    ring.info();
    ring.cursors();
    let fdinfo = format!("/proc/self/fdinfo/{}", end.as_raw_fd());
    let text = fs::read_to_string(fdinfo).expect("read fdinfo");
    assert!(text.contains("cursor-id"), "{text}");
    // A kernel may be without.
    let _ = fs::read_to_string(format!("/sys/kernel/debug/ringdev/{}", ring.name()));
}

/// Does at random what loses nothing. What is read and then overwritten is no loss, nor is what a
/// reader leaves out by lseek(2), nor what was there before it came.
fn pollpri_is_never_said_whatever_happens_but_a_loss() {
    for kind in Kind::all() {
        let mut capacity = 1 << 14;
        let ring = Ring::new(kind, capacity);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_nonblocking(true);
        writer.set_nonblocking(true);
        let mut random = Random::new(11);
        for step in 0..by_lane(400, 80) {
            let length = random.up_to(capacity / 4) as usize;
            let takes = if kind.is_stream() {
                length
            } else {
                stored(length)
            };
            let room = capacity - ring.info().unread;
            match random.up_to(12) {
                // It fits, exactly or not.
                1..=4 if takes as u64 <= room => writer.put(&vec![0; length]),
                1..=4 if kind.is_stream() => writer.put(&vec![0; room as usize]),
                5 | 6 => {
                    let read = reader.take(capacity as usize);
                    assert!(matches!(read, Ok(_) | Err(Errno::EAGAIN)), "{read:?}");
                }
                7 => {
                    let read = reader.read_to(Span::null(PAGE));
                    assert!(matches!(
                        read,
                        Err(Errno::EFAULT | Errno::EAGAIN | Errno::EMSGSIZE)
                    ));
                    let short = reader.take(1);
                    assert!(matches!(
                        short,
                        Ok(_) | Err(Errno::EAGAIN | Errno::EMSGSIZE)
                    ));
                    assert_eq!(reader.take(0), Ok(Vec::new()));
                    let written = writer.write_from(Span::null(100));
                    let refused = [Errno::EFAULT, Errno::EAGAIN, Errno::ENOBUFS];
                    assert!(written.is_err_and(|error| refused.contains(&error)));
                }
                8 => look_on(&ring, reader),
                9 => {
                    let asked = 1 << (13 + random.up_to(3));
                    match ring.resize(asked) {
                        Ok(()) => capacity = asked,
                        Err(error) => assert_eq!(error, Errno::EBUSY),
                    }
                }
                10 if kind.is_broadcast() => {
                    let to = [Whence::SeekSet, Whence::SeekEnd];
                    let to = to[random.up_to(2) as usize - 1];
                    lseek64(reader, 0, to).expect("lseek");
                }
                // One that comes late, and has missed nothing since.
                11 => {
                    let other = Endpoint::keep(ring.open(OFlag::O_RDONLY));
                    assert_eq!(other.ready(PRI), PollFlags::empty(), "{kind}, step {step}");
                    close(other.as_raw_fd()).expect("close");
                }
                // Of nothing.
                12 if room == capacity => ring.clear(),
                _ => {}
            }
            assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}, step {step}");
        }
        assert_eq!(writer.ready(PRI), PollFlags::empty());
        // One byte or record that nobody has read, and is lost.
        reader.drain();
        writer.put(b"x");
        ring.clear();
        assert_eq!(reader.ready(PRI), PRI, "{kind}");
        let cursor = reader.cursor();
        assert_eq!(cursor.records_lost + cursor.bytes_lost, 1, "{kind}");
        assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
    }
}

/// To be told of a loss is to ask for it at the endpoint, or to read it in a header.
fn pollpri_outlives_whoever_looks_on() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut lost = 0;
        for _ in 0..2 {
            writer.put(b"gone");
            lost += if kind.is_stream() { 4 } else { 1 };
            ring.clear();
            for _ in 0..2 {
                look_on(&ring, reader);
                assert_eq!(reader.ready(PRI), PRI, "{kind}");
            }
            // Another process looks on.
            Process::fork(|| {
                let parent = nix::unistd::getppid();
                let fdinfo = format!("/proc/{parent}/fdinfo/{}", reader.as_raw_fd());
                let text = fs::read_to_string(fdinfo).expect("read fdinfo");
                assert!(text.contains(&format!("-lost:\t{lost}\n")), "{text}");
            })
            .finish();
            assert_eq!(reader.ready(PRI), PRI, "{kind}");
            reader.cursor();
            assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
            // What was told stays told, whoever looks.
            look_on(&ring, reader);
            assert_eq!(reader.ready(PRI), PollFlags::empty(), "{kind}");
        }
    }
}
