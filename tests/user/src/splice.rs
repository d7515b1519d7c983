// SPDX-License-Identifier: GPL-2.0

//! splice(2), sendfile(2) and tee(2), as a character device has them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice, tee};
use nix::poll::PollFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use nix::sys::signal::{SaFlags, SigHandler, Signal, signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Whence, close, lseek64, pipe2, read, write};

use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, cpus, test};
use crate::memory::PAGE;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task, on_signal};

pub const TESTS: &[Test] = &[
    test!(splice_moves_a_pipe_into_the_ring),
    test!(splice_moves_the_ring_into_a_pipe),
    test!(splice_into_a_full_ring_waits).small(),
    test!(splice_nonblock_into_a_full_ring_leaves_the_pipe_alone).small(),
    test!(splice_from_an_empty_ring_waits),
    test!(splice_nonblock_from_an_empty_ring_is_eagain),
    test!(splice_into_a_full_pipe_leaves_the_ring_alone),
    test!(splice_with_an_offset_is_einval),
    test!(splice_from_ring_to_ring_is_einval),
    test!(splice_goes_through_in_any_size).small().seconds(40),
    test!(sendfile_moves_a_file_into_the_ring),
    test!(sendfile_of_a_large_file_waits_for_readers).small(),
    test!(sendfile_moves_the_ring_into_a_pipe),
    test!(sendfile_from_the_ring_to_a_file_is_einval),
    test!(sendfile_from_any_ring_is_einval_and_takes_nothing),
    test!(splice_moves_any_ring_into_a_pipe),
    test!(splice_that_waits_leaves_the_pipe_to_others),
    test!(splice_that_waits_lets_another_go_first),
    test!(splice_that_waits_is_epipe_once_the_pipe_has_no_readers),
    test!(splice_that_waits_is_sigpipe_once_the_pipe_has_no_readers),
    test!(splice_that_waited_waits_for_room_in_the_pipe),
    test!(splice_that_waits_for_the_pipe_leaves_the_data_to_others),
    test!(splice_that_waits_for_the_lock_of_the_pipe_leaves_the_data_to_others),
    test!(splice_nonblock_flag_never_waits_for_the_ring),
    test!(splice_that_waits_ends_with_what_ends_a_read),
    test!(splice_that_waits_is_interrupted_or_restarted),
    test!(splice_that_waits_can_be_killed),
    test!(tee_is_refused),
];

const SMALL: usize = 4096;
const PIPE_BUF: usize = libc::PIPE_BUF;

/// A pipe of 64 KiB: the end to read from, the end to write to.
fn new_pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("pipe2")
}

fn splice_all(from: impl AsFd, to: impl AsFd, length: usize) -> nix::Result<usize> {
    splice(from, None, to, None, length, SpliceFFlags::empty())
}

/// A file in memory with this in it, at its beginning.
fn file_with(bytes: &[u8]) -> File {
    let fd = memfd_create(c"source", MFdFlags::empty()).expect("memfd_create");
    let mut file = File::from(fd);
    file.write_all(bytes).expect("write the file");
    std::io::Seek::rewind(&mut file).expect("rewind");
    file
}

fn splice_moves_a_pipe_into_the_ring() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let bytes = pattern(0, 30_001);
    assert_eq!(write(&to_pipe, &bytes), Ok(bytes.len()));
    // Less than there is, then more than there is.
    assert_eq!(splice_all(&pipe, ring, 10_000), Ok(10_000));
    assert_eq!(splice_all(&pipe, ring, 1 << 20), Ok(20_001));
    assert_eq!(ring.take(1 << 20), Ok(bytes));
}

fn splice_moves_the_ring_into_a_pipe() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let bytes = pattern(0, 30_001);
    ring.put(&bytes);
    let mut moved = splice_all(ring, &to_pipe, 10_000).expect("splice");
    // A kernel for one CPU finds one page at a time for it.
    assert_eq!(moved, if cpus() > 1 { 10_000 } else { PAGE });
    assert_eq!(ring.available(), bytes.len() - moved);
    while moved < bytes.len() {
        let more = splice_all(ring, &to_pipe, 1 << 20).expect("splice");
        assert_ne!(more, 0, "the end of a ring that has none");
        moved += more;
    }
    let mut out = vec![0; 1 << 16];
    assert_eq!(read(&pipe, &mut out), Ok(bytes.len()));
    assert_eq!(out[..bytes.len()], bytes);
}

