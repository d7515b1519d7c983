// SPDX-License-Identifier: GPL-2.0

//! The readers' side: see what is unread, take it, release it.
//!
//! Where writers wait, what is between the cursor and the head stays as it is. Where they
//! overwrite, it may be written to at any moment, also while it is copied. Nobody waits for anybody
//! then: the writer moves the tail before it overwrites, and the cursor looks at the tail after it
//! has copied. If the tail has passed it, what it has copied is worth nothing; it goes on from the
//! tail, and counts what it has missed.

use super::{
    positions::{is_beyond, Mark, Missed, Place, Positions, Released, Span},
    record::{Header, Words},
    Attributes,
    Capacity,
    Framing, //
};

/// What has been read from a cursor, and what was overwritten before it could be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// Records; 0 for a stream.
    pub(crate) records: u64,
    /// Bytes, without headers.
    pub(crate) bytes: u64,
    /// Records that were overwritten.
    pub(crate) records_lost: u64,
    /// Bytes of a stream that were overwritten.
    pub(crate) bytes_lost: u64,
}

impl Received {
    /// Both together.
    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            records: self.records.wrapping_add(other.records),
            bytes: self.bytes.wrapping_add(other.bytes),
            records_lost: self.records_lost.wrapping_add(other.records_lost),
            bytes_lost: self.bytes_lost.wrapping_add(other.bytes_lost),
        }
    }
}

/// What a cursor and its readers share with everybody: the positions of the ring, and its own.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) positions: &'a Positions,
    /// Where the cursor says that it is: a mark of its own, or the tail, if
    /// [`Attributes::cursor_is_tail`].
    pub(crate) mark: &'a Mark,
    pub(crate) missed: &'a Missed,
}

impl<'a> View<'a> {
    /// What a cursor sees whose own mark is `own`.
    #[inline]
    pub(crate) fn new(
        attributes: Attributes,
        positions: &'a Positions,
        own: &'a Mark,
        missed: &'a Missed,
    ) -> Self {
        Self {
            positions,
            mark: if attributes.cursor_is_tail() {
                positions.tail()
            } else {
                own
            },
            missed,
        }
    }

    /// For a thread that does not hold the cursor: whether something was lost here that nobody has
    /// been told of, noticed or not.
    pub(crate) fn has_missed(&self) -> bool {
        // In this order: see `Missed`.
        self.positions.has_passed(self.mark) || self.missed.is_set()
    }
}

/// A reading position, with the memory of what it saw.
///
/// It is inside a lock of its own. A ring with shared delivery has one, else there is one for each
/// endpoint that reads.
///
/// # Invariants
///
/// - `position` is the value of the cursor's mark.
/// - `head_seen` is a former value of the shared head, and not below `position`. Where writers
///   wait, it is at most a capacity beyond.
pub(crate) struct Cursor {
    position: u64,
    head_seen: u64,
    capacity: Capacity,
    attributes: Attributes,
    /// The number that the next record has if none is missed.
    next: u64,
    received: Received,
    high_water: u64,
    /// Something was lost before what has been read, and those who read it were not told.
    is_untold: bool,
}

/// What was copied had been overwritten, or may have been, and is to be forgotten. At its next look
/// the cursor goes on to the oldest data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lapped;

impl Cursor {
    /// A cursor whose mark was made at this place.
    pub(crate) fn new(attributes: Attributes, capacity: Capacity, at: Place) -> Self {
        let Place { position, sequence } = at;
        // INVARIANT: The mark is at `position`, and the head was there or beyond.
        Self {
            position,
            head_seen: position,
            capacity,
            attributes,
            next: sequence,
            received: Received::default(),
            high_water: 0,
            is_untold: false,
        }
    }

    /// Finds unread bytes of a stream, at most `most`, which is not 0.
    ///
    /// `None` if there are none. Fewer than `most` means that there are no more. The head, which is
    /// the writers' cache line, is loaded only if what is known of it does not allow `most`.
    #[inline]
    pub(crate) fn unread<'a>(&'a mut self, view: View<'a>, most: usize) -> Option<Unread<'a>> {
        if self.attributes.overwrites() {
            self.catch_up(view);
        }
        let len = self.find(view, most)?;
        Some(Unread {
            span: Span::new(self.capacity, self.position, len),
            cursor: self,
            view,
        })
    }

    /// The same, where it is known that writers wait.
    #[inline]
    pub(crate) fn unread_kept<'a>(&'a mut self, view: View<'a>, most: usize) -> Option<Unread<'a>> {
        let len = self.find(view, most)?;
        Some(Unread {
            // INVARIANT: By our own no more than a capacity is unread.
            span: Span {
                position: self.position,
                len,
            },
            cursor: self,
            view,
        })
    }

    /// How many bytes are unread, at most `most`. `None` if none are.
    #[inline]
    fn find(&mut self, view: View<'_>, most: usize) -> Option<usize> {
        let mut unread = self.known_unread();
        if unread < most {
            self.look(view);
            unread = self.known_unread();
            if unread == 0 {
                return None;
            }
        }
        Some(unread.min(most))
    }

