// SPDX-License-Identifier: GPL-2.0

//! io_uring: the ring under the asynchronous interface, which asks with `IOCB_NOWAIT` first
//! and waits by poll.

use std::collections::HashMap;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::control::{Kind, Ring};
use crate::endpoint::Endpoint;
use crate::hangup::{RWF_NOSIGNAL, nosignal_is_known, without_sigpipe};
use crate::harness::{Test, by_lane, test};
use crate::memory::{PAGE, Pages, Span};
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(uring_write_and_read),
    test!(uring_readv_and_writev),
    test!(uring_fixed_buffers),
    test!(uring_read_completes_when_data_comes),
    test!(uring_write_completes_when_there_is_room).small(),
    test!(uring_write_larger_than_the_ring_completes).small(),
    test!(uring_read_in_a_worker_completes_when_data_comes),
    test!(uring_waits_for_a_nonblocking_endpoint_too),
    test!(uring_nowait_is_eagain).small(),
    test!(uring_poll_completes_when_data_comes),
    test!(uring_poll_for_room_completes_when_pipe_buf_bytes_are_free),
    test!(uring_write_to_a_full_ring_waits_for_pipe_buf_bytes),
    test!(uring_multishot_poll_reports_every_write).alone(),
    test!(uring_linked_write_then_read),
    test!(uring_pending_read_can_be_cancelled),
    test!(uring_cancelled_reads_leave_their_wake_up_to_others),
    test!(uring_pending_worker_read_can_be_cancelled),
    test!(uring_link_timeout_ends_a_read),
    test!(uring_bad_address_is_efault),
    test!(uring_write_that_asks_for_no_signal_is_epipe_alone).needs(nosignal_is_known),
    test!(uring_offset_of_a_stream_is_ignored),
    test!(uring_many_reads_share_the_stream).seconds(40),
    test!(uring_closed_with_requests_pending_lets_go),
    test!(uring_killed_with_requests_pending_lets_go),
];

const SMALL: usize = 4096;

/// The offset that stands for "where a stream is".
const HERE: u64 = u64::MAX;

/// An io_uring and the results that have come but were not asked for yet.
pub struct Uring {
    uring: IoUring,
    results: HashMap<u64, Vec<(nix::Result<u32>, u32)>>,
}

impl Uring {
    pub fn new() -> Self {
        Self {
            uring: IoUring::new(64).expect("io_uring_setup"),
            results: HashMap::new(),
        }
    }

    fn push(&mut self, entry: squeue::Entry, id: u64) {
        let entry = entry.user_data(id);
        // SAFETY: entries are made of spans, which no Rust object is in and which stay mapped.
        unsafe { self.uring.submission().push(&entry) }.expect("room for an entry");
    }

    /// Submits what was pushed. None of the requests has to be complete after it.
    fn submit(&mut self) {
        self.uring.submit().expect("submit");
    }

    pub fn start(&mut self, entry: squeue::Entry, id: u64) {
        self.push(entry, id);
        self.submit();
    }

    fn collect(&mut self) {
        for entry in self.uring.completion() {
            let result = match entry.result() {
                result @ 0.. => Ok(result as u32),
                error => Err(Errno::from_raw(-error)),
            };
            let results = self.results.entry(entry.user_data()).or_default();
            results.push((result, entry.flags()));
        }
    }

    /// The result of a request if there is one.
    pub fn try_result(&mut self, id: u64) -> Option<(nix::Result<u32>, u32)> {
        self.collect();
        let results = self.results.get_mut(&id)?;
        (!results.is_empty()).then(|| results.remove(0))
    }

    /// Waits for the result of a request.
    pub fn result(&mut self, id: u64) -> nix::Result<u32> {
        self.result_with_flags(id).0
    }

    fn result_with_flags(&mut self, id: u64) -> (nix::Result<u32>, u32) {
        loop {
            if let Some(result) = self.try_result(id) {
                return result;
            }
            match self.uring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => panic!("io_uring_enter: {error}"),
            }
        }
    }

    /// Runs one request to its end.
    pub fn run(&mut self, entry: squeue::Entry) -> nix::Result<u32> {
        const ID: u64 = 1 << 40;
        self.start(entry, ID);
        self.result(ID)
    }
}

fn fd(ring: Endpoint) -> types::Fd {
    types::Fd(ring.as_raw_fd())
}

