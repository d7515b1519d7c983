// SPDX-License-Identifier: GPL-2.0

//! Rings with hangup, side by side with a FIFO: whatever the one says, the other says.

use std::fmt::Debug;
use std::fs;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use nix::unistd::{close, getpid, mkfifo, pipe};

use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(fifo_and_ring_end_alike),
    test!(fifo_and_ring_break_alike),
    test!(fifo_and_ring_end_a_sleeping_read_alike),
    test!(fifo_and_ring_break_a_sleeping_write_alike),
    test!(fifo_and_ring_wake_pollers_alike),
    test!(sigpipe_kills_who_does_not_expect_it),
    test!(sigpipe_comes_with_a_short_write_too),
    test!(sigpipe_does_not_come_to_who_asks_for_no_signal).needs(nosignal_is_known),
    test!(sigpipe_does_not_come_with_a_short_write_either).needs(nosignal_is_known),
    test!(end_comes_for_each_reader_after_what_it_has_to_read),
    test!(killed_writer_is_an_end_too),
    test!(killed_reader_breaks_it_too),
    test!(opening_again_ends_the_end),
];

/// For pwritev2(2) and io_uring: no SIGPIPE (linux/fs.h).
pub const RWF_NOSIGNAL: i32 = 0x100;

const IN: PollFlags = PollFlags::POLLIN.union(PollFlags::POLLRDNORM);
const OUT: PollFlags = PollFlags::POLLOUT.union(PollFlags::POLLWRNORM);

/// A FIFO and a ring, of the same size, that are to behave alike.
struct Pair {
    paths: [String; 2],
}

/// The same end of both.
#[derive(Clone, Copy)]
struct Ends([Endpoint; 2]);

impl Pair {
    fn new() -> Self {
        let fifo = format!("/tmp/fifo-{}", getpid());
        let _ = fs::remove_file(&fifo);
        mkfifo(fifo.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).expect("mkfifo");
        let ring = Ring::new(STREAM.hanging_up(), 1 << 16).path();
        Self {
            paths: [fifo, ring],
        }
    }

    /// Opens both. Whatever they are opened for, nothing waits.
    fn open(&self, flags: OFlag) -> Ends {
        Ends(self.paths.each_ref().map(|path| {
            let fd = open(path.as_str(), flags | OFlag::O_NONBLOCK, Mode::empty());
            Endpoint::keep(fd.unwrap_or_else(|error| panic!("open {path}: {error}")))
        }))
    }

    /// A reading and a writing end of both. (A FIFO wants the reader first.)
    fn ends(&self) -> (Ends, Ends) {
        (self.open(OFlag::O_RDONLY), self.open(OFlag::O_WRONLY))
    }
}

impl Ends {
    /// Asks both, and returns what both answer.
    fn say<T: PartialEq + Debug>(self, ask: impl Fn(Endpoint) -> T) -> T {
        let [fifo, ring] = self.0.map(ask);
        assert_eq!(fifo, ring, "the FIFO, and the ring");
        ring
    }

    fn set_nonblocking(self, on: bool) {
        self.0.iter().for_each(|end| end.set_nonblocking(on));
    }

    fn close(self) {
        self.0
            .iter()
            .for_each(|end| close(end.as_raw_fd()).expect("close"));
    }
}

fn fifo_and_ring_end_alike() {
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    let more = pair.open(OFlag::O_WRONLY);
    assert_eq!(readers.say(|end| end.take(10)), Err(Errno::EAGAIN));
    assert_eq!(readers.say(|end| end.ready(IN)), PollFlags::empty());
    assert_eq!(writers.say(|end| end.write(b"last")), Ok(4));
    writers.close();
    assert_eq!(readers.say(|end| end.ready(IN)), IN);
    more.close();
    assert_eq!(readers.say(|end| end.ready(IN)), IN | PollFlags::POLLHUP);
    assert_eq!(readers.say(|end| end.take(10)), Ok(b"last".to_vec()));
    for _ in 0..3 {
        assert_eq!(readers.say(|end| end.take(10)), Ok(Vec::new()));
        // A FIFO says POLLHUP alone then. A ring says as well that a read does not wait.
        let said = readers
            .0
            .map(|end| end.ready(IN) | PollFlags::POLLIN | PollFlags::POLLRDNORM);
        assert_eq!(said, [IN | PollFlags::POLLHUP; 2]);
    }
    // Somebody new, and it goes on.
    let writers = pair.open(OFlag::O_WRONLY);
    assert_eq!(readers.say(|end| end.take(10)), Err(Errno::EAGAIN));
    assert_eq!(readers.say(|end| end.ready(IN)), PollFlags::empty());
    assert_eq!(writers.say(|end| end.write(b"more")), Ok(4));
    assert_eq!(readers.say(|end| end.take(10)), Ok(b"more".to_vec()));
}

