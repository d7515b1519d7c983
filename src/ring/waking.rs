// SPDX-License-Identifier: GPL-2.0

//! After a hand-over: who is woken.
//!
//! Two kinds of threads wait on a side of a ring. A *sleeper* is inside read(2) or write(2); one
//! is woken at a time, and what it leaves it passes on. A *poller* has asked to be told when the
//! side becomes ready; it is told at each edge, from empty to non-empty or from full to not full.
//! Some want to be told of every hand-over; see [`Waiters::wants_every_edge`].
//!
//! Sleeping writers have a watermark: a reader wakes the first of them only when a good part of the
//! ring is free. From then on they wake each other, for as long as there is room for one.
//!
//! No function here is called with a lock held.

use super::{
    consumer::Released,
    producer::Published,
    Positions,
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

    /// Wakes the sleeper that has waited longest among those to whom `bytes` bytes are enough.
    fn wake_sleeper(&self, bytes: usize);

    /// Whether a poller is in the queue.
    fn has_pollers(&self) -> bool;

    /// Whether there is a poller that is not content with edges: one that is edge-triggered and
    /// does not drain the ring would wait for ever, one that shares its wake-ups with others would
    /// keep those of a colleague who is busy, and one that gets signals counts them.
    fn wants_every_edge(&self) -> bool;

    /// Tells the pollers that the side is ready.
    fn wake_pollers(&self);
}

/// After the producer has published.
#[inline]
pub(crate) fn wake_readers(positions: &Positions, published: Published, readers: &impl Waiters) {
    full_barrier(Site::PublishedThenWaiters);
    if readers.has_sleepers() {
        // Every reader is content with a byte.
        readers.wake_sleeper(1);
    }
    if readers.has_pollers()
        && (readers.wants_every_edge() || positions.was_empty_at(published.before))
    {
        readers.wake_pollers();
    }
}

/// After the consumer has released.
///
/// A writer that sleeps below the watermark is not forgotten: a reader sleeps only when the ring is
/// empty, and by then it has passed the watermark.
#[inline]
pub(crate) fn wake_writers(positions: &Positions, released: Released, writers: &impl Waiters) {
    full_barrier(Site::ReleasedThenWaiters);
    if writers.has_sleepers() {
        let room = positions.room();
        if room >= positions.capacity().writer_watermark() {
            writers.wake_sleeper(room);
        }
    }
    if writers.has_pollers()
        && (writers.wants_every_edge() || positions.was_full_at(released.before))
    {
        writers.wake_pollers();
    }
}

/// For a reader that leaves, whatever the reason, or that may be held up by user space: if it was
/// woken for bytes that it has not taken, the next sleeper gets its wake-up.
#[inline]
pub(crate) fn pass_on_to_reader(positions: &Positions, readers: &impl Waiters) {
    if readers.has_sleepers() && positions.unread() > 0 {
        readers.wake_sleeper(1);
    }
}

/// For a writer that leaves, whatever the reason, or that may be held up by user space: if it has
/// left room, the next sleeper that fits gets its wake-up.
#[inline]
pub(crate) fn pass_on_to_writer(positions: &Positions, writers: &impl Waiters) {
    if writers.has_sleepers() {
        let room = positions.room();
        if room > 0 {
            writers.wake_sleeper(room);
        }
    }
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(CONFIG_RINGDEV_KUNIT_TEST, kernel::macros::kunit_tests(ringdev_waking))]
mod tests {
    use super::*;
    use crate::ring::{
        Capacity,
        Consumer,
        Producer, //
    };
    use core::cell::Cell;

    /// Who waits, and who has been woken.
    #[derive(Default)]
    struct Recorder {
        sleepers: bool,
        pollers: bool,
        every_edge: bool,
        /// For how many bytes a sleeper was woken last.
        woken_for: Cell<usize>,
        sleepers_woken: Cell<u32>,
        pollers_woken: Cell<u32>,
    }

    impl Waiters for Recorder {
        fn has_sleepers(&self) -> bool {
            self.sleepers
        }

        fn wake_sleeper(&self, bytes: usize) {
            self.woken_for.set(bytes);
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

    /// A ring of four times the watermark, with positions that wrap.
    struct Ring {
        positions: Positions,
        producer: Producer,
        consumer: Consumer,
        readers: Recorder,
        writers: Recorder,
    }

    impl Ring {
        fn new() -> Result<Self, ()> {
            const START: u64 = u64::MAX;
            let capacity = Capacity::new(4 * 4096, 4096).ok_or(())?;
            Ok(Self {
                positions: Positions::new(capacity, START),
                producer: Producer::new(START),
                consumer: Consumer::new(START),
                readers: Recorder::default(),
                writers: Recorder::default(),
            })
        }

        fn write(&mut self, bytes: usize) -> Result<(), ()> {
            let room = self.producer.reserve(&self.positions, bytes, bytes);
            let published = room.ok_or(())?.publish(bytes);
            wake_readers(&self.positions, published, &self.readers);
            Ok(())
        }

        fn read(&mut self, bytes: usize) -> Result<(), ()> {
            let unread = self.consumer.unread(&self.positions, bytes);
            let released = unread.ok_or(())?.release(bytes);
            wake_writers(&self.positions, released, &self.writers);
            Ok(())
        }
    }

    #[test]
    fn nobody_is_woken_who_does_not_wait() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.write(4 * 4096)?;
        ring.read(4 * 4096)?;
        pass_on_to_reader(&ring.positions, &ring.readers);
        pass_on_to_writer(&ring.positions, &ring.writers);
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
        assert_eq!(ring.readers.woken_for.get(), 1);
        assert_eq!(ring.readers.pollers_woken.get(), 0);
        Ok(())
    }

    #[test]
    fn reader_passes_on_what_is_left() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.readers.sleepers = true;
        pass_on_to_reader(&ring.positions, &ring.readers);
        assert_eq!(ring.readers.sleepers_woken.get(), 0);
        ring.write(2)?;
        ring.read(1)?;
        pass_on_to_reader(&ring.positions, &ring.readers);
        assert_eq!(ring.readers.sleepers_woken.get(), 2);
        ring.read(1)?;
        pass_on_to_reader(&ring.positions, &ring.readers);
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
        pass_on_to_writer(&ring.positions, &ring.writers);
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
        ring.read(1)?;
        pass_on_to_writer(&ring.positions, &ring.writers);
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
    fn pollers_of_room_are_told_of_the_edge() -> Result<(), ()> {
        let mut ring = Ring::new()?;
        ring.writers.pollers = true;
        ring.write(4 * 4096 - 1)?;
        ring.read(1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 0);
        ring.write(2)?;
        ring.read(1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 1);
        ring.read(1)?;
        assert_eq!(ring.writers.pollers_woken.get(), 1);
        assert_eq!(ring.writers.sleepers_woken.get(), 0);
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
}
