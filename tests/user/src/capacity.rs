// SPDX-License-Identifier: GPL-2.0

//! Changing a ring while it is used: its capacity, and all that is in it.

use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFlags, PollTimeout};
use nix::unistd::{Whence, lseek64};

use crate::abi::{Header, stored};
use crate::control::{Kind, RECORD, Ring, STREAM, control};
use crate::harness::{Test, by_lane, note, test};
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Task, be_urgent, stay_on_cpu};
use crate::words::{Account, Receiver, Sender};

pub const TESTS: &[Test] = &[
    test!(resize_keeps_what_is_there_wherever_it_lies),
    test!(resize_to_less_than_there_is_is_ebusy),
    test!(resize_refuses_what_create_refuses),
    test!(resize_lets_blocked_writers_go_on),
    test!(resize_wakes_who_polls_for_room),
    test!(resize_changes_the_longest_record),
    test!(resize_tells_a_waiting_writer_that_its_record_is_too_long),
    test!(resize_leaves_sleeping_readers_asleep),
    test!(resize_of_a_ring_that_was_read_out_may_shrink_it),
    test!(resize_that_is_refused_gives_up_nothing),
    test!(resize_of_a_destroyed_ring_is_enoent),
    test!(resize_under_load_loses_nothing).seconds(60),
    test!(clear_leaves_nothing_to_read),
    test!(clear_counts_what_it_takes_as_lost),
    test!(clear_leaves_nothing_for_those_who_come_later),
    test!(clear_without_readers_leaves_nothing),
    test!(clear_is_told_in_the_next_header),
    test!(clear_lets_blocked_writers_go_on),
    test!(clear_under_load_keeps_the_accounts).seconds(60),
    test!(clear_of_overwritten_records_keeps_the_accounts),
    test!(clear_takes_no_longer_for_records_than_for_a_stream).seconds(60),
];

fn resize_keeps_what_is_there_wherever_it_lies() {
    for kind in Kind::all() {
        let ring = Ring::new(kind, 1 << 14);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut random = Random::new(1);
        let (mut written, mut read) = (0, 0);
        let mut lengths = std::collections::VecDeque::new();
        for round in 0..by_lane(300, 60) {
            // Some data, at positions that nobody chose, of which a part is read.
            while reader.cursor().unread < 2000 {
                let length = random.up_to(900) as usize;
                writer.put(&pattern(written, length));
                written += length as u64;
                lengths.push_back(length);
            }
            if kind.is_stream() {
                let bytes = reader.take(random.up_to(1500) as usize).expect("read");
                assert_pattern(&bytes, read);
                read += bytes.len() as u64;
            } else {
                let message = reader.take(1000).expect("read");
                assert_eq!(Some(message.len()), lengths.pop_front());
                assert_pattern(&message, read);
                read += message.len() as u64;
            }
            let capacity = 4096 << random.up_to(4);
            match ring.resize(capacity) {
                Ok(()) => assert_eq!(ring.info().capacity, capacity),
                // What is there to be overwritten is there, too.
                Err(Errno::EBUSY) => assert!(kind.overwrites(), "{kind}, round {round}"),
                Err(error) => panic!("resize: {error}"),
            }
        }
        let cursor = reader.cursor();
        assert_eq!(cursor.records_lost + cursor.bytes_lost, 0, "{kind}");
    }
}

// errno: RESIZE EBUSY
fn resize_to_less_than_there_is_is_ebusy() {
    for kind in Kind::all() {
        let ring = Ring::new(kind, 1 << 14);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..9 {
            writer.put(&[b'x'; 1000]);
        }
        assert_eq!(ring.resize(8192), Err(Errno::EBUSY), "{kind}");
        assert_eq!(ring.info().capacity, 1 << 14);
        assert_eq!(ring.resize(1 << 15), Ok(()), "{kind}");
        assert_eq!(reader.drain().len(), 9000);
    }
}

// errno: RESIZE EINVAL
fn resize_refuses_what_create_refuses() {
    let ring = Ring::small(STREAM);
    for capacity in [0, 1, 2048, 4097, 12288, 1 << 31, (1 << 32) + 4096, u64::MAX] {
        assert_eq!(ring.resize(capacity), Err(Errno::EINVAL), "{capacity}");
    }
    assert_eq!(ring.info().capacity, 4096);
    // The same again is no change, and no mistake.
    assert_eq!(ring.resize(4096), Ok(()));
}

fn resize_lets_blocked_writers_go_on() {
    for kind in Kind::all().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let (_reader, writer) = (ring.reader(), ring.writer());
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..10 {
                writer.put(&[b'x'; 1000]);
            }
        });
        ring.resize(1 << 14).expect("resize");
        task.finish();
    }
}

