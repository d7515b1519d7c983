// SPDX-License-Identifier: GPL-2.0

//! After a hand-over: who is woken.
//!
//! Two kinds of threads wait on a side of a ring. A *sleeper* is inside read(2) or write(2). Where
//! readers compete, and among writers always, one is woken at a time, and what it leaves it passes
//! on; readers that each see everything are all woken. A *poller* has asked to be told when the
//! side becomes ready; it is told at each edge: from empty to non-empty, or from too little room
//! for some write to enough for any ([`Attributes::max_needed`]). Some want to be told of every
//! hand-over; see [`Waiters::wants_every_edge`].
//!
//! Sleeping writers have a watermark: a reader wakes the first of them only when a good part of the
//! ring is free. From then on they wake each other, for as long as there is room for one.
//!
//! A sleeper says what it needs and a wake-up what there is: writers count bytes of room, readers
//! the position that the head must have reached.
//!
//! No function here is called with a lock held.

use super::{
    positions::{Mark, Positions, Released},
    producer::Published,
    Attributes,
    Site, //
};
use crate::platform::full_barrier;

/// Those who wait on one side of a ring.
///
/// A thread joins its queue before it looks at the positions, by [`Positions::unread`] or
/// [`Positions::room`], and sleeps only if it finds what it found before.
pub(crate) trait Waiters {
    /// Whether a sleeper is in the queue.
    fn has_sleepers(&self) -> bool;

    /// Wakes those sleepers to whom `there_is` is enough, or if they are woken one at a time, the
    /// one of these that has waited longest.
    fn wake_sleepers(&self, there_is: u64);

    /// Whether a poller is in the queue.
    fn has_pollers(&self) -> bool;

    /// Whether there is a poller that is not content with edges: one that is edge-triggered and
    /// does not drain the ring would wait for ever, one that shares its wake-ups with others would
    /// keep those of a colleague who is busy, and one that gets signals counts them.
    fn wants_every_edge(&self) -> bool;

    /// Tells the pollers that the side is ready, and sends the signals. The side is ready.
    fn wake_pollers(&self);

    /// Sends the signals alone: those who get them are told of each hand-over.
    fn signal(&self) {}

    /// Whether there is anybody.
    #[inline]
    fn has_anybody(&self) -> bool {
        self.has_sleepers() || self.has_pollers()
    }
}

/// After the producer has published.
#[inline]
pub(crate) fn wake_readers(
    positions: &Positions,
    attributes: &Attributes,
    published: Published,
    readers: &impl Waiters,
) {
    full_barrier(Site::PublishedThenWaiters);
    if readers.has_anybody() {
        tell_readers(positions, attributes, published, readers);
    }
}

fn tell_readers(
    positions: &Positions,
    attributes: &Attributes,
    published: Published,
    readers: &impl Waiters,
) {
    if readers.has_sleepers() {
        readers.wake_sleepers(published.head);
    }
    // Only where the one cursor is the tail does the producer see whether readers had caught up.
    if readers.has_pollers()
        && (!attributes.cursor_is_tail()
            || readers.wants_every_edge()
            || positions.was_empty_at(published.before))
    {
        readers.wake_pollers();
    }
}

/// After the tail has moved, in a ring whose writers do not overwrite.
///
/// A writer that sleeps below the watermark is not forgotten: a reader sleeps only when the ring is
/// empty, and by then it has passed the watermark; or below a watermark of its own, but not while a
/// writer sleeps.
#[inline]
pub(crate) fn wake_writers(
    positions: &Positions,
    attributes: &Attributes,
    released: Released,
    writers: &impl Waiters,
) {
    full_barrier(Site::ReleasedThenWaiters);
    if writers.has_anybody() {
        tell_writers(positions, attributes, released, writers);
    }
}

fn tell_writers(
    positions: &Positions,
    attributes: &Attributes,
    released: Released,
    writers: &impl Waiters,
) {
    let capacity = positions.capacity();
    let room = positions.room();
    if writers.has_sleepers() && room >= attributes.writer_watermark(capacity) {
        writers.wake_sleepers(room as u64);
    }
    if writers.has_pollers() {
        let needed = attributes.max_needed(capacity);
        if room < needed {
            writers.signal();
        } else if writers.wants_every_edge() || positions.lacked_room_at(released.before, needed) {
            writers.wake_pollers();
        }
    }
}

