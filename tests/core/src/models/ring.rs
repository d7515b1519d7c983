// SPDX-License-Identifier: GPL-2.0

//! A ring whose bytes are cells that the model checker watches.

use super::{Fault, faulty};
use crate::{
    queue::{Side, Turn},
    ring::{
        Attributes, Capacity, Cursor, Delivery, Mark, Missed, Place, Positions, Producer, View,
        Waiters, Words, pass_on_to_reader, pass_on_to_writer, wake_readers, wake_writers,
    },
};
use loom::{cell::UnsafeCell, sync::Mutex, thread};
use std::cell::Cell;

/// The bytes that one cell stands for. The smallest ring has two cells.
pub(super) const UNIT: usize = 2048;

/// Where the positions begin: they wrap in the middle of the smallest ring.
pub(super) const START: u64 = 0u64.wrapping_sub(UNIT as u64);

/// Further from the head than any sleeper needs.
const ENOUGH: u64 = 1 << 62;

/// The capacity of a ring of so many units.
pub(super) fn capacity(units: usize) -> Capacity {
    Capacity::new((units * UNIT) as u64, 4096).unwrap()
}

/// The words of a ring without headers.
pub(super) struct NoWords;

impl Words for NoWords {
    fn load(&self, _: u64) -> u64 {
        0
    }

    fn store(&self, _: u64, _: u64) {}
}

/// A value that a writer hands to a reader; it stands for [`UNIT`] bytes.
pub(super) type Value = u32;

/// A cursor and its mark.
struct Reader {
    mark: Mark,
    missed: Missed,
    cursor: Mutex<Cursor>,
}

/// A ring whose writers wait, and its wait queues.
///
/// Threads share it by the standard library's `Arc`: the model checker's has more states, and does
/// not survive the end of a model that breaks.
pub(super) struct Ring {
    attributes: Attributes,
    positions: Positions,
    producer: Mutex<Producer>,
    cursors: Vec<Reader>,
    /// The lock of all cursors.
    list: Mutex<()>,
    cells: Vec<UnsafeCell<Value>>,
    pub(super) readers: Side,
    pub(super) writers: Side,
}

// SAFETY: A cell is used only by the thread that has reserved it or found it unread. If that is not
// so the model checker says it, and runs all threads on one in any case.
unsafe impl Sync for Ring {}

impl Ring {
    /// A ring of so many units that contains 1 to `values`, for readers that compete.
    pub(super) fn new(units: usize, values: Value) -> Self {
        Self::with(Attributes::STREAM, units, values, 1)
    }

    /// The same for so many readers, of which each has a cursor.
    pub(super) fn broadcast(units: usize, values: Value, readers: usize) -> Self {
        let attributes = Attributes {
            delivery: Delivery::Broadcast,
            ..Attributes::STREAM
        };
        Self::with(attributes, units, values, readers)
    }

    fn with(attributes: Attributes, units: usize, values: Value, cursors: usize) -> Self {
        let capacity = capacity(units);
        let cursor = || Reader {
            mark: Mark::new(START),
            missed: Missed::new(),
            cursor: Mutex::new(Cursor::new(attributes, capacity, Place::first(START))),
        };
        let ring = Self {
            attributes,
            positions: Positions::new(capacity, START),
            producer: Mutex::new(Producer::new(attributes, capacity, START)),
            cursors: (0..cursors).map(|_| cursor()).collect(),
            list: Mutex::new(()),
            cells: (0..units).map(|_| UnsafeCell::new(0)).collect(),
            readers: Side::new(match attributes.delivery {
                Delivery::Shared => Turn::One,
                Delivery::Broadcast => Turn::Everybody,
            }),
            writers: Side::new(Turn::One),
        };
        for value in 1..=values {
            assert!(ring.write(&[value]));
        }
        ring
    }

    /// The number of the cell at `position`.
    fn cell(&self, position: u64) -> usize {
        position as usize / UNIT % self.cells.len()
    }

