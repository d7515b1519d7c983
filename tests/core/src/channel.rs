// SPDX-License-Identifier: GPL-2.0

//! A ring that real threads use: the module's `channel/` without the kernel.

use crate::{
    data::Data,
    queue::{Side, Turn},
    ring::{
        Attributes, Capacity, Cursor, Delivery, Framing, Full, Header, Lapped, Mark, Missed, Place,
        Positions, Producer, Received, Released, View, Words, Written, pass_on_to_reader,
        pass_on_to_writer, wake_readers, wake_writers,
    },
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// What wakes a sleeper, whatever it needs: further than any position or amount can be.
const ENOUGH: u64 = 1 << 62;

/// What the holder of the writers' lock has.
struct Writing {
    core: Producer,
    data: Arc<Data>,
}

/// What the holder of a cursor's lock has.
struct Reading {
    core: Cursor,
    data: Arc<Data>,
    /// What there was before it came: records where they have numbers, else bytes.
    before: u64,
    /// What was left out by seeks, in the same. What is there a second time counts less than
    /// nothing.
    skipped: u64,
}

impl Reading {
    fn new(attributes: Attributes, at: Place, before: u64, data: Arc<Data>) -> Self {
        Self {
            core: Cursor::new(attributes, data.capacity(), at),
            data,
            before,
            skipped: 0,
        }
    }
}

/// What belongs together at one moment. All of it is records where they have numbers, else bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) written: Written,
    pub(crate) received: Received,
    /// What can still be read.
    pub(crate) unread: u64,
    /// What was written since the cursor came, or was there by then.
    since: u64,
    /// What the cursor has received, lost, or left out.
    seen: u64,
}

impl Account {
    /// Everything is there, and nothing is there twice.
    pub(crate) fn check(&self) {
        let sum = self.seen.wrapping_add(self.unread);
        assert_eq!(sum, self.since, "{self:?}");
    }
}

/// An end of what is in a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Oldest,
    Newest,
}

/// A cursor: that of all readers together, or that of one.
pub(crate) struct Reader {
    mark: Mark,
    missed: Missed,
    cursor: Mutex<Reading>,
}

/// How a write came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// So many bytes went in.
    Bytes(usize),
    /// Nothing did, and it was counted.
    Dropped,
    /// Nothing did for want of room.
    Full,
}

/// A ring. Locks are taken in this order: `producer`, `cursors`, that of a cursor.
pub(crate) struct Channel {
    attributes: Attributes,
    positions: Positions,
    producer: Mutex<Writing>,
    /// All there are. Where readers compete it is one, for ever.
    cursors: Mutex<Vec<Arc<Reader>>>,
    /// Nothing more will be written.
    ended: AtomicBool,
    readers: Side,
    writers: Side,
}

impl Channel {
    pub(crate) fn new(attributes: Attributes, capacity: Capacity, start: u64) -> Self {
        let data = Arc::new(Data::new(capacity, attributes.overwrites()));
        let (cursors, turn) = match attributes.delivery {
            Delivery::Shared => {
                let first = Place::first(start);
                let reading = Reading::new(attributes, first, 0, data.clone());
                let reader = Reader {
                    mark: Mark::new(start),
                    missed: Missed::new(),
                    cursor: Mutex::new(reading),
                };
                (vec![Arc::new(reader)], Turn::One)
            }
            Delivery::Broadcast => (Vec::new(), Turn::Everybody),
        };
        Self {
            attributes,
            positions: Positions::new(capacity, start),
            producer: Mutex::new(Writing {
                core: Producer::new(attributes, capacity, start),
                data,
            }),
            cursors: Mutex::new(cursors),
            ended: AtomicBool::new(false),
            readers: Side::new(turn),
            writers: Side::new(Turn::One),
        }
    }

    /// A cursor to read at: the one there is, or a new one at the oldest data.
    pub(crate) fn join(&self) -> Arc<Reader> {
        let producer = self.producer.lock().unwrap();
        let mut cursors = self.cursors.lock().unwrap();
        if self.attributes.delivery == Delivery::Shared {
            return cursors[0].clone();
        }
        // The lock of the list is held, so it stays there.
        let oldest = self.oldest(&producer);
        let before = self.count(&producer, oldest);
        let data = producer.data.clone();
        let reader = Arc::new(Reader {
            mark: Mark::new(oldest.position),
            missed: Missed::new(),
            cursor: Mutex::new(Reading::new(self.attributes, oldest, before, data)),
        });
        cursors.push(reader.clone());
        reader
    }

