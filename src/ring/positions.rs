// SPDX-License-Identifier: GPL-2.0

//! The head, the tail, and the marks of cursors, as all threads share them.

use super::{Capacity, Site};
use crate::platform::{full_barrier, read_barrier, write_barrier, AtomicPosition};

/// A range of the data. Where in memory it lies is for who has that to say: at its position modulo
/// the capacity, and contiguous because the data is mapped twice in a row.
///
/// # Invariants
///
/// `len` is at most the capacity of the ring that made the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where the range begins.
    pub(crate) position: u64,
    /// How many bytes it has.
    pub(crate) len: usize,
}

impl Span {
    /// The range of `len` bytes at `position`. More than the capacity is cut to it.
    #[inline]
    pub(super) fn new(capacity: Capacity, position: u64, len: usize) -> Self {
        // INVARIANT: The length is cut here.
        Self {
            position,
            len: len.min(capacity.bytes()),
        }
    }
}

/// Where data begin: a position, and the number of the record that begins there. A stream has no
/// numbers, and there it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) sequence: u64,
}

impl Place {
    /// Where a ring begins whose positions begin at `start`.
    pub(crate) fn first(start: u64) -> Self {
        Self {
            position: start,
            sequence: 0,
        }
    }
}

/// A position alone on its cache line, since each has one writer and many readers.
///
/// 64 bytes is a line of most machines.
#[repr(align(64))]
pub(crate) struct Mark(AtomicPosition);

impl Mark {
    /// A mark at `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self(AtomicPosition::new(position))
    }

    /// Where it is, for those to whom an old answer is as good.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        self.0.load_relaxed()
    }

    /// For the holder of the lock of all cursors: whose mark this is has finished with everything
    /// below the value returned.
    #[inline]
    pub(crate) fn finished(&self) -> u64 {
        self.0.load_acquire(Site::MarkAcquire)
    }

    /// For those who then look whether the cursor has [`Missed`] something.
    #[inline]
    fn load_before_missed(&self) -> u64 {
        self.0.load_acquire(Site::MarkThenMissed)
    }

    /// For the cursor whose mark this is: it has finished with everything below `position`.
    #[inline]
    pub(super) fn release(&self, position: u64) {
        self.0.store_release(position, Site::TailRelease);
    }
}

/// Whether a cursor has noticed that it missed something which nobody has been told of.
///
/// The holder of the cursor changes it, and before the cursor's mark moves over what was missed:
/// so there is no moment at which neither says that something was.
pub(crate) struct Missed(AtomicPosition);

impl Missed {
    /// Nothing was missed.
    pub(crate) fn new() -> Self {
        Self(AtomicPosition::new(0))
    }

    /// Something was.
    #[inline]
    pub(super) fn set(&self) {
        self.0.store_relaxed(1);
    }

    /// Whoever wants to know has been told.
    #[inline]
    pub(super) fn clear(&self) {
        self.0.store_relaxed(0);
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load_relaxed() != 0
    }
}

/// The positions of a ring.
///
/// Positions count bytes since the ring was made. They run freely through all 64 bits and wrap;
/// only differences between them have a meaning.
///
/// The *head* is where the next byte will be written. The *tail* is where the oldest byte lies;
/// what is below it may be overwritten. Who moves the tail depends on the ring: where writers wait,
/// the cursor that is furthest behind; where they overwrite, the writers.
///
/// # Invariants
///
/// `head - tail <= capacity` at every moment. Only the holder of the ring's [`Producer`] stores
/// the head. The tail has one writer at a time: the holder of the shared [`Cursor`], or of the lock
/// of all cursors, or of the [`Producer`].
///
/// [`Producer`]: super::Producer
/// [`Cursor`]: super::Cursor
pub(crate) struct Positions {
    head: Mark,
    tail: Mark,
    /// Which the holder of the producer may change. Everybody else looks it up anew each time.
    capacity: AtomicPosition,
}

impl Positions {
    /// The positions of an empty ring, at `start`.
    ///
    /// Rings begin at 0; tests begin just below the values where something could wrap.
    pub(crate) fn new(capacity: Capacity, start: u64) -> Self {
        // INVARIANT: `head - tail` is 0.
        Self {
            head: Mark::new(start),
            tail: Mark::new(start),
            capacity: AtomicPosition::new(capacity.as_u64()),
        }
    }

    /// The ring's capacity, which may change.
    #[inline]
    pub(crate) fn capacity(&self) -> Capacity {
        Capacity::from_u64(self.capacity.load_relaxed())
    }