    /// Finds the next record. `None` if there is none.
    #[inline]
    pub(crate) fn record<'a>(
        &'a mut self,
        view: View<'a>,
        words: &impl Words,
    ) -> Option<Records<'a>> {
        self.records(view, words, 0)
    }

    /// Finds as many whole records as fit into `most` bytes, each with its header, but at least
    /// one. `None` if there is none.
    ///
    /// Where data may be overwritten, what is found may be so already. Its first record was there
    /// after it had been looked at.
    #[inline]
    pub(crate) fn records<'a>(
        &'a mut self,
        view: View<'a>,
        words: &impl Words,
        most: usize,
    ) -> Option<Records<'a>> {
        let first = loop {
            if self.attributes.overwrites() {
                self.catch_up(view);
            }
            if self.known_unread() == 0 {
                self.look(view);
                if self.known_unread() == 0 {
                    return None;
                }
            }
            let first = Header::load(words, self.position);
            if !self.attributes.overwrites() || !view.positions.was_overwritten(self.position) {
                break first;
            }
        };

        let mut found = Found {
            end: self.position.wrapping_add(Header::stored(first.length)),
            // CAST: Far less than what `usize` counts.
            len: Header::SIZE + first.length as usize,
            records: 1,
            bytes: u64::from(first.length),
        };
        if found.len < most {
            self.look(view);
            self.extend(&mut found, words, most);
        }
        Some(Records {
            cursor: self,
            view,
            first,
            found,
        })
    }

    /// Adds to `found` the records behind it that fit into `most` bytes.
    fn extend(&self, found: &mut Found, words: &impl Words, most: usize) {
        while found.end != self.head_seen {
            let length = Header::load_length(words, found.end);
            let end = found.end.wrapping_add(Header::stored(length));
            // The records before it, and it without the padding behind it.
            // CAST: Both are at most a few times the capacity.
            let before = found.end.wrapping_sub(self.position) as usize;
            let len = before.saturating_add(Header::SIZE + length as usize);
            // The second is so only if this was overwritten, and is no header any more.
            if len > most || is_beyond(end, self.head_seen) {
                return;
            }
            *found = Found {
                end,
                len,
                records: found.records + 1,
                bytes: found.bytes + u64::from(length),
            };
        }
    }

    /// Moves the cursor to another place. `oldest` is where the oldest data begin: what was lost so
    /// far is counted, and what is left out on the way is neither read nor lost.
    pub(crate) fn seek(&mut self, view: View<'_>, to: Place, oldest: Place) {
        self.lose_up_to(view, oldest.position);
        self.received = self.received(oldest);
        self.next = to.sequence;
        self.head_seen = view.positions.load_head();
        self.go_to(view, to.position);
    }

    /// Gives up all that is unread, up to `newest`. It counts as lost. The holder of the producer
    /// says what that is, and does not write meanwhile.
    ///
    /// Returns what [`wake_writers`] wants to know.
    ///
    /// [`wake_writers`]: super::wake_writers
    pub(crate) fn clear(&mut self, view: View<'_>, newest: Place) -> Released {
        let before = self.position;
        self.lose_up_to(view, newest.position);
        Released { before }
    }

    /// The ring has another capacity from now on, and its data have been copied.
    pub(crate) fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// What has been read here. What was lost is not part of it.
    pub(crate) fn read(&self) -> Received {
        Received {
            records_lost: 0,
            bytes_lost: 0,
            ..self.received
        }
    }

    /// Where the cursor would go on, if the oldest data begin at `oldest`.
    pub(crate) fn position_from(&self, oldest: Place) -> u64 {
        if is_beyond(oldest.position, self.position) {
            oldest.position
        } else {
            self.position
        }
    }

    /// The most that was seen to be unread here.
    pub(crate) fn high_water(&self) -> u64 {
        self.high_water
    }

    /// What has been read, and what the cursor has noticed to be lost so far.
    #[inline]
    pub(crate) fn noticed(&self) -> Received {
        self.received
    }

    /// What has been read and lost, if the oldest data begin at `oldest`.
    pub(crate) fn received(&self, oldest: Place) -> Received {
        let mut received = self.received;
        match self.attributes.framing {
            Framing::Stream if is_beyond(oldest.position, self.position) => {
                let lost = oldest.position.wrapping_sub(self.position);
                received.bytes_lost = received.bytes_lost.wrapping_add(lost);
            }
            Framing::Record if is_beyond(oldest.sequence, self.next) => {
                let lost = oldest.sequence.wrapping_sub(self.next);
                received.records_lost = received.records_lost.wrapping_add(lost);
            }
            _ => {}
        }
        received
    }

    /// Looks how far the writers have come.
    #[inline]
    fn look(&mut self, view: View<'_>) {
        // INVARIANT: It is the shared head's value.
        self.head_seen = view.positions.load_head();
        let unread = self.head_seen.wrapping_sub(self.position);
        if unread > self.high_water {
            self.raise_high_water(unread);
        }
    }

    #[cold]
    fn raise_high_water(&mut self, unread: u64) {
        // Data that were overwritten since may be among them, and are not there.
        self.high_water = self.high_water.max(unread.min(self.capacity.as_u64()));
    }

    /// Tells what was received and lost here, if the oldest data begin at `oldest`, to somebody for
    /// whom it is no news any more then.
    pub(crate) fn tell(&mut self, view: View<'_>, oldest: Place) -> Received {
        self.lose_up_to(view, oldest.position);
        self.is_untold = false;
        view.missed.clear();
        self.received(oldest)
    }

    /// If the cursor has been lapped, goes on from the oldest data.
    #[inline]
    fn catch_up(&mut self, view: View<'_>) {
        self.lose_up_to(view, view.positions.load_tail());
    }

    /// What lies before `position`, which the tail or the head has reached, is lost if it has not
    /// been read.
    #[inline]
    fn lose_up_to(&mut self, view: View<'_>, position: u64) {
        if !is_beyond(position, self.position) {
            return;
        }
        // Before the mark moves; see `Missed`.
        view.missed.set();
        if self.attributes.framing == Framing::Stream {
            let lost = position.wrapping_sub(self.position);
            self.received.bytes_lost = self.received.bytes_lost.wrapping_add(lost);
        }
        // Records that were lost are found missing, and counted, at the next one.
        // INVARIANT: The head was at this position or beyond before this was found out.
        self.head_seen = view.positions.load_head();
        self.go_to(view, position);
    }

    fn go_to(&mut self, view: View<'_>, position: u64) {
        // INVARIANT: Both are changed.
        self.position = position;
        view.mark.release(position);
    }

    #[inline]
    fn missed_before(&self, sequence: u64) -> u64 {
        sequence.wrapping_sub(self.next)
    }

    /// Whether what begins at the cursor may have been overwritten.
    #[inline]
    fn check_lapped(&self, view: View<'_>) -> Result<(), Lapped> {
        if self.attributes.overwrites() && view.positions.was_overwritten(self.position) {
            Err(Lapped)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn known_unread(&self) -> usize {
        // CAST: By the type invariant at most the capacity, which fits. Where writers overwrite it
        // may be more by what was overwritten already; a span is cut, and found out to be worth
        // nothing.
        self.head_seen.wrapping_sub(self.position) as usize
    }
}

/// Bytes of a stream that the holder may copy, and then release.
///
/// If it is dropped instead, nothing has happened and they can be read again.
pub(crate) struct Unread<'a> {
    cursor: &'a mut Cursor,
    view: View<'a>,
    span: Span,
}

