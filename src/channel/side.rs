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
            new_poll_branch,
            new_poll_queue,
            Events,
            PollBranch,
            PollQueue,
            PollTable, //
        },
        trace::{
            self,
            Label,
            Woken, //
        },
        wait::{
            new_sleep_queue,
            Sleep,
            SleepQueue,
            Turn, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc, //
    }, //
};

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
    /// A hand-over does not tell what is true for a poller: each has to look.
    must_look: AtomicFlag,
    /// What a hand-over makes true for pollers otherwise.
    events: Events,
    band: Band,
    label: Label,
}

impl Side {
    /// Nobody. `events` are what a hand-over makes true for those who poll.
    pub(super) fn new(label: Label, events: Events, band: Band, turn: Turn) -> impl PinInit<Self> {
        pin_init!(Self {
            sleepers <- new_sleep_queue!("ringdev_sleepers", turn),
            pollers <- new_poll_queue!("ringdev_pollers"),
            signalled: FasyncList::new(),
            every_edge: AtomicFlag::new(false),
            must_look: AtomicFlag::new(false),
            events,
            band,
            label,
        })
    }

    /// Sleeps until `ready` holds, the deadline has passed if there is one, or a signal arrives:
    /// `ERESTARTSYS`. Calls `before_sleep` each time before it does.
    pub(super) fn sleep_until(
        &self,
        sleep: Sleep,
        ready: impl Fn() -> bool,
        before_sleep: impl Fn(),
    ) -> Result {
        self.sleepers.sleep_until(sleep, ready, before_sleep)
    }

    /// Tells everybody, by a signal as well, that something has happened to the ring: it may be the
    /// last that they can wait for.
    pub(super) fn announce(&self) {
        self.trace_waiting();
        self.sleepers.wake_everybody();
        self.pollers.wake_all();
        self.signal();
    }

    /// Has those look again who have found something and wait for more, as there may be a reason to
    /// take less. Nothing has happened that a signal would be sent for.
    pub(super) fn urge(&self) {
        self.trace_waiting();
        self.sleepers.wake_timed();
        self.pollers.wake_all();
    }

    /// Has those that sleep at `place` look again.
    pub(super) fn wake_place(&self, place: u64) {
        if self.has_sleepers() {
            self.trace_wake(Woken::Sleepers);
        }
        self.sleepers.wake_place(place);
    }

    /// Has those that poll look again.
    pub(super) fn wake_all_pollers(&self) {
        self.pollers.wake_all();
    }

    /// In a trace, says who is about to be woken.
    fn trace_waiting(&self) {
        if self.has_sleepers() {
            self.trace_wake(Woken::Sleepers);
        }
        if self.has_pollers() {
            self.trace_wake(Woken::Pollers);
        }
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

    /// From now on has pollers look for themselves at each hand-over. Never taken back.
    pub(super) fn have_pollers_look(&self) {
        self.must_look.store(true, Relaxed);
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
        if self.must_look.load(Relaxed) {
            // All of them: without events to go by, one that waits for something else would take a
            // wake-up that is for one alone (`EPOLLEXCLUSIVE`).
            self.pollers.wake_all();
        } else {
            self.pollers.wake(self.events);
        }
        self.signal();
    }

    fn signal(&self) {
        self.signalled.notify(self.band);
    }
}

/// Those who poll at a cursor.
#[derive(Clone)]
pub(crate) enum Pollers {
    /// Readers compete at it: all who poll for data.
    All(Arc<Side>),
    /// It belongs to one endpoint: those who poll that one.
    Own(Arc<PollBranch<Side>>),
}

impl Pollers {
    /// Those at a cursor that an endpoint will have for itself.
    pub(super) fn own(side: &Arc<Side>) -> Result<Self> {
        let branch = new_poll_branch!("ringdev_cursor_pollers", side.clone(), Side::pollers);
        Ok(Self::Own(Arc::pin_init(branch, GFP_KERNEL_ACCOUNT)?))
    }

    /// Adds the thread that polls with `table`.
    pub(crate) fn register<'file>(&'file self, table: &PollTable<'file>) {
        match self {
            Self::All(side) => table.register(side.pollers()),
            Self::Own(branch) => table.register_branch(branch),
        }
    }

    /// Has them look again.
    pub(super) fn wake(&self) {
        match self {
            Self::All(side) => side.pollers.wake_all(),
            Self::Own(branch) => branch.wake_all(),
        }
    }
}
