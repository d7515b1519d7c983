// SPDX-License-Identifier: GPL-2.0

//! A process whose memory takes its time: page faults that user space serves, or does not.
//!
//! No page fault of user memory may be served while the ring holds a lock. A writer or a
//! reader that is stalled by userfaultfd must therefore stall nobody else.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, Signal};
use nix::unistd::{Whence, close, lseek64, pause, pipe};

use crate::abi::{self, Header};
use crate::control::{Kind, Kinds, RECORD, Ring, STREAM, control};
use crate::endpoint::Endpoint;
use crate::harness::{Test, note, test};
use crate::memory::{PAGE, Pages, Span};
use crate::stream::{assert_pattern, pattern};
use crate::structs::{Setting, Turn};
use crate::task::{Call, Process, Task, on_signal};
use crate::uring::{self, Uring};

pub const TESTS: &[Test] = &[
    test!(stalled_writer_stalls_nobody_else),
    test!(stalled_writer_on_a_small_ring_stalls_nobody_else).small(),
    test!(stalled_reader_stalls_nobody_else),
    test!(stalled_reader_finds_the_ring_emptied_by_others),
    test!(stalled_reader_is_not_outrun_by_writers),
    test!(stalled_reader_returns_bytes_that_follow_each_other),
    test!(stalled_reader_leaves_alone_what_it_does_not_fill).seconds(40),
    test!(stalled_atomic_write_stays_in_one_piece),
    test!(stalled_atomic_write_stays_in_one_piece_of_whatever_kind),
    test!(stalled_rest_of_a_write_stays_in_one_piece),
    test!(stalled_writer_stalls_no_poller),
    test!(stalled_writer_is_not_interrupted_halfway),
    test!(stalled_reader_passes_its_wake_up_on),
    test!(stalled_writer_passes_its_wake_up_on).small(),
    test!(sigkill_ends_a_stalled_write),
    test!(sigkill_ends_a_stalled_read),
    test!(stalled_in_a_write_of_any_way_one_stalls_nobody_else).seconds(40),
    test!(stalled_in_a_read_of_any_way_one_stalls_nobody_else).seconds(40),
    test!(stalled_in_a_command_one_stalls_nobody_else).seconds(40),
    test!(stalled_in_fdinfo_one_stalls_nobody_else),
];

/// Pages that stay missing until the test provides them. Whoever touches one waits.
pub struct SlowPages {
    pub pages: Pages,
    faults: File,
}

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copy: i64,
}

#[repr(C)]
struct WriteProtect {
    start: u64,
    len: u64,
    mode: u64,
}

const UFFD_API: u64 = 0xaa;
const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;
const UFFDIO_REGISTER_MODE_WP: u64 = 2;
const UFFDIO_COPY_MODE_WP: u64 = 2;
const UFFD_FEATURE_PAGEFAULT_FLAG_WP: u64 = 1;
const UFFD_EVENT_PAGEFAULT: u8 = 0x12;

nix::ioctl_readwrite!(uffdio_api, 0xaa, 0x3f, Api);
nix::ioctl_readwrite!(uffdio_register, 0xaa, 0x00, Register);
nix::ioctl_readwrite!(uffdio_copy, 0xaa, 0x03, Copy);
nix::ioctl_readwrite!(uffdio_writeprotect, 0xaa, 0x06, WriteProtect);

impl SlowPages {
    pub fn map(count: usize) -> Self {
        Self::register(count, 0, UFFDIO_REGISTER_MODE_MISSING)
    }

    /// The same, of which whoever writes to one may have to wait once more.
    pub fn map_to_be_written(count: usize) -> Self {
        let mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
        Self::register(count, UFFD_FEATURE_PAGEFAULT_FLAG_WP, mode)
    }

    fn register(count: usize, features: u64, mode: u64) -> Self {
        let pages = Pages::map(count);
        // Without O_NONBLOCK it cannot be polled.
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: userfaultfd takes flags and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = Errno::result(fd).expect("userfaultfd") as i32;
        // SAFETY: the kernel has just made this descriptor for us alone.
        let faults = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut api = Api {
            api: UFFD_API,
            features,
            ioctls: 0,
        };
        // SAFETY: the structure is the one that this ioctl takes.
        unsafe { uffdio_api(fd, &mut api) }.expect("UFFDIO_API");
        let mut register = Register {
            start: pages.span(0, 0).address(),
            len: (count * PAGE) as u64,
            mode,
            ioctls: 0,
        };
        // SAFETY: the structure is the one that this ioctl takes; the range is ours.
        unsafe { uffdio_register(fd, &mut register) }.expect("UFFDIO_REGISTER");
        Self { pages, faults }
    }

