// SPDX-License-Identifier: GPL-2.0

//! The writers' side: reserve room, fill it, publish it.

use super::positions::{Positions, Span};

/// What only the writer may know: the head, and the last it has seen of the tail.
///
/// There is one for each ring, inside the writers' lock.
///
/// # Invariants
///
/// - `head` is the value of the shared head.
/// - `tail_seen` is a former value of the shared tail, hence `head - tail_seen <= capacity`.
pub(crate) struct Producer {
    head: u64,
    tail_seen: u64,
}

impl Producer {
    /// The producer of a ring whose positions were made with the same `start`.
    pub(crate) fn new(start: u64) -> Self {
        // INVARIANT: Both shared positions are `start`.
        Self {
            head: start,
            tail_seen: start,
        }
    }

    /// Finds room for at least `least` and at most `most` bytes, which is no less and not 0.
    ///
    /// `None` if fewer than `least` bytes are free. The tail, which is the readers' cache line, is
    /// loaded only if what is known of it does not allow `most`.
    #[inline]
    pub(crate) fn reserve<'a>(
        &'a mut self,
        positions: &'a Positions,
        least: usize,
        most: usize,
    ) -> Option<Room<'a>> {
        let mut free = self.free(positions);
        if free < most {
            // INVARIANT: It is the shared tail's value.
            self.tail_seen = positions.load_tail();
            free = self.free(positions);
        }
        if free < least || free == 0 {
            return None;
        }
        Some(Room {
            span: positions.span(self.head, free.min(most)),
            producer: self,
            positions,
        })
    }

    #[inline]
    fn free(&self, positions: &Positions) -> usize {
        let used = self.head.wrapping_sub(self.tail_seen) as usize;
        positions.capacity().bytes().saturating_sub(used)
    }
}

/// Room that the holder may fill, and then publish.
///
/// If it is dropped instead, nothing has happened.
pub(crate) struct Room<'a> {
    producer: &'a mut Producer,
    positions: &'a Positions,
    span: Span,
}

impl Room<'_> {
    /// The room.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Gives the first `filled` bytes of the room to readers; more than there are is cut.
    ///
    /// Returns what [`wake_readers`] wants to know.
    ///
    /// [`wake_readers`]: super::wake_readers
    #[inline]
    pub(crate) fn publish(self, filled: usize) -> Published {
        let before = self.producer.head;
        // INVARIANT: The room was free, so the new head is within a capacity of the tail.
        self.producer.head = before.wrapping_add(filled.min(self.span.len) as u64);
        self.positions.store_head(self.producer.head);
        Published { before }
    }
}

/// A head has been published, and readers may have to be woken.
#[must_use = "readers that sleep have to be woken"]
pub(crate) struct Published {
    /// The head before.
    pub(super) before: u64,
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_producer)
)]
mod tests {
    use super::*;
    use crate::ring::{
        Capacity,
        Consumer, //
    };

    /// An empty ring whose positions wrap after 3000 bytes.
    fn ring() -> Result<(Positions, Producer, Consumer), ()> {
        const START: u64 = 0u64.wrapping_sub(3000);
        let capacity = Capacity::new(4096, 4096).ok_or(())?;
        Ok((
            Positions::new(capacity, START),
            Producer::new(START),
            Consumer::new(START),
        ))
    }

    #[test]
    fn empty_ring_has_room_for_its_capacity() -> Result<(), ()> {
        let (positions, mut producer, _) = ring()?;
        let room = producer.reserve(&positions, 4096, usize::MAX).ok_or(())?;
        assert_eq!(room.span().offset, 4096 - 3000);
        assert_eq!(room.span().len, 4096);
        Ok(())
    }

    #[test]
    fn dropped_room_is_still_free() -> Result<(), ()> {
        let (positions, mut producer, _) = ring()?;
        let first = producer.reserve(&positions, 1, 100).ok_or(())?.span();
        let second = producer.reserve(&positions, 1, 100).ok_or(())?.span();
        assert_eq!(first.len, 100);
        assert_eq!(second, first);
        assert_eq!(positions.unread(), 0);
        assert_eq!(positions.room(), 4096);
        Ok(())
    }

    #[test]
    fn published_bytes_can_be_read() -> Result<(), ()> {
        let (positions, mut producer, _) = ring()?;
        let room = producer.reserve(&positions, 1, 100).ok_or(())?;
        let published = room.publish(60);
        assert_eq!(published.before, 0u64.wrapping_sub(3000));
        assert_eq!(positions.unread(), 60);
        assert_eq!(positions.room(), 4036);

        // The next room follows, and no more is published than was reserved.
        let room = producer.reserve(&positions, 1, 100).ok_or(())?;
        assert_eq!(room.span().offset, 4096 - 3000 + 60);
        let published = room.publish(101);
        assert_eq!(published.before, 0u64.wrapping_sub(2940));
        assert_eq!(positions.unread(), 160);
        Ok(())
    }

    #[test]
    fn full_ring_has_no_room() -> Result<(), ()> {
        let (positions, mut producer, _) = ring()?;
        let room = producer.reserve(&positions, 1, 4000).ok_or(())?;
        let _ = room.publish(4000);
        // Less than asked for, but no less than wanted.
        assert!(producer.reserve(&positions, 97, 200).is_none());
        let room = producer.reserve(&positions, 96, 200).ok_or(())?;
        assert_eq!(room.span().len, 96);
        let _ = room.publish(96);
        assert!(producer.reserve(&positions, 1, 1).is_none());
        assert_eq!(positions.room(), 0);
        assert_eq!(positions.unread(), 4096);
        Ok(())
    }

    #[test]
    fn released_room_is_found_again() -> Result<(), ()> {
        let (positions, mut producer, mut consumer) = ring()?;
        let room = producer.reserve(&positions, 1, 4096).ok_or(())?;
        let _ = room.publish(4096);
        let _ = consumer.unread(&positions, 10).ok_or(())?.release(10);
        assert!(producer.reserve(&positions, 11, 11).is_none());
        let room = producer.reserve(&positions, 10, 4096).ok_or(())?;
        assert_eq!(room.span().len, 10);
        // It lies a capacity beyond the head of before, that is, in the same place.
        assert_eq!(room.span().offset, 4096 - 3000);
        Ok(())
    }
}
