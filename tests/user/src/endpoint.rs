// SPDX-License-Identifier: GPL-2.0

//! An open endpoint of a ring, and the system calls on it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::Mode;

use crate::abi;
use crate::memory::Span;
use crate::module::NODE;
use crate::stream::pattern;

/// Opens the default ring. The caller decides when the endpoint is closed.
pub fn open_ring(flags: OFlag) -> Result<OwnedFd> {
    open(NODE, flags, Mode::empty())
}

/// An endpoint that stays open until the process ends, as most tests want it. It can be
/// copied into threads and forked processes as a plain descriptor can.
#[derive(Clone, Copy)]
pub struct Endpoint(BorrowedFd<'static>);

impl Endpoint {
    pub fn open(flags: OFlag) -> Self {
        Self::keep(open_ring(flags).unwrap_or_else(|error| panic!("open {NODE}: {error}")))
    }

    /// Opens a reading end.
    pub fn reader() -> Self {
        Self::open(OFlag::O_RDONLY)
    }

    /// Opens a writing end.
    pub fn writer() -> Self {
        Self::open(OFlag::O_WRONLY)
    }

    /// Opens both ends in one.
    pub fn both() -> Self {
        Self::open(OFlag::O_RDWR)
    }

    /// Keeps a descriptor open until the process ends.
    pub fn keep(fd: OwnedFd) -> Self {
        // SAFETY: the descriptor is open, and as nobody owns it any more nobody closes it.
        Self(unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) })
    }

    pub fn read(self, buffer: &mut [u8]) -> Result<usize> {
        nix::unistd::read(self, buffer)
    }

    pub fn write(self, bytes: &[u8]) -> Result<usize> {
        nix::unistd::write(self, bytes)
    }

    /// One read(2) of at most `size` bytes.
    pub fn take(self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        let count = self.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Reads exactly `size` bytes, in as many calls as it takes.
    pub fn take_exactly(self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        let mut done = 0;
        while done < size {
            let count = self.read(&mut bytes[done..]).expect("read");
            assert_ne!(count, 0, "the end of a ring that has none");
            done += count;
        }
        bytes
    }

    /// Writes all of `bytes` and expects one call to do it.
    pub fn put(self, bytes: &[u8]) {
        assert_eq!(self.write(bytes), Ok(bytes.len()), "write in full");
    }

    /// Fills the ring to the last byte and returns how much that took. The bytes are those
    /// of the test's stream from `start` on.
    pub fn fill_from(self, start: u64) -> usize {
        let mut filled = 0;
        self.set_nonblocking(true);
        loop {
            let bytes = pattern(start + filled as u64, 4096);
            match self.write(&bytes) {
                Ok(count) => filled += count,
                Err(Errno::EAGAIN) => break,
                Err(error) => panic!("fill the ring: {error}"),
            }
        }
        self.set_nonblocking(false);
        filled
    }

    pub fn fill(self) -> usize {
        self.fill_from(0)
    }

    /// Reads all that is there, without waiting for more.
    pub fn drain(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.set_nonblocking(true);
        loop {
            match self.take(1 << 16) {
                // The end, where there is one.
                Ok(more) if more.is_empty() => break,
                Ok(more) => bytes.extend(more),
                Err(Errno::EAGAIN) => break,
                Err(error) => panic!("drain the ring: {error}"),
            }
        }
        self.set_nonblocking(false);
        bytes
    }

    /// read(2) into memory that may be bad.
    pub fn read_to(self, span: Span) -> Result<usize> {
        // SAFETY: a span holds no Rust object, so the kernel may write to what it can reach.
        let count = unsafe { libc::read(self.as_raw_fd(), span.ptr(), span.len) };
        Errno::result(count).map(|count| count as usize)
    }

    /// write(2) from memory that may be bad.
    pub fn write_from(self, span: Span) -> Result<usize> {
        // SAFETY: the kernel only reads.
        let count = unsafe { libc::write(self.as_raw_fd(), span.ptr(), span.len) };
        Errno::result(count).map(|count| count as usize)
    }

    /// readv(2) into memory that may be bad.
    pub fn readv_to(self, spans: &[Span]) -> Result<usize> {
        let iov: Vec<_> = spans.iter().map(|span| span.iovec()).collect();
        // SAFETY: the vector is as long as said. A span holds no Rust object, so the kernel
        // may write to what it can reach.
        let count = unsafe { libc::readv(self.as_raw_fd(), iov.as_ptr(), iov.len() as i32) };
        Errno::result(count).map(|count| count as usize)
    }

    /// writev(2) from memory that may be bad.
    pub fn writev_from(self, spans: &[Span]) -> Result<usize> {
        let iov: Vec<_> = spans.iter().map(|span| span.iovec()).collect();
        // SAFETY: the vector is as long as said, and the kernel only reads.
        let count = unsafe { libc::writev(self.as_raw_fd(), iov.as_ptr(), iov.len() as i32) };
        Errno::result(count).map(|count| count as usize)
    }

    /// readv(2) with the vector itself at an address that may be bad.
    pub fn readv_vector_at(self, vector: Span, count: i32) -> Result<usize> {
        // SAFETY: a span holds no vector, so there is no buffer for the kernel to write to.
        let count = unsafe { libc::readv(self.as_raw_fd(), vector.ptr().cast(), count) };
        Errno::result(count).map(|count| count as usize)
    }

    /// writev(2) with the vector itself at an address that may be bad.
    pub fn writev_vector_at(self, vector: Span, count: i32) -> Result<usize> {
        // SAFETY: the kernel only reads.
        let count = unsafe { libc::writev(self.as_raw_fd(), vector.ptr().cast(), count) };
        Errno::result(count).map(|count| count as usize)
    }

    /// pread(2).
    pub fn pread(self, buffer: &mut [u8], offset: i64) -> Result<usize> {
        let at = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer is borrowed for the call.
        let count = unsafe { libc::pread64(self.as_raw_fd(), at, buffer.len(), offset) };
        Errno::result(count).map(|count| count as usize)
    }

    /// pwrite(2).
    pub fn pwrite(self, bytes: &[u8], offset: i64) -> Result<usize> {
        let at = bytes.as_ptr().cast();
        // SAFETY: the buffer is borrowed for the call, which only reads it.
        let count = unsafe { libc::pwrite64(self.as_raw_fd(), at, bytes.len(), offset) };
        Errno::result(count).map(|count| count as usize)
    }

    /// preadv2(2) with one buffer. An offset of -1 stands for "as read(2) does".
    pub fn preadv2(self, buffer: &mut [u8], offset: i64, flags: i32) -> Result<usize> {
        let iov = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: one vector of one buffer, borrowed for the call.
        let count = unsafe { libc::preadv64v2(self.as_raw_fd(), &iov, 1, offset, flags) };
        Errno::result(count).map(|count| count as usize)
    }

    /// pwritev2(2) with one buffer. An offset of -1 stands for "as write(2) does".
    pub fn pwritev2(self, bytes: &[u8], offset: i64, flags: i32) -> Result<usize> {
        let iov = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: one vector of one buffer, borrowed for the call, which only reads it.
        let count = unsafe { libc::pwritev64v2(self.as_raw_fd(), &iov, 1, offset, flags) };
        Errno::result(count).map(|count| count as usize)
    }

    /// The bytes there are to read, by FIONREAD.
    pub fn available(self) -> usize {
        self.try_available().expect("FIONREAD")
    }

    pub fn try_available(self) -> Result<usize> {
        let mut count = 0;
        // SAFETY: FIONREAD writes one int to where it is told.
        let done = unsafe { libc::ioctl(self.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        Errno::result(done)?;
        Ok(usize::try_from(count).expect("a count that is not negative"))
    }

    /// What its ring is, and what has happened to it.
    pub fn info(self) -> abi::Info {
        let mut info = abi::Info::default();
        abi::call(self, abi::INFO, &mut info).expect("RINGDEV_IOC_INFO");
        info
    }

    /// Where it reads, and what has happened there.
    pub fn cursor(self) -> abi::Cursor {
        self.try_cursor().expect("RINGDEV_IOC_CURSOR")
    }

    pub fn try_cursor(self) -> Result<abi::Cursor> {
        let mut cursor = abi::Cursor::default();
        abi::call(self, abi::CURSOR, &mut cursor).map(|()| cursor)
    }

    /// Says when a reader is to be woken.
    pub fn set_watermark(self, bytes: u64, delay: Duration) -> Result<()> {
        let mut watermark = abi::Watermark {
            bytes,
            delay_ns: delay.as_nanos() as u64,
            ..Default::default()
        };
        abi::call(self, abi::WATERMARK, &mut watermark)
    }

    /// Says whether reads return records with their headers.
    pub fn try_set_headers(self, on: bool) -> Result<()> {
        let mut mode = abi::ReadMode {
            flags: if on { abi::HEADERS } else { 0 },
            ..Default::default()
        };
        abi::call(self, abi::READ_MODE, &mut mode)
    }

    pub fn set_headers(self, on: bool) {
        self.try_set_headers(on).expect("RINGDEV_IOC_READ_MODE");
    }

    /// One read(2) with headers, of at most `size` bytes.
    pub fn take_records(self, size: usize) -> Result<Vec<(abi::Header, Vec<u8>)>> {
        self.take(size).map(|bytes| abi::records(&bytes))
    }

    /// What poll says at once.
    pub fn ready(self, events: PollFlags) -> PollFlags {
        self.poll(events, PollTimeout::ZERO).expect("poll")
    }

    /// poll(2) of this alone.
    pub fn poll(self, events: PollFlags, timeout: PollTimeout) -> Result<PollFlags> {
        let mut fds = [PollFd::new(self.as_fd(), events)];
        let count = nix::poll::poll(&mut fds, timeout)?;
        let revents = fds[0].revents().expect("flags that nix knows");
        assert_eq!(count, i32::from(!revents.is_empty()));
        Ok(revents)
    }

    /// Sets or clears O_NONBLOCK in the open file description.
    pub fn set_nonblocking(self, on: bool) {
        let flags = self.flags();
        let flags = if on {
            flags | OFlag::O_NONBLOCK
        } else {
            flags & !OFlag::O_NONBLOCK
        };
        fcntl(self, FcntlArg::F_SETFL(flags)).expect("F_SETFL");
    }

    pub fn flags(self) -> OFlag {
        OFlag::from_bits_retain(fcntl(self, FcntlArg::F_GETFL).expect("F_GETFL"))
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl AsRawFd for Endpoint {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