    /// Writes all of `values`, or nothing if they do not fit, and wakes whom it has to.
    pub(super) fn write(&self, values: &[Value]) -> bool {
        let readers = Early::new(&self.readers);
        let mut producer = self.producer.lock().unwrap();
        let len = values.len() * UNIT;
        let Some(room) = producer.reserve(&self.positions, len, len) else {
            return false;
        };
        let first = self.cell(room.span().position);
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
        wake_readers(&self.positions, &self.attributes, published, &readers);
        true
    }

    /// Reads a value if there is one, and wakes whom it has to.
    pub(super) fn read(&self) -> Option<Value> {
        self.read_at(0)
    }

    /// The same for the reader with this number.
    pub(super) fn read_at(&self, reader: usize) -> Option<Value> {
        let writers = Early::new(&self.writers);
        let mut cursor = self.cursors[reader].cursor.lock().unwrap();
        let unread = cursor.unread(self.view(reader), UNIT)?;
        let cell = self.cell(unread.span().position);
        let copy = || {
            self.cells[cell].with(|cell| {
                // SAFETY: The bytes are ours, and the model checker watches.
                unsafe { *cell }
            })
        };
        let furthest = faulty(Fault::MinimumBeforeMark).then(|| self.furthest());
        let (value, released) = if faulty(Fault::ReleaseBeforeCopy) {
            let released = unread.release(UNIT);
            (copy(), released)
        } else {
            (copy(), unread.release(UNIT))
        };
        drop(cursor);
        let released = if self.attributes.cursor_is_tail() {
            released.ok()
        } else {
            let list = (!faulty(Fault::MinimumWithoutLock)).then(|| self.list.lock().unwrap());
            let furthest = furthest.unwrap_or_else(|| self.furthest());
            let released = self.positions.advance_tail(furthest);
            drop(list);
            released
        };
        if let Some(released) = released {
            wake_writers(&self.positions, &self.attributes, released, &writers);
        }
        Some(value)
    }

    /// Gives up everything that has not been read, and wakes whom it has to.
    pub(super) fn clear(&self) {
        let writers = Early::new(&self.writers);
        let producer = self.producer.lock().unwrap();
        let newest = producer.newest();
        let mut last = None;
        for (index, reader) in self.cursors.iter().enumerate() {
            let mut cursor = reader.cursor.lock().unwrap();
            last = Some(cursor.clear(self.view(index), newest));
        }
        if !self.attributes.cursor_is_tail() {
            let _list = self.list.lock().unwrap();
            last = self.positions.advance_tail(newest.position);
        }
        drop(producer);
        if let Some(released) = last {
            wake_writers(&self.positions, &self.attributes, released, &writers);
        }
    }

    /// Where the cursor is that is furthest behind.
    fn furthest(&self) -> u64 {
        let marks = self.cursors.iter().map(|reader| reader.mark.finished());
        marks.min_by_key(|mark| mark.wrapping_sub(START)).unwrap()
    }

    fn mark(&self, reader: usize) -> &Mark {
        self.view(reader).mark
    }

