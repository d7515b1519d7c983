// SPDX-License-Identifier: GPL-2.0

//! SIGIO: a signal when reading or writing has become possible.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Whence, close, getpid, gettid, lseek64};

use crate::control::{Kind, Ring};
use crate::endpoint::{Endpoint, open_ring};
use crate::hangup::Pair;
use crate::harness::{Test, by_lane, test};
use crate::random::Random;
use crate::task::{Call, Process, Task, be_urgent, stay_on_cpu};

pub const TESTS: &[Test] = &[
    test!(sigio_tells_a_reader_of_each_write),
    test!(sigio_tells_a_writer_when_a_full_ring_is_read).small(),
    test!(sigio_tells_a_writer_when_pipe_buf_bytes_are_free),
    test!(sigio_carries_descriptor_and_band).small(),
    test!(sigio_goes_to_the_thread_that_owns_it),
    test!(sigio_goes_to_another_process),
    test!(sigio_ends_when_o_async_is_cleared),
    test!(sigio_ends_although_two_threads_changed_o_async),
    test!(sigio_ends_with_the_endpoint),
    test!(sigio_without_an_owner_goes_nowhere),
    test!(sigio_to_several_endpoints_reaches_each),
    test!(sigio_of_an_endpoint_for_both_directions_tells_of_both_as_of_a_fifo),
    test!(sigio_tells_of_a_hangup_as_of_a_fifos),
    test!(sigio_tells_of_a_clear_and_of_a_destroy),
    test!(sigio_does_not_tell_of_what_another_reader_does),
    test!(sigio_does_not_come_from_the_writer_that_waits),
];

/// What si_code says of a queued SIGIO (asm-generic/siginfo.h).
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;

fn only(signal: Signal) -> SigSet {
    let mut set = SigSet::empty();
    set.add(signal);
    set
}

/// Blocks a signal, so that it stays pending until the test looks at it.
fn hold(signal: Signal) {
    only(signal).thread_block().expect("block a signal");
}

/// Takes a pending signal, if there is one.
fn pending(signal: Signal) -> Option<libc::siginfo_t> {
    let set = only(signal);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: an all-zero siginfo_t is a valid one.
    let mut info = unsafe { std::mem::zeroed() };
    // SAFETY: all three are borrowed for the call.
    let taken = unsafe { libc::sigtimedwait(set.as_ref(), &mut info, &at_once) };
    match Errno::result(taken) {
        Ok(number) => {
            assert_eq!(number, signal as i32);
            Some(info)
        }
        Err(Errno::EAGAIN) => None,
        Err(error) => panic!("sigtimedwait: {error}"),
    }
}

/// Asks for SIGIO to be sent to this process.
fn ask(ring: Endpoint) {
    own(ring);
    set_async(ring, true);
}

/// Makes this process the one that SIGIO is sent to, if it is sent.
fn own(ring: Endpoint) {
    let pid = getpid().as_raw();
    // SAFETY: F_SETOWN takes an integer and touches no memory.
    let set = unsafe { libc::fcntl(ring.as_raw_fd(), libc::F_SETOWN, pid) };
    Errno::result(set).expect("F_SETOWN");
}

fn set_async(ring: Endpoint, on: bool) {
    let mut flags = ring.flags();
    flags.set(OFlag::O_ASYNC, on);
    fcntl(ring, FcntlArg::F_SETFL(flags)).expect("F_SETFL");
}

/// F_SETSIG: which signal to send instead of SIGIO, with details.
fn choose_signal(ring: Endpoint, signal: Signal) {
    const F_SETSIG: i32 = 10;
    // SAFETY: F_SETSIG takes an integer and touches no memory.
    let set = unsafe { libc::fcntl(ring.as_raw_fd(), F_SETSIG, signal as i32) };
    Errno::result(set).expect("F_SETSIG");
}

fn sigio_tells_a_reader_of_each_write() {
    hold(Signal::SIGIO);
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    ask(reader);
    assert!(pending(Signal::SIGIO).is_none());
    for _ in 0..5 {
        writer.put(b"x");
        assert!(pending(Signal::SIGIO).is_some());
        assert!(pending(Signal::SIGIO).is_none(), "one write, one signal");
    }
    // What a reader does is no news for readers.
    reader.take_exactly(5);
    assert!(pending(Signal::SIGIO).is_none());
}

