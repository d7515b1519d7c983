// SPDX-License-Identifier: GPL-2.0

//! A ring in a thread of its own, beside an account of what it ought to contain.
//!
//! The account counts bytes from 0, wherever the positions of the ring begin. Every byte that a
//! writer fills in follows from its position, so that nobody has to remember it.

use crate::ring::{
    Attributes, Capacity, Cursor, Delivery, Framing, Full, Header, Mark, Missed, Place, Positions,
    Producer, Received, Released, View, Waiters, Words, Written, pass_on_to_reader,
    pass_on_to_writer, wake_readers, wake_writers,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// One thing that somebody does. Readers are numbered from 0, and again from 0 after the last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Write(Write),
    Read {
        reader: usize,
        read: Read,
        /// What a writer does after the copy and before the release.
        meanwhile: Option<Write>,
    },
    /// A reader comes that sees everything from the oldest data on.
    Join,
    /// It goes.
    Part {
        reader: usize,
    },
    Seek {
        reader: usize,
        to: End,
    },
    Clear,
    /// Somebody asks what a reader has missed.
    Ask {
        reader: usize,
    },
    Resize(Capacity),
    /// A writer leaves without a word.
    WriterLeaves,
    /// A reader leaves without a word, where readers compete.
    ReaderLeaves,
    /// These wait from now on.
    Wait {
        readers: Waiting,
        writers: Waiting,
    },
}

/// What a writer does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    /// Reserve, fill the whole room, and publish so many bytes of it, or drop the room.
    Bytes {
        least: usize,
        most: usize,
        publish: Option<usize>,
    },
    /// Reserve, fill, and publish a record, at most the longest, or drop it.
    Record { length: u32, publish: bool },
}

/// What a reader does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// Look at the unread bytes, and release so many of them, or drop them.
    Bytes { most: usize, release: Option<usize> },
    /// Look at as many records as fit, and release them, or drop them.
    Records { most: usize, release: Option<Told> },
}

/// Whether the reader gets headers, which tell what was lost.
pub(crate) type Told = bool;

/// An end of what is in a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Oldest,
    Newest,
}

/// Who waits on a side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) sleepers: bool,
    pub(crate) pollers: bool,
    pub(crate) every_edge: bool,
}

/// Who has been woken on a side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Woken {
    /// For what, each time.
    sleepers: Vec<u64>,
    /// How often.
    pollers: usize,
}

#[derive(Default)]
struct Recorder {
    waiting: Cell<Waiting>,
    woken: RefCell<Woken>,
}

impl Waiters for Recorder {
    fn has_sleepers(&self) -> bool {
        self.waiting.get().sleepers
    }

    fn wake_sleepers(&self, there_is: u64) {
        self.woken.borrow_mut().sleepers.push(there_is);
    }

    fn has_pollers(&self) -> bool {
        self.waiting.get().pollers
    }

    fn wants_every_edge(&self) -> bool {
        self.waiting.get().every_edge
    }

    fn wake_pollers(&self) {
        self.woken.borrow_mut().pollers += 1;
    }
}

/// The data, once; a range that goes on behind the end begins again at the start.
struct Bytes(RefCell<Vec<u8>>);

impl Bytes {
    fn new(capacity: Capacity) -> Self {
        Self(RefCell::new(vec![0; capacity.bytes()]))
    }

    fn get(&self, position: u64, len: usize) -> Vec<u8> {
        let bytes = self.0.borrow();
        assert!(len <= bytes.len());
        let offset = (position % bytes.len() as u64) as usize;
        let end = offset + len;
        let mut range = bytes[offset..end.min(bytes.len())].to_vec();
        range.extend(&bytes[..end.saturating_sub(bytes.len())]);
        range
    }

    fn put(&self, position: u64, range: &[u8]) {
        let mut bytes = self.0.borrow_mut();
        let size = bytes.len();
        assert!(range.len() <= size);
        let offset = (position % size as u64) as usize;
        let (first, second) = range.split_at(range.len().min(size - offset));
        bytes[offset..offset + first.len()].copy_from_slice(first);
        bytes[..second.len()].copy_from_slice(second);
    }
}

impl Words for Bytes {
    fn load(&self, position: u64) -> u64 {
        u64::from_ne_bytes(self.get(position, 8).try_into().unwrap())
    }

    fn store(&self, position: u64, word: u64) {
        self.put(position, &word.to_ne_bytes());
    }
}

