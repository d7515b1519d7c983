// SPDX-License-Identifier: GPL-2.0

//! poll(2) and select(2): what is reported, and who is woken when it changes.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::select::{FdSet, select};
use nix::sys::signal::{SaFlags, Signal};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::control::{Kind, Kinds, Ring};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::task::{Call, Process, Task, on_signal};

pub const TESTS: &[Test] = &[
    test!(poll_says_in_only_while_there_is_a_byte),
    test!(poll_says_out_only_while_pipe_buf_bytes_are_free),
    test!(poll_agrees_with_read_and_write).params("capacity=65536"),
    test!(poll_on_a_reading_end_never_says_out).small(),
    test!(poll_on_a_writing_end_never_says_in),
    test!(poll_never_says_hang_up_or_error),
    test!(poll_for_nothing_says_nothing),
    test!(poll_sleeps_until_there_is_a_byte),
    test!(poll_for_out_wakes_at_pipe_buf_and_a_writer_at_a_quarter),
    test!(poll_loop_of_blocking_pipes_never_sleeps_in_a_write),
    test!(poll_for_out_sleeps_through_writes).small(),
    test!(poll_for_in_sleeps_through_reads).small(),
    test!(poll_of_many_wakes_all).small(),
    test!(poll_and_a_blocked_reader_are_both_woken),
    test!(poll_and_a_blocked_writer_are_both_woken),
    test!(poll_of_both_directions_is_woken_by_either).small(),
    test!(poll_of_two_endpoints_reports_each),
    test!(poll_is_interrupted_by_a_signal),
    test!(poll_times_out),
    test!(select_agrees_with_poll),
    test!(select_is_woken).small(),
];

/// The longest write that does not wait while POLLOUT is set.
const PIPE_BUF: usize = libc::PIPE_BUF;

const IN: PollFlags = PollFlags::POLLIN.union(PollFlags::POLLRDNORM);
const OUT: PollFlags = PollFlags::POLLOUT.union(PollFlags::POLLWRNORM);

/// Everything that poll could say, asked for.
const ANYTHING: PollFlags = IN
    .union(OUT)
    .union(PollFlags::POLLPRI)
    .union(PollFlags::POLLRDBAND)
    .union(PollFlags::POLLWRBAND);

/// What poll says at once.
fn ready(ring: Endpoint, events: PollFlags) -> PollFlags {
    ring.ready(events)
}

fn poll(ring: Endpoint, events: PollFlags, timeout: PollTimeout) -> nix::Result<PollFlags> {
    ring.poll(events, timeout)
}

/// Sleeps until poll has something to say.
fn wait_for(ring: Endpoint, events: PollFlags) -> PollFlags {
    poll(ring, events, PollTimeout::NONE).expect("poll")
}

fn poll_says_in_only_while_there_is_a_byte() {
    let ring = Endpoint::both();
    assert_eq!(ready(ring, ANYTHING), OUT);
    ring.put(b"ab");
    assert_eq!(ready(ring, ANYTHING), IN | OUT);
    ring.take_exactly(1);
    assert_eq!(ready(ring, ANYTHING), IN | OUT);
    ring.take_exactly(1);
    assert_eq!(ready(ring, ANYTHING), OUT);
    // Full is a case of its own where positions are compared modulo the capacity.
    ring.fill();
    assert_eq!(ready(ring, ANYTHING), IN);
}

fn poll_says_out_only_while_pipe_buf_bytes_are_free() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    for free in [1, 100, PIPE_BUF - 1] {
        ring.take_exactly(free - (filled - ring.available()));
        assert_eq!(ready(ring, OUT), PollFlags::empty(), "{free} bytes free");
    }
    ring.take_exactly(1);
    assert_eq!(ready(ring, OUT), OUT, "PIPE_BUF bytes free");
    ring.put(b"x");
    assert_eq!(ready(ring, OUT), PollFlags::empty(), "one byte fewer");
}