impl Unread<'_> {
    /// The bytes.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Gives the first `taken` bytes back to writers; more than there are is cut.
    ///
    /// Returns what [`wake_writers`] wants to know.
    ///
    /// [`wake_writers`]: super::wake_writers
    #[inline]
    pub(crate) fn release(self, taken: usize) -> Result<Released, Lapped> {
        self.cursor.check_lapped(self.view)?;
        Ok(self.release_kept(taken))
    }

    /// The same, where it is known that writers wait.
    #[inline]
    pub(crate) fn release_kept(self, taken: usize) -> Released {
        let before = self.cursor.position;
        let taken = taken.min(self.span.len) as u64;
        let received = &mut self.cursor.received;
        received.bytes = received.bytes.wrapping_add(taken);
        // INVARIANT: The bytes were unread, so the new position is not beyond the head.
        self.cursor.go_to(self.view, before.wrapping_add(taken));
        Released { before }
    }
}

/// What was found of a run of records.
#[derive(Clone, Copy)]
struct Found {
    /// Where the next one begins.
    end: u64,
    /// Bytes from the first header to the end of the last payload.
    len: usize,
    records: u64,
    /// Bytes of payload.
    bytes: u64,
}

/// Records that the holder may copy, and then release.
///
/// If it is dropped instead, nothing has happened and they can be read again.
pub(crate) struct Records<'a> {
    cursor: &'a mut Cursor,
    view: View<'a>,
    first: Header,
    found: Found,
}