fn splice_into_a_full_ring_waits() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"later").expect("write");
    let splicer = Task::asleep_in(Call::SPLICE, move || splice_all(&pipe, ring, 5));
    ring.take_exactly(filled);
    assert_eq!(splicer.finish(), Ok(5));
    assert_eq!(ring.take(10), Ok(b"later".to_vec()));
}

fn splice_nonblock_into_a_full_ring_leaves_the_pipe_alone() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"stays").expect("write");
    ring.set_nonblocking(true);
    assert_eq!(splice_all(&pipe, ring, 5), Err(Errno::EAGAIN));
    assert_eq!(ring.available(), filled);
    let mut out = [0; 10];
    assert_eq!(read(&pipe, &mut out), Ok(5));
    assert_eq!(&out[..5], b"stays");

    // What fits goes in, the rest stays in the pipe.
    ring.take_exactly(2);
    write(&to_pipe, b"abcde").expect("write");
    assert_eq!(splice_all(&pipe, ring, 5), Ok(2));
    assert_eq!(read(&pipe, &mut out), Ok(3));
    assert_eq!(&out[..3], b"cde");
    assert_eq!(ring.drain()[filled - 2..], *b"ab");
}

fn splice_from_an_empty_ring_waits() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let splicer = Task::asleep_in(Call::SPLICE, move || splice_all(ring, &to_pipe, 100));
    ring.put(b"now");
    assert_eq!(splicer.finish(), Ok(3));
    let mut out = [0; 10];
    assert_eq!(read(&pipe, &mut out), Ok(3));
    assert_eq!(&out[..3], b"now");
}

fn splice_nonblock_from_an_empty_ring_is_eagain() {
    let ring = Endpoint::both();
    let (_pipe, to_pipe) = new_pipe();
    ring.set_nonblocking(true);
    assert_eq!(splice_all(ring, &to_pipe, 100), Err(Errno::EAGAIN));
}

fn splice_into_a_full_pipe_leaves_the_ring_alone() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    while write(&to_pipe, &[0; 4096]).is_ok() {}
    ring.put(b"stays");
    assert_eq!(splice_all(ring, &to_pipe, 5), Err(Errno::EAGAIN));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
    drop(pipe);
}

fn splice_with_an_offset_is_einval() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"x").expect("write");
    ring.put(b"x");
    let none = SpliceFFlags::empty();
    // Of a file that cannot seek, as of a socket; only of a pipe it would be ESPIPE.
    let into = splice(&pipe, None, ring, Some(&mut 0), 1, none);
    assert_eq!(into, Err(Errno::EINVAL));
    let out_of = splice(ring, Some(&mut 0), &to_pipe, None, 1, none);
    assert_eq!(out_of, Err(Errno::EINVAL));
    assert_eq!(ring.available(), 1);
}

fn splice_from_ring_to_ring_is_einval() {
    // One of the two must be a pipe.
    let ring = Endpoint::both();
    ring.put(b"x");
    assert_eq!(splice_all(ring, Endpoint::both(), 1), Err(Errno::EINVAL));
    assert_eq!(ring.available(), 1);
}

fn splice_goes_through_in_any_size() {
    // pipe -> ring -> pipe, with each stage in sizes of its own.
    const TOTAL: usize = 300_000;
    let ring = Endpoint::both();
    let (first, to_first) = new_pipe();
    let (last, to_last) = new_pipe();
    let source = Task::spawn(move || {
        for (number, bytes) in pattern(0, TOTAL).chunks(1777).enumerate() {
            assert_eq!(write(&to_first, bytes), Ok(bytes.len()), "chunk {number}");
        }
    });
    let into = Task::spawn(move || {
        let mut moved = 0;
        while moved < TOTAL {
            moved += splice_all(&first, ring, 5000).expect("splice into the ring");
        }
    });
    let out_of = Task::spawn(move || {
        let mut moved = 0;
        while moved < TOTAL {
            moved += splice_all(ring, &to_last, 3001).expect("splice out of the ring");
        }
    });
    let mut bytes = vec![0; 10_000];
    let mut done = 0;
    while done < TOTAL {
        let count = read(&last, &mut bytes).expect("read the pipe");
        assert_pattern(&bytes[..count], done as u64);
        done += count;
    }
    source.finish();
    into.finish();
    out_of.finish();
}

