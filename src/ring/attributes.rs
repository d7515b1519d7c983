// SPDX-License-Identifier: GPL-2.0

//! What is fixed when a ring is made.
//!
//! The three choices and the flag do not depend on each other: each of their 24 combinations is a
//! ring that makes sense, and works.

use super::{
    Capacity,
    Header, //
};

/// What a ring keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing: it is a stream of bytes.
    Stream,
    /// Records: what one call writes, one call reads.
    Record,
}

/// What a write meets when there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It waits.
    Block,
    /// It is refused, and counted.
    Drop,
    /// The oldest data make room, and are counted.
    Overwrite,
}

/// Who gets the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Readers compete: there is one cursor.
    Shared,
    /// Each reader sees everything, by a cursor of its own.
    Broadcast,
}

/// What a ring is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) framing: Framing,
    pub(crate) full: Full,
    pub(crate) delivery: Delivery,
    /// End of file when all writers are gone, `EPIPE` when all readers are, as a FIFO has it.
    pub(crate) hangup: bool,
}

impl Attributes {
    /// A pipe that persists.
    pub(crate) const STREAM: Self = Self {
        framing: Framing::Stream,
        full: Full::Block,
        delivery: Delivery::Shared,
        hangup: false,
    };

    /// Whether a writer may take room that has not been read.
    #[inline]
    pub(crate) fn overwrites(self) -> bool {
        self.full == Full::Overwrite
    }

    /// Whether whoever reads gives room back at once: there is one cursor, and writers wait for it.
    #[inline]
    pub(crate) fn cursor_is_tail(self) -> bool {
        self.delivery == Delivery::Shared && !self.overwrites()
    }

    /// Returns how many bytes must be free before a write of `len` bytes goes on.
    ///
    /// A writer that may wait writes up to `PIPE_BUF` bytes of a stream in one piece. Any other
    /// write to a stream takes what fits. A record goes in whole; `len` is at most
    /// [`Capacity::max_record`].
    #[inline]
    pub(crate) fn needed(self, len: usize, may_wait: bool) -> usize {
        match self.framing {
            Framing::Stream
                if may_wait && self.full == Full::Block && len <= Capacity::ATOMIC_WRITE =>
            {
                len
            }
            Framing::Stream => 1,
            // CAST: At most a quarter of the largest capacity, and a header.
            Framing::Record => Header::stored(len as u32) as usize,
        }
    }

    /// Returns how many bytes must be free before any write goes on, whatever its length.
    ///
    /// This is what `POLLOUT` means where nothing is overwritten, and the most that a writer waits
    /// for.
    #[inline]
    pub(crate) fn max_needed(self, capacity: Capacity) -> usize {
        let longest = match self.framing {
            Framing::Stream => Capacity::ATOMIC_WRITE,
            Framing::Record => capacity.max_record(),
        };
        self.needed(longest, true)
    }

    /// Returns how many bytes must be free before a reader wakes a writer that sleeps.
    ///
    /// It is a quarter of the ring, so that a writer that outruns its reader is woken once for many
    /// reads. It is never less than [`Attributes::max_needed`]: otherwise a writer that needs more
    /// could wait for ever while others take what becomes free.
    #[inline]
    pub(crate) fn writer_watermark(self, capacity: Capacity) -> usize {
        (capacity.bytes() / 4).max(self.max_needed(capacity))
    }
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_attributes)
)]
mod tests {
    use super::*;

    const PAGE_SIZE: u64 = 4096;

    fn attributes(full: Full, delivery: Delivery) -> Attributes {
        Attributes {
            full,
            delivery,
            ..Attributes::STREAM
        }
    }

    #[test]
    fn only_overwrite_overwrites() {
        for delivery in [Delivery::Shared, Delivery::Broadcast] {
            assert!(attributes(Full::Overwrite, delivery).overwrites());
            assert!(!attributes(Full::Block, delivery).overwrites());
            assert!(!attributes(Full::Drop, delivery).overwrites());
        }
    }

    #[test]
    fn one_cursor_that_writers_wait_for_is_the_tail() {
        assert!(attributes(Full::Block, Delivery::Shared).cursor_is_tail());
        assert!(attributes(Full::Drop, Delivery::Shared).cursor_is_tail());
        assert!(!attributes(Full::Overwrite, Delivery::Shared).cursor_is_tail());
        assert!(!attributes(Full::Block, Delivery::Broadcast).cursor_is_tail());
        assert!(!attributes(Full::Drop, Delivery::Broadcast).cursor_is_tail());
        assert!(!attributes(Full::Overwrite, Delivery::Broadcast).cursor_is_tail());
    }

    fn framed(framing: Framing, full: Full) -> Attributes {
        Attributes {
            framing,
            ..attributes(full, Delivery::Shared)
        }
    }

    #[test]
    fn short_write_that_may_wait_needs_all_its_room() {
        let pipe = framed(Framing::Stream, Full::Block);
        for len in [1, 2, Capacity::ATOMIC_WRITE] {
            assert_eq!(pipe.needed(len, true), len);
            assert_eq!(pipe.needed(len, false), 1);
            assert_eq!(framed(Framing::Stream, Full::Drop).needed(len, true), 1);
        }
        assert_eq!(pipe.needed(Capacity::ATOMIC_WRITE + 1, true), 1);
    }

    #[test]
    fn record_needs_its_header_and_padding() {
        for full in [Full::Block, Full::Drop] {
            for may_wait in [false, true] {
                let records = framed(Framing::Record, full);
                assert_eq!(records.needed(1, may_wait), Header::SIZE + Header::ALIGN);
                assert_eq!(records.needed(8, may_wait), Header::SIZE + 8);
            }
        }
    }

    #[test]
    fn no_write_needs_more_than_the_most() -> Result<(), ()> {
        for framing in [Framing::Stream, Framing::Record] {
            for full in [Full::Block, Full::Drop] {
                let attributes = framed(framing, full);
                let capacity = Capacity::new(16 << 10, PAGE_SIZE).ok_or(())?;
                let most = attributes.max_needed(capacity);
                let longest = match framing {
                    Framing::Stream => capacity.bytes(),
                    Framing::Record => capacity.max_record(),
                };
                let mut reached = false;
                for len in 1..=longest {
                    let needed = attributes.needed(len, true);
                    assert!(needed <= most);
                    reached |= needed == most;
                }
                assert!(reached);
            }
        }
        Ok(())
    }

    #[test]
    fn watermark_is_a_quarter_but_fits_an_atomic_write() -> Result<(), ()> {
        for (bytes, watermark) in [
            (4096, 4096),
            (8192, 4096),
            (16 << 10, 4096),
            (32 << 10, 8192),
            (1 << 30, 256 << 20),
        ] {
            let capacity = Capacity::new(bytes, PAGE_SIZE).ok_or(())?;
            assert_eq!(Attributes::STREAM.writer_watermark(capacity), watermark);
        }
        Ok(())
    }

    #[test]
    fn watermark_fits_the_longest_record() -> Result<(), ()> {
        for bytes in [4096, 8192, 1 << 30] {
            let capacity = Capacity::new(bytes, PAGE_SIZE).ok_or(())?;
            let longest = capacity.max_record() + Header::SIZE;
            let records = framed(Framing::Record, Full::Block);
            assert_eq!(records.max_needed(capacity), longest);
            assert_eq!(records.writer_watermark(capacity), longest);
        }
        Ok(())
    }
}