    /// Takes a cursor from the ring, which goes on without it.
    pub(crate) fn part(&self, reader: &Arc<Reader>) {
        let mut cursors = self.cursors.lock().unwrap();
        cursors.retain(|other| !Arc::ptr_eq(other, reader));
        drop(cursors);
        self.advance_tail();
    }

    /// Nothing more will be written: readers that sleep are woken.
    pub(crate) fn end(&self) {
        let producer = self.producer.lock().unwrap();
        self.ended.store(true, Relaxed);
        let head = producer.core.newest().position;
        drop(producer);
        self.readers.wake_everybody(head.wrapping_add(ENOUGH));
    }

    /// Moves a cursor. Where each reader has one.
    pub(crate) fn seek(&self, reader: &Reader, to: End) {
        let producer = self.producer.lock().unwrap();
        let cursors = self.cursors.lock().unwrap();
        let oldest = self.oldest(&producer);
        let to = match to {
            End::Oldest => oldest,
            End::Newest => producer.core.newest(),
        };
        let mut reading = reader.cursor.lock().unwrap();
        // What is left out follows from the data alone, not from what the cursor remembers.
        let left_out = self
            .count(&producer, to)
            .wrapping_sub(self.count_at(&producer, &reading));
        reading.skipped = reading.skipped.wrapping_add(left_out);
        reading.core.seek(self.view(reader), to, oldest);
        drop(reading);
        drop(cursors);
        drop(producer);
        self.advance_tail();
        self.readers
            .wake_everybody(self.positions.head().wrapping_add(ENOUGH));
    }

    /// Gives up all that is unread, and answers where the next data will begin.
    pub(crate) fn clear(&self) -> Place {
        let mut producer = self.producer.lock().unwrap();
        let Writing { core, data } = &mut *producer;
        let newest = core.newest();
        core.make_room(&self.positions, &**data, usize::MAX);
        let mut last = None;
        for reader in self.cursors.lock().unwrap().iter() {
            let mut reading = reader.cursor.lock().unwrap();
            last = Some(reading.core.clear(self.view(reader), newest));
        }
        if !self.attributes.overwrites() && self.attributes.delivery == Delivery::Broadcast {
            let _cursors = self.cursors.lock().unwrap();
            last = self.positions.advance_tail(newest.position);
        }
        assert_eq!(self.oldest(&producer), newest);
        drop(producer);
        if let (Some(released), false) = (last, self.attributes.overwrites()) {
            wake_writers(&self.positions, &self.attributes, released, &self.writers);
        }
        newest
    }

    /// Where the oldest data begin.
    fn oldest(&self, producer: &Writing) -> Place {
        producer.core.oldest(&self.positions, &*producer.data)
    }

    /// What was written before `place`: records where they have numbers, else bytes.
    fn count(&self, producer: &Writing, place: Place) -> u64 {
        match self.attributes.framing {
            Framing::Record => place.sequence,
            Framing::Stream => {
                let behind = producer.core.newest().position.wrapping_sub(place.position);
                producer.core.written().bytes.wrapping_sub(behind)
            }
        }
    }

    /// What was written before that which a cursor would read next. Of records the data say it.
    fn count_at(&self, producer: &Writing, reading: &Reading) -> u64 {
        let oldest = self.oldest(producer);
        let newest = producer.core.newest();
        let position = reading.core.position_from(oldest);
        let sequence = match self.attributes.framing {
            Framing::Stream => 0,
            Framing::Record if position == newest.position => newest.sequence,
            Framing::Record => producer.data.load(position.wrapping_add(8)),
        };
        self.count(producer, Place { position, sequence })
    }

