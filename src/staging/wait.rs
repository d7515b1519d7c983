// SPDX-License-Identifier: GPL-2.0

//! Waits for enough of something.
//!
//! The kernel crate's `CondVar` belongs to a lock, and puts a waiter to sleep without asking it
//! whether its condition already holds, so that one killed by a signal can swallow a wake-up. Here
//! the condition is checked after the waiter has joined the queue and has been given its sleeping
//! state, as `wait_event_interruptible_exclusive()` does it; and a wake-up says how much there is,
//! so that it goes to a waiter who can use it.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use core::mem::MaybeUninit;
use kernel::{
    bindings,
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        LockClassKey, //
    },
    types::Opaque, //
};

// CAST: Both are 1.
const INTERRUPTIBLE: c_int = bindings::TASK_INTERRUPTIBLE as c_int;
const EXCLUSIVE: c_int = bindings::WQ_FLAG_EXCLUSIVE as c_int;

/// A `struct wait_queue_head`.
///
/// # Invariants
///
/// It is initialised, and each entry in its list is valid for as long as it is there.
#[pin_data]
pub(super) struct WaitQueueHead {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A `wait_queue_head` belongs to no thread.
unsafe impl Send for WaitQueueHead {}

// SAFETY: All methods on `&self` use functions that take the lock in `head`, except for
// `is_active`, which C asks without the lock as well.
unsafe impl Sync for WaitQueueHead {}

impl WaitQueueHead {
    /// An empty queue.
    pub(super) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid memory for a `wait_queue_head`, and pinned; `name` and `key`
            // live for ever.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    /// The queue, for functions of C that add to it. What they add has to keep the type invariant.
    pub(super) fn as_raw(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Whether the list has an entry, as `waitqueue_active()` says it. Inline: a hand-over asks
    /// several queues, most often to learn that nobody waits.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        let head = self.as_raw();
        // SAFETY: By the type invariant the queue is initialised. Others may store to the pointer
        // meanwhile, and a volatile load of a word is what `list_empty()` makes.
        unsafe {
            let list = &raw mut (*head).head;
            (&raw const (*list).next).read_volatile() != list
        }
    }

    /// Offers `key` to the entries in turn: to all that are not exclusive, and to the exclusive
    /// ones until one takes it.
    ///
    /// # Safety
    ///
    /// `key` must be what the functions of the entries expect.
    pub(super) unsafe fn wake(&self, key: *mut c_void) {
        // SAFETY: By the safety requirements.
        unsafe { self.wake_up(1, key) };
    }

    /// Offers `key` to all entries.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueueHead::wake`].
    pub(super) unsafe fn wake_all(&self, key: *mut c_void) {
        // SAFETY: By the safety requirements.
        unsafe { self.wake_up(0, key) };
    }

    /// # Safety
    ///
    /// As for [`WaitQueueHead::wake`].
    unsafe fn wake_up(&self, exclusive: c_int, key: *mut c_void) {
        // SAFETY: By the type invariant the queue and its entries are valid. By the safety
        // requirements their functions know the key.
        unsafe { bindings::__wake_up(self.as_raw(), bindings::TASK_INTERRUPTIBLE, exclusive, key) };
    }
}

/// Creates a [`SleepQueue`] initialiser with a lock class of its own.
macro_rules! new_sleep_queue {
    ($name:literal, $turn:expr) => {
        $crate::staging::wait::SleepQueue::new(
            kernel::c_str!($name),
            kernel::static_lock_class!(),
            $turn,
        )
    };
}
pub(crate) use new_sleep_queue;

/// How the sleepers of a queue are woken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// One at a time.
    One,
    /// All to whom there is enough.
    Everybody,
}

/// What a thread sleeps for.
#[derive(Clone, Copy)]
pub(crate) struct Sleep {
    /// How much is enough.
    pub(crate) needs: u64,
    /// Which of the places that share the queue it sleeps at; see [`SleepQueue::wake_place`].
    pub(crate) place: u64,
    /// When it goes on in any case, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) deadline: Option<u64>,
}

/// What a wake-up offers the sleepers of a queue.
#[derive(Clone, Copy)]
enum Offer {
    /// There is this much.
    Amount(u64),
    /// Those at this place look again.
    Place(u64),
    /// Those with a deadline look again.
    Timed,
    /// All look again.
    Everybody,
}

impl Offer {
    /// Whether it is for a thread that sleeps for `sleep`.
    fn is_for(self, sleep: &Sleep) -> bool {
        match self {
            // CAST: The sign of the difference is what counts.
            Self::Amount(amount) => amount.wrapping_sub(sleep.needs) as i64 >= 0,
            Self::Place(place) => place == sleep.place,
            Self::Timed => sleep.deadline.is_some(),
            Self::Everybody => true,
        }
    }
}

