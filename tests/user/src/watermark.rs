// SPDX-License-Identifier: GPL-2.0

//! The watermark of a reader: it is left alone until it is worth its while, or has waited long
//! enough.
//!
//! What has to be left alone has a delay of a minute, longer than any test takes; what has to be
//! told in the end has a short one.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{Whence, lseek64};

use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::task::{Call, Task, be_urgent, stay_on_cpu};

pub const TESTS: &[Test] = &[
    test!(watermark_takes_what_can_be_reached),
    test!(watermark_refuses_what_makes_no_sense),
    test!(watermark_lets_a_reader_sleep_until_it_is_reached),
    test!(watermark_lets_a_poller_sleep_until_it_is_reached),
    test!(watermark_lets_an_edge_triggered_poller_sleep_until_it_is_reached),
    test!(watermark_delay_ends_a_sleeping_read),
    test!(watermark_delay_ends_a_poll),
    test!(watermark_delay_begins_anew_with_each_batch),
    test!(watermark_delay_begins_anew_after_clear),
    test!(watermark_delay_begins_anew_after_lseek),
    test!(watermark_keeps_no_data_from_a_read),
    test!(watermark_gives_way_to_a_writer_that_waits),
    test!(watermark_gives_way_to_a_writer_that_was_woken_in_vain),
    test!(watermark_gives_way_to_the_end),
    test!(watermark_lowered_wakes_who_waits),
    test!(watermark_lowered_is_what_a_sleeping_read_waits_for),
    test!(watermark_removed_wakes_with_the_next_byte),
    test!(watermark_delay_shortened_is_what_a_sleeping_read_waits_for),
    test!(watermark_counts_from_where_lseek_goes_during_a_sleeping_read),
    test!(watermark_is_of_the_cursor),
    test!(watermark_counts_headers),
    test!(watermark_is_at_most_half_of_what_the_ring_is_now),
    test!(watermark_that_a_smaller_ring_has_reached_wakes_who_waits),
];

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(50);

const IN: PollFlags = PollFlags::POLLIN;

/// Long before the minute is over, and long after the slowest machine has woken somebody.
const NO_MINUTE: Duration = Duration::from_secs(30);

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

/// Sees that the delay begins with what `event` does.
fn assert_delay_begins_with(reader: Endpoint, event: impl FnOnce()) {
    let start = Instant::now();
    event();
    // Who is not let run for so long may look too late.
    let ready = reader.ready(IN);
    let elapsed = start.elapsed();
    assert!(ready.is_empty() || elapsed >= SOON, "{elapsed:?} is early");
    assert_eq!(reader.poll(IN, PollTimeout::NONE), Ok(IN));
    let elapsed = start.elapsed();
    assert!(elapsed >= SOON, "{elapsed:?} is too early");
}

/// Has a poll see data that are too few, and then lets the delay pass, after `event`.
fn see_and_let_pass(reader: Endpoint, writer: Endpoint, event: impl FnOnce()) {
    write_1000(writer);
    reader.ready(IN);
    event();
    thread::sleep(2 * SOON);
}

fn watermark_delay_begins_anew_after_clear() {
    for kind in Kind::all() {
        let (ring, reader, writer) = ring_with(kind, 5500, SOON);
        see_and_let_pass(reader, writer, || ring.clear());
        assert_delay_begins_with(reader, || write_1000(writer));
    }
}

