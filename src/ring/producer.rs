// SPDX-License-Identifier: GPL-2.0

//! The writers' side: reserve room, fill it, publish it.

use super::{
    positions::{Place, Positions, Span},
    record::{Header, Words},
    Attributes,
    Capacity,
    Framing, //
};

/// What has been written, and what has been refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Records; 0 for a stream.
    pub(crate) records: u64,
    /// Bytes, without headers.
    pub(crate) bytes: u64,
    /// Records, or writes to a stream, that were refused for want of room.
    pub(crate) records_dropped: u64,
    /// Their bytes.
    pub(crate) bytes_dropped: u64,
}

/// What only the writer may know: the head, and how far it may go by the last seen of the tail.
///
/// There is one for each ring, inside the writers' lock.
///
/// # Invariants
///
/// - `head` is the value of the shared head.
/// - `limit` is a capacity beyond a former value of the shared tail, hence not below `head`, and at
///   most a capacity beyond. If the ring is overwritten it is a capacity beyond the tail itself,
///   since nobody else stores that.
pub(crate) struct Producer {
    head: u64,
    limit: u64,
    capacity: Capacity,
    attributes: Attributes,
    written: Written,
    high_water: u64,
}

impl Producer {
    /// The producer of a ring whose positions were made with the same `start` and capacity.
    pub(crate) fn new(attributes: Attributes, capacity: Capacity, start: u64) -> Self {
        // INVARIANT: Both shared positions are `start`.
        Self {
            head: start,
            limit: start.wrapping_add(capacity.as_u64()),
            capacity,
            attributes,
            written: Written::default(),
            high_water: 0,
        }
    }