pub fn read(ring: Endpoint, span: Span) -> squeue::Entry {
    opcode::Read::new(fd(ring), span.ptr().cast(), span.len as u32)
        .offset(HERE)
        .build()
}

pub fn write(ring: Endpoint, span: Span) -> squeue::Entry {
    opcode::Write::new(fd(ring), span.ptr().cast(), span.len as u32)
        .offset(HERE)
        .build()
}

/// The same of a vector, which has to stay where it is.
pub fn readv(ring: Endpoint, vector: &[libc::iovec]) -> squeue::Entry {
    opcode::Readv::new(fd(ring), vector.as_ptr(), vector.len() as u32)
        .offset(HERE)
        .build()
}

pub fn writev(ring: Endpoint, vector: &[libc::iovec]) -> squeue::Entry {
    opcode::Writev::new(fd(ring), vector.as_ptr(), vector.len() as u32)
        .offset(HERE)
        .build()
}

fn poll(ring: Endpoint, events: i16) -> opcode::PollAdd {
    opcode::PollAdd::new(fd(ring), events as u32)
}

fn uring_write_and_read() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(4);
    pages.put(0, &pattern(0, 5000));
    assert_eq!(uring.run(write(ring, pages.span(0, 5000))), Ok(5000));
    assert_eq!(ring.available(), 5000);
    let to = pages.span(2 * PAGE, 8000);
    assert_eq!(uring.run(read(ring, to)), Ok(5000));
    assert_pattern(&pages.get(2 * PAGE, 5000), 0);
}

fn uring_readv_and_writev() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(2);
    pages.put(0, &pattern(0, 300));
    let from = [pages.span(0, 100), pages.span(100, 0), pages.span(100, 200)];
    let from = from.map(Span::iovec);
    let entry = opcode::Writev::new(fd(ring), from.as_ptr(), 3).offset(HERE);
    assert_eq!(uring.run(entry.build()), Ok(300));
    let to = [pages.span(PAGE + 7, 7), pages.span(PAGE + 14, 1000)].map(Span::iovec);
    let entry = opcode::Readv::new(fd(ring), to.as_ptr(), 2).offset(HERE);
    assert_eq!(uring.run(entry.build()), Ok(300));
    assert_pattern(&pages.get(PAGE + 7, 300), 0);
}

fn uring_fixed_buffers() {
    // Registered buffers come as pages of memory, not as addresses.
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(8);
    let whole = pages.span(0, 8 * PAGE).iovec();
    // SAFETY: the pages stay mapped.
    unsafe { uring.uring.submitter().register_buffers(&[whole]) }.expect("register buffers");
    pages.put(0, &pattern(0, 10_000));
    let from = pages.span(0, 10_000);
    let entry = opcode::WriteFixed::new(fd(ring), from.ptr().cast(), 10_000, 0).offset(HERE);
    assert_eq!(uring.run(entry.build()), Ok(10_000));
    let to = pages.span(4 * PAGE + 1, 12_000);
    let entry = opcode::ReadFixed::new(fd(ring), to.ptr().cast(), 12_000, 0).offset(HERE);
    assert_eq!(uring.run(entry.build()), Ok(10_000));
    assert_pattern(&pages.get(4 * PAGE + 1, 10_000), 0);
}

fn uring_read_completes_when_data_comes() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(1);
    for _ in 0..10 {
        uring.start(read(ring, pages.span(0, 100)), 1);
        assert!(uring.try_result(1).is_none());
        ring.put(b"now");
        assert_eq!(uring.result(1), Ok(3));
        assert_eq!(pages.get(0, 3), b"now");
    }
}

fn uring_write_completes_when_there_is_room() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let mut uring = Uring::new();
    let pages = Pages::map(1);
    pages.put(0, b"later");
    uring.start(write(ring, pages.span(0, 5)), 1);
    assert!(uring.try_result(1).is_none());
    ring.take_exactly(filled);
    assert_eq!(uring.result(1), Ok(5));
    assert_eq!(ring.take(10), Ok(b"later".to_vec()));
}