impl Records<'_> {
    /// The header of the first.
    #[inline]
    pub(crate) fn first(&self) -> Header {
        self.first
    }

    /// How many records were overwritten between the last one that was read and the first of these.
    #[inline]
    pub(crate) fn lost(&self) -> u64 {
        self.cursor.missed_before(self.first.sequence)
    }

    /// The payload of the first.
    #[inline]
    pub(crate) fn payload(&self) -> Span {
        let position = self.cursor.position.wrapping_add(Header::SIZE as u64);
        // CAST: 32 bits fit.
        Span::new(self.cursor.capacity, position, self.first.length as usize)
    }

    /// All of them, from the first header to the end of the last payload.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        Span::new(self.cursor.capacity, self.cursor.position, self.found.len)
    }

    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.found.records
    }

    /// How many bytes of payload all of them have.
    #[inline]
    pub(crate) fn payload_bytes(&self) -> u64 {
        self.found.bytes
    }

    /// Gives them back to writers; they have been copied, and whoever got them was `told` what was
    /// lost before them, or was not.
    ///
    /// Returns what [`wake_writers`] wants to know.
    ///
    /// [`wake_writers`]: super::wake_writers
    #[inline]
    pub(crate) fn release(self, told: bool) -> Result<Released, Lapped> {
        let lost = self.lost();
        let Self {
            cursor,
            view,
            first,
            found,
        } = self;
        cursor.check_lapped(view)?;
        let before = cursor.position;
        if lost > 0 {
            cursor.is_untold |= !told && view.missed.is_set();
            if !cursor.is_untold {
                view.missed.clear();
            }
        }
        cursor.next = first.sequence.wrapping_add(found.records);
        let received = &mut cursor.received;
        received.records_lost = received.records_lost.wrapping_add(lost);
        received.records = received.records.wrapping_add(found.records);
        received.bytes = received.bytes.wrapping_add(found.bytes);
        // INVARIANT: The records were unread, so the new position is not beyond the head.
        cursor.go_to(view, found.end);
        Ok(Released { before })
    }
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(CONFIG_RINGDEV_KUNIT_TEST, kernel::macros::kunit_tests(ringdev_cursor))]
mod tests {
    use super::*;
    use crate::ring::{
        testing::{
            shared,
            timestamp,
            Ring,
            BYTES, //
        },
        Delivery,
        Full, //
    };

    /// Positions that pass the end of 32 bits after 3000 bytes.
    const START: u64 = (1 << 32) - 3000;

    /// The same for records, which begin at multiples of 8.
    const ALIGNED: u64 = (1 << 32) - 3008;

    fn stream(full: Full) -> Result<Ring, ()> {
        Ring::new(shared(Framing::Stream, full), START)
    }

    fn records(full: Full) -> Result<Ring, ()> {
        Ring::new(shared(Framing::Record, full), ALIGNED)
    }

    #[test]
    fn empty_ring_has_nothing() -> Result<(), ()> {
        for full in [Full::Block, Full::Overwrite] {
            let ring = stream(full)?;
            assert!(ring.cursor().unread(ring.view(), 1).is_none());
            assert!(ring.cursor().unread(ring.view(), usize::MAX).is_none());
            let ring = records(full)?;
            assert!(ring.cursor().record(ring.view(), &ring).is_none());
        }
        Ok(())
    }