fn sendfile_moves_a_file_into_the_ring() {
    let ring = Endpoint::both();
    let bytes = pattern(0, 100_001);
    let file = file_with(&bytes);
    assert_eq!(sendfile(ring, &file, None, 1000), Ok(1000));
    let mut offset = 50_000;
    assert_eq!(sendfile(ring, &file, Some(&mut offset), 10), Ok(10));
    assert_eq!(offset, 50_010);
    assert_eq!(ring.take_exactly(1000), bytes[..1000]);
    assert_eq!(ring.take_exactly(10), bytes[50_000..50_010]);
    assert_eq!(sendfile(ring, &file, None, 1 << 20), Ok(99_001));
    assert_eq!(ring.take_exactly(99_001), bytes[1000..]);
    assert_eq!(sendfile(ring, &file, None, 1), Ok(0), "the end of the file");
}

fn sendfile_of_a_large_file_waits_for_readers() {
    let ring = Endpoint::both();
    let file = file_with(&pattern(0, 10 * SMALL));
    let sender = Task::asleep_in(Call::SENDFILE, move || {
        sendfile(ring, &file, None, 10 * SMALL)
    });
    assert_pattern(&ring.take_exactly(10 * SMALL), 0);
    assert_eq!(sender.finish(), Ok(10 * SMALL));
}

fn sendfile_moves_the_ring_into_a_pipe() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    ring.put(b"through a pipe");
    assert_eq!(sendfile(&to_pipe, ring, None, 14), Ok(14));
    let mut out = [0; 20];
    assert_eq!(read(&pipe, &mut out), Ok(14));
    assert_eq!(&out[..14], b"through a pipe");
}

