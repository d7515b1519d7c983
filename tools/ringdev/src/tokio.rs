// SPDX-License-Identifier: GPL-2.0

//! Endpoints that a tokio runtime waits for.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::unix::AsyncFd;
use ::tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::batch::Batch;
use crate::record::Record;
use crate::records::BATCH;
use crate::ring::Ring;
use crate::sys;

/// An endpoint whose calls wait without holding up a thread.
///
/// All methods take `&self`, so that one task may read while another writes. None loses data when
/// the future is dropped: it then has done nothing. For streams there are [`AsyncRead`] and
/// [`AsyncWrite`] as well, with all that tokio builds on them.
///
/// ```no_run
/// use ringdev::{AsyncRing, Ring};
///
/// # async fn example() -> std::io::Result<()> {
/// let ring = Ring::options().read(true).open(&"log".parse()?)?;
/// let mut records = AsyncRing::new(ring)?.records()?;
/// while let Some(record) = records.next_record().await? {
///     println!("{}: {} bytes", record.sequence, record.payload.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncRing {
    ring: AsyncFd<Ring>,
}

impl AsyncRing {
    /// Makes the endpoint nonblocking, for everybody who has a duplicate of it, and registers it
    /// with the runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime with I/O enabled.
    pub fn new(ring: Ring) -> io::Result<Self> {
        ring.set_nonblocking(true)?;
        Ok(Self {
            ring: sys::register(ring)?,
        })
    }

    /// The endpoint.
    pub fn get_ref(&self) -> &Ring {
        self.ring.get_ref()
    }

    /// Reads as [`Read::read`] does.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reading(|mut ring| ring.read(buffer)).await
    }

    /// Writes as [`Write::write`] does.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writing(|mut ring| ring.write(bytes)).await
    }

    /// Writes one record, as [`Ring::send`] does.
    pub async fn send(&self, record: &[u8]) -> io::Result<()> {
        self.writing(|ring| ring.send(record)).await
    }

    /// Writes one record that lies in pieces, as [`Ring::send_vectored`] does.
    pub async fn send_vectored(&self, record: &[IoSlice<'_>]) -> io::Result<()> {
        self.writing(|ring| ring.send_vectored(record)).await
    }

    /// Reads one record, as [`Ring::receive`] does.
    pub async fn receive(&self, record: &mut Vec<u8>) -> io::Result<bool> {
        self.reading(|ring| ring.receive(record)).await
    }

    /// Reads records with their headers, as [`Ring::records`] does.
    pub fn records(self) -> io::Result<AsyncRecords> {
        self.get_ref().read_with_headers()?;
        Ok(AsyncRecords {
            ring: self,
            batch: Batch::new(BATCH),
        })
    }

    /// Calls `call` whenever there may be something to read, until it does not have to wait.
    async fn reading<T>(&self, mut call: impl FnMut(&Ring) -> io::Result<T>) -> io::Result<T> {
        let call = |ring: &Ring| call(ring);
        self.ring.async_io(Interest::READABLE, call).await
    }

    /// Calls `call` whenever there may be room, until it does not have to wait.
    async fn writing<T>(&self, mut call: impl FnMut(&Ring) -> io::Result<T>) -> io::Result<T> {
        let call = |ring: &Ring| call(ring);
        self.ring.async_io(Interest::WRITABLE, call).await
    }

    fn poll_writing<T>(
        &self,
        context: &mut Context<'_>,
        mut call: impl FnMut(&Ring) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let mut guard = ready!(self.ring.poll_write_ready(context))?;
            if let Ok(answer) = guard.try_io(|ring| call(ring.get_ref())) {
                return Poll::Ready(answer);
            }
        }
    }
}

impl AsyncRead for AsyncRing {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.ring.poll_read_ready(context))?;
            let place = buffer.initialize_unfilled();
            if let Ok(answer) = guard.try_io(|ring| ring.get_ref().read(place)) {
                return Poll::Ready(answer.map(|count| buffer.advance(count)));
            }
        }
    }
}