fn sigio_tells_a_writer_when_a_full_ring_is_read() {
    hold(Signal::SIGIO);
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    ask(writer);
    let filled = writer.fill();
    assert!(pending(Signal::SIGIO).is_none());
    reader.take_exactly(1);
    assert!(pending(Signal::SIGIO).is_some());
    writer.put(b"x");
    assert!(pending(Signal::SIGIO).is_none());
    reader.take_exactly(filled);
    assert!(pending(Signal::SIGIO).is_some());
}

fn sigio_tells_a_writer_when_pipe_buf_bytes_are_free() {
    hold(Signal::SIGIO);
    for kind in Kind::all().filter(|kind| kind.is_stream() && kind.blocks()) {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        ask(writer);
        writer.fill();
        reader.take_exactly(libc::PIPE_BUF - 1);
        // It may have come with each read, but then there was no room.
        while pending(Signal::SIGIO).is_some() {
            assert_eq!(writer.ready(PollFlags::POLLOUT), PollFlags::empty());
        }
        reader.take_exactly(1);
        assert!(pending(Signal::SIGIO).is_some(), "{kind}");
        assert_eq!(writer.ready(PollFlags::POLLOUT), PollFlags::POLLOUT);
        set_async(writer, false);
    }
}

fn sigio_carries_descriptor_and_band() {
    hold(Signal::SIGUSR1);
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    for end in [reader, writer] {
        ask(end);
        choose_signal(end, Signal::SIGUSR1);
    }
    writer.put(b"x");
    let news = pending(Signal::SIGUSR1).expect("the news of a byte");
    assert_eq!(news.si_code, POLL_IN);
    assert_eq!(
        poll_details(&news),
        (reader.as_raw_fd(), libc::POLLIN | libc::POLLRDNORM)
    );

    writer.fill();
    while pending(Signal::SIGUSR1).is_some() {}
    reader.take_exactly(1);
    let news = pending(Signal::SIGUSR1).expect("the news of room");
    assert_eq!(news.si_code, POLL_OUT);
    let room = libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND;
    assert_eq!(poll_details(&news), (writer.as_raw_fd(), room));
}

/// The descriptor and the band of a signal that F_SETSIG asked for.
fn poll_details(info: &libc::siginfo_t) -> (i32, i16) {
    #[repr(C)]
    struct Poll {
        signo: i32,
        errno: i32,
        code: i32,
        band: libc::c_long,
        fd: i32,
    }
    // SAFETY: for POLL_* codes the kernel fills the union of siginfo_t in this way, and a
    // siginfo_t is larger and as strictly aligned.
    let poll = unsafe { &*std::ptr::from_ref(info).cast::<Poll>() };
    assert_eq!((poll.signo, poll.errno), (info.si_signo, info.si_errno));
    assert_eq!(poll.code, info.si_code);
    (poll.fd, poll.band as i16)
}

fn sigio_goes_to_the_thread_that_owns_it() {
    #[repr(C)]
    struct Owner {
        kind: i32,
        pid: i32,
    }
    const F_SETOWN_EX: i32 = 15;
    const F_OWNER_TID: i32 = 0;

    hold(Signal::SIGIO);
    let ring = Endpoint::both();
    let (done, go) = mpsc::channel::<()>();
    let owner = Task::spawn(move || {
        // Held here too, as a thread inherits the mask. Only this thread can take it.
        go.recv().expect("the test tells when");
        pending(Signal::SIGIO).is_some()
    });
    let named = Owner {
        kind: F_OWNER_TID,
        pid: owner.sleeper.tid().as_raw(),
    };
    // SAFETY: the structure is the one that F_SETOWN_EX reads.
    let set = unsafe { libc::fcntl(ring.as_raw_fd(), F_SETOWN_EX, &raw const named) };
    Errno::result(set).expect("F_SETOWN_EX");
    set_async(ring, true);
    ring.put(b"x");
    assert_ne!(gettid(), owner.sleeper.tid());
    assert!(pending(Signal::SIGIO).is_none(), "it is another thread's");
    done.send(()).expect("the owner waits");
    assert!(owner.finish(), "the owner has it");
}

fn sigio_goes_to_another_process() {
    hold(Signal::SIGIO);
    let reader = Endpoint::reader();
    ask(reader);
    Process::fork(|| {
        Endpoint::writer().put(b"x");
        assert!(pending(Signal::SIGIO).is_none(), "it is the owner's");
    })
    .finish();
    assert!(pending(Signal::SIGIO).is_some());
}