    /// Waits until somebody touches a missing page, and returns which.
    pub fn await_fault(&self) -> usize {
        self.fault_within(PollTimeout::NONE).expect("a fault")
    }

    /// The same, or `None` once the thread that touches them has ended.
    fn await_fault_of<T: Send + 'static>(&self, task: &Task<T>) -> Option<usize> {
        loop {
            let page = self.fault_within(PollTimeout::from(5_u8));
            if page.is_some() || task.is_finished() {
                return page;
            }
        }
    }

    fn fault_within(&self, timeout: PollTimeout) -> Option<usize> {
        let mut fds = [PollFd::new(self.faults.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).expect("poll for a fault") == 0 {
            return None;
        }
        // struct uffd_msg: the event in the first byte, the address at 16.
        let mut message = [0; 32];
        (&self.faults)
            .read_exact(&mut message)
            .expect("read a fault");
        assert_eq!(message[0], UFFD_EVENT_PAGEFAULT);
        let address = u64::from_ne_bytes(message[16..24].try_into().expect("eight bytes"));
        Some((address - self.pages.span(0, 0).address()) as usize / PAGE)
    }

    /// Provides a missing page and wakes who waits for it.
    pub fn provide(&self, page: usize, bytes: &[u8]) {
        self.copy(page, bytes, 0);
    }

    /// The same, and whoever writes to it waits until that is allowed.
    pub fn provide_to_read(&self, page: usize, bytes: &[u8]) {
        self.copy(page, bytes, UFFDIO_COPY_MODE_WP);
    }

    /// Allows to write to a page, and wakes who waits for that.
    pub fn allow_to_write(&self, page: usize) {
        let mut protect = WriteProtect {
            start: self.pages.span(page * PAGE, 0).address(),
            len: PAGE as u64,
            mode: 0,
        };
        // SAFETY: the structure is the one that this ioctl takes; the page is ours.
        unsafe { uffdio_writeprotect(self.faults.as_raw_fd(), &mut protect) }
            .expect("UFFDIO_WRITEPROTECT");
    }

    fn copy(&self, page: usize, bytes: &[u8], mode: u64) {
        assert_eq!(bytes.len(), PAGE);
        let source = Pages::map(1);
        source.put(0, bytes);
        let mut copy = Copy {
            dst: self.pages.span(page * PAGE, 0).address(),
            src: source.span(0, 0).address(),
            len: PAGE as u64,
            mode,
            copy: 0,
        };
        // SAFETY: the structure is the one that this ioctl takes; both pages are ours.
        unsafe { uffdio_copy(self.faults.as_raw_fd(), &mut copy) }.expect("UFFDIO_COPY");
    }
}

/// Uses a ring from all sides while somebody is stalled in it. `waiting` is what lies in
/// the ring before, and how the stalled one left it.
fn others_go_on(waiting: &[u8]) {
    let ring = Endpoint::both();
    ring.put(b"others");
    let mut all = waiting.to_vec();
    all.extend(b"others");
    assert_eq!(ring.take_exactly(all.len()), all);
    // Also who has to sleep, in both directions.
    let reader = Task::asleep_in(Call::READ, move || ring.take(10));
    ring.put(b"wake");
    assert_eq!(reader.finish(), Ok(b"wake".to_vec()));
    let filled = ring.fill();
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"w"));
    ring.take_exactly(filled);
    assert_eq!(writer.finish(), Ok(1));
    assert_eq!(ring.take(10), Ok(b"w".to_vec()));
    assert_eq!(ring.available(), 0);
}

fn stalled_writer_stalls_nobody_else() {
    let (ring, other) = (Endpoint::both(), Endpoint::both());
    let slow = SlowPages::map(2);
    let span = slow.pages.span(0, 2 * PAGE);
    let writer = Task::spawn(move || ring.write_from(span));
    assert_eq!(slow.await_fault(), 0);
    others_go_on(b"");
    slow.provide(0, &pattern(0, PAGE));
    assert_eq!(slow.await_fault(), 1);
    // The first page may be in already. That is for the writer to choose.
    let early = other.drain();
    others_go_on(b"");
    slow.provide(1, &pattern(PAGE as u64, PAGE));
    let late = other.take_exactly(2 * PAGE - early.len());
    assert_eq!(writer.finish(), Ok(2 * PAGE));
    assert_pattern(&[early, late].concat(), 0);
}