fn watermark_delay_begins_anew_after_lseek() {
    for kind in Kind::all().filter(|kind| kind.is_broadcast()) {
        let (_, reader, writer) = ring_with(kind, 5500, SOON);
        let seek = |whence| {
            lseek64(reader, 0, whence).expect("lseek");
        };
        see_and_let_pass(reader, writer, || seek(Whence::SeekEnd));
        assert_delay_begins_with(reader, || write_1000(writer));
        // Also if it comes to where it was.
        see_and_let_pass(reader, writer, || {});
        assert_delay_begins_with(reader, || seek(Whence::SeekSet));
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

/// The writer is woken as there is room for it, and does not get it: before it can run, the reader
/// has gone to sleep again, and another writer has taken some. All of them are on one processor,
/// the reader the most urgent.
fn watermark_gives_way_to_a_writer_that_was_woken_in_vain() {
    for _ in 0..5 {
        let ring = Ring::small(STREAM);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader
            .set_watermark(2048, MINUTE)
            .expect("set the watermark");
        writer.put(&[b'a'; 100]);
        let first = Task::asleep_in(Call::WRITE, move || {
            stay_on_cpu(0);
            writer.write(&[b'b'; 4096])
        });
        let (here, awaited) = mpsc::channel();
        let (go, told) = mpsc::channel();
        let second = Task::spawn(move || {
            stay_on_cpu(0);
            be_urgent(1);
            here.send(()).expect("the test waits");
            told.recv().expect("the reader tells when");
            writer.write(&[b'c'; 10])
        });
        awaited.recv().expect("it comes");
        let reading = Task::spawn(move || {
            stay_on_cpu(0);
            be_urgent(2);
            assert_eq!(reader.take(100), Ok(vec![b'a'; 100]));
            go.send(()).expect("the second one waits");
            let start = Instant::now();
            let count = reader.take(4096).map(|bytes| bytes.len());
            (count, start.elapsed())
        });
        let (count, elapsed) = reading.finish();
        assert!(elapsed < NO_MINUTE, "{elapsed:?} is too late");
        let count = count.expect("read");
        assert_eq!(second.finish(), Ok(10));
        assert_eq!(first.finish(), Ok(4096));
        assert_eq!(count + reader.drain().len(), 4106);
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
        // With POLLHUP if the other has read all by then.
        assert!(poller.finish().expect("poll").contains(IN), "{kind}");
        assert_eq!(reader.take(10), Ok(Vec::new()));
        assert_eq!(reader.ready(IN), IN | PollFlags::POLLHUP, "{kind}");
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

/// Runs a thread that reads, and has seen 1000 bytes, too few to be woken for. Returns how much it
/// got in the end.
fn sleeping_reader(reader: Endpoint, writer: Endpoint) -> Task<nix::Result<usize>> {
    let task = Task::asleep_in(Call::READ, move || {
        reader.take(1 << 14).map(|bytes| bytes.len())
    });
    write_1000(writer);
    task.sleeper.await_sleep_in(Call::READ);
    task
}

fn watermark_lowered_is_what_a_sleeping_read_waits_for() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let task = sleeping_reader(reader, writer);
        let start = Instant::now();
        reader
            .set_watermark(2000, MINUTE)
            .expect("set the watermark");
        // It may have looked, and there is still too little.
        task.sleeper.await_sleep_in(Call::READ);
        write_1000(writer);
        let got = if kind.is_stream() { 2000 } else { 1000 };
        assert_eq!(task.finish(), Ok(got), "{kind}");
        assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
    }
}

fn watermark_removed_wakes_with_the_next_byte() {
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let (ring, reader, writer) = ring_with(kind, 5500, MINUTE);
        let task = sleeping_reader(reader, writer);
        let start = Instant::now();
        // Another one leaves it nothing, and then makes it content with anything.
        let other = ring.reader();
        assert_eq!(other.take(1000).map(|bytes| bytes.len()), Ok(1000));
        other
            .set_watermark(0, Duration::ZERO)
            .expect("set the watermark");
        task.sleeper.await_sleep_in(Call::READ);
        writer.put(b"x");
        assert_eq!(task.finish(), Ok(1), "{kind}");
        assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
    }
}

fn watermark_delay_shortened_is_what_a_sleeping_read_waits_for() {
    for kind in Kind::all() {
        let (_, reader, writer) = ring_with(kind, 5500, MINUTE);
        let task = sleeping_reader(reader, writer);
        let start = Instant::now();
        reader.set_watermark(5500, SOON).expect("set the watermark");
        assert_eq!(task.finish(), Ok(1000), "{kind}");
        assert!(start.elapsed() >= SOON, "{kind}: too early");
        assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
    }
}

fn watermark_counts_from_where_lseek_goes_during_a_sleeping_read() {
    for kind in Kind::all().filter(|kind| kind.is_broadcast()) {
        let (ring, reader, writer) = ring_with(kind, 5500, MINUTE);
        // One for whom all is kept.
        let _slow = ring.reader();
        for _ in 0..4 {
            write_1000(writer);
        }
        assert_eq!(reader.drain().len(), 4000);
        let task = sleeping_reader(reader, writer);
        let start = Instant::now();
        // To 5000 bytes, which are not enough yet.
        lseek64(reader, 0, Whence::SeekSet).expect("lseek");
        task.sleeper.await_sleep_in(Call::READ);
        write_1000(writer);
        let got = if kind.is_stream() { 6000 } else { 1000 };
        assert_eq!(task.finish(), Ok(got), "{kind}");
        assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
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

/// A ring of 64 KiB with a reader that has half of that as its watermark, and a writer.
fn large_ring_with_half(kind: Kind) -> (Ring, Endpoint, Endpoint) {
    let ring = Ring::new(kind, 1 << 16);
    let (reader, writer) = (ring.reader(), ring.writer());
    reader
        .set_watermark(1 << 15, MINUTE)
        .expect("set the watermark");
    (ring, reader, writer)
}

fn watermark_is_at_most_half_of_what_the_ring_is_now() {
    for kind in Kind::all() {
        let (ring, reader, writer) = large_ring_with_half(kind);
        ring.resize(1 << 14).expect("resize");
        let poller = poller(reader);
        let start = Instant::now();
        for _ in 0..7 {
            write_1000(writer);
            assert_eq!(reader.ready(IN), PollFlags::empty(), "{kind}");
        }
        for _ in 7..9 {
            write_1000(writer);
        }
        assert_eq!(reader.ready(IN), IN, "{kind}");
        assert_eq!(poller.finish(), Ok(IN));
        assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
        // What was set is not forgotten.
        ring.resize(1 << 16).expect("resize");
        assert_eq!(reader.ready(IN), PollFlags::empty(), "{kind}");
    }
}

fn watermark_that_a_smaller_ring_has_reached_wakes_who_waits() {
    for kind in Kind::all() {
        for call in [Call::POLL, Call::READ] {
            let (ring, reader, writer) = large_ring_with_half(kind);
            let task = Task::asleep_in(call, move || match call {
                Call::POLL => reader.poll(IN, PollTimeout::NONE).map(drop),
                _ => reader.take(1000).map(drop),
            });
            for _ in 0..9 {
                write_1000(writer);
            }
            task.sleeper.await_sleep_in(call);
            let start = Instant::now();
            ring.resize(1 << 14).expect("resize");
            assert_eq!(task.finish(), Ok(()), "{kind}");
            assert!(start.elapsed() < NO_MINUTE, "{kind}: too late");
        }
    }
}