fn sendfile_from_the_ring_to_a_file_is_einval() {
    // Only what can seek can be sent to anything but a pipe. So it is with a FIFO.
    let ring = Endpoint::both();
    ring.put(b"stays");
    let file = file_with(b"");
    assert_eq!(sendfile(&file, ring, None, 5), Err(Errno::EINVAL));
    let offset = sendfile(&file, ring, Some(&mut 0), 5);
    assert_eq!(offset, Err(Errno::ESPIPE));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

/// What a test sends: three messages, which are as many records.
const MESSAGE: usize = 1000;

/// A ring of this kind with three messages in it.
fn ring_with_messages(kind: Kind) -> Ring {
    let ring = Ring::new(kind, 1 << 16);
    // Before the writer, or there would be nobody to write for.
    let _reader = ring.reader();
    for number in 0..3 {
        ring.writer()
            .put(&pattern(number * MESSAGE as u64, MESSAGE));
    }
    ring
}

/// The output takes nothing, or less than there is. The kernel would then drop what it has read
/// from a file that can seek.
fn sendfile_from_any_ring_is_einval_and_takes_nothing() {
    for kind in Kind::all() {
        let ring = ring_with_messages(kind);
        for from in [ring.reader(), ring.both()] {
            let full = OpenOptions::new().write(true).open("/dev/full");
            let full = OwnedFd::from(full.expect("open /dev/full"));
            let other = ring_with_messages(STREAM).open(OFlag::O_WRONLY);
            let flags = SockFlag::SOCK_NONBLOCK;
            let (socket, _peer) =
                socketpair(AddressFamily::Unix, SockType::Stream, None, flags).expect("socketpair");
            let outputs = [full, file_with(b"").into(), other, socket];
            from.set_nonblocking(true);
            let before = (from.cursor(), from.info());
            let answers = outputs.each_ref().map(|to| {
                // Of one message, and of more than there is.
                [1, MESSAGE, 1 << 20].map(|length| sendfile(to, from, None, length))
            });
            assert_eq!((from.cursor(), from.info()), before, "{kind}: {answers:?}");
            assert_eq!(answers, [[Err(Errno::EINVAL); 3]; 4], "{kind}");
            let offset = sendfile(&outputs[0], from, Some(&mut 0), MESSAGE);
            assert_eq!(offset, Err(Errno::ESPIPE), "{kind}");
        }
        // Some kinds give each of them everything, and the others all of them together.
        let last = ring.reader();
        for number in 0..3 {
            let message = last.take(MESSAGE).expect("read");
            assert_eq!(message.len(), MESSAGE);
            assert_pattern(&message, number * MESSAGE as u64);
        }
    }
}

fn splice_moves_any_ring_into_a_pipe() {
    for kind in Kind::all() {
        for by_sendfile in [false, true] {
            let ring = ring_with_messages(kind);
            let (from, [pipe, to_pipe]) = (ring.reader(), kept_pipe());
            let mut moved = Vec::new();
            while moved.len() < 3 * MESSAGE {
                let count = if by_sendfile {
                    sendfile(to_pipe, from, None, MESSAGE)
                } else {
                    splice_all(from, to_pipe, MESSAGE)
                };
                let bytes = pipe.take(1 << 16).expect("read the pipe");
                assert_eq!(count, Ok(bytes.len()), "{kind}");
                moved.extend(bytes);
            }
            assert_pattern(&moved, 0);
            from.set_nonblocking(true);
            assert_eq!(splice_all(from, to_pipe, 1), Err(Errno::EAGAIN), "{kind}");
            if kind.is_broadcast() {
                lseek64(from, 0, Whence::SeekEnd).expect("lseek");
            }
        }
    }
}

/// A pipe whose ends stay open until the process ends, or a test closes them.
fn kept_pipe() -> [Endpoint; 2] {
    let (pipe, to_pipe) = new_pipe();
    [pipe, to_pipe].map(Endpoint::keep)
}

/// An empty ring with a reader and a writer.
fn empty_ring(kind: Kind) -> (Endpoint, Endpoint) {
    let ring = Ring::new(kind, 1 << 16);
    (ring.reader(), ring.writer())
}

/// A thread that waits in splice(2) for something to come into a ring.
fn waiting_splice(ring: Endpoint, to_pipe: Endpoint) -> Task<nix::Result<usize>> {
    Task::asleep_in(Call::SPLICE, move || splice_all(ring, to_pipe, 100))
}

/// Fills a pipe, from a process that must not have to wait for it.
fn fill_pipe(to_pipe: Endpoint) {
    Process::fork(|| {
        to_pipe.set_nonblocking(true);
        while to_pipe.write(&[b'f'; PIPE_BUF]).is_ok() {}
        to_pipe.set_nonblocking(false);
    })
    .finish_soon();
}

fn splice_that_waits_leaves_the_pipe_to_others() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        let splicer = waiting_splice(ring, to_pipe);
        Process::fork(|| {
            pipe.set_nonblocking(true);
            assert_eq!(pipe.take(10), Err(Errno::EAGAIN), "{kind}");
            assert_eq!(pipe.ready(PollFlags::POLLIN), PollFlags::empty());
            assert_eq!(to_pipe.ready(PollFlags::POLLOUT), PollFlags::POLLOUT);
            // What others write goes through.
            to_pipe.put(b"others");
            assert_eq!(pipe.available(), 6);
            assert_eq!(pipe.take(10), Ok(b"others".to_vec()));
            pipe.set_nonblocking(false);
        })
        .finish_soon();
        // Who waits for the pipe can be killed.
        Process::asleep_in(Call::READ, || {
            let _ = pipe.take(10);
        })
        .kill_for_good();
        splicer.sleeper.await_sleep_in(Call::SPLICE);
        writer.put(b"now");
        assert_eq!(splicer.finish(), Ok(3), "{kind}");
        assert_eq!(pipe.take(10), Ok(b"now".to_vec()));
    }
}