fn stalled_writer_on_a_small_ring_stalls_nobody_else() {
    stalled_writer_stalls_nobody_else();
}

fn stalled_reader_stalls_nobody_else() {
    let ring = Endpoint::both();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 100);
    ring.put(b"first");
    let reader = Task::spawn(move || ring.read_to(span));
    assert_eq!(slow.await_fault(), 0);
    assert_eq!(
        ring.available(),
        5,
        "nothing is taken that was not delivered"
    );
    others_go_on(b"first");
    // Others took what it came for. Now there is something new.
    ring.put(b"second");
    slow.provide(0, &[0; PAGE]);
    assert_eq!(reader.finish(), Ok(6));
    assert_eq!(slow.pages.get(0, 6), b"second");
    assert_eq!(ring.available(), 0);
}

fn stalled_reader_finds_the_ring_emptied_by_others() {
    let ring = Endpoint::both();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 100);
    ring.put(b"first");
    let reader = Task::spawn(move || ring.read_to(span));
    assert_eq!(slow.await_fault(), 0);
    assert_eq!(ring.take(10), Ok(b"first".to_vec()));
    slow.provide(0, &[0; PAGE]);
    // An empty ring is not an end: it goes to sleep like any reader.
    reader.sleeper.await_sleep_in(Call::READ);
    reader.sleeper.sleeps_through(Call::READ, || {});
    ring.put(b"second");
    assert_eq!(reader.finish(), Ok(6));
    assert_eq!(slow.pages.get(0, 6), b"second");
}

/// Each page that the reader waits for finds more in the ring than there was before. That it never
/// has room for all of that is no fault of its memory.
fn stalled_reader_is_not_outrun_by_writers() {
    const PAGES: usize = 32;
    for kind in [STREAM, RECORD] {
        let ring = Ring::new(kind, (PAGES * PAGE) as u64);
        let (reader, writer) = (ring.reader(), ring.writer());
        // A page of the ring each.
        let length = if kind.is_stream() {
            PAGE
        } else {
            reader.set_headers(true);
            PAGE - Header::SIZE
        };
        let mut written = 0;
        let mut write = || {
            writer.put(&pattern(written, length));
            written += length as u64;
        };
        let payload = |bytes: Vec<u8>| {
            if kind.is_stream() {
                bytes
            } else {
                let records = abi::records(&bytes).into_iter();
                records.flat_map(|(_, payload)| payload).collect()
            }
        };

        write();
        let slow = SlowPages::map(PAGES);
        let span = slow.pages.span(0, PAGES * PAGE);
        let task = Task::spawn(move || reader.read_to(span));
        let mut faults = 0;
        while let Some(page) = slow.await_fault_of(&task) {
            faults += 1;
            if faults < PAGES - 1 {
                write();
            }
            slow.provide(page, &[0; PAGE]);
        }
        let count = task.finish().unwrap_or_else(|error| {
            panic!("{kind}: {error} after {faults} faults");
        });
        note!("{kind}: {count} bytes after {faults} faults");
        assert!(count > 0);
        let bytes = [slow.pages.get(0, count), reader.drain()].map(payload);
        assert_pattern(&bytes.concat(), 0);
        assert_eq!(bytes.concat().len() as u64, written, "{kind}");
    }
}

/// A read ends where another reader has taken what comes next, while it waited for a page.
fn stalled_reader_returns_bytes_that_follow_each_other() {
    const FIRST: usize = 100;
    let ring = Ring::new(STREAM, 8 * PAGE as u64);
    let (reader, other, writer) = (ring.reader(), ring.reader(), ring.writer());
    let mut written = 0;
    let mut write = |length| {
        writer.put(&pattern(written, length));
        written += length as u64;
    };
    write(FIRST);
    let slow = SlowPages::map(3);
    let span = slow.pages.span(0, 3 * PAGE);
    let task = Task::spawn(move || reader.read_to(span));
    assert_eq!(slow.await_fault_of(&task), Some(0));
    write(PAGE);
    slow.provide(0, &[0; PAGE]);
    // It has what was there at first, and goes on with what has come since.
    assert_eq!(slow.await_fault_of(&task), Some(1));
    assert_pattern(&other.take_exactly(10), FIRST as u64);
    slow.provide(1, &[0; PAGE]);
    assert_eq!(task.finish(), Ok(FIRST));
    assert_pattern(&slow.pages.get(0, FIRST), 0);
    assert_eq!(other.available(), PAGE - 10);
}