fn resize_wakes_who_polls_for_room() {
    for kind in Kind::all().filter(|kind| !kind.overwrites()) {
        let ring = Ring::small(kind);
        let (_reader, writer) = (ring.reader(), ring.writer());
        writer.set_nonblocking(true);
        while writer.ready(PollFlags::POLLOUT) == PollFlags::POLLOUT {
            writer.write(&[b'x'; 100]).expect("write");
        }
        let task = Task::asleep_in(Call::POLL, move || {
            writer.poll(PollFlags::POLLOUT, PollTimeout::NONE)
        });
        ring.resize(8192).expect("resize");
        assert_eq!(task.finish(), Ok(PollFlags::POLLOUT), "{kind}");
    }
}

fn resize_changes_the_longest_record() {
    let ring = Ring::new(RECORD, 1 << 14);
    let both = ring.both();
    both.put(&[b'x'; 4096]);
    ring.resize(8192).expect("resize");
    assert_eq!(both.write(&[b'x'; 2049]), Err(Errno::EMSGSIZE));
    both.put(&[b'y'; 2048]);
    // What is in it already stays what it is.
    assert_eq!(both.take(4096), Ok(vec![b'x'; 4096]));
    assert_eq!(both.take(4096), Ok(vec![b'y'; 2048]));
    ring.resize(1 << 16).expect("resize");
    both.put(&[b'z'; 1 << 14]);
    assert_eq!(both.take(1 << 14), Ok(vec![b'z'; 1 << 14]));
}

/// The writer is woken, and cannot run before the ring has become too small: who does both is more
/// urgent and on the same processor.
fn resize_tells_a_waiting_writer_that_its_record_is_too_long() {
    const LONGEST: usize = 4096;
    let (mut refused, mut written) = (0, 0);
    for kind in Kind::all().filter(|kind| kind.blocks() && !kind.is_stream()) {
        for _ in 0..3 {
            let ring = Ring::new(kind, 4 * LONGEST as u64);
            let (_reader, writer) = (ring.reader(), ring.writer());
            for _ in 0..3 {
                writer.put(&[b'x'; LONGEST]);
            }
            let waiting = Task::asleep_in(Call::WRITE, move || {
                stay_on_cpu(0);
                writer.write(&[b'x'; LONGEST])
            });
            let changed = Task::spawn(move || {
                let control = control();
                stay_on_cpu(0);
                be_urgent(1);
                control.clear(ring.name()).expect("clear");
                control.resize(ring.name(), LONGEST as u64)
            });
            match changed.finish() {
                Ok(()) => {
                    assert_eq!(waiting.finish(), Err(Errno::EMSGSIZE), "{kind}");
                    refused += 1;
                }
                // It had to wait for memory, and the writer was the first.
                Err(Errno::EBUSY) => {
                    assert_eq!(waiting.finish(), Ok(LONGEST), "{kind}");
                    written += 1;
                }
                Err(error) => panic!("resize: {error}"),
            }
        }
    }
    note!("{refused} records were too long, {written} were written before");
}

