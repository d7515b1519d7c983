// SPDX-License-Identifier: GPL-2.0

//! Rings whose readers each see everything: where they begin, what holds a writer up, and how
//! one is got rid of.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::{Whence, close, lseek64};

use crate::abi::{Cursor, Header, stored};
use crate::control::{Kind, Kinds, RECORD, Ring, STREAM, control};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, test};
use crate::memory::Pages;
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};
use crate::words::{Receiver, Sender};

pub const TESTS: &[Test] = &[
    test!(broadcast_gives_everything_to_each_reader),
    test!(broadcast_late_joiner_begins_at_the_oldest),
    test!(broadcast_without_readers_keeps_data_for_the_first),
    test!(broadcast_writer_waits_for_the_slowest_reader),
    test!(broadcast_writer_goes_on_when_the_slowest_leaves),
    test!(broadcast_dropping_writer_is_refused_by_the_slowest_reader),
    test!(broadcast_overwriting_writer_waits_for_nobody),
    test!(broadcast_wakes_every_reader),
    test!(broadcast_reader_reads_what_another_has_read),
    test!(broadcast_readers_come_and_go).seconds(60),
    test!(broadcast_cursors_are_listed_in_order),
    test!(lseek_to_the_end_waits_for_what_comes_next),
    test!(lseek_to_the_start_shows_what_is_still_there),
    test!(lseek_to_the_end_lets_writers_go_on),
    test!(lseek_knows_two_places),
    test!(lseek_of_a_shared_ring_is_espipe),
    test!(lseek_and_positions_do_not_mix),
    test!(lseek_wakes_those_who_wait_at_the_same_cursor),
    test!(lseek_and_watermark_wake_no_read_of_another_cursor),
    test!(lseek_and_watermark_wake_no_poll_of_another_cursor),
    test!(lseek_and_watermark_are_no_edge_for_another_cursor),
    test!(evicted_reader_gets_eshutdown_at_once),
    test!(evicted_reader_is_not_given_what_came_later),
    test!(evicted_reader_loses_nothing_more),
    test!(evicted_reader_is_woken),
    test!(evicted_reader_lets_writers_go_on),
    test!(evicted_reader_may_open_again),
    test!(evicted_in_the_middle_of_a_read_loses_and_repeats_nothing).seconds(60),
    test!(evicted_endpoint_says_so_whatever_it_is_asked),
    test!(evict_knows_its_cursors),
];

const SMALL: usize = 4096;
const PIPE_BUF: usize = libc::PIPE_BUF;

/// The kinds whose readers each see everything.
fn kinds() -> Kinds {
    Kind::all().filter(|kind| kind.is_broadcast())
}

fn broadcast_gives_everything_to_each_reader() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let readers = [(); 5].map(|()| ring.reader());
        let writer = ring.writer();
        for number in 0..100 {
            let message = pattern(number, 1 + number as usize);
            writer.put(&message);
            for reader in readers {
                assert_eq!(reader.take(SMALL), Ok(message.clone()), "{kind}");
            }
        }
        for reader in readers {
            assert_eq!(reader.cursor().bytes_out, writer.info().bytes_in);
        }
    }
}

fn broadcast_late_joiner_begins_at_the_oldest() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        // One that reads nothing, so that all is kept.
        let _first = ring.reader();
        let writer = ring.writer();
        for message in [b"one", b"two"] {
            writer.put(message);
        }
        let late = ring.reader();
        writer.put(b"six");
        let got: Vec<_> = (0..3).map(|_| late.take(3).expect("read")).collect();
        assert_eq!(got.concat(), b"onetwosix", "{kind}");
        assert_eq!(late.cursor().records_lost + late.cursor().bytes_lost, 0);
    }
    // Of what all have read nothing is kept, unless it is the ring's to overwrite.
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"read");
        reader.take(10).expect("read");
        let late = ring.reader();
        let there = if kind.overwrites() { 4 } else { 0 };
        assert_eq!(late.available(), there, "{kind}");
    }
}

