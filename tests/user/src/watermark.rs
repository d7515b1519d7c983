// SPDX-License-Identifier: GPL-2.0

//! The watermark of a reader: it is left alone until it is worth its while, or has waited long
//! enough.
//!
//! What has to be left alone has a delay of a minute, longer than any test takes; what has to be
//! told in the end has a short one.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::task::{Call, Task};

pub const TESTS: &[Test] = &[
    test!(watermark_takes_what_can_be_reached),
    test!(watermark_refuses_what_makes_no_sense),
    test!(watermark_lets_a_reader_sleep_until_it_is_reached),
    test!(watermark_lets_a_poller_sleep_until_it_is_reached),
    test!(watermark_lets_an_edge_triggered_poller_sleep_until_it_is_reached),
    test!(watermark_delay_ends_a_sleeping_read),
    test!(watermark_delay_ends_a_poll),
    test!(watermark_delay_begins_anew_with_each_batch),
    test!(watermark_keeps_no_data_from_a_read),
    test!(watermark_gives_way_to_a_writer_that_waits),
    test!(watermark_gives_way_to_the_end),
    test!(watermark_lowered_wakes_who_waits),
    test!(watermark_is_of_the_cursor),
    test!(watermark_counts_headers),
];

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(50);

const IN: PollFlags = PollFlags::POLLIN;

/// A ring with a reader that has this watermark, and a writer.
fn ring_with(kind: Kind, bytes: u64, delay: Duration) -> (Ring, Endpoint, Endpoint) {
    let ring = Ring::new(kind, 1 << 14);
    let (reader, writer) = (ring.reader(), ring.writer());
    reader
        .set_watermark(bytes, delay)
        .expect("set the watermark");
    (ring, reader, writer)
}

/// Runs a thread that polls, and returns what it is told.
fn poller(reader: Endpoint) -> Task<nix::Result<PollFlags>> {
    Task::asleep_in(Call::POLL, move || reader.poll(IN, PollTimeout::NONE))
}

/// Writes 1000 bytes, which are more in a ring with records, but not as much as 1100.
fn write_1000(writer: Endpoint) {
    writer.put(&[b'x'; 1000]);
}

fn watermark_takes_what_can_be_reached() {
    let ring = Ring::small(STREAM);
    let reader = ring.reader();
    assert_eq!(
        (reader.cursor().watermark, reader.cursor().delay_ns),
        (0, 0)
    );
    for (bytes, delay) in [
        (2048, MINUTE),
        (2, Duration::from_nanos(1)),
        (1, Duration::ZERO),
        (1, SOON),
        (0, MINUTE),
        (0, Duration::ZERO),
    ] {
        assert_eq!(
            reader.set_watermark(bytes, delay),
            Ok(()),
            "{bytes} {delay:?}"
        );
        let cursor = reader.cursor();
        assert_eq!(cursor.watermark, bytes);
        assert_eq!(u128::from(cursor.delay_ns), delay.as_nanos());
        assert_eq!(ring.cursors(), [cursor]);
    }
}

// errno: WATERMARK EBADF EINVAL
fn watermark_refuses_what_makes_no_sense() {
    let ring = Ring::small(RECORD);
    let (reader, writer) = (ring.reader(), ring.writer());
    reader.set_watermark(1000, SOON).expect("set the watermark");
    for (bytes, delay) in [
        (2049, MINUTE),
        (u64::MAX, MINUTE),
        (2, Duration::ZERO),
        (2, MINUTE + Duration::from_nanos(1)),
        (0, MINUTE * 2),
        (2, Duration::from_nanos(u64::MAX)),
    ] {
        let refused = reader.set_watermark(bytes, delay);
        assert_eq!(refused, Err(Errno::EINVAL), "{bytes} {delay:?}");
    }
    assert_eq!(reader.cursor().watermark, 1000);
    assert_eq!(writer.set_watermark(1000, SOON), Err(Errno::EBADF));
}

fn watermark_lets_a_reader_sleep_until_it_is_reached() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(1 << 14));
        for _ in 0..4 {
            write_1000(writer);
        }
        sleeper.sleeper.await_sleep_in(Call::READ);
        sleeper
            .sleeper
            .sleeps_through(Call::READ, || write_1000(writer));
        write_1000(writer);
        let got = sleeper.finish().expect("read").len();
        assert_eq!(got, if kind.is_stream() { 6000 } else { 1000 }, "{kind}");
    }
}

fn watermark_lets_a_poller_sleep_until_it_is_reached() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let poller = poller(reader);
        for _ in 0..5 {
            write_1000(writer);
            assert_eq!(reader.ready(IN), PollFlags::empty(), "{kind}");
        }
        poller.sleeper.await_sleep_in(Call::POLL);
        write_1000(writer);
        assert_eq!(poller.finish(), Ok(IN));
        assert_eq!(reader.ready(IN), IN);
        // Read below it again.
        reader.take(1000).expect("read");
        assert_eq!(reader.ready(IN), PollFlags::empty());
    }
}

fn watermark_lets_an_edge_triggered_poller_sleep_until_it_is_reached() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let waiter = Task::asleep_in(Call::EPOLL_WAIT, move || {
            let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
            let edge = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
            set.add(reader, edge).expect("add");
            set.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)
        });
        for _ in 0..5 {
            write_1000(writer);
        }
        waiter.sleeper.await_sleep_in(Call::EPOLL_WAIT);
        waiter.sleeper.sleeps_through(Call::EPOLL_WAIT, || {});
        write_1000(writer);
        assert_eq!(waiter.finish(), Ok(1), "{kind}");
    }
}