fn splice_that_waits_lets_another_go_first() {
    let [pipe, to_pipe] = kept_pipe();
    let (first, to_first) = empty_ring(STREAM);
    let (second, to_second) = empty_ring(RECORD);
    let splicer = waiting_splice(first, to_pipe);
    Process::fork(|| {
        to_second.put(b"second");
        assert_eq!(splice_all(second, to_pipe, 100), Ok(6));
    })
    .finish_soon();
    to_first.put(b"first");
    assert_eq!(splicer.finish(), Ok(5));
    assert_eq!(pipe.take(20), Ok(b"secondfirst".to_vec()));
}

fn splice_that_waits_is_epipe_once_the_pipe_has_no_readers() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let (pipe, to_pipe) = new_pipe();
        let to_pipe = Endpoint::keep(to_pipe);
        let splicer = waiting_splice(ring, to_pipe);
        let closing = Task::spawn(move || drop(pipe));
        assert!(closing.ends_soon(), "{kind}: close(2) waits for the splice");
        writer.put(b"stays");
        assert_eq!(splicer.finish(), Err(Errno::EPIPE), "{kind}");
        assert_eq!(ring.take(10), Ok(b"stays".to_vec()), "{kind}");
    }
}

fn splice_that_waits_is_sigpipe_once_the_pipe_has_no_readers() {
    let (ring, writer) = empty_ring(STREAM);
    let (pipe, to_pipe) = new_pipe();
    let (pipe, to_pipe) = (Endpoint::keep(pipe), Endpoint::keep(to_pipe));
    let splicer = Process::asleep_in(Call::SPLICE, || {
        // SAFETY: this handler is none of ours.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.expect("signal");
        close(pipe.as_raw_fd()).expect("close");
        let _ = splice_all(ring, to_pipe, 100);
    });
    let closing = Task::spawn(move || close(pipe.as_raw_fd()).expect("close"));
    assert!(closing.ends_soon(), "close(2) waits for the splice");
    writer.put(b"stays");
    let status = splicer.wait();
    let killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGPIPE, _));
    assert!(killed, "{status:?}");
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn splice_that_waited_waits_for_room_in_the_pipe() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        let splicer = waiting_splice(ring, to_pipe);
        fill_pipe(to_pipe);
        writer.put(b"later");
        splicer.sleeper.await_sleep_in(Call::SPLICE);
        splicer.sleeper.sleeps_through(Call::SPLICE, || {});
        assert_eq!(ring.available(), 5, "{kind}");
        // As much as makes a slot free, whatever the size of pages is. The thread may be slow to
        // end: the pipe is empty then.
        let mut read = Vec::new();
        pipe.set_nonblocking(true);
        while !splicer.is_finished() {
            match pipe.take(PIPE_BUF) {
                Ok(bytes) => read.extend(bytes),
                Err(error) => assert_eq!(error, Errno::EAGAIN, "{kind}"),
            }
        }
        assert_eq!(splicer.finish(), Ok(5), "{kind}");
        read.extend(pipe.drain());
        assert!(read.ends_with(b"later"), "{kind}");
        assert_eq!(ring.available(), 0, "{kind}");
    }
}

/// It was woken for what it cannot take yet, so another one that waits gets it.
fn splice_that_waits_for_the_pipe_leaves_the_data_to_others() {
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        let splicer = waiting_splice(ring, to_pipe);
        let other = Task::asleep_in(Call::READ, move || ring.take(10));
        fill_pipe(to_pipe);
        writer.put(b"now");
        assert_eq!(other.finish(), Ok(b"now".to_vec()), "{kind}");
        pipe.drain();
        splicer.sleeper.await_sleep_in(Call::SPLICE);
        writer.put(b"later");
        assert_eq!(splicer.finish(), Ok(5), "{kind}");
        assert_eq!(pipe.take(10), Ok(b"later".to_vec()), "{kind}");
    }
}

