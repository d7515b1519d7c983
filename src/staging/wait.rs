// SPDX-License-Identifier: GPL-2.0

//! Wait queues with exclusive waits and keyed wake-ups.
//!
//! The kernel crate's `CondVar` belongs to a lock, wakes with a NULL key, and puts a waiter to
//! sleep without asking it whether its condition already holds, so that one killed by a signal
//! can swallow a wake-up. Here the condition is checked after the waiter has joined the queue and
//! has been given its sleeping state, as `wait_event_interruptible_exclusive()` does it.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::{
    poll::Events,
    sys, //
};
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// Creates a [`WaitQueue`] initialiser with a lock class of its own.
macro_rules! new_wait_queue {
    ($name:literal) => {
        $crate::staging::wait::WaitQueue::new(kernel::c_str!($name), kernel::static_lock_class!())
    };
}
pub(crate) use new_wait_queue;

/// A `struct wait_queue_head`.
///
/// # Invariants
///
/// `head` is initialised. An entry in its list is either on the stack of a thread inside
/// [`WaitQueue::sleep_until`], or belongs to a poller of a file that keeps `self` alive (see
/// [`PollTable::register`]). Hence none is left when `self` is dropped.
///
/// [`PollTable::register`]: super::poll::PollTable::register
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A `wait_queue_head` belongs to no thread.
unsafe impl Send for WaitQueue {}

// SAFETY: All methods on `&self` use functions that take the lock in `head`, except for
// `is_active`, which C calls without the lock as well.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// An empty queue; use [`new_wait_queue`].
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid memory for a `wait_queue_head`, and pinned; `name` and `key`
            // live for ever.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    /// The queue, for functions of C that add to it.
    pub(super) fn as_raw(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Whether anybody waits.
    ///
    /// Says nothing about a thread that joins meanwhile: between a store that the thread will look
    /// at and this call, the caller needs a full barrier.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        // SAFETY: By the type invariant `head` is initialised.
        unsafe { sys::ringdev_waitqueue_active(self.as_raw()) }
    }

    /// Sleeps until `ready` holds or a signal arrives; then `ERESTARTSYS`.
    ///
    /// The wait is exclusive: [`WaitQueue::wake_one`] wakes the thread that has waited longest.
    /// If that thread then finds that `ready` holds, the answer is `Ok`, signal or not; a wake-up
    /// is never lost with a thread that is killed.
    ///
    /// Context: process context, no spinlock held. `ready` is called in a sleeping state and must
    /// not sleep.
    pub(crate) fn sleep_until(&self, mut ready: impl FnMut() -> bool) -> Result {
        let mut entry = MaybeUninit::uninit();
        // CAST: The flag is 1.
        let flags = bindings::WQ_FLAG_EXCLUSIVE as i32;
        // SAFETY: `entry` is valid memory for a wait queue entry. It does not move from here on,
        // and is in no list when this function returns.
        unsafe { bindings::init_wait_entry(entry.as_mut_ptr(), flags) };

        loop {
            // SAFETY: By the type invariant `head` is initialised, and `entry` was above.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(
                    self.as_raw(),
                    entry.as_mut_ptr(),
                    // CAST: The state is 1.
                    bindings::TASK_INTERRUPTIBLE as i32,
                )
            };
            if ready() {
                break;
            }
            if interrupted != 0 {
                // A signal is pending, and `prepare_to_wait_event()` took the entry out of the
                // list and left the thread running.
                // CAST: An errno.
                return to_result(interrupted as i32);
            }
            // SAFETY: No lock is held by this abstraction; the caller holds none by contract, and
            // if it did, that is a bug that lockdep finds and not one of memory safety.
            unsafe { bindings::schedule() };
        }

        // SAFETY: As for `prepare_to_wait_event()`. Takes the entry out of the list.
        unsafe { bindings::finish_wait(self.as_raw(), entry.as_mut_ptr()) };
        Ok(())
    }

    /// Wakes the thread in [`WaitQueue::sleep_until`] that has waited longest.
    pub(crate) fn wake_one(&self) {
        self.wake(1, Events::NONE);
    }

    /// Tells pollers that asked for one of `events`: every one that shares its wake-ups with
    /// nobody, and one of those that do (`EPOLLEXCLUSIVE`).
    pub(crate) fn wake_pollers(&self, events: Events) {
        self.wake(1, events);
    }

    fn wake(&self, exclusive: i32, events: Events) {
        // A key is a number in the form of a pointer: `poll_to_key()`.
        let key = ptr::without_provenance_mut(events.bits() as usize);
        // CAST: The state is 1.
        let mode = bindings::TASK_INTERRUPTIBLE;
        // SAFETY: By the type invariant `head` is initialised, and so is each entry in its list.
        // The key of a wait queue is never dereferenced, and may be null.
        unsafe { bindings::__wake_up(self.as_raw(), mode, exclusive, key) };
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kunit_tests(ringdev_wait)]
mod tests {
    use super::*;
    use kernel::{
        impl_has_work,
        new_work,
        sync::{
            atomic::{
                AtomicFlag,
                Relaxed, //
            },
            Arc, //
        },
        workqueue::{
            self,
            Work,
            WorkItem, //
        }, //
    };

    /// A thread of its own that sets a flag once somebody waits for it, and wakes them.
    #[pin_data]
    struct Waker {
        #[pin]
        queue: WaitQueue,
        #[pin]
        work: Work<Waker>,
        set: AtomicFlag,
    }

    impl_has_work! {
        impl HasWork<Self> for Waker { self.work }
    }

    impl WorkItem for Waker {
        type Pointer = Arc<Self>;

        fn run(this: Arc<Self>) {
            while !this.queue.is_active() {
                // SAFETY: No lock is held.
                unsafe { bindings::schedule() };
            }
            this.set.store(true, Relaxed);
            this.queue.wake_one();
        }
    }

    fn waker() -> Result<Arc<Waker>> {
        Arc::pin_init(
            pin_init!(Waker {
                queue <- new_wait_queue!("ringdev_test"),
                work <- new_work!("ringdev_test"),
                set: AtomicFlag::new(false),
            }),
            GFP_KERNEL,
        )
    }

    #[test]
    fn what_is_ready_is_not_waited_for() -> Result {
        let waker = waker()?;
        let mut looks = 0;
        let result = waker.queue.sleep_until(|| {
            looks += 1;
            true
        });
        assert_eq!(result, Ok(()));
        assert_eq!(looks, 1);
        Ok(())
    }

    #[test]
    fn readiness_is_looked_at_from_within_the_queue() -> Result {
        let waker = waker()?;
        let mut joined = false;
        waker.queue.sleep_until(|| {
            joined = waker.queue.is_active();
            true
        })?;
        assert!(joined);
        assert!(!waker.queue.is_active());
        Ok(())
    }

    #[test]
    fn a_sleeper_is_woken() -> Result {
        let waker = waker()?;
        assert!(workqueue::system_unbound().enqueue(waker.clone()).is_ok());
        waker.queue.sleep_until(|| waker.set.load(Relaxed))?;
        assert!(waker.set.load(Relaxed));
        assert!(!waker.queue.is_active());
        Ok(())
    }
}
