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
