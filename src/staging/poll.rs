// SPDX-License-Identifier: GPL-2.0

//! poll(2), select(2) and epoll(7).
//!
//! The kernel crate has `PollTable` and `PollCondVar`. They cannot tell what the poller asks for,
//! cannot wake with a key, and let a queue go only an RCU grace period after its end. Here the type
//! of the file operation proves that a queue outlives its pollers; see [`PollTable::register`].
//!
//! A [`PollBranch`] is a queue within a queue, for files that share events and also have some of
//! their own.
//!
//! # Locks
//!
//! The lock of the queue of a branch is taken inside that of the queue that the branch belongs to.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use super::{
    sys,
    wait::WaitQueueHead, //
};
use core::{
    marker::PhantomData,
    ops::BitOr,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::{
        Arc,
        LockClassKey, //
    },
    types::Opaque, //
};

// CAST: It is 0.
const RUNNING: c_int = bindings::TASK_RUNNING as c_int;

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
    ///
    /// One that is told of events may take this for the answer and not look again, as io_uring
    /// does. They must be true.
    pub(crate) fn wake(&self, events: Events) {
        // CAST: `poll_to_key()`.
        let key = ptr::without_provenance_mut(events.bits() as usize);
        // SAFETY: What polls expects events.
        unsafe { self.head.wake(key) };
    }

    /// Has everybody look again, whatever they asked for.
    pub(crate) fn wake_all(&self) {
        // SAFETY: What polls expects events, or null for any.
        unsafe { self.head.wake_all(ptr::null_mut()) };
    }
}

/// Creates a [`PollBranch`] initialiser with a lock class of its own.
macro_rules! new_poll_branch {
    ($name:literal, $trunk:expr, $queue:expr) => {
        $crate::staging::poll::PollBranch::new(
            $crate::staging::poll::new_poll_queue!($name),
            $trunk,
            $queue,
        )
    };
}
pub(crate) use new_poll_branch;

/// Those who poll at one of several places that share a [`PollQueue`], the trunk: a wake-up of the
/// trunk is one of each branch, and a branch can be woken alone.
///
/// The branch is an entry of the trunk. The first wake-up that finds nobody in the branch takes the
/// entry out, so that a trunk of which nobody polls any branch is soon empty.
///
/// Of those who share their wake-ups (`EPOLLEXCLUSIVE`) one is woken in each branch, or all if the
/// trunk is woken without events.
///
/// `repr(C)`: a pointer to the entry is a pointer to the branch.
///
/// # Invariants
///
/// - `trunk` is borrowed from what `owner` points to, and valid for as long as that is kept.
/// - `entry` is in the list of `trunk` or in none, and in the former whenever somebody is in
///   `queue` and has been told so by [`PollTable::register_branch`].
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct PollBranch<T> {
    #[pin]
    entry: Opaque<bindings::wait_queue_entry>,
    #[pin]
    queue: PollQueue,
    trunk: NonNull<PollQueue>,
    // Held for `trunk`.
    owner: Arc<T>,
}

// SAFETY: Neither a `wait_queue_entry` without a task nor the queues are bound to a thread.
unsafe impl<T: Send + Sync> Send for PollBranch<T> {}

// SAFETY: The entry is changed with the lock of the trunk held; the queues are `Sync`.
unsafe impl<T: Send + Sync> Sync for PollBranch<T> {}

impl<T> PollBranch<T> {
    /// A branch, without pollers, of a queue of `owner`; use [`new_poll_branch`].
    pub(crate) fn new(
        queue: impl PinInit<PollQueue>,
        owner: Arc<T>,
        trunk: fn(&T) -> &PollQueue,
    ) -> impl PinInit<Self> {
        // INVARIANT: Nothing in an `Arc` moves, and nobody gets a mutable reference to it while
        // there is another reference, which is here.
        let trunk = NonNull::from(trunk(&owner));
        pin_init!(Self {
            // INVARIANT: The entry is in no list, and nobody is in the queue.
            // SAFETY: `slot` is valid for writes, and pinned.
            entry <- Opaque::ffi_init(|slot: *mut bindings::wait_queue_entry| unsafe {
                bindings::init_wait_entry(slot, 0);
                (*slot).private = ptr::null_mut();
                (*slot).func = Some(wake_branch::<T>);
            }),
            queue <- queue,
            trunk,
            owner,
        })
    }