/// What becomes of the data while a reader waits for its memory, and what its read returns then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// Others take them: `EAGAIN`.
    Taken,
    /// Others take them, and a signal comes while the reader sleeps: `EINTR`.
    TakenAndInterrupted,
    /// The ring is cleared: `EAGAIN`.
    Cleared,
    /// Others take them, and the ring is destroyed: 0.
    Ended,
    /// The reader is evicted: `ESHUTDOWN`.
    Evicted,
    /// Others take the record, and the next one is too long: `EMSGSIZE`.
    Longer,
    /// Others leave three bytes, or take the record and write another of three bytes.
    Shorter,
}

impl Meanwhile {
    const ALL: [Self; 7] = [
        Self::Taken,
        Self::TakenAndInterrupted,
        Self::Cleared,
        Self::Ended,
        Self::Evicted,
        Self::Longer,
        Self::Shorter,
    ];

    fn applies_to(self, kind: Kind) -> bool {
        match self {
            Self::Evicted => kind.is_broadcast(),
            Self::Longer => !kind.is_stream(),
            _ => true,
        }
    }
}

/// A read makes missing pages present before it copies. If there is nothing to copy after that, or
/// less, the bytes that it does not fill are as they were.
fn stalled_reader_leaves_alone_what_it_does_not_fill() {
    const LENGTH: usize = 2 * PAGE;
    const BEFORE: u8 = 0xaa;
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    for kind in Kind::all() {
        for meanwhile in Meanwhile::ALL {
            if !meanwhile.applies_to(kind) {
                continue;
            }
            for vector in [false, true] {
                let case = format!("{kind}, {meanwhile:?}, readv: {vector}");
                let ring = Ring::new(kind, 16 * PAGE as u64);
                let (reader, writer) = (ring.reader(), ring.writer());
                reader.set_nonblocking(meanwhile != Meanwhile::TakenAndInterrupted);
                writer.put(&[b'x'; LENGTH]);
                let slow = SlowPages::map(3);
                let span = slow.pages.span(100, LENGTH);
                let call = if vector { Call::READV } else { Call::READ };
                let task = Task::spawn(move || match vector {
                    true => reader.readv_to(&[span]),
                    false => reader.read_to(span),
                });
                assert_eq!(slow.await_fault(), 0, "{case}");

                let take = |size| assert_eq!(reader.take_exactly(size), vec![b'x'; size]);
                match meanwhile {
                    Meanwhile::Taken | Meanwhile::TakenAndInterrupted => take(LENGTH),
                    Meanwhile::Cleared => ring.clear(),
                    Meanwhile::Ended => {
                        take(LENGTH);
                        ring.destroy();
                    }
                    Meanwhile::Evicted => ring.evict(reader.cursor().id).expect("evict"),
                    Meanwhile::Longer => {
                        take(LENGTH);
                        writer.put(&[b'y'; LENGTH + 1]);
                    }
                    Meanwhile::Shorter if kind.is_stream() => take(LENGTH - 3),
                    Meanwhile::Shorter => {
                        take(LENGTH);
                        writer.put(b"xxx");
                    }
                }
                let mut missing = vec![1, 2];
                slow.provide(0, &[BEFORE; PAGE]);
                if meanwhile == Meanwhile::TakenAndInterrupted {
                    // It may ask for the other pages before it finds out.
                    loop {
                        match slow.fault_within(PollTimeout::from(5_u8)) {
                            Some(page) => {
                                slow.provide(page, &[BEFORE; PAGE]);
                                missing.retain(|other| *other != page);
                            }
                            None if task.sleeper.is_asleep_in(call) => break,
                            None => {}
                        }
                    }
                    task.sleeper.signal(Signal::SIGUSR1);
                }
                while let Some(page) = slow.await_fault_of(&task) {
                    slow.provide(page, &[BEFORE; PAGE]);
                    missing.retain(|other| *other != page);
                }
                let answer = task.finish();
                for page in missing {
                    slow.provide(page, &[BEFORE; PAGE]);
                }

                let wanted = match meanwhile {
                    Meanwhile::Taken | Meanwhile::Cleared => Err(Errno::EAGAIN),
                    Meanwhile::TakenAndInterrupted => Err(Errno::EINTR),
                    Meanwhile::Ended => Ok(0),
                    Meanwhile::Evicted => Err(Errno::ESHUTDOWN),
                    Meanwhile::Longer => Err(Errno::EMSGSIZE),
                    Meanwhile::Shorter => Ok(3),
                };
                assert_eq!(answer, wanted, "{case}");
                let count = answer.unwrap_or(0);
                let mut expected = vec![BEFORE; 3 * PAGE];
                expected[100..][..count].fill(b'x');
                let found = slow.pages.get(0, 3 * PAGE);
                let changed = (0..3 * PAGE).find(|at| found[*at] != expected[*at]);
                assert_eq!(changed, None, "{case}: the first byte that differs");
            }
        }
    }
}

