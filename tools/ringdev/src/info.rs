// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of a ring, and of a reading position.

use std::io;
use std::time::Duration;

use crate::abi;
use crate::attributes::{Delivery, Framing, Full};
use crate::name::{InvalidName, RingName};

/// What a ring is, and what has happened to it. All counts begin when the ring is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The number of the ring. Numbers grow and are never given twice, so this tells a ring from a
    /// later one of the same name.
    pub id: u64,
    /// Its name.
    pub name: RingName,
    /// How many bytes it holds.
    pub capacity: u64,
    /// What it keeps apart.
    pub framing: Framing,
    /// What a write meets when it is full.
    pub full: Full,
    /// Who gets the data.
    pub delivery: Delivery,
    /// Whether it ends as a FIFO does.
    pub hangup: bool,
    /// The permission bits that its node was made with.
    pub mode: u32,
    /// The owner that its node was made with.
    pub uid: u32,
    /// The group that its node was made with.
    pub gid: u32,
    /// Endpoints that are open for reading.
    pub readers: u32,
    /// Endpoints that are open for writing.
    pub writers: u32,
    /// Bytes that the reader furthest behind has not read; of records, with their headers.
    pub unread: u64,
    /// The most that `unread` was seen to be.
    pub high_water: u64,
    /// Writes (stream) or records that were taken.
    pub records_in: u64,
    /// Their bytes, without headers.
    pub bytes_in: u64,
    /// Writes or records that were refused because the ring was full.
    pub records_dropped: u64,
    /// Their bytes.
    pub bytes_dropped: u64,
    /// Records that were overwritten unread. With broadcast delivery each [`Cursor`] has its own
    /// count.
    pub records_lost: u64,
    /// Their bytes; of a stream, the bytes that were overwritten unread.
    pub bytes_lost: u64,
    /// Records that were read, by all readers together; 0 for a stream.
    pub records_out: u64,
    /// Bytes that were read, without headers.
    pub bytes_out: u64,
    /// How often a write had to wait.
    pub writer_sleeps: u64,
    /// How often a write that waited was woken.
    pub writer_wakes: u64,
    /// How often a read had to wait.
    pub reader_sleeps: u64,
    /// How often a read that waited was woken.
    pub reader_wakes: u64,
}

impl Info {
    /// A ring to which nothing has happened, with the attributes of `/dev/ring/0`: something to
    /// test a program with that shows rings.
    pub fn new(id: u64, name: RingName) -> Self {
        Self {
            id,
            name,
            capacity: 256 << 10,
            framing: Framing::Stream,
            full: Full::Block,
            delivery: Delivery::Shared,
            hangup: false,
            mode: 0o600,
            uid: 0,
            gid: 0,
            readers: 0,
            writers: 0,
            unread: 0,
            high_water: 0,
            records_in: 0,
            bytes_in: 0,
            records_dropped: 0,
            bytes_dropped: 0,
            records_lost: 0,
            bytes_lost: 0,
            records_out: 0,
            bytes_out: 0,
            writer_sleeps: 0,
            writer_wakes: 0,
            reader_sleeps: 0,
            reader_wakes: 0,
        }
    }

    pub(crate) fn from_abi(info: &abi::Info) -> io::Result<Self> {
        let name = RingName::from_abi(&info.name)
            .map_err(|InvalidName| io::Error::new(io::ErrorKind::InvalidData, InvalidName))?;
        Ok(Self {
            id: info.id,
            name,
            capacity: info.capacity,
            framing: Framing::from_abi(info.framing),
            full: Full::from_abi(info.full),
            delivery: Delivery::from_abi(info.delivery),
            hangup: info.flags & abi::HANGUP != 0,
            mode: info.mode,
            uid: info.uid,
            gid: info.gid,
            readers: info.readers,
            writers: info.writers,
            unread: info.unread,
            high_water: info.high_water,
            records_in: info.records_in,
            bytes_in: info.bytes_in,
            records_dropped: info.records_dropped,
            bytes_dropped: info.bytes_dropped,
            records_lost: info.records_lost,
            bytes_lost: info.bytes_lost,
            records_out: info.records_out,
            bytes_out: info.bytes_out,
            writer_sleeps: info.writer_sleeps,
            writer_wakes: info.writer_wakes,
            reader_sleeps: info.reader_sleeps,
            reader_wakes: info.reader_wakes,
        })
    }
}

