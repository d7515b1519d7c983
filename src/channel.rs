// SPDX-License-Identifier: GPL-2.0

//! A ring as the kernel holds it: the core of `ring/` with memory, locks, and wait queues.
//!
//! Here a read and a write are put together from their parts: find a range, copy, hand over, wake,
//! sleep. What is called when belongs to `endpoint.rs`.
//!
//! # Locks
//!
//! - `producer`, a mutex: writers among each other.
//! - `consumer`, a mutex: readers among each other.
//!
//! Neither is ever taken while the other is held. Under either, bytes are copied, at most
//! [`COPY_MAX`] at a time, and nothing else is done: no page fault is served, nothing is allocated,
//! nobody is woken, and nobody sleeps, so that no process can make another wait for long. The locks
//! inside the wait queues are taken with neither held.
//!
//! A writer and a reader meet in the positions alone; `ring/ordering.rs` lists how.

use crate::{
    ring::{
        self,
        Capacity,
        Consumer,
        Positions,
        Producer,
        Waiters, //
    },
    staging::{
        fasync::{
            Band,
            FasyncList, //
        },
        file::Waiting,
        mirror::Mirror,
        poll::{
            new_poll_queue,
            Events,
            PollQueue, //
        },
        transfer::{
            Destination,
            Source, //
        },
        wait::{
            new_sleep_queue,
            SleepQueue, //
        }, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// The most that is copied with a lock held, and then handed over.
const COPY_MAX: usize = 64 * 1024;

/// How often in a row a page may be made present and be gone again when it is copied. Memory that
/// can be made present and still not be copied would otherwise keep a thread busy for ever.
const FAULTS_MAX: u32 = 16;

/// A ring.
#[pin_data]
pub(crate) struct Channel {
    positions: Positions,
    data: Mirror,
    #[pin]
    producer: Mutex<Producer>,
    #[pin]
    consumer: Mutex<Consumer>,
    /// Those who wait for something to read.
    #[pin]
    readers: Side,
    /// Those who wait for room to write.
    #[pin]
    writers: Side,
}

impl Channel {
    /// Makes an empty ring. `ENOMEM` if there is no memory, and then nothing is left of it.
    ///
    /// May sleep.
    pub(crate) fn new(capacity: Capacity) -> Result<Arc<Self>> {
        const START: u64 = 0;

        let data = Mirror::new(capacity.bytes())?;
        Arc::pin_init(
            pin_init!(Self {
                positions: Positions::new(capacity, START),
                data,
                producer <- new_mutex!(Producer::new(START), "ringdev_producer"),
                consumer <- new_mutex!(Consumer::new(START), "ringdev_consumer"),
                readers <- Side::new(Events::READABLE, Band::In),
                writers <- Side::new(Events::WRITABLE, Band::Out),
            }),
            GFP_KERNEL,
        )
    }

    /// Writes all of `from`, or as much as fits if it may not wait.
    ///
    /// Answers how much was written if that is anything. Else `EAGAIN` when full and not allowed to
    /// wait, `ERESTARTSYS` when interrupted, `EFAULT` when the source cannot be read.
    pub(crate) fn write(&self, from: &mut impl Source, waiting: Waiting) -> Result<usize> {
        let mut end = from.remaining();
        let mut written = 0;
        // A short write stays one piece, unless its writer prefers a part of it to waiting.
        let whole = waiting == Waiting::Allowed && end <= Capacity::ATOMIC_WRITE;
        let mut faults = 0;

        let result = loop {
            if written == end {
                break Ok(());
            }
            let left = end - written;
            let most = left.min(COPY_MAX);
            let least = if whole { left } else { 1 };

            let mut producer = self.producer.lock();
            let Some(room) = producer.reserve(&self.positions, least, most) else {
                drop(producer);
                if waiting == Waiting::Refused {
                    break Err(EAGAIN);
                }
                match self
                    .writers
                    .sleep_until(least, || self.positions.room() >= least)
                {
                    Ok(()) => continue,
                    Err(interrupted) => break Err(interrupted),
                }
            };
            let span = room.span();
            let mut copied = from.copy_to(self.data.area(span.offset, span.len));
            let faulted = copied < span.len;
            if faulted && whole {
                from.rewind(copied);
                copied = 0;
            }
            if copied > 0 {
                let published = room.publish(copied);
                drop(producer);
                ring::wake_readers(&self.positions, published, &self.readers);
                written += copied;
                faults = 0;
            } else {
                drop(producer);
            }

            if faulted {
                // This may take long: whatever this thread was woken for is for others now.
                ring::pass_on_to_writer(&self.positions, &self.writers);
                let asked = most.min(end - written);
                let present = from.fault_in(asked);
                faults += 1;
                if present == 0 || faults > FAULTS_MAX {
                    break Err(EFAULT);
                }
                if present < asked {
                    // What lies behind cannot be read: the write is short.
                    end = written + present;
                }
            }
        };

        ring::pass_on_to_writer(&self.positions, &self.writers);
        progress(written, result)
    }

    /// Reads what is there, at most what `to` takes; waits only if nothing is there.
    ///
    /// Answers how much was read if that is anything. Else `EAGAIN` when empty and not allowed to
    /// wait, `ERESTARTSYS` when interrupted, `EFAULT` when the destination cannot be written: then
    /// what was not copied can still be read.
    pub(crate) fn read(&self, to: &mut impl Destination, waiting: Waiting) -> Result<usize> {
        let mut read = 0;
        let mut faults = 0;

        let result = loop {
            let most = to.remaining().min(COPY_MAX);
            if most == 0 {
                break Ok(());
            }

            let mut consumer = self.consumer.lock();
            let Some(unread) = consumer.unread(&self.positions, most) else {
                drop(consumer);
                if read > 0 {
                    break Ok(());
                }
                if waiting == Waiting::Refused {
                    break Err(EAGAIN);
                }
                match self.readers.sleep_until(1, || self.positions.unread() > 0) {
                    Ok(()) => continue,
                    Err(interrupted) => break Err(interrupted),
                }
            };
            let span = unread.span();
            let copied = to.copy_from(self.data.area(span.offset, span.len));
            if copied > 0 {
                let released = unread.release(copied);
                drop(consumer);
                ring::wake_writers(&self.positions, released, &self.writers);
                read += copied;
                faults = 0;
            } else {
                drop(consumer);
            }

            if copied < span.len {
                // This may take long: whatever this thread was woken for is for others now.
                ring::pass_on_to_reader(&self.positions, &self.readers);
                faults += 1;
                if to.fault_in(span.len - copied) == 0 || faults > FAULTS_MAX {
                    break Err(EFAULT);
                }
            } else if span.len < most {
                // There was no more.
                break Ok(());
            }
        };

        ring::pass_on_to_reader(&self.positions, &self.readers);
        progress(read, result)
    }

    /// How many bytes can be read.
    pub(crate) fn unread(&self) -> usize {
        self.positions.unread()
    }

    /// How many bytes can be written.
    pub(crate) fn room(&self) -> usize {
        self.positions.room()
    }

    /// Those who wait for something to read.
    pub(crate) fn readers(&self) -> &Side {
        &self.readers
    }

    /// Those who wait for room to write.
    pub(crate) fn writers(&self) -> &Side {
        &self.writers
    }
}

/// What a call answers that did `done` bytes and then ended with `result`: progress first.
fn progress(done: usize, result: Result) -> Result<usize> {
    if done > 0 {
        Ok(done)
    } else {
        result.map(|()| 0)
    }
}

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
}

impl Side {
    fn new(events: Events, band: Band) -> impl PinInit<Self> {
        pin_init!(Self {
            sleepers <- new_sleep_queue!("ringdev_sleepers"),
            pollers <- new_poll_queue!("ringdev_pollers"),
            signalled: FasyncList::new(),
            every_edge: AtomicFlag::new(false),
            events,
            band,
        })
    }

    fn sleep_until(&self, needs: usize, ready: impl FnMut() -> bool) -> Result {
        self.sleepers.sleep_until(needs, ready)
    }

    /// The queue for those who poll.
    pub(crate) fn pollers(&self) -> &PollQueue {
        &self.pollers
    }

    /// The list of those who get SIGIO.
    pub(crate) fn signalled(&self) -> &FasyncList {
        &self.signalled
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
    fn wake_sleeper(&self, bytes: usize) {
        self.sleepers.wake_one(bytes);
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
        self.pollers.wake(self.events);
        self.signalled.notify(self.band);
    }
}