fn watermark_delay_ends_a_sleeping_read() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, SOON);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(1 << 14));
        let start = Instant::now();
        write_1000(writer);
        assert_eq!(
            sleeper.finish().map(|bytes| bytes.len()),
            Ok(1000),
            "{kind}"
        );
        assert!(
            start.elapsed() >= SOON,
            "{:?} is too early",
            start.elapsed()
        );
    }
}

fn watermark_delay_ends_a_poll() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, SOON);
        // Whoever polled before it came, and whoever comes when it is there.
        let before = poller(reader);
        let start = Instant::now();
        write_1000(writer);
        assert_eq!(before.finish(), Ok(IN), "{kind}");
        assert!(
            start.elapsed() >= SOON,
            "{:?} is too early",
            start.elapsed()
        );
        assert_eq!(reader.ready(IN), IN, "and it stays so");
        reader.take(1 << 14).expect("read");
        let start = Instant::now();
        write_1000(writer);
        // Who is not let run for so long may look too late.
        let ready = reader.ready(IN);
        assert!(ready.is_empty() || start.elapsed() >= SOON, "{kind}");
        assert_eq!(reader.poll(IN, PollTimeout::NONE), Ok(IN));
    }
}

fn watermark_delay_begins_anew_with_each_batch() {
    let (_, reader, writer) = ring_with(STREAM, 5500, SOON);
    for _ in 0..5 {
        let poller = poller(reader);
        let start = Instant::now();
        write_1000(writer);
        assert_eq!(poller.finish(), Ok(IN));
        assert!(
            start.elapsed() >= SOON,
            "{:?} is too early",
            start.elapsed()
        );
        reader.take(1 << 14).expect("read");
    }
}

fn watermark_keeps_no_data_from_a_read() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        write_1000(writer);
        assert_eq!(reader.ready(IN), PollFlags::empty());
        assert_eq!(
            reader.take(1000).map(|bytes| bytes.len()),
            Ok(1000),
            "{kind}"
        );
        write_1000(writer);
        reader.set_nonblocking(true);
        assert_eq!(
            reader.take(1000).map(|bytes| bytes.len()),
            Ok(1000),
            "{kind}"
        );
    }
}

/// Nothing more can come as long as somebody waits for room. In a ring that readers share a
/// writer waits for the watermark only if its record is a long one: the ring is more than half
/// full then. With cursors of their own, a reader that has nothing to do may wait for a writer
/// that waits for another reader.
fn watermark_gives_way_to_a_writer_that_waits() {
    for kind in Kind::all().filter(|kind| kind.blocks() && kind.is_broadcast()) {
        let ring = Ring::new(kind, 1 << 14);
        let (reader, _slow, writer) = (ring.reader(), ring.reader(), ring.writer());
        for _ in 0..10 {
            write_1000(writer);
        }
        reader.drain();
        reader
            .set_watermark(8192, MINUTE)
            .expect("set the watermark");
        let poller = poller(reader);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(1000));
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..10 {
                write_1000(writer);
            }
        });
        assert!(reader.cursor().unread < 8192);
        assert_eq!(poller.finish(), Ok(IN), "{kind}");
        assert_eq!(sleeper.finish(), Ok(vec![b'x'; 1000]), "{kind}");
        ring.clear();
        task.finish();
    }
}

fn watermark_gives_way_to_the_end() {
    for kind in Kind::all() {
        let (ring, reader, writer) = ring_with(kind, 5500, MINUTE);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(1 << 14));
        let poller = poller(reader);
        write_1000(writer);
        sleeper.sleeper.await_sleep_in(Call::READ);
        ring.destroy();
        assert_eq!(
            sleeper.finish().map(|bytes| bytes.len()),
            Ok(1000),
            "{kind}"
        );
        assert_eq!(poller.finish(), Ok(IN | PollFlags::POLLHUP));
        assert_eq!(reader.take(10), Ok(Vec::new()));
    }
}

fn watermark_lowered_wakes_who_waits() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let poller = poller(reader);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(1 << 14));
        write_1000(writer);
        sleeper.sleeper.await_sleep_in(Call::READ);
        poller.sleeper.await_sleep_in(Call::POLL);
        reader
            .set_watermark(900, MINUTE)
            .expect("set the watermark");
        assert_eq!(
            sleeper.finish().map(|bytes| bytes.len()),
            Ok(1000),
            "{kind}"
        );
        // The other may have been woken for what is gone again.
        write_1000(writer);
        assert_eq!(poller.finish(), Ok(IN), "{kind}");
    }
}

fn watermark_is_of_the_cursor() {
    for kind in Kind::all() {
        let (ring, reader, writer) = ring_with(kind, 5500, MINUTE);
        let other = ring.reader();
        write_1000(writer);
        let said = if kind.is_broadcast() {
            IN
        } else {
            PollFlags::empty()
        };
        assert_eq!(other.ready(IN), said, "{kind}");
        assert_eq!(reader.ready(IN), PollFlags::empty());
        let shown = if kind.is_broadcast() { 0 } else { 5500 };
        assert_eq!(other.cursor().watermark, shown);
    }
}

fn watermark_counts_headers() {
    let (_, reader, writer) = ring_with(RECORD, 100, MINUTE);
    // Of 32 + 8 bytes each.
    for _ in 0..2 {
        writer.put(b"12345678");
        assert_eq!(reader.ready(IN), PollFlags::empty());
    }
    writer.put(b"12345678");
    assert_eq!(reader.cursor().unread, 120);
    assert_eq!(reader.ready(IN), IN);
}
