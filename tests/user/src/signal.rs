// SPDX-License-Identifier: GPL-2.0

//! Signals: every sleep can be interrupted, and none of them loses or repeats a byte.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SaFlags, Signal};

use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task, be_urgent, on_signal, stay_on_cpu};

pub const TESTS: &[Test] = &[
    test!(signal_interrupts_a_blocked_read),
    test!(signal_restarts_a_blocked_read),
    test!(signal_interrupts_a_blocked_write).small(),
    test!(signal_restarts_a_blocked_write).small(),
    test!(signal_after_progress_makes_a_short_write).small(),
    test!(signal_ignored_does_not_end_a_read),
    test!(signal_storm_loses_and_repeats_nothing)
        .small()
        .seconds(40),
    test!(sigkill_ends_a_blocked_read),
    test!(sigkill_ends_a_blocked_write).small(),
    test!(sigkill_ends_a_write_with_progress).small(),
    test!(sigkill_ends_a_poll),
    test!(sigkill_ends_an_epoll_wait),
    test!(sigkill_of_a_woken_reader_passes_the_wake_up_on).seconds(40),
    test!(sigkill_of_a_woken_writer_passes_the_wake_up_on)
        .small()
        .seconds(40),
    test!(sigkill_of_all_waiters_leaves_the_ring_usable).small(),
    test!(stopped_read_goes_on_when_continued),
    test!(stopped_write_goes_on_when_continued).small(),
    test!(stopped_reader_does_not_keep_data_from_others),
];

const SMALL: usize = 4096;
const USR1: Signal = Signal::SIGUSR1;

fn signal_interrupts_a_blocked_read() {
    on_signal(USR1, SaFlags::empty());
    let ring = Endpoint::both();
    let reader = Task::asleep_in(Call::READ, move || ring.take(10));
    reader.sleeper.signal(USR1);
    assert_eq!(reader.finish(), Err(Errno::EINTR));
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn signal_restarts_a_blocked_read() {
    on_signal(USR1, SaFlags::SA_RESTART);
    let ring = Endpoint::both();
    let reader = Task::asleep_in(Call::READ, move || ring.take(10));
    for _ in 0..5 {
        reader.sleeper.signal(USR1);
        reader.sleeper.await_sleep_in(Call::READ);
    }
    ring.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn signal_interrupts_a_blocked_write() {
    on_signal(USR1, SaFlags::empty());
    let ring = Endpoint::both();
    let filled = ring.fill();
    for size in [1, 4096, 10_000] {
        let writer = Task::asleep_in(Call::WRITE, move || ring.write(&vec![b'x'; size]));
        writer.sleeper.signal(USR1);
        assert_eq!(writer.finish(), Err(Errno::EINTR));
    }
    let bytes = ring.drain();
    assert_eq!(bytes.len(), filled, "an interrupted write adds nothing");
    assert_pattern(&bytes, 0);
}

fn signal_restarts_a_blocked_write() {
    on_signal(USR1, SaFlags::SA_RESTART);
    let ring = Endpoint::both();
    let filled = ring.fill();
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"once"));
    for _ in 0..5 {
        writer.sleeper.signal(USR1);
        writer.sleeper.await_sleep_in(Call::WRITE);
    }
    ring.take_exactly(filled);
    assert_eq!(writer.finish(), Ok(4));
    assert_eq!(ring.drain(), b"once");
}

fn signal_after_progress_makes_a_short_write() {
    // SA_RESTART must not matter: a restart would write the first part twice.
    for flags in [SaFlags::empty(), SaFlags::SA_RESTART] {
        on_signal(USR1, flags);
        let ring = Endpoint::both();
        let writer = Task::asleep_in(Call::WRITE, move || ring.write(&pattern(0, 3 * SMALL)));
        assert_eq!(ring.available(), SMALL, "the first part is in");
        writer.sleeper.signal(USR1);
        assert_eq!(writer.finish(), Ok(SMALL));
        let bytes = ring.drain();
        assert_eq!(bytes.len(), SMALL);
        assert_pattern(&bytes, 0);
    }
}