    /// For the holder of the producer: the ring has another capacity from now on.
    pub(crate) fn set_capacity(&self, capacity: Capacity) {
        self.capacity.store_relaxed(capacity.as_u64());
    }

    /// The head, for those to whom an old answer is as good.
    pub(crate) fn head(&self) -> u64 {
        self.head.load()
    }

    /// The tail, which is also the mark of the one cursor where readers compete and writers wait.
    #[inline]
    pub(crate) fn tail(&self) -> &Mark {
        &self.tail
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

    /// For the producer of a ring that is overwritten: everything below `tail` is about to be.
    #[inline]
    pub(super) fn evict(&self, tail: u64) {
        self.tail.0.store_release(tail, Site::EvictRelease);
        write_barrier(Site::TailThenOverwrite);
    }

    /// For a cursor of a ring that is overwritten, after it has copied what begins at `position`:
    /// whether that may have been overwritten meanwhile.
    #[inline]
    pub(super) fn was_overwritten(&self, position: u64) -> bool {
        read_barrier(Site::CopyThenTail);
        is_beyond(self.tail.load(), position)
    }

    /// For the holder of the lock of all cursors, of a ring whose readers do not compete and whose
    /// writers wait: moves the tail to `position`, where the cursor is that is furthest behind, by
    /// [`Mark::finished`].
    ///
    /// Returns what [`wake_writers`] wants to know; `None` if the tail was there already.
    ///
    /// [`wake_writers`]: super::wake_writers
    pub(crate) fn advance_tail(&self, position: u64) -> Option<Released> {
        let before = self.tail.load();
        if !is_beyond(position, before) {
            return None;
        }
        self.tail.release(position);
        Some(Released { before })
    }

    /// For a thread that holds neither side: whether what was at `mark` has been overwritten.
    ///
    /// It may say so too early, for a moment: of what the cursor has copied and is about to
    /// release.
    pub(super) fn has_passed(&self, mark: &Mark) -> bool {
        // First, as the tail does not pass a mark that nobody overwrites.
        let tail = self.load_tail();
        is_beyond(tail, mark.load_before_missed())
    }

    /// For a thread that holds neither side: how many bytes can be read at `mark`.
    ///
    /// A thread that wants to be woken must have joined a queue before it calls this; then an
    /// answer of 0 means that whoever publishes next will see it there.
    pub(crate) fn unread(&self, mark: &Mark) -> usize {
        let mark = mark.load();
        let tail = self.tail.load();
        // What was overwritten cannot be read.
        let from = if is_beyond(tail, mark) { tail } else { mark };
        full_barrier(Site::TailThenHead);
        let head = self.head.load();
        // The mark may have moved on since it was loaded, and the head after it; the ring then
        // never held this many bytes at once, but it is sure to have held some.
        self.clamp(head.wrapping_sub(from))
    }

    /// For a thread that holds neither side: how many bytes can be written.
    ///
    /// As for [`Positions::unread`], a thread that wants to be woken joins a queue first.
    pub(crate) fn room(&self) -> usize {
        let head = self.head.load();
        full_barrier(Site::HeadThenTail);
        let tail = self.tail.load();
        // Room is what lies between the head and a capacity beyond the tail. The tail is the
        // younger of the two and may even have passed this head; the room is then more than the
        // capacity by this reckoning, and cut.
        let limit = tail.wrapping_add(self.capacity().as_u64());
        if is_beyond(head, limit) {
            // The ring has been made smaller since the tail was loaded.
            return 0;
        }
        self.clamp(limit.wrapping_sub(head))
    }

    /// For the writer that just published: whether readers had caught up with `head`, the head
    /// before it published, so that somebody may have found the ring empty.
    #[inline]
    pub(super) fn was_empty_at(&self, head: u64) -> bool {
        !is_beyond(head, self.tail.load())
    }

    /// For the reader that just released: whether fewer than `bytes` bytes were free above `tail`,
    /// the tail before it released, so that a poller may have found too little room.
    #[inline]
    pub(super) fn lacked_room_at(&self, tail: u64, bytes: usize) -> bool {
        let limit = tail.wrapping_add(self.capacity().as_u64());
        is_beyond(self.head.load().wrapping_add(bytes as u64), limit)
    }

    #[inline]
    fn clamp(&self, bytes: u64) -> usize {
        // CAST: At most the capacity, which fits.
        bytes.min(self.capacity().as_u64()) as usize
    }
}

/// A tail has moved, and writers may have to be woken.
#[must_use = "writers that sleep have to be woken"]
pub(crate) struct Released {
    /// The tail before.
    pub(crate) before: u64,
}

/// Whether the position `a` is beyond the position `b`.
///
/// The one may have moved on by any amount since the other was loaded, but by far less than half of
/// what 64 bits count.
#[inline]
pub(crate) fn is_beyond(a: u64, b: u64) -> bool {
    b.wrapping_sub(a) > 1 << 63
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_positions)
)]
mod tests {
    use super::*;
    use crate::ring::{
        testing::{
            capacity,
            shared,
            Ring,
            BYTES, //
        },
        Framing,
        Full, //
    };