    /// Tells everybody in this branch alone, whatever they asked for.
    pub(crate) fn wake_all(&self) {
        self.queue.wake_all();
    }

    fn trunk(&self) -> *mut bindings::wait_queue_head {
        // SAFETY: By the type invariant.
        unsafe { self.trunk.as_ref() }.head.as_raw()
    }
}

#[pinned_drop]
impl<T> PinnedDrop for PollBranch<T> {
    fn drop(self: Pin<&mut Self>) {
        // Takes the lock, so that no wake-up is in the middle of it afterwards.
        // SAFETY: By the type invariant the entry is in the list of this queue, or in none, which
        // the function allows as it is then linked to itself.
        unsafe { bindings::remove_wait_queue(self.trunk(), self.entry.get()) };
    }
}

/// Passes a wake-up of the trunk on to the branch, or takes the entry out if nobody is there.
///
/// # Safety
///
/// Must be called by `__wake_up()` for the entry of a `PollBranch<T>`, with a key for pollers.
unsafe extern "C" fn wake_branch<T>(
    entry: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    _flags: c_int,
    key: *mut c_void,
) -> c_int {
    // SAFETY: By the safety requirements this is the first field of a branch, which leaves the
    // queue, with the lock that is held here, before it goes.
    let queue = unsafe { &(*entry.cast::<PollBranch<T>>()).queue };
    if !queue.is_active() {
        // Whoever joins `queue` puts the entry back afterwards, with the lock that is held here:
        // see `register_branch`.
        // SAFETY: The entry is in a list whose lock is held.
        unsafe { sys::ringdev_list_del_init(&raw mut (*entry).entry) };
    } else if key.is_null() {
        // Whether the trunk is told of a hand-over or of the end, a null key does not say.
        queue.wake_all();
    } else {
        // SAFETY: By the safety requirements the key is what pollers expect.
        unsafe { queue.head.wake(key) };
    }
    // It was no exclusive wake-up.
    0
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

    /// Puts the poller into `branch`, if it is not there yet. A full barrier follows, likewise.
    pub(crate) fn register_branch<T>(&self, branch: &'file PollBranch<T>) {
        self.register(&branch.queue);
        // SAFETY: By the type invariant the table is null or valid.
        if unsafe { self.table.as_ref() }.is_none_or(|table| table._qproc.is_none()) {
            // Who polls a second time is in the queue, and the entry in the trunk.
            return;
        }
        // INVARIANT: The entry is in the list from here on. A wake-up that has found the queue
        // empty, and taken the entry out, was made before this takes the lock; one that is made
        // after it finds the poller.
        // SAFETY: By the type invariants the queue and the entry are valid, and the entry is in no
        // list but that of this queue. The function clears a flag of the entry before it takes the
        // lock; as nobody ever sets one, all it can store there is the 0 that is there. The task
        // runs, and goes on to.
        unsafe {
            bindings::prepare_to_wait(branch.trunk(), branch.entry.get(), RUNNING);
        }
    }
}

/// Who polls, for the tests of what wakes pollers.
#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
pub(crate) mod testing {
    use super::*;
    use core::cell::Cell;

    /// Somebody who polls for data, and counts how often it is told.
    #[repr(C)]
    pub(crate) struct Poller {
        // First: a pointer to it is a pointer to the poller.
        table: Opaque<bindings::poll_table>,
        entry: Opaque<bindings::wait_queue_entry>,
        queue: Cell<*mut bindings::wait_queue_head>,
        told: Cell<u32>,
    }

    impl Poller {
        /// Joins the queue that `register` registers with. That must outlive it.
        pub(crate) fn new<'file>(
            register: impl FnOnce(&PollTable<'file>),
        ) -> Result<Pin<KBox<Self>>> {
            let table = bindings::poll_table {
                _qproc: Some(join),
                _key: Events::READABLE.bits(),
            };
            let poller = KBox::pin(
                Self {
                    table: Opaque::new(table),
                    entry: Opaque::uninit(),
                    queue: Cell::new(ptr::null_mut()),
                    told: Cell::new(0),
                },
                GFP_KERNEL,
            )?;
            // SAFETY: The table is valid. `join` looks at no file, and the poller leaves the queue
            // before that goes.
            register(&unsafe { PollTable::from_raw(ptr::null_mut(), poller.table.get()) });
            Ok(poller)
        }

