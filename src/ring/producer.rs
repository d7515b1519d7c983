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