fn broadcast_without_readers_keeps_data_for_the_first() {
    for kind in kinds().filter(|kind| !kind.hangup) {
        let ring = Ring::small(kind);
        let writer = ring.writer();
        writer.put(b"kept");
        // Somebody has been here, and has not read it.
        drop(ring.open(OFlag::O_RDONLY));
        writer.put(b"more");
        let reader = ring.reader();
        let got = [reader.take(4), reader.take(4)].map(|got| got.expect("read"));
        assert_eq!(got.concat(), b"keptmore", "{kind}");
    }
    let ring = Ring::small(STREAM.broadcast());
    let writer = ring.writer();
    assert_eq!(writer.fill(), SMALL);
    writer.set_nonblocking(true);
    assert_eq!(writer.write(b"x"), Err(Errno::EAGAIN));
}

fn broadcast_writer_waits_for_the_slowest_reader() {
    for kind in kinds().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let (quick, slow) = (ring.reader(), ring.reader());
        let writer = ring.writer();
        let task = Task::spawn(move || {
            let mut sender = Sender::new(writer, kind, 1);
            sender.send_many(50);
            sender.account
        });
        let [mut one, mut two] = [quick, slow].map(|end| Receiver::new(end, kind));
        // The quick one is done with all that fits; the writer still sleeps.
        task.sleeper.await_sleep_in(Call::WRITE);
        task.sleeper.sleeps_through(Call::WRITE, || one.drain());
        while !task.is_finished() {
            one.drain();
            two.drain();
        }
        let sent = task.finish();
        one.drain();
        two.drain();
        let received = [one.account.received, two.account.received];
        assert_eq!(received, [sent.accepted; 2]);
    }
}

fn broadcast_writer_goes_on_when_the_slowest_leaves() {
    for kind in kinds().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let quick = ring.reader();
        let slow = ring.open(OFlag::O_RDONLY);
        let writer = ring.writer();
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..20 {
                writer.put(&[b'x'; 500]);
            }
        });
        task.sleeper.sleeps_through(Call::WRITE, || {
            quick.drain();
        });
        drop(slow);
        while !task.is_finished() {
            quick.drain();
            std::thread::yield_now();
        }
        task.finish();
    }
}

fn broadcast_dropping_writer_is_refused_by_the_slowest_reader() {
    for kind in kinds().filter(|kind| kind.drops()) {
        let ring = Ring::small(kind);
        let (quick, slow) = (ring.reader(), ring.reader());
        let writer = ring.writer();
        while writer.write(&[b'x'; 500]).is_ok() {}
        quick.drain();
        assert_eq!(writer.write(&[b'x'; 1000]), Err(Errno::ENOBUFS), "{kind}");
        assert_eq!(writer.ready(PollFlags::POLLOUT), PollFlags::empty());
        slow.drain();
        writer.put(&[b'x'; 1000]);
    }
}

fn broadcast_overwriting_writer_waits_for_nobody() {
    for kind in kinds().filter(|kind| kind.overwrites()) {
        let ring = Ring::small(kind);
        let (quick, slow) = (ring.reader(), ring.reader());
        let writer = ring.writer();
        for _ in 0..100 {
            writer.put(&[b'x'; 500]);
            quick.take(500).expect("read");
        }
        let (quick, slow) = (quick.cursor(), slow.cursor());
        assert_eq!(quick.records_lost + quick.bytes_lost, 0, "{kind}");
        assert!(slow.records_lost + slow.bytes_lost > 0);
        assert_eq!(quick.bytes_out, 50_000);
    }
}

fn broadcast_wakes_every_reader() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let writer = ring.writer();
        let sleepers: Vec<_> = (0..4)
            .map(|_| {
                let reader = ring.reader();
                Task::asleep_in(Call::READ, move || reader.take(10))
            })
            .collect();
        let pollers: Vec<_> = (0..4)
            .map(|_| {
                let reader = ring.reader();
                Task::asleep_in(Call::POLL, move || {
                    reader.poll(PollFlags::POLLIN, PollTimeout::NONE)
                })
            })
            .collect();
        writer.put(b"to all");
        for sleeper in sleepers {
            assert_eq!(sleeper.finish(), Ok(b"to all".to_vec()));
        }
        for poller in pollers {
            assert_eq!(poller.finish(), Ok(PollFlags::POLLIN));
        }
    }
}

