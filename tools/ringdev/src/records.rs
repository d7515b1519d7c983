// SPDX-License-Identifier: GPL-2.0

//! Reading records one after the other, many with one system call.

use std::io;

use crate::batch::Batch;
use crate::record::{OwnedRecord, Record};
use crate::ring::Ring;

/// How many bytes are read at once unless said otherwise.
pub(crate) const BATCH: usize = 64 << 10;

/// The records of a ring, each with its number, its time, and what was lost before it. From
/// [`Ring::records`].
///
/// One read fetches as many records as fit into the buffer. They are then gone from a ring with
/// shared delivery, and gone for good if this is dropped before all of them were taken: a program
/// that must not take more than it uses calls [`Ring::receive`].
///
/// [`next_record`](Self::next_record) lends each record and copies nothing. As an iterator, this
/// gives [`OwnedRecord`]s.
///
/// ```no_run
/// let ring = ringdev::Ring::options().read(true).open(&"log".parse()?)?;
/// for record in ring.records()?.take(10) {
///     let record = record?;
///     println!("{}: {}", record.sequence, String::from_utf8_lossy(&record.payload));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Records {
    ring: Ring,
    batch: Batch,
}

impl Records {
    /// The records of a ring, read in batches of about `bytes` bytes. `EINVAL`: it is a stream.
    ///
    /// This changes how the endpoint reads, for everybody who has a duplicate of it.
    pub fn with_batch(ring: Ring, bytes: usize) -> io::Result<Self> {
        ring.read_with_headers()?;
        let batch = Batch::new(bytes);
        Ok(Self { ring, batch })
    }

    /// The ring that the records are from.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The next record, which is waited for unless the endpoint is nonblocking
    /// ([`WouldBlock`](io::ErrorKind::WouldBlock)). None at the end of file, which a ring has only
    /// if it was made with hangup, or was destroyed.
    pub fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.batch.is_empty() && !self.batch.fill(|bytes| self.ring.receive(bytes))? {
            return Ok(None);
        }
        self.batch.take()
    }

    /// The next of the records that the last read has taken from the ring; none if there has to be
    /// another read. It never waits.
    ///
    /// A program that ends early loses these, so it looks here before it does, and before it waits.
    pub fn next_taken(&mut self) -> io::Result<Option<Record<'_>>> {
        self.batch.take()
    }
}

impl Iterator for Records {
    type Item = io::Result<OwnedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
            .map(|record| record.map(Record::into_owned))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;
    use rustix::pipe::pipe;

    use super::*;
    use crate::abi;
    use crate::batch::made_up::push;
    use crate::sys::made_up::{kernel, kernel_of};

    #[test]
    fn batches_join_without_a_seam() {
        // A pipe is as good as a ring here: what was written is what is read.
        let (reader, writer) = pipe().expect("a pipe");
        let mut writer = Ring::from(writer);
        let mut records = Records {
            ring: Ring::from(reader),
            batch: Batch::new(BATCH),
        };
        for sequence in [0, 3] {
            let mut bytes = Vec::new();
            push(&mut bytes, sequence, 0, b"one");
            push(&mut bytes, sequence + 1, 0, b"the other");
            push(&mut bytes, sequence + 2, 0, b"the last");
            writer.write_all(&bytes).expect("there is room");
            assert!(records.next_taken().expect("no read").is_none());
            let record = records.next_record().expect("a read").expect("a record");
            assert_eq!((record.sequence, record.payload), (sequence, &b"one"[..]));
            let record = records.next().expect("no end").expect("a record");
            assert_eq!(record.sequence, sequence + 1);
            assert_eq!(record.payload, b"the other");
            let record = records.next_taken().expect("no read").expect("a record");
            assert_eq!(record.sequence, sequence + 2);
            assert_eq!(record.payload, b"the last");
        }
        drop(writer);
        assert!(records.next().is_none());
    }

    #[test]
    fn records_are_asked_for_with_their_headers() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut writer = Ring::from(writer);
        kernel_of(abi::IOC_READ_MODE, |mode: &mut abi::ReadMode| {
            assert_eq!((mode.size, mode.flags), (8, abi::HEADERS));
            Ok(())
        });
        let mut bytes = Vec::new();
        push(&mut bytes, 5, 3, b"payload");
        writer.write_all(&bytes).expect("there is room");
        let number = reader.as_raw_fd();
        let mut records = Ring::from(reader).records().expect("a ring of records");
        assert_eq!(records.ring().as_raw_fd(), number);
        assert_eq!(records.batch.capacity(), 65_536);
        let record = records.next_record().expect("a read").expect("a record");
        assert_eq!((record.sequence, record.lost), (5, 3));
        assert_eq!(record.payload, b"payload");
    }

    #[test]
    fn a_batch_has_as_many_records_as_fit_into_it() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut writer = Ring::from(writer);
        kernel(|_, _| Ok(()));
        let mut records = Records::with_batch(Ring::from(reader), 5000).expect("a ring of records");
        // All of it fits but the last byte.
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, &[7; 5001 - 32]);
        writer.write_all(&bytes).expect("there is room");
        let error = records.next_record().expect_err("a part of a record");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_waits_for_nothing_says_so_and_goes_on_later() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut writer = Ring::from(writer);
        kernel(|_, _| Ok(()));
        let reader = Ring::from(reader);
        reader.set_nonblocking(true).expect("a flag");
        let mut records = reader.records().expect("a ring of records");
        for sequence in 7..9 {
            let error = records.next().expect("no end").expect_err("nothing there");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let mut bytes = Vec::new();
            push(&mut bytes, sequence, 0, b"x");
            writer.write_all(&bytes).expect("there is room");
            let record = records.next().expect("no end").expect("a record");
            assert_eq!(record.sequence, sequence);
        }
    }

    #[test]
    fn what_is_not_a_ring_is_refused() {
        let (reader, _writer) = pipe().expect("a pipe");
        let error = Ring::from(reader).records().expect_err("a pipe");
        assert_eq!(error.raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
    }
}
