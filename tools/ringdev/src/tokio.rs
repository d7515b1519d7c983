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
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::{join, test, time};
    use rustix::pipe::pipe;

    use super::*;
    use crate::batch::made_up::push;

    /// The two ends of a pipe, which is all of a ring that these tests need.
    fn ends() -> (AsyncRing, AsyncRing) {
        let (reader, writer) = pipe().expect("a pipe");
        let end = |fd: OwnedFd| AsyncRing::new(Ring::from(fd)).expect("a runtime");
        (end(reader), end(writer))
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
