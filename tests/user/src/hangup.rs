// SPDX-License-Identifier: GPL-2.0

//! Rings with hangup, side by side with a FIFO: whatever the one says, the other says.

use std::fmt::Debug;
use std::fs;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use nix::unistd::{Whence, close, getpid, lseek64, mkfifo, pipe, write};

use crate::control::{Kind, Kinds, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, test};
use crate::random::Random;
use crate::task::{Call, Process, Task, be_urgent, stay_on_cpu};
use crate::words::Account;

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
    test!(fifo_and_ring_say_out_alike),
    test!(fifo_and_ring_serve_session_after_session),
    test!(fifo_and_ring_discard_what_nobody_has_read_alike),
    test!(fifo_and_ring_opened_for_both_directions_end_alike),
    test!(end_and_hang_up_are_one_predicate),
    test!(end_comes_for_each_reader_after_what_it_has_to_read),
    test!(end_needs_a_writer_since_the_reader_opened),
    test!(end_does_not_come_of_an_open_that_is_refused),
    test!(end_comes_to_a_reader_that_polls_before_the_first_writer),
    test!(end_comes_not_to_a_late_reader_of_what_is_left),
    test!(end_comes_to_all_who_read_at_one_cursor).seconds(60),
    test!(end_waits_for_every_copy_of_the_writer),
    test!(session_ends_with_the_last_endpoint),
    test!(session_that_ends_gives_up_what_was_read_as_well),
    test!(sessions_that_begin_and_end_all_the_time_keep_the_accounts).seconds(60),
    test!(killed_writer_is_an_end_too),
    test!(killed_reader_breaks_it_too),
    test!(opening_again_ends_the_end),
];

/// For pwritev2(2) and io_uring: no SIGPIPE (linux/fs.h).
pub const RWF_NOSIGNAL: i32 = 0x100;

const IN: PollFlags = PollFlags::POLLIN.union(PollFlags::POLLRDNORM);
const OUT: PollFlags = PollFlags::POLLOUT.union(PollFlags::POLLWRNORM);

const PIPE_BUF: usize = libc::PIPE_BUF;

/// A FIFO and a ring, of the same size, that are to behave alike.
pub struct Pair {
    paths: [String; 2],
}

/// The same end of both.
#[derive(Clone, Copy)]
pub struct Ends(pub [Endpoint; 2]);

impl Pair {
    pub fn new() -> Self {
        let fifo = format!("/tmp/fifo-{}", getpid());
        let _ = fs::remove_file(&fifo);
        mkfifo(fifo.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).expect("mkfifo");
        let ring = Ring::new(STREAM.hanging_up(), 1 << 16).path();
        Self {
            paths: [fifo, ring],
        }
    }

    /// Opens both. Whatever they are opened for, nothing waits.
    pub fn open(&self, flags: OFlag) -> Ends {
        Ends(self.paths.each_ref().map(|path| {
            let fd = open(path.as_str(), flags | OFlag::O_NONBLOCK, Mode::empty());
            Endpoint::keep(fd.unwrap_or_else(|error| panic!("open {path}: {error}")))
        }))
    }