/// Threads that sleep until there is enough of something.
///
/// What there is and what a sleeper needs are numbers that may wrap: amounts, or positions. There
/// is enough if their difference, as a signed number, is not negative.
///
/// # Invariants
///
/// Each entry in the queue is the `entry` of a [`Sleeper`] on the stack of a thread that is in
/// [`SleepQueue::sleep_until`]. What is offered to it is an [`Offer`].
#[pin_data]
pub(crate) struct SleepQueue {
    #[pin]
    head: WaitQueueHead,
    turn: Turn,
    sleeps: Atomic<u64>,
    wakes: Atomic<u64>,
}

/// A thread in a [`SleepQueue`]. `repr(C)`: a pointer to the entry is a pointer to the sleeper.
#[repr(C)]
struct Sleeper {
    entry: bindings::wait_queue_entry,
    sleep: Sleep,
}

impl SleepQueue {
    /// An empty queue; use [`new_sleep_queue`].
    pub(crate) fn new(
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        turn: Turn,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            head <- WaitQueueHead::new(name, key),
            turn,
            sleeps: Atomic::new(0),
            wakes: Atomic::new(0),
        })
    }

    /// How often a thread has gone to sleep here, and how often one was woken, for whatever reason.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sleeps.load(Relaxed), self.wakes.load(Relaxed))
    }

    /// Whether anybody sleeps.
    ///
    /// Says nothing about a thread that joins meanwhile: between a store that the thread will look
    /// at and this call, the caller needs a full barrier.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.head.is_active()
    }

    /// Sleeps until `ready` holds or a signal arrives; then `ERESTARTSYS`. `before_sleep` is called
    /// each time that the thread is in the queue, has found that `ready` does not hold, and is
    /// about to sleep.
    ///
    /// If the thread is chosen by [`SleepQueue::wake`] and then finds that `ready` holds, the
    /// answer is `Ok`, signal or not; a wake-up is never lost with a thread that is killed.
    ///
    /// With a deadline, the answer is also `Ok` once it has passed.
    ///
    /// Context: process context, no spinlock held. Both functions are called in a sleeping state
    /// and must not sleep. `ready` must not have side effects; `before_sleep` may wake others.
    pub(crate) fn sleep_until(
        &self,
        sleep: Sleep,
        ready: impl Fn() -> bool,
        before_sleep: impl Fn(),
    ) -> Result {
        let flags = match self.turn {
            Turn::One => EXCLUSIVE,
            Turn::Everybody => 0,
        };
        let mut sleeper = MaybeUninit::<Sleeper>::uninit();
        let sleeper = sleeper.as_mut_ptr();
        // SAFETY: `sleeper` is valid for writes. It does not move from here on, since nothing but
        // this pointer knows it.
        let entry = unsafe {
            (&raw mut (*sleeper).sleep).write(sleep);
            &raw mut (*sleeper).entry
        };
        // SAFETY: `entry` is valid for writes. It belongs to the current thread, and is in no list
        // when this function returns.
        unsafe {
            bindings::init_wait_entry(entry, flags);
            (*entry).func = Some(wake_if_enough);
        }

        let mut overdue = false;
        loop {
            // INVARIANT: The entry of a sleeper joins the queue.
            // SAFETY: By the type invariant the queue is valid, and `entry` was initialised above.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(self.head.as_raw(), entry, INTERRUPTIBLE)
            };
            if ready() || overdue {
                break;
            }
            if interrupted != 0 {
                // A signal is pending, and `prepare_to_wait_event()` took the entry out of the
                // list and left the thread running.
                // CAST: An errno.
                return to_result(interrupted as c_int);
            }
            before_sleep();
            self.sleeps.add(1, Relaxed);
            match sleep.deadline {
                // SAFETY: No lock is held by this abstraction; the caller holds none by contract,
                // and if it did, others would wait for it, and memory would be as safe.
                None => unsafe { bindings::schedule() },
                Some(deadline) => {
                    let mut expires = i64::try_from(deadline).unwrap_or(i64::MAX);
                    // SAFETY: As above; `expires` is valid during the call.
                    let left = unsafe {
                        bindings::schedule_hrtimeout(
                            &mut expires,
                            bindings::hrtimer_mode_HRTIMER_MODE_ABS,
                        )
                    };
                    overdue = left == 0;
                }
            }
            self.wakes.add(1, Relaxed);
        }

        // SAFETY: As for `prepare_to_wait_event()`. Takes the entry out of the list.
        unsafe { bindings::finish_wait(self.head.as_raw(), entry) };
        Ok(())
    }

    /// Wakes those to whom `there_is` is enough; of those that are woken one at a time, the one
    /// that has slept longest.
    pub(crate) fn wake(&self, there_is: u64) {
        let mut offer = Offer::Amount(there_is);
        // SAFETY: By the type invariant the entries expect an offer. It lives during the call.
        unsafe { self.head.wake((&raw mut offer).cast()) };
    }

    /// Has those that sleep at `place` look again, whatever they need.
    pub(crate) fn wake_place(&self, place: u64) {
        self.wake_all(Offer::Place(place));
    }

    /// Has those that sleep with a deadline look again, whatever they need.
    pub(crate) fn wake_timed(&self) {
        self.wake_all(Offer::Timed);
    }

    /// Has all look again, whatever they need.
    pub(crate) fn wake_everybody(&self) {
        self.wake_all(Offer::Everybody);
    }

    fn wake_all(&self, mut offer: Offer) {
        // SAFETY: As in `wake`.
        unsafe { self.head.wake_all((&raw mut offer).cast()) };
    }
}

