// SPDX-License-Identifier: GPL-2.0

//! The memory ordering of the ring, in one list.
//!
//! Each ordered access and each barrier in the core is made at a [`Site`]. In the module a site is
//! only a name and compiles to nothing. The model in `tests/core` weakens one site at a time and
//! expects the model checker to find what then goes wrong, so that no entry of this list is there
//! by habit.
//!
//! Hand-over of bytes (message passing):
//!
//! - [`Site::HeadRelease`] pairs with [`Site::HeadAcquire`]: whoever sees the new head sees the
//!   bytes below it.
//! - [`Site::TailRelease`] pairs with [`Site::TailAcquire`]: whoever sees the new tail knows that
//!   the reader has finished copying the bytes below it, so they may be overwritten.
//! - [`Site::TailRelease`] pairs with [`Site::MarkAcquire`] as well: whoever moves the tail to the
//!   mark of another cursor hands on what that cursor has released.
//!
//! Sleep and wake (store buffering: each side stores, then loads what the other stores). A waiter
//! joins a queue, and then loads the positions, that of the other side last and behind a barrier:
//!
//! - [`Site::PublishedThenWaiters`] pairs with [`Site::TailThenHead`]: either the writer sees the
//!   waiter in the queue, or the waiter sees the new head.
//! - [`Site::ReleasedThenWaiters`] pairs with [`Site::HeadThenTail`]: either the reader sees the
//!   waiter in the queue, or the waiter sees the new tail.
//!
//! Overwriting (a sequence lock whose sequence is the tail). Nobody waits for anybody:
//!
//! - [`Site::EvictRelease`] pairs with [`Site::TailAcquire`]: a reader that goes on from the tail
//!   sees a head that is not below it.
//! - [`Site::TailThenOverwrite`] pairs with [`Site::CopyThenTail`]: a reader that has copied any
//!   byte of what a writer put over it sees the tail that the writer moved before, and throws away
//!   what it has copied.
//!
//! - [`Site::TailRelease`] pairs with [`Site::MarkThenMissed`]: whoever sees that a cursor has
//!   moved on over what it has missed sees that it has said so.
//!
//! Edges. A poller that sees the ring empty has seen some head, and before it a tail that caught up
//! with it. The writer that moves on from that very head must then see that tail, or it would take
//! the ring for non-empty all along and wake nobody. The same two barriers see to it: what the
//! waiter did and saw before its barrier the writer sees after its own, if the waiter missed the
//! new head. Likewise for a full ring, with the two positions in each other's place.

/// The name of an ordered access or of a barrier; see the list above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// The writer's store of the head.
    HeadRelease,
    /// The reader's load of the head.
    HeadAcquire,
    /// The reader's store of its mark, which may be the tail.
    TailRelease,
    /// The load of the tail, by the writer, or by a reader that may have been lapped.
    TailAcquire,
    /// The load of a mark, by whoever moves the tail to the one that is furthest behind.
    MarkAcquire,
    /// The load of a mark, by whoever looks next whether its cursor has missed something.
    MarkThenMissed,
    /// Between the store of the head and the look at the readers' queues.
    PublishedThenWaiters,
    /// Between the store of the tail and the look at the writers' queues.
    ReleasedThenWaiters,
    /// The writer's store of the tail, where it overwrites.
    EvictRelease,
    /// Between the writer's store of the tail and its stores to what lies below.
    TailThenOverwrite,
    /// Between the reader's loads of what it copies and its load of the tail.
    CopyThenTail,
    /// Between joining a readers' queue, and the load of the tail, and the load of the head.
    TailThenHead,
    /// Between joining a writers' queue, and the load of the head, and the load of the tail.
    HeadThenTail,
}