fn resize_leaves_sleeping_readers_asleep() {
    let ring = Ring::small(STREAM);
    let both = ring.both();
    let reader = Task::asleep_in(Call::READ, move || both.take(10));
    reader.sleeper.sleeps_through(Call::READ, || {
        ring.resize(8192).expect("resize");
    });
    both.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn resize_of_a_ring_that_was_read_out_may_shrink_it() {
    for kind in Kind::all() {
        let ring = Ring::new(kind, 1 << 14);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..15 {
            writer.put(&[b'x'; 1000]);
        }
        reader.drain();
        assert_eq!(ring.info().unread, 0);
        assert_eq!(ring.resize(4096), Ok(()), "{kind}");
        writer.put(b"works");
        assert_eq!(reader.take(10), Ok(b"works".to_vec()));
    }
}

fn resize_that_is_refused_gives_up_nothing() {
    for kind in Kind::all().filter(|kind| kind.overwrites() && kind.is_broadcast()) {
        let ring = Ring::new(kind, 1 << 14);
        let (reader, writer) = (ring.reader(), ring.writer());
        for _ in 0..15 {
            writer.put(&[b'x'; 1000]);
        }
        for _ in 0..5 {
            assert_eq!(reader.take(1000), Ok(vec![b'x'; 1000]));
        }
        // What was read would not have to be kept, but the rest does not fit either.
        assert_eq!(ring.resize(4096), Err(Errno::EBUSY));
        lseek64(reader, 0, Whence::SeekSet).expect("lseek");
        assert_eq!(reader.drain().len(), 15_000, "{kind}");
    }
}

fn resize_of_a_destroyed_ring_is_enoent() {
    let ring = Ring::small(STREAM);
    let both = ring.both();
    both.put(b"stays");
    ring.destroy();
    assert_eq!(ring.resize(8192), Err(Errno::ENOENT));
    assert_eq!(control().clear(ring.name()), Err(Errno::ENOENT));
    assert_eq!(both.take(10), Ok(b"stays".to_vec()));
}

/// Sends and receives, and calls `change` all the while. Returns what was sent, and received.
fn under_load(kind: Kind, mut change: impl FnMut(&Ring)) -> (Account, Account) {
    let ring = Ring::small(kind);
    let ends = [ring.reader(), ring.writer()];
    let [reader, writer] = ends;
    let sender = Task::spawn(move || {
        let mut sender = Sender::new(writer, kind, 1);
        sender.send_many(by_lane(5000, 700));
        sender.account
    });
    let receiver = Task::spawn(move || {
        let mut receiver = Receiver::new(reader, kind);
        while receiver.receive().expect("read") > 0 {}
        receiver.account.lost = Account::of_cursor(kind, &reader.cursor()).lost;
        receiver.account
    });
    while !sender.is_finished() {
        change(&ring);
    }
    // Then the end comes, also without hangup.
    ring.destroy();
    (sender.finish(), receiver.finish())
}

fn resize_under_load_loses_nothing() {
    for kind in Kind::all() {
        let mut random = Random::new(4);
        let (mut done, mut refused) = (0, 0);
        let (sent, received) =
            under_load(kind, |ring| match ring.resize(2048 << random.up_to(5)) {
                Ok(()) => done += 1,
                Err(Errno::EBUSY) => refused += 1,
                Err(error) => panic!("resize: {error}"),
            });
        note!("{kind}: {done} times, {refused} times there was too much");
        let all = received.received + received.lost + sent.dropped;
        assert_eq!(all, sent.sent, "{kind}");
        assert!(kind.overwrites() || received.lost == 0);
    }
}

fn clear_leaves_nothing_to_read() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_nonblocking(true);
        for round in 0..5 {
            for _ in 0..round {
                writer.put(&[b'x'; 600]);
            }
            ring.clear();
            assert_eq!(reader.available(), 0);
            assert_eq!(
                reader.ready(PollFlags::POLLIN),
                PollFlags::empty(),
                "{kind}"
            );
            assert_eq!(reader.take(1000), Err(Errno::EAGAIN));
            assert_eq!(ring.info().unread, 0);
            writer.put(b"new");
            assert_eq!(reader.take(1000), Ok(b"new".to_vec()));
        }
    }
}

fn clear_counts_what_it_takes_as_lost() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut receiver = Receiver::new(reader, kind);
        let mut sender = Sender::new(writer, kind, 1);
        let mut random = Random::new(6);
        for _ in 0..100 {
            for _ in 0..random.up_to(4) {
                sender.send(random.up_to(100)).expect("write");
            }
            if random.up_to(2) == 1 {
                receiver.receive().expect("read");
                // So that there is always room.
                ring.clear();
            }
            ring.clear();
        }
        let sent = sender.account;
        let cursor = Account::of_cursor(kind, &reader.cursor());
        assert_eq!(
            receiver.account.received + cursor.lost,
            sent.accepted,
            "{kind}"
        );
        assert!(cursor.lost > 0);
        if !kind.is_broadcast() {
            assert_eq!(Account::of_ring(kind, &ring.info()).lost, cursor.lost);
        }
    }
}

fn clear_leaves_nothing_for_those_who_come_later() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"secret");
        ring.clear();
        let late = ring.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let got = nix::unistd::read(&late, &mut [0; 100]);
        assert_eq!(got, Err(Errno::EAGAIN), "{kind}");
        if kind.is_broadcast() {
            lseek64(reader, 0, Whence::SeekSet).expect("lseek");
        }
        assert_eq!(reader.available(), 0, "{kind}");
    }
}

fn clear_without_readers_leaves_nothing() {
    for kind in Kind::all().filter(|kind| !kind.hangup) {
        let ring = Ring::small(kind);
        let writer = ring.writer();
        writer.put(b"secret");
        ring.clear();
        assert_eq!(writer.available(), 0, "{kind}");
        let reader = ring.reader();
        reader.set_nonblocking(true);
        assert_eq!(reader.take(100), Err(Errno::EAGAIN), "{kind}");
    }
}