fn uring_write_larger_than_the_ring_completes() {
    const SIZE: usize = 3 * SMALL + 5;
    let ring = Endpoint::both();
    let pages = Pages::map(4);
    pages.put(0, &pattern(0, SIZE));
    let writer = Task::spawn(move || {
        // A completion may be short, as a nonblocking write may be. None may lie.
        let mut uring = Uring::new();
        let mut done = 0;
        while done < SIZE {
            let count = uring.run(write(ring, pages.span(done, SIZE - done)));
            done += count.expect("write") as usize;
        }
    });
    assert_pattern(&ring.take_exactly(SIZE), 0);
    writer.finish();
    assert_eq!(ring.available(), 0);
}

fn uring_read_in_a_worker_completes_when_data_comes() {
    // IOSQE_ASYNC: a kernel thread sleeps in the read, with no IOCB_NOWAIT.
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(1);
    let entry = read(ring, pages.span(0, 100)).flags(squeue::Flags::ASYNC);
    uring.start(entry, 1);
    let waiter = Task::asleep_in(Call::IO_URING_ENTER, move || uring.result(1));
    ring.put(b"now");
    assert_eq!(waiter.finish(), Ok(3));
    assert_eq!(pages.get(0, 3), b"now");
}

fn uring_waits_for_a_nonblocking_endpoint_too() {
    // For io_uring O_NONBLOCK is no reason to give up, if the file knows IOCB_NOWAIT; so it
    // is with a pipe. Who does not want to wait says so in the request.
    let ring = Endpoint::both();
    ring.set_nonblocking(true);
    let mut uring = Uring::new();
    uring.start(read(ring, Pages::map(1).span(0, 100)), 1);
    assert!(uring.try_result(1).is_none());
    ring.put(b"x");
    assert_eq!(uring.result(1), Ok(1));
}

fn uring_nowait_is_eagain() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let span = Pages::map(1).span(0, 100);
    let read = opcode::Read::new(fd(ring), span.ptr().cast(), 100)
        .offset(HERE)
        .rw_flags(libc::RWF_NOWAIT)
        .build();
    let write = opcode::Write::new(fd(ring), span.ptr().cast(), 100)
        .offset(HERE)
        .rw_flags(libc::RWF_NOWAIT)
        .build();
    assert_eq!(uring.run(read.clone()), Err(Errno::EAGAIN));
    assert_eq!(uring.run(write.clone()), Ok(100));
    ring.fill();
    assert_eq!(uring.run(write), Err(Errno::EAGAIN));
    assert_eq!(uring.run(read), Ok(100));
}

fn uring_poll_completes_when_data_comes() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    uring.start(poll(ring, libc::POLLIN).build(), 1);
    assert!(uring.try_result(1).is_none());
    ring.put(b"x");
    assert_eq!(uring.result(1), Ok(libc::POLLIN as u32));
    // And at once when it is there already.
    let at_once = uring.run(poll(ring, libc::POLLIN | libc::POLLOUT).build());
    assert_eq!(at_once, Ok((libc::POLLIN | libc::POLLOUT) as u32));
}

/// A full ring of each kind of stream that blocks.
fn full_streams() -> impl Iterator<Item = (Kind, Endpoint, Endpoint)> {
    let kinds = Kind::all().filter(|kind| kind.is_stream() && kind.blocks());
    kinds.map(|kind| {
        let ring = Ring::new(kind, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.fill();
        (kind, reader, writer)
    })
}

fn uring_poll_for_room_completes_when_pipe_buf_bytes_are_free() {
    for multi in [false, true] {
        for (kind, reader, writer) in full_streams() {
            let mut uring = Uring::new();
            let wanted = poll(writer, libc::POLLOUT).multi(multi).build();
            uring.start(wanted, 1);
            for piece in [1, 100, libc::PIPE_BUF - 102] {
                reader.take_exactly(piece);
                assert!(uring.try_result(1).is_none(), "{kind}, multishot: {multi}");
            }
            reader.take_exactly(1);
            let (result, flags) = uring.result_with_flags(1);
            assert_eq!(result, Ok(libc::POLLOUT as u32), "{kind}");
            assert_eq!(cqueue::more(flags), multi);
        }
    }
}

fn uring_write_to_a_full_ring_waits_for_pipe_buf_bytes() {
    for (kind, reader, writer) in full_streams() {
        let mut uring = Uring::new();
        let pages = Pages::map(1);
        uring.start(write(writer, pages.span(0, libc::PIPE_BUF)), 1);
        reader.take_exactly(libc::PIPE_BUF - 1);
        assert!(uring.try_result(1).is_none(), "{kind}");
        reader.take_exactly(1);
        assert_eq!(uring.result(1), Ok(libc::PIPE_BUF as u32), "{kind}");
    }
}

fn uring_multishot_poll_reports_every_write() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    uring.start(poll(ring, libc::POLLIN).multi(true).build(), 1);
    // Like an edge: drained or not, each write is news.
    for _ in 0..20 {
        assert!(uring.try_result(1).is_none());
        ring.put(b"x");
        let (result, flags) = uring.result_with_flags(1);
        assert_eq!(result, Ok(libc::POLLIN as u32));
        assert!(cqueue::more(flags), "it goes on");
    }
    assert_eq!(ring.available(), 20);
}

