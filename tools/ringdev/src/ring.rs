// SPDX-License-Identifier: GPL-2.0

//! An endpoint: a ring that is open for reading, writing or both.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::{Errno, read};

use crate::abi;
use crate::info::{Cursor, Info};
use crate::name::RingName;
use crate::receive::receive;
use crate::records::{BATCH, Records};
use crate::sys;

/// How many slices the kernel takes in one call (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// An endpoint of a ring, from [`Ring::options`].
///
/// It reads and writes as a file does, through `&Ring` as well. Of a ring with records, one write
/// is one record, and a read with a buffer that is too short for the record fails with `EMSGSIZE`
/// and leaves it there; [`send`](Self::send), [`receive`](Self::receive) and
/// [`records`](Self::records) see to both.
///
/// A read returns 0, the end of file, only if the ring was made with hangup, or was destroyed.
///
/// ```no_run
/// use std::io::Write;
///
/// let mut ring = ringdev::Ring::options().write(true).open(&"0".parse()?)?;
/// writeln!(ring, "hello")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Ring {
    file: File,
}

impl Ring {
    /// How to open a ring.
    pub fn options() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            nonblocking: false,
        }
    }

    /// What the ring is, and what has happened to it.
    pub fn info(&self) -> io::Result<Info> {
        let mut info = abi::Info::default();
        sys::info(self, &mut info)?;
        Info::from_abi(&info)
    }

    /// The position that this endpoint reads at.
    pub fn cursor(&self) -> io::Result<Cursor> {
        let mut cursor = abi::Cursor::default();
        sys::cursor(self, &mut cursor)?;
        Ok(Cursor::from_abi(&cursor))
    }

    /// Lets readers sleep until `bytes` bytes are unread, or the oldest of them has waited for
    /// `delay`: fewer wake-ups, each for more. At most half of the capacity and a minute; 0 or 1
    /// bytes wake at once.
    ///
    /// It holds for the position that this endpoint reads at. With shared delivery that is the
    /// position of all readers.
    pub fn set_watermark(&self, bytes: u64, delay: Duration) -> io::Result<()> {
        let mut watermark = abi::Watermark {
            bytes,
            // Longer than a minute is refused by the kernel, whatever it is.
            delay_ns: u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX),
            ..abi::Watermark::default()
        };
        sys::watermark(self, &mut watermark)
    }

    /// Goes back to the oldest data that are still there. Of a ring with broadcast delivery; with
    /// shared delivery, where a read takes data from all others, it is `ESPIPE`.
    pub fn seek_to_oldest(&self) -> io::Result<()> {
        (&self.file).seek(SeekFrom::Start(0)).map(drop)
    }

    /// Leaves out all there is, and reads only what is written from now on. `ESPIPE` as for
    /// [`seek_to_oldest`](Self::seek_to_oldest).
    ///
    /// ```no_run
    /// let news = ringdev::Ring::options().read(true).open(&"events".parse()?)?;
    /// news.seek_to_newest()?;
    /// for event in news.records()? {
    ///     println!("{}", String::from_utf8_lossy(&event?.payload));
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn seek_to_newest(&self) -> io::Result<()> {
        (&self.file).seek(SeekFrom::End(0)).map(drop)
    }

    /// Whether calls that would wait fail with `EAGAIN` instead. It holds for all duplicates of
    /// the endpoint.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(self)?;
        flags.set(OFlags::NONBLOCK, nonblocking);
        Ok(fcntl_setfl(self, flags)?)
    }

    /// Writes one record.
    ///
    /// `EMSGSIZE`: it is longer than a quarter of the capacity. `ENOBUFS`: the ring is full, and
    /// was made to refuse then. `EINVAL`: it is empty, and a record is not.
    ///
    /// This is for rings with records; a nonblocking endpoint of a stream may take a part only,
    /// which is an error of the kind [`WriteZero`](io::ErrorKind::WriteZero).
    pub fn send(&self, record: &[u8]) -> io::Result<()> {
        if record.is_empty() {
            return Err(Errno::INVAL.into());
        }
        taken_whole((&self.file).write(record)?, record.len())
    }

    /// Writes one record that lies in pieces, at most 1024 of them (`EINVAL`).
    ///
    /// ```no_run
    /// use std::io::IoSlice;
    ///
    /// let ring = ringdev::Ring::options().write(true).open(&"log".parse()?)?;
    /// ring.send_vectored(&[IoSlice::new(b"net: "), IoSlice::new(b"link is up")])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_vectored(&self, record: &[IoSlice<'_>]) -> io::Result<()> {
        let length = record.iter().map(|piece| piece.len()).sum();
        // The standard library would write the first pieces as a record of its own.
        if length == 0 || record.len() > SLICES_MAX {
            return Err(Errno::INVAL.into());
        }
        taken_whole((&self.file).write_vectored(record)?, length)
    }

    /// Reads one record into `record`, in place of what was there, and says whether there was one;
    /// there is none at the end of file. The vector grows as the record needs it.
    ///
    /// This is for rings with records, and for endpoints that were not turned into [`Records`].
    /// Of a stream it reads some bytes.
    pub fn receive(&self, record: &mut Vec<u8>) -> io::Result<bool> {
        receive(record, |record| read(self, spare_capacity(record)))
    }

    /// Reads records with their headers, many at once. `EINVAL`: the ring is a stream.
    pub fn records(self) -> io::Result<Records> {
        Records::with_batch(self, BATCH)
    }

    /// Makes reads of this endpoint return whole records behind headers, as many as fit.
    pub(crate) fn read_with_headers(&self) -> io::Result<()> {
        let mut mode = abi::ReadMode {
            flags: abi::HEADERS,
            ..abi::ReadMode::default()
        };
        sys::read_mode(self, &mut mode)
    }
}