fn poll_agrees_with_read_and_write() {
    const CAPACITY: usize = 1 << 16;
    let ring = Endpoint::both();
    ring.set_nonblocking(true);
    let mut out = [0; 2];
    // Sizes that meet both ends of the ring, and its seam, in all alignments.
    for (round, size) in (1..CAPACITY).step_by(977).enumerate() {
        let _ = ring.write(&vec![0; size]);
        if round % 3 == 0 {
            let _ = ring.take(size / 2 + 1);
        }
        let says = ready(ring, ANYTHING);
        assert_eq!(says.contains(IN), ring.available() > 0);
        let free = CAPACITY - ring.available();
        assert_eq!(says.contains(OUT), free >= PIPE_BUF, "{free} bytes free");
        out[usize::from(says.contains(OUT))] += 1;
        if says.contains(OUT) {
            ring.put(&[0; PIPE_BUF]);
        }
        let says = ready(ring, ANYTHING);
        let there = ring.take(1);
        assert_eq!(says.contains(IN), there.is_ok(), "{there:?}");
    }
    assert!(out.iter().all(|times| *times > 0), "{out:?}");
}

fn poll_on_a_reading_end_never_says_out() {
    let ring = Endpoint::reader();
    assert_eq!(ready(ring, ANYTHING), PollFlags::empty());
    Endpoint::writer().put(b"x");
    assert_eq!(ready(ring, ANYTHING), IN);
}

fn poll_on_a_writing_end_never_says_in() {
    let ring = Endpoint::writer();
    assert_eq!(ready(ring, ANYTHING), OUT);
    ring.put(b"x");
    assert_eq!(ready(ring, ANYTHING), OUT);
    Endpoint::both().fill();
    assert_eq!(ready(ring, ANYTHING), PollFlags::empty());
}

fn poll_never_says_hang_up_or_error() {
    // Those two are reported unasked. The ring outlives its users, so there is no cause.
    let reader = Endpoint::reader();
    assert_eq!(ready(reader, PollFlags::empty()), PollFlags::empty());
    Process::fork(|| Endpoint::writer().put(b"x")).finish();
    assert_eq!(ready(reader, ANYTHING), IN);
    reader.take_exactly(1);
    assert_eq!(ready(reader, ANYTHING), PollFlags::empty());
    Process::fork(|| {
        let writer = Endpoint::writer();
        assert_eq!(ready(writer, ANYTHING), OUT);
        writer.fill();
        assert_eq!(ready(writer, ANYTHING), PollFlags::empty());
    })
    .finish();
}

fn poll_for_nothing_says_nothing() {
    let ring = Endpoint::both();
    ring.put(b"x");
    assert_eq!(ready(ring, PollFlags::empty()), PollFlags::empty());
    assert_eq!(ready(ring, PollFlags::POLLIN), PollFlags::POLLIN);
    assert_eq!(ready(ring, PollFlags::POLLRDNORM), PollFlags::POLLRDNORM);
    assert_eq!(ready(ring, PollFlags::POLLOUT), PollFlags::POLLOUT);
    assert_eq!(ready(ring, PollFlags::POLLWRNORM), PollFlags::POLLWRNORM);
    assert_eq!(ready(ring, PollFlags::POLLPRI), PollFlags::empty());
}

fn poll_sleeps_until_there_is_a_byte() {
    let ring = Endpoint::both();
    let poller = Task::spawn(move || wait_for(ring, IN));
    poller.sleeper.sleeps_through(Call::POLL, || {});
    ring.put(b"x");
    assert_eq!(poller.finish(), IN);
    assert_eq!(ring.available(), 1, "poll takes nothing");
}

/// The streams whose writers wait.
fn blocking_streams() -> Kinds {
    Kind::all().filter(|kind| kind.is_stream() && kind.blocks())
}

fn poll_for_out_wakes_at_pipe_buf_and_a_writer_at_a_quarter() {
    const QUARTER: usize = 8 * PIPE_BUF;
    for kind in blocking_streams() {
        let ring = Ring::new(kind, 4 * QUARTER as u64);
        let (reader, writer) = (ring.reader(), ring.writer());
        assert_eq!(writer.fill(), 4 * QUARTER);
        let poller = Task::asleep_in(Call::POLL, move || wait_for(writer, OUT));
        let blocked = Task::asleep_in(Call::WRITE, move || writer.write(b"x"));
        poller.sleeper.sleeps_through(Call::POLL, || {
            reader.take_exactly(1);
            reader.take_exactly(PIPE_BUF - 2);
        });
        // The room for an atomic write wakes the poller, but not yet the writer.
        blocked.sleeper.sleeps_through(Call::WRITE, || {
            reader.take_exactly(1);
            assert_eq!(poller.finish(), OUT, "{kind}");
            reader.take_exactly(QUARTER - PIPE_BUF - 1);
        });
        reader.take_exactly(1);
        assert_eq!(blocked.finish(), Ok(1), "{kind}");
    }
}