/// The bytes from `position` on, as writers fill them in.
fn filling(position: u64, len: usize) -> Vec<u8> {
    (position..position + len as u64)
        .map(|position| (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// A record that was written.
#[derive(Clone, Copy)]
struct Record {
    position: u64,
    length: u32,
}

impl Record {
    fn end(self) -> u64 {
        self.position + Header::stored(self.length)
    }
}

/// A cursor, and what it ought to be.
struct Reader {
    mark: Mark,
    cursor: RefCell<Cursor>,
    position: Cell<u64>,
    /// The number of the record that comes next if none is missed.
    next: Cell<u64>,
    received: Cell<Received>,
    says_missed: Missed,
    /// It has noticed that something was lost, and nobody was told since.
    missed: Cell<bool>,
    /// Something was lost before a record that was read without a header.
    untold: Cell<bool>,
    /// What had been sent and what had been refused before the first that it could read: records
    /// where they have numbers, else bytes.
    sent_before: u64,
    refused_before: u64,
    /// What was left out by seeks, in the same. What is there a second time counts less than
    /// nothing.
    skipped: Cell<u64>,
}

/// The ring, and what it ought to be.
pub(crate) struct Model {
    attributes: Attributes,
    start: u64,
    positions: Positions,
    producer: RefCell<Producer>,
    data: Bytes,
    cursors: RefCell<Vec<Rc<Reader>>>,
    readers: Recorder,
    writers: Recorder,

    capacity: Cell<Capacity>,
    head: Cell<u64>,
    tail: Cell<u64>,
    records: RefCell<Vec<Record>>,
    written: Cell<Written>,
    /// What writers have tried to write, and did not keep: records where they have numbers, else
    /// bytes.
    sent: Cell<u64>,
}

impl Model {
    /// An empty ring with a reader.
    pub(crate) fn new(attributes: Attributes, capacity: Capacity, start: u64) -> Self {
        let model = Self {
            attributes,
            start,
            positions: Positions::new(capacity, start),
            producer: RefCell::new(Producer::new(attributes, capacity, start)),
            data: Bytes::new(capacity),
            cursors: RefCell::default(),
            readers: Recorder::default(),
            writers: Recorder::default(),
            capacity: Cell::new(capacity),
            head: Cell::new(0),
            tail: Cell::new(0),
            records: RefCell::default(),
            written: Cell::default(),
            sent: Cell::new(0),
        };
        model.join();
        model
    }

    /// Takes a step on both, and checks that they agree on everything that can be seen.
    pub(crate) fn step(&self, step: Step) {
        let broadcast = self.attributes.delivery == Delivery::Broadcast;
        match step {
            Step::Write(write) => self.write(write),
            Step::Read {
                reader,
                read,
                meanwhile,
            } => {
                if let Some(reader) = self.reader(reader) {
                    self.read(&reader, read, meanwhile);
                }
            }
            Step::Join if broadcast => self.join(),
            Step::Part { reader } if broadcast => self.part(reader),
            Step::Seek { reader, to } if broadcast => {
                if let Some(reader) = self.reader(reader) {
                    self.seek(&reader, to);
                }
            }
            Step::Clear => self.clear(),
            Step::Ask { reader } => {
                if let Some(reader) = self.reader(reader) {
                    self.ask(&reader);
                }
            }
            Step::Resize(capacity) => self.resize(capacity),
            Step::WriterLeaves => {
                pass_on_to_writer(&self.positions, &self.writers);
                // One that fits into whatever room there is.
                let passed_on = self.sleeping_writer(self.free() > 0);
                self.expect_woken(Woken::default(), passed_on);
            }
            Step::ReaderLeaves if !broadcast => {
                let reader = self.reader(0).unwrap();
                pass_on_to_reader(&self.positions, self.mark(&reader), &self.readers);
                let passed_on = self.sleeping_reader(self.unread(&reader) > 0, self.head.get());
                self.expect_woken(passed_on, Woken::default());
            }
            Step::Wait { readers, writers } => {
                self.readers.waiting.set(readers);
                self.writers.waiting.set(writers);
            }
            Step::Join | Step::Part { .. } | Step::Seek { .. } | Step::ReaderLeaves => {}
        }
        self.check();
    }

    /// Everybody reads everything that is left.
    pub(crate) fn drain(&self) {
        let most = usize::MAX;
        for index in 0..self.cursors.borrow().len() {
            let reader = self.reader(index).unwrap();
            while self.unread(&reader) > 0 {
                let read = match self.attributes.framing {
                    Framing::Stream => Read::Bytes {
                        most,
                        release: Some(most),
                    },
                    Framing::Record => Read::Records {
                        most,
                        release: Some(true),
                    },
                };
                self.read(&reader, read, None);
                self.check();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.positions.room(), self.free());
        assert_eq!(self.positions.capacity(), self.capacity.get());
        let producer = self.producer.borrow();
        assert_eq!(producer.capacity(), self.capacity.get());
        let written = producer.written();
        assert_eq!(written, self.written.get());
        assert_eq!(producer.newest(), self.place(self.head.get()));
        let oldest = producer.oldest(&self.positions, &self.data);
        assert_eq!(oldest, self.place(self.tail.get()));
        for reader in self.cursors.borrow().iter() {
            let unread = self.unread(reader);
            assert_eq!(self.positions.unread(self.mark(reader)) as u64, unread);
            assert_eq!(self.mark(reader).load(), self.at(reader.position.get()));

            let is_passed = self.tail.get() > reader.position.get();
            let has_missed = self.view(reader).has_missed();
            assert_eq!(has_missed, reader.missed.get() || is_passed);

            let cursor = reader.cursor.borrow();
            let from = self.from(reader);
            assert_eq!(cursor.position_from(oldest), self.at(from));
            let received = cursor.received(oldest);
            assert_eq!(received, self.with_lost(reader));
            let read = Received {
                records_lost: 0,
                bytes_lost: 0,
                ..received
            };
            assert_eq!(cursor.read(), read);
            let (seen, refused) = match self.attributes.framing {
                Framing::Stream => (received.bytes + received.bytes_lost, written.bytes_dropped),
                Framing::Record => (
                    received.records + received.records_lost,
                    written.records_dropped,
                ),
            };
            // What was sent since the reader came was received, lost, refused, left out, or is
            // still there.
            let waiting = self.count_to(self.head.get()) - self.count_to(from);
            assert_eq!(
                seen.wrapping_add(refused.wrapping_sub(reader.refused_before))
                    .wrapping_add(reader.skipped.get())
                    .wrapping_add(waiting),
                self.sent.get().wrapping_sub(reader.sent_before)
            );
        }
    }

    /// The reader of that number, if there is any.
    fn reader(&self, index: usize) -> Option<Rc<Reader>> {
        let cursors = self.cursors.borrow();
        let index = index.checked_rem(cursors.len())?;
        Some(cursors[index].clone())
    }

    fn mark<'a>(&'a self, reader: &'a Reader) -> &'a Mark {
        self.view(reader).mark
    }

    fn view<'a>(&'a self, reader: &'a Reader) -> View<'a> {
        View::new(
            self.attributes,
            &self.positions,
            &reader.mark,
            &reader.says_missed,
        )
    }

    /// What the ring calls the account's position.
    fn at(&self, position: u64) -> u64 {
        self.start.wrapping_add(position)
    }

    /// The number of the first record that begins at `position` or beyond.
    fn first_from(&self, position: u64) -> u64 {
        let records = self.records.borrow();
        records.partition_point(|record| record.position < position) as u64
    }

    fn place(&self, position: u64) -> Place {
        Place {
            position: self.at(position),
            sequence: match self.attributes.framing {
                Framing::Stream => 0,
                Framing::Record => self.first_from(position),
            },
        }
    }

    /// Where a reader would go on.
    fn from(&self, reader: &Reader) -> u64 {
        reader.position.get().max(self.tail.get())
    }

    /// What a reader ought to have received and lost, with what it has not noticed.
    fn with_lost(&self, reader: &Reader) -> Received {
        let mut received = reader.received.get();
        let from = self.from(reader);
        match self.attributes.framing {
            Framing::Stream => received.bytes_lost += from - reader.position.get(),
            Framing::Record => received.records_lost += self.first_from(from) - reader.next.get(),
        }
        received
    }

    /// Puts a reader to a place, with what it has received and lost on its way there.
    fn put(&self, reader: &Reader, position: u64, received: Received) {
        reader.position.set(position);
        reader.next.set(self.place(position).sequence);
        reader.received.set(received);
    }

    fn sent(&self, records: u64, bytes: u64) {
        let sent = match self.attributes.framing {
            Framing::Stream => bytes,
            Framing::Record => records,
        };
        self.sent.set(self.sent.get().wrapping_add(sent));
    }

    /// Records where they have numbers, else bytes, up to `position`.
    fn count_to(&self, position: u64) -> u64 {
        match self.attributes.framing {
            Framing::Stream => position,
            Framing::Record => self.first_from(position),
        }
    }

    fn unread(&self, reader: &Reader) -> u64 {
        self.head.get() - self.from(reader)
    }

    fn free(&self) -> usize {
        self.capacity.get().bytes() - (self.head.get() - self.tail.get()) as usize
    }

    /// What a writer does first where it may overwrite: there are `bytes` bytes free then.
    fn make_room(&self, bytes: usize) {
        let mut producer = self.producer.borrow_mut();
        producer.make_room(&self.positions, &self.data, bytes);
        if !self.attributes.overwrites() {
            return;
        }
        let bytes = bytes.min(self.capacity.get().bytes());
        while self.free() < bytes {
            let tail = self.tail.get();
            self.tail.set(match self.attributes.framing {
                Framing::Stream => tail + (bytes - self.free()) as u64,
                Framing::Record => self.records.borrow()[self.first_from(tail) as usize].end(),
            });
        }
    }

    fn write(&self, write: Write) {
        let before = self.head.get();
        let was_read = self.tail.get() == before;
        let written = match write {
            Write::Bytes {
                least,
                most,
                publish,
            } => self.write_bytes(least, most, publish),
            Write::Record { length, publish } => {
                // CAST: A quarter of the largest capacity.
                let longest = self.capacity.get().max_record() as u32;
                self.write_record(length.min(longest), publish)
            }
        };
        if !written {
            return;
        }
        let Waiting {
            pollers,
            every_edge,
            ..
        } = self.readers.waiting.get();
        let told = every_edge || was_read || !self.attributes.cursor_is_tail();
        let woken = Woken {
            pollers: (pollers && told).into(),
            ..self.sleeping_reader(true, self.head.get())
        };
        self.expect_woken(woken, Woken::default());
    }

    /// Answers whether readers have been told.
    fn write_bytes(&self, least: usize, most: usize, publish: Option<usize>) -> bool {
        if self.attributes.overwrites() {
            self.make_room(most);
        }
        let free = self.free();
        let mut producer = self.producer.borrow_mut();
        let Some(room) = producer.reserve(&self.positions, least, most) else {
            assert!(free < least.max(1), "{free} free bytes were kept back");
            self.refuse(&mut producer, most);
            return false;
        };
        let span = room.span();
        assert_eq!(span.len, free.min(most));
        let head = self.head.get();
        self.data.put(span.position, &filling(head, span.len));
        let Some(publish) = publish else {
            return false;
        };
        let published = publish.min(span.len);
        let mut written = self.written.get();
        written.bytes += published as u64;
        self.sent(0, published as u64);
        self.written.set(written);
        self.head.set(head + published as u64);
        let published = room.publish(publish);
        wake_readers(&self.positions, &self.attributes, published, &self.readers);
        true
    }

    /// Answers whether readers have been told.
    fn write_record(&self, length: u32, publish: bool) -> bool {
        let stored = Header::stored(length) as usize;
        if self.attributes.overwrites() {
            self.make_room(stored);
        }
        let free = self.free();
        let mut producer = self.producer.borrow_mut();
        let Some(slot) = producer.reserve_record(&self.positions, length) else {
            assert!(free < stored, "{free} free bytes were kept back");
            self.refuse(&mut producer, length as usize);
            return false;
        };
        assert!(free >= stored, "{free} free bytes are too few");
        let record = Record {
            position: self.head.get(),
            length,
        };
        let payload = slot.payload();
        assert_eq!(payload.len, length as usize);
        let filling = filling(record.position + Header::SIZE as u64, payload.len);
        self.data.put(payload.position, &filling);
        if !publish {
            return false;
        }
        let mut written = self.written.get();
        let timestamp = timestamp(written.records);
        written.records += 1;
        written.bytes += u64::from(length);
        self.sent(1, u64::from(length));
        self.written.set(written);
        self.head.set(record.end());
        self.records.borrow_mut().push(record);
        let published = slot.publish(&self.data, timestamp);
        wake_readers(&self.positions, &self.attributes, published, &self.readers);
        true
    }

    fn refuse(&self, producer: &mut Producer, bytes: usize) {
        if self.attributes.full == Full::Drop {
            self.sent(1, bytes as u64);
            producer.count_dropped(bytes);
            let mut written = self.written.get();
            written.records_dropped += 1;
            written.bytes_dropped = written.bytes_dropped.wrapping_add(bytes as u64);
            self.written.set(written);
        }
    }

    fn read(&self, reader: &Reader, read: Read, meanwhile: Option<Write>) {
        self.catch_up(reader);
        let released = match read {
            Read::Bytes { most, release } => self.read_bytes(reader, most, release, meanwhile),
            Read::Records { most, release } => self.read_records(reader, most, release, meanwhile),
        };
        if let Some(released) = released {
            self.released(released);
        }
    }

    /// A reader that was lapped goes on from the oldest data.
    fn catch_up(&self, reader: &Reader) {
        if self.tail.get() > reader.position.get() {
            assert!(self.attributes.overwrites());
            if self.attributes.framing == Framing::Stream {
                reader.received.set(self.with_lost(reader));
            }
            reader.missed.set(true);
            reader.position.set(self.tail.get());
        }
    }

    fn ask(&self, reader: &Reader) {
        self.catch_up(reader);
        let mut cursor = reader.cursor.borrow_mut();
        let told = cursor.tell(self.view(reader), self.oldest());
        assert_eq!(told, self.with_lost(reader));
        reader.missed.set(false);
        reader.untold.set(false);
    }

    fn read_bytes(
        &self,
        reader: &Reader,
        most: usize,
        release: Option<usize>,
        meanwhile: Option<Write>,
    ) -> Option<Released> {
        let position = reader.position.get();
        let mut cursor = reader.cursor.borrow_mut();
        let Some(unread) = cursor.unread(self.view(reader), most) else {
            assert_eq!(self.unread(reader), 0, "bytes were kept back");
            return None;
        };
        let span = unread.span();
        assert_eq!(span.len as u64, self.unread(reader).min(most as u64));
        let bytes = self.data.get(span.position, span.len);
        assert!(bytes == filling(position, span.len), "not what was written");

        if let Some(write) = meanwhile {
            self.write(write);
        }
        let release = release?;
        let result = unread.release(release);
        assert_eq!(result.is_err(), self.tail.get() > position);
        let released = result.ok()?;
        let taken = release.min(span.len) as u64;
        let mut received = reader.received.get();
        received.bytes += taken;
        reader.received.set(received);
        reader.position.set(position + taken);
        Some(released)
    }

    fn read_records(
        &self,
        reader: &Reader,
        most: usize,
        release: Option<Told>,
        meanwhile: Option<Write>,
    ) -> Option<Released> {
        let position = reader.position.get();
        let first = self.first_from(position);
        let mut cursor = reader.cursor.borrow_mut();
        let Some(found) = cursor.records(self.view(reader), &self.data, most) else {
            assert_eq!(self.unread(reader), 0, "records were kept back");
            return None;
        };
        let missed = first - reader.next.get();
        assert_eq!(found.lost(), missed);

        // At least one, and then those that end within `most` bytes, without their padding.
        let fitting: Vec<Record> = {
            let records = self.records.borrow();
            let unread = &records[first as usize..];
            let fitting = |record: &&Record| {
                let len = record.position - position + (Header::SIZE as u64);
                len + u64::from(record.length) <= most as u64
            };
            let count = unread.iter().take_while(fitting).count().max(1);
            unread[..count].to_vec()
        };
        let span = found.span();
        let bytes = self.data.get(span.position, span.len);
        for (sequence, record) in (first..).zip(&fitting) {
            let header = Header {
                length: record.length,
                sequence,
                timestamp: timestamp(sequence),
            };
            if sequence == first {
                assert_eq!(found.first(), header);
                assert_eq!(found.payload().len, record.length as usize);
                let payload = span.position + Header::SIZE as u64;
                assert_eq!(found.payload().position, payload);
            }
            let begin = (record.position - position) as usize;
            let (head, payload) = bytes[begin..].split_at(Header::SIZE);
            assert_eq!(head, header.to_bytes(0));
            let expected = filling(
                record.position + Header::SIZE as u64,
                record.length as usize,
            );
            assert!(
                payload[..expected.len()] == expected,
                "not what was written"
            );
        }
        let last = fitting.last().unwrap();
        let len = last.position - position + (Header::SIZE as u64) + u64::from(last.length);
        assert_eq!(span.len as u64, len);

        if let Some(write) = meanwhile {
            self.write(write);
        }
        let told = release?;
        let result = found.release(told);
        assert_eq!(result.is_err(), self.tail.get() > position);
        let released = result.ok()?;
        let mut received = reader.received.get();
        received.records += fitting.len() as u64;
        received.bytes += fitting.iter().map(|r| u64::from(r.length)).sum::<u64>();
        received.records_lost += missed;
        if missed > 0 {
            if !told && reader.missed.get() {
                reader.untold.set(true);
            }
            if !reader.untold.get() {
                reader.missed.set(false);
            }
        }
        self.put(reader, last.end(), received);
        Some(released)
    }

    /// A reader has moved its mark, and the tail may follow.
    fn released(&self, released: Released) {
        if self.attributes.overwrites() {
            return;
        }
        let free = self.free();
        let released = if self.attributes.cursor_is_tail() {
            self.tail.set(self.reader(0).unwrap().position.get());
            Some(released)
        } else {
            self.advance_tail()
        };
        if let Some(released) = released {
            self.wake_writers(released, free);
        }
    }

    /// Writers find more room than the `free` bytes that there were before.
    fn wake_writers(&self, released: Released, free: usize) {
        wake_writers(&self.positions, &self.attributes, released, &self.writers);
        let Waiting {
            pollers,
            every_edge,
            ..
        } = self.writers.waiting.get();
        let quarter = self.capacity.get().bytes() / 4;
        // What any write needs: `PIPE_BUF` where its writer waits, or the longest record and its
        // header.
        let needed = match (self.attributes.framing, self.attributes.full) {
            (Framing::Stream, Full::Block) => 4096,
            (Framing::Stream, _) => 1,
            (Framing::Record, _) => quarter + 32,
        };
        let told = self.free() >= needed && (every_edge || free < needed);
        let woken = Woken {
            pollers: (pollers && told).into(),
            ..self.sleeping_writer(self.free() >= quarter.max(needed))
        };
        self.expect_woken(Woken::default(), woken);
    }

    /// Moves the tail to the mark that is furthest behind, where writers wait for all.
    fn advance_tail(&self) -> Option<Released> {
        let cursors = self.cursors.borrow();
        let furthest = cursors
            .iter()
            .min_by_key(|reader| reader.mark.finished().wrapping_sub(self.start))?;
        let released = self.positions.advance_tail(furthest.mark.finished());
        let tail = self.tail.get();
        self.tail.set(tail.max(furthest.position.get()));
        assert_eq!(released.is_some(), self.tail.get() > tail);
        released
    }

    fn join(&self) {
        let oldest = self.oldest();
        let tail = self.tail.get();
        let capacity = self.capacity.get();
        let waiting = self.count_to(self.head.get()) - self.count_to(tail);
        let written = self.written.get();
        self.cursors.borrow_mut().push(Rc::new(Reader {
            mark: Mark::new(oldest.position),
            cursor: RefCell::new(Cursor::new(self.attributes, capacity, oldest)),
            position: Cell::new(tail),
            next: Cell::new(self.place(tail).sequence),
            received: Cell::default(),
            says_missed: Missed::new(),
            missed: Cell::new(false),
            untold: Cell::new(false),
            sent_before: self.sent.get().wrapping_sub(waiting),
            refused_before: match self.attributes.framing {
                Framing::Stream => written.bytes_dropped,
                Framing::Record => written.records_dropped,
            },
            skipped: Cell::new(0),
        }));
    }

    /// Where the ring says that the oldest data begin.
    fn oldest(&self) -> Place {
        let producer = self.producer.borrow();
        producer.oldest(&self.positions, &self.data)
    }

    fn part(&self, reader: usize) {
        {
            let mut cursors = self.cursors.borrow_mut();
            let Some(reader) = reader.checked_rem(cursors.len()) else {
                return;
            };
            cursors.remove(reader);
        }
        self.move_on();
    }

    fn seek(&self, reader: &Reader, to: End) {
        let (to, position) = match to {
            End::Oldest => (self.oldest(), self.tail.get()),
            End::Newest => (self.producer.borrow().newest(), self.head.get()),
        };
        if self.tail.get() > reader.position.get() {
            reader.missed.set(true);
        }
        let mut cursor = reader.cursor.borrow_mut();
        cursor.seek(self.view(reader), to, self.oldest());
        drop(cursor);
        // What it had missed was lost, also if it had not noticed; what was still there was left
        // out.
        let left_out = self
            .count_to(position)
            .wrapping_sub(self.count_to(self.from(reader)));
        let skipped = reader.skipped.get().wrapping_add(left_out);
        reader.skipped.set(skipped);
        self.put(reader, position, self.with_lost(reader));
        self.move_on();
    }

    /// The tail follows cursors that have not read.
    fn move_on(&self) {
        if self.attributes.overwrites() {
            return;
        }
        let free = self.free();
        if let Some(released) = self.advance_tail() {
            self.wake_writers(released, free);
        }
    }

    fn clear(&self) {
        let newest = self.producer.borrow().newest();
        let head = self.head.get();
        let free = self.free();
        self.make_room(usize::MAX);
        let mut last = None;
        for reader in self.cursors.borrow().iter() {
            let lost = head - reader.position.get();
            if self.attributes.framing == Framing::Stream {
                let mut received = reader.received.get();
                received.bytes_lost += lost;
                reader.received.set(received);
            }
            if lost > 0 {
                reader.missed.set(true);
            }
            // Records are missed when the next one comes.
            reader.position.set(head);
            let mut cursor = reader.cursor.borrow_mut();
            last = Some(cursor.clear(self.view(reader), newest));
        }
        if self.attributes.overwrites() {
            assert_eq!(self.tail.get(), head);
        } else {
            if self.attributes.delivery == Delivery::Broadcast {
                last = self.positions.advance_tail(newest.position);
                assert_eq!(last.is_some(), self.tail.get() != head);
            }
            self.tail.set(head);
            if let Some(released) = last {
                self.wake_writers(released, free);
            }
        }
        // Whoever comes later sees nothing of it.
        assert_eq!(self.oldest(), newest);
    }

    /// Changes the capacity, if what is in the ring fits or has been read by all.
    fn resize(&self, capacity: Capacity) {
        let before = self.capacity.get();
        let cursors = self.cursors.borrow();
        let furthest = cursors.iter().map(|reader| self.from(reader)).min();
        let used = before.bytes() - self.free();
        let overfull = self.attributes.overwrites() && used > capacity.bytes();
        // Nothing is given up for a capacity that the rest does not fit either.
        let keep = furthest.filter(|keep| self.head.get() - keep <= capacity.as_u64());
        if let (Some(keep), true) = (keep, overfull) {
            let mut producer = self.producer.borrow_mut();
            producer.give_up_before(&self.positions, self.at(keep));
            self.tail.set(keep);
        }
        drop(cursors);
        let used = before.bytes() - self.free();
        if used > capacity.bytes() {
            return;
        }
        let tail = self.at(self.tail.get());
        let bytes = self.data.get(tail, used);
        *self.data.0.borrow_mut() = vec![0; capacity.bytes()];
        self.data.put(tail, &bytes);
        self.capacity.set(capacity);
        let mut producer = self.producer.borrow_mut();
        producer.set_capacity(&self.positions, capacity);
        for reader in self.cursors.borrow().iter() {
            reader.cursor.borrow_mut().set_capacity(capacity);
        }
    }

    /// Readers that are woken, for the account's position `there_is`, if `woken` says so and some
    /// sleep.
    fn sleeping_reader(&self, woken: bool, there_is: u64) -> Woken {
        let woken = woken && self.readers.waiting.get().sleepers;
        Woken {
            sleepers: woken.then(|| self.at(there_is)).into_iter().collect(),
            pollers: 0,
        }
    }

    /// A writer that is woken, for all the room there is, if `woken` says so and one sleeps.
    fn sleeping_writer(&self, woken: bool) -> Woken {
        let woken = woken && self.writers.waiting.get().sleepers;
        Woken {
            sleepers: woken.then_some(self.free() as u64).into_iter().collect(),
            pollers: 0,
        }
    }

    fn expect_woken(&self, readers: Woken, writers: Woken) {
        assert_eq!(self.readers.woken.take(), readers, "readers");
        assert_eq!(self.writers.woken.take(), writers, "writers");
    }
}

/// When the record with the number `sequence` was written.
fn timestamp(sequence: u64) -> u64 {
    sequence.wrapping_mul(0x5851_f42d_4c95_7f2d)
}