    fn view(&self, reader: usize) -> View<'_> {
        let Reader { mark, missed, .. } = &self.cursors[reader];
        View::new(self.attributes, &self.positions, mark, missed)
    }

    /// Writes all of `values` at once, and sleeps while they do not fit.
    pub(super) fn write_sleeping(&self, values: &[Value]) {
        while !self.write(values) {
            self.sleep_as_writer(values.len(), Signal::None);
        }
        self.leave_as_writer();
    }

    /// As [`Ring::write_sleeping`], beside readers that wait for more than it can bring.
    pub(super) fn write_urging(&self, values: &[Value]) {
        let needs = values.len() * UNIT;
        let urged = Cell::new(false);
        while !self.write(values) {
            sleep(&self.writers, needs as u64, Signal::None, || {
                let must_wait = self.positions.room() < needs;
                if must_wait && !(urged.get() && faulty(Fault::UrgeOnce)) {
                    urged.set(true);
                    let enough = self.positions.head().wrapping_add(ENOUGH);
                    self.readers.wake_everybody(enough);
                }
                // That takes a lock, and the model checker forgets who was woken meanwhile.
                must_wait && (faulty(Fault::LookBeforeJoin) || self.writers.sleepers.has_me())
            });
        }
        self.leave_as_writer();
    }

    /// Reads a value once there are `enough`, or there is one and a writer waits.
    pub(super) fn read_at_watermark(&self, enough: usize) -> Value {
        let mark = self.mark(0);
        let must_wait = || {
            let unread = self.positions.unread(mark);
            unread == 0 || (unread < enough * UNIT && !self.writers.has_sleepers())
        };
        while must_wait() {
            let nothing = self.positions.unread(mark) == 0;
            let needs = if nothing { 1 } else { (enough * UNIT) as u64 };
            let needs = mark.load().wrapping_add(needs);
            sleep(&self.readers, needs, Signal::None, || {
                // From nothing to something: to sleep on for more.
                must_wait() && (self.positions.unread(mark) == 0) == nothing
            });
        }
        self.read().unwrap()
    }

    /// Reads a value, and sleeps while there is none.
    pub(super) fn read_sleeping(&self) -> Value {
        let value = self.read_sleeping_at(0);
        self.leave_as_reader();
        value
    }

    /// The same for the reader with this number, which has nothing to pass on.
    pub(super) fn read_sleeping_at(&self, reader: usize) -> Value {
        loop {
            match self.read_at(reader) {
                Some(value) => break value,
                None => self.sleep_as_reader_at(reader, Signal::None),
            }
        }
    }

    /// Waits for room for so many values, once.
    pub(super) fn sleep_as_writer(&self, values: usize, signal: Signal) {
        let needs = values * UNIT;
        sleep(&self.writers, needs as u64, signal, || {
            self.positions.room() < needs
        });
    }

    /// Waits for a value, once.
    pub(super) fn sleep_as_reader(&self, signal: Signal) {
        self.sleep_as_reader_at(0, signal);
    }

    fn sleep_as_reader_at(&self, reader: usize, signal: Signal) {
        let mark = self.mark(reader);
        let needs = mark.load().wrapping_add(1);
        sleep(&self.readers, needs, signal, || {
            self.positions.unread(mark) == 0
        });
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
            pass_on_to_reader(&self.positions, self.mark(0), &self.readers);
        }
    }

    /// Polls until there are `least` values, and wants to be told of each hand-over, or of edges.
    pub(super) fn poll_readable(&self, least: usize, edges: Edges) {
        poll(&self.readers, edges, || {
            if faulty(Fault::PositionsSwapped) {
                // The same difference from the same positions, but with the head loaded first.
                self.positions.capacity().bytes() - self.positions.room() < least * UNIT
            } else {
                self.positions.unread(self.mark(0)) < least * UNIT
            }
        });
    }

    /// Polls until any write fits.
    pub(super) fn poll_writable(&self) {
        let capacity = self.positions.capacity();
        let needed = self.attributes.max_needed(capacity);
        poll(&self.writers, Edges::Real, || {
            if faulty(Fault::PositionsSwapped) {
                capacity.bytes() - self.positions.unread(self.mark(0)) < needed
            } else {
                self.positions.room() < needed
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

fn sleep(side: &Side, needs: u64, signal: Signal, must_wait: impl Fn() -> bool) {
    let early = faulty(Fault::LookBeforeJoin).then(&must_wait);
    side.sleepers.join(needs);
    if early.unwrap_or_else(&must_wait) && signal == Signal::None {
        thread::park();
    }
    side.sleepers.leave();
}

/// What a poller wants to be told of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// From nothing to something.
    Real,
    /// Each hand-over.
    Every,
}

fn poll(side: &Side, edges: Edges, must_wait: impl Fn() -> bool) {
    let mut early = faulty(Fault::LookBeforeJoin).then(&must_wait);
    side.pollers.join(1);
    if edges == Edges::Every && !faulty(Fault::ConcealEveryEdge) {
        side.want_every_edge();
    }
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

    fn wake_sleepers(&self, there_is: u64) {
        self.side.wake_sleepers(there_is);
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