/// For a reader that leaves, whatever the reason, or that may be held up by user space: if it was
/// woken for what it has not taken, the next sleeper gets its wake-up. Where readers compete.
#[inline]
pub(crate) fn pass_on_to_reader(positions: &Positions, mark: &Mark, readers: &impl Waiters) {
    if readers.has_sleepers() && positions.unread(mark) > 0 {
        readers.wake_sleepers(positions.head());
    }
}

/// For a writer that leaves, whatever the reason, or that may be held up by user space: if it has
/// left room, the next sleeper that fits gets its wake-up.
#[inline]
pub(crate) fn pass_on_to_writer(positions: &Positions, writers: &impl Waiters) {
    if writers.has_sleepers() {
        let room = positions.room() as u64;
        if room > 0 {
            writers.wake_sleepers(room);
        }
    }
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(CONFIG_RINGDEV_KUNIT_TEST, kernel::macros::kunit_tests(ringdev_waking))]
mod tests {
    use super::*;
    use crate::ring::{
        testing::{
            capacity,
            shared, //
        },
        Capacity,
        Cursor,
        Delivery,
        Framing,
        Full,
        Missed,
        Place,
        Producer,
        View,
        Words, //
    };
    use core::cell::Cell;

    /// Who waits, and who has been woken.
    #[derive(Default)]
    struct Recorder {
        sleepers: bool,
        pollers: bool,
        every_edge: bool,
        /// What there was when a sleeper was woken last.
        woken_for: Cell<u64>,
        sleepers_woken: Cell<u32>,
        pollers_woken: Cell<u32>,
    }

    impl Waiters for Recorder {
        fn has_sleepers(&self) -> bool {
            self.sleepers
        }

        fn wake_sleepers(&self, there_is: u64) {
            self.woken_for.set(there_is);
            self.sleepers_woken.set(self.sleepers_woken.get() + 1);
        }

        fn has_pollers(&self) -> bool {
            self.pollers
        }

        fn wants_every_edge(&self) -> bool {
            self.every_edge
        }

        fn wake_pollers(&self) {
            self.pollers_woken.set(self.pollers_woken.get() + 1);
        }
    }

    /// The data of a ring whose headers nobody reads.
    struct NoWords;

    impl Words for NoWords {
        fn load(&self, _: u64) -> u64 {
            0
        }

        fn store(&self, _: u64, _: u64) {}
    }

    /// A ring of four times the watermark, with positions that wrap.
    struct Ring {
        attributes: Attributes,
        positions: Positions,
        mark: Mark,
        missed: Missed,
        producer: Producer,
        cursor: Cursor,
        readers: Recorder,
        writers: Recorder,
    }

    const START: u64 = u64::MAX;

    impl Ring {
        fn new() -> Result<Self, ()> {
            Self::with(Attributes::STREAM)
        }

        fn with(attributes: Attributes) -> Result<Self, ()> {
            let capacity = capacity(4 * 4096)?;
            Ok(Self {
                attributes,
                positions: Positions::new(capacity, START),
                mark: Mark::new(START),
                missed: Missed::new(),
                producer: Producer::new(attributes, capacity, START),
                cursor: Cursor::new(attributes, capacity, Place::first(START)),
                readers: Recorder::default(),
                writers: Recorder::default(),
            })
        }

        fn write(&mut self, bytes: usize) -> Result<(), ()> {
            let room = self.producer.reserve(&self.positions, bytes, bytes);
            let published = room.ok_or(())?.publish(bytes);
            wake_readers(&self.positions, &self.attributes, published, &self.readers);
            Ok(())
        }