fn signal_ignored_does_not_end_a_read() {
    // A signal that is not delivered is no reason to come back.
    let ring = Endpoint::both();
    let reader = Task::asleep_in(Call::READ, move || ring.take(10));
    reader
        .sleeper
        .sleeps_through(Call::READ, || reader.sleeper.signal(Signal::SIGURG));
    ring.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

/// Interrupts a reader and a writer at points nobody chose, and checks the stream.
fn signal_storm_loses_and_repeats_nothing() {
    on_signal(USR1, SaFlags::empty());
    let total = by_lane(2_000_000, 300_000);
    let ring = Endpoint::both();
    let writer = Task::spawn(move || {
        let (mut written, mut interrupted) = (0, 0);
        while written < total {
            let size = (total - written).min(3 * SMALL as u64) as usize;
            match ring.write(&pattern(written, size)) {
                Ok(count) => {
                    interrupted += u64::from(count < size);
                    written += count as u64;
                }
                Err(Errno::EINTR) => interrupted += 1,
                Err(error) => panic!("write: {error}"),
            }
        }
        interrupted
    });
    let reader = Task::spawn(move || {
        let (mut read, mut interrupted) = (0, 0);
        while read < total {
            match ring.take(5000) {
                Ok(bytes) => {
                    assert_pattern(&bytes, read);
                    read += bytes.len() as u64;
                }
                Err(Errno::EINTR) => interrupted += 1,
                Err(error) => panic!("read: {error}"),
            }
        }
        interrupted
    });
    while !reader.is_finished() && !writer.is_finished() {
        for thread in [reader.sleeper, writer.sleeper] {
            // One of them may end at any moment.
            assert!(matches!(
                thread.try_signal(USR1),
                Ok(()) | Err(Errno::ESRCH)
            ));
        }
        std::thread::yield_now();
    }
    let (reads, writes) = (reader.finish(), writer.finish());
    note!("{total} bytes, {reads} reads and {writes} writes interrupted");
    assert_eq!(ring.available(), 0);
}

fn sigkill_ends_a_blocked_read() {
    let ring = Endpoint::both();
    Process::asleep_in(Call::READ, || {
        let _ = ring.take(10);
    })
    .kill_for_good();
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn sigkill_ends_a_blocked_write() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    Process::asleep_in(Call::WRITE, || {
        let _ = ring.write(b"never");
    })
    .kill_for_good();
    let bytes = ring.drain();
    assert_eq!(bytes.len(), filled);
    assert_pattern(&bytes, 0);
}

fn sigkill_ends_a_write_with_progress() {
    let ring = Endpoint::both();
    Process::asleep_in(Call::WRITE, || {
        let _ = ring.write(&pattern(0, 3 * SMALL));
    })
    .kill_for_good();
    // What was in stays in, and it is the beginning.
    let bytes = ring.drain();
    assert_eq!(bytes.len(), SMALL);
    assert_pattern(&bytes, 0);
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn sigkill_ends_a_poll() {
    let ring = Endpoint::both();
    Process::asleep_in(Call::POLL, || {
        let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::NONE);
    })
    .kill_for_good();
    // The dead poller is gone from the queue that this wakes.
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn sigkill_ends_an_epoll_wait() {
    let ring = Endpoint::both();
    Process::asleep_in(Call::EPOLL_WAIT, || {
        let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        set.add(ring, event).expect("add");
        let _ = set.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE);
    })
    .kill_for_good();
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

/// The reader that a write wakes is killed before it can run. Whether it takes one of the
/// two bytes with it or none, the other reader must hear that there is something to read.
fn sigkill_of_a_woken_reader_passes_the_wake_up_on() {
    let rounds = by_lane(60, 20);
    let ring = Endpoint::both();
    let mut left_both = 0;
    for _ in 0..rounds {
        let doomed = Process::asleep_in(Call::READ, || {
            stay_on_cpu(0);
            let _ = ring.take(1);
        });
        let other = Process::asleep_in(Call::READ, || {
            assert_eq!(ring.take(1).map(|bytes| bytes.len()), Ok(1));
        });
        Process::fork(|| {
            stay_on_cpu(0);
            be_urgent(1);
            ring.put(b"xy");
            doomed.kill(Signal::SIGKILL);
        })
        .finish();
        doomed.wait();
        other.finish();
        let left = ring.drain().len();
        assert!(left <= 1);
        left_both += left;
    }
    note!("{rounds} rounds, the dead reader took nothing in {left_both}");
}

/// The same for writers: the one that is woken is killed, the other must get in.
fn sigkill_of_a_woken_writer_passes_the_wake_up_on() {
    let rounds = by_lane(60, 20);
    let ring = Endpoint::both();
    let mut killed_first = 0;
    for _ in 0..rounds {
        ring.fill();
        let doomed = Process::asleep_in(Call::WRITE, || {
            stay_on_cpu(0);
            let _ = ring.write(b"d");
        });
        let other = Process::asleep_in(Call::WRITE, || ring.put(b"o"));
        Process::fork(|| {
            stay_on_cpu(0);
            be_urgent(1);
            ring.take_exactly(SMALL);
            doomed.kill(Signal::SIGKILL);
        })
        .finish();
        doomed.wait();
        // Nobody reads any more: the one read above must do for both.
        other.finish();
        let mut bytes = ring.drain();
        bytes.sort_unstable();
        match bytes.as_slice() {
            b"o" => killed_first += 1,
            b"do" => {}
            bytes => panic!("found {bytes:?}"),
        }
    }
    note!("{rounds} rounds, killed before it could write in {killed_first}");
}

fn sigkill_of_all_waiters_leaves_the_ring_usable() {
    let ring = Endpoint::both();
    for round in 0..by_lane(20, 5) {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                Process::asleep_in(Call::READ, || {
                    let _ = ring.take(10);
                })
            })
            .collect();
        for reader in readers {
            reader.kill_for_good();
        }
        ring.fill();
        let writers: Vec<_> = (0..4)
            .map(|_| {
                Process::asleep_in(Call::WRITE, || {
                    let _ = ring.write(b"x");
                })
            })
            .collect();
        for writer in writers {
            writer.kill_for_good();
        }
        assert_eq!(ring.drain().len(), SMALL, "round {round}");
    }
}

