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
        flags.insert(OFlags::CLOEXEC);
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::pipe::pipe;

    use super::*;
    use crate::sys::made_up::{kernel, kernel_of};

    /// The two ends of a pipe, which is all of a ring that these tests need.
    fn ends() -> (Ring, Ring) {
        let (reader, writer) = pipe().expect("a pipe");
        (Ring::from(reader), Ring::from(writer))
    }

    #[test]
    fn options_become_flags() {
        let mut options = Ring::options();
        assert_eq!(options.flags(), Err(Errno::INVAL));
        options.read(true);
        assert_eq!(options.flags(), Ok(OFlags::RDONLY | OFlags::CLOEXEC));
        options.read(false);
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

        let (_reader, writer) = ends();
        writer.set_nonblocking(true).expect("a flag");
        let bytes = [0; 1 << 19];
        let pieces = [IoSlice::new(&bytes), IoSlice::new(&bytes)];
        let error = writer.send_vectored(&pieces).expect_err("it does not fit");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn an_endpoint_waits_again_when_it_is_told_to() {
        let (reader, writer) = ends();
        let nonblocking = || {
            fcntl_getfl(&reader)
                .expect("flags")
                .contains(OFlags::NONBLOCK)
        };
        assert!(!nonblocking());
        reader.set_nonblocking(true).expect("a flag");
        assert!(nonblocking());
        reader.set_nonblocking(false).expect("a flag");
        assert!(!nonblocking());
        // The other end is another endpoint, and keeps what else was set.
        let append = fcntl_getfl(&writer).expect("flags") | OFlags::APPEND;
        fcntl_setfl(&writer, append).expect("a flag");
        writer.set_nonblocking(true).expect("a flag");
        assert_eq!(fcntl_getfl(&writer), Ok(append | OFlags::NONBLOCK));
    }

    #[test]
    fn it_reads_and_writes_as_a_file_does() {
        let (mut reader, mut writer) = ends();
        let (mut head, mut tail) = ([0; 2], [0; 9]);
        assert_eq!(writer.write(b"one").expect("there is room"), 3);
        assert_eq!(reader.read(&mut head).expect("a read"), 2);
        assert_eq!(&head, b"on");
        assert_eq!((&reader).read(&mut tail).expect("a read"), 1);
        assert_eq!(&tail[..1], b"e");
        let pieces = [IoSlice::new(b"thr"), IoSlice::new(b"ee")];
        let written = writer.write_vectored(&pieces).expect("there is room");
        assert_eq!(written, 5);
        let written = (&writer).write_vectored(&pieces).expect("there is room");
        assert_eq!(written, 5);
        writer.flush().expect("nothing to do");
        (&writer).flush().expect("nothing to do");

        let mut tail = [0; 3];
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        assert_eq!(reader.read_vectored(&mut buffers).expect("a read"), 5);
        assert_eq!((&head, &tail), (b"th", b"ree"));
        (head, tail) = ([0; 2], [0; 3]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        let count = (&reader).read_vectored(&mut buffers).expect("a read");
        assert_eq!((count, &head, &tail), (5, b"th", b"ree"));
    }

    #[test]
    fn it_can_be_waited_for_and_handed_over() {
        let (reader, _writer) = pipe().expect("a pipe");
        let number = reader.as_raw_fd();
        let ring = Ring::from(reader);
        assert_eq!(ring.as_raw_fd(), number);
        assert_eq!(ring.as_fd().as_raw_fd(), number);
        assert_eq!(OwnedFd::from(ring).as_raw_fd(), number);
    }

    #[test]
    fn seeking_goes_to_the_oldest_and_beyond_the_newest() {
        // A file seeks as a ring with broadcast delivery does.
        let file = memfd_create("seek", MemfdFlags::CLOEXEC).expect("a file");
        let mut ring = Ring::from(file);
        ring.write_all(b"oldest").expect("it is in memory");
        let read = |ring: &Ring| {
            let mut bytes = Vec::new();
            assert!(ring.receive(&mut bytes).is_ok());
            bytes
        };
        ring.seek_to_oldest().expect("a position");
        assert_eq!(read(&ring), b"oldest");
        ring.seek_to_oldest().expect("a position");
        ring.seek_to_newest().expect("a position");
        assert_eq!(read(&ring), b"");
        ring.write_all(b"newer").expect("it is in memory");
        ring.seek_to_oldest().expect("a position");
        assert_eq!(read(&ring), b"oldestnewer");

        let (reader, _writer) = ends();
        for seek in [Ring::seek_to_oldest, Ring::seek_to_newest] {
            let error = seek(&reader).expect_err("it cannot seek");
            assert_eq!(Errno::from_io_error(&error), Some(Errno::SPIPE));
        }
    }

    #[test]
    fn info_and_cursor_are_those_that_the_kernel_tells() {
        let (reader, _writer) = ends();
        kernel_of(abi::IOC_INFO, |info: &mut abi::Info| {
            assert_eq!((info.size, info.flags, info.id), (200, 0, 0));
            info.id = 31;
            info.unread = 32;
            info.name[..3].copy_from_slice(b"log");
            Ok(())
        });
        let info = reader.info().expect("a ring");
        assert_eq!((info.id, info.unread), (31, 32));
        assert_eq!(info.name.as_str(), "log");
        kernel_of(abi::IOC_CURSOR, |cursor: &mut abi::Cursor| {
            assert_eq!((cursor.size, cursor.flags, cursor.id), (104, 0, 0));
            assert_eq!(cursor.name, [0; abi::NAME_SIZE]);
            cursor.id = 41;
            cursor.records_lost = 42;
            Ok(())
        });
        let cursor = reader.cursor().expect("a cursor");
        assert_eq!((cursor.id, cursor.records_lost), (41, 42));
        kernel(|_, _| Err(Errno::BADF));
        let refused = [reader.info().err(), reader.cursor().err()];
        for error in refused {
            let error = error.expect("refused");
            assert_eq!(Errno::from_io_error(&error), Some(Errno::BADF));
        }
    }

    #[test]
    fn a_watermark_is_handed_over_in_bytes_and_nanoseconds() {
        let (reader, _writer) = ends();
        for (delay, nanoseconds) in [
            (Duration::from_micros(500), 500_000),
            // It is refused, and not cut off to something shorter.
            (Duration::MAX, u64::MAX),
        ] {
            kernel_of(abi::IOC_WATERMARK, move |watermark: &mut abi::Watermark| {
                assert_eq!((watermark.size, watermark.flags), (24, 0));
                assert_eq!(watermark.bytes, 2000);
                assert_eq!(watermark.delay_ns, nanoseconds);
                Ok(())
            });
            reader.set_watermark(2000, delay).expect("it is taken");
        }
        kernel(|_, _| Err(Errno::INVAL));
        let error = reader
            .set_watermark(2000, Duration::ZERO)
            .expect_err("refused");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::INVAL));
    }
}