fn stalled_atomic_write_stays_in_one_piece() {
    let ring = Endpoint::both();
    let slow = SlowPages::map(2);
    // 100 bytes at the end of a page, 200 at the beginning of a missing one.
    let span = slow.pages.span(PAGE - 100, 300);
    slow.provide(0, &[b's'; PAGE]);
    let writer = Task::spawn(move || ring.write_from(span));
    others_write_at_a_fault(&slow, 1, ring);
    assert_eq!(writer.finish(), Ok(300));
    assert_in_one_piece(&ring.drain(), "blocking");
}

/// Awaits that somebody misses this page, has others write 50 bytes, and provides it, full of s.
fn others_write_at_a_fault(slow: &SlowPages, page: usize, other: Endpoint) {
    assert_eq!(slow.await_fault(), page);
    for _ in 0..10 {
        other.put(b"other");
    }
    slow.provide(page, &[b's'; PAGE]);
}

/// Fails unless 300 times s are in one piece, among the 50 bytes of others.
fn assert_in_one_piece(bytes: &[u8], case: &str) {
    assert_eq!(bytes.len(), 350, "{case}");
    let first = bytes.iter().position(|&byte| byte == b's').expect("an s");
    let piece = bytes.get(first..first + 300).unwrap_or(&[]);
    assert!(piece == [b's'; 300], "{case}: others broke into it");
}

fn stalled_atomic_write_stays_in_one_piece_of_whatever_kind() {
    for kind in Kind::all().filter(|kind| kind.is_stream()) {
        for nonblocking in [false, true] {
            let case = format!("{kind}, nonblocking: {nonblocking}");
            let ring = Ring::small(kind);
            let (reader, other, writer) = (ring.reader(), ring.writer(), ring.writer());
            writer.set_nonblocking(nonblocking);
            let slow = SlowPages::map(2);
            // As above.
            let span = slow.pages.span(PAGE - 100, 300);
            slow.provide(0, &[b's'; PAGE]);
            let task = Task::spawn(move || writer.write_from(span));
            others_write_at_a_fault(&slow, 1, other);
            assert_eq!(task.finish(), Ok(300), "{case}");
            assert_in_one_piece(&reader.drain(), &case);
        }
    }
}

/// What is left of a longer write is an atomic one, once it fits.
fn stalled_rest_of_a_write_stays_in_one_piece() {
    let ring = Ring::small(STREAM);
    let (reader, other, writer) = (ring.reader(), ring.writer(), ring.writer());
    let slow = SlowPages::map(3);
    // All of the ring, and then 100 bytes of one page and 200 of a missing one.
    let span = slow.pages.span(PAGE - 100, PAGE + 300);
    for page in 0..2 {
        slow.provide(page, &[b's'; PAGE]);
    }
    let task = Task::asleep_in(Call::WRITE, move || writer.write_from(span));
    assert_eq!(reader.take_exactly(PAGE), vec![b's'; PAGE]);
    others_write_at_a_fault(&slow, 2, other);
    assert_eq!(task.finish(), Ok(PAGE + 300));
    assert_in_one_piece(&reader.drain(), "the rest");
}

fn stalled_writer_stalls_no_poller() {
    let ring = Endpoint::both();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 10);
    let writer = Task::spawn(move || ring.write_from(span));
    assert_eq!(slow.await_fault(), 0);
    let poller = Task::asleep_in(Call::POLL, move || {
        let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE)
    });
    ring.put(b"x");
    assert_eq!(poller.finish(), Ok(1));
    ring.take_exactly(1);
    slow.provide(0, &[b'y'; PAGE]);
    assert_eq!(writer.finish(), Ok(10));
    assert_eq!(ring.take(20), Ok(vec![b'y'; 10]));
}