    /// A reading and a writing end of both. (A FIFO wants the reader first.)
    pub fn ends(&self) -> (Ends, Ends) {
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
    // A FIFO says POLLHUP before the last data are read, a ring when a read returns 0.
    let said = readers.0.map(|end| end.ready(IN));
    assert_eq!(said, [IN | PollFlags::POLLHUP, IN]);
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

fn fifo_and_ring_say_out_alike() {
    let pair = Pair::new();
    let (readers, writers) = pair.ends();
    while writers
        .0
        .iter()
        .any(|end| end.write(&[0; PIPE_BUF]).is_ok())
    {}
    assert_eq!(readers.say(|end| end.take_exactly(100)), [0; 100]);
    assert_eq!(writers.say(|end| end.ready(OUT)), PollFlags::empty());
    writers.set_nonblocking(false);
    let tasks = writers
        .0
        .map(|end| Task::asleep_in(Call::WRITE, move || end.write(&[0; 512])));
    for end in readers.0 {
        end.drain();
    }
    assert_eq!(tasks.map(Task::finish), [Ok(512); 2]);
    assert_eq!(writers.say(|end| end.ready(OUT)), OUT);
}

/// `cat D & echo two > D`, again and again. A FIFO makes each wait for the other in open(2). A ring
/// makes nobody wait there, so what is written is for a reader that has the ring open.
fn fifo_and_ring_serve_session_after_session() {
    for path in Pair::new().paths {
        for word in ["one\n", "two\n", "three\n"] {
            let cat = Process::fork(|| {
                let file = fs::File::open(&path).expect("open to read");
                let text = std::io::read_to_string(file).expect("read");
                assert_eq!(text, word, "{path}");
            });
            cat.await_sleep_in_any(&[Call::OPEN, Call::READ]);
            Process::fork(|| {
                let file = fs::OpenOptions::new().write(true).open(&path);
                let mut file = file.expect("open to write");
                std::io::Write::write_all(&mut file, word.as_bytes()).expect("write");
            })
            .finish();
            cat.finish();
        }
    }
}

fn fifo_and_ring_discard_what_nobody_has_read_alike() {
    let pair = Pair::new();
    for readers_first in [true, false] {
        let (readers, writers) = pair.ends();
        assert_eq!(writers.say(|end| end.write(b"for nobody")), Ok(10));
        if readers_first {
            readers.close();
            writers.close();
        } else {
            writers.close();
            readers.close();
        }
        let (readers, writers) = pair.ends();
        assert_eq!(readers.say(Endpoint::available), 0);
        assert_eq!(readers.say(|end| end.take(10)), Err(Errno::EAGAIN));
        writers.close();
        readers.close();
    }
}

fn fifo_and_ring_opened_for_both_directions_end_alike() {
    let pair = Pair::new();
    let readers = pair.open(OFlag::O_RDONLY);
    let both = pair.open(OFlag::O_RDWR);
    // It is a writer, of its own as well.
    for ends in [readers, both] {
        assert_eq!(ends.say(|end| end.take(10)), Err(Errno::EAGAIN));
        assert_eq!(ends.say(|end| end.ready(IN)), PollFlags::empty());
    }
    assert_eq!(both.say(|end| end.write(b"left")), Ok(4));
    both.close();
    assert_eq!(readers.say(|end| end.take(10)), Ok(b"left".to_vec()));
    assert_eq!(readers.say(|end| end.take(10)), Ok(Vec::new()));
    // Alone it neither ends nor breaks.
    readers.close();
    let both = pair.open(OFlag::O_RDWR);
    assert_eq!(both.say(|end| end.take(10)), Err(Errno::EAGAIN));
    assert_eq!(both.say(|end| end.write(b"x")), Ok(1));
    assert_eq!(both.say(|end| end.take(10)), Ok(b"x".to_vec()));
    assert_eq!(both.say(|end| end.take(10)), Err(Errno::EAGAIN));
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing, and a read waits.
    Nothing,
    /// Something to read.
    Data,
    /// The end: a read returns 0.
    End,
}

impl State {
    /// Asks poll(2), FIONREAD and, unless that would take data, read(2), which have to agree.
    fn of(reader: Endpoint) -> Self {
        let said = reader.ready(IN);
        if reader.available() > 0 {
            assert_eq!(said, IN, "not POLLHUP: a read does not return 0");
            return Self::Data;
        }
        reader.set_nonblocking(true);
        let answer = reader.take(10);
        reader.set_nonblocking(false);
        match answer {
            Err(Errno::EAGAIN) => {
                assert_eq!(said, PollFlags::empty(), "a read would wait");
                Self::Nothing
            }
            Ok(bytes) if bytes.is_empty() => {
                assert_eq!(said, IN | PollFlags::POLLHUP, "a read returns 0");
                Self::End
            }
            answer => panic!("read: {answer:?}"),
        }
    }
}

fn end_and_hang_up_are_one_predicate() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = ring.reader();
        assert_eq!(State::of(reader), State::Nothing, "{kind}");
        for _ in 0..3 {
            let writer = ring.open(OFlag::O_WRONLY);
            assert_eq!(State::of(reader), State::Nothing, "{kind}");
            for message in [b"one", b"two"] {
                nix::unistd::write(&writer, message).expect("write");
                assert_eq!(State::of(reader), State::Data);
            }
            drop(writer);
            for message in [b"one", b"two"] {
                assert_eq!(State::of(reader), State::Data);
                assert_eq!(reader.take(3), Ok(message.to_vec()));
            }
            assert_eq!(State::of(reader), State::End, "{kind}");
            assert_eq!(State::of(reader), State::End, "{kind}");
        }
    }
}

