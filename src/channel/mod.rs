// SPDX-License-Identifier: GPL-2.0

//! A ring as the kernel holds it: the core of `ring/` with memory, locks, and wait queues.
//!
//! Here a read and a write are put together from their parts: find a range, copy, hand over, wake,
//! sleep. What is called when belongs to `endpoint.rs`, how rings are made and found to
//! `control.rs`.
//!
//! # Locks
//!
//! - `endpoints`, a mutex: those who open and close endpoints, among each other. A ring that hangs
//!   up ends its session inside it.
//! - `producer`, a mutex: writers among each other.
//! - `cursors`, a mutex: which cursors there are. Where readers compete there is one for ever, and
//!   whoever reads or writes does not take this lock.
//! - `Reader::cursor`, a mutex for each cursor: those who read at it, among each other.
//!
//! Reading and writing take one of them at a time. Whoever changes a ring as a whole (resize,
//! clear, seek, statistics) takes them in this order, and never two cursors at once. Under
//! `producer` and `cursor` bytes are copied: of a stream or a batch at most [`COPY_MAX`] at a time,
//! of a record all, and to another memory, when the ring is resized, all there are. Where data are
//! overwritten, the headers of those that are given up are looked at. No page fault is served,
//! nothing is allocated, nobody is woken, and nobody sleeps, so that no process can make another
//! wait for longer than that takes. The locks inside the wait queues are taken with none of these
//! held.
//!
//! A writer and a reader meet in the positions alone; `ring/ordering.rs` lists how.

mod read;
mod side;
mod watermark;
mod write;

pub(crate) use read::Batch;
pub(crate) use side::{
    Pollers,
    Side, //
};
pub(crate) use watermark::Watermark;

use watermark::Gauge;