fn stalled_writer_is_not_interrupted_halfway() {
    // A signal with a handler during the fault: the bytes are written once, or the call
    // says how many of them are.
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let ring = Endpoint::both();
    let slow = SlowPages::map(2);
    slow.provide(0, &pattern(0, PAGE));
    let span = slow.pages.span(0, 2 * PAGE);
    let writer = Task::spawn(move || ring.write_from(span));
    assert_eq!(slow.await_fault(), 1);
    writer.sleeper.signal(Signal::SIGUSR1);
    slow.provide(1, &pattern(PAGE as u64, PAGE));
    let written = writer.finish();
    let bytes = ring.drain();
    note!("answered {written:?}");
    match written {
        Ok(count) => assert_eq!(count, bytes.len()),
        Err(Errno::EINTR) => assert_eq!(bytes.len(), 0),
        Err(error) => panic!("write: {error}"),
    }
    assert_pattern(&bytes, 0);
}

/// A reader that is woken and then stalls in a fault must not keep the wake-up to itself.
fn stalled_reader_passes_its_wake_up_on() {
    let ring = Endpoint::both();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 10);
    let stalled = Task::asleep_in(Call::READ, move || ring.read_to(span));
    let other = Task::asleep_in(Call::READ, move || ring.take(10));
    ring.put(b"x");
    assert_eq!(slow.await_fault(), 0);
    assert_eq!(other.finish(), Ok(b"x".to_vec()));
    ring.put(b"y");
    slow.provide(0, &[0; PAGE]);
    assert_eq!(stalled.finish(), Ok(1));
    assert_eq!(slow.pages.get(0, 1), b"y");
}

/// So must a writer that is woken and then stalls.
fn stalled_writer_passes_its_wake_up_on() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 10);
    let stalled = Task::asleep_in(Call::WRITE, move || ring.write_from(span));
    let other = Task::asleep_in(Call::WRITE, move || ring.write(b"other"));
    // One read makes room for both, and nothing else will happen to wake them.
    ring.take_exactly(filled);
    assert_eq!(slow.await_fault(), 0);
    assert_eq!(other.finish(), Ok(5));
    assert_eq!(ring.take(100), Ok(b"other".to_vec()));
    slow.provide(0, &[b's'; PAGE]);
    assert_eq!(stalled.finish(), Ok(10));
    assert_eq!(ring.take(100), Ok(vec![b's'; 10]));
}

/// Kills a process one of whose threads is stalled in `call`.
fn check_kill(call: impl FnOnce(Span) + Send + 'static) {
    let (reader, writer) = pipe().expect("pipe");
    let process = Process::fork(|| {
        let slow = SlowPages::map(1);
        let span = slow.pages.span(0, 10);
        let _stalled = Task::spawn(move || call(span));
        slow.await_fault();
        nix::unistd::write(&writer, b"!").expect("tell that it is stalled");
        pause();
    });
    let mut told = [0];
    File::from(reader)
        .read_exact(&mut told)
        .expect("hear that it is stalled");
    process.kill_for_good();
}

fn sigkill_ends_a_stalled_write() {
    let ring = Endpoint::both();
    check_kill(move |span| {
        let _ = ring.write_from(span);
    });
    assert_eq!(ring.available(), 0);
    others_go_on(b"");
}

fn sigkill_ends_a_stalled_read() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    check_kill(move |span| {
        let _ = ring.read_to(span);
    });
    others_go_on(b"stays");
}