/// A FIFO opened with `O_NONBLOCK` has an end without a writer for read(2), though not for poll(2).
/// A ring has none for either.
fn end_needs_a_writer_since_the_reader_opened() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let first = ring.reader();
        assert_eq!(State::of(first), State::Nothing, "{kind}");
        drop(ring.open(OFlag::O_WRONLY));
        assert_eq!(State::of(first), State::End, "{kind}");
        // The session goes on, but not that writer's.
        let second = ring.reader();
        assert_eq!(State::of(second), State::Nothing, "{kind}");
        assert_eq!(State::of(first), State::End, "{kind}");
        let sleeper = Task::asleep_in(Call::READ, move || second.take(10));
        let writer = ring.open(OFlag::O_WRONLY);
        // There is a writer when this one comes.
        let third = ring.reader();
        for reader in [first, third] {
            assert_eq!(State::of(reader), State::Nothing, "{kind}");
        }
        sleeper.sleeper.await_sleep_in(Call::READ);
        drop(writer);
        assert_eq!(sleeper.finish(), Ok(Vec::new()), "{kind}");
        for reader in [first, second, third] {
            assert_eq!(State::of(reader), State::End, "{kind}");
        }
        assert_eq!(State::of(ring.reader()), State::Nothing, "{kind}");
    }
}

// errno: open EINVAL
fn end_does_not_come_of_an_open_that_is_refused() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = ring.reader();
        for access in [OFlag::O_WRONLY, OFlag::O_RDWR] {
            // The VFS refuses it if nobody else does, but only once the driver has opened it.
            let refused = ring.try_open(access | OFlag::O_DIRECT);
            assert_eq!(refused.map(drop), Err(Errno::EINVAL), "{kind}");
            assert_eq!(State::of(reader), State::Nothing, "{kind}");
        }
    }
}

fn end_comes_to_a_reader_that_polls_before_the_first_writer() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        // One that has seen an earlier writer, and whom that is no news for.
        let _first = ring.reader();
        drop(ring.open(OFlag::O_WRONLY));
        let reader = ring.reader();
        let poller = Task::spawn(move || reader.poll(IN, PollTimeout::NONE));
        assert!(!poller.ends_before_it_sleeps_in(Call::POLL), "{kind}");
        let writer = ring.open(OFlag::O_WRONLY);
        poller.sleeper.await_sleep_in(Call::POLL);
        drop(writer);
        assert_eq!(poller.finish(), Ok(IN | PollFlags::POLLHUP), "{kind}");
        assert_eq!(State::of(reader), State::End, "{kind}");
    }
}

fn end_comes_not_to_a_late_reader_of_what_is_left() {
    for kind in kinds() {
        for late_reads in [true, false] {
            let ring = Ring::small(kind);
            let first = ring.reader();
            let writer = ring.open(OFlag::O_WRONLY);
            nix::unistd::write(&writer, b"left").expect("write");
            drop(writer);
            let late = ring.reader();
            for reader in [first, late] {
                assert_eq!(State::of(reader), State::Data, "{kind}");
            }
            let readers = if kind.is_broadcast() {
                vec![first, late]
            } else if late_reads {
                vec![late]
            } else {
                vec![first]
            };
            for reader in readers {
                assert_eq!(reader.take(10), Ok(b"left".to_vec()), "{kind}");
            }
            assert_eq!(State::of(first), State::End, "{kind}");
            assert_eq!(State::of(late), State::Nothing, "{kind}");
        }
    }
}