fn broadcast_reader_reads_what_another_has_read() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (one, two, writer) = (ring.reader(), ring.reader(), ring.writer());
        writer.put(b"once");
        assert_eq!(one.take(10), Ok(b"once".to_vec()));
        assert_eq!((one.available(), two.available()), (0, 4));
        // Where one has read it, another still sleeps.
        let sleeper = Task::asleep_in(Call::READ, move || one.take(10));
        sleeper.sleeper.sleeps_through(Call::READ, || {
            assert_eq!(two.take(10), Ok(b"once".to_vec()));
        });
        writer.put(b"more");
        assert_eq!(sleeper.finish(), Ok(b"more".to_vec()));
    }
}

/// Readers join, read a little and leave, some of them killed, while one stays and sees all.
fn broadcast_readers_come_and_go() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (stays, writer) = (ring.reader(), ring.writer());
        let task = Task::spawn(move || {
            let mut sender = Sender::new(writer, kind, 1);
            sender.send_many(by_lane(2000, 300));
            sender.account
        });
        let visitors: Vec<_> = (0..3)
            .map(|number| {
                Task::spawn(move || {
                    let mut random = Random::new(number);
                    for _ in 0..by_lane(100, 20) {
                        let end = Endpoint::keep(ring.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK));
                        let mut receiver = Receiver::new(end, kind);
                        for _ in 0..random.up_to(5) {
                            let _ = receiver.receive();
                        }
                        nix::unistd::close(std::os::fd::AsRawFd::as_raw_fd(&end)).expect("close");
                    }
                })
            })
            .collect();
        let mut receiver = Receiver::new(stays, kind);
        for round in 0.. {
            receiver.drain();
            if task.is_finished() && visitors.iter().all(Task::is_finished) {
                break;
            }
            if round % 50 == 0 {
                // One that dies with data unread, which then hold up nobody.
                Process::asleep_in(Call::PAUSE, || {
                    ring.reader();
                    nix::unistd::pause();
                })
                .kill_for_good();
            }
        }
        for visitor in visitors {
            visitor.finish();
        }
        let sent = task.finish();
        receiver.drain();
        let lost = stays.cursor().records_lost + stays.cursor().bytes_lost;
        assert_eq!(
            receiver.account.received + lost + sent.dropped,
            sent.sent,
            "{kind}"
        );
        assert_eq!(ring.cursors().len(), 1, "the others are gone");
        assert_eq!(ring.info().readers, 1);
    }
}

// errno: NEXT_CURSOR ENODATA
fn broadcast_cursors_are_listed_in_order() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        assert!(ring.cursors().is_empty());
        let readers = [(); 5].map(|()| ring.reader());
        let ids = readers.map(|reader| reader.cursor().id);
        assert!(ids.is_sorted_by(|one, two| one < two));
        let listed: Vec<_> = ring.cursors().iter().map(|cursor| cursor.id).collect();
        assert_eq!(listed, ids);
        for (reader, cursor) in readers.into_iter().zip(ring.cursors()) {
            assert_eq!(reader.cursor(), cursor);
        }
        let beyond = control().next_cursor(ring.name(), ids[4] + 1);
        assert_eq!(beyond, Err(Errno::ENODATA));
    }
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let ring = Ring::small(kind);
        let listed: Vec<_> = ring.cursors().iter().map(|cursor| cursor.id).collect();
        assert_eq!(listed, [0], "the one that all share");
    }
}

fn lseek_to_the_end_waits_for_what_comes_next() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"not this");
        assert_eq!(lseek64(reader, 0, Whence::SeekEnd), Ok(0));
        assert_eq!(reader.available(), 0);
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(100));
        writer.put(b"but this");
        assert_eq!(sleeper.finish(), Ok(b"but this".to_vec()));
        // What it has left out on purpose it has not lost.
        let cursor = reader.cursor();
        assert_eq!((cursor.records_lost, cursor.bytes_lost), (0, 0), "{kind}");
        assert_eq!(reader.ready(PollFlags::POLLPRI), PollFlags::empty());
    }
}