/// Uses a ring in every way there is, while somebody is stalled in it. What there is to read is
/// read, but for who is stalled.
pub fn everybody_else_goes_on(ring: &Ring) {
    let control = control();
    let (other, writer) = (ring.both(), ring.writer());
    let kind = Kind::of(&other.info());
    assert_eq!(other.write(b"others"), Ok(6));
    let both = PollFlags::POLLIN | PollFlags::POLLOUT;
    assert_eq!(other.ready(both), both);
    assert!(other.available() > 0);
    other.drain();
    let sleeper = Task::asleep_in(Call::READ, move || other.take(10));
    writer.put(b"wake");
    assert_eq!(sleeper.finish(), Ok(b"wake".to_vec()));
    // Who asks, and who sets.
    assert_eq!(other.cursor().unread, 0);
    other
        .set_watermark(0, std::time::Duration::ZERO)
        .expect("set");
    let fdinfo = format!("/proc/self/fdinfo/{}", other.as_raw_fd());
    assert!(std::fs::read_to_string(fdinfo).is_ok_and(|text| text.contains("ring-id")));
    // Who changes the ring, or other rings.
    let info = ring.info();
    assert_eq!(ring.resize(2 * info.capacity), Ok(()));
    assert_eq!(ring.resize(info.capacity), Ok(()));
    ring.clear();
    control
        .create(kind.request("beside", info.capacity))
        .expect("create");
    control.destroy("beside").expect("destroy");
    if kind.is_broadcast() {
        lseek64(other, 0, Whence::SeekSet).expect("lseek");
        ring.evict(other.cursor().id).expect("evict");
    }
    for end in [other, writer] {
        close(end.as_raw_fd()).expect("close");
    }
}