/// Drives a child as subprocess.communicate() of Python does. The child answers ten bytes for each
/// byte that it reads. Both rings block, so that a write that POLLOUT did not cover ends in a
/// deadlock: the child sleeps as well, because its output is full.
fn poll_loop_of_blocking_pipes_never_sleeps_in_a_write() {
    const TOTAL: usize = 1 << 18;
    const EACH: usize = 10;
    for kind in blocking_streams() {
        let (input, output) = (Ring::new(kind, 1 << 16), Ring::new(kind, 1 << 16));
        let (child_reads, child_writes) = (input.reader(), output.writer());
        let (writer, reader) = (input.writer(), output.reader());
        let child = Process::fork(|| {
            let mut done = 0;
            while done < TOTAL {
                let count = child_reads.take(100).expect("read").len();
                child_writes.put(&vec![b'y'; EACH * count]);
                done += count;
            }
        });
        let parent = Task::spawn(move || {
            let (mut sent, mut received) = (0, 0);
            while received < EACH * TOTAL {
                let wanted = if sent < TOTAL {
                    OUT
                } else {
                    PollFlags::empty()
                };
                let mut fds = [
                    PollFd::new(reader.as_fd(), IN),
                    PollFd::new(writer.as_fd(), wanted),
                ];
                nix::poll::poll(&mut fds, PollTimeout::NONE).expect("poll");
                let says = fds.map(|fd| fd.revents().expect("flags that nix knows"));
                if says[1].intersects(OUT) {
                    let piece = PIPE_BUF.min(TOTAL - sent);
                    writer.put(&vec![b'x'; piece]);
                    sent += piece;
                }
                if says[0].intersects(IN) {
                    received += reader.take(1 << 15).expect("read").len();
                }
            }
            received
        });
        let in_time = parent.ends_before_it_sleeps_in(Call::WRITE);
        assert!(in_time, "{kind}: the write that poll promised sleeps");
        assert_eq!(parent.finish(), EACH * TOTAL);
        child.finish();
    }
}

fn poll_for_out_sleeps_through_writes() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    reader.available();
    let filled = writer.fill();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(writer, OUT));
    writer.set_nonblocking(true);
    poller.sleeper.sleeps_through(Call::POLL, || {
        assert_eq!(writer.write(b"x"), Err(Errno::EAGAIN));
    });
    reader.take_exactly(filled);
    assert_eq!(poller.finish(), OUT);
}

fn poll_for_in_sleeps_through_reads() {
    let reader = Endpoint::reader();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(reader, IN));
    let other = Endpoint::reader();
    other.set_nonblocking(true);
    poller.sleeper.sleeps_through(Call::POLL, || {
        assert_eq!(other.take(1), Err(Errno::EAGAIN));
    });
    Endpoint::writer().put(b"x");
    assert_eq!(poller.finish(), IN);
}

fn poll_of_many_wakes_all() {
    let ring = Endpoint::both();
    // Some share a description, some have their own.
    let pollers: Vec<_> = (0..24)
        .map(|number| {
            let end = if number % 2 == 0 {
                ring
            } else {
                Endpoint::reader()
            };
            Task::asleep_in(Call::POLL, move || wait_for(end, IN))
        })
        .collect();
    ring.put(b"x");
    for poller in pollers {
        assert_eq!(poller.finish(), IN);
    }
    ring.take_exactly(1);

    let filled = ring.fill();
    let pollers: Vec<_> = (0..24)
        .map(|number| {
            let end = if number % 2 == 0 {
                ring
            } else {
                Endpoint::writer()
            };
            Task::asleep_in(Call::POLL, move || wait_for(end, OUT))
        })
        .collect();
    ring.take_exactly(filled);
    for poller in pollers {
        assert_eq!(poller.finish(), OUT);
    }
}

fn poll_and_a_blocked_reader_are_both_woken() {
    // In either order of arrival: neither may use up the other's wake-up.
    for poller_first in [true, false] {
        let ring = Endpoint::both();
        let poll = move || Task::asleep_in(Call::POLL, move || wait_for(ring, IN));
        let read = move || Task::asleep_in(Call::READ, move || ring.take(1));
        let (poller, reader) = if poller_first {
            let poller = poll();
            (poller, read())
        } else {
            let reader = read();
            (poll(), reader)
        };
        // The reader takes a byte and leaves one, so that the poller has its cause.
        ring.put(b"xx");
        assert_eq!(reader.finish(), Ok(b"x".to_vec()));
        assert_eq!(poller.finish(), IN);
        ring.take_exactly(1);
    }
}