fn uring_linked_write_then_read() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(2);
    pages.put(0, b"linked");
    let first = write(ring, pages.span(0, 6)).flags(squeue::Flags::IO_LINK);
    uring.push(first, 1);
    uring.push(read(ring, pages.span(PAGE, 100)), 2);
    uring.submit();
    assert_eq!(uring.result(1), Ok(6));
    assert_eq!(uring.result(2), Ok(6));
    assert_eq!(pages.get(PAGE, 6), b"linked");
}

/// Cancels a request, and returns what was said to that, and the result of the request.
///
/// A worker that runs the request when it is told does not look before it leaves the request to a
/// poll, and then the request is still there: after `EALREADY` one asks again, as the kernel does
/// in io_sync_cancel() of its io_uring/cancel.c.
fn cancel(uring: &mut Uring, id: u64) -> (nix::Result<u32>, nix::Result<u32>) {
    let cancelled = uring.run(opcode::AsyncCancel::new(id).build());
    if cancelled != Err(Errno::EALREADY) {
        return (cancelled, uring.result(id));
    }
    loop {
        if let Some((result, _)) = uring.try_result(id) {
            return (cancelled, result);
        }
        let _ = uring.run(opcode::AsyncCancel::new(id).build());
    }
}

/// Cancels a pending read, started with these flags, and sees that it takes nothing.
fn check_cancel(flags: squeue::Flags) {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let span = Pages::map(1).span(0, 100);
    for _ in 0..by_lane(50, 10) {
        uring.start(read(ring, span).flags(flags), 1);
        assert!(uring.try_result(1).is_none());
        let (cancelled, result) = cancel(&mut uring, 1);
        // A worker that is running when it is cancelled gets a signal instead.
        match cancelled {
            Ok(0) => assert_eq!(result, Err(Errno::ECANCELED)),
            Err(Errno::EALREADY) => {
                assert!(matches!(result, Err(Errno::EINTR | Errno::ECANCELED)))
            }
            other => panic!("cancel: {other:?}, read: {result:?}"),
        }
        ring.put(b"x");
        assert_eq!(ring.take(10), Ok(b"x".to_vec()));
    }
}

fn uring_pending_read_can_be_cancelled() {
    check_cancel(squeue::Flags::empty());
}

fn uring_pending_worker_read_can_be_cancelled() {
    check_cancel(squeue::Flags::ASYNC);
}

fn uring_cancelled_reads_leave_their_wake_up_to_others() {
    let ring = Endpoint::both();
    for _ in 0..by_lane(50, 10) {
        let mut uring = Uring::new();
        let span = Pages::map(1).span(0, 100);
        uring.start(read(ring, span).flags(squeue::Flags::ASYNC), 1);
        let reader = Task::asleep_in(Call::READ, move || ring.take(10));
        assert!(cancel(&mut uring, 1).1.is_err());
        ring.put(b"x");
        assert_eq!(reader.finish(), Ok(b"x".to_vec()));
    }
}

fn uring_link_timeout_ends_a_read() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let span = Pages::map(1).span(0, 100);
    let soon = types::Timespec::new().nsec(20_000_000);
    uring.push(read(ring, span).flags(squeue::Flags::IO_LINK), 1);
    uring.push(opcode::LinkTimeout::new(&soon).build(), 2);
    uring.submit();
    assert_eq!(uring.result(1), Err(Errno::ECANCELED));
    assert_eq!(uring.result(2), Err(Errno::ETIME));
    ring.put(b"x");
    assert_eq!(ring.take(10), Ok(b"x".to_vec()));
}

