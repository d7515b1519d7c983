// SPDX-License-Identifier: GPL-2.0

//! What a ring and a cursor tell of themselves, by ioctl(2) and in fdinfo.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::abi::{Info, stored};
use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, test};
use crate::task::{Call, Process, Task};
use crate::words::{Receiver, Sender};

pub const TESTS: &[Test] = &[
    test!(info_counts_what_goes_in_and_out),
    test!(info_counts_no_records_of_a_stream),
    test!(info_counts_what_is_dropped),
    test!(info_counts_endpoints),
    test!(info_remembers_what_readers_have_read_that_are_gone),
    test!(info_keeps_the_high_water),
    test!(info_counts_sleeps_and_wakes),
    test!(info_of_no_call_that_failed_changes),
    test!(info_never_runs_backwards),
    test!(cursor_and_info_agree),
    test!(cursor_of_a_writer_is_ebadf),
    test!(fdinfo_and_ioctl_agree),
    test!(fdinfo_of_another_process_can_be_read),
];

fn info_counts_what_goes_in_and_out() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for length in [10, 20, 30] {
            writer.put(&vec![b'x'; length]);
        }
        let unread = if kind.is_stream() {
            60
        } else {
            stored(10) + stored(20) + stored(30)
        };
        let info = ring.info();
        assert_eq!((info.bytes_in, info.bytes_out), (60, 0), "{kind}");
        assert_eq!(
            (info.unread, reader.cursor().unread),
            (unread as u64, unread as u64)
        );
        reader.take(10).expect("read");
        let info = ring.info();
        assert_eq!((info.bytes_in, info.bytes_out), (60, 10));
        let records = if kind.is_stream() { 0 } else { 1 };
        assert_eq!(
            (info.records_out, reader.cursor().records_out),
            (records, records)
        );
        assert_eq!(reader.cursor().bytes_out, 10);
        if !kind.is_stream() {
            assert_eq!(info.records_in, 3);
        }
    }
}

/// The header says of `records_in`: records that were taken; 0 for a stream.
fn info_counts_no_records_of_a_stream() {
    for kind in Kind::all().filter(|kind| kind.is_stream()) {
        let ring = Ring::small(kind);
        let (_reader, writer) = (ring.reader(), ring.writer());
        for length in [10, 20, 30] {
            writer.put(&vec![b'x'; length]);
        }
        assert_eq!(ring.info().records_in, 0, "{kind}");
    }
}

// errno: write ENOBUFS
fn info_counts_what_is_dropped() {
    for kind in Kind::all().filter(|kind| kind.drops()) {
        let ring = Ring::small(kind);
        let (_reader, writer) = (ring.reader(), ring.writer());
        let fits = if kind.is_stream() { 4 } else { 3 };
        for _ in 0..fits {
            writer.put(&[b'x'; 1024]);
        }
        for _ in 0..5 {
            assert_eq!(writer.write(&[b'x'; 1024]), Err(Errno::ENOBUFS));
        }
        let info = ring.info();
        assert_eq!(
            (info.records_dropped, info.bytes_dropped),
            (5, 5 * 1024),
            "{kind}"
        );
        assert_eq!(info.bytes_in, fits * 1024);
    }
    // Of a stream what fits goes in, and nothing is dropped.
    let ring = Ring::small(STREAM.dropping());
    let writer = ring.writer();
    assert_eq!(writer.write(&[b'x'; 5000]), Ok(4096));
    assert_eq!(
        (ring.info().records_dropped, ring.info().bytes_dropped),
        (0, 0)
    );
}

fn info_counts_endpoints() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let count = || (ring.info().readers, ring.info().writers);
        assert_eq!(count(), (0, 0));
        let reader = ring.open(OFlag::O_RDONLY);
        let writer = ring.open(OFlag::O_WRONLY);
        let both = ring.open(OFlag::O_RDWR);
        assert_eq!(count(), (2, 2));
        let duplicate = reader.try_clone().expect("dup");
        assert_eq!(count(), (2, 2));
        drop(reader);
        assert_eq!(count(), (2, 2));
        drop(duplicate);
        assert_eq!(count(), (1, 2));
        drop(both);
        assert_eq!(count(), (0, 1));
        drop(writer);
        assert_eq!(count(), (0, 0));
    }
}

fn info_remembers_what_readers_have_read_that_are_gone() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let _stays = ring.reader();
        let writer = ring.writer();
        for round in 1..=3 {
            writer.put(b"ten bytes!");
            let reader = ring.open(OFlag::O_RDONLY);
            let count = nix::unistd::read(&reader, &mut [0; 10]);
            assert_eq!(count, Ok(10));
            drop(reader);
            assert_eq!(ring.info().bytes_out, 10 * round, "{kind}");
            let records = if kind.is_stream() { 0 } else { round };
            assert_eq!(ring.info().records_out, records, "{kind}");
        }
    }
}

fn info_keeps_the_high_water() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..3 {
            writer.put(&[b'x'; 900]);
        }
        let most = ring.info().unread;
        assert_eq!(ring.info().high_water, most, "{kind}");
        reader.drain();
        let info = ring.info();
        assert_eq!((info.unread, info.high_water), (0, most));
        writer.put(b"x");
        assert_eq!(ring.info().high_water, most);
    }
}