        fn read(&mut self, bytes: usize) -> Result<(), ()> {
            let view = View::new(self.attributes, &self.positions, &self.mark, &self.missed);
            let unread = self.cursor.unread(view, bytes).ok_or(())?;
            let released = unread.release(bytes).map_err(|_| ())?;
            let released = match self.attributes.delivery {
                Delivery::Shared => Some(released),
                Delivery::Broadcast => self.positions.advance_tail(self.mark.finished()),
            };
            if let Some(released) = released {
                wake_writers(&self.positions, &self.attributes, released, &self.writers);
            }
            Ok(())
        }

        fn pass_on_to_reader(&self) {
            pass_on_to_reader(&self.positions, self.positions.tail(), &self.readers);
        }

        fn pass_on_to_writer(&self) {
            pass_on_to_writer(&self.positions, &self.writers);
        }
    }

    #[test]
    fn nobody_is_woken_who_does_not_wait() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.write(4 * 4096)?;
        ring.read(4 * 4096)?;
        ring.pass_on_to_reader();
        ring.pass_on_to_writer();
        assert_eq!(ring.readers.sleepers_woken.get(), 0);
        assert_eq!(ring.readers.pollers_woken.get(), 0);
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
        assert_eq!(ring.writers.pollers_woken.get(), 0);
        Ok(())
    }

    #[test]
    fn each_write_wakes_one_reader() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.readers.sleepers = true;
        ring.write(1)?;
        assert_eq!(ring.readers.sleepers_woken.get(), 1);
        ring.write(100)?;
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        // For the head.
        assert_eq!(ring.readers.woken_for.get(), START.wrapping_add(101));
        assert_eq!(ring.readers.pollers_woken.get(), 0);
        Ok(())
    }

    #[test]
    fn reader_passes_on_what_is_left() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.readers.sleepers = true;
        ring.pass_on_to_reader();
        assert_eq!(ring.readers.sleepers_woken.get(), 0);
        ring.write(2)?;
        ring.read(1)?;
        ring.pass_on_to_reader();
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        assert_eq!(ring.readers.woken_for.get(), START.wrapping_add(2));
        ring.read(1)?;
        ring.pass_on_to_reader();
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        Ok(())
    }

    #[test]
    fn lapped_reader_passes_on_the_head() -> Result<(), ()> {
        let mut ring = Ring::with(shared(Framing::Stream, Full::Overwrite))?;
        ring.readers.sleepers = true;
        ring.write(4 * 4096)?;
        ring.producer.make_room(&ring.positions, &NoWords, 100);
        pass_on_to_reader(&ring.positions, &ring.mark, &ring.readers);
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        let head = START.wrapping_add(4 * 4096);
        assert_eq!(ring.readers.woken_for.get(), head);

        // What is given up is nothing to pass on.
        ring.producer.make_room(&ring.positions, &NoWords, 4 * 4096);
        pass_on_to_reader(&ring.positions, &ring.mark, &ring.readers);
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        Ok(())
    }

    #[test]
    fn reader_wakes_a_writer_at_the_watermark() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.write(4 * 4096)?;
        ring.writers.sleepers = true;
        ring.read(4095)?;
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
        ring.read(1)?;
        assert_eq!(ring.writers.sleepers_woken.get(), 1);
        assert_eq!(ring.writers.woken_for.get(), 4096);
        ring.read(1)?;
        assert_eq!(ring.writers.sleepers_woken.get(), 2);
        assert_eq!(ring.writers.woken_for.get(), 4097);
        Ok(())
    }

    #[test]
    fn writer_passes_on_any_room() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.write(4 * 4096)?;
        ring.writers.sleepers = true;
        ring.pass_on_to_writer();
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
        ring.read(1)?;
        ring.pass_on_to_writer();
        assert_eq!(ring.writers.sleepers_woken.get(), 1);
        assert_eq!(ring.writers.woken_for.get(), 1);
        Ok(())
    }

    #[test]
    fn pollers_of_bytes_are_told_of_the_edge() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.readers.pollers = true;
        ring.write(1)?;
        assert_eq!(ring.readers.pollers_woken.get(), 1);
        ring.write(1)?;
        ring.read(1)?;
        ring.write(1)?;
        assert_eq!(ring.readers.pollers_woken.get(), 1);
        ring.read(2)?;
        ring.write(1)?;
        assert_eq!(ring.readers.pollers_woken.get(), 2);
        assert_eq!(ring.readers.sleepers_woken.get(), 0);
        Ok(())
    }

    #[test]
    fn pollers_of_room_are_told_when_any_write_fits() -> Result<(), ()> {
        let atomic = Capacity::ATOMIC_WRITE;
        for (full, needed) in [(Full::Block, atomic), (Full::Drop, 1)] {
            let mut ring = Ring::with(shared(Framing::Stream, full))?;
            ring.writers.pollers = true;
            ring.write(4 * atomic - (needed - 1))?;
            ring.read(1)?;
            assert_eq!(ring.writers.pollers_woken.get(), 1);
            // There was enough before, so nothing has changed for a poller.
            ring.read(1)?;
            assert_eq!(ring.writers.pollers_woken.get(), 1);
            ring.write(2)?;
            ring.read(1)?;
            assert_eq!(ring.writers.pollers_woken.get(), 2);
            assert_eq!(ring.writers.sleepers_woken.get(), 0);
        }
        Ok(())
    }

    #[test]
    fn pollers_of_room_are_not_told_of_too_little() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.writers.pollers = true;
        ring.write(4 * 4096)?;
        ring.read(Capacity::ATOMIC_WRITE - 1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 0);
        ring.read(1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 1);
        Ok(())
    }

    #[test]
    fn pollers_of_room_for_a_record_are_told_when_the_longest_fits() -> Result<(), ()> {
        for (records, woken) in [(2, 0), (3, 1)] {
            let mut ring = Ring::with(shared(Framing::Record, Full::Block))?;
            ring.writers.pollers = true;
            for _ in 0..records {
                // The longest: three of them leave less than a fourth takes.
                let slot = ring.producer.reserve_record(&ring.positions, 4096);
                let _ = slot.ok_or(())?.publish(&NoWords, 0);
            }
            let view = View::new(ring.attributes, &ring.positions, &ring.mark, &ring.missed);
            let released = ring.cursor.clear(view, ring.producer.newest());
            wake_writers(&ring.positions, &ring.attributes, released, &ring.writers);
            assert_eq!(ring.writers.pollers_woken.get(), woken);
        }
        Ok(())
    }

    #[test]
    fn some_pollers_are_told_of_everything() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.readers.pollers = true;
        ring.readers.every_edge = true;
        ring.writers.pollers = true;
        ring.writers.every_edge = true;
        ring.write(10)?;
        ring.write(10)?;
        assert_eq!(ring.readers.pollers_woken.get(), 2);
        ring.read(5)?;
        ring.read(5)?;
        ring.read(5)?;
        assert_eq!(ring.writers.pollers_woken.get(), 3);
        Ok(())
    }

    #[test]
    fn readers_that_do_not_compete_are_told_of_everything() -> Result<(), ()> {
        let broadcast = Attributes {
            delivery: Delivery::Broadcast,
            ..Attributes::STREAM
        };
        let overwrite = shared(Framing::Stream, Full::Overwrite);
        for attributes in [broadcast, overwrite] {
            let mut ring = Ring::with(attributes)?;
            ring.readers.pollers = true;
            ring.write(1)?;
            ring.write(1)?;
            assert_eq!(ring.readers.pollers_woken.get(), 2);
        }
        Ok(())
    }

    #[test]
    fn tail_that_moves_wakes_writers() -> Result<(), ()> {
        let mut ring = Ring::with(Attributes {
            delivery: Delivery::Broadcast,
            ..Attributes::STREAM
        })?;
        ring.write(4 * 4096)?;
        ring.writers.sleepers = true;
        ring.writers.pollers = true;
        ring.read(4095)?;
        assert_eq!(ring.writers.pollers_woken.get(), 0);
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
        ring.read(1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 1);
        assert_eq!(ring.writers.sleepers_woken.get(), 1);
        assert_eq!(ring.writers.woken_for.get(), 4096);
        Ok(())
    }
}