    /// Changes the capacity, if what is in the ring fits the new one, or where writers overwrite,
    /// what has not been read by all; then, and only then, the rest is given up.
    pub(crate) fn resize(&self, capacity: Capacity) -> bool {
        let mut writing = self.producer.lock().unwrap();
        let oldest = self.oldest(&writing);
        let head = writing.core.newest().position;
        let fits = |from: u64| head.wrapping_sub(from) <= capacity.as_u64();
        if self.attributes.overwrites() && !fits(oldest.position) {
            let cursors = self.cursors.lock().unwrap();
            let unread = cursors.iter().map(|reader| {
                let at = reader.cursor.lock().unwrap().core.position_from(oldest);
                head.wrapping_sub(at)
            });
            let Some(keep) = unread.max().map(|most| head.wrapping_sub(most)) else {
                return false;
            };
            if !fits(keep) {
                return false;
            }
            writing.core.give_up_before(&self.positions, keep);
        }
        let tail = self.positions.tail().load();
        let used = head.wrapping_sub(tail) as usize;
        if used > capacity.bytes() {
            return false;
        }
        let data = Arc::new(Data::new(capacity, self.attributes.overwrites()));
        let mut bytes = vec![0; used];
        writing.data.copy_out(tail, &mut bytes);
        data.copy_in(tail, &bytes);
        writing.data = data.clone();
        writing.core.set_capacity(&self.positions, capacity);
        for reader in self.cursors.lock().unwrap().iter() {
            let mut reading = reader.cursor.lock().unwrap();
            reading.core.set_capacity(capacity);
            reading.data = data.clone();
        }
        drop(writing);
        // There may be room now.
        self.writers.wake_everybody(ENOUGH);
        true
    }

    /// Writes what fits of `bytes`, but no less than `least`. `None` if that does not fit.
    pub(crate) fn try_write(&self, bytes: &[u8], least: usize) -> Option<usize> {
        let mut producer = self.producer.lock().unwrap();
        let Writing { core, data } = &mut *producer;
        core.make_room(&self.positions, &**data, bytes.len());
        let room = core.reserve(&self.positions, least, bytes.len())?;
        let span = room.span();
        data.copy_in(span.position, &bytes[..span.len]);
        let published = room.publish(span.len);
        drop(producer);
        wake_readers(&self.positions, &self.attributes, published, &self.readers);
        Some(span.len)
    }