fn fifo_and_ring_break_alike() {
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    assert_eq!(writers.say(|end| end.write(b"x")), Ok(1));
    assert_eq!(writers.say(|end| end.ready(OUT)), OUT);
    readers.close();
    for _ in 0..3 {
        assert_eq!(writers.say(|end| end.write(b"x")), Err(Errno::EPIPE));
        assert_eq!(writers.say(|end| end.write(b"")), Ok(0));
        assert_eq!(writers.say(|end| end.ready(OUT)), OUT | PollFlags::POLLERR);
    }
    // Somebody new, and it goes on.
    let readers = pair.open(OFlag::O_RDONLY);
    assert_eq!(writers.say(|end| end.ready(OUT)), OUT);
    assert_eq!(writers.say(|end| end.write(b"y")), Ok(1));
    assert_eq!(readers.say(|end| end.take(10)), Ok(b"xy".to_vec()));
}

fn fifo_and_ring_end_a_sleeping_read_alike() {
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    readers.set_nonblocking(false);
    let tasks = readers
        .0
        .map(|end| Task::asleep_in(Call::READ, move || end.take(10)));
    writers.close();
    let [fifo, ring] = tasks.map(Task::finish);
    assert_eq!(fifo, Ok(Vec::new()));
    assert_eq!(ring, fifo);
}

fn fifo_and_ring_break_a_sleeping_write_alike() {
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    while writers.0.iter().any(|end| end.write(&[0; 4096]).is_ok()) {}
    writers.set_nonblocking(false);
    let tasks = writers
        .0
        .map(|end| Task::asleep_in(Call::WRITE, move || end.write(b"more")));
    readers.close();
    let [fifo, ring] = tasks.map(Task::finish);
    assert_eq!(fifo, Err(Errno::EPIPE));
    assert_eq!(ring, fifo);
}

fn fifo_and_ring_wake_pollers_alike() {
    let wait = |end: Endpoint, events| {
        Task::asleep_in(Call::POLL, move || end.poll(events, PollTimeout::NONE))
    };
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    let tasks = readers.0.map(|end| wait(end, PollFlags::POLLIN));
    writers.close();
    for said in tasks.map(Task::finish) {
        assert!(said.expect("poll").contains(PollFlags::POLLHUP));
    }
    let writers = pair.open(OFlag::O_WRONLY);
    while writers.0.iter().any(|end| end.write(&[0; 4096]).is_ok()) {}
    let tasks = writers.0.map(|end| wait(end, PollFlags::POLLOUT));
    readers.close();
    for said in tasks.map(Task::finish) {
        assert!(said.expect("poll").contains(PollFlags::POLLERR));
    }
}

fn kinds() -> impl Iterator<Item = Kind> {
    Kind::all().filter(|kind| kind.hangup)
}

fn sigpipe_kills_who_does_not_expect_it() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let process = Process::fork(|| {
            // SAFETY: this handler is none of ours.
            unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("signal");
            let _ = ring.writer().write(b"x");
        });
        let status = process.wait();
        let killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGPIPE, _));
        assert!(killed, "{status:?}, {kind}");
    }
    // Nobody hears of it elsewhere.
    for kind in Kind::all().filter(|kind| !kind.hangup) {
        let ring = Ring::small(kind);
        Process::fork(|| {
            // SAFETY: as above.
            unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("signal");
            let writer = ring.writer();
            writer.put(b"x");
            ring.destroy();
            assert_eq!(writer.write(b"x"), Err(Errno::ENODEV));
        })
        .finish();
    }
}

fn sigpipe_comes_with_a_short_write_too() {
    let ring = Ring::small(STREAM.hanging_up());
    let writer = ring.writer();
    let reader = ring.open(OFlag::O_RDONLY);
    let process = Process::asleep_in(Call::WRITE, || {
        // SAFETY: this handler is none of ours.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("signal");
        // Of the child's copies one would keep the ring readable.
        close(reader.as_raw_fd()).expect("close");
        let _ = writer.write(&[b'x'; 10_000]);
    });
    drop(reader);
    let status = process.wait();
    let killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGPIPE, _));
    assert!(killed, "{status:?}");

    // Who ignores it learns how much went in.
    let reader = ring.open(OFlag::O_RDONLY);
    ring.clear();
    let task = Task::asleep_in(Call::WRITE, move || writer.write(&[b'x'; 10_000]));
    drop(reader);
    assert_eq!(task.finish(), Ok(4096));
}