fn poll_and_a_blocked_writer_are_both_woken() {
    for poller_first in [true, false] {
        let ring = Endpoint::both();
        let filled = ring.fill();
        let poll = move || Task::asleep_in(Call::POLL, move || wait_for(ring, OUT));
        // Large enough a ring for both, whichever is the first.
        let write = move || Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
        let (poller, writer) = if poller_first {
            let poller = poll();
            (poller, write())
        } else {
            let writer = write();
            (poll(), writer)
        };
        ring.take_exactly(filled);
        assert_eq!(writer.finish(), Ok(1));
        assert_eq!(poller.finish(), OUT);
        ring.drain();
    }
}

fn poll_of_both_directions_is_woken_by_either() {
    // A ring is never both full and empty, so only an endpoint for one direction can sleep
    // while it asks for both.
    let reader = Endpoint::reader();
    let writer = Endpoint::writer();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(reader, ANYTHING));
    writer.put(b"x");
    assert_eq!(poller.finish(), IN);
    let filled = 1 + writer.fill();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(writer, ANYTHING));
    reader.take_exactly(filled);
    assert_eq!(poller.finish(), OUT);
}

fn poll_of_two_endpoints_reports_each() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let mut fds = [
        PollFd::new(reader.as_fd(), ANYTHING),
        PollFd::new(writer.as_fd(), ANYTHING),
    ];
    assert_eq!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(1));
    assert_eq!(fds[0].revents(), Some(PollFlags::empty()));
    assert_eq!(fds[1].revents(), Some(OUT));
    writer.put(b"x");
    assert_eq!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(2));
    assert_eq!(fds[0].revents(), Some(IN));
    assert_eq!(fds[1].revents(), Some(OUT));
}

fn poll_is_interrupted_by_a_signal() {
    // poll is not restarted, whatever the handler's flags say.
    on_signal(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let ring = Endpoint::both();
    let poller = Task::asleep_in(Call::POLL, move || poll(ring, IN, PollTimeout::NONE));
    poller.sleeper.signal(Signal::SIGUSR1);
    assert_eq!(poller.finish(), Err(Errno::EINTR));
}

fn poll_times_out() {
    let ring = Endpoint::both();
    let timeout = PollTimeout::from(20_u8);
    assert_eq!(poll(ring, IN, timeout), Ok(PollFlags::empty()));
}

/// What select says at once: readable, writable, exceptional.
fn selected(ring: Endpoint) -> (bool, bool, bool) {
    let (mut readable, mut writable, mut exceptional) = (FdSet::new(), FdSet::new(), FdSet::new());
    for set in [&mut readable, &mut writable, &mut exceptional] {
        set.insert(ring.as_fd());
    }
    let nothing_longer = &mut TimeVal::zero();
    let count = select(
        ring.as_raw_fd() + 1,
        &mut readable,
        &mut writable,
        &mut exceptional,
        nothing_longer,
    );
    let says = (
        readable.contains(ring.as_fd()),
        writable.contains(ring.as_fd()),
        exceptional.contains(ring.as_fd()),
    );
    let bits = i32::from(says.0) + i32::from(says.1) + i32::from(says.2);
    assert_eq!(count, Ok(bits));
    says
}

fn select_agrees_with_poll() {
    let ring = Endpoint::both();
    assert_eq!(selected(ring), (false, true, false), "empty");
    ring.put(b"x");
    assert_eq!(selected(ring), (true, true, false), "a byte");
    ring.fill();
    assert_eq!(selected(ring), (true, false, false), "full");
}

fn select_is_woken() {
    let ring = Endpoint::both();
    let (sender, receiver) = std::sync::mpsc::channel();
    let selecting = Task::spawn(move || {
        let mut readable = FdSet::new();
        readable.insert(ring.as_fd());
        sender.send(()).expect("the test waits");
        select(None, &mut readable, None, None, None)
    });
    receiver.recv().expect("it is about to select");
    // Asleep or not yet: the byte must be noticed in both cases.
    ring.put(b"x");
    assert_eq!(selecting.finish(), Ok(1));
}
