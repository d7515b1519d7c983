// SPDX-License-Identifier: GPL-2.0

//! Linux AIO (io_submit(2)): its poll takes one wait queue only, which is why an endpoint
//! for one direction must register in just one.

use std::os::fd::AsRawFd;
use std::ptr;

use libc::{c_long, c_ulong};
use nix::errno::Errno;

use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::memory::{PAGE, Pages, Span};
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(aio_poll_completes_when_data_comes),
    test!(aio_poll_completes_when_there_is_room).params("capacity=65536"),
    test!(aio_poll_completes_at_once_when_ready),
    test!(aio_poll_can_be_cancelled),
    test!(aio_poll_killed_lets_go),
    test!(aio_read_and_write),
];

/// struct iocb of linux/aio_abi.h.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    reqprio: i16,
    fildes: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved2: u64,
    flags: u32,
    resfd: u32,
}

const IOCB_CMD_PREAD: u16 = 0;
const IOCB_CMD_PWRITE: u16 = 1;
const IOCB_CMD_POLL: u16 = 5;

/// struct io_event of linux/aio_abi.h.
#[repr(C)]
#[derive(Default)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

/// An AIO context.
#[derive(Clone, Copy)]
struct Context(c_ulong);

impl Context {
    fn new() -> Self {
        let mut context: c_ulong = 0;
        // SAFETY: io_setup writes one aio_context_t, a long.
        let done = unsafe { libc::syscall(libc::SYS_io_setup, 16, &raw mut context) };
        Errno::result(done).expect("io_setup");
        Self(context)
    }

    /// Submits one request. The kernel copies the control block, and knows it by its address.
    fn submit(self, iocb: &Iocb) -> nix::Result<()> {
        let list = [ptr::from_ref(iocb)];
        // SAFETY: a list of one control block, whose buffer, if it has one, is a span.
        let count = unsafe { libc::syscall(libc::SYS_io_submit, self.0, 1, list.as_ptr()) };
        Errno::result(count).map(|count| assert_eq!(count, 1))
    }

    /// Takes one event and returns its result. Waits if `least` is 1, not if it is 0.
    fn take(self, least: c_long) -> Option<nix::Result<u64>> {
        let mut event = Event::default();
        // SAFETY: there is room for one event, and at most one is asked for. No timeout.
        let count = unsafe {
            let no_timeout = ptr::null::<libc::timespec>();
            let event = &raw mut event;
            libc::syscall(libc::SYS_io_getevents, self.0, least, 1, event, no_timeout)
        };
        match Errno::result(count).expect("io_getevents") {
            0 => None,
            _ if event.res >= 0 => Some(Ok(event.res as u64)),
            _ => Some(Err(Errno::from_raw(-event.res as i32))),
        }
    }

    fn result(self) -> nix::Result<u64> {
        self.take(1).expect("an event, as one was waited for")
    }

    fn is_idle(self) -> bool {
        self.take(0).is_none()
    }

    fn cancel(self, iocb: &Iocb) -> nix::Result<()> {
        let mut event = Event::default();
        // SAFETY: both structures are borrowed for the call.
        let done = unsafe {
            libc::syscall(
                libc::SYS_io_cancel,
                self.0,
                ptr::from_ref(iocb),
                &raw mut event,
            )
        };
        Errno::result(done).map(drop)
    }
}

fn poll(ring: Endpoint, events: i16) -> Iocb {
    Iocb {
        opcode: IOCB_CMD_POLL,
        fildes: ring.as_raw_fd() as u32,
        buf: events as u64,
        ..Iocb::default()
    }
}

fn transfer(opcode: u16, ring: Endpoint, span: Span) -> Iocb {
    Iocb {
        opcode,
        fildes: ring.as_raw_fd() as u32,
        buf: span.address(),
        nbytes: span.len as u64,
        ..Iocb::default()
    }
}

const IN: i16 = libc::POLLIN | libc::POLLRDNORM;
const OUT: i16 = libc::POLLOUT | libc::POLLWRNORM;

fn aio_poll_completes_when_data_comes() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let context = Context::new();
    for _ in 0..10 {
        context.submit(&poll(reader, IN)).expect("io_submit");
        assert!(context.is_idle());
        writer.put(b"x");
        assert_eq!(context.result(), Ok(IN as u64));
        reader.take_exactly(1);
    }
    // And with somebody asleep for it.
    context.submit(&poll(reader, IN)).expect("io_submit");
    let sleeper = Task::asleep_in(Call::IO_GETEVENTS, move || context.result());
    writer.put(b"x");
    assert_eq!(sleeper.finish(), Ok(IN as u64));
}

fn aio_poll_completes_when_there_is_room() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let context = Context::new();
    for _ in 0..10 {
        writer.fill();
        context.submit(&poll(writer, OUT)).expect("io_submit");
        reader.take_exactly(libc::PIPE_BUF - 1);
        assert!(context.is_idle());
        reader.take_exactly(1);
        assert_eq!(context.result(), Ok(OUT as u64));
    }
}

fn aio_poll_completes_at_once_when_ready() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let context = Context::new();
    context.submit(&poll(writer, OUT)).expect("io_submit");
    assert_eq!(context.result(), Ok(OUT as u64));
    writer.put(b"x");
    context.submit(&poll(reader, IN)).expect("io_submit");
    assert_eq!(context.result(), Ok(IN as u64));
}

fn aio_poll_can_be_cancelled() {
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let context = Context::new();
    let request = poll(reader, IN);
    context.submit(&request).expect("io_submit");
    // Answered so since 4.19: the cancellation is under way, and the event follows.
    assert_eq!(context.cancel(&request), Err(Errno::EINPROGRESS));
    assert_eq!(context.result(), Ok(0), "nothing had come");
    writer.put(b"x");
    assert!(context.is_idle());
}

fn aio_poll_killed_lets_go() {
    let reader = Endpoint::reader();
    Process::asleep_in(Call::IO_GETEVENTS, || {
        let context = Context::new();
        context.submit(&poll(reader, IN)).expect("io_submit");
        let _ = context.result();
    })
    .kill_for_good();
    Endpoint::writer().put(b"x");
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

fn aio_read_and_write() {
    // Not asynchronous for such a file: io_submit does it all.
    let ring = Endpoint::both();
    let context = Context::new();
    let pages = Pages::map(2);
    pages.put(0, &pattern(0, 100));
    let write = transfer(IOCB_CMD_PWRITE, ring, pages.span(0, 100));
    context.submit(&write).expect("io_submit");
    assert_eq!(context.result(), Ok(100));
    let read = transfer(IOCB_CMD_PREAD, ring, pages.span(PAGE, 200));
    context.submit(&read).expect("io_submit");
    assert_eq!(context.result(), Ok(100));
    assert_pattern(&pages.get(PAGE, 100), 0);
}
