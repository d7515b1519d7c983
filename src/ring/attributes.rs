// SPDX-License-Identifier: GPL-2.0

//! What is fixed when a ring is made.
//!
//! The three choices and the flag do not depend on each other: each of their 24 combinations is a
//! ring that makes sense, and works.

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
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_attributes)
)]
mod tests {
    use super::*;

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
}