fn sigio_ends_when_o_async_is_cleared() {
    hold(Signal::SIGIO);
    let ring = Endpoint::both();
    for _ in 0..3 {
        ask(ring);
        ring.put(b"x");
        assert!(pending(Signal::SIGIO).is_some());
        set_async(ring, false);
        ring.put(b"x");
        assert!(pending(Signal::SIGIO).is_none());
    }
}

/// One thread sets and clears it, and another, which is more urgent and on the same processor,
/// sets it once in between, wherever the first one is then.
fn sigio_ends_although_two_threads_changed_o_async() {
    hold(Signal::SIGIO);
    let writer = Endpoint::writer();
    let came = Arc::new(AtomicBool::new(false));
    let (send, rings) = mpsc::channel::<Endpoint>();
    let comes = Arc::clone(&came);
    let _other = Task::spawn(move || {
        stay_on_cpu(0);
        be_urgent(1);
        let mut random = Random::new(1);
        for ring in rings {
            thread::sleep(Duration::from_micros(random.up_to(200)));
            set_async(ring, true);
            comes.store(true, Ordering::Relaxed);
        }
    });
    stay_on_cpu(0);
    for round in 0..by_lane(400, 100) {
        let ring = Endpoint::both();
        own(ring);
        came.store(false, Ordering::Relaxed);
        send.send(ring).expect("the other waits");
        while !came.load(Ordering::Relaxed) {
            set_async(ring, true);
            set_async(ring, false);
        }
        // Now nobody changes it any more, whichever was the last.
        set_async(ring, false);
        ring.put(b"x");
        assert!(pending(Signal::SIGIO).is_none(), "round {round}");
        set_async(ring, true);
        ring.put(b"x");
        assert!(pending(Signal::SIGIO).is_some(), "round {round}");
        set_async(ring, false);
        ring.put(b"x");
        assert!(pending(Signal::SIGIO).is_none(), "round {round}");
        close(ring.as_raw_fd()).expect("close");
        writer.put(b"x");
        assert!(pending(Signal::SIGIO).is_none(), "round {round}");
    }
}

fn sigio_ends_with_the_endpoint() {
    hold(Signal::SIGIO);
    let writer = Endpoint::writer();
    for _ in 0..20 {
        let fd = open_ring(OFlag::O_RDONLY).expect("open");
        // The same descriptor, kept by nobody: closed when `fd` is dropped.
        let pid = getpid().as_raw();
        // SAFETY: both take integers and touch no memory.
        unsafe {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETOWN, pid);
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC);
        }
        writer.put(b"x");
        assert!(pending(Signal::SIGIO).is_some());
        drop(fd);
        writer.put(b"x");
        assert!(pending(Signal::SIGIO).is_none());
    }
}

fn sigio_without_an_owner_goes_nowhere() {
    hold(Signal::SIGIO);
    let ring = Endpoint::both();
    set_async(ring, true);
    ring.put(b"x");
    assert!(pending(Signal::SIGIO).is_none());
}

fn sigio_to_several_endpoints_reaches_each() {
    let signals = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGIO];
    let ends = signals.map(|signal| {
        hold(signal);
        let end = Endpoint::reader();
        ask(end);
        choose_signal(end, signal);
        end
    });
    Endpoint::writer().put(b"x");
    for (signal, end) in signals.into_iter().zip(ends) {
        let news = pending(signal).expect("each is told");
        assert_eq!(poll_details(&news).0, end.as_raw_fd());
    }
}

/// Takes all pending signals of a kind, and returns why they were sent: `POLL_IN`, `POLL_OUT`.
fn reasons(signal: Signal) -> Vec<i32> {
    std::iter::from_fn(|| pending(signal))
        .map(|news| news.si_code)
        .collect()
}

fn sigio_of_an_endpoint_for_both_directions_tells_of_both_as_of_a_fifo() {
    let signal = Signal::SIGUSR1;
    hold(signal);
    let pair = Pair::new();
    let (asking, others) = (pair.open(OFlag::O_RDWR), pair.open(OFlag::O_RDWR));
    for (asks, other) in asking.0.into_iter().zip(others.0) {
        ask(asks);
        choose_signal(asks, signal);
        other.put(b"x");
        assert_eq!(reasons(signal), [POLL_IN]);
        other.fill();
        reasons(signal);
        other.drain();
        assert_eq!(reasons(signal), [POLL_OUT]);
        set_async(asks, false);
    }
}