fn lseek_to_the_start_shows_what_is_still_there() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        // Somebody who has read nothing, for whom all is kept.
        let _slow = ring.reader();
        writer.put(b"first");
        for _ in 0..3 {
            assert_eq!(reader.take(5), Ok(b"first".to_vec()));
            assert_eq!(reader.available(), 0);
            assert_eq!(lseek64(reader, 0, Whence::SeekSet), Ok(0));
        }
        assert_eq!(reader.available(), 5, "{kind}");
    }
    // What was overwritten is not there any more.
    let ring = Ring::small(STREAM.broadcast().overwriting());
    let (reader, writer) = (ring.reader(), ring.writer());
    writer.put(&pattern(0, 10_000));
    lseek64(reader, 0, Whence::SeekEnd).expect("lseek");
    lseek64(reader, 0, Whence::SeekSet).expect("lseek");
    assert_pattern(
        &reader.take(2 * SMALL).expect("read"),
        10_000 - SMALL as u64,
    );
}

fn lseek_to_the_end_lets_writers_go_on() {
    for kind in kinds().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..9 {
                writer.put(&[b'x'; 500]);
            }
        });
        lseek64(reader, 0, Whence::SeekEnd).expect("lseek");
        task.finish();
    }
}

// errno: lseek EINVAL ESPIPE
fn lseek_knows_two_places() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"stays");
        for whence in [Whence::SeekSet, Whence::SeekEnd] {
            for offset in [1, -1, 5, i64::MAX, i64::MIN] {
                assert_eq!(lseek64(reader, offset, whence), Err(Errno::EINVAL));
            }
        }
        for whence in [Whence::SeekCur, Whence::SeekData, Whence::SeekHole] {
            for offset in [0, 1, -1] {
                assert_eq!(lseek64(reader, offset, whence), Err(Errno::EINVAL));
            }
        }
        for offset in [0, 1] {
            assert_eq!(lseek64(writer, offset, Whence::SeekEnd), Err(Errno::ESPIPE));
        }
        assert_eq!(reader.take(10), Ok(b"stays".to_vec()));
    }
}

// errno: lseek ESPIPE
fn lseek_of_a_shared_ring_is_espipe() {
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let ring = Ring::small(kind);
        for end in [ring.reader(), ring.writer(), ring.both()] {
            for whence in [Whence::SeekSet, Whence::SeekCur, Whence::SeekEnd] {
                assert_eq!(lseek64(end, 0, whence), Err(Errno::ESPIPE), "{kind}");
            }
        }
    }
}

fn lseek_and_positions_do_not_mix() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let both = ring.both();
        both.put(b"stays");
        let mut buffer = [0; 10];
        for offset in [0, 1, 1 << 40] {
            assert_eq!(both.preadv2(&mut buffer, offset, 0), Err(Errno::ESPIPE));
            assert_eq!(both.pwritev2(b"x", offset, 0), Err(Errno::ESPIPE));
        }
        assert_eq!(both.preadv2(&mut buffer, -1, 0), Ok(5));
    }
}

fn lseek_wakes_those_who_wait_at_the_same_cursor() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        // One who has read nothing, for whom all is kept.
        let _slow = ring.reader();
        for message in [b"one", b"two"] {
            writer.put(message);
            assert_eq!(reader.take(3), Ok(message.to_vec()));
        }
        let set = edges_of(reader);
        let epoll = Task::asleep_in(Call::EPOLL_WAIT, move || {
            set.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)
        });
        let poll = Task::asleep_in(Call::POLL, move || {
            reader.poll(PollFlags::POLLIN, PollTimeout::NONE)
        });
        let read = Task::asleep_in(Call::READ, move || reader.take(3));
        lseek64(reader, 0, Whence::SeekSet).expect("lseek");
        assert_eq!(read.finish(), Ok(b"one".to_vec()), "{kind}");
        assert_eq!(poll.finish(), Ok(PollFlags::POLLIN), "{kind}");
        assert_eq!(epoll.finish(), Ok(1), "{kind}");
    }
}

/// An epoll set that reports the edges of a reader.
fn edges_of(reader: Endpoint) -> Epoll {
    let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    let edge = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
    set.add(reader, edge).expect("add");
    set
}

/// Does at a cursor of its own what a reader may do there.
fn move_about(reader: Endpoint) {
    for whence in [Whence::SeekEnd, Whence::SeekSet, Whence::SeekEnd] {
        lseek64(reader, 0, whence).expect("lseek");
    }
    for bytes in [1000, 100, 0] {
        let delay = Duration::from_secs(60);
        reader.set_watermark(bytes, delay).expect("watermark");
    }
}

