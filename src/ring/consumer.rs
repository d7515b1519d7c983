// SPDX-License-Identifier: GPL-2.0

//! The readers' side: see what is unread, take it, release it.

use super::positions::{Positions, Span};

/// What only the reader may know: the tail, and the last it has seen of the head.
///
/// This is a cursor with the memory of what it saw; there is one for each ring with shared
/// delivery, inside the cursor's lock.
///
/// # Invariants
///
/// - `tail` is the value of the shared tail.
/// - `head_seen` is a former value of the shared head, hence `head_seen - tail <= capacity`.
pub(crate) struct Consumer {
    tail: u64,
    head_seen: u64,
}

impl Consumer {
    /// The consumer of a ring whose positions were made with the same `start`.
    pub(crate) fn new(start: u64) -> Self {
        // INVARIANT: Both shared positions are `start`.
        Self {
            tail: start,
            head_seen: start,
        }
    }

    /// Finds unread bytes, at most `most`, which is not 0.
    ///
    /// `None` if there are none. Fewer than `most` means that there are no more. The head, which is
    /// the writers' cache line, is loaded only if what is known of it does not allow `most`.
    #[inline]
    pub(crate) fn unread<'a>(
        &'a mut self,
        positions: &'a Positions,
        most: usize,
    ) -> Option<Unread<'a>> {
        let mut unread = self.known_unread();
        if unread < most {
            // INVARIANT: It is the shared head's value.
            self.head_seen = positions.load_head();
            unread = self.known_unread();
        }
        if unread == 0 {
            return None;
        }
        Some(Unread {
            span: positions.span(self.tail, unread.min(most)),
            consumer: self,
            positions,
        })
    }

    #[inline]
    fn known_unread(&self) -> usize {
        // CAST: By the type invariant at most the capacity, which fits.
        self.head_seen.wrapping_sub(self.tail) as usize
    }
}

/// Bytes that the holder may copy, and then release.
///
/// If it is dropped instead, nothing has happened and they can be read again.
pub(crate) struct Unread<'a> {
    consumer: &'a mut Consumer,
    positions: &'a Positions,
    span: Span,
}

impl Unread<'_> {
    /// The bytes.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Gives the first `taken` bytes back to writers; more than there are is cut.
    ///
    /// Returns what [`wake_writers`] wants to know.
    ///
    /// [`wake_writers`]: super::wake_writers
    #[inline]
    pub(crate) fn release(self, taken: usize) -> Released {
        let before = self.consumer.tail;
        // INVARIANT: The bytes were unread, so the new tail is not beyond the head.
        self.consumer.tail = before.wrapping_add(taken.min(self.span.len) as u64);
        self.positions.store_tail(self.consumer.tail);
        Released { before }
    }
}

/// A tail has been released, and writers may have to be woken.
#[must_use = "writers that sleep have to be woken"]
pub(crate) struct Released {
    /// The tail before.
    pub(super) before: u64,
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_consumer)
)]
mod tests {
    use super::*;
    use crate::ring::{
        Capacity,
        Producer, //
    };

    /// A ring with `bytes` bytes, whose positions pass the end of 32 bits after 3000.
    fn ring(bytes: usize) -> Result<(Positions, Producer, Consumer), ()> {
        const START: u64 = (1 << 32) - 3000;
        let capacity = Capacity::new(4096, 4096).ok_or(())?;
        let positions = Positions::new(capacity, START);
        let mut producer = Producer::new(START);
        let room = producer.reserve(&positions, 1, 4096).ok_or(())?;
        let _ = room.publish(bytes);
        Ok((positions, producer, Consumer::new(START)))
    }

    #[test]
    fn empty_ring_has_nothing() -> Result<(), ()> {
        let (positions, _, mut consumer) = ring(0)?;
        assert!(consumer.unread(&positions, 1).is_none());
        assert!(consumer.unread(&positions, usize::MAX).is_none());
        Ok(())
    }

    #[test]
    fn unread_is_what_is_there_or_what_is_asked_for() -> Result<(), ()> {
        let (positions, _, mut consumer) = ring(4000)?;
        let unread = consumer.unread(&positions, 100).ok_or(())?;
        assert_eq!(unread.span().offset, 4096 - 3000);
        assert_eq!(unread.span().len, 100);
        let unread = consumer.unread(&positions, usize::MAX).ok_or(())?;
        assert_eq!(unread.span().len, 4000);
        Ok(())
    }

    #[test]
    fn dropped_bytes_can_be_read_again() -> Result<(), ()> {
        let (positions, _, mut consumer) = ring(50)?;
        let first = consumer.unread(&positions, 50).ok_or(())?.span();
        let second = consumer.unread(&positions, 50).ok_or(())?.span();
        assert_eq!(first.len, 50);
        assert_eq!(second, first);
        assert_eq!(positions.unread(), 50);
        Ok(())
    }

    #[test]
    fn released_bytes_are_gone() -> Result<(), ()> {
        let (positions, _, mut consumer) = ring(4096)?;
        let released = consumer.unread(&positions, 100).ok_or(())?.release(30);
        assert_eq!(released.before, (1 << 32) - 3000);
        assert_eq!(positions.unread(), 4066);
        assert_eq!(positions.room(), 30);

        // The rest follows, and no more is released than was there.
        let unread = consumer.unread(&positions, usize::MAX).ok_or(())?;
        assert_eq!(unread.span().offset, 4096 - 3000 + 30);
        assert_eq!(unread.span().len, 4066);
        let released = unread.release(usize::MAX);
        assert_eq!(released.before, (1 << 32) - 2970);
        assert_eq!(positions.unread(), 0);
        assert_eq!(positions.room(), 4096);
        assert!(consumer.unread(&positions, 1).is_none());
        Ok(())
    }

    #[test]
    fn later_bytes_are_found() -> Result<(), ()> {
        let (positions, mut producer, mut consumer) = ring(1)?;
        let _ = consumer.unread(&positions, 1).ok_or(())?.release(1);
        assert!(consumer.unread(&positions, 1).is_none());
        let room = producer.reserve(&positions, 2, 2).ok_or(())?;
        let _ = room.publish(2);
        let unread = consumer.unread(&positions, 10).ok_or(())?;
        assert_eq!(unread.span().offset, 4096 - 3000 + 1);
        assert_eq!(unread.span().len, 2);
        Ok(())
    }
}