fn info_counts_sleeps_and_wakes() {
    let ring = Ring::small(STREAM);
    let both = ring.both();
    let before = ring.info();
    let counts = |info: Info| {
        [
            info.reader_sleeps,
            info.reader_wakes,
            info.writer_sleeps,
            info.writer_wakes,
        ]
    };
    assert_eq!(counts(before), [0; 4]);
    for round in 1..=3 {
        let reader = Task::asleep_in(Call::READ, move || both.take(10));
        both.put(b"x");
        reader.finish().expect("read");
        assert_eq!(counts(ring.info())[..2], [round; 2]);
        both.fill();
        let writer = Task::asleep_in(Call::WRITE, move || both.write(b"x"));
        both.take_exactly(4096);
        writer.finish().expect("write");
        assert_eq!(counts(ring.info())[2..], [round; 2]);
        both.drain();
    }
    // Who need not sleep does not.
    both.put(b"x");
    both.take_exactly(1);
    assert_eq!(counts(ring.info()), [3; 4]);
}

fn info_of_no_call_that_failed_changes() {
    let ring = Ring::small(RECORD);
    let both = ring.both();
    both.put(&[b'x'; 1000]);
    let before = (ring.info(), both.cursor());
    both.set_nonblocking(true);
    assert_eq!(both.take(10), Err(Errno::EMSGSIZE));
    assert_eq!(both.write(&[0; 2000]), Err(Errno::EMSGSIZE));
    assert_eq!(
        both.read_to(crate::memory::Span::null(1000)),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        both.write_from(crate::memory::Span::null(1000)),
        Err(Errno::EFAULT)
    );
    assert_eq!((ring.info(), both.cursor()), before);
}

fn info_never_runs_backwards() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let sender = Task::spawn(move || {
            Sender::new(writer, kind, 1).send_many(by_lane(3000, 300));
        });
        let mut receiver = Receiver::new(reader, kind);
        let mut before = ring.info();
        while !sender.is_finished() {
            receiver.drain();
            let info = ring.info();
            let counts = |info: Info| {
                [
                    info.records_in,
                    info.bytes_in,
                    info.records_dropped,
                    info.bytes_dropped,
                    info.records_lost,
                    info.bytes_lost,
                    info.records_out,
                    info.bytes_out,
                    info.high_water,
                    info.writer_sleeps,
                    info.writer_wakes,
                ]
            };
            let pairs = counts(before).into_iter().zip(counts(info));
            assert!(
                pairs.into_iter().all(|(old, new)| old <= new),
                "{before:?} {info:?}"
            );
            assert!(info.unread <= info.high_water && info.high_water <= 4096);
            before = info;
        }
        sender.finish();
    }
}

fn cursor_and_info_agree() {
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut sender = Sender::new(writer, kind, 1);
        let mut receiver = Receiver::new(reader, kind);
        for _ in 0..200 {
            writer.set_nonblocking(true);
            // A stream may be full in the middle of a message.
            let sent = sender.send_any();
            assert!(matches!(sent, Ok(()) | Err(Errno::EAGAIN)), "{sent:?}");
            if reader.available() > 3000 {
                receiver.receive().expect("read");
                receiver.receive().expect("read");
            }
            let (info, cursor) = (ring.info(), reader.cursor());
            assert_eq!(info.unread, cursor.unread, "{kind}");
            assert_eq!(
                (info.records_out, info.bytes_out),
                (cursor.records_out, cursor.bytes_out)
            );
            let lost = (cursor.records_lost, cursor.bytes_lost);
            assert_eq!((info.records_lost, info.bytes_lost), lost);
            if kind.is_stream() {
                assert_eq!(
                    info.bytes_in,
                    info.bytes_out + info.bytes_lost + info.unread
                );
            }
        }
    }
}

// errno: CURSOR EBADF
fn cursor_of_a_writer_is_ebadf() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        assert_eq!(ring.writer().try_cursor(), Err(Errno::EBADF));
    }
}

/// What fdinfo says of a descriptor, by name.
fn fdinfo(process: &str, end: Endpoint) -> HashMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{}", end.as_raw_fd()));
    text.expect("read fdinfo")
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn fdinfo_and_ioctl_agree() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..3 {
            writer.put(&[b'x'; 900]);
        }
        reader.take(900).expect("read");
        if !kind.blocks() {
            for _ in 0..5 {
                let _ = writer.write(&[b'x'; 900]);
            }
        }
        let (info, cursor) = (reader.info(), reader.cursor());
        let ring_says = [
            ("ring-id", info.id),
            ("ring-capacity", info.capacity),
            ("ring-unread", info.unread),
            ("ring-high-water", info.high_water),
            ("ring-readers", info.readers.into()),
            ("ring-writers", info.writers.into()),
            ("ring-records-in", info.records_in),
            ("ring-bytes-in", info.bytes_in),
            ("ring-records-dropped", info.records_dropped),
            ("ring-bytes-dropped", info.bytes_dropped),
        ];
        let cursor_says = [
            ("cursor-id", cursor.id),
            ("cursor-unread", cursor.unread),
            ("cursor-records-out", cursor.records_out),
            ("cursor-bytes-out", cursor.bytes_out),
            ("cursor-records-lost", cursor.records_lost),
            ("cursor-bytes-lost", cursor.bytes_lost),
        ];
        let (of_reader, of_writer) = (fdinfo("self", reader), fdinfo("self", writer));
        for (name, value) in ring_says {
            assert_eq!(of_reader[name], value.to_string(), "{name}, {kind}");
            assert_eq!(of_writer[name], value.to_string(), "{name}, {kind}");
        }
        for (name, value) in cursor_says {
            assert_eq!(of_reader[name], value.to_string(), "{name}, {kind}");
            assert!(!of_writer.contains_key(name));
        }
    }
}

fn fdinfo_of_another_process_can_be_read() {
    let ring = Ring::small(STREAM);
    let reader = ring.reader();
    let process = Process::asleep_in(Call::READ, || {
        let _ = reader.take(10);
    });
    let pid = process.sleeper.tid().to_string();
    assert_eq!(fdinfo(&pid, reader)["ring-readers"], "1");
    process.kill_for_good();
}