    /// Writes all of `bytes`, in one piece if they are few, and sleeps as long as it takes.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let whole = bytes.len() <= Capacity::ATOMIC_WRITE && self.attributes.full == Full::Block;
        let mut left = bytes;
        while !left.is_empty() {
            let least = if whole { left.len() } else { 1 };
            match self.try_write(left, least) {
                Some(written) => left = &left[written..],
                None => self.sleep_as_writer(least),
            }
        }
        self.leave_as_writer();
    }

    /// Writes a record, if it fits.
    fn try_write_record(&self, payload: &[u8], timestamp: u64) -> Wrote {
        let length = payload.len() as u32;
        let mut producer = self.producer.lock().unwrap();
        let Writing { core, data } = &mut *producer;
        let stored = Header::stored(length) as usize;
        core.make_room(&self.positions, &**data, stored);
        let Some(slot) = core.reserve_record(&self.positions, length) else {
            if self.attributes.full == Full::Block {
                return Wrote::Full;
            }
            core.count_dropped(payload.len());
            return Wrote::Dropped;
        };
        data.copy_in(slot.payload().position, payload);
        let published = slot.publish(&**data, timestamp);
        drop(producer);
        wake_readers(&self.positions, &self.attributes, published, &self.readers);
        Wrote::Bytes(payload.len())
    }

    /// Writes a record, and sleeps if writers do. Answers whether it went in.
    pub(crate) fn write_record(&self, payload: &[u8], timestamp: u64) -> bool {
        let wrote = loop {
            match self.try_write_record(payload, timestamp) {
                Wrote::Full => {
                    self.sleep_as_writer(Header::stored(payload.len() as u32) as usize);
                }
                wrote => break wrote,
            }
        };
        self.leave_as_writer();
        wrote != Wrote::Dropped
    }

    fn sleep_as_writer(&self, least: usize) {
        sleep_unless(&self.writers, least as u64, || {
            self.positions.room() >= least
        });
    }

    fn leave_as_writer(&self) {
        if self.attributes.full == Full::Block {
            pass_on_to_writer(&self.positions, &self.writers);
        }
    }

    /// Reads what is there, at most as much as `buffer` takes. `None` if nothing is there.
    ///
    /// `note` is called with the bytes, and with how many were written before them by the
    /// cursor's account, before any other reader can read those that follow.
    pub(crate) fn try_read(
        &self,
        reader: &Reader,
        buffer: &mut [u8],
        note: impl Fn(&[u8], u64),
    ) -> Option<usize> {
        loop {
            let mut cursor = reader.cursor.lock().unwrap();
            let reading = &mut *cursor;
            let Reading { core, data, .. } = &mut *reading;
            // As the module does, which knows of its shortest way that writers wait.
            let unread = if self.attributes.overwrites() {
                core.unread(self.view(reader), buffer.len())?
            } else {
                core.unread_kept(self.view(reader), buffer.len())?
            };
            let span = unread.span();
            data.copy_out(span.position, &mut buffer[..span.len]);
            let Ok(released) = unread.release(span.len) else {
                continue;
            };
            let before = self.seen(reading, self.nothing_more());
            note(&buffer[..span.len], before.wrapping_sub(span.len as u64));
            drop(cursor);
            self.released(released);
            return Some(span.len);
        }
    }

    fn try_read_records(
        &self,
        reader: &Reader,
        buffer: &mut [u8],
        most: usize,
        note: impl Fn(Header, &[u8], u64),
    ) -> Option<usize> {
        let mut cursor = reader.cursor.lock().unwrap();
        let reading = &mut *cursor;
        let Reading { core, data, .. } = &mut *reading;
        let (len, released) = loop {
            let records = core.records(self.view(reader), &**data, most)?;
            let (span, lost) = (records.span(), records.lost());
            let first = records.first().sequence;
            let buffer = &mut buffer[..span.len];
            data.copy_out(span.position, buffer);
            match records.release(true) {
                Ok(released) => {
                    let count = note_records(buffer, lost, &note);
                    let seen = self.seen(reading, self.nothing_more());
                    assert_eq!(seen, first + count, "by the cursor's account");
                    break (span.len, released);
                }
                Err(Lapped) => continue,
            }
        };
        drop(cursor);
        self.released(released);
        Some(len)
    }

    /// Reads what is there, and sleeps while nothing is there. `None` if nothing will be.
    pub(crate) fn read(
        &self,
        reader: &Reader,
        buffer: &mut [u8],
        note: impl Fn(&[u8], u64),
    ) -> Option<usize> {
        self.read_sleeping(reader, || self.try_read(reader, buffer, &note))
    }

    /// Reads records, and sleeps while none is there. `None` if none will be.
    ///
    /// As many as are at most `most` bytes with their headers, but at least one; `buffer` takes
    /// that and any one record. `note` is called with each, and with what was lost before it,
    /// before any other reader can read those that follow.
    pub(crate) fn read_records(
        &self,
        reader: &Reader,
        buffer: &mut [u8],
        most: usize,
        note: impl Fn(Header, &[u8], u64),
    ) -> Option<usize> {
        self.read_sleeping(reader, || {
            self.try_read_records(reader, buffer, most, &note)
        })
    }

    fn read_sleeping(
        &self,
        reader: &Reader,
        mut try_read: impl FnMut() -> Option<usize>,
    ) -> Option<usize> {
        let mark = self.mark(reader);
        let ready = || self.positions.unread(mark) > 0 || self.ended.load(Relaxed);
        let mut last = false;
        let read = loop {
            let read = try_read();
            if read.is_some() || last {
                break read;
            }
            // What is there may have come just before the end.
            last = self.ended.load(Relaxed);
            if !last {
                let needs = mark.load().wrapping_add(1);
                sleep_unless(&self.readers, needs, ready);
            }
        };
        if self.attributes.delivery == Delivery::Shared {
            pass_on_to_reader(&self.positions, mark, &self.readers);
        }
        read
    }

    /// A reader has moved its mark.
    fn released(&self, released: Released) {
        if self.attributes.cursor_is_tail() {
            wake_writers(&self.positions, &self.attributes, released, &self.writers);
        } else {
            self.advance_tail();
        }
    }

    /// Moves the tail to the cursor that is furthest behind, where writers wait for all of them.
    fn advance_tail(&self) {
        if self.attributes.overwrites() {
            return;
        }
        let cursors = self.cursors.lock().unwrap();
        let tail = self.positions.tail().load();
        let marks = cursors.iter().map(|reader| reader.mark.finished());
        let furthest = marks.min_by_key(|mark| mark.wrapping_sub(tail));
        let released = furthest.and_then(|mark| self.positions.advance_tail(mark));
        drop(cursors);
        if let Some(released) = released {
            wake_writers(&self.positions, &self.attributes, released, &self.writers);
        }
    }

    /// Puts the thread among those who poll for bytes, until the value returned is dropped.
    pub(crate) fn poll_readable<'a>(&'a self, reader: &'a Reader) -> Poller<'a> {
        self.readers.pollers.join(1);
        Poller {
            channel: self,
            mark: self.mark(reader),
        }
    }

    /// What has been written and refused so far.
    pub(crate) fn written(&self) -> Written {
        self.producer.lock().unwrap().core.written()
    }

    /// What was written, what was received at `reader`, and what is still to be read there: at one
    /// moment.
    pub(crate) fn account(&self, reader: &Reader) -> Account {
        let producer = self.producer.lock().unwrap();
        let reading = reader.cursor.lock().unwrap();
        let oldest = self.oldest(&producer);
        let all = self.count(&producer, producer.core.newest());
        Account {
            written: producer.core.written(),
            received: reading.core.received(oldest),
            unread: all - self.count_at(&producer, &reading),
            since: all - reading.before,
            seen: self.seen(&reading, oldest).wrapping_sub(reading.before),
        }
    }

    /// What was written before that which a cursor would read next, by its own account.
    fn seen(&self, reading: &Reading, oldest: Place) -> u64 {
        let received = reading.core.received(oldest);
        let seen = match self.attributes.framing {
            Framing::Stream => received.bytes.wrapping_add(received.bytes_lost),
            Framing::Record => received.records.wrapping_add(received.records_lost),
        };
        seen.wrapping_add(reading.before)
            .wrapping_add(reading.skipped)
    }

    /// All cursors.
    pub(crate) fn readers(&self) -> Vec<Arc<Reader>> {
        self.cursors.lock().unwrap().clone()
    }

    /// For those who want to know of a cursor what it has noticed itself.
    fn nothing_more(&self) -> Place {
        Place::first(self.positions.tail().load().wrapping_sub(ENOUGH))
    }

    fn mark<'a>(&'a self, reader: &'a Reader) -> &'a Mark {
        self.view(reader).mark
    }

    fn view<'a>(&'a self, reader: &'a Reader) -> View<'a> {
        View::new(
            self.attributes,
            &self.positions,
            &reader.mark,
            &reader.missed,
        )
    }
}