/// One takes the last byte, at whatever moment of another's look at what there is.
fn end_comes_to_all_who_read_at_one_cursor() {
    let ring = Ring::new(STREAM.hanging_up(), 1 << 16);
    let (send_ends, ends) = mpsc::channel::<Endpoint>();
    let (tell, told) = mpsc::channel::<()>();
    let reader = Task::spawn(move || {
        stay_on_cpu(0);
        for end in ends {
            while !end.take(1).expect("read").is_empty() {}
            tell.send(()).expect("the writer waits");
        }
    });
    let (go, rounds) = mpsc::channel::<Endpoint>();
    // All on one processor. The reader is the least urgent, so that it begins to look when the writer
    // has left, and the thief the most: it comes in between wherever the reader is then.
    let _thief = Task::spawn(move || {
        stay_on_cpu(0);
        be_urgent(2);
        let mut random = Random::new(1);
        for end in rounds {
            thread::sleep(Duration::from_micros(random.up_to(400)));
            let _may_be_too_late = end.take(1);
        }
    });
    stay_on_cpu(0);
    be_urgent(1);
    let end = ring.reader();
    let steals = ring.reader();
    steals.set_nonblocking(true);
    for _ in 0..by_lane(3000, 500) {
        let writer = ring.open(OFlag::O_WRONLY);
        send_ends.send(end).expect("the reader waits");
        reader.sleeper.await_sleep_in(Call::READ);
        go.send(steals).expect("the thief waits");
        assert_eq!(write(&writer, b"x"), Ok(1));
        drop(writer);
        told.recv().expect("the reader tells");
    }
}

fn end_waits_for_every_copy_of_the_writer() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let reader = ring.reader();
        let writer = ring.open(OFlag::O_WRONLY);
        let duplicate = writer.try_clone().expect("dup");
        let child = Process::asleep_in(Call::PAUSE, || {
            nix::unistd::pause();
        });
        drop(writer);
        assert_eq!(State::of(reader), State::Nothing, "{kind}");
        drop(duplicate);
        assert_eq!(State::of(reader), State::Nothing, "{kind}");
        child.kill_for_good();
        assert_eq!(State::of(reader), State::End, "{kind}");
    }
}

const MESSAGE: &[u8] = b"message";

/// Whether a reader that comes now finds anything.
fn has_data(ring: &Ring) -> bool {
    let reader = ring.reader();
    let available = reader.available();
    close(reader.as_raw_fd()).expect("close");
    available > 0
}

/// The endpoints of a session, in the order in which they are closed.
const SESSIONS: [&[OFlag]; 5] = [
    &[OFlag::O_RDONLY, OFlag::O_WRONLY],
    &[OFlag::O_WRONLY, OFlag::O_RDONLY],
    &[OFlag::O_RDWR],
    &[OFlag::O_RDWR, OFlag::O_RDONLY, OFlag::O_WRONLY],
    &[OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR],
];

/// Writes three messages, of which one is read, and closes all endpoints, the last of them in a
/// child that has a copy of it. `before_the_last` is called while that is still open.
fn run_session(ring: &Ring, flags: &[OFlag], before_the_last: impl Fn()) {
    let mut ends: Vec<_> = flags.iter().map(|flags| ring.open(*flags)).collect();
    let end_for = |other: OFlag| {
        let index = flags.iter().position(|flags| *flags != other);
        index.expect("an endpoint for that direction")
    };
    let (reader, writer) = (end_for(OFlag::O_WRONLY), end_for(OFlag::O_RDONLY));
    for _ in 0..3 {
        assert_eq!(
            nix::unistd::write(&ends[writer], MESSAGE),
            Ok(MESSAGE.len())
        );
    }
    let mut buffer = [0; MESSAGE.len()];
    assert_eq!(
        nix::unistd::read(&ends[reader], &mut buffer),
        Ok(MESSAGE.len())
    );
    while ends.len() > 1 {
        drop(ends.remove(0));
        before_the_last();
    }
    let child = Process::asleep_in(Call::PAUSE, || {
        nix::unistd::pause();
    });
    drop(ends);
    before_the_last();
    child.kill_for_good();
}