        /// How often it was told to look.
        pub(crate) fn told(&self) -> u32 {
            self.told.get()
        }
    }

    impl Drop for Poller {
        fn drop(&mut self) {
            if !self.queue.get().is_null() {
                // SAFETY: `join` has put the entry into this queue, which is still there.
                unsafe { bindings::remove_wait_queue(self.queue.get(), self.entry.get()) };
            }
        }
    }

    /// Puts a poller into a queue: what poll(2) does with each that it is told of.
    ///
    /// # Safety
    ///
    /// `table` is the first field of a [`Poller`] that is in no queue. It leaves this one, which
    /// is valid, before either goes.
    unsafe extern "C" fn join(
        _file: *mut bindings::file,
        queue: *mut bindings::wait_queue_head,
        table: *mut bindings::poll_table,
    ) {
        // SAFETY: By the rules of this function.
        let poller = unsafe { &*table.cast::<Poller>() };
        let entry = poller.entry.get();
        // SAFETY: The entry is valid for writes; it leaves the queue before it goes.
        unsafe {
            bindings::init_wait_entry(entry, 0);
            (*entry).private = table.cast();
            (*entry).func = Some(tell);
            bindings::add_wait_queue(queue, entry);
        }
        poller.queue.set(queue);
    }

    /// Counts a wake-up.
    ///
    /// # Safety
    ///
    /// `entry` is one that `join` has put into a queue, and only the thread of its poller wakes it.
    unsafe extern "C" fn tell(
        entry: *mut bindings::wait_queue_entry,
        _mode: c_uint,
        _flags: c_int,
        _key: *mut c_void,
    ) -> c_int {
        // SAFETY: `join` has put the poller there. No other thread knows of it.
        let poller = unsafe { &*(*entry).private.cast::<Poller>() };
        poller.told.set(poller.told.get() + 1);
        1
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ringdev_poll)]
mod tests {
    use super::{
        testing::Poller,
        *, //
    };

    fn poller(branch: &PollBranch<PollQueue>) -> Result<Pin<KBox<Poller>>> {
        Poller::new(|table| table.register_branch(branch))
    }

    fn trunk() -> Result<Arc<PollQueue>> {
        Arc::pin_init(new_poll_queue!("ringdev_test"), GFP_KERNEL)
    }

    fn branch(trunk: &Arc<PollQueue>) -> Result<Pin<KBox<PollBranch<PollQueue>>>> {
        let branch = new_poll_branch!("ringdev_test", trunk.clone(), |trunk| trunk);
        KBox::pin_init(branch, GFP_KERNEL)
    }

    #[test]
    fn a_wake_up_of_the_trunk_is_one_of_each_branch() -> Result {
        let trunk = trunk()?;
        let branches = [branch(&trunk)?, branch(&trunk)?];
        let pollers = [poller(&branches[0])?, poller(&branches[1])?];
        let told = || (pollers[0].told(), pollers[1].told());
        trunk.wake(Events::READABLE);
        assert_eq!(told(), (1, 1));
        trunk.wake_all();
        assert_eq!(told(), (2, 2));
        branches[0].wake_all();
        assert_eq!(told(), (3, 2));
        Ok(())
    }

    #[test]
    fn an_empty_branch_leaves_the_trunk_until_somebody_comes() -> Result {
        let trunk = trunk()?;
        let branch = branch(&trunk)?;
        assert!(!trunk.is_active());
        drop(poller(&branch)?);
        assert!(trunk.is_active());
        trunk.wake(Events::READABLE);
        assert!(!trunk.is_active());
        let poller = poller(&branch)?;
        assert!(trunk.is_active());
        trunk.wake(Events::READABLE);
        assert_eq!(poller.told(), 1);
        Ok(())
    }

    #[test]
    fn a_branch_that_goes_leaves_the_trunk() -> Result {
        let trunk = trunk()?;
        let branch = branch(&trunk)?;
        drop(poller(&branch)?);
        drop(branch);
        assert!(!trunk.is_active());
        Ok(())
    }
}
