// SPDX-License-Identifier: GPL-2.0

//! After a hand-over: who is woken.
//!
//! Two kinds of threads wait on a side of a ring. A *sleeper* is inside read(2) or write(2); one
//! is woken at a time, and what it leaves it passes on. A *poller* has asked to be told when the
//! side becomes ready; it is told at each edge, from empty to non-empty or from full to not full.
//! Some pollers want to be told of every hand-over; see [`Waiters::wants_every_edge`].
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

    /// Wakes the sleeper that has waited longest.
    fn wake_sleeper(&self);

    /// Whether a poller is in the queue.
    fn has_pollers(&self) -> bool;

    /// Whether a poller has been seen that is not content with edges: one that is edge-triggered
    /// and does not drain the ring would wait for ever, and one that shares its wake-ups with
    /// others would keep those of a colleague who is busy.
    fn wants_every_edge(&self) -> bool;

    /// Tells the pollers that the side is ready.
    fn wake_pollers(&self);
}

/// After the producer has published.
#[inline]
pub(crate) fn wake_readers(positions: &Positions, published: Published, readers: &impl Waiters) {
    full_barrier(Site::PublishedThenWaiters);
    if readers.has_sleepers() {
        readers.wake_sleeper();
    }
    if readers.has_pollers()
        && (readers.wants_every_edge() || positions.was_empty_at(published.before))
    {
        readers.wake_pollers();
    }
}

/// After the consumer has released.
///
/// Sleeping writers are woken from the watermark on. They cannot be forgotten: a reader sleeps
/// only when the ring is empty, and by then it has passed the watermark.
#[inline]
pub(crate) fn wake_writers(positions: &Positions, released: Released, writers: &impl Waiters) {
    full_barrier(Site::ReleasedThenWaiters);
    pass_on_to_writer(positions, writers);
    if writers.has_pollers()
        && (writers.wants_every_edge() || positions.was_full_at(released.before))
    {
        writers.wake_pollers();
    }
}

/// For a reader that leaves, whatever the reason: if it was woken for bytes that it has not taken,
/// the next sleeper gets its wake-up.
#[inline]
pub(crate) fn pass_on_to_reader(positions: &Positions, readers: &impl Waiters) {
    if readers.has_sleepers() && positions.unread() > 0 {
        readers.wake_sleeper();
    }
}

/// For a writer that leaves, whatever the reason: if it was woken for room that it has not filled,
/// the next sleeper gets its wake-up.
#[inline]
pub(crate) fn pass_on_to_writer(positions: &Positions, writers: &impl Waiters) {
    if writers.has_sleepers() && positions.room() >= positions.capacity().writer_watermark() {
        writers.wake_sleeper();
    }
}