fn session_ends_with_the_last_endpoint() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (mut sent, mut received) = (0, 0);
        for flags in SESSIONS {
            let case = format!("{kind}, {flags:?}");
            run_session(&ring, flags, || {
                assert!(has_data(&ring), "{case}: too early")
            });
            let whole = if kind.is_stream() { MESSAGE.len() } else { 1 };
            sent += 3 * whole as u64;
            received += whole as u64;
            let info = ring.info();
            assert_eq!((info.readers, info.writers), (0, 0));
            if !kind.hangup {
                // Without hangup there are no sessions, and the data stay.
                assert!(has_data(&ring), "{case}");
                ring.clear();
                continue;
            }
            assert!(!has_data(&ring), "{case}");
            assert_eq!(info.unread, 0, "{case}");
            let account = Account::of_ring(kind, &info);
            assert_eq!((account.accepted, account.received), (sent, received));
            if !kind.is_broadcast() {
                // The cursors of a broadcast ring, which each had a count of its own, are gone.
                assert_eq!(account.received + account.lost, account.accepted, "{case}");
            }
        }
    }
}

/// Where data are overwritten, lseek(2) and a new reader also find what was read. Not that of
/// another session.
fn session_that_ends_gives_up_what_was_read_as_well() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        for flags in SESSIONS {
            run_session(&ring, flags, || {});
            let (reader, writer) = (ring.reader(), ring.writer());
            if kind.is_broadcast() {
                lseek64(reader, 0, Whence::SeekSet).expect("lseek");
            }
            assert_eq!(State::of(reader), State::Nothing, "{kind}");
            writer.put(b"new");
            assert_eq!(reader.take(10), Ok(b"new".to_vec()), "{kind}");
            assert_eq!(State::of(reader), State::Nothing, "{kind}");
            for end in [reader, writer] {
                close(end.as_raw_fd()).expect("close");
            }
        }
    }
}

/// Threads open, write, read and close, so that a session ends now and then while another thread is
/// opening.
fn sessions_that_begin_and_end_all_the_time_keep_the_accounts() {
    for kind in kinds() {
        let ring = Ring::small(kind);
        let threads = [1, 2, 3, 4].map(|number| {
            Task::spawn(move || {
                let mut random = Random::new(number);
                let mut account = Account::default();
                let amount = |count| if kind.is_stream() { count as u64 } else { 1 };
                for _ in 0..by_lane(1000, 200) {
                    let end = ring.open(OFlag::O_RDWR | OFlag::O_NONBLOCK);
                    for _ in 0..random.up_to(3) {
                        match nix::unistd::write(&end, MESSAGE) {
                            Ok(count) => account.accepted += amount(count),
                            Err(Errno::EAGAIN | Errno::ENOBUFS) => {}
                            Err(error) => panic!("write: {error}"),
                        }
                    }
                    for _ in 0..random.up_to(2) {
                        match nix::unistd::read(&end, &mut [0; MESSAGE.len()]) {
                            Ok(count) => {
                                assert_ne!(count, 0, "{kind}: an end, and it is a writer itself");
                                account.received += amount(count);
                            }
                            Err(error) => assert_eq!(error, Errno::EAGAIN),
                        }
                    }
                }
                account
            })
        });
        let mut all = Account::default();
        threads
            .into_iter()
            .for_each(|thread| all.add(thread.finish()));
        let info = ring.info();
        let said = Account::of_ring(kind, &info);
        assert_eq!(
            (said.accepted, said.received),
            (all.accepted, all.received),
            "{kind}"
        );
        assert_eq!(info.unread, 0, "{kind}");
        if !kind.is_broadcast() {
            assert_eq!(said.received + said.lost, said.accepted, "{kind}");
        }
        // And the next one begins with nothing.
        let reader = ring.reader();
        assert_eq!(State::of(reader), State::Nothing, "{kind}");
        ring.writer().put(b"next");
        assert_eq!(reader.take(10), Ok(b"next".to_vec()), "{kind}");
    }
}

fn kinds() -> Kinds {
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
        assert_eq!(State::of(quick), State::End);
        assert_eq!(State::of(slow), State::Data);
        assert_eq!(slow.take(10), Ok(b"last".to_vec()));
        assert_eq!(State::of(slow), State::End);
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