fn stopped_read_goes_on_when_continued() {
    let ring = Endpoint::both();
    let reader = Process::asleep_in(Call::READ, || {
        assert_eq!(ring.take(10), Ok(b"x".to_vec()));
    });
    for _ in 0..3 {
        reader.kill(Signal::SIGSTOP);
        reader.await_stop();
        reader.kill(Signal::SIGCONT);
        reader.sleeper.await_sleep_in(Call::READ);
    }
    ring.put(b"x");
    reader.finish();
}

fn stopped_write_goes_on_when_continued() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let writer = Process::asleep_in(Call::WRITE, || ring.put(b"once"));
    for _ in 0..3 {
        writer.kill(Signal::SIGSTOP);
        writer.await_stop();
        writer.kill(Signal::SIGCONT);
        writer.sleeper.await_sleep_in(Call::WRITE);
    }
    ring.take_exactly(filled);
    writer.finish();
    assert_eq!(ring.drain(), b"once");
}

fn stopped_reader_does_not_keep_data_from_others() {
    let ring = Endpoint::both();
    let stopped = Process::asleep_in(Call::READ, || {
        assert_eq!(ring.take(1), Ok(b"y".to_vec()));
    });
    let other = Task::asleep_in(Call::READ, move || ring.take(1));
    stopped.kill(Signal::SIGSTOP);
    stopped.await_stop();
    // It was first in the queue, but it is in no state to be woken.
    ring.put(b"x");
    assert_eq!(other.finish(), Ok(b"x".to_vec()));
    stopped.kill(Signal::SIGCONT);
    stopped.sleeper.await_sleep_in(Call::READ);
    ring.put(b"y");
    stopped.finish();
}