fn clear_is_told_in_the_next_header() {
    for kind in Kind::all().filter(|kind| !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        for message in [b"1", b"2", b"3"] {
            writer.put(message);
        }
        let first = reader.take_records(33).expect("read");
        ring.clear();
        writer.put(b"4");
        let next = reader.take_records(1000).expect("read");
        assert_eq!(first[0].0.sequence, 0);
        assert_eq!((next[0].0.sequence, next[0].0.lost), (3, 2), "{kind}");
    }
}

fn clear_lets_blocked_writers_go_on() {
    for kind in Kind::all().filter(|kind| kind.blocks()) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let there = 4096 / stored(1000);
        let task = Task::asleep_in(Call::WRITE, move || {
            for _ in 0..there + 2 {
                writer.put(&[b'x'; 1000]);
            }
        });
        ring.clear();
        task.finish();
        assert!(reader.available() > 0);
    }
}

fn clear_under_load_keeps_the_accounts() {
    for kind in Kind::all() {
        let mut times = 0;
        let (sent, received) = under_load(kind, |ring| {
            ring.clear();
            times += 1;
        });
        let all = received.received + received.lost + sent.dropped;
        note!(
            "{kind}: cleared {times} times, {} of {} lost",
            received.lost,
            sent.sent
        );
        assert_eq!(all, sent.sent, "{kind}");
    }
}

/// Writers overtake the readers, which stand at several places, and then the ring is cleared.
fn clear_of_overwritten_records_keeps_the_accounts() {
    for kind in Kind::all().filter(|kind| kind.overwrites() && !kind.is_stream()) {
        let ring = Ring::small(kind);
        let (readers, writer) = ([ring.reader(), ring.reader()], ring.writer());
        let mut random = Random::new(2);
        let mut sent = 0;
        // The sequence number that each cursor comes to next.
        let mut next = [0; 2];
        for reader in readers {
            reader.set_headers(true);
            reader.set_nonblocking(true);
        }
        for round in 0..200 {
            for _ in 0..random.up_to(100) {
                writer.put(&vec![b'x'; random.up_to(200) as usize]);
                sent += 1;
            }
            for (number, reader) in readers.into_iter().enumerate() {
                let cursor = if kind.is_broadcast() { number } else { 0 };
                for _ in 0..random.up_to(3) {
                    let size = random.up_to(2000).max(300) as usize;
                    for (header, _) in reader.take_records(size).unwrap_or_default() {
                        let lost = header.sequence - next[cursor];
                        assert_eq!(header.lost, lost, "{kind}, round {round}");
                        next[cursor] = header.sequence + 1;
                    }
                }
            }
            if random.up_to(3) == 1 {
                ring.clear();
                for reader in readers {
                    let said = reader.cursor();
                    let all = said.records_out + said.records_lost;
                    assert_eq!((all, said.unread), (sent, 0), "{kind}, round {round}");
                    assert_eq!(reader.available(), 0);
                }
                assert_eq!(ring.info().unread, 0);
            }
        }
    }
}

/// The writers wait for as long as it takes.
fn clear_takes_no_longer_for_records_than_for_a_stream() {
    const STORED: usize = 256;
    // Far less than it would take to look at each record, and far more than what it varies by.
    const TIMES: u32 = 20;
    let capacity = by_lane(64 << 20, 4 << 20);
    let shortest = |kind: Kind| {
        let length = match kind.is_stream() {
            true => 16 * STORED,
            false => STORED - Header::SIZE,
        };
        let ring = Ring::new(kind, capacity);
        let (reader, writer) = (ring.reader(), ring.writer());
        let (control, message) = (control(), vec![b'x'; length]);
        let rounds = (1..=3).map(|round| {
            while writer.info().unread < capacity {
                for _ in 0..1000 {
                    writer.put(&message);
                }
            }
            let start = Instant::now();
            control.clear(ring.name()).expect("clear");
            let elapsed = start.elapsed();
            let (info, cursor) = (writer.info(), reader.cursor());
            let lost = (cursor.records_lost, cursor.bytes_lost);
            let sent = match kind.is_stream() {
                true => (0, info.bytes_in),
                false => (info.records_in, 0),
            };
            assert_eq!((lost, info.unread), (sent, 0), "{kind}, round {round}");
            elapsed
        });
        rounds.min().expect("some rounds")
    };
    for delivery in [STREAM, STREAM.broadcast()] {
        let stream = delivery.overwriting();
        let records = Kind {
            framing: RECORD.framing,
            ..stream
        };
        let (of_stream, of_records) = (shortest(stream), shortest(records));
        note!("{stream}: {of_stream:?}, {records}: {of_records:?}");
        assert!(of_records < TIMES * of_stream, "{records}: too long");
    }
}
