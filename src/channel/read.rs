// SPDX-License-Identifier: GPL-2.0

//! Reading from a ring.

use super::{
    progress,
    AtOnce,
    Channel,
    ReadEnd,
    Reader,
    COPY_MAX,
    FAULTS_MAX, //
};
use crate::{
    ring::{
        self,
        Delivery,
        Framing,
        Header,
        Lapped,
        View, //
    },
    staging::{
        compat::ESHUTDOWN,
        file::Waiting,
        signal,
        trace,
        transfer::{
            Destination,
            UserDestination, //
        },
        wait::Sleep, //
    }, //
};
use kernel::prelude::*;

/// The least that a reader goes on to try to copy at a time after it was lapped.
const LAPPED_MIN: usize = 256;

/// What a read of records returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    /// The payload of one.
    Payload,
    /// As many as fit, each behind its header.
    WithHeaders,
}

/// How a try to read came out that found something.
enum Tried {
    /// It was copied, and has been read.
    Read(usize),
    /// It was overwritten while it was copied.
    Lapped,
    /// Not all of it could be copied, and nothing has happened.
    Faulted {
        /// How many bytes the destination needs for that.
        needed: usize,
        /// How many it needs for the first record.
        least: usize,
    },
}

/// How a wait for data came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awoke {
    /// There may be something.
    ToLook,
    /// There is nothing, and nothing will come.
    AtEnd,
}