/// Wakes the sleeper of `entry` and takes it out of the queue, if the offer that `key` points to is
/// for it. Returns whether it did.
///
/// # Safety
///
/// Must be called by `__wake_up()` for an entry of a [`SleepQueue`], with a pointer to an
/// [`Offer`].
unsafe extern "C" fn wake_if_enough(
    entry: *mut bindings::wait_queue_entry,
    mode: c_uint,
    flags: c_int,
    key: *mut c_void,
) -> c_int {
    // SAFETY: By the type invariant of `SleepQueue` this is the entry of a sleeper, and valid; its
    // thread does not change it while it is in the queue.
    let sleep = unsafe { &(*entry.cast::<Sleeper>()).sleep };
    // SAFETY: By the safety requirements.
    let offer = unsafe { *key.cast::<Offer>() };
    if !offer.is_for(sleep) {
        return 0;
    }
    // SAFETY: The arguments are those of `__wake_up()`.
    unsafe { bindings::autoremove_wake_function(entry, mode, flags, key) }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kunit_tests(ringdev_wait)]
mod tests {
    use super::*;
    use core::cell::Cell;
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
        queue: SleepQueue,
        #[pin]
        work: Work<Waker>,
        set: AtomicFlag,
        left_alone: AtomicFlag,
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
            // Not enough, elsewhere, and for those with a deadline: nobody.
            this.queue.wake(9);
            this.queue.wake_place(2);
            this.queue.wake_timed();
            this.left_alone.store(this.queue.is_active(), Relaxed);
            this.set.store(true, Relaxed);
            this.queue.wake(10);
        }
    }

    fn waker() -> Result<Arc<Waker>> {
        Arc::pin_init(
            pin_init!(Waker {
                queue <- new_sleep_queue!("ringdev_test", Turn::One),
                work <- new_work!("ringdev_test"),
                set: AtomicFlag::new(false),
                left_alone: AtomicFlag::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Ten are enough.
    const TEN: Sleep = Sleep {
        needs: 10,
        place: 1,
        deadline: None,
    };

    #[test]
    fn what_is_ready_is_not_waited_for() -> Result {
        let waker = waker()?;
        let looks = Cell::new(0);
        let sleeps = Cell::new(0);
        let result = waker.queue.sleep_until(
            TEN,
            || {
                looks.set(looks.get() + 1);
                true
            },
            || sleeps.set(sleeps.get() + 1),
        );
        assert_eq!(result, Ok(()));
        assert_eq!(looks.get(), 1);
        assert_eq!(sleeps.get(), 0);
        Ok(())
    }

    #[test]
    fn readiness_is_looked_at_from_within_the_queue() -> Result {
        let waker = waker()?;
        let joined = Cell::new(false);
        let ready = || {
            joined.set(waker.queue.is_active());
            true
        };
        waker.queue.sleep_until(TEN, ready, || {})?;
        assert!(joined.get());
        assert!(!waker.queue.is_active());
        Ok(())
    }

    #[test]
    fn a_sleeper_is_woken_once_there_is_enough() -> Result {
        let waker = waker()?;
        assert!(workqueue::system_unbound().enqueue(waker.clone()).is_ok());
        let joined = Cell::new(false);
        waker.queue.sleep_until(
            TEN,
            || waker.set.load(Relaxed),
            || joined.set(waker.queue.is_active()),
        )?;
        assert!(waker.left_alone.load(Relaxed));
        assert!(!waker.queue.is_active());
        Ok(())
    }

    #[test]
    fn an_offer_is_for_those_who_can_use_it() {
        let timed = Sleep {
            deadline: Some(1),
            place: 2,
            ..TEN
        };
        for (offer, is_for_ten, is_for_timed) in [
            (Offer::Amount(9), false, false),
            (Offer::Amount(10), true, true),
            (Offer::Amount(9 + (1 << 63)), true, true),
            (Offer::Place(1), true, false),
            (Offer::Place(2), false, true),
            (Offer::Timed, false, true),
            (Offer::Everybody, true, true),
        ] {
            assert_eq!(offer.is_for(&TEN), is_for_ten);
            assert_eq!(offer.is_for(&timed), is_for_timed);
        }
    }
}