fn lseek_and_watermark_wake_no_read_of_another_cursor() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (moves, reader, writer) = (ring.reader(), ring.reader(), ring.writer());
        writer.put(b"first");
        reader.take(5).expect("read");
        // One waits for anything, and one for more than there is.
        let patient = ring.reader();
        patient
            .set_watermark(1000, Duration::from_secs(60))
            .expect("watermark");
        let sleepers = [reader, patient].map(|end| {
            let size = if kind.is_stream() { 2000 } else { 1000 };
            lseek64(end, 0, Whence::SeekEnd).expect("lseek");
            Task::asleep_in(Call::READ, move || end.take(size))
        });
        let before = ring.info();
        sleepers[0].sleeper.sleeps_through(Call::READ, || {
            sleepers[1]
                .sleeper
                .sleeps_through(Call::READ, || move_about(moves));
        });
        let after = ring.info();
        assert_eq!(after.reader_wakes, before.reader_wakes, "{kind}");
        assert_eq!(after.reader_sleeps, before.reader_sleeps, "{kind}");
        // They are still told of what comes.
        writer.put(&[b'x'; 1000]);
        for sleeper in sleepers {
            assert_eq!(sleeper.finish(), Ok(vec![b'x'; 1000]), "{kind}");
        }
    }
}

fn lseek_and_watermark_wake_no_poll_of_another_cursor() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (moves, reader, writer) = (ring.reader(), ring.reader(), ring.writer());
        let poller = Task::asleep_in(Call::POLL, move || {
            reader.poll(PollFlags::POLLIN, PollTimeout::NONE)
        });
        poller
            .sleeper
            .sleeps_through(Call::POLL, || move_about(moves));
        writer.put(b"x");
        assert_eq!(poller.finish(), Ok(PollFlags::POLLIN), "{kind}");
    }
}

fn lseek_and_watermark_are_no_edge_for_another_cursor() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (moves, reader, writer) = (ring.reader(), ring.reader(), ring.writer());
        let set = edges_of(reader);
        let edges = || {
            let mut events = [EpollEvent::empty(); 2];
            set.wait(&mut events, EpollTimeout::ZERO)
        };
        writer.put(b"not read");
        assert_eq!(edges(), Ok(1), "{kind}");
        move_about(moves);
        assert_eq!(edges(), Ok(0), "{kind}");
        writer.put(b"more");
        assert_eq!(edges(), Ok(1), "{kind}");
    }
}

// errno: read ESHUTDOWN
// errno: lseek ESHUTDOWN
// errno: WATERMARK ESHUTDOWN
fn evicted_reader_gets_eshutdown_at_once() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"never read");
        ring.evict(reader.cursor().id).expect("evict");
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        let said = reader.ready(PollFlags::POLLIN);
        assert!(said.contains(gone), "{said:?}, {kind}");
        for _ in 0..3 {
            assert_eq!(reader.take(100), Err(Errno::ESHUTDOWN), "{kind}");
        }
        assert_eq!(lseek64(reader, 0, Whence::SeekSet), Err(Errno::ESHUTDOWN));
        assert_eq!(lseek64(reader, 0, Whence::SeekEnd), Err(Errno::ESHUTDOWN));
        let delay = Duration::from_secs(1);
        for bytes in [0, 1000] {
            let answer = reader.set_watermark(bytes, delay);
            assert_eq!(answer, Err(Errno::ESHUTDOWN), "{kind}");
        }
    }
}

fn evicted_reader_is_not_given_what_came_later() {
    // Its place in the ring is free for writers: what it finds there is not what it should get.
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, stays, writer) = (ring.reader(), ring.reader(), ring.writer());
        writer.put(&[b'a'; 500]);
        ring.evict(reader.cursor().id).expect("evict");
        for _ in 0..20 {
            writer.put(&[b'b'; 900]);
            stays.drain();
        }
        assert_eq!(reader.take(100_000), Err(Errno::ESHUTDOWN), "{kind}");
        // Whatever it says, it does so without harm.
        let _ = (reader.try_available(), reader.try_cursor());
        let info = reader.info();
        assert_eq!(info.unread, 0);
        assert!(info.high_water <= SMALL as u64);
    }
}

