// SPDX-License-Identifier: GPL-2.0

//! poll(2), select(2) and epoll(7).
//!
//! The kernel crate has `PollTable` and `PollCondVar`. They cannot tell what the poller asks for,
//! cannot wake with a key, and let a queue go only an RCU grace period after its end. Here the type
//! of the file operation proves that a queue outlives its pollers; see [`PollTable::register`].
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use super::{
    sys,
    wait::WaitQueueHead, //
};
use core::{
    marker::PhantomData,
    ops::BitOr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey, //
};

/// A set of poll events, in the values that epoll uses.
///
/// The values are ABI: [`include/uapi/linux/eventpoll.h`](srctree/include/uapi/linux/eventpoll.h).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Events(bindings::__poll_t);

impl Events {
    /// No event.
    pub(crate) const NONE: Self = Self(0);
    /// What a readable file has: `EPOLLIN | EPOLLRDNORM`.
    pub(crate) const READABLE: Self = Self(0x001 | 0x040);
    /// What a writable file has: `EPOLLOUT | EPOLLWRNORM`.
    pub(crate) const WRITABLE: Self = Self(0x004 | 0x100);
    /// Something happened out of order: `EPOLLPRI`.
    pub(crate) const PRIORITY: Self = Self(0x002);
    /// The other side is in error: `EPOLLERR`. Told to all who poll, asked for or not.
    pub(crate) const ERROR: Self = Self(0x008);
    /// Nothing will come any more: `EPOLLHUP`. Told likewise.
    pub(crate) const HANG_UP: Self = Self(0x010);
    /// The poller shares its wake-ups with others: `EPOLLEXCLUSIVE`.
    pub(crate) const EXCLUSIVE: Self = Self(1 << 28);
    /// The poller wants to know of each change: `EPOLLET`.
    pub(crate) const EDGE_TRIGGERED: Self = Self(1 << 31);

    /// The events as a number.
    #[inline]
    pub(super) fn bits(self) -> bindings::__poll_t {
        self.0
    }

    /// Whether the two have an event in common.
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Creates a [`PollQueue`] initialiser with a lock class of its own.
macro_rules! new_poll_queue {
    ($name:literal) => {
        $crate::staging::poll::PollQueue::new(kernel::c_str!($name), kernel::static_lock_class!())
    };
}
pub(crate) use new_poll_queue;

/// Those who poll.
///
/// # Invariants
///
/// Each entry in the queue was put there by [`PollTable::register`].
#[pin_data]
pub(crate) struct PollQueue {
    #[pin]
    head: WaitQueueHead,
}

impl PollQueue {
    /// An empty queue; use [`new_poll_queue`].
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            head <- WaitQueueHead::new(name, key),
        })
    }

    /// Whether anybody polls.
    ///
    /// Says nothing about a thread that joins meanwhile: between a store that the thread will look
    /// at and this call, the caller needs a full barrier.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.head.is_active()
    }

    /// Tells those who asked for one of `events`: every one that shares its wake-ups with nobody,
    /// and one of those that do (`EPOLLEXCLUSIVE`).
    pub(crate) fn wake(&self, events: Events) {
        // CAST: `poll_to_key()`.
        self.head.wake(events.bits() as usize);
    }

    /// Tells everybody, whatever they asked for.
    pub(crate) fn wake_all(&self) {
        // No key is any event.
        self.head.wake_all(0);
    }
}

/// Whoever polls a file, during the call of its `poll` operation.
///
/// # Invariants
///
/// `file` and `table` are the arguments of a call of the `poll` operation of a file whose private
/// data can be borrowed for `'file`; `table` may be null.
pub(crate) struct PollTable<'file> {
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
    _file: PhantomData<fn(&'file ()) -> &'file ()>,
}

impl<'file> PollTable<'file> {
    /// Wraps the arguments of a `poll` operation.
    ///
    /// # Safety
    ///
    /// `file` must be valid, `table` valid or null, both for the duration of the call of `poll`
    /// that they are arguments of. What is borrowed for `'file` must stay valid until the
    /// `release` operation of the file is called.
    pub(super) unsafe fn from_raw(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            file,
            table,
            _file: PhantomData,
        }
    }

    /// What the poller asks for, edge triggering included. Everything if it does not say.
    pub(crate) fn requested(&self) -> Events {
        // SAFETY: By the type invariant the table is null or valid.
        Events(unsafe { sys::ringdev_poll_requested_events(self.table) })
    }

    /// Puts the poller into `queue`, if it is not there yet. A full barrier follows if it was not;
    /// who is there already is told of whatever happens.
    ///
    /// For `'file` there is only what lives in the private data of the file, so the queue stays
    /// until the file is released, and by then all pollers of the file have left its queues.
    pub(crate) fn register(&self, queue: &'file PollQueue) {
        // INVARIANT: The entry that the poller adds is valid until it takes it out again.
        // SAFETY: By the type invariant the file is valid, and the table null or valid. The queue
        // is initialised, and stays so until `release` of the file is called: epoll takes the file
        // out of its sets before that, and the others that poll hold a reference to the file.
        unsafe { bindings::poll_wait(self.file, queue.head.as_raw(), self.table) };
    }
}