/// Whoever moves a pipe into a ring that is full waits with the pipe locked.
fn splice_that_waits_for_the_lock_of_the_pipe_leaves_the_data_to_others() {
    let full = Ring::small(STREAM);
    let (drain, filler) = (full.reader(), full.writer());
    for kind in Kind::all().filter(|kind| !kind.is_broadcast()) {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        let splicer = waiting_splice(ring, to_pipe);
        let other = Task::asleep_in(Call::READ, move || ring.take(10));
        filler.fill();
        to_pipe.put(b"x");
        let holder = Task::asleep_in(Call::SPLICE, move || {
            splice(pipe, None, filler, None, 1, SpliceFFlags::empty())
        });
        writer.put(b"now");
        assert_eq!(other.finish(), Ok(b"now".to_vec()), "{kind}");
        drain.drain();
        assert_eq!(holder.finish(), Ok(1), "{kind}");
        drain.drain();
        splicer.sleeper.await_sleep_in(Call::SPLICE);
        writer.put(b"later");
        assert_eq!(splicer.finish(), Ok(5), "{kind}");
    }
}

fn splice_nonblock_flag_never_waits_for_the_ring() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        let nonblock = SpliceFFlags::SPLICE_F_NONBLOCK;
        let splicer = move || splice(ring, None, to_pipe, None, 100, nonblock);
        let task = Task::spawn(splicer);
        assert!(task.ends_before_it_sleeps_in(Call::SPLICE), "{kind}");
        assert_eq!(task.finish(), Err(Errno::EAGAIN), "{kind}");
        writer.put(b"now");
        assert_eq!(splicer(), Ok(3), "{kind}");
        assert_eq!(pipe.take(10), Ok(b"now".to_vec()));
        writer.put(b"stays");
        fill_pipe(to_pipe);
        assert_eq!(splicer(), Err(Errno::EAGAIN), "{kind}");
        assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
    }
}

fn splice_that_waits_ends_with_what_ends_a_read() {
    for kind in Kind::all() {
        let [_pipe, to_pipe] = kept_pipe();
        let ring = Ring::new(kind, 1 << 16);
        if kind.hangup {
            let writer = ring.open(OFlag::O_WRONLY);
            let splicer = waiting_splice(ring.reader(), to_pipe);
            drop(writer);
            assert_eq!(splicer.finish(), Ok(0), "{kind}");
        }
        let _writer = ring.writer();
        if kind.is_broadcast() {
            let reader = ring.reader();
            let splicer = waiting_splice(reader, to_pipe);
            ring.evict(reader.cursor().id).expect("evict");
            assert_eq!(splicer.finish(), Err(Errno::ESHUTDOWN), "{kind}");
        }
        let splicer = waiting_splice(ring.reader(), to_pipe);
        ring.destroy();
        assert_eq!(splicer.finish(), Ok(0), "{kind}");
    }
}

fn splice_that_waits_is_interrupted_or_restarted() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        on_signal(Signal::SIGUSR1, SaFlags::empty());
        let splicer = waiting_splice(ring, to_pipe);
        splicer.sleeper.signal(Signal::SIGUSR1);
        assert_eq!(splicer.finish(), Err(Errno::EINTR), "{kind}");
        on_signal(Signal::SIGUSR1, SaFlags::SA_RESTART);
        let splicer = waiting_splice(ring, to_pipe);
        splicer.sleeper.signal(Signal::SIGUSR1);
        splicer.sleeper.await_sleep_in(Call::SPLICE);
        writer.put(b"now");
        assert_eq!(splicer.finish(), Ok(3), "{kind}");
        assert_eq!(pipe.take(10), Ok(b"now".to_vec()));
    }
}

fn splice_that_waits_can_be_killed() {
    for kind in Kind::all() {
        let (ring, writer) = empty_ring(kind);
        let [pipe, to_pipe] = kept_pipe();
        Process::asleep_in(Call::SPLICE, || {
            let _ = splice_all(ring, to_pipe, 100);
        })
        .kill_for_good();
        writer.put(b"stays");
        assert_eq!(pipe.available(), 0);
        assert_eq!(ring.take(10), Ok(b"stays".to_vec()), "{kind}");
        to_pipe.put(b"works");
        assert_eq!(pipe.take(10), Ok(b"works".to_vec()));
    }
}

fn tee_is_refused() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"x").expect("write");
    ring.put(b"y");
    let none = SpliceFFlags::empty();
    assert_eq!(tee(&pipe, ring, 1, none), Err(Errno::EINVAL));
    assert_eq!(tee(ring, &to_pipe, 1, none), Err(Errno::EINVAL));
    assert_eq!(ring.take(10), Ok(b"y".to_vec()));
}