fn evicted_reader_loses_nothing_more() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, stays, writer) = (ring.reader(), ring.reader(), ring.writer());
        for _ in 0..20 {
            writer.set_nonblocking(true);
            let _ = writer.write(&[b'a'; 400]);
        }
        let before = reader.cursor();
        ring.evict(before.id).expect("evict");
        for _ in 0..20 {
            stays.drain();
            writer.put(&[b'b'; 900]);
        }
        let after = reader.cursor();
        assert_eq!(after.records_lost, before.records_lost, "{kind}");
        assert_eq!(after.bytes_lost, before.bytes_lost, "{kind}");
        assert_eq!(after.unread, 0, "{kind}");
    }
}

fn evicted_reader_is_woken() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, polls) = (ring.reader(), ring.reader());
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
        let poller = Task::asleep_in(Call::POLL, move || {
            polls.poll(PollFlags::POLLIN, PollTimeout::NONE)
        });
        for end in [reader, polls] {
            ring.evict(end.cursor().id).expect("evict");
        }
        assert_eq!(sleeper.finish(), Err(Errno::ESHUTDOWN));
        let said = poller.finish().expect("poll");
        assert!(
            said.contains(PollFlags::POLLHUP | PollFlags::POLLERR),
            "{said:?}"
        );
    }
}

fn evicted_reader_lets_writers_go_on() {
    for kind in kinds().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let (slow, quick, writer) = (ring.reader(), ring.reader(), ring.writer());
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..9 {
                writer.put(&[b'x'; 500]);
            }
        });
        task.sleeper.sleeps_through(Call::WRITE, || {
            quick.drain();
        });
        ring.evict(slow.cursor().id).expect("evict");
        task.finish();
        assert!(quick.available() > 0);
    }
}

fn evicted_reader_may_open_again() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let id = reader.cursor().id;
        ring.evict(id).expect("evict");
        let again = ring.reader();
        assert_ne!(again.cursor().id, id, "a number is never given twice");
        writer.put(b"works");
        assert_eq!(again.take(10), Ok(b"works".to_vec()));
        assert_eq!(ring.cursors().len(), 1);
    }
}

/// A reader reads as fast as it can and is evicted. What it has received and what the next reader
/// finds is all that was written: no byte and no record is missing, and none comes twice.
fn evicted_in_the_middle_of_a_read_loses_and_repeats_nothing() {
    const CAPACITY: u64 = 1 << 20;
    let rounds = by_lane(30, 5);
    for kind in kinds().filter(|kind| !kind.overwrites()) {
        for length in [256, PIPE_BUF] {
            let ring = Ring::new(kind, CAPACITY);
            let writer = ring.writer();
            writer.set_nonblocking(true);
            let in_ring = match kind.is_stream() {
                true => length,
                false => stored(length),
            };
            let mut random = Random::new(length as u64);
            let (mut written, mut messages) = (0, 0);
            let mut victim = ring.reader();
            for round in 0..rounds {
                while let Ok(count) = writer.write(&pattern(written, length)) {
                    assert_eq!(count, length, "the capacity is a multiple of it");
                    written += count as u64;
                }
                let case = format!("{kind}, {length} bytes, round {round}");
                let evict_at = messages + random.up_to(64);
                let received = Arc::new(AtomicU64::new(messages));
                let seen = Arc::clone(&received);
                let reading = Task::spawn(move || {
                    let mut buffer = vec![0; length];
                    loop {
                        match victim.read(&mut buffer) {
                            Ok(count) => {
                                assert_eq!(count, length);
                                let position = messages * length as u64;
                                assert_pattern(&buffer, position);
                                messages += 1;
                                seen.store(messages, Ordering::Relaxed);
                            }
                            Err(error) => break error,
                        }
                    }
                });
                while received.load(Ordering::Relaxed) < evict_at {
                    thread::yield_now();
                }
                ring.evict(victim.cursor().id).expect("evict");
                assert_eq!(reading.finish(), Errno::ESHUTDOWN, "{case}");
                messages = received.load(Ordering::Relaxed);

                let next = ring.reader();
                let left = written / length as u64 - messages;
                assert_eq!(next.cursor().unread, left * in_ring as u64, "{case}");
                let taken = messages * length as u64;
                assert_eq!(ring.info().bytes_out, taken, "{case}");
                if kind.is_stream() {
                    assert_eq!(taken + next.available() as u64, written, "{case}");
                } else if left > 0 {
                    next.set_headers(true);
                    let first = next.take_records(Header::SIZE + length).expect("read");
                    assert_eq!(first[0].0.sequence, messages, "{case}");
                    assert_eq!(first[0].0.lost, 0, "{case}");
                    assert_pattern(&first[0].1, taken);
                    messages += 1;
                    next.set_headers(false);
                }
                close(victim.as_raw_fd()).expect("close");
                victim = next;
            }
        }
    }
}