    #[test]
    fn unread_is_what_is_there_or_what_is_asked_for() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let _ = ring.writer().write(4000)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        assert_eq!(unread.span().position, START);
        assert_eq!(unread.span().len, 100);
        let unread = cursor.unread(ring.view(), usize::MAX).ok_or(())?;
        assert_eq!(unread.span().len, 4000);
        Ok(())
    }

    #[test]
    fn dropped_bytes_can_be_read_again() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let _ = ring.writer().write(50)?;
        let mut cursor = ring.cursor();
        let first = cursor.unread(ring.view(), 50).ok_or(())?.span();
        let second = cursor.unread(ring.view(), 50).ok_or(())?.span();
        assert_eq!(first.len, 50);
        assert_eq!(second, first);
        assert_eq!(ring.unread(), 50);
        Ok(())
    }

    #[test]
    fn released_bytes_are_gone() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let _ = writer.write(BYTES)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        let released = unread.release(30).map_err(|_| ())?;
        assert_eq!(released.before, START);
        assert_eq!(ring.unread(), 4066);
        assert_eq!(ring.positions.room(), 30);

        // The rest follows, and no more is released than was there.
        let unread = cursor.unread(ring.view(), usize::MAX).ok_or(())?;
        assert_eq!(unread.span().position, START + 30);
        assert_eq!(unread.span().len, 4066);
        let released = unread.release(usize::MAX).map_err(|_| ())?;
        assert_eq!(released.before, START + 30);
        assert_eq!(ring.unread(), 0);
        assert_eq!(ring.positions.room(), BYTES);
        assert!(cursor.unread(ring.view(), 1).is_none());
        assert_eq!(writer.received(&cursor).bytes, BYTES as u64);
        assert_eq!(writer.received(&cursor).bytes_lost, 0);
        Ok(())
    }

    #[test]
    fn later_bytes_are_found() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let _ = writer.write(1)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 1).ok_or(())?;
        assert!(unread.release(1).is_ok());
        assert!(cursor.unread(ring.view(), 1).is_none());
        let _ = writer.write(2)?;
        let unread = cursor.unread(ring.view(), 10).ok_or(())?;
        assert_eq!(unread.span().position, START + 1);
        assert_eq!(unread.span().len, 2);
        Ok(())
    }

    #[test]
    fn cursor_of_its_own_leaves_the_tail() -> Result<(), ()> {
        let attributes = Attributes {
            delivery: Delivery::Broadcast,
            ..Attributes::STREAM
        };
        let ring = Ring::new(attributes, START)?;
        let _ = ring.writer().write(100)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        assert!(unread.release(60).is_ok());
        assert_eq!(ring.unread(), 40);
        assert_eq!(ring.view().mark.load(), START + 60);
        assert_eq!(ring.positions.tail().load(), START);
        assert_eq!(ring.positions.room(), BYTES - 100);
        Ok(())
    }

    #[test]
    fn overwritten_bytes_are_lost_and_counted() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let _ = writer.write(BYTES)?;
        let mut cursor = ring.cursor();
        let unread = cursor.unread(ring.view(), 10).ok_or(())?;
        assert!(unread.release(10).is_ok());
        let _ = writer.write(10)?;
        assert_eq!(writer.received(&cursor).bytes_lost, 0);
        let _ = writer.write(90)?;
        // It counts before anybody comes to read.
        assert_eq!(writer.received(&cursor).bytes_lost, 90);
        assert_eq!(cursor.noticed().bytes_lost, 0);
        assert_eq!(ring.unread(), BYTES);

        let unread = cursor.unread(ring.view(), usize::MAX).ok_or(())?;
        assert_eq!(unread.span().position, START + 100);
        assert_eq!(unread.span().len, BYTES);
        assert!(unread.release(usize::MAX).is_ok());
        assert_eq!(cursor.noticed().bytes_lost, 90);
        let received = Received {
            bytes: 10 + BYTES as u64,
            bytes_lost: 90,
            ..Received::default()
        };
        assert_eq!(writer.received(&cursor), received);
        Ok(())
    }

    #[test]
    fn bytes_that_are_overwritten_while_they_are_copied_are_not_read() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(BYTES)?;
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        let _ = writer.write(1)?;
        assert_eq!(unread.release(100).err(), Some(Lapped));
        assert_eq!(writer.received(&cursor).bytes, 0);

        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        assert_eq!(unread.span().position, START + 1);
        assert!(unread.release(100).is_ok());
        assert_eq!(writer.received(&cursor).bytes, 100);
        assert_eq!(writer.received(&cursor).bytes_lost, 1);

        // What is overwritten below the cursor does not matter.
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        let _ = writer.write(100)?;
        assert!(unread.release(100).is_ok());
        Ok(())
    }

    #[test]
    fn bytes_are_given_up_although_nothing_was_written() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(BYTES)?;
        writer.producer.make_room(&ring.positions, &ring, BYTES);
        assert_eq!(ring.unread(), 0);
        assert!(cursor.unread(ring.view(), 1).is_none());
        assert_eq!(writer.received(&cursor).bytes_lost, BYTES as u64);
        Ok(())
    }

    #[test]
    fn records_come_one_by_one() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.record(100)?;
        let _ = writer.record(5)?;
        let mut position = ALIGNED;
        for (sequence, length) in [(0, 100), (1, 5)] {
            let records = cursor.record(ring.view(), &ring).ok_or(())?;
            let header = Header {
                length,
                sequence,
                timestamp: timestamp(length),
            };
            assert_eq!(records.first(), header);
            assert_eq!(records.lost(), 0);
            let payload = records.payload();
            assert_eq!(payload.position, position + Header::SIZE as u64);
            assert_eq!(payload.len, length as usize);
            assert_eq!(records.span().position, position);
            assert_eq!(records.span().len, Header::SIZE + length as usize);
            let released = records.release(false).map_err(|_| ())?;
            assert_eq!(released.before, position);
            position += Header::stored(length);
        }
        assert!(cursor.record(ring.view(), &ring).is_none());
        assert_eq!(ring.positions.room(), BYTES);
        let received = Received {
            records: 2,
            bytes: 105,
            ..Received::default()
        };
        assert_eq!(writer.received(&cursor), received);
        Ok(())
    }

    #[test]
    fn dropped_record_can_be_read_again() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let _ = ring.writer().record(8)?;
        let mut cursor = ring.cursor();
        let first = cursor.record(ring.view(), &ring).ok_or(())?.first();
        let second = cursor.record(ring.view(), &ring).ok_or(())?.first();
        assert_eq!(second, first);
        assert_eq!(ring.unread(), 40);
        Ok(())
    }

    #[test]
    fn batch_has_as_many_records_as_fit() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        // Of 40, 136, and 48 bytes with their headers, of which 4, 4, and 7 are padding.
        for length in [4, 100, 9] {
            let _ = writer.record(length)?;
        }
        for (most, len) in [
            (0, 36),
            (36, 36),
            (171, 36),
            (172, 172),
            (216, 172),
            (217, 217),
            (usize::MAX, 217),
        ] {
            let records = cursor.records(ring.view(), &ring, most).ok_or(())?;
            assert_eq!(records.span().len, len);
            assert_eq!(records.first().sequence, 0);
            let payload = records.span().len - records.count() as usize * Header::SIZE;
            assert!(payload as u64 - records.payload_bytes() < 8 * records.count());
        }

        let records = cursor.records(ring.view(), &ring, 216).ok_or(())?;
        assert!(records.release(false).is_ok());
        assert_eq!(writer.received(&cursor).records, 2);
        assert_eq!(writer.received(&cursor).bytes, 104);
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert_eq!(records.first().sequence, 2);
        assert_eq!(records.lost(), 0);
        Ok(())
    }

    #[test]
    fn overwritten_records_are_lost_and_counted() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        // Four fill the ring. Half of the fifth would fit into the room of the second.
        for _ in 0..4 {
            let _ = writer.record(992)?;
        }
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(records.release(false).is_ok());
        let _ = writer.record(992)?;
        assert_eq!(writer.received(&cursor).records_lost, 0);
        let _ = writer.record(500)?;
        let _ = writer.record(500)?;
        assert_eq!(writer.received(&cursor).records_lost, 2);
        assert_eq!(writer.received(&cursor).bytes_lost, 0);

        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert_eq!(records.first().sequence, 3);
        assert_eq!(records.lost(), 2);
        assert!(records.release(false).is_ok());
        let records = cursor.records(ring.view(), &ring, usize::MAX).ok_or(())?;
        assert_eq!(records.lost(), 0);
        assert!(records.release(false).is_ok());
        let received = Received {
            records: 5,
            bytes: 3 * 992 + 2 * 500,
            records_lost: 2,
            bytes_lost: 0,
        };
        assert_eq!(writer.received(&cursor), received);
        Ok(())
    }

    #[test]
    fn records_that_are_overwritten_while_they_are_copied_are_not_read() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        for _ in 0..4 {
            let _ = writer.record(992)?;
        }
        let records = cursor.records(ring.view(), &ring, usize::MAX).ok_or(())?;
        let _ = writer.record(0)?;
        assert_eq!(records.release(false).err(), Some(Lapped));
        assert_eq!(writer.received(&cursor).records, 0);
        assert_eq!(writer.received(&cursor).records_lost, 1);

        let records = cursor.records(ring.view(), &ring, usize::MAX).ok_or(())?;
        assert_eq!(records.first().sequence, 1);
        assert_eq!(records.lost(), 1);
        assert!(records.release(false).is_ok());
        assert_eq!(writer.received(&cursor).records, 4);
        assert_eq!(writer.received(&cursor).records_lost, 1);
        Ok(())
    }

    #[test]
    fn batch_ends_where_something_else_lies_by_now() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        for _ in 0..3 {
            let _ = writer.record(992)?;
        }
        // As if a payload lay over the second header.
        ring.store(ALIGNED + 1024, u64::MAX);
        let records = cursor.records(ring.view(), &ring, usize::MAX).ok_or(())?;
        assert_eq!(records.span().len, 1024);
        Ok(())
    }

    #[test]
    fn what_is_passed_over_by_a_seek_is_not_lost() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        for _ in 0..6 {
            let _ = writer.record(992)?;
        }
        // Two have been overwritten by now, and four have not.
        let lost = Received {
            records_lost: 2,
            ..Received::default()
        };
        let newest = writer.producer.newest();
        cursor.seek(ring.view(), newest, writer.oldest());
        assert!(cursor.record(ring.view(), &ring).is_none());
        assert_eq!(writer.received(&cursor), lost);
        assert_eq!(ring.view().mark.load(), newest.position);

        let oldest = writer.oldest();
        cursor.seek(ring.view(), oldest, oldest);
        assert_eq!(writer.received(&cursor), lost);
        assert_eq!(ring.unread(), BYTES);
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert_eq!(records.first().sequence, 2);
        assert_eq!(records.lost(), 0);

        // What is overwritten after that is missed.
        let _ = writer.record(992)?;
        assert_eq!(writer.received(&cursor).records_lost, 3);
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert_eq!(records.first().sequence, 3);
        assert_eq!(records.lost(), 1);
        Ok(())
    }

    #[test]
    fn bytes_that_were_lost_before_a_seek_stay_so() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(BYTES)?;
        let unread = cursor.unread(ring.view(), 10).ok_or(())?;
        assert!(unread.release(10).is_ok());
        let _ = writer.write(100)?;
        cursor.seek(ring.view(), writer.producer.newest(), writer.oldest());
        let received = Received {
            bytes: 10,
            bytes_lost: 90,
            ..Received::default()
        };
        assert_eq!(writer.received(&cursor), received);

        // There and back, without anything lost in between, changes nothing.
        cursor.seek(ring.view(), writer.oldest(), writer.oldest());
        assert_eq!(ring.unread(), BYTES);
        cursor.seek(ring.view(), writer.producer.newest(), writer.oldest());
        assert_eq!(writer.received(&cursor), received);
        Ok(())
    }

    #[test]
    fn cursor_that_comes_later_has_lost_nothing_before() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        for _ in 0..6 {
            let _ = writer.record(992)?;
        }
        let oldest = writer.oldest();
        assert_eq!(oldest.sequence, 2);
        ring.view().mark.release(oldest.position);
        let capacity = ring.positions.capacity();
        let mut cursor = Cursor::new(ring.attributes, capacity, oldest);
        assert_eq!(writer.received(&cursor), Received::default());
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert_eq!(records.first().sequence, 2);
        assert_eq!(records.lost(), 0);
        let _ = writer.record(992)?;
        assert_eq!(writer.received(&cursor).records_lost, 1);
        Ok(())
    }

    #[test]
    fn cursor_says_where_it_is() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(4000)?;
        assert_eq!(cursor.high_water(), 0);
        let unread = cursor.unread(ring.view(), usize::MAX).ok_or(())?;
        assert!(unread.release(3000).is_ok());
        assert_eq!(ring.view().mark.load(), 1 << 32);
        let _ = writer.write(BYTES)?;
        // It has not noticed that it was lapped.
        assert_eq!(ring.view().mark.load(), 1 << 32);
        assert_eq!(cursor.position_from(writer.oldest()), START + 4000);
        assert_eq!(cursor.position_from(Place::first(START)), 1 << 32);
        assert_eq!(cursor.high_water(), 4000);
        assert!(cursor.unread(ring.view(), usize::MAX).is_some());
        assert_eq!(ring.view().mark.load(), START + 4000);
        assert_eq!(cursor.position_from(writer.oldest()), START + 4000);
        assert_eq!(cursor.high_water(), BYTES as u64);
        Ok(())
    }

    #[test]
    fn what_cursors_have_received_adds_up() {
        let received = Received {
            records: 1,
            bytes: 2,
            records_lost: 3,
            bytes_lost: u64::MAX,
        };
        let both = Received {
            records: 2,
            bytes: 4,
            records_lost: 6,
            bytes_lost: u64::MAX - 1,
        };
        assert_eq!(received.add(received), both);
    }

    #[test]
    fn cleared_bytes_are_lost() -> Result<(), ()> {
        let ring = stream(Full::Block)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(1000)?;
        let unread = cursor.unread(ring.view(), 100).ok_or(())?;
        assert!(unread.release(100).is_ok());
        let released = cursor.clear(ring.view(), writer.producer.newest());
        assert_eq!(released.before, START + 100);
        assert_eq!(ring.positions.room(), BYTES);
        assert!(cursor.unread(ring.view(), 1).is_none());
        assert_eq!(writer.received(&cursor).bytes, 100);
        assert_eq!(writer.received(&cursor).bytes_lost, 900);
        assert_eq!(writer.oldest(), writer.producer.newest());
        Ok(())
    }

    #[test]
    fn cleared_records_of_waiting_writers_are_lost() -> Result<(), ()> {
        let ring = records(Full::Block)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        for _ in 0..3 {
            let _ = writer.record(100)?;
        }
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(records.release(false).is_ok());
        let _ = cursor.clear(ring.view(), writer.producer.newest());
        let received = Received {
            records: 1,
            bytes: 100,
            records_lost: 2,
            bytes_lost: 0,
        };
        assert_eq!(writer.received(&cursor), received);
        assert_eq!(writer.oldest(), writer.producer.newest());
        assert_eq!(ring.positions.room(), BYTES);
        Ok(())
    }

    #[test]
    fn what_a_clear_has_found_given_up_is_lost_once() -> Result<(), ()> {
        for framing in [Framing::Stream, Framing::Record] {
            let ring = Ring::new(shared(framing, Full::Overwrite), ALIGNED)?;
            let mut writer = ring.writer();
            let mut cursor = ring.cursor();
            for _ in 0..6 {
                let _ = match framing {
                    Framing::Stream => writer.write(1024)?,
                    Framing::Record => writer.record(992)?,
                };
            }
            let newest = writer.producer.newest();
            let lost = match framing {
                Framing::Stream => Received {
                    bytes_lost: 6 * 1024,
                    ..Received::default()
                },
                Framing::Record => Received {
                    records_lost: 6,
                    ..Received::default()
                },
            };
            // The writers' side first; a reader may come between, and go on from there.
            writer.producer.make_room(&ring.positions, &ring, BYTES);
            assert_eq!(writer.oldest(), newest);
            assert_eq!(writer.received(&cursor), lost);
            match framing {
                Framing::Stream => assert!(cursor.unread(ring.view(), 1).is_none()),
                Framing::Record => assert!(cursor.record(ring.view(), &ring).is_none()),
            }
            assert_eq!(writer.received(&cursor), lost);
            let _ = cursor.clear(ring.view(), newest);
            assert_eq!(writer.received(&cursor), lost);
            assert_eq!(ring.unread(), 0);
        }
        Ok(())
    }

    #[test]
    fn cleared_records_are_lost_and_numbers_go_on() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        for _ in 0..6 {
            let _ = writer.record(992)?;
        }
        // Two have been overwritten by now, and four have not.
        writer.producer.make_room(&ring.positions, &ring, BYTES);
        let _ = cursor.clear(ring.view(), writer.producer.newest());
        assert_eq!(writer.received(&cursor).records_lost, 6);
        let _ = writer.record(10)?;
        let records = cursor.record(ring.view(), &ring).ok_or(())?;
        // The next one tells.
        assert_eq!(records.first().sequence, 6);
        assert_eq!(records.lost(), 6);
        assert!(records.release(false).is_ok());
        assert_eq!(writer.received(&cursor).records, 1);
        assert_eq!(writer.received(&cursor).records_lost, 6);
        Ok(())
    }

    #[test]
    fn what_was_missed_is_news_until_it_is_told() -> Result<(), ()> {
        for framing in [Framing::Stream, Framing::Record] {
            let ring = Ring::new(shared(framing, Full::Overwrite), ALIGNED)?;
            let mut writer = ring.writer();
            let mut cursor = ring.cursor();
            let mut write = |count: usize| -> Result<Place, ()> {
                for _ in 0..count {
                    let _ = match framing {
                        Framing::Stream => writer.write(1024)?,
                        Framing::Record => writer.record(992)?,
                    };
                }
                Ok(writer.oldest())
            };
            let _ = write(4)?;
            assert!(!ring.view().has_missed());
            // Before the cursor has noticed, and when it has; also if nothing is read then.
            let oldest = write(1)?;
            assert!(ring.view().has_missed());
            match framing {
                Framing::Stream => drop(cursor.unread(ring.view(), 10)),
                Framing::Record => drop(cursor.record(ring.view(), &ring)),
            }
            assert_eq!(ring.view().mark.load(), oldest.position);
            assert!(ring.view().has_missed());

            let told = cursor.tell(ring.view(), oldest);
            assert_eq!(told, cursor.received(oldest));
            assert_eq!(
                told.bytes_lost,
                if framing == Framing::Stream { 1024 } else { 0 }
            );
            assert_eq!(
                told.records_lost,
                if framing == Framing::Record { 1 } else { 0 }
            );
            assert!(!ring.view().has_missed());

            // What was told is none when it is read.
            match framing {
                Framing::Stream => {
                    let unread = cursor.unread(ring.view(), 1024).ok_or(())?;
                    assert!(unread.release(1024).is_ok());
                }
                Framing::Record => {
                    let record = cursor.record(ring.view(), &ring).ok_or(())?;
                    assert_eq!(record.lost(), 1);
                    assert!(record.release(false).is_ok());
                }
            }
            assert!(!ring.view().has_missed());

            // A seek and a clear tell nobody.
            let oldest = write(3)?;
            cursor.seek(ring.view(), oldest, oldest);
            assert!(ring.view().has_missed());
            let told = cursor.tell(ring.view(), oldest);
            assert!(!ring.view().has_missed());
            let _ = cursor.clear(ring.view(), oldest);
            // Nothing was there.
            assert!(!ring.view().has_missed());
            let newest = write(1)?;
            let _ = cursor.clear(ring.view(), newest);
            assert!(ring.view().has_missed());
            assert_ne!(cursor.tell(ring.view(), newest), told);
        }
        Ok(())
    }

    #[test]
    fn headers_tell_what_was_lost_before_them() -> Result<(), ()> {
        let ring = records(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let lap = |writer: &mut crate::ring::testing::Writer<'_>| -> Result<(), ()> {
            for _ in 0..5 {
                let _ = writer.record(992)?;
            }
            Ok(())
        };
        lap(&mut writer)?;
        let record = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(record.release(true).is_ok());
        assert!(!ring.view().has_missed());

        // Later headers say nothing of what was lost before a record that came without one.
        lap(&mut writer)?;
        let record = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(record.release(false).is_ok());
        assert!(ring.view().has_missed());
        lap(&mut writer)?;
        let record = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(record.lost() > 0);
        assert!(record.release(true).is_ok());
        assert!(ring.view().has_missed());
        let _ = cursor.tell(ring.view(), writer.oldest());
        assert!(!ring.view().has_missed());

        lap(&mut writer)?;
        let record = cursor.record(ring.view(), &ring).ok_or(())?;
        assert!(record.release(true).is_ok());
        assert!(!ring.view().has_missed());
        Ok(())
    }

    #[test]
    fn what_was_read_is_one_thing_and_what_was_lost_another() -> Result<(), ()> {
        let ring = stream(Full::Overwrite)?;
        let mut writer = ring.writer();
        let mut cursor = ring.cursor();
        let _ = writer.write(BYTES)?;
        let _ = writer.write(100)?;
        let unread = cursor.unread(ring.view(), 10).ok_or(())?;
        assert!(unread.release(10).is_ok());
        let read = Received {
            bytes: 10,
            ..Received::default()
        };
        assert_eq!(cursor.read(), read);
        assert_eq!(writer.received(&cursor).bytes_lost, 100);
        Ok(())
    }
}