impl AsyncWrite for AsyncRing {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(context, |mut ring| ring.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(context, |mut ring| ring.write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what was written is in the ring.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: an endpoint is shut down by dropping it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The records of a ring, from [`AsyncRing::records`]. See [`Records`](crate::Records), which it
/// is like.
#[derive(Debug)]
pub struct AsyncRecords {
    ring: AsyncRing,
    batch: Batch,
}

impl AsyncRecords {
    /// The endpoint that the records are from.
    pub fn ring(&self) -> &AsyncRing {
        &self.ring
    }

    /// The next record; none at the end of file.
    pub async fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.batch.is_empty() {
            let batch = &mut self.batch;
            let fill = |ring: &Ring| batch.fill(|bytes| ring.receive(bytes));
            if !self.ring.reading(fill).await? {
                return Ok(None);
            }
        }
        self.batch.take()
    }

    /// The next of the records that the last read has taken from the ring, as
    /// [`Records::next_taken`](crate::Records::next_taken) has it.
    pub fn next_taken(&mut self) -> io::Result<Option<Record<'_>>> {
        self.batch.take()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};
    use std::time::Duration;

    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::{join, test, time};
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{Errno, read};
    use rustix::pipe::pipe;

    use super::*;
    use crate::abi;
    use crate::batch::made_up::push;
    use crate::sys::made_up::{kernel, kernel_of};

    /// The two ends of a pipe, which is all of a ring that these tests need.
    fn ends() -> (AsyncRing, AsyncRing) {
        let (reader, writer) = pipe().expect("a pipe");
        let end = |fd: OwnedFd| AsyncRing::new(Ring::from(fd)).expect("a runtime");
        (end(reader), end(writer))
    }

    /// Polls a future until nothing happens any more, and drops it: it has to wait.
    async fn cancel<T>(future: impl Future<Output = T>) {
        let early = time::timeout(Duration::from_millis(10), future).await;
        assert!(early.is_err(), "it does not wait");
    }

    /// Writes until the pipe is full, and returns how many bytes it has taken.
    fn fill(writer: &AsyncRing) -> usize {
        let mut ring = writer.get_ref();
        let mut filled = 0;
        while let Ok(count) = ring.write(&[1; 1 << 16]) {
            filled += count;
        }
        filled
    }

    #[test]
    async fn an_endpoint_is_made_nonblocking_and_stays_the_same() {
        let (reader, _writer) = pipe().expect("a pipe");
        let number = reader.as_raw_fd();
        let ring = AsyncRing::new(Ring::from(reader)).expect("a runtime");
        assert_eq!(ring.get_ref().as_raw_fd(), number);
        let flags = fcntl_getfl(ring.get_ref()).expect("flags");
        assert!(flags.contains(OFlags::NONBLOCK));
        kernel_of(abi::IOC_READ_MODE, |mode: &mut abi::ReadMode| {
            assert_eq!((mode.size, mode.flags), (8, abi::HEADERS));
            Ok(())
        });
        let records = ring.records().expect("a ring of records");
        assert_eq!(records.ring().get_ref().as_raw_fd(), number);
        assert_eq!(records.batch.capacity(), 65_536);
    }

    #[test]
    async fn a_stream_has_no_records() {
        let (reader, _writer) = ends();
        kernel(|_, _| Err(Errno::INVAL));
        let error = reader.records().expect_err("a stream");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
    }

    #[test]
    async fn what_is_sent_in_pieces_is_received_whole() {
        let (reader, writer) = ends();
        let mut record = b"what was there".to_vec();
        cancel(reader.receive(&mut record)).await;
        let pieces = [IoSlice::new(b"one "), IoSlice::new(b"record")];
        let (received, sent) = join!(reader.receive(&mut record), writer.send_vectored(&pieces));
        sent.expect("there is room");
        assert!(received.expect("a read"));
        assert_eq!(record, b"one record");
        assert_eq!(writer.write(b"bytes").await.expect("there is room"), 5);
        assert!(reader.receive(&mut record).await.expect("a read"));
        assert_eq!(record, b"bytes");
        drop(writer);
        assert!(!reader.receive(&mut record).await.expect("the end"));
        assert_eq!(record, b"");
    }

    #[test]
    async fn an_error_is_told_and_not_waited_for() {
        let (reader, writer) = ends();
        let error = writer.send(b"").await.expect_err("an empty record");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
        drop(reader);
        let error = writer.send(b"x").await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let error = writer.write(b"x").await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    async fn what_another_reader_takes_is_waited_for_again() {
        let (reader, writer) = ends();
        let other = reader.get_ref().as_fd().try_clone_to_owned();
        let other = other.expect("a duplicate");
        writer.send(b"taken").await.expect("there is room");
        // It is known to be readable, and is not any more.
        drop(reader.ring.readable().await.expect("it is readable"));
        let mut buffer = [0; 8];
        assert_eq!(read(&other, &mut buffer), Ok(5));
        cancel(reader.read(&mut buffer)).await;
        let (count, sent) = join!(reader.read(&mut buffer), writer.send(b"left"));
        sent.expect("there is room");
        assert_eq!(count.expect("a read"), 4);
        assert_eq!(&buffer[..4], b"left");
    }

    #[test]
    async fn a_read_that_is_dropped_has_taken_nothing() {
        let (mut reader, writer) = ends();
        let (mut buffer, mut record) = ([0; 8], Vec::new());
        cancel(reader.read(&mut buffer)).await;
        cancel(reader.receive(&mut record)).await;
        cancel(AsyncReadExt::read(&mut reader, &mut buffer)).await;
        writer.send(b"all").await.expect("there is room");
        assert_eq!(reader.read(&mut buffer).await.expect("a read"), 3);
        assert_eq!(&buffer[..3], b"all");
        let mut records = AsyncRecords {
            ring: reader,
            batch: Batch::new(BATCH),
        };
        cancel(records.next_record()).await;
        let mut bytes = Vec::new();
        push(&mut bytes, 3, 0, b"three");
        push(&mut bytes, 4, 0, b"four");
        writer.send(&bytes).await.expect("there is room");
        for (sequence, payload) in [(3, &b"three"[..]), (4, b"four")] {
            let record = records.next_record().await.expect("a read");
            let record = record.expect("a record");
            assert_eq!((record.sequence, record.payload), (sequence, payload));
        }
        cancel(records.next_record()).await;
    }

    #[test]
    async fn a_write_that_is_dropped_has_put_in_nothing() {
        let (mut reader, mut writer) = ends();
        let filled = fill(&writer);
        cancel(writer.send(b"dropped")).await;
        cancel(writer.send_vectored(&[IoSlice::new(b"dropped")])).await;
        cancel(writer.write(b"dropped")).await;
        cancel(AsyncWriteExt::write(&mut writer, b"dropped")).await;
        let mut there = vec![0; filled];
        reader.read_exact(&mut there).await.expect("what was there");
        assert!(there.iter().all(|byte| *byte == 1));
        writer.send(b"kept").await.expect("there is room");
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.expect("the rest");
        assert_eq!(rest, b"kept");
    }

    #[test]
    async fn a_stream_takes_pieces_with_one_call() {
        let (mut reader, mut writer) = ends();
        assert!(writer.is_write_vectored());
        let pieces = [IoSlice::new(b"thr"), IoSlice::new(b"ee")];
        let count = writer.write_vectored(&pieces).await.expect("there is room");
        assert_eq!(count, 5);
        // What was written is there before anything is flushed or shut down.
        let mut buffer = [0; 5];
        reader.read_exact(&mut buffer).await.expect("all of it");
        assert_eq!(&buffer, b"three");
        writer.flush().await.expect("nothing to do");
        writer.shutdown().await.expect("nothing to do");
        writer.write_all(b"more").await.expect("it is still open");
    }

    #[test]
    async fn what_is_longer_than_the_buffer_comes_with_the_next_read() {
        let (mut reader, writer) = ends();
        writer.send(b"abcde").await.expect("there is room");
        let mut buffer = Vec::with_capacity(64);
        buffer.push(b'_');
        let count = (&mut reader).take(3).read_buf(&mut buffer).await;
        assert_eq!(count.expect("a read"), 3);
        assert_eq!(buffer, b"_abc");
        assert_eq!(reader.read_buf(&mut buffer).await.expect("a read"), 2);
        assert_eq!(buffer, b"_abcde");
    }

    #[test]
    async fn a_read_waits_for_a_write() {
        let (reader, writer) = ends();
        let mut buffer = [0; 8];
        let early = time::timeout(Duration::from_millis(10), reader.read(&mut buffer)).await;
        assert!(early.is_err(), "nothing there");
        let (count, sent) = join!(reader.read(&mut buffer), writer.send(b"hello"));
        sent.expect("there is room");
        assert_eq!(count.expect("a read"), 5);
        assert_eq!(&buffer[..5], b"hello");
    }

    #[test]
    async fn a_write_waits_for_room() {
        let (mut reader, mut writer) = ends();
        let bytes = vec![7; 1 << 20];
        let mut back = vec![0; bytes.len()];
        let (read, written) = join!(reader.read_exact(&mut back), writer.write_all(&bytes));
        written.expect("in the end there was room");
        read.expect("all of it");
        assert!(back == bytes);
    }

    #[test]
    async fn records_come_until_the_end_of_file() {
        let (reader, writer) = ends();
        let mut records = AsyncRecords {
            ring: reader,
            batch: Batch::new(BATCH),
        };
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, b"zero");
        push(&mut bytes, 1, 0, b"one");
        let (first, sent) = join!(records.next_record(), writer.send(&bytes));
        sent.expect("there is room");
        let first = first.expect("a read").expect("a record");
        assert_eq!(first.payload, b"zero");
        let second = records.next_taken().expect("no read is needed");
        assert_eq!(second.expect("a record").payload, b"one");
        assert!(records.next_taken().expect("no read").is_none());
        drop(writer);
        assert!(records.next_record().await.expect("the end").is_none());
    }
}