/// Whether the kernel knows the flag.
pub fn nosignal_is_known() -> Result<(), &'static str> {
    let (reader, writer) = pipe().expect("pipe");
    drop(reader);
    // Nobody here expects the signal, and it is ignored.
    match Endpoint::keep(writer).pwritev2(b"x", -1, RWF_NOSIGNAL) {
        Err(Errno::EPIPE) => Ok(()),
        answer => {
            assert_eq!(answer, Err(Errno::EOPNOTSUPP));
            Err("the kernel is without RWF_NOSIGNAL")
        }
    }
}

/// Runs `body` in a process that SIGPIPE kills, and sees that it does not.
pub fn without_sigpipe(body: impl FnOnce()) {
    Process::fork(|| {
        // SAFETY: this handler is none of ours.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("signal");
        body();
    })
    .finish();
}

fn sigpipe_does_not_come_to_who_asks_for_no_signal() {
    without_sigpipe(|| {
        let (readers, writers) = Pair::new().ends();
        let write = |end: Endpoint| end.pwritev2(b"x", -1, RWF_NOSIGNAL);
        assert_eq!(writers.say(write), Ok(1));
        readers.close();
        for _ in 0..3 {
            assert_eq!(writers.say(write), Err(Errno::EPIPE));
        }
    });
    for kind in kinds() {
        let writer = Ring::small(kind).writer();
        without_sigpipe(|| {
            let answer = writer.pwritev2(b"x", -1, RWF_NOSIGNAL);
            assert_eq!(answer, Err(Errno::EPIPE), "{kind}");
        });
    }
}

fn sigpipe_does_not_come_with_a_short_write_either() {
    let ring = Ring::small(STREAM.hanging_up());
    let writer = ring.writer();
    without_sigpipe(|| {
        let reader = ring.open(OFlag::O_RDONLY);
        let task = Task::asleep_in(Call::PWRITEV2, move || {
            writer.pwritev2(&[b'x'; 10_000], -1, RWF_NOSIGNAL)
        });
        drop(reader);
        assert_eq!(task.finish(), Ok(4096));
    });
}

fn end_comes_for_each_reader_after_what_it_has_to_read() {
    for kind in [STREAM, RECORD].map(|kind| kind.hanging_up().broadcast()) {
        let ring = Ring::small(kind);
        let (quick, slow) = (ring.reader(), ring.reader());
        let writer = ring.open(OFlag::O_WRONLY);
        nix::unistd::write(&writer, b"last").expect("write");
        assert_eq!(quick.take(10), Ok(b"last".to_vec()));
        drop(writer);
        assert_eq!(quick.take(10), Ok(Vec::new()));
        assert_eq!(slow.ready(IN), IN | PollFlags::POLLHUP);
        assert_eq!(slow.take(10), Ok(b"last".to_vec()));
        assert_eq!(slow.take(10), Ok(Vec::new()));
        // Who comes later, as there has been a writer.
        assert_eq!(ring.reader().take(10), Ok(Vec::new()));
    }
}

fn killed_writer_is_an_end_too() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = ring.reader();
        let (pipe, _to_pipe) = nix::unistd::pipe().expect("pipe");
        let writer = Process::asleep_in(Call::READ, || {
            ring.writer().put(b"last words");
            let _ = nix::unistd::read(&pipe, &mut [0]);
        });
        assert_eq!(reader.take(100), Ok(b"last words".to_vec()));
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(100));
        writer.kill_for_good();
        assert_eq!(sleeper.finish(), Ok(Vec::new()));
    }
}

fn killed_reader_breaks_it_too() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = Process::asleep_in(Call::READ, || {
            let _ = ring.reader().take(10);
        });
        let writer = ring.writer();
        reader.kill_for_good();
        assert_eq!(writer.write(b"x"), Err(Errno::EPIPE));
        assert_eq!(writer.info().records_in + writer.info().bytes_in, 0);
    }
}

fn opening_again_ends_the_end() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = ring.reader();
        for _ in 0..5 {
            let writer = ring.open(OFlag::O_WRONLY);
            let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
            drop(writer);
            assert_eq!(sleeper.finish(), Ok(Vec::new()));
        }
    }
}
