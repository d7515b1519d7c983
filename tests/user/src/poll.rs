// SPDX-License-Identifier: GPL-2.0

//! poll(2) and select(2): what is reported, and who is woken when it changes.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::select::{FdSet, select};
use nix::sys::signal::{SaFlags, Signal};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::task::{Call, Process, Task, on_signal};

pub const TESTS: &[Test] = &[
    test!(poll_says_in_only_while_there_is_a_byte).small(),
    test!(poll_says_out_only_while_one_byte_fits).small(),
    test!(poll_agrees_with_read_and_write).small(),
    test!(poll_on_a_reading_end_never_says_out).small(),
    test!(poll_on_a_writing_end_never_says_in).small(),
    test!(poll_never_says_hang_up_or_error).small(),
    test!(poll_for_nothing_says_nothing),
    test!(poll_sleeps_until_there_is_a_byte),
    test!(poll_sleeps_until_a_byte_fits).small(),
    test!(poll_for_out_sleeps_through_writes).small(),
    test!(poll_for_in_sleeps_through_reads).small(),
    test!(poll_of_many_wakes_all).small(),
    test!(poll_and_a_blocked_reader_are_both_woken),
    test!(poll_and_a_blocked_writer_are_both_woken).small(),
    test!(poll_of_both_directions_is_woken_by_either).small(),
    test!(poll_of_two_endpoints_reports_each),
    test!(poll_is_interrupted_by_a_signal),
    test!(poll_times_out),
    test!(select_agrees_with_poll).small(),
    test!(select_is_woken).small(),
];

const SMALL: usize = 4096;

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

fn poll_says_out_only_while_one_byte_fits() {
    let ring = Endpoint::both();
    ring.put(&[0; SMALL - 1]);
    assert_eq!(ready(ring, OUT), OUT, "one byte fits");
    ring.put(b"x");
    assert_eq!(ready(ring, OUT), PollFlags::empty(), "none fits");
    // Exact: no watermark, though a blocked writer would want more.
    ring.take_exactly(1);
    assert_eq!(ready(ring, OUT), OUT, "one fits again");
}

fn poll_agrees_with_read_and_write() {
    let ring = Endpoint::both();
    ring.set_nonblocking(true);
    // Sizes that meet both ends of the ring, and its seam, in all alignments.
    for (round, size) in (1..SMALL).step_by(61).enumerate() {
        let _ = ring.write(&vec![0; size]);
        if round % 3 == 0 {
            let _ = ring.take(size / 2 + 1);
        }
        let says = ready(ring, ANYTHING);
        assert_eq!(says.contains(IN), ring.available() > 0);
        let fits = ring.write(b"x");
        assert_eq!(says.contains(OUT), fits.is_ok(), "{fits:?}");
        let says = ready(ring, ANYTHING);
        let there = ring.take(1);
        assert_eq!(says.contains(IN), there.is_ok(), "{there:?}");
    }
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

fn poll_sleeps_until_a_byte_fits() {
    let ring = Endpoint::both();
    ring.fill();
    let poller = Task::spawn(move || wait_for(ring, OUT));
    poller.sleeper.sleeps_through(Call::POLL, || {});
    // Unlike a blocked writer, it is woken by the first byte of room.
    ring.take_exactly(1);
    assert_eq!(poller.finish(), OUT);
}

fn poll_for_out_sleeps_through_writes() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    reader.available();
    writer.fill();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(writer, OUT));
    writer.set_nonblocking(true);
    poller.sleeper.sleeps_through(Call::POLL, || {
        assert_eq!(writer.write(b"x"), Err(Errno::EAGAIN));
    });
    reader.take_exactly(1);
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

    ring.fill();
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
    ring.take_exactly(1);
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
        ring.fill();
        let poll = move || Task::asleep_in(Call::POLL, move || wait_for(ring, OUT));
        let write = move || Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
        let (poller, writer) = if poller_first {
            let poller = poll();
            (poller, write())
        } else {
            let writer = write();
            (poll(), writer)
        };
        ring.take_exactly(SMALL);
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
    writer.fill();
    let poller = Task::asleep_in(Call::POLL, move || wait_for(writer, ANYTHING));
    reader.take_exactly(1);
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