    /// Finds room for at least `least` and at most `most` bytes, which is no less and not 0.
    ///
    /// `None` if fewer than `least` bytes are free. The tail, which is the readers' cache line, is
    /// loaded only if what is known of it does not allow `most`.
    #[inline]
    pub(crate) fn reserve<'a>(
        &'a mut self,
        positions: &'a Positions,
        least: usize,
        most: usize,
    ) -> Option<Room<'a>> {
        let mut free = self.free();
        if free < most {
            self.look(positions);
            free = self.free();
            if free < least || free == 0 {
                return None;
            }
        }
        // INVARIANT: By our own at most a capacity is free.
        let span = Span {
            position: self.head,
            len: free.min(most),
        };
        Some(Room {
            producer: self,
            positions,
            span,
        })
    }

    /// Finds room for `len` bytes. `None` if fewer are free.
    #[inline]
    pub(crate) fn reserve_all<'a>(
        &'a mut self,
        positions: &'a Positions,
        len: usize,
    ) -> Option<Room<'a>> {
        if self.free() < len {
            self.look(positions);
            if self.free() < len {
                return None;
            }
        }
        // INVARIANT: By our own at most a capacity is free.
        let span = Span {
            position: self.head,
            len,
        };
        Some(Room {
            producer: self,
            positions,
            span,
        })
    }

    /// Finds room for a record with a payload of `length` bytes. `None` if there is not enough.
    #[inline]
    pub(crate) fn reserve_record<'a>(
        &'a mut self,
        positions: &'a Positions,
        length: u32,
    ) -> Option<Slot<'a>> {
        // CAST: A record with its header is far smaller than what `usize` counts.
        let stored = Header::stored(length) as usize;
        let room = self.reserve_all(positions, stored)?;
        Some(Slot { room, length })
    }

    /// Makes room for `bytes` bytes, at most the capacity, by giving up the oldest data. For a ring
    /// that is overwritten; on another it does nothing.
    ///
    /// From here on, until something is published, what was given up is gone all the same.
    #[inline]
    pub(crate) fn make_room(&mut self, positions: &Positions, words: &impl Words, bytes: usize) {
        let bytes = bytes.min(self.capacity.bytes());
        if !self.attributes.overwrites() || self.free() >= bytes {
            return;
        }
        while self.free() < bytes {
            let step = match self.attributes.framing {
                Framing::Stream => (bytes - self.free()) as u64,
                Framing::Record => Header::stored(Header::load_length(words, self.tail_seen())),
            };
            // INVARIANT: The tail stays at or below the head: between them are whole records.
            self.limit = self.limit.wrapping_add(step);
        }
        positions.evict(self.tail_seen());
    }

    /// Gives up what is older than `position`, where a record begins or any byte of a stream. For a
    /// ring that is overwritten.
    pub(crate) fn give_up_before(&mut self, positions: &Positions, position: u64) {
        // INVARIANT: The caller names a place between the tail and the head.
        self.go_by(position);
        positions.evict(position);
    }

    /// Takes note of something that was refused for want of room.
    pub(crate) fn count_dropped(&mut self, bytes: usize) {
        let written = &mut self.written;
        written.records_dropped = written.records_dropped.wrapping_add(1);
        written.bytes_dropped = written.bytes_dropped.wrapping_add(bytes as u64);
    }

    /// What has been written, and what has been refused.
    pub(crate) fn written(&self) -> Written {
        self.written
    }

    /// The ring's capacity.
    #[inline]
    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Takes note of how much was in the ring.
    pub(crate) fn note_fill(&mut self, bytes: u64) {
        self.high_water = self.high_water.max(bytes);
    }

    /// The most that was seen to be in the ring when it was nearly full.
    pub(crate) fn high_water(&self) -> u64 {
        self.high_water
    }

    /// Where the next data will begin.
    pub(crate) fn newest(&self) -> Place {
        Place {
            position: self.head,
            sequence: self.written.records,
        }
    }

    /// Where the oldest data begin. Nobody may move the tail meanwhile: where writers overwrite
    /// only the holder of the producer does, elsewhere whoever moves cursors.
    pub(crate) fn oldest(&self, positions: &Positions, words: &impl Words) -> Place {
        let position = positions.load_tail();
        if position == self.head {
            return self.newest();
        }
        Place {
            position,
            sequence: match self.attributes.framing {
                Framing::Stream => 0,
                Framing::Record => Header::load(words, position).sequence,
            },
        }
    }

    /// The ring has another capacity from now on, and its data have been copied.
    pub(crate) fn set_capacity(&mut self, positions: &Positions, capacity: Capacity) {
        // INVARIANT: The caller has seen that what is in the ring fits. What was known of the tail
        // may not, so it is looked up.
        self.capacity = capacity;
        self.go_by(positions.load_tail());
        positions.set_capacity(capacity);
    }

    /// Looks how far the readers have come.
    #[inline]
    fn look(&mut self, positions: &Positions) {
        // INVARIANT: It is the shared tail's value.
        let tail = positions.load_tail();
        self.go_by(tail);
        self.high_water = self.high_water.max(self.head.wrapping_sub(tail));
    }

    /// The head may go a capacity beyond `tail`.
    #[inline]
    fn go_by(&mut self, tail: u64) {
        self.limit = tail.wrapping_add(self.capacity.as_u64());
    }

    /// The tail that `limit` goes by.
    #[inline]
    fn tail_seen(&self) -> u64 {
        self.limit.wrapping_sub(self.capacity.as_u64())
    }

    #[inline]
    fn free(&self) -> usize {
        // CAST: By the type invariant at most the capacity, which fits.
        self.limit.wrapping_sub(self.head) as usize
    }
}

/// Room that the holder may fill, and then publish.
///
/// If it is dropped instead, nothing has happened.
pub(crate) struct Room<'a> {
    producer: &'a mut Producer,
    positions: &'a Positions,
    span: Span,
}

impl Room<'_> {
    /// The room.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Gives the first `filled` bytes of the room to readers; more than there are is cut.
    ///
    /// Returns what [`wake_readers`] wants to know.
    ///
    /// [`wake_readers`]: super::wake_readers
    #[inline]
    pub(crate) fn publish(self, filled: usize) -> Published {
        let filled = filled.min(self.span.len) as u64;
        let written = &mut self.producer.written;
        written.bytes = written.bytes.wrapping_add(filled);
        self.advance(filled)
    }

    #[inline]
    fn advance(self, bytes: u64) -> Published {
        let before = self.producer.head;
        let head = before.wrapping_add(bytes);
        // INVARIANT: The room was free, so the new head is within a capacity of the tail.
        self.producer.head = head;
        self.positions.store_head(head);
        Published { before, head }
    }
}

