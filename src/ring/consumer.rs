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