fn uring_bad_address_is_efault() {
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    ring.put(b"stays");
    for bad in [Span::null(8), Span::kernel(8)] {
        assert_eq!(uring.run(read(ring, bad)), Err(Errno::EFAULT));
        assert_eq!(uring.run(write(ring, bad)), Err(Errno::EFAULT));
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn uring_write_that_asks_for_no_signal_is_epipe_alone() {
    for kind in Kind::all().filter(|kind| kind.hangup) {
        let writer = Ring::small(kind).writer();
        without_sigpipe(|| {
            let mut uring = Uring::new();
            let span = Pages::map(1).span(0, 100);
            for flags in [squeue::Flags::empty(), squeue::Flags::ASYNC] {
                let entry = opcode::Write::new(fd(writer), span.ptr().cast(), 100)
                    .offset(HERE)
                    .rw_flags(RWF_NOSIGNAL)
                    .build()
                    .flags(flags);
                assert_eq!(uring.run(entry), Err(Errno::EPIPE), "{kind}");
            }
        });
    }
}

fn uring_offset_of_a_stream_is_ignored() {
    // io_uring itself ignores the offset of a stream, unlike pread(2): whatever it says, the
    // bytes come in order.
    let ring = Endpoint::both();
    let mut uring = Uring::new();
    let pages = Pages::map(1);
    ring.put(b"abcd");
    for (offset, byte) in [(0, b'a'), (3, b'b'), (1 << 40, b'c'), (0, b'd')] {
        let entry = opcode::Read::new(fd(ring), pages.span(0, 1).ptr().cast(), 1)
            .offset(offset)
            .build();
        assert_eq!(uring.run(entry), Ok(1));
        assert_eq!(pages.get(0, 1), [byte]);
    }
}

fn uring_many_reads_share_the_stream() {
    const READS: u64 = 16;
    let total = by_lane(200_000, 30_000);
    let ring = Endpoint::both();
    let writer = Task::spawn(move || ring.write(&pattern(0, total as usize)));
    let mut uring = Uring::new();
    let pages = Pages::map(READS as usize);
    let slot = |id: u64| pages.span(id as usize * PAGE, 100);
    for id in 0..READS {
        uring.push(read(ring, slot(id)), id);
    }
    uring.submit();
    let mut seen = [0_u64; 256];
    let mut count = 0;
    while count < total {
        uring.uring.submit_and_wait(1).expect("io_uring_enter");
        for id in 0..READS {
            let Some((result, _)) = uring.try_result(id) else {
                continue;
            };
            let size = result.expect("read") as usize;
            assert_ne!(size, 0, "the end of a ring that has none");
            for byte in pages.get(id as usize * PAGE, size) {
                seen[usize::from(byte)] += 1;
            }
            count += size as u64;
            uring.push(read(ring, slot(id)), id);
        }
    }
    assert_eq!(writer.finish(), Ok(total as usize));
    let mut sent = [0; 256];
    for byte in pattern(0, total as usize) {
        sent[usize::from(byte)] += 1;
    }
    assert_eq!(seen, sent, "every byte once");
}

/// Leaves requests of every kind pending.
fn leave_pending(ring: Endpoint) -> Uring {
    let mut uring = Uring::new();
    let span = Pages::map(1).span(0, 100);
    uring.push(read(ring, span), 1);
    uring.push(read(ring, span).flags(squeue::Flags::ASYNC), 2);
    uring.push(poll(ring, libc::POLLIN).build(), 3);
    uring.push(poll(ring, libc::POLLIN).multi(true).build(), 4);
    uring.submit();
    uring
}

fn uring_closed_with_requests_pending_lets_go() {
    let ring = Endpoint::both();
    for _ in 0..by_lane(20, 5) {
        drop(leave_pending(ring));
    }
    // Closing cancels late, in a worker, so one of the dead requests may still get a byte.
    // What the harness checks is that all of them let go of the module.
}

fn uring_killed_with_requests_pending_lets_go() {
    let ring = Endpoint::both();
    for _ in 0..by_lane(20, 5) {
        let process = Process::asleep_in(Call::PAUSE, || {
            let _uring = leave_pending(ring);
            nix::unistd::pause();
        });
        process.kill(Signal::SIGKILL);
        process.wait();
    }
}