/// Room for a record. If it is dropped, nothing has happened.
pub(crate) struct Slot<'a> {
    room: Room<'a>,
    length: u32,
}

impl Slot<'_> {
    /// The room for the payload.
    #[inline]
    pub(crate) fn payload(&self) -> Span {
        // INVARIANT: It lies within the room, which has no more than a capacity.
        Span {
            position: self.room.span.position.wrapping_add(Header::SIZE as u64),
            // CAST: 32 bits fit.
            len: self.length as usize,
        }
    }

    /// Gives the record to readers; its payload has been filled, and it is from `timestamp`.
    ///
    /// Returns what [`wake_readers`] wants to know.
    ///
    /// [`wake_readers`]: super::wake_readers
    #[inline]
    pub(crate) fn publish(self, words: &impl Words, timestamp: u64) -> Published {
        let Self { room, length } = self;
        let written = &mut room.producer.written;
        let header = Header {
            length,
            sequence: written.records,
            timestamp,
        };
        let position = room.span.position;
        header.store(words, position);
        Header::clear_padding(words, position.wrapping_add(Header::SIZE as u64), length);
        written.records = written.records.wrapping_add(1);
        written.bytes = written.bytes.wrapping_add(u64::from(length));
        room.advance(Header::stored(length))
    }
}

/// A head has been published, and readers may have to be woken.
#[must_use = "readers that sleep have to be woken"]
pub(crate) struct Published {
    /// The head before.
    pub(crate) before: u64,
    /// The head now.
    pub(super) head: u64,
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_producer)
)]
mod tests {
    use super::*;
    use crate::ring::{
        testing::{
            capacity,
            shared,
            Ring,
            BYTES, //
        },
        Full, //
    };

    /// Positions that wrap after 3000 bytes.
    const START: u64 = 0u64.wrapping_sub(3000);

    /// The same for records, which begin at multiples of 8.
    const ALIGNED: u64 = 0u64.wrapping_sub(3008);

    fn stream(full: Full) -> Result<Ring, ()> {
        Ring::new(shared(Framing::Stream, full), START)
    }

    fn records(full: Full) -> Result<Ring, ()> {
        Ring::new(shared(Framing::Record, full), ALIGNED)
    }

    /// So many bytes beyond the begin of a ring of records.
    fn place(bytes: u64, sequence: u64) -> Place {
        Place {
            position: ALIGNED.wrapping_add(bytes),
            sequence,
        }
    }

