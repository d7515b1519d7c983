// SPDX-License-Identifier: GPL-2.0

//! Reading from a ring.

use super::{
    progress,
    watermark::Readiness,
    AtOnce,
    Channel,
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
        trace,
        transfer::{
            Destination,
            UserDestination, //
        }, //
    }, //
};
use kernel::{
    current,
    prelude::*,
    sync::atomic::Relaxed, //
};

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
    /// So many bytes were missing from the destination, and nothing has happened.
    Faulted(usize),
}

impl Channel {
    /// Reads what is there, at most what `to` takes; waits only if nothing is there.
    ///
    /// Answers how much was read if that is anything, and 0 if nothing will come any more. Else
    /// `EAGAIN` when empty and not allowed to wait, `EMSGSIZE` when the next record is longer than
    /// what `to` takes, `ERESTARTSYS` when interrupted, `ESHUTDOWN` when the cursor was parted from
    /// the ring, `EFAULT` when the destination cannot be written: then what was not copied can
    /// still be read.
    #[inline(never)]
    pub(crate) fn read(
        &self,
        reader: &Reader,
        to: &mut impl Destination,
        batch: Batch,
        waiting: Waiting,
    ) -> Result<usize> {
        if to.remaining() == 0 {
            return Ok(0);
        }
        let mut read = 0;
        let result = match self.attributes.framing {
            Framing::Stream => self.read_stream(reader, to, waiting, &mut read),
            Framing::Record => self.read_records(reader, to, batch, waiting, &mut read),
        };
        self.pass_on_to_reader(reader);
        progress(read, result)
    }

    /// The most common case, in as few instructions as it takes: a read from a stream that is one
    /// piece, and does not wait. `None` if it is not that simple; then nothing has happened.
    #[inline]
    pub(crate) fn read_at_once(
        &self,
        reader: &Reader,
        to: UserDestination,
    ) -> Option<usize> {
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
        let reading = &mut *cursor;
        if reading.gauged {
            return None;
        }
        let unread = reading.core.unread_kept(view, most)?;
        let span = unread.span();
        let len = span.len;
        if !to.copy_all_from(reading.data.area(span.position, len), len) {
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
        reader: &Reader,
        to: &mut impl Destination,
        waiting: Waiting,
        read: &mut usize,
    ) -> Result {
        let view = self.view(reader);
        let mut piece = COPY_MAX;
        let mut faults = 0;
        let mut last = false;

        loop {
            let most = to.remaining().min(piece);
            if most == 0 {
                return Ok(());
            }

            let mut cursor = reader.lock()?;
            let reading = &mut *cursor;
            let before = reading.core.noticed();
            let Some(unread) = reading.core.unread(view, most) else {
                self.unlock(reader, cursor, before);
                if *read > 0 || last {
                    return Ok(());
                }
                last = self.wait_for_data(reader, waiting)?;
                continue;
            };
            let span = unread.span();
            let copied = to.copy_from(reading.data.area(span.position, span.len));
            if copied < span.len {
                self.unlock(reader, cursor, before);
                // From the start again: a page that is gone for a moment, as after a fork(2) of
                // another thread, ends no read in the middle of what somebody has written. Memory
                // that ends there does.
                to.rewind(copied);
                faults += 1;
                let present = self.fault_in_destination(reader, to, span.len, faults)?;
                if present < span.len {
                    piece = present;
                }
                continue;
            }
            let Ok(released) = unread.release(copied) else {
                self.unlock(reader, cursor, before);
                to.rewind(copied);
                piece = lapped(piece)?;
                continue;
            };
            if reading.gauged {
                reader.gauge.restart();
            }
            self.unlock(reader, cursor, before);
            trace::read(&self.label, reader.id, released.before, copied as u64, 0);
            self.released(released);
            *read += copied;
            faults = 0;
            // Something may be missing before what comes next; or there was no more.
            if self.attributes.overwrites() || span.len < most {
                return Ok(());
            }
        }
    }

    fn read_records(
        &self,
        reader: &Reader,
        to: &mut impl Destination,
        batch: Batch,
        waiting: Waiting,
        read: &mut usize,
    ) -> Result {
        let mut piece = COPY_MAX;
        let mut faults = 0;
        let mut last = false;

        loop {
            match self.try_read_records(reader, to, batch, piece)? {
                Some(Tried::Read(len)) => {
                    *read = len;
                    return Ok(());
                }
                Some(Tried::Lapped) => piece = lapped(piece)?,
                Some(Tried::Faulted(missing)) => {
                    faults += 1;
                    if self.fault_in_destination(reader, to, missing, faults)? < missing {
                        return Err(EFAULT);
                    }
                }
                None if last => return Ok(()),
                None => last = self.wait_for_data(reader, waiting)?,
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
        let mut cursor = reader.lock()?;
        let reading = &mut *cursor;
        let data = &*reading.data;
        let most = match batch {
            Batch::Payload => 0,
            Batch::WithHeaders => room.min(piece),
        };
        let Some(records) = reading.core.records(view, data, most) else {
            return Ok(None);
        };
        let lost = records.lost();

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
            return Ok(Some(Tried::Faulted(len)));
        }
        let (bytes, count) = (records.payload_bytes(), records.count());
        // Whoever gets headers is told by them.
        match records.release(batch == Batch::WithHeaders) {
            Ok(released) => {
                if reading.gauged {
                    reader.gauge.restart();
                }
                drop(cursor);
                trace::lost(&self.label, reader.id, 0, lost);
                trace::read(&self.label, reader.id, released.before, bytes, count);
                self.released(released);
                Ok(Some(Tried::Read(len)))
            }
            Err(Lapped) => {
                drop(cursor);
                to.rewind(copied);
                Ok(Some(Tried::Lapped))
            }
        }
    }

    /// Waits until there is something at the cursor. Answers whether nothing will come any more;
    /// then what is there is to be looked for once again, as it may have come just before.
    fn wait_for_data(&self, reader: &Reader, waiting: Waiting) -> Result<bool> {
        if reader.evicted.load(Relaxed) {
            return Err(ESHUTDOWN);
        }
        if self.has_ended() {
            return Ok(true);
        }
        if waiting == Waiting::Refused {
            return Err(EAGAIN);
        }
        let mark = self.mark(reader);
        let over = || self.has_ended() || reader.evicted.load(Relaxed);
        loop {
            let (needs, deadline) = match self.readiness(reader) {
                Readiness::Ready => break,
                Readiness::Nothing => (1, None),
                Readiness::NotBefore(due) => (reader.gauge.watermark().bytes, Some(due)),
            };
            let needs = mark.load().wrapping_add(needs);
            self.readers.sleep_until(needs, deadline, || {
                over()
                    || match self.readiness(reader) {
                        Readiness::Ready => true,
                        Readiness::Nothing => false,
                        // From nothing to something: to sleep on with a deadline.
                        Readiness::NotBefore(_) => deadline.is_none(),
                    }
            })?;
            if over() {
                break;
            }
        }
        Ok(false)
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

    fn pass_on_to_reader(&self, reader: &Reader) {
        if self.attributes.delivery == Delivery::Shared {
            ring::pass_on_to_reader(&self.positions, self.mark(reader), &*self.readers);
        }
    }
}

/// What was copied, up to `piece` bytes, has been overwritten meanwhile. Answers how much to try
/// next: the less it is, the less often that happens. A signal ends it.
fn lapped(piece: usize) -> Result<usize> {
    if current!().signal_pending() {
        return Err(ERESTARTSYS);
    }
    Ok((piece / 2).max(LAPPED_MIN))
}