/// A reading position, and what has happened to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cursor {
    /// Its number; 0 is the one that all readers of a ring with shared delivery share.
    pub id: u64,
    /// Bytes of the ring between it and the newest data.
    pub unread: u64,
    /// Records that were read from here; 0 for a stream.
    pub records_out: u64,
    /// Bytes that were read from here, without headers.
    pub bytes_out: u64,
    /// Records that were overwritten before they were read here.
    pub records_lost: u64,
    /// Bytes of a stream that were overwritten before they were read here; 0 for records.
    pub bytes_lost: u64,
    /// A reader is woken when `unread` is so many bytes; 0 and 1 mean at once.
    pub watermark: u64,
    /// ... or when the oldest of them has waited so long.
    pub delay: Duration,
}

impl Cursor {
    pub(crate) fn from_abi(cursor: &abi::Cursor) -> Self {
        Self {
            id: cursor.id,
            unread: cursor.unread,
            records_out: cursor.records_out,
            bytes_out: cursor.bytes_out,
            records_lost: cursor.records_lost,
            bytes_lost: cursor.bytes_lost,
            watermark: cursor.watermark,
            delay: Duration::from_nanos(cursor.delay_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_ring() -> RingName {
        "0".parse().expect("a name")
    }

    #[test]
    fn each_field_of_a_ring_is_the_kernels() {
        // Each has a value of its own: a field that is filled from another one shows.
        let info = abi::Info {
            size: 1,
            flags: abi::HANGUP | 2,
            id: 3,
            capacity: 4,
            framing: 5,
            full: 6,
            delivery: 7,
            mode: 8,
            uid: 9,
            gid: 10,
            name: "eleven".parse::<RingName>().expect("a name").to_abi(),
            readers: 12,
            writers: 13,
            unread: 14,
            high_water: 15,
            records_in: 16,
            bytes_in: 17,
            records_dropped: 18,
            bytes_dropped: 19,
            records_lost: 20,
            bytes_lost: 21,
            records_out: 22,
            bytes_out: 23,
            writer_sleeps: 24,
            writer_wakes: 25,
            reader_sleeps: 26,
            reader_wakes: 27,
        };
        let expected = Info {
            id: 3,
            name: "eleven".parse().expect("a name"),
            capacity: 4,
            framing: Framing::Other(5),
            full: Full::Other(6),
            delivery: Delivery::Other(7),
            hangup: true,
            mode: 8,
            uid: 9,
            gid: 10,
            readers: 12,
            writers: 13,
            unread: 14,
            high_water: 15,
            records_in: 16,
            bytes_in: 17,
            records_dropped: 18,
            bytes_dropped: 19,
            records_lost: 20,
            bytes_lost: 21,
            records_out: 22,
            bytes_out: 23,
            writer_sleeps: 24,
            writer_wakes: 25,
            reader_sleeps: 26,
            reader_wakes: 27,
        };
        assert_eq!(Info::from_abi(&info).expect("a ring"), expected);
    }

    #[test]
    fn each_field_of_a_cursor_is_the_kernels() {
        let cursor = abi::Cursor {
            size: 1,
            flags: 2,
            id: 3,
            unread: 4,
            records_out: 5,
            bytes_out: 6,
            records_lost: 7,
            bytes_lost: 8,
            watermark: 9,
            delay_ns: 10,
            name: default_ring().to_abi(),
        };
        let expected = Cursor {
            id: 3,
            unread: 4,
            records_out: 5,
            bytes_out: 6,
            records_lost: 7,
            bytes_lost: 8,
            watermark: 9,
            delay: Duration::from_nanos(10),
        };
        assert_eq!(Cursor::from_abi(&cursor), expected);
    }

    #[test]
    fn a_ring_that_is_made_up_is_like_the_default_ring() {
        let info = Info::new(7, default_ring());
        let there = abi::Info {
            id: 7,
            capacity: 256 << 10,
            mode: 0o600,
            name: default_ring().to_abi(),
            ..abi::Info::default()
        };
        assert_eq!(Info::from_abi(&there).expect("a ring"), info);
    }

    #[test]
    fn a_ring_without_hangup_has_none() {
        let info = abi::Info {
            flags: !abi::HANGUP,
            name: default_ring().to_abi(),
            ..abi::Info::default()
        };
        assert!(!Info::from_abi(&info).expect("a ring").hangup);
    }

    #[test]
    fn a_ring_of_a_newer_module_can_still_be_shown() {
        let info = abi::Info {
            flags: 0x80 | abi::HANGUP,
            framing: 9,
            name: default_ring().to_abi(),
            ..abi::Info::default()
        };
        let info = Info::from_abi(&info).expect("a ring");
        assert!(info.hangup);
        assert_eq!(info.framing, Framing::Other(9));
    }

    #[test]
    fn a_ring_without_a_name_is_an_error() {
        let error = Info::from_abi(&abi::Info::default()).expect_err("no name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