/// A way to write to a ring, or to read from it, by a name.
type Way = (&'static str, fn(Endpoint, Span) -> nix::Result<usize>);

/// A span in two pieces, of which the second is that which is slow to come.
fn vector(span: Span) -> [libc::iovec; 2] {
    let first = Pages::map(1).span(0, 3);
    [first, span].map(Span::iovec)
}

fn run(entry: io_uring::squeue::Entry) -> nix::Result<usize> {
    Uring::new().run(entry).map(|count| count as usize)
}

fn in_a_worker(entry: io_uring::squeue::Entry) -> io_uring::squeue::Entry {
    entry.flags(io_uring::squeue::Flags::ASYNC)
}

/// preadv2(2) or pwritev2(2), as libc has it.
type Vectored = unsafe extern "C" fn(i32, *const libc::iovec, i32, i64, i32) -> isize;

fn vectored(call: Vectored, ring: Endpoint, span: Span) -> nix::Result<usize> {
    let vector = vector(span);
    // SAFETY: the vector is as long as said, and of spans, in which no Rust object is.
    let count = unsafe { call(ring.as_raw_fd(), vector.as_ptr(), 2, -1, 0) };
    Errno::result(count).map(|count| count as usize)
}

/// Fixed buffers of io_uring, and what splice(2) moves, are pages that are there: for these it is
/// vmsplice(2), or a read from the pipe, that is stalled, and the ring is none of their business.
const WRITES: [Way; 7] = [
    ("write", Endpoint::write_from),
    ("writev", |ring, span| {
        let first = Pages::map(1).span(0, 3);
        ring.writev_from(&[first, span])
    }),
    ("pwritev2", |ring, span| {
        vectored(libc::pwritev64v2, ring, span)
    }),
    ("io_uring, write", |ring, span| {
        run(uring::write(ring, span))
    }),
    ("io_uring, writev", |ring, span| {
        run(uring::writev(ring, &vector(span)))
    }),
    ("io_uring, write by a worker", |ring, span| {
        run(in_a_worker(uring::write(ring, span)))
    }),
    ("vmsplice and splice", |ring, span| {
        let (from, to) = pipe().expect("pipe");
        let iovec = span.iovec();
        // SAFETY: a vector of one span, in which no Rust object is.
        let count = unsafe { libc::vmsplice(to.as_raw_fd(), &iovec, 1, 0) };
        let count = Errno::result(count)? as usize;
        splice(from, None, ring, None, count, SpliceFFlags::empty())
    }),
];

const READS: [Way; 7] = [
    ("read", Endpoint::read_to),
    ("readv", |ring, span| {
        let first = Pages::map(1).span(0, 3);
        ring.readv_to(&[first, span])
    }),
    ("preadv2", |ring, span| {
        vectored(libc::preadv64v2, ring, span)
    }),
    ("io_uring, read", |ring, span| run(uring::read(ring, span))),
    ("io_uring, readv", |ring, span| {
        run(uring::readv(ring, &vector(span)))
    }),
    ("io_uring, read by a worker", |ring, span| {
        run(in_a_worker(uring::read(ring, span)))
    }),
    ("splice and read", |ring, span| {
        let (from, to) = pipe().expect("pipe");
        splice(ring, None, to, None, span.len, SpliceFFlags::empty())?;
        // SAFETY: a span holds no Rust object, so the kernel may write to what it can reach.
        let count = unsafe { libc::read(from.as_raw_fd(), span.ptr(), span.len) };
        Errno::result(count).map(|count| count as usize)
    }),
];

/// What is written and read where somebody is stalled.
const MESSAGE: usize = 100;

fn kinds() -> Kinds {
    // With hangup or without, an end is all that differs.
    Kind::all().filter(|kind| !kind.hangup)
}

fn stalled_in_a_write_of_any_way_one_stalls_nobody_else() {
    for kind in kinds() {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        for (way, write) in WRITES {
            let slow = SlowPages::map(1);
            let span = slow.pages.span(0, MESSAGE);
            let task = Task::spawn(move || write(writer, span));
            assert_eq!(slow.await_fault(), 0, "{way}, {kind}");
            everybody_else_goes_on(&ring);
            assert_eq!(reader.drain(), b"", "{way}, {kind}");
            slow.provide(0, &[b's'; PAGE]);
            let written = task.finish().expect("write");
            let bytes = reader.drain();
            assert_eq!(bytes.len(), written, "{way}, {kind}");
            assert!(bytes.ends_with(&[b's'; MESSAGE]), "{way}, {kind}");
        }
    }
}

fn stalled_in_a_read_of_any_way_one_stalls_nobody_else() {
    for kind in kinds() {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        for (way, read) in READS {
            writer.put(&[b's'; MESSAGE]);
            let slow = SlowPages::map(1);
            let span = slow.pages.span(0, MESSAGE);
            let task = Task::spawn(move || read(reader, span));
            assert_eq!(slow.await_fault(), 0, "{way}, {kind}");
            everybody_else_goes_on(&ring);
            // What it came for is gone, unless it is out of the ring.
            writer.put(&[b's'; MESSAGE]);
            slow.provide(0, &[0; PAGE]);
            let read = task.finish().expect("read");
            assert!(read >= MESSAGE, "{way}, {kind}: {read}");
            assert_eq!(slow.pages.get(0, MESSAGE - 3), [b's'; MESSAGE - 3]);
            reader.drain();
        }
    }
}

/// The argument of a command is slow to come, and then slow to take the answer.
fn stalled_in_a_command_one_stalls_nobody_else() {
    for turn in [Turn::Taken, Turn::Given] {
        let setting = Setting::new();
        for command in setting.commands_in(turn) {
            let slow = SlowPages::map_to_be_written(1);
            let mut page = setting.argument(&command);
            page.resize(PAGE, 0);
            let span = slow.pages.span(0, PAGE);
            let number = command.number();
            let file = setting.file_of(&command);
            let task = Task::spawn(move || abi::call_at(file, number, span));
            assert_eq!(slow.await_fault(), 0, "{number:#x}");
            if turn == Turn::Given {
                slow.provide_to_read(0, &page);
                assert_eq!(slow.await_fault(), 0, "{number:#x}");
            }
            everybody_else_goes_on(&setting.ring);
            match turn {
                Turn::Taken => slow.provide(0, &page),
                Turn::Given => slow.allow_to_write(0),
            }
            assert_eq!(task.finish(), Ok(0), "{number:#x}");
        }
    }
    // Of FIONREAD there is an answer and nothing else.
    let ring = Ring::small(RECORD);
    let reader = ring.reader();
    let slow = SlowPages::map(1);
    let span = slow.pages.span(0, 4);
    let task = Task::spawn(move || abi::call_at(reader, libc::FIONREAD, span));
    assert_eq!(slow.await_fault(), 0);
    everybody_else_goes_on(&ring);
    slow.provide(0, &[0; PAGE]);
    assert_eq!(task.finish(), Ok(0));
}

fn stalled_in_fdinfo_one_stalls_nobody_else() {
    for kind in kinds() {
        let ring = Ring::new(kind, 1 << 16);
        let reader = ring.reader();
        let fdinfo = File::open(format!("/proc/self/fdinfo/{}", reader.as_raw_fd()));
        let fdinfo = Endpoint::keep(fdinfo.expect("open").into());
        let slow = SlowPages::map(1);
        let span = slow.pages.span(0, PAGE);
        let task = Task::spawn(move || fdinfo.read_to(span));
        assert_eq!(slow.await_fault(), 0, "{kind}");
        everybody_else_goes_on(&ring);
        slow.provide(0, &[0; PAGE]);
        assert!(task.finish().is_ok_and(|count| count > 0), "{kind}");
    }
}
