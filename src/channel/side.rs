// SPDX-License-Identifier: GPL-2.0

//! Those who wait on one side of a ring.

use crate::{
    ring::Waiters,
    staging::{
        fasync::{
            Band,
            FasyncList, //
        },
        poll::{
            new_poll_queue,
            Events,
            PollQueue, //
        },
        trace::{
            self,
            Label,
            Woken, //
        },
        wait::{
            new_sleep_queue,
            SleepQueue,
            Turn, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    }, //
};

/// What wakes a sleeper, whatever it needs: further than any position or amount can be.
const ENOUGH: u64 = 1 << 62;

/// Those who wait on one side of a ring.
///
/// Sleepers and pollers have a queue each: a wake-up for the one costs nothing when only the other
/// is there, and an exclusive wake-up cannot end with somebody who does not read.
#[pin_data]
pub(crate) struct Side {
    #[pin]
    sleepers: SleepQueue,
    #[pin]
    pollers: PollQueue,
    signalled: FasyncList,
    every_edge: AtomicFlag,
    events: Events,
    band: Band,
    label: Label,
}

impl Side {
    /// Nobody. `events` are what a hand-over may make true for those who poll.
    pub(super) fn new(label: Label, events: Events, band: Band, turn: Turn) -> impl PinInit<Self> {
        pin_init!(Self {
            sleepers <- new_sleep_queue!("ringdev_sleepers", turn),
            pollers <- new_poll_queue!("ringdev_pollers"),
            signalled: FasyncList::new(),
            every_edge: AtomicFlag::new(false),
            events,
            band,
            label,
        })
    }

    /// Sleeps until `ready` holds, the deadline has passed if there is one, or a signal arrives:
    /// `ERESTARTSYS`.
    pub(super) fn sleep_until(
        &self,
        needs: u64,
        deadline: Option<u64>,
        ready: impl FnMut() -> bool,
    ) -> Result {
        self.sleepers.sleep_until(needs, deadline, ready)
    }

    /// Tells everybody that something has happened that may be the last they can wait for. `from`
    /// is what there is.
    pub(super) fn wake_everybody(&self, from: u64) {
        if self.has_sleepers() {
            self.trace_wake(Woken::Sleepers);
        }
        if self.has_pollers() {
            self.trace_wake(Woken::Pollers);
        }
        self.sleepers.wake_all(from.wrapping_add(ENOUGH));
        self.pollers.wake_all();
        self.signalled.notify(self.band);
    }

    /// Before a wake-up, so that in a trace it comes before what the woken thread does.
    #[inline(always)]
    fn trace_wake(&self, woken: Woken) {
        trace::wake(&self.label, matches!(self.band, Band::Out), woken);
    }

    /// The queue for those who poll.
    pub(crate) fn pollers(&self) -> &PollQueue {
        &self.pollers
    }

    /// The list of those who get SIGIO.
    pub(crate) fn signalled(&self) -> &FasyncList {
        &self.signalled
    }

    /// How often somebody has gone to sleep, and how often somebody was woken.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.sleepers.counts()
    }

    /// From now on tells pollers of every hand-over. To be called after the poller has joined the
    /// queue and before it looks at the positions; it is never taken back, as nobody says when the
    /// last such poller leaves.
    pub(crate) fn want_every_edge(&self) {
        self.every_edge.store(true, Relaxed);
    }
}

impl Waiters for Side {
    #[inline]
    fn has_sleepers(&self) -> bool {
        self.sleepers.is_active()
    }

    #[inline]
    fn wake_sleepers(&self, there_is: u64) {
        self.trace_wake(Woken::Sleepers);
        self.sleepers.wake(there_is);
    }

    #[inline]
    fn has_pollers(&self) -> bool {
        self.pollers.is_active() || !self.signalled.is_empty()
    }

    #[inline]
    fn wants_every_edge(&self) -> bool {
        self.every_edge.load(Relaxed) || !self.signalled.is_empty()
    }

    #[inline]
    fn wake_pollers(&self) {
        self.trace_wake(Woken::Pollers);
        self.pollers.wake(self.events);
        self.signalled.notify(self.band);
    }
}
