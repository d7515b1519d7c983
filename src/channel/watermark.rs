// SPDX-License-Identifier: GPL-2.0

//! When a reader is woken: at once, or when there is enough to be worth it.
//!
//! A cursor may have a watermark. Whoever waits for data there, in read(2) or in poll(2), is then
//! woken when so many bytes are unread, and no later than a delay after the first of them was seen.
//! The delay belongs to the watermark, so that nothing is ever stranded below it; and a writer that
//! has to wait overrides it, or the two would wait for each other.
//!
//! The first data after none still wake one who waits, who looks, sees that it is too little, and
//! waits on with a time limit: a sleeper in its sleep, a poller by an [`Alarm`]. So a writer sets
//! no timer, and what is not used costs nothing.

use super::{
    side::Pollers,
    Channel,
    ReadEnd,
    Reader, //
};
use crate::{
    ring::{
        self,
        Waiters, //
    },
    staging::clock, //
};
use kernel::{
    impl_has_hr_timer,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow,
        SpinLock, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

/// The longest delay: a minute.
const DELAY_MAX_NS: u64 = 60_000_000_000;

/// When a reader is woken.
#[derive(Clone, Copy)]
pub(crate) struct Watermark {
    /// When so many bytes are unread. 0 and 1: at once.
    pub(crate) bytes: u64,
    /// Or so long after the first of them was seen.
    pub(crate) delay_ns: u64,
}

/// What a reader waits for.
#[derive(Clone, Copy)]
pub(super) struct Awaited {
    /// The head has come this far.
    pub(super) head: u64,
    /// Or it is this late, by `CLOCK_MONOTONIC` in nanoseconds. `None` if there is nothing so far.
    pub(super) due: Option<u64>,
}

impl Awaited {
    /// Whether it may be there, by the head or by the time, while the other is not.
    pub(super) fn comes_before(self, other: Self) -> bool {
        let due = |awaited: Self| awaited.due.unwrap_or(u64::MAX);
        ring::is_beyond(other.head, self.head) || due(self) < due(other)
    }
}

/// Whether a check records the time when it is the first to see data at a mark.
#[derive(Clone, Copy)]
enum Seen {
    /// It does, and the data are due one delay later.
    Noted,
    /// It does not, because a wait condition must not have side effects.
    NotNoted,
}

/// The watermark of a cursor, and what is known of the data below it.
#[pin_data]
pub(super) struct Gauge {
    bytes: Atomic<u64>,
    delay_ns: Atomic<u64>,
    /// When somebody first saw data that were too little. 0: nobody has.
    since_ns: Atomic<u64>,
    /// The mark of the cursor at which that was. When it is elsewhere, nobody has seen anything.
    since_mark: Atomic<u64>,
    alarm: Arc<Alarm>,
    #[pin]
    set: SpinLock<Option<ArcHrTimerHandle<Alarm>>>,
}

impl Gauge {
    /// No watermark.
    pub(super) fn new(pollers: Pollers) -> Result<impl PinInit<Self>> {
        let alarm = Arc::pin_init(
            pin_init!(Alarm {
                timer <- HrTimer::new(),
                pollers,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        Ok(pin_init!(Self {
            bytes: Atomic::new(0),
            delay_ns: Atomic::new(0),
            since_ns: Atomic::new(0),
            since_mark: Atomic::new(0),
            alarm,
            set <- new_spinlock!(None, "ringdev_gauge"),
        }))
    }

    /// The watermark.
    pub(super) fn watermark(&self) -> Watermark {
        Watermark {
            bytes: self.bytes.load(Relaxed),
            delay_ns: self.delay_ns.load(Relaxed),
        }
    }

    /// What is awaited where `unread` bytes are at `mark`, and it takes `enough` to be worth it.
    /// `None` if it is there. With [`Seen::NotNoted`] also `None` if the time is not recorded yet.
    fn awaited(&self, mark: u64, unread: u64, enough: u64, seen: Seen) -> Option<Awaited> {
        if unread == 0 {
            return Some(Awaited {
                head: mark.wrapping_add(1),
                due: None,
            });
        }
        if unread >= enough {
            return None;
        }
        let now = clock::monotonic_ns();
        let since = match (self.since(mark), seen) {
            (Some(since), _) => since,
            (None, Seen::Noted) => {
                self.note(mark, now);
                now
            }
            (None, Seen::NotNoted) => return None,
        };
        let due = since.saturating_add(self.delay_ns.load(Relaxed));
        (now < due).then_some(Awaited {
            head: mark.wrapping_add(enough),
            due: Some(due),
        })
    }

    /// When somebody first saw data at `mark`, if anybody has.
    fn since(&self, mark: u64) -> Option<u64> {
        // Before the time, which is stored before it: with this mark comes its time, or a later
        // one.
        let known = self.since_mark.load(Acquire) == mark;
        let since = self.since_ns.load(Relaxed);
        (known && since != 0).then_some(since)
    }

    /// Somebody has seen data at `mark`. Two who see them first at the same time see them at nearly
    /// the same time.
    fn note(&self, mark: u64, now: u64) {
        self.since_ns.store(now, Relaxed);
        self.since_mark.store(mark, Release);
    }

    /// What is there begins to wait anew, though the mark may be where it was.
    pub(super) fn restart(&self) {
        self.since_ns.store(0, Relaxed);
    }

    /// Has those who poll look again at this time. Does not sleep.
    fn look_again_at(&self, due_ns: u64) {
        let mut set = self.set.lock();
        // Dropping the old one cancels the timer, so it has to go before it is started again.
        *set = None;
        let left = due_ns
            .saturating_sub(clock::monotonic_ns())
            .min(DELAY_MAX_NS);
        // CAST: At most a minute, which fits.
        *set = Some(self.alarm.clone().start(Delta::from_nanos(left as i64)));
    }
}

/// A timer that has those who poll at a cursor look again.
#[pin_data]
pub(super) struct Alarm {
    #[pin]
    timer: HrTimer<Self>,
    pollers: Pollers,
}

impl HrTimerCallback for Alarm {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        _context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        this.pollers.wake();
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl Channel {
    /// Gives a cursor a watermark. `EINVAL` if it is more than half of the ring, or has no delay or
    /// too long a one.
    pub(crate) fn set_watermark(&self, reader: &Reader, watermark: Watermark) -> Result {
        let waits = watermark.bytes > 1;
        if watermark.bytes > self.positions.capacity().as_u64() / 2
            || watermark.delay_ns > DELAY_MAX_NS
            || (waits && watermark.delay_ns == 0)
        {
            return Err(EINVAL);
        }
        if waits {
            // Who polls cannot go by the edges from empty to non-empty any more.
            self.readers.want_every_edge();
            self.readers.have_pollers_look();
            // Before anybody waits for it, or looks at it: see `urge_readers`.
            self.has_watermarks.store(true, Relaxed);
        }
        let cursor = reader.lock()?;
        reader.gauge.delay_ns.store(watermark.delay_ns, Relaxed);
        reader.gauge.bytes.store(watermark.bytes, Relaxed);
        reader.gauge.restart();
        drop(cursor);
        // Whoever waits there may have waited long enough for this one.
        self.look_again(reader);
        Ok(())
    }

    /// What those who wait at a cursor wait for. `None` if it is there.
    pub(super) fn awaited(&self, end: &ReadEnd) -> Option<Awaited> {
        self.awaited_if(end, Seen::Noted)
    }

    /// Does the same for a wait condition, without side effects. Also returns `None` if the data
    /// are new; the sleeper then calls [`Channel::awaited`], which records when they were first
    /// seen.
    pub(super) fn still_awaited(&self, end: &ReadEnd) -> Option<Awaited> {
        self.awaited_if(end, Seen::NotNoted)
    }

    fn awaited_if(&self, end: &ReadEnd, seen: Seen) -> Option<Awaited> {
        let reader = &*end.reader;
        // Before what is unread: if the mark moves on meanwhile, this is too early, not too late.
        let mark = self.mark(reader).load();
        let unread = self.unread(reader) as u64;
        // A ring that was made smaller may not hold the watermark that it was given.
        let half = self.positions.capacity().as_u64() / 2;
        let enough = reader.gauge.watermark().bytes.min(half);
        let awaited = reader.gauge.awaited(mark, unread, enough, seen)?;
        // A writer that waits cannot bring more than there is, nor can one that has left.
        let is_all =
            awaited.due.is_some() && (self.writers.has_sleepers() || self.is_abandoned(end));
        (!is_all).then_some(awaited)
    }

    /// For somebody who polls and has joined the queue: whether it is ready. If it will be at a
    /// certain time, it is woken then.
    pub(super) fn is_ready_to_poll(&self, end: &ReadEnd) -> bool {
        let Some(awaited) = self.awaited(end) else {
            return true;
        };
        if let Some(due_ns) = awaited.due {
            end.reader.gauge.look_again_at(due_ns);
        }
        false
    }
}
