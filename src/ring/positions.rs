// SPDX-License-Identifier: GPL-2.0

//! The head and the tail, as both sides share them.

use super::{Capacity, Site};
use crate::platform::{full_barrier, AtomicPosition};

/// A range of the data, contiguous because the data is mapped twice in a row.
///
/// # Invariants
///
/// `offset` is less than the capacity of the ring that made the span, and `len` is at most that
/// capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where the range begins, in bytes from the start of the data.
    pub(crate) offset: usize,
    /// How many bytes it has.
    pub(crate) len: usize,
}

/// A position alone on its cache line, since each has one writer and many readers.
///
/// 128 bytes: x86 fetches lines in pairs, and some arm64 have lines of that size.
#[repr(align(128))]
struct Line(AtomicPosition);

/// The positions of a ring.
///
/// Positions count bytes since the ring was made. They run freely through all 64 bits and wrap;
/// only differences between them have a meaning.
///
/// # Invariants
///
/// `head - tail <= capacity` at every moment. Only the holder of the ring's [`Producer`] stores
/// the head and only the holder of its [`Consumer`] stores the tail.
///
/// [`Producer`]: super::Producer
/// [`Consumer`]: super::Consumer
pub(crate) struct Positions {
    head: Line,
    tail: Line,
    capacity: Capacity,
}

impl Positions {
    /// The positions of an empty ring, at `start`.
    ///
    /// Rings begin at 0; tests begin just below the values where something could wrap.
    pub(crate) fn new(capacity: Capacity, start: u64) -> Self {
        // INVARIANT: `head - tail` is 0.
        Self {
            head: Line(AtomicPosition::new(start)),
            tail: Line(AtomicPosition::new(start)),
            capacity,
        }
    }

    /// The ring's capacity.
    #[inline]
    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The range of `len` bytes at `position`. More than the capacity is cut to it.
    #[inline]
    pub(super) fn span(&self, position: u64, len: usize) -> Span {
        // INVARIANT: `Capacity::offset` is less than the capacity; the length is cut here.
        Span {
            offset: self.capacity.offset(position),
            len: len.min(self.capacity.bytes()),
        }
    }

    /// For the producer: everything below the value returned has been read.
    #[inline]
    pub(super) fn load_tail(&self) -> u64 {
        self.tail.0.load_acquire(Site::TailAcquire)
    }

    /// For the consumer: everything below the value returned has been written.
    #[inline]
    pub(super) fn load_head(&self) -> u64 {
        self.head.0.load_acquire(Site::HeadAcquire)
    }

    /// For the producer: gives everything below `head` to the consumer.
    #[inline]
    pub(super) fn store_head(&self, head: u64) {
        self.head.0.store_release(head, Site::HeadRelease);
    }

    /// For the consumer: gives everything below `tail` back to the producer.
    #[inline]
    pub(super) fn store_tail(&self, tail: u64) {
        self.tail.0.store_release(tail, Site::TailRelease);
    }

    /// For a thread that holds neither side: how many bytes can be read.
    ///
    /// A thread that wants to be woken must have joined a queue before it calls this; then an
    /// answer of 0 means that whoever publishes next will see it there.
    pub(crate) fn unread(&self) -> usize {
        let tail = self.tail.0.load_relaxed();
        full_barrier(Site::TailThenHead);
        let head = self.head.0.load_relaxed();
        // The tail may have moved on since it was loaded, and the head after it; the ring then
        // never held this many bytes at once, but it is sure to have held some.
        clamp(head.wrapping_sub(tail), self.capacity)
    }

    /// For a thread that holds neither side: how many bytes can be written.
    ///
    /// As for [`Positions::unread`], a thread that wants to be woken joins a queue first.
    pub(crate) fn room(&self) -> usize {
        let head = self.head.0.load_relaxed();
        full_barrier(Site::HeadThenTail);
        let tail = self.tail.0.load_relaxed();
        // Room is what lies between the head and a capacity beyond the tail. The tail is the
        // younger of the two and may even have passed this head; the room is then more than the
        // capacity by this reckoning, and cut.
        let limit = tail.wrapping_add(self.capacity.bytes() as u64);
        clamp(limit.wrapping_sub(head), self.capacity)
    }

    /// For the writer that just published: whether readers had caught up with `head`, the head
    /// before it published, so that somebody may have found the ring empty.
    #[inline]
    pub(super) fn was_empty_at(&self, head: u64) -> bool {
        let tail = self.tail.0.load_relaxed();
        reached(tail, head)
    }

    /// For the reader that just released: whether writers had filled the ring up to a capacity
    /// beyond `tail`, the tail before it released, so that somebody may have found it full.
    #[inline]
    pub(super) fn was_full_at(&self, tail: u64) -> bool {
        let head = self.head.0.load_relaxed();
        reached(head, tail.wrapping_add(self.capacity.bytes() as u64))
    }
}

/// Whether the position `a` is at or beyond the position `b`.
///
/// The one may have moved on by any amount since the other was loaded, but by far less than half of
/// what 64 bits count.
#[inline]
fn reached(a: u64, b: u64) -> bool {
    a.wrapping_sub(b) < 1 << 63
}

#[inline]
fn clamp(bytes: u64, capacity: Capacity) -> usize {
    // CAST: At most the capacity, which fits.
    bytes.min(capacity.bytes() as u64) as usize
}