    #[test]
    fn empty_ring_has_room_for_its_capacity() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let producer = &mut ring.writer().producer;
        let room = producer.reserve(&ring.positions, BYTES, usize::MAX);
        let span = room.ok_or(())?.span();
        assert_eq!(span.position, START);
        assert_eq!(span.len, BYTES);
        Ok(())
    }

    #[test]
    fn dropped_room_is_still_free() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let producer = &mut ring.writer().producer;
        let first = producer.reserve(&ring.positions, 1, 100).ok_or(())?.span();
        let second = producer.reserve(&ring.positions, 1, 100).ok_or(())?.span();
        assert_eq!(first.len, 100);
        assert_eq!(second, first);
        assert_eq!(ring.unread(), 0);
        assert_eq!(ring.positions.room(), BYTES);
        assert_eq!(producer.written(), Written::default());
        Ok(())
    }

    #[test]
    fn published_bytes_can_be_read() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let producer = &mut ring.writer().producer;
        let room = producer.reserve(&ring.positions, 1, 100).ok_or(())?;
        let published = room.publish(60);
        assert_eq!(published.before, START);
        assert_eq!(published.head, START.wrapping_add(60));
        assert_eq!(ring.unread(), 60);
        assert_eq!(ring.positions.room(), 4036);

        // The next room follows, and no more is published than was reserved.
        let room = producer.reserve(&ring.positions, 1, 100).ok_or(())?;
        assert_eq!(room.span().position, START.wrapping_add(60));
        let published = room.publish(101);
        assert_eq!(published.before, START.wrapping_add(60));
        assert_eq!(ring.unread(), 160);
        assert_eq!(producer.written().bytes, 160);
        assert_eq!(producer.written().records, 0);
        Ok(())
    }

    #[test]
    fn full_ring_has_no_room() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let _ = writer.write(4000)?;
        let producer = &mut writer.producer;
        // Less than asked for, but no less than wanted.
        assert!(producer.reserve(&ring.positions, 97, 200).is_none());
        let room = producer.reserve(&ring.positions, 96, 200).ok_or(())?;
        assert_eq!(room.span().len, 96);
        let _ = room.publish(96);
        assert!(producer.reserve(&ring.positions, 1, 1).is_none());
        assert_eq!(producer.high_water(), BYTES as u64);
        assert_eq!(ring.positions.room(), 0);
        assert_eq!(ring.positions.head(), START.wrapping_add(BYTES as u64));
        assert_eq!(ring.unread(), BYTES);
        Ok(())
    }

    #[test]
    fn released_room_is_found_again() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let _ = writer.write(BYTES)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 10).ok_or(())?;
        assert!(unread.release(10).is_ok());
        let producer = &mut writer.producer;
        assert!(producer.reserve(&ring.positions, 11, 11).is_none());
        let room = producer.reserve(&ring.positions, 10, BYTES).ok_or(())?;
        assert_eq!(room.span().len, 10);
        assert_eq!(room.span().position, START.wrapping_add(BYTES as u64));
        Ok(())
    }

    #[test]
    fn room_is_made_only_where_data_are_overwritten() -> Result<(), ()> {
        for full in [Full::Block, Full::Drop] {
            let ring = stream(full)?;
            let mut writer = ring.writer();
            let _ = writer.write(BYTES)?;
            assert!(writer.write(1).is_err());
            assert_eq!(ring.positions.tail().load(), START);
            assert_eq!(ring.unread(), BYTES);
        }
        Ok(())
    }

    #[test]
    fn no_more_of_a_stream_is_given_up_than_has_to_be() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let _ = writer.write(4000)?;
        let producer = &mut writer.producer;
        // There is no more than all of it.
        for (bytes, oldest) in [(96, 0), (97, 1), (3500, 3404), (usize::MAX, 4000)] {
            producer.make_room(&ring.positions, &ring, bytes);
            let place = Place::first(START.wrapping_add(oldest));
            assert_eq!(producer.oldest(&ring.positions, &ring), place);
            assert_eq!(ring.positions.tail().load(), place.position);
        }
        assert_eq!(producer.newest(), Place::first(START.wrapping_add(4000)));
        assert_eq!(ring.positions.room(), BYTES);
        Ok(())
    }

    #[test]
    fn whole_records_are_given_up() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        // Of 1024, 520, and 1032 bytes with their headers.
        for length in [992, 488, 1000] {
            let _ = writer.record(length)?;
        }
        let free = BYTES - 1024 - 520 - 1032;
        let producer = &mut writer.producer;
        for (bytes, position, sequence) in [
            (free, 0, 0),
            (free + 1, 1024, 1),
            (free + 1024, 1024, 1),
            (free + 1025, 1544, 2),
            (BYTES, 2576, 3),
        ] {
            producer.make_room(&ring.positions, &ring, bytes);
            let oldest = producer.oldest(&ring.positions, &ring);
            assert_eq!(oldest, place(position, sequence));
        }
        assert_eq!(producer.newest(), place(2576, 3));
        Ok(())
    }

    #[test]
    fn oldest_record_has_its_number_also_where_writers_wait() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        assert_eq!(writer.oldest(), place(0, 0));
        for length in [992, 488] {
            let _ = writer.record(length)?;
        }
        for oldest in [place(0, 0), place(1024, 1)] {
            assert_eq!(writer.oldest(), oldest);
            let records = cursor.record(ring.view(), &ring).ok_or(())?;
            assert!(records.release(false).is_ok());
        }
        assert_eq!(writer.oldest(), place(1544, 2));
        assert_eq!(writer.producer.newest(), place(1544, 2));
        Ok(())
    }

    #[test]
    fn record_has_a_place_for_its_payload() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let producer = &mut ring.writer().producer;
        let slot = producer.reserve_record(&ring.positions, 100).ok_or(())?;
        assert_eq!(slot.payload().position, ALIGNED.wrapping_add(32));
        assert_eq!(slot.payload().len, 100);
        let published = slot.publish(&ring, 7);
        assert_eq!(published.before, ALIGNED);
        assert_eq!(published.head, ALIGNED.wrapping_add(136));

        let header = Header {
            length: 100,
            sequence: 0,
            timestamp: 7,
        };
        assert_eq!(Header::load(&ring, ALIGNED), header);
        assert_eq!(producer.newest(), place(136, 1));
        assert_eq!(producer.written().records, 1);
        assert_eq!(producer.written().bytes, 100);
        Ok(())
    }

    #[test]
    fn record_is_padded_with_zeros() -> Result<(), ()> {
        let payload = ALIGNED.wrapping_add(Header::SIZE as u64);
        for length in 1..=17 {
            // All ones, which is what a payload is that nobody has filled.
            let ring = records(Full::Block)?;
            let producer = &mut ring.writer().producer;
            let slot = producer.reserve_record(&ring.positions, length).ok_or(())?;
            let _ = slot.publish(&ring, 7);
            let words = ring.load_all::<4>(payload);
            let bytes = words.map(u64::to_ne_bytes);
            let end = Header::stored(length) as usize - Header::SIZE;
            for (index, byte) in bytes.as_flattened().iter().enumerate() {
                let padding = (length as usize..end).contains(&index);
                assert_eq!(*byte, if padding { 0 } else { 0xff });
            }
        }
        Ok(())
    }

    #[test]
    fn record_fits_with_its_header_or_not_at_all() -> Result<(), ()> {
        let ring = records(Full::Drop)?;
        let mut writer = ring.writer();
        for _ in 0..3 {
            let _ = writer.record(992)?;
        }
        let producer = &mut writer.producer;
        assert!(producer.reserve_record(&ring.positions, 993).is_none());
        producer.count_dropped(993);
        assert!(producer.reserve_record(&ring.positions, 1024).is_none());
        producer.count_dropped(1024);
        assert!(producer.reserve_record(&ring.positions, 992).is_some());

        let written = Written {
            records: 3,
            bytes: 3 * 992,
            records_dropped: 2,
            bytes_dropped: 993 + 1024,
        };
        assert_eq!(producer.written(), written);
        Ok(())
    }

    #[test]
    fn capacity_changes_with_data_in_the_ring() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let _ = writer.write(BYTES)?;
        let mut cursor = ring.cursor();
        let producer = &mut writer.producer;
        producer.set_capacity(&ring.positions, capacity(2 * BYTES)?);
        cursor.set_capacity(capacity(2 * BYTES)?);
        let room = producer.reserve(&ring.positions, 1, usize::MAX).ok_or(())?;
        assert_eq!(room.span().position, START.wrapping_add(BYTES as u64));
        assert_eq!(room.span().len, BYTES);

        let unread = cursor.unread(ring.view(), usize::MAX).ok_or(())?;
        assert_eq!(unread.span().position, START);
        assert_eq!(unread.span().len, BYTES);
        assert!(unread.release(100).is_ok());

        // What was not known of the tail is known after the change.
        producer.set_capacity(&ring.positions, capacity(BYTES)?);
        let room = producer.reserve(&ring.positions, 1, usize::MAX).ok_or(())?;
        assert_eq!(room.span().len, 100);
        Ok(())
    }

    #[test]
    fn what_was_read_can_be_given_up() -> Result<(), ()> {
        const START: u64 = u64::MAX - 100;
        let attributes = shared(Framing::Stream, Full::Overwrite);
        let ring = Ring::new(attributes, START)?;
        let mut writer = ring.writer();
        let _ = writer.write(1000)?;
        let keep = START.wrapping_add(600);
        writer.producer.give_up_before(&ring.positions, keep);
        assert_eq!(writer.oldest().position, keep);
        assert_eq!(ring.positions.tail().load(), keep);
        Ok(())
    }

    #[test]
    fn high_water_never_falls() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Stream, Full::Block), 0)?;
        let mut writer = ring.writer();
        writer.producer.note_fill(300);
        writer.producer.note_fill(200);
        assert_eq!(writer.producer.high_water(), 300);
        Ok(())
    }
}
