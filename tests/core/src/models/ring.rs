// SPDX-License-Identifier: GPL-2.0

//! A ring whose bytes are cells that the model checker watches.

use super::{Fault, faulty};
use crate::{
    queue::Side,
    ring::{
        Capacity, Consumer, Positions, Producer, Waiters, pass_on_to_reader, pass_on_to_writer,
        wake_readers, wake_writers,
    },
};
use loom::{cell::UnsafeCell, sync::Mutex, thread};

/// The bytes that one cell stands for. The smallest ring has two cells.
const UNIT: usize = 2048;

/// A value that a writer hands to a reader; it stands for [`UNIT`] bytes.
pub(super) type Value = u32;

/// A ring and its wait queues.
///
/// Threads share it by the standard library's `Arc`: the model checker's has more states, and does
/// not survive the end of a model that breaks.
pub(super) struct Ring {
    positions: Positions,
    producer: Mutex<Producer>,
    consumer: Mutex<Consumer>,
    cells: Vec<UnsafeCell<Value>>,
    pub(super) readers: Side,
    pub(super) writers: Side,
}

// SAFETY: A cell is used only by the thread that has reserved it or found it unread. If that is not
// so the model checker says it, and runs all threads on one in any case.
unsafe impl Sync for Ring {}

impl Ring {
    /// A ring of so many units that contains 1 to `values`.
    pub(super) fn new(units: usize, values: Value) -> Self {
        let capacity = Capacity::new((units * UNIT) as u64, 4096).unwrap();
        // The positions wrap in the middle of the ring.
        let start = 0u64.wrapping_sub(UNIT as u64);
        let ring = Self {
            positions: Positions::new(capacity, start),
            producer: Mutex::new(Producer::new(start)),
            consumer: Mutex::new(Consumer::new(start)),
            cells: (0..units).map(|_| UnsafeCell::new(0)).collect(),
            readers: Side::new(),
            writers: Side::new(),
        };
        for value in 1..=values {
            assert!(ring.write(&[value]));
        }
        ring
    }

    /// Writes all of `values`, or nothing if they do not fit, and wakes whom it has to.
    pub(super) fn write(&self, values: &[Value]) -> bool {
        let readers = Early::new(&self.readers);
        let mut producer = self.producer.lock().unwrap();
        let len = values.len() * UNIT;
        let Some(room) = producer.reserve(&self.positions, len, len) else {
            return false;
        };
        let first = room.span().offset / UNIT;
        let copy = || {
            for (index, value) in values.iter().enumerate() {
                self.cells[(first + index) % self.cells.len()].with_mut(|cell| {
                    // SAFETY: The room is ours, and the model checker watches.
                    unsafe { *cell = *value }
                });
            }
        };
        let published = if faulty(Fault::PublishBeforeCopy) {
            let published = room.publish(len);
            copy();
            published
        } else {
            copy();
            room.publish(len)
        };
        drop(producer);
        wake_readers(&self.positions, published, &readers);
        true
    }

    /// Reads a value if there is one, and wakes whom it has to.
    pub(super) fn read(&self) -> Option<Value> {
        let writers = Early::new(&self.writers);
        let mut consumer = self.consumer.lock().unwrap();
        let unread = consumer.unread(&self.positions, UNIT)?;
        let cell = unread.span().offset / UNIT;
        let copy = || {
            self.cells[cell].with(|cell| {
                // SAFETY: The bytes are ours, and the model checker watches.
                unsafe { *cell }
            })
        };
        let (value, released) = if faulty(Fault::ReleaseBeforeCopy) {
            let released = unread.release(UNIT);
            (copy(), released)
        } else {
            (copy(), unread.release(UNIT))
        };
        drop(consumer);
        wake_writers(&self.positions, released, &writers);
        Some(value)
    }