    const START: u64 = 0u64.wrapping_sub(1000);

    #[test]
    fn beyond_is_told_across_the_wrap() {
        assert!(is_beyond(1, 0));
        assert!(!is_beyond(0, 0));
        assert!(!is_beyond(0, 1));
        assert!(is_beyond(0, u64::MAX));
        assert!(is_beyond(4095, 0u64.wrapping_sub(4096)));
        assert!(!is_beyond(u64::MAX, 0));
        assert!(is_beyond((1 << 63) + 1, 1 << 63));
        assert!(is_beyond(1 << 63, (1 << 63) - 1));
        assert!(is_beyond((1 << 63) - 1, 0));
        assert!(!is_beyond(0, (1 << 63) - 1));
    }

    #[test]
    fn tail_advances_and_never_goes_back() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Stream, Full::Block), START)?;
        let positions = &ring.positions;
        let _ = ring.writer().write(2000)?;
        assert!(positions.advance_tail(START).is_none());

        let released = positions.advance_tail(START.wrapping_add(1500)).ok_or(())?;
        assert_eq!(released.before, START);
        assert_eq!(positions.room(), BYTES - 500);

        assert!(positions.advance_tail(START.wrapping_add(1500)).is_none());
        assert!(positions.advance_tail(START.wrapping_add(1499)).is_none());
        assert_eq!(positions.tail().load(), 500);
        assert_eq!(positions.tail().finished(), 500);
        Ok(())
    }

    #[test]
    fn overwritten_bytes_are_not_unread() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Stream, Full::Overwrite), START)?;
        let positions = &ring.positions;
        let mut writer = ring.writer();
        let _ = writer.write(BYTES)?;
        assert_eq!(ring.unread(), BYTES);
        assert!(!positions.was_overwritten(START));

        writer.producer.make_room(positions, &ring, 100);
        assert_eq!(ring.unread(), BYTES - 100);
        assert_eq!(positions.room(), 100);
        assert!(positions.was_overwritten(START));
        assert!(positions.was_overwritten(START.wrapping_add(99)));
        assert!(!positions.was_overwritten(START.wrapping_add(100)));
        assert!(positions.has_passed(ring.view().mark));

        // A mark that is not behind the tail counts for itself.
        let mark = Mark::new(START.wrapping_add(4000));
        assert_eq!(positions.unread(&mark), 96);
        assert!(!positions.has_passed(&mark));
        assert!(!positions.has_passed(positions.tail()));
        Ok(())
    }

    #[test]
    fn room_follows_the_capacity() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Stream, Full::Block), START)?;
        let _ = ring.writer().write(1000)?;
        assert_eq!(ring.positions.room(), BYTES - 1000);
        ring.positions.set_capacity(capacity(2 * BYTES)?);
        assert_eq!(ring.positions.capacity(), capacity(2 * BYTES)?);
        assert_eq!(ring.positions.room(), 2 * BYTES - 1000);
        assert_eq!(ring.unread(), 1000);
        Ok(())
    }

    #[test]
    fn ring_that_shrinks_does_not_look_empty() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Stream, Full::Block), START)?;
        ring.positions.set_capacity(capacity(2 * BYTES)?);
        let mut writer = ring.writer();
        writer
            .producer
            .set_capacity(&ring.positions, capacity(2 * BYTES)?);
        let _ = writer.write(BYTES + 1000)?;
        // As for a thread that has loaded the tail before data were read, and the capacity after
        // the ring was resized.
        ring.positions.set_capacity(capacity(BYTES)?);
        assert_eq!(ring.positions.room(), 0);
        Ok(())
    }

    #[test]
    fn span_is_cut_to_the_capacity() -> Result<(), ()> {
        let span = Span::new(capacity(BYTES)?, START, usize::MAX);
        assert_eq!(span.position, START);
        assert_eq!(span.len, BYTES);
        Ok(())
    }
}