/// Fails unless every call that asks for data at the cursor of an evicted endpoint says that there
/// are none, and never will be.
fn assert_evicted(kind: Kind, end: Endpoint, to_pipe: Endpoint, case: &str) {
    assert_eq!(end.available(), 0, "FIONREAD, {case}");
    assert_eq!(end.cursor().unread, 0, "{case}");
    let said = end.ready(PollFlags::POLLIN);
    let gone = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
    assert_eq!(said, gone, "{case}");

    let mut buffer = [0; 100];
    let pages = Pages::map(1);
    let none = SpliceFFlags::empty();
    let answers = [
        end.read(&mut buffer),
        end.readv_to(&[pages.span(0, 10), pages.span(10, 90)]),
        end.preadv2(&mut buffer, -1, libc::RWF_NOWAIT),
        splice(end, None, to_pipe, None, 100, none),
    ];
    assert_eq!(answers, [Err(Errno::ESHUTDOWN); 4], "{case}");
    assert_eq!(end.read(&mut []), Ok(0), "nothing asked, nothing said");
    for whence in [Whence::SeekSet, Whence::SeekEnd] {
        assert_eq!(lseek64(end, 0, whence), Err(Errno::ESHUTDOWN), "{case}");
    }
    for bytes in [0, 1000] {
        let answer = end.set_watermark(bytes, Duration::from_secs(1));
        assert_eq!(answer, Err(Errno::ESHUTDOWN), "{case}");
    }
    // This one is of the endpoint, and not of the cursor.
    let headers = match kind.is_stream() {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    };
    for on in [true, false] {
        assert_eq!(end.try_set_headers(on), headers, "{case}");
        assert_eq!(end.available(), 0, "FIONREAD, {case}");
    }
}

fn evicted_endpoint_says_so_whatever_it_is_asked() {
    for kind in kinds() {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, both) = (ring.reader(), ring.both());
        let (stays, writer) = (ring.reader(), ring.writer());
        let [pipe, to_pipe] = nix::unistd::pipe()
            .map(|(r, w)| [r, w])
            .expect("pipe")
            .map(Endpoint::keep);
        writer.put(b"never read");
        let before = [reader, both].map(Endpoint::cursor);
        for cursor in before {
            ring.evict(cursor.id).expect("evict");
        }
        for round in 0..100 {
            for (end, before) in [reader, both].into_iter().zip(before) {
                assert_evicted(kind, end, to_pipe, &format!("{kind}, round {round}"));
                let after = Cursor {
                    unread: 0,
                    ..before
                };
                assert_eq!(end.cursor(), after, "{kind}");
            }
            // Room for it, and in the end all of the ring is written anew.
            stays.drain();
            writer.put(&[b'x'; 1000]);
        }
        assert_eq!(pipe.available(), 0);
        // It can still write.
        both.put(b"works");
        let id = stays.cursor().id;
        let listed: Vec<_> = ring.cursors().iter().map(|cursor| cursor.id).collect();
        assert_eq!(listed, [id], "{kind}");
    }
}

// errno: EVICT EINVAL ENOENT
fn evict_knows_its_cursors() {
    let ring = Ring::small(RECORD.broadcast());
    let (reader, other) = (ring.reader(), ring.reader());
    let id = reader.cursor().id;
    for wrong in [0, id + 100, u64::MAX] {
        assert_eq!(ring.evict(wrong), Err(Errno::ENOENT));
    }
    assert_eq!(ring.evict(id), Ok(()));
    assert_eq!(ring.evict(id), Err(Errno::ENOENT), "once is enough");
    ring.writer().put(b"x");
    assert_eq!(other.take(10), Ok(b"x".to_vec()));
    // The cursor that readers share is the ring's.
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let ring = Ring::small(kind);
        let _reader = ring.reader();
        assert_eq!(ring.evict(0), Err(Errno::EINVAL));
    }
}