    /// Writes all of `values` at once, and sleeps while they do not fit.
    pub(super) fn write_sleeping(&self, values: &[Value]) {
        while !self.write(values) {
            self.sleep_as_writer(values.len(), Signal::None);
        }
        self.leave_as_writer();
    }

    /// Reads a value, and sleeps while there is none.
    pub(super) fn read_sleeping(&self) -> Value {
        let value = loop {
            match self.read() {
                Some(value) => break value,
                None => self.sleep_as_reader(Signal::None),
            }
        };
        self.leave_as_reader();
        value
    }

    /// Waits for room for so many values, once.
    pub(super) fn sleep_as_writer(&self, values: usize, signal: Signal) {
        let needs = values * UNIT;
        sleep(&self.writers, needs, signal, || {
            self.positions.room() < needs
        });
    }

    /// Waits for a value, once.
    pub(super) fn sleep_as_reader(&self, signal: Signal) {
        sleep(&self.readers, 1, signal, || self.positions.unread() == 0);
    }

    /// A writer leaves, whatever it has done.
    pub(super) fn leave_as_writer(&self) {
        if !faulty(Fault::KeepWakeUp) {
            pass_on_to_writer(&self.positions, &self.writers);
        }
    }

    /// A reader leaves, whatever it has done.
    pub(super) fn leave_as_reader(&self) {
        if !faulty(Fault::KeepWakeUp) {
            pass_on_to_reader(&self.positions, &self.readers);
        }
    }

    /// Polls until there are `least` values.
    pub(super) fn poll_readable(&self, least: usize) {
        poll(&self.readers, || {
            if faulty(Fault::PositionsSwapped) {
                // The same difference from the same positions, but with the head loaded first.
                self.positions.capacity().bytes() - self.positions.room() < least * UNIT
            } else {
                self.positions.unread() < least * UNIT
            }
        });
    }

    /// Polls until a value fits.
    pub(super) fn poll_writable(&self) {
        poll(&self.writers, || {
            if faulty(Fault::PositionsSwapped) {
                self.positions.capacity().bytes() == self.positions.unread()
            } else {
                self.positions.room() == 0
            }
        });
    }
}

/// Whether a signal is pending for a thread that wants to sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    None,
    Pending,
}

fn sleep(side: &Side, needs: usize, signal: Signal, must_wait: impl Fn() -> bool) {
    let early = faulty(Fault::LookBeforeJoin).then(&must_wait);
    side.sleepers.join(needs);
    if early.unwrap_or_else(&must_wait) && signal == Signal::None {
        thread::park();
    }
    side.sleepers.leave();
}

fn poll(side: &Side, must_wait: impl Fn() -> bool) {
    let mut early = faulty(Fault::LookBeforeJoin).then(&must_wait);
    side.pollers.join(1);
    while early.take().unwrap_or_else(&must_wait) {
        thread::park();
    }
    side.pollers.leave();
}

/// Those who wait, as whoever hands over sees them: when asked, or with
/// [`Fault::QueuesBeforeHandOver`] as they were when this was made.
struct Early<'a> {
    side: &'a Side,
    before: Option<(bool, bool)>,
}

impl<'a> Early<'a> {
    fn new(side: &'a Side) -> Self {
        Self {
            side,
            before: faulty(Fault::QueuesBeforeHandOver)
                .then(|| (side.has_sleepers(), side.has_pollers())),
        }
    }
}

impl Waiters for Early<'_> {
    fn has_sleepers(&self) -> bool {
        self.before
            .map_or_else(|| self.side.has_sleepers(), |(sleepers, _)| sleepers)
    }

    fn wake_sleeper(&self, bytes: usize) {
        self.side.wake_sleeper(bytes);
    }

    fn has_pollers(&self) -> bool {
        self.before
            .map_or_else(|| self.side.has_pollers(), |(_, pollers)| pollers)
    }

    fn wants_every_edge(&self) -> bool {
        self.side.wants_every_edge()
    }

    fn wake_pollers(&self) {
        self.side.wake_pollers();
    }
}