fn sigio_tells_of_a_hangup_as_of_a_fifos() {
    hold(Signal::SIGIO);
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    for (reader, writer) in readers.0.into_iter().zip(writers.0) {
        ask(reader);
        close(writer.as_raw_fd()).expect("close");
        assert!(pending(Signal::SIGIO).is_some(), "the last writer left");
        set_async(reader, false);
    }
    let writers = pair.open(OFlag::O_WRONLY);
    for (reader, writer) in readers.0.into_iter().zip(writers.0) {
        ask(writer);
        close(reader.as_raw_fd()).expect("close");
        assert!(pending(Signal::SIGIO).is_some(), "the last reader left");
        set_async(writer, false);
    }
}

fn sigio_tells_of_a_clear_and_of_a_destroy() {
    let [of_reader, of_writer] = [Signal::SIGUSR1, Signal::SIGUSR2];
    for kind in Kind::all() {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        for (end, signal) in [(reader, of_reader), (writer, of_writer)] {
            hold(signal);
            ask(end);
            choose_signal(end, signal);
        }
        if kind.blocks() {
            writer.fill();
        } else {
            writer.put(b"unread");
        }
        reasons(of_reader);
        ring.clear();
        assert_eq!(reasons(of_reader), [POLL_IN], "{kind}: what it lost");
        if kind.blocks() {
            assert_eq!(reasons(of_writer), [POLL_OUT], "{kind}: that there is room");
        }
        ring.destroy();
        assert_eq!(reasons(of_reader), [POLL_IN], "{kind}: the end");
        assert_eq!(reasons(of_writer), [POLL_OUT], "{kind}: the end");
    }
}

fn sigio_does_not_tell_of_what_another_reader_does() {
    hold(Signal::SIGIO);
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (moves, reader, both) = (ring.reader(), ring.reader(), ring.both());
        ring.writer().put(b"not read");
        for end in [reader, both] {
            ask(end);
        }
        for whence in [Whence::SeekEnd, Whence::SeekSet] {
            let answer = lseek64(moves, 0, whence);
            assert_eq!(answer.is_ok(), kind.is_broadcast());
        }
        for bytes in [1000, 100, 0] {
            let delay = Duration::from_secs(60);
            moves.set_watermark(bytes, delay).expect("watermark");
        }
        assert!(pending(Signal::SIGIO).is_none(), "{kind}");
        for end in [reader, both] {
            set_async(end, false);
        }
    }
}

/// How often [`count_signal`] has run.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// A watermark makes a writer that has to wait tell the readers. It must not signal itself by that,
/// or its write ends with EINTR, or goes on for ever with nothing but signals.
fn sigio_does_not_come_from_the_writer_that_waits() {
    hold(Signal::SIGIO);
    for flags in [SaFlags::empty(), SaFlags::SA_RESTART] {
        let action = SigAction::new(SigHandler::Handler(count_signal), flags, SigSet::empty());
        // SAFETY: the handler only adds to an atomic.
        unsafe { sigaction(Signal::SIGIO, &action) }.expect("sigaction");
        for kind in Kind::all().filter(|kind| kind.blocks()) {
            for asks_itself in [true, false] {
                let case = format!("{kind}, {flags:?}, asks itself: {asks_itself}");
                let ring = Ring::new(kind, 1 << 16);
                let (reader, both) = (ring.reader(), ring.both());
                reader
                    .set_watermark(1000, Duration::from_secs(60))
                    .expect("watermark");
                both.set_nonblocking(true);
                let mut messages = 0;
                while both.write(&[b'x'; 1 << 10]) == Ok(1 << 10) {
                    messages += 1;
                }
                both.set_nonblocking(false);

                let asks = if asks_itself { both } else { reader };
                ask(asks);
                SIGNALS.store(0, Ordering::Relaxed);
                let writer = Task::spawn(move || {
                    // All other threads hold it.
                    only(Signal::SIGIO).thread_unblock().expect("unblock");
                    both.write(&[b'y'; 1 << 10])
                });
                assert!(!writer.ends_before_it_sleeps_in(Call::WRITE), "{case}");
                writer.sleeper.sleeps_through(Call::WRITE, || {});
                let signals = SIGNALS.load(Ordering::Relaxed);
                assert!(signals <= 2, "{case}: {signals} signals");

                // From here on there is a reason for signals, which would interrupt it.
                set_async(asks, false);
                let readers = if kind.is_broadcast() {
                    vec![reader, both]
                } else {
                    vec![reader]
                };
                for end in readers {
                    for _ in 0..messages {
                        assert_eq!(end.take(1 << 10), Ok(vec![b'x'; 1 << 10]), "{case}");
                    }
                }
                assert_eq!(writer.finish(), Ok(1 << 10), "{case}");
            }
        }
    }
}