impl Channel {
    /// Reads what is there, at most what `to` takes; waits only if nothing is there.
    ///
    /// Answers how much was read if that is anything, and 0 if nothing will come any more. Else
    /// `EAGAIN` when empty and not allowed to wait, `EMSGSIZE` when the next record is longer than
    /// what `to` takes, `ERESTARTSYS` when interrupted, `ESHUTDOWN` when the cursor was evicted,
    /// `EFAULT` when the destination cannot be written: then what was not copied can
    /// still be read.
    #[inline(never)]
    pub(crate) fn read(
        &self,
        end: &ReadEnd,
        to: &mut impl Destination,
        batch: Batch,
        waiting: Waiting,
    ) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let mut read = 0;
        let result = match self.attributes.framing {
            Framing::Stream => self.read_stream(end, to, waiting, &mut read),
            Framing::Record => self.read_records(end, to, batch, waiting, &mut read),
        };
        self.pass_on_to_reader(&end.reader);
        progress(read, result)
    }

    /// The most common case, in as few instructions as it takes: a read from a stream that is one
    /// piece, and does not wait. `None` if it is not that simple; then nothing has happened.
    #[inline]
    pub(crate) fn read_at_once(&self, reader: &Reader, to: UserDestination) -> Option<usize> {
        let most = to.remaining();
        if !AtOnce::includes(self.at_once.bytes, most) {
            return None;
        }
        let view = View {
            positions: &self.positions,
            mark: self.positions.tail(),
            missed: &reader.missed,
        };
        let mut cursor = reader.cursor.lock();
        if cursor.ending {
            return None;
        }
        let (core, data) = cursor.attached().ok()?;
        let unread = core.unread_kept(view, most)?;
        let span = unread.span();
        let len = span.len;
        if !to.copy_all_from(data.area(span.position, len), len) {
            return None;
        }
        let released = unread.release_kept(len);
        drop(cursor);
        trace::read(&self.label, reader.id, released.before, len as u64, 0);
        ring::wake_writers(&self.positions, &self.attributes, released, &self.writers);
        ring::pass_on_to_reader(&self.positions, view.mark, &*self.readers);
        Some(len)
    }

    fn read_stream(
        &self,
        end: &ReadEnd,
        to: &mut impl Destination,
        waiting: Waiting,
        read: &mut usize,
    ) -> Result {
        let reader = &*end.reader;
        let view = self.view(reader);
        let mut piece = COPY_MAX;
        let mut faults = 0;
        // Where what was read ends.
        let mut next = None;

        loop {
            let most = to.remaining().min(piece);
            if most == 0 {
                return Ok(());
            }

            let mut cursor = reader.cursor.lock();
            let (core, data) = cursor.attached()?;
            let before = core.noticed();
            let Some(unread) = core.unread(view, most) else {
                self.unlock(reader, cursor, before);
                if *read > 0 || self.wait_for_data(end, waiting)? == Awoke::AtEnd {
                    return Ok(());
                }
                continue;
            };
            let span = unread.span();
            if next.is_some_and(|next| next != span.position) {
                // Between two pieces, another reader has taken what would have followed.
                self.unlock(reader, cursor, before);
                return Ok(());
            }
            let copied = to.copy_from(data.area(span.position, span.len));
            if copied < span.len {
                self.unlock(reader, cursor, before);
                // From the start again: a page that is gone for a moment, as after a fork(2) of
                // another thread, ends no read in the middle of what somebody has written. Memory
                // that ends there does.
                to.rewind(copied);
                faults += 1;
                // No more than that, though more may have come meanwhile: what is behind it may be
                // missing as well, and that is another fault, not the same again.
                piece = self.fault_in_destination(reader, to, span.len, faults)?;
                continue;
            }
            let Ok(released) = unread.release(copied) else {
                self.unlock(reader, cursor, before);
                to.rewind(copied);
                piece = lapped(piece)?;
                faults = 0;
                continue;
            };
            let ending = cursor.ending;
            self.unlock(reader, cursor, before);
            trace::read(&self.label, reader.id, released.before, copied as u64, 0);
            self.released(released);
            self.note_end(reader, ending);
            *read += copied;
            next = Some(span.position.wrapping_add(copied as u64));
            piece = COPY_MAX;
            faults = 0;
            // Something may be missing before what comes next; or there was no more.
            if self.attributes.overwrites() || span.len < most {
                return Ok(());
            }
        }
    }

    fn read_records(
        &self,
        end: &ReadEnd,
        to: &mut impl Destination,
        batch: Batch,
        waiting: Waiting,
        read: &mut usize,
    ) -> Result {
        let reader = &*end.reader;
        let mut piece = COPY_MAX;
        let mut faults = 0;

        loop {
            match self.try_read_records(reader, to, batch, piece)? {
                Some(Tried::Read(len)) => {
                    *read = len;
                    return Ok(());
                }
                Some(Tried::Lapped) => {
                    piece = lapped(piece)?;
                    faults = 0;
                }
                Some(Tried::Faulted { needed, least }) => {
                    faults += 1;
                    let present = self.fault_in_destination(reader, to, needed, faults)?;
                    if present < least {
                        return Err(EFAULT);
                    }
                    // As for a stream: no longer batch than that. What cannot be written ends it.
                    piece = present;
                }
                None => {
                    if self.wait_for_data(end, waiting)? == Awoke::AtEnd {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads a record, or a batch of them, all or nothing. `None` if there is none.
    fn try_read_records(
        &self,
        reader: &Reader,
        to: &mut impl Destination,
        batch: Batch,
        piece: usize,
    ) -> Result<Option<Tried>> {
        let view = self.view(reader);
        let room = to.remaining();
        let mut cursor = reader.cursor.lock();
        let (core, data) = cursor.attached()?;
        let most = match batch {
            Batch::Payload => 0,
            Batch::WithHeaders => room.min(piece),
        };
        let Some(records) = core.records(view, data, most) else {
            return Ok(None);
        };
        let lost = records.lost();
        let first = records.payload().len;

        let (len, copied) = match batch {
            Batch::Payload => {
                let span = records.payload();
                if span.len > room {
                    return Err(EMSGSIZE);
                }
                (span.len, to.copy_from(data.area(span.position, span.len)))
            }
            Batch::WithHeaders => {
                let span = records.span();
                if span.len > room {
                    return Err(EMSGSIZE);
                }
                if lost == 0 {
                    (span.len, to.copy_from(data.area(span.position, span.len)))
                } else {
                    // In the ring nobody is said to have lost anything.
                    let mut copied = to.put(&records.first().to_bytes(lost));
                    if copied == Header::SIZE {
                        let position = span.position.wrapping_add(Header::SIZE as u64);
                        copied += to.copy_from(data.area(position, span.len - Header::SIZE));
                    }
                    (span.len, copied)
                }
            }
        };
        if copied < len {
            drop(cursor);
            to.rewind(copied);
            let least = match batch {
                Batch::Payload => len,
                Batch::WithHeaders => Header::SIZE + first,
            };
            return Ok(Some(Tried::Faulted { needed: len, least }));
        }
        let (bytes, count) = (records.payload_bytes(), records.count());
        // Whoever gets headers is told by them.
        match records.release(batch == Batch::WithHeaders) {
            Ok(released) => {
                let ending = cursor.ending;
                drop(cursor);
                trace::lost(&self.label, reader.id, 0, lost);
                trace::read(&self.label, reader.id, released.before, bytes, count);
                self.released(released);
                self.note_end(reader, ending);
                Ok(Some(Tried::Read(len)))
            }
            Err(Lapped) => {
                drop(cursor);
                to.rewind(copied);
                Ok(Some(Tried::Lapped))
            }
        }
    }

    /// Waits until a read does not. The caller reads then, or passes on its wake-up.
    pub(crate) fn wait(&self, end: &ReadEnd) -> Result {
        self.wait_for_data(end, Waiting::Allowed).map(|_| ())
    }

    /// Waits until there is something at the cursor, or the end. `EAGAIN` if it may not wait,
    /// `ERESTARTSYS`, `ESHUTDOWN`.
    #[inline(never)]
    fn wait_for_data(&self, end: &ReadEnd, waiting: Waiting) -> Result<Awoke> {
        let reader = &*end.reader;
        if reader.is_evicted() {
            return Err(ESHUTDOWN);
        }
        if self.is_at_end(end) {
            return Ok(Awoke::AtEnd);
        }
        if waiting == Waiting::Refused {
            return Err(EAGAIN);
        }
        let is_over = || self.is_at_end(end) || reader.is_evicted();
        while let Some(awaited) = self.awaited(end) {
            let sleep = Sleep {
                needs: awaited.head,
                place: reader.id,
                deadline: awaited.due,
            };
            let ready = || {
                // From nothing to something, or by another watermark or place: to sleep on for
                // that.
                self.still_awaited(end)
                    .is_none_or(|now| now.comes_before(awaited))
                    // After that look. Another reader that takes the last data once nobody writes
                    // any more wakes no sleepers: whoever has seen it empty has to see the end as
                    // well.
                    || is_over()
            };
            self.readers.sleep_until(sleep, ready, || {})?;
            if is_over() {
                break;
            }
        }
        Ok(Awoke::ToLook)
    }

    /// Makes the next `bytes` bytes present, for the `faults`th time in a row, and answers how many
    /// of them can be written, if any.
    fn fault_in_destination(
        &self,
        reader: &Reader,
        to: &mut impl Destination,
        bytes: usize,
        faults: u32,
    ) -> Result<usize> {
        // This may take long: whatever this thread was woken for is for others now.
        self.pass_on_to_reader(reader);
        let present = to.fault_in(bytes);
        if present == 0 || faults > FAULTS_MAX {
            return Err(EFAULT);
        }
        Ok(present)
    }

    /// A reader leaves, whatever the reason: if it was woken for what it has not taken, the next
    /// sleeper gets its wake-up.
    #[inline]
    pub(crate) fn pass_on_to_reader(&self, reader: &Reader) {
        if self.attributes.delivery == Delivery::Shared {
            ring::pass_on_to_reader(&self.positions, self.mark(reader), &*self.readers);
        }
    }
}

/// What was copied, up to `piece` bytes, has been overwritten meanwhile. Answers how much to try
/// next: the less it is, the less often that happens; and no more than it was, as no more of the
/// destination may be present. A signal ends it.
///
/// `EAGAIN` does not, also for who may not wait: there is something, and whoever waits for an edge
/// then, which is the next write, may wait for ever.
fn lapped(piece: usize) -> Result<usize> {
    if signal::is_pending() {
        return Err(ERESTARTSYS);
    }
    Ok((piece / 2).max(LAPPED_MIN).min(piece))
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ringdev_read)]
mod tests {
    use super::{
        super::Memory,
        *, //
    };
    use crate::{
        ring::{
            Attributes,
            Capacity,
            Full, //
        },
        staging::{
            file::Access,
            mirror::Area,
            trace::Label,
            transfer::Source, //
        }, //
    };
    use kernel::page::PAGE_SIZE;

    const CAPACITY: u64 = 4096;
    const LEN: usize = 1000;

    /// So many bytes, whatever they are.
    struct Bytes(usize);

    impl Source for Bytes {
        fn remaining(&self) -> usize {
            self.0
        }

        fn copy_to(&mut self, area: Area<'_>) -> usize {
            let len = self.0.min(area.len());
            self.0 -= len;
            len
        }

        fn rewind(&mut self, bytes: usize) {
            self.0 += bytes;
        }

        fn fault_in(&mut self, bytes: usize) -> usize {
            bytes
        }
    }

    /// Room for so many bytes, to where a copy takes long: in the first `laps` of them writers fill
    /// the ring anew.
    struct Slow<'a> {
        channel: &'a Channel,
        laps: u32,
        room: usize,
    }

    impl Destination for Slow<'_> {
        fn remaining(&self) -> usize {
            self.room
        }

        fn copy_from(&mut self, area: Area<'_>) -> usize {
            if let Some(laps) = self.laps.checked_sub(1) {
                self.laps = laps;
                fill(self.channel);
            }
            let len = self.room.min(area.len());
            self.room -= len;
            len
        }

        fn put(&mut self, bytes: &[u8]) -> usize {
            let len = self.room.min(bytes.len());
            self.room -= len;
            len
        }

        fn rewind(&mut self, bytes: usize) {
            self.room += bytes;
        }

        fn fault_in(&mut self, bytes: usize) -> usize {
            bytes
        }
    }

    /// Writes so much that nothing is left of what was there.
    fn fill(channel: &Channel) {
        for _ in 0..2 * CAPACITY as usize / LEN {
            let (written, _) = channel.write(&mut Bytes(LEN), Waiting::Refused);
            assert_eq!(written, LEN);
        }
    }

    /// Reads from a ring that is overwritten, where the first `laps` copies are overtaken.
    fn read(framing: Framing, batch: Batch, laps: u32, waiting: Waiting) -> Result<Result<usize>> {
        let attributes = Attributes {
            framing,
            full: Full::Overwrite,
            ..Attributes::STREAM
        };
        let memory = Memory::new(Capacity::new(CAPACITY, PAGE_SIZE as u64).ok_or(EINVAL)?)?;
        let channel = Channel::new(Label::new(0, c"test"), attributes, memory)?;
        let channel = KBox::pin_init(channel, GFP_KERNEL)?;
        let access = Access {
            read: true,
            write: true,
        };
        let reader = channel.open(access)?.ok_or(EINVAL)?;
        fill(&channel);
        let mut to = Slow {
            channel: &channel,
            laps,
            room: 2 * LEN,
        };
        let result = channel.read(&reader, &mut to, batch, waiting);
        assert_eq!(to.laps, 0);
        // What was not read does not count as copied.
        assert_eq!(to.room, 2 * LEN - *result.as_ref().unwrap_or(&0));
        channel.close(access, Some(&reader));
        Ok(result)
    }

    const KINDS: [(Framing, Batch); 3] = [
        (Framing::Stream, Batch::Payload),
        (Framing::Record, Batch::Payload),
        (Framing::Record, Batch::WithHeaders),
    ];

    #[test]
    fn reader_that_is_lapped_goes_on_until_it_has_something() -> Result {
        for (framing, batch) in KINDS {
            for waiting in [Waiting::Allowed, Waiting::Refused] {
                for laps in [0, 1, 100] {
                    assert!(read(framing, batch, laps, waiting)?.is_ok_and(|len| len > 0));
                }
            }
        }
        Ok(())
    }
}