/// Takes a batch apart, and answers how many records it has.
fn note_records(mut batch: &[u8], mut lost: u64, note: &impl Fn(Header, &[u8], u64)) -> u64 {
    let mut count = 0;
    while !batch.is_empty() {
        let (header, rest) = batch.split_at(Header::SIZE);
        let word = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
        let header = Header {
            length: u32::from_ne_bytes(header[..4].try_into().unwrap()),
            sequence: word(8),
            timestamp: word(16),
        };
        assert_eq!(header.to_bytes(0), batch[..Header::SIZE]);
        let (payload, _) = rest.split_at(header.length as usize);
        note(header, payload, lost);
        count += 1;
        lost = 0;
        let stored = Header::stored(header.length) as usize;
        batch = batch.get(stored..).unwrap_or_default();
    }
    count
}

/// Sleeps once, unless `ready` holds after the thread has joined the queue.
fn sleep_unless(side: &Side, needs: u64, ready: impl Fn() -> bool) {
    side.sleepers.join(needs);
    if !ready() {
        thread::park();
    }
    side.sleepers.leave();
}

/// The calling thread, which polls for bytes.
pub(crate) struct Poller<'a> {
    channel: &'a Channel,
    mark: &'a Mark,
}

impl Poller<'_> {
    /// Sleeps until bytes are there. Nothing but an edge ends the sleep.
    pub(crate) fn wait(&self) {
        while self.channel.positions.unread(self.mark) == 0 {
            thread::park();
        }
    }
}

impl Drop for Poller<'_> {
    fn drop(&mut self) {
        self.channel.readers.pollers.leave();
    }
}