use crate::{
    ring::{
        self,
        Attributes,
        Capacity,
        Cursor,
        Delivery,
        Framing,
        Mark,
        Missed,
        Place,
        Positions,
        Producer,
        Received,
        Released,
        View,
        Waiters,
        Words,
        Written, //
    },
    staging::{
        compat::{
            ENODATA,
            ESHUTDOWN, //
        },
        fasync::Band,
        file::Access,
        mirror::Mirror,
        poll::Events,
        trace::{
            self,
            Label, //
        },
        wait::Turn, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            AtomicFlag,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};

/// The most of a stream that is copied with a lock held, and then handed over.
const COPY_MAX: usize = 128 * 1024;

/// How often in a row a page may be made present and be gone again when it is copied. Memory that
/// can be made present and still not be copied would otherwise keep a thread busy for ever.
const FAULTS_MAX: u32 = 16;

/// The number of the cursor that readers compete at.
const SHARED: u64 = 0;

impl Words for Mirror {
    #[inline]
    fn load(&self, position: u64) -> u64 {
        let [word] = self.load_words(position);
        word
    }

    #[inline]
    fn store(&self, position: u64, word: u64) {
        self.store_words(position, [word]);
    }

    #[inline]
    fn load_all<const N: usize>(&self, position: u64) -> [u64; N] {
        self.load_words(position)
    }

    #[inline]
    fn store_all<const N: usize>(&self, position: u64, words: [u64; N]) {
        self.store_words(position, words);
    }
}

/// What the holder of the writers' lock has.
struct Writing {
    core: Producer,
    data: Arc<Mirror>,
    /// The ring was destroyed. The same as [`Channel::destroyed`], and no atomic access.
    refused: bool,
}

/// What the holder of a cursor's lock has.
struct Reading {
    core: Cursor,
    /// The writers' data, except while the ring is being resized: then they are what the writers
    /// had, and still the same up to the head, which does not move meanwhile.
    ///
    /// `None` from when the cursor is evicted, so that it does not keep memory that its ring has
    /// given back. The same as [`Reader::evicted`].
    data: Option<Arc<Mirror>>,
    /// Nobody writes any more: whoever reads the last has those who poll look again, as only then
    /// the end has come.
    ending: bool,
}

impl Reading {
    /// Returns what a read needs. `ESHUTDOWN` if the cursor was evicted.
    #[inline]
    fn attached(&mut self) -> Result<(&mut Cursor, &Mirror)> {
        let data = self.data.as_deref().ok_or(ESHUTDOWN)?;
        Ok((&mut self.core, data))
    }
}

/// A cursor of a ring: that of all readers together, or that of an endpoint.
#[pin_data]
pub(crate) struct Reader {
    /// Its number.
    id: u64,
    /// Where it is, unless it is the tail; see [`Attributes::cursor_is_tail`].
    mark: Mark,
    #[pin]
    cursor: Mutex<Reading>,
    /// It was taken from its endpoint. Changed with the cursor's lock held.
    evicted: AtomicFlag,
    missed: Missed,
    /// Those who poll there. (Those who sleep are told apart by the number.)
    pollers: Pollers,
    #[pin]
    gauge: Gauge,
}

impl Reader {
    fn new(
        id: u64,
        core: Cursor,
        position: u64,
        data: Option<Arc<Mirror>>,
        pollers: Pollers,
    ) -> Result<Arc<Self>> {
        let gauge = Gauge::new(pollers.clone())?;
        let reading = Reading {
            core,
            data,
            ending: false,
        };
        Arc::pin_init(
            pin_init!(Self {
                id,
                mark: Mark::new(position),
                cursor <- new_mutex!(reading, "ringdev_cursor"),
                evicted: AtomicFlag::new(false),
                missed: Missed::new(),
                pollers,
                gauge <- gauge,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Locks the cursor. `ESHUTDOWN` if it was evicted.
    fn lock(&self) -> Result<MutexGuard<'_, Reading>> {
        let mut cursor = self.cursor.lock();
        cursor.attached()?;
        Ok(cursor)
    }

    /// Those who poll there.
    pub(crate) fn pollers(&self) -> &Pollers {
        &self.pollers
    }

    /// Whether it was evicted, for a thread that does not hold its lock.
    fn is_evicted(&self) -> bool {
        self.evicted.load(Relaxed)
    }
}

/// What an endpoint reads with: its cursor, and what it knows of the writers before it.
pub(crate) struct ReadEnd {
    pub(crate) reader: Arc<Reader>,
    /// As many of [`Channel::writers_opened`] had left when it was opened.
    writers_before: u64,
}

/// Who may write yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WritersLeft {
    /// Somebody, now or later.
    Present,
    /// Nobody so far, of so many that have been opened; but there may be another.
    Left(u64),
    /// Nobody, as the ring was destroyed.
    Refused,
}

/// A ring.
#[pin_data]
pub(crate) struct Channel {
    /// What events call it.
    label: Label,
    attributes: Attributes,
    at_once: AtOnce,
    positions: Positions,
    #[pin]
    producer: Mutex<Writing>,
    /// The cursor that readers compete at, if they do.
    shared: Option<Arc<Reader>>,
    /// The cursors of those who do not.
    #[pin]
    cursors: Mutex<Cursors>,
    /// Those who wait for something to read. The alarms of cursors have it, too.
    readers: Arc<Side>,
    /// Those who wait for room to write.
    #[pin]
    writers: Side,
    /// The three numbers below change with this lock held.
    #[pin]
    endpoints: Mutex<()>,
    /// Endpoints that are open for reading.
    endpoints_reading: Atomic<u32>,
    /// Endpoints that are open for writing.
    endpoints_writing: Atomic<u32>,
    /// Endpoints that have been opened for writing so far.
    writers_opened: Atomic<u64>,
    /// It has no name any more: nothing can be written, and what is there is the last.
    destroyed: AtomicFlag,
    /// A cursor has had a watermark.
    has_watermarks: AtomicFlag,
    next_cursor: Atomic<u64>,
}

/// The longest read and write that is tried the shortest way, which is there for rings whose
/// readers compete, whose writers wait, and which persist: [`COPY_MAX`], or 0 if the ring is
/// another one. One comparison tells in a call whether it is tried.
#[derive(Clone, Copy)]
struct AtOnce {
    /// Bytes of a stream.
    bytes: usize,
    /// Bytes of a record.
    record: usize,
}

impl AtOnce {
    fn of(attributes: Attributes) -> Self {
        const RECORDS: Attributes = Attributes {
            framing: Framing::Record,
            ..Attributes::STREAM
        };
        let (bytes, record) = match attributes {
            Attributes::STREAM => (COPY_MAX, 0),
            RECORDS => (0, COPY_MAX),
            _ => (0, 0),
        };
        Self { bytes, record }
    }

    /// Whether `len` is not 0, and at most `longest`.
    #[inline]
    fn includes(longest: usize, len: usize) -> bool {
        len.wrapping_sub(1) < longest
    }
}

/// Where a cursor may be moved to.
#[derive(Clone, Copy)]
pub(crate) enum Seek {
    /// The oldest data that are still there.
    Oldest,
    /// Where the next data will be.
    Newest,
}

/// The cursors of a ring whose readers each see everything.
struct Cursors {
    list: KVec<Arc<Reader>>,
    /// What [`Reading::ending`] is in all of them.
    ending: bool,
    /// What has been read at those that are not in the list any more.
    departed: Received,
}

/// What a ring tells of itself.
pub(crate) struct Statistics {
    pub(crate) capacity: u64,
    pub(crate) readers: u32,
    pub(crate) writers: u32,
    /// Bytes that the cursor furthest behind has not read.
    pub(crate) unread: u64,
    /// The most that they were seen to be.
    pub(crate) high_water: u64,
    pub(crate) written: Written,
    /// By all readers together; what was lost, by the shared cursor.
    pub(crate) received: Received,
    pub(crate) reader_sleeps: u64,
    pub(crate) reader_wakes: u64,
    pub(crate) writer_sleeps: u64,
    pub(crate) writer_wakes: u64,
}

/// What a cursor tells of itself.
pub(crate) struct CursorStatistics {
    pub(crate) id: u64,
    pub(crate) unread: u64,
    pub(crate) received: Received,
    pub(crate) watermark: Watermark,
}

/// What a ring keeps its data in.
pub(crate) struct Memory {
    capacity: Capacity,
    data: Arc<Mirror>,
}

impl Memory {
    /// Finds it and zeroes it, which takes long if it is much. `ENOMEM`. May sleep.
    pub(crate) fn new(capacity: Capacity) -> Result<Self> {
        let data = Arc::new(Mirror::new(capacity.bytes())?, GFP_KERNEL_ACCOUNT)?;
        Ok(Self { capacity, data })
    }
}

impl Channel {
    /// Makes an empty ring. `ENOMEM` if there is no memory, and then nothing is left of it.
    ///
    /// May sleep.
    pub(crate) fn new(
        label: Label,
        attributes: Attributes,
        Memory { capacity, data }: Memory,
    ) -> Result<impl PinInit<Self>> {
        const START: u64 = 0;

        let turn = match attributes.delivery {
            Delivery::Shared => Turn::One,
            Delivery::Broadcast => Turn::Everybody,
        };
        let readers = Side::new(label, Events::READABLE, Band::In, turn);
        let readers = Arc::pin_init(readers, GFP_KERNEL_ACCOUNT)?;
        if attributes.overwrites() {
            // What is written may have put an end to what was there before, for some.
            readers.have_pollers_look();
        }
        let shared = match attributes.delivery {
            Delivery::Shared => {
                let cursor = Cursor::new(attributes, capacity, Place::first(START));
                let pollers = Pollers::All(readers.clone());
                let data = Some(data.clone());
                Some(Reader::new(SHARED, cursor, START, data, pollers)?)
            }
            Delivery::Broadcast => None,
        };
        let writers = Side::new(label, Events::WRITABLE, Band::Out, Turn::One);
        let core = Producer::new(attributes, capacity, START);
        let cursors = Cursors {
            list: KVec::new(),
            ending: false,
            departed: Received::default(),
        };
        let at_once = AtOnce::of(attributes);
        Ok(pin_init!(Self {
            label,
            attributes,
            at_once,
            positions: Positions::new(capacity, START),
            producer <- new_mutex!(Writing { core, data, refused: false }, "ringdev_producer"),
            shared,
            cursors <- new_mutex!(cursors, "ringdev_cursors"),
            readers,
            writers <- writers,
            endpoints <- new_mutex!((), "ringdev_endpoints"),
            endpoints_reading: Atomic::new(0),
            endpoints_writing: Atomic::new(0),
            writers_opened: Atomic::new(0),
            destroyed: AtomicFlag::new(false),
            has_watermarks: AtomicFlag::new(false),
            next_cursor: Atomic::new(SHARED + 1),
        }))
    }

    /// What the ring is like.
    pub(crate) fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Opens an endpoint. Returns what it reads with, if it reads.
    ///
    /// `ENODEV` if the ring was destroyed, `ENOMEM`. Takes locks that are held for short.
    pub(crate) fn open(&self, access: Access) -> Result<Option<ReadEnd>> {
        // The cursor comes first because creating it may fail. If the endpoint were counted
        // already, readers would see a writer leave and the session end.
        let reader = match (access.read, &self.shared) {
            (false, _) => None,
            (true, Some(shared)) => Some(shared.clone()),
            (true, None) => Some(self.join()?),
        };
        match (self.enter(access), reader) {
            (Ok(writers_before), reader) => Ok(reader.map(|reader| ReadEnd {
                reader,
                writers_before,
            })),
            (Err(error), Some(reader)) if self.is_broadcast() => {
                self.part(&reader);
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Closes an endpoint, which reads with `end` if it reads.
    ///
    /// In a ring that hangs up, the last endpoint of both sides ends the session: what nobody has
    /// read counts as lost.
    pub(crate) fn close(&self, access: Access, end: Option<&ReadEnd>) {
        if let (Some(end), Delivery::Broadcast) = (end, self.attributes.delivery) {
            self.part(&end.reader);
        }
        self.leave(access);
    }

    /// Counts an endpoint that is being opened. Returns how many writers had left by then.
    fn enter(&self, access: Access) -> Result<u64> {
        let _endpoints = self.endpoints.lock();
        if self.destroyed.load(Relaxed) {
            return Err(ENODEV);
        }
        let opened = self.writers_opened.load(Relaxed);
        let writing = self.endpoints_writing.load(Relaxed);
        if access.read {
            let reading = self.endpoints_reading.load(Relaxed);
            self.endpoints_reading.store(reading + 1, Relaxed);
        }
        if access.write {
            if self.attributes.hangup && writing == 0 {
                self.set_ending(false);
            }
            // In this order: `writers_of` takes no writer that is being opened for one that left.
            self.endpoints_writing.store(writing + 1, Relaxed);
            self.writers_opened.store(opened.wrapping_add(1), Release);
        }
        // A writer that is still open is one that a reader will see leave.
        Ok(opened.wrapping_sub((writing > 0).into()))
    }

    /// Takes an endpoint that is being closed out of the count, and tells those whom it leaves
    /// alone.
    fn leave(&self, access: Access) {
        let endpoints = self.endpoints.lock();
        let reading = self.endpoints_reading.load(Relaxed) - u32::from(access.read);
        let writing = self.endpoints_writing.load(Relaxed) - u32::from(access.write);
        self.endpoints_reading.store(reading, Relaxed);
        // After what was written: `writers_of`.
        self.endpoints_writing.store(writing, Release);
        let is_last_reader = self.attributes.hangup && access.read && reading == 0;
        let is_writers_of = self.attributes.hangup && access.write && writing == 0;
        if is_writers_of {
            self.set_ending(true);
        }
        if self.attributes.hangup && reading == 0 && writing == 0 {
            // Whoever opens it next finds it empty: it waits for the lock.
            self.discard();
        }
        drop(endpoints);
        // The locks of the queues are taken after the counts were changed: whoever joins a queue
        // later sees them.
        if is_last_reader {
            self.writers.announce();
        }
        if is_writers_of {
            self.readers.announce();
        }
    }

    /// Says to all cursors whether somebody may still write.
    fn set_ending(&self, ending: bool) {
        let mut cursors = self.cursors.lock();
        cursors.ending = ending;
        for reader in self.all(&cursors) {
            reader.cursor.lock().ending = ending;
        }
    }

    /// Ends a session: gives up what has not been read, as nobody is there to read it or to be told
    /// of it. It counts as lost.
    fn discard(&self) {
        let mut producer = self.producer.lock();
        let newest = producer.core.newest();
        if self.attributes.overwrites() {
            producer
                .core
                .give_up_before(&self.positions, newest.position);
        }
        let cursors = self.cursors.lock();
        for reader in self.all(&cursors) {
            let mut cursor = reader.cursor.lock();
            let before = cursor.core.noticed();
            let view = self.view(reader);
            cursor.core.seek(view, newest, newest);
            let _ = cursor.core.tell(view, newest);
            self.unlock(reader, cursor, before);
            reader.gauge.restart();
        }
        let released = if self.tail_follows_cursors() {
            self.positions.advance_tail(newest.position)
        } else {
            None
        };
        drop(cursors);
        drop(producer);
        // Nobody has it open, and nobody waits. Not even a file that is being closed polls.
        let _ = released;
    }

    /// Creates a cursor for a reader that sees everything from the oldest data on.
    fn join(&self) -> Result<Arc<Reader>> {
        let core = Cursor::new(self.attributes, self.positions.capacity(), Place::first(0));
        let id = self.next_cursor.fetch_add(1, Relaxed);
        let reader = Reader::new(id, core, 0, None, Pollers::own(&self.readers)?)?;
        loop {
            self.reserve_cursor()?;
            let producer = self.producer.lock();
            let mut cursors = self.cursors.lock();
            let ending = cursors.ending;
            let list = &mut cursors.list;
            if list.len() == list.capacity() {
                // Another reader was quicker.
                continue;
            }
            let mut cursor = reader.cursor.lock();
            cursor.data = Some(producer.data.clone());
            cursor.ending = ending;
            cursor.core.set_capacity(producer.core.capacity());
            // What was overwritten before it came it has not lost.
            let oldest = self.oldest(&producer);
            let first = Place::first(0);
            cursor.core.seek(self.view(&reader), oldest, first);
            drop(cursor);
            // From now on the tail waits for it.
            list.push_within_capacity(reader.clone())
                .map_err(|_| ENOMEM)?;
            return Ok(reader);
        }
    }

    /// Makes room in the list of cursors for one more. Allocates with no lock held.
    fn reserve_cursor(&self) -> Result {
        let mut larger = KVec::new();
        loop {
            let mut cursors = self.cursors.lock();
            let list = &mut cursors.list;
            if list.len() < list.capacity() {
                return Ok(());
            }
            if larger.capacity() > list.len() {
                for reader in list.drain_all() {
                    larger.push_within_capacity(reader).map_err(|_| ENOMEM)?;
                }
                core::mem::swap(list, &mut larger);
                return Ok(());
            }
            let needed = list.len() + list.len() / 2 + 1;
            drop(cursors);
            larger = KVec::with_capacity(needed, GFP_KERNEL_ACCOUNT)?;
        }
    }

    /// Where the oldest data begin.
    fn oldest(&self, producer: &Writing) -> Place {
        producer.core.oldest(&self.positions, &*producer.data)
    }

    /// Takes the cursor of an endpoint that is being closed out of the list.
    fn part(&self, reader: &Reader) {
        let mut cursors = self.cursors.lock();
        let index = cursors.list.iter().position(|other| other.id == reader.id);
        let released = index.and_then(|index| {
            let cursor = reader.cursor.lock();
            self.remove(&mut cursors, index, &cursor.core)
        });
        drop(cursors);
        self.wake_writers(released);
    }

    /// Takes the cursor at `index` out of the list. What was read there stays read, and the tail
    /// does not wait for it any more.
    ///
    /// With the lock of the list held, and that of the cursor: in one critical section, as whoever
    /// moves the tail between two of them would take what was read for unread, or the reverse.
    fn remove(&self, cursors: &mut Cursors, index: usize, cursor: &Cursor) -> Option<Released> {
        // While it is in the list: where there is no other, the tail stays there.
        let read = self.move_tail(cursors);
        if cursors.list.remove(index).is_ok() {
            cursors.departed = cursors.departed.add(cursor.read());
        }
        let rest = self.move_tail(cursors);
        read.or(rest)
    }

    /// Takes the cursor `id` away from the endpoint that reads there. `ENOENT` if there is none.
    ///
    /// What the endpoint has not read stays for the next reader if there is no other. `EINVAL`
    /// where readers compete: that cursor is the ring's.
    pub(crate) fn evict(&self, id: u64) -> Result {
        if self.attributes.delivery == Delivery::Shared {
            return Err(EINVAL);
        }
        let producer = self.producer.lock();
        let mut cursors = self.cursors.lock();
        let index = cursors.list.iter().position(|reader| reader.id == id);
        let index = index.ok_or(ENOENT)?;
        let reader = cursors.list.get(index).ok_or(ENOENT)?.clone();
        // With its lock held nobody is in the middle of a read that has looked before: what is at
        // the cursor may be overwritten from now on.
        let mut cursor = reader.cursor.lock();
        let before = cursor.core.noticed();
        let oldest = self.oldest(&producer);
        let released = self.remove(&mut cursors, index, &cursor.core);
        // What was lost so far stays its loss, and nothing is added to it.
        let newest = producer.core.newest();
        cursor.core.seek(self.view(&reader), newest, oldest);
        let data = cursor.data.take();
        reader.evicted.store(true, Relaxed);
        self.unlock(&reader, cursor, before);
        drop(cursors);
        drop(producer);
        // It may be the last reference, after a resize.
        drop(data);
        self.wake_writers(released);
        self.look_again(&reader);
        // Who of them it was that the signals are for, the list does not say.
        self.readers.signal();
        Ok(())
    }

    /// Moves the cursor of an endpoint to the oldest data, or to where the next will be.
    ///
    /// `ESPIPE` where readers compete, `ESHUTDOWN` if the cursor was evicted.
    pub(crate) fn seek(&self, reader: &Reader, to: Seek) -> Result {
        if self.attributes.delivery == Delivery::Shared {
            return Err(ESPIPE);
        }
        let producer = self.producer.lock();
        // The tail does not move meanwhile.
        let cursors = self.cursors.lock();
        let mut cursor = reader.lock()?;
        let before = cursor.core.noticed();
        let oldest = self.oldest(&producer);
        let place = match to {
            Seek::Oldest => oldest,
            Seek::Newest => producer.core.newest(),
        };
        cursor.core.seek(self.view(reader), place, oldest);
        self.unlock(reader, cursor, before);
        drop(cursors);
        drop(producer);
        reader.gauge.restart();
        self.advance_tail();
        // Whoever waits on the same endpoint looks at the new place.
        self.look_again(reader);
        Ok(())
    }

    /// The ring has lost its name: writers are refused from now on, and readers find an end when
    /// they have read what is there.
    pub(crate) fn destroy(&self) {
        let endpoints = self.endpoints.lock();
        // With the lock held nobody is in the middle of a write that has looked before.
        let mut producer = self.producer.lock();
        producer.refused = true;
        // Whoever sees it sees all that was written before: `is_at_end`.
        self.destroyed.store(true, Release);
        drop(producer);
        self.set_ending(true);
        drop(endpoints);
        self.readers.announce();
        self.writers.announce();
    }

    /// Gives up everything that has not been read. It counts as lost.
    pub(crate) fn clear(&self) {
        let mut producer = self.producer.lock();
        let writing = &mut *producer;
        let newest = writing.core.newest();
        if self.attributes.overwrites() {
            // Here the writers' side moves the tail, elsewhere the cursors do. Not record by
            // record: writers wait meanwhile, and a large ring has many.
            writing
                .core
                .give_up_before(&self.positions, newest.position);
        }
        let mut last = None;
        let cursors = self.cursors.lock();
        for reader in self.all(&cursors) {
            let mut cursor = reader.cursor.lock();
            let before = cursor.core.noticed();
            last = Some(cursor.core.clear(self.view(reader), newest));
            self.unlock(reader, cursor, before);
        }
        if self.is_broadcast() && !self.attributes.overwrites() {
            // Whether there is a cursor or not: nothing is left for one that is still to come.
            last = self.positions.advance_tail(newest.position);
        }
        drop(cursors);
        drop(producer);
        if !self.attributes.overwrites() {
            self.wake_writers(last);
        }
        // Whoever polls for what was lost.
        self.readers.announce();
    }

    /// Changes the capacity. `EBUSY` if what is in the ring does not fit the new one, `ENOMEM`.
    ///
    /// Writers wait meanwhile, readers do not.
    pub(crate) fn resize(&self, capacity: Capacity) -> Result {
        let Memory { data, .. } = Memory::new(capacity)?;
        let mut producer = self.producer.lock();
        let head = producer.core.newest().position;
        if self.attributes.overwrites() {
            self.give_up_what_was_read(&mut producer, capacity)?;
        }
        // The tail may move on: then a little more is copied than has to be.
        let tail = self.positions.tail().load();
        // CAST: At most the old capacity, which fits.
        let len = head.wrapping_sub(tail) as usize;
        if len > capacity.bytes() {
            return Err(EBUSY);
        }
        data.copy_from(&producer.data, tail, len);
        let before = core::mem::replace(&mut producer.data, data);
        producer.core.set_capacity(&self.positions, capacity);
        let cursors = self.cursors.lock();
        for reader in self.all(&cursors) {
            let mut cursor = reader.cursor.lock();
            cursor.core.set_capacity(capacity);
            // `before` keeps the last reference to what this one had.
            cursor.data = Some(producer.data.clone());
        }
        drop(cursors);
        drop(producer);
        drop(before);
        // There may be room now, or never enough; and what is unread may be half of the ring.
        self.writers.announce();
        self.urge_readers();
        Ok(())
    }

    /// For a ring that is overwritten, and shall have a capacity that does not hold what is in it:
    /// what all readers have read need not be kept. `EBUSY` if the rest does not fit either; then
    /// everything is kept.
    fn give_up_what_was_read(&self, producer: &mut Writing, capacity: Capacity) -> Result {
        let head = producer.core.newest().position;
        let oldest = self.oldest(producer);
        if head.wrapping_sub(oldest.position) <= capacity.as_u64() {
            return Ok(());
        }
        let cursors = self.cursors.lock();
        let unread = self
            .all(&cursors)
            .map(|reader| head.wrapping_sub(reader.cursor.lock().core.position_from(oldest)))
            .max();
        drop(cursors);
        match unread {
            Some(unread) if unread <= capacity.as_u64() => {
                let keep = head.wrapping_sub(unread);
                producer.core.give_up_before(&self.positions, keep);
                Ok(())
            }
            // Without a cursor all of it is for the first that comes.
            _ => Err(EBUSY),
        }
    }

    /// What the ring tells of itself.
    pub(crate) fn statistics(&self) -> Statistics {
        let mut producer = self.producer.lock();
        let head = producer.core.newest().position;
        let mut high_water = producer.core.high_water();
        let mut unread = 0;
        let cursors = self.cursors.lock();
        let mut received = cursors.departed;
        for reader in self.all(&cursors) {
            let cursor = reader.cursor.lock();
            // With the lock held, as where writers wait the cursor is what moves the tail.
            let oldest = self.oldest(&producer);
            unread = unread.max(head.wrapping_sub(cursor.core.position_from(oldest)));
            high_water = high_water.max(cursor.core.high_water());
            received = received.add(cursor.core.received(oldest));
        }
        drop(cursors);
        if self.shared.is_none() {
            // Each cursor has lost something else.
            received.records_lost = 0;
            received.bytes_lost = 0;
            if !self.attributes.overwrites() {
                unread = head.wrapping_sub(self.positions.tail().load());
            }
        }
        producer.core.note_fill(high_water.max(unread));
        let (reader_sleeps, reader_wakes) = self.readers.counts();
        let (writer_sleeps, writer_wakes) = self.writers.counts();
        Statistics {
            capacity: self.positions.capacity().as_u64(),
            readers: self.endpoints_reading.load(Relaxed),
            writers: self.endpoints_writing.load(Relaxed),
            unread,
            high_water: producer.core.high_water(),
            written: producer.core.written(),
            received,
            reader_sleeps,
            reader_wakes,
            writer_sleeps,
            writer_wakes,
        }
    }

    /// What a cursor tells of itself.
    pub(crate) fn cursor_statistics(&self, reader: &Reader) -> CursorStatistics {
        self.describe(&self.producer.lock(), reader)
    }

    /// Clears `POLLPRI` at a cursor whose reader has received `told`, unless the cursor has lost
    /// more data since then.
    pub(crate) fn told(&self, reader: &Reader, told: &CursorStatistics) {
        let producer = self.producer.lock();
        let Ok(mut cursor) = reader.lock() else {
            return;
        };
        let before = cursor.core.noticed();
        let oldest = self.oldest(&producer);
        let now = cursor.core.received(oldest);
        let known = &told.received;
        if (now.records_lost, now.bytes_lost) == (known.records_lost, known.bytes_lost) {
            let _ = cursor.core.tell(self.view(reader), oldest);
        }
        self.unlock(reader, cursor, before);
    }

    /// What a cursor tells of itself. With the writers' lock held, so that where the oldest data
    /// are does not change meanwhile.
    fn describe(&self, producer: &Writing, reader: &Reader) -> CursorStatistics {
        let cursor = reader.cursor.lock();
        let (unread, received) = if cursor.data.is_none() {
            // It was evicted: what happens in the ring does not concern it any more.
            (0, cursor.core.noticed())
        } else {
            let head = producer.core.newest().position;
            let oldest = self.oldest(producer);
            let unread = head.wrapping_sub(cursor.core.position_from(oldest));
            (unread, cursor.core.received(oldest))
        };
        CursorStatistics {
            id: reader.id,
            unread,
            received,
            watermark: reader.gauge.watermark(),
        }
    }

    /// What the first cursor tells of itself that has the number `id` or a larger one. `ENODATA` if
    /// there is none.
    pub(crate) fn next_cursor(&self, id: u64) -> Result<CursorStatistics> {
        let producer = self.producer.lock();
        // Keeping the list locked prevents the chosen cursor from being evicted meanwhile.
        let cursors = self.cursors.lock();
        let next = self
            .all(&cursors)
            .filter(|reader| reader.id >= id)
            .min_by_key(|reader| reader.id);
        Ok(self.describe(&producer, next.ok_or(ENODATA)?))
    }

    /// Calls `tell` with what each cursor tells of itself, of those that there are by now, in the
    /// order of their numbers. No lock is held meanwhile.
    pub(crate) fn each_cursor(&self, mut tell: impl FnMut(&CursorStatistics)) {
        // Those who open endpoints all the time keep nobody here.
        let end = self.next_cursor.load(Relaxed);
        let mut id = SHARED;
        while let Ok(cursor) = self.next_cursor(id) {
            if cursor.id >= end {
                return;
            }
            tell(&cursor);
            id = cursor.id + 1;
        }
    }

    /// How many bytes can be read at a cursor, headers included.
    pub(crate) fn unread(&self, reader: &Reader) -> usize {
        self.positions.unread(self.mark(reader))
    }

    /// What `FIONREAD` says at a cursor: how many bytes of a stream are unread, or how large a
    /// buffer the next record needs. 0 if there is nothing, or the cursor was evicted.
    pub(crate) fn next_read(&self, reader: &Reader, batch: Batch) -> usize {
        match self.attributes.framing {
            Framing::Stream if reader.is_evicted() => 0,
            Framing::Stream => self.unread(reader),
            Framing::Record => {
                let mut cursor = reader.cursor.lock();
                let Ok((core, data)) = cursor.attached() else {
                    return 0;
                };
                let next = core.record(self.view(reader), data);
                next.map_or(0, |record| match batch {
                    Batch::Payload => record.payload().len,
                    Batch::WithHeaders => record.span().len,
                })
            }
        }
    }

    /// What is true for somebody who polls for reading.
    pub(crate) fn readable(&self, end: &ReadEnd) -> Events {
        let reader = &*end.reader;
        let mut events = Events::NONE;
        if reader.is_evicted() {
            return Events::READABLE | Events::HANG_UP | Events::ERROR;
        }
        if self.is_at_end(end) {
            events = Events::READABLE | Events::HANG_UP;
        } else if self.is_ready_to_poll(end) {
            events = Events::READABLE;
        }
        if self.view(reader).has_missed() {
            events = events | Events::PRIORITY;
        }
        events
    }

    /// What is true for somebody who polls for writing.
    pub(crate) fn writable(&self) -> Events {
        if self.is_refused() {
            return Events::WRITABLE | Events::ERROR;
        }
        if self.attributes.overwrites() || self.has_room(self.max_needed()) {
            Events::WRITABLE
        } else {
            Events::NONE
        }
    }

    /// Whether `bytes` bytes are free: the one answer for a writer that sleeps and for a poller.
    fn has_room(&self, bytes: usize) -> bool {
        self.positions.room() >= bytes
    }

    /// Returns how many bytes must be free before any write goes on.
    fn max_needed(&self) -> usize {
        self.attributes.max_needed(self.positions.capacity())
    }

    /// Those who wait for something to read.
    pub(crate) fn readers(&self) -> &Side {
        &self.readers
    }

    /// Those who wait for room to write.
    pub(crate) fn writers(&self) -> &Side {
        &self.writers
    }

    /// Where a cursor is, for all to see.
    #[inline]
    fn mark<'a>(&'a self, reader: &'a Reader) -> &'a Mark {
        self.view(reader).mark
    }

    #[inline]
    fn view<'a>(&'a self, reader: &'a Reader) -> View<'a> {
        View::new(
            self.attributes,
            &self.positions,
            &reader.mark,
            &reader.missed,
        )
    }

    /// Unlocks a cursor, and says so if it has noticed a loss since it had noticed what was lost
    /// `before`.
    #[inline]
    fn unlock(&self, reader: &Reader, cursor: MutexGuard<'_, Reading>, before: Received) {
        let now = cursor.core.noticed();
        drop(cursor);
        trace::lost(
            &self.label,
            reader.id,
            now.bytes_lost.wrapping_sub(before.bytes_lost),
            now.records_lost.wrapping_sub(before.records_lost),
        );
    }

    /// A cursor has moved on. To be called with no lock held.
    #[inline]
    fn released(&self, released: Released) {
        if self.attributes.cursor_is_tail() {
            ring::wake_writers(&self.positions, &self.attributes, released, &self.writers);
        } else {
            self.advance_tail();
        }
    }

    /// Where each reader sees everything and writers wait: moves the tail to the cursor that is
    /// furthest behind.
    ///
    /// Without a cursor the tail stays: what is written is kept for the first that comes.
    fn advance_tail(&self) {
        if !self.tail_follows_cursors() {
            return;
        }
        let cursors = self.cursors.lock();
        let released = self.follow(&cursors);
        drop(cursors);
        self.wake_writers(released);
    }

    /// Whether the tail is where the cursor is that is furthest behind, of several.
    #[inline]
    fn tail_follows_cursors(&self) -> bool {
        self.attributes.delivery == Delivery::Broadcast && !self.attributes.overwrites()
    }

    /// The part of [`Channel::advance_tail`] that is done with the lock of the list held.
    fn move_tail(&self, cursors: &Cursors) -> Option<Released> {
        if self.tail_follows_cursors() {
            self.follow(cursors)
        } else {
            None
        }
    }

    /// Moves the tail to the cursor that is furthest behind.
    #[inline]
    fn follow(&self, cursors: &Cursors) -> Option<Released> {
        let tail = self.positions.tail().load();
        let behind = cursors
            .list
            .iter()
            .map(|reader| reader.mark.finished().wrapping_sub(tail))
            .min();
        behind.and_then(|by| self.positions.advance_tail(tail.wrapping_add(by)))
    }

    /// The tail has moved, if it has. To be called with no lock held.
    #[inline]
    fn wake_writers(&self, released: Option<Released>) {
        if let Some(released) = released {
            ring::wake_writers(&self.positions, &self.attributes, released, &self.writers);
        }
    }

    /// All cursors, that which readers compete at or those of the list.
    fn all<'a>(&'a self, cursors: &'a Cursors) -> impl Iterator<Item = &'a Arc<Reader>> {
        // By its name: `pin_init` has another of this one.
        Iterator::chain(self.shared.iter(), &cursors.list)
    }

    /// Whether a reader is at the end: there is nothing to read, and nobody writes any more, though
    /// somebody did while its endpoint was open. The one answer for read(2) and poll(2).
    ///
    /// It was so at some moment of the call.
    pub(super) fn is_at_end(&self, end: &ReadEnd) -> bool {
        let writers = self.writers_of(end);
        if writers == WritersLeft::Present || self.unread(&end.reader) > 0 {
            return false;
        }
        // Between the two looks nobody has opened it for writing, so both are about one moment. The
        // positions were loaded between them: a position that is stored meanwhile makes what is
        // unread appear more, not less.
        writers == self.writers_of(end)
    }

    /// Whether nobody writes any more, as an endpoint sees it.
    fn is_abandoned(&self, end: &ReadEnd) -> bool {
        self.writers_of(end) != WritersLeft::Present
    }

    /// Who may write yet, as an endpoint sees it.
    fn writers_of(&self, end: &ReadEnd) -> WritersLeft {
        if self.destroyed.load(Acquire) {
            return WritersLeft::Refused;
        }
        if !self.attributes.hangup {
            return WritersLeft::Present;
        }
        // In this order: a writer that is being opened counts as open before it counts as opened.
        let opened = self.writers_opened.load(Acquire);
        if opened == end.writers_before || self.endpoints_writing.load(Acquire) > 0 {
            WritersLeft::Present
        } else {
            WritersLeft::Left(opened)
        }
    }

    /// A reader has taken something. If it was the last, those who poll learn that the end has
    /// come. To be called with no lock held.
    #[inline]
    fn note_end(&self, reader: &Reader, ending: bool) {
        if ending {
            self.wake_at_end(reader);
        }
    }

    #[cold]
    fn wake_at_end(&self, reader: &Reader) {
        if self.unread(reader) == 0 {
            reader.pollers.wake();
        }
    }

    /// Readers that wait for more look again, if there are any: a writer that is in the queue is
    /// about to wait, and cannot bring more, or the ring has become smaller.
    ///
    /// Both sides join their queue before they look into the other's. Here that is done under the
    /// other queue's lock: a reader that is not in it yet joins it later, and then sees the writer.
    fn urge_readers(&self) {
        if self.has_watermarks.load(Relaxed) {
            self.readers.urge();
        }
    }

    /// Whether each reader sees everything.
    pub(crate) fn is_broadcast(&self) -> bool {
        self.attributes.delivery == Delivery::Broadcast
    }

    /// How many bytes are in the ring, headers included.
    pub(crate) fn in_ring(&self) -> usize {
        self.positions.unread(self.positions.tail())
    }

    /// Something has changed for those who wait at this cursor: they look again, and nobody else.
    fn look_again(&self, reader: &Reader) {
        self.readers.wake_place(reader.id);
        reader.pollers.wake();
    }
}

/// What a call answers that did `done` bytes and then ended with `result`: progress first.
pub(crate) fn progress(done: usize, result: Result) -> Result<usize> {
    if done > 0 {
        Ok(done)
    } else {
        result.map(|()| 0)
    }
}