/// What it means that `count` bytes of a record of `length` were taken.
fn taken_whole(count: usize, length: usize) -> io::Result<()> {
    if count == length {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::WriteZero,
        "the ring is a stream, and took a part of the record",
    ))
}

impl Read for &Ring {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.file).read_vectored(buffers)
    }
}

impl Read for Ring {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl Write for &Ring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(pieces)
    }

    /// Does nothing: what was written is in the ring.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Ring {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(pieces)
    }

    /// Does nothing: what was written is in the ring.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// An endpoint that was inherited, or received over a socket.
impl From<OwnedFd> for Ring {
    fn from(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }
}

impl From<Ring> for OwnedFd {
    fn from(ring: Ring) -> Self {
        ring.file.into()
    }
}

/// How to open a ring, from [`Ring::options`].
///
/// ```no_run
/// let ring = ringdev::Ring::options().read(true).nonblocking(true).open(&"0".parse()?)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    nonblocking: bool,
}

impl OpenOptions {
    /// Whether it reads.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// Whether it writes.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// Whether calls that would wait fail with `EAGAIN` instead.
    pub fn nonblocking(&mut self, nonblocking: bool) -> &mut Self {
        self.nonblocking = nonblocking;
        self
    }

    /// Opens the ring, which does not wait for anybody. `EINVAL` if it is to do neither.
    pub fn open(&self, name: &RingName) -> io::Result<Ring> {
        let fd = open(name.path(), self.flags()?, Mode::empty())?;
        Ok(Ring::from(fd))
    }

    fn flags(&self) -> Result<OFlags, Errno> {
        let mut flags = match (self.read, self.write) {
            (true, true) => OFlags::RDWR,
            (true, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (false, false) => return Err(Errno::INVAL),
        };
        flags.set(OFlags::NONBLOCK, self.nonblocking);
        Ok(flags | OFlags::CLOEXEC)
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    /// The two ends of a pipe, which is all of a ring that these tests need.
    fn ends() -> (Ring, Ring) {
        let (reader, writer) = pipe().expect("a pipe");
        (Ring::from(reader), Ring::from(writer))
    }

    #[test]
    fn options_become_flags() {
        let mut options = Ring::options();
        assert_eq!(options.flags(), Err(Errno::INVAL));
        options.write(true);
        assert_eq!(options.flags(), Ok(OFlags::WRONLY | OFlags::CLOEXEC));
        options.read(true).nonblocking(true);
        let all = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        assert_eq!(options.flags(), Ok(all));
    }

    #[test]
    fn what_is_sent_is_received() {
        let (reader, writer) = ends();
        let mut record = b"what was there".to_vec();
        writer.send(b"one").expect("there is room");
        assert!(reader.receive(&mut record).expect("a read"));
        assert_eq!(record, b"one");
        let pieces = [IoSlice::new(b"t"), IoSlice::new(b""), IoSlice::new(b"wo")];
        writer.send_vectored(&pieces).expect("there is room");
        assert!(reader.receive(&mut record).expect("a read"));
        assert_eq!(record, b"two");
        drop(writer);
        assert!(!reader.receive(&mut record).expect("the end"));
        assert!(record.is_empty());
    }

    #[test]
    fn a_read_that_fails_receives_nothing() {
        let (reader, _writer) = ends();
        reader.set_nonblocking(true).expect("a flag");
        let mut record = b"what was there".to_vec();
        let error = reader.receive(&mut record).expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(record.is_empty());
    }

    #[test]
    fn records_that_could_not_arrive_whole_are_refused() {
        let (reader, writer) = ends();
        let refused = |answer: io::Result<()>| {
            let error = answer.expect_err("refused");
            assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        };
        refused(writer.send(b""));
        refused(writer.send_vectored(&[]));
        refused(writer.send_vectored(&[IoSlice::new(b"x"); SLICES_MAX + 1]));
        let most = [IoSlice::new(b"x"); SLICES_MAX];
        writer.send_vectored(&most).expect("there is room");
        let mut record = Vec::new();
        assert!(reader.receive(&mut record).expect("a read"));
        assert_eq!(record.len(), SLICES_MAX);
    }

    #[test]
    fn a_stream_that_takes_a_part_is_found_out() {
        let (_reader, writer) = ends();
        writer.set_nonblocking(true).expect("a flag");
        let error = writer.send(&[0; 1 << 20]).expect_err("it does not fit");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
