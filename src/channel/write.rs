// SPDX-License-Identifier: GPL-2.0

//! Writing to a ring.

use super::{
    AtOnce,
    Channel,
    Writing,
    COPY_MAX,
    FAULTS_MAX, //
};
use crate::{
    ring::{
        self,
        Capacity,
        Framing,
        Full, //
    },
    staging::{
        clock,
        compat::ENOBUFS,
        file::Waiting,
        trace,
        transfer::{
            Source,
            UserSource, //
        },
        wait::Sleep, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

impl Channel {
    /// Writes all of `from`, or as much as fits if it may not wait; a record goes in whole or not.
    ///
    /// Answers how much was written, and if that is not all, why: `EAGAIN` when full and not
    /// allowed to wait, `ENOBUFS` when full and never waited for, `EMSGSIZE` when a record is too
    /// long, `ERESTARTSYS` when interrupted, `EFAULT` when the source cannot be read, `EPIPE` when
    /// nobody is left to read, and `ENODEV` when the ring was destroyed. See [`progress`].
    ///
    /// [`progress`]: super::progress
    #[inline(never)]
    pub(crate) fn write(&self, from: &mut impl Source, waiting: Waiting) -> (usize, Result) {
        let mut written = 0;
        let result = match self.attributes.framing {
            Framing::Stream => self.write_stream(from, waiting, &mut written),
            Framing::Record => self.write_record(from, waiting, &mut written),
        };
        if self.attributes.full == Full::Block {
            ring::pass_on_to_writer(&self.positions, &self.writers);
        }
        (written, result)
    }

    /// The most common cases, in as few instructions as they take: a write that goes in as one
    /// piece, at once. `None` if it is not that simple; then nothing has happened.
    #[inline]
    pub(crate) fn write_at_once(&self, from: UserSource) -> Option<usize> {
        let len = from.remaining();
        if AtOnce::includes(self.at_once.bytes, len) {
            self.write_bytes_at_once(from)
        } else if AtOnce::includes(self.at_once.record, len) {
            self.write_record_at_once(from)
        } else {
            None
        }
    }

    #[inline]
    fn write_bytes_at_once(&self, from: UserSource) -> Option<usize> {
        let len = from.remaining();
        let mut producer = self.producer.lock();
        let writing = &mut *producer;
        if writing.refused {
            return None;
        }
        let room = writing.core.reserve_all(&self.positions, len)?;
        let position = room.span().position;
        if !from.copy_all_to(writing.data.area(position, len), len) {
            return None;
        }
        let published = room.publish(len);
        drop(producer);
        trace::write(&self.label, published.before, len, 0);
        ring::wake_readers(&self.positions, &self.attributes, published, &*self.readers);
        ring::pass_on_to_writer(&self.positions, &self.writers);
        Some(len)
    }

    /// Not inline, so that it takes no registers from the shortest way.
    #[inline(never)]
    fn write_record_at_once(&self, from: UserSource) -> Option<usize> {
        let len = from.remaining();
        let mut producer = self.producer.lock();
        let writing = &mut *producer;
        if writing.refused || len > writing.core.capacity().max_record() {
            return None;
        }
        // CAST: At most `COPY_MAX`.
        let slot = writing.core.reserve_record(&self.positions, len as u32)?;
        let position = slot.payload().position;
        if !from.copy_all_to(writing.data.area(position, len), len) {
            return None;
        }
        let published = slot.publish(&*writing.data, clock::monotonic_ns());
        drop(producer);
        trace::write(&self.label, published.before, len, 1);
        ring::wake_readers(&self.positions, &self.attributes, published, &*self.readers);
        ring::pass_on_to_writer(&self.positions, &self.writers);
        Some(len)
    }

    fn write_stream(
        &self,
        from: &mut impl Source,
        waiting: Waiting,
        written: &mut usize,
    ) -> Result {
        let overwrites = self.attributes.overwrites();
        let mut end = from.remaining();
        let needed = self.attributes.needed(end, waiting == Waiting::Allowed);
        let mut faults = 0;

        while *written < end {
            let left = end - *written;
            let mut most = left.min(COPY_MAX);
            let least = needed.min(left);
            if overwrites {
                // Nothing is given up for what cannot be read.
                most = from.fault_in(most);
                if most == 0 {
                    return Err(EFAULT);
                }
            }

            let mut producer = self.producer.lock();
            let writing = &mut *producer;
            self.may_write(writing)?;
            if overwrites {
                writing
                    .core
                    .make_room(&self.positions, &*writing.data, most);
            }
            let Some(room) = writing.core.reserve(&self.positions, least, most) else {
                if self.attributes.full == Full::Drop {
                    if *written == 0 {
                        writing.core.count_dropped(left);
                    }
                    return Err(ENOBUFS);
                }
                drop(producer);
                self.wait_for_room(least, waiting)?;
                continue;
            };
            let span = room.span();
            let mut copied = from.copy_to(writing.data.area(span.position, span.len));
            let faulted = copied < span.len;
            if faulted && span.len == left && left <= Capacity::ATOMIC_WRITE {
                // All that is left is short, and fits: whoever may wait or not, it stays one piece.
                from.rewind(copied);
                copied = 0;
            }
            if copied > 0 {
                let published = room.publish(copied);
                drop(producer);
                trace::write(&self.label, published.before, copied, 0);
                ring::wake_readers(&self.positions, &self.attributes, published, &*self.readers);
                *written += copied;
                faults = 0;
            } else {
                drop(producer);
                self.report_loss();
            }

            if faulted {
                let asked = most.min(end - *written);
                faults += 1;
                let present = self.fault_in(from, asked, faults)?;
                if present < asked {
                    // What lies behind cannot be read: the write is short.
                    end = *written + present;
                }
            }
        }
        Ok(())
    }

    fn write_record(
        &self,
        from: &mut impl Source,
        waiting: Waiting,
        written: &mut usize,
    ) -> Result {
        let len = from.remaining();
        let Ok(length) = u32::try_from(len) else {
            return Err(EMSGSIZE);
        };
        if length == 0 {
            return Ok(());
        }
        let may_wait = waiting == Waiting::Allowed;
        let stored = self.attributes.needed(len, may_wait);
        let overwrites = self.attributes.overwrites();
        let mut faults = 0;

        loop {
            if len > self.positions.capacity().max_record() {
                return Err(EMSGSIZE);
            }
            if overwrites && from.fault_in(len) < len {
                // Nothing is given up for what cannot be read.
                return Err(EFAULT);
            }

            let mut producer = self.producer.lock();
            let writing = &mut *producer;
            self.may_write(writing)?;
            if len > writing.core.capacity().max_record() {
                // It was resized meanwhile.
                return Err(EMSGSIZE);
            }
            if overwrites {
                writing
                    .core
                    .make_room(&self.positions, &*writing.data, stored);
            }
            let Some(slot) = writing.core.reserve_record(&self.positions, length) else {
                if self.attributes.full == Full::Drop {
                    writing.core.count_dropped(len);
                    return Err(ENOBUFS);
                }
                drop(producer);
                self.wait_for_room(stored, waiting)?;
                continue;
            };
            let span = slot.payload();
            let copied = from.copy_to(writing.data.area(span.position, span.len));
            if copied == len {
                let published = slot.publish(&*writing.data, clock::monotonic_ns());
                drop(producer);
                trace::write(&self.label, published.before, len, 1);
                ring::wake_readers(&self.positions, &self.attributes, published, &*self.readers);
                *written = len;
                return Ok(());
            }
            drop(producer);
            self.report_loss();

            from.rewind(copied);
            faults += 1;
            if self.fault_in(from, len, faults)? < len {
                return Err(EFAULT);
            }
        }
    }

    /// Nothing was written, and data may have been given up for it: who polls for that looks again.
    #[cold]
    fn report_loss(&self) {
        if self.attributes.overwrites() {
            self.readers.wake_all_pollers();
        }
    }

    /// Whether anything may be written at all. With the writers' lock held, so that nothing is
    /// written any more once it is not.
    #[inline]
    fn may_write(&self, writing: &Writing) -> Result {
        if writing.refused {
            return Err(ENODEV);
        }
        if self.has_no_readers() {
            return Err(EPIPE);
        }
        Ok(())
    }

    /// Whether a write would be refused now, for those who only want to know.
    pub(super) fn is_refused(&self) -> bool {
        self.destroyed.load(Relaxed) || self.has_no_readers()
    }

    #[inline]
    fn has_no_readers(&self) -> bool {
        self.attributes.hangup && self.endpoints_reading.load(Relaxed) == 0
    }

    /// Waits until `bytes` bytes are free, or nothing can be written any more, or not so many at
    /// once.
    #[inline(never)]
    fn wait_for_room(&self, bytes: usize, waiting: Waiting) -> Result {
        if waiting == Waiting::Refused {
            return Err(EAGAIN);
        }
        let sleep = Sleep {
            needs: bytes as u64,
            place: 0,
            deadline: None,
        };
        let ready = || {
            self.has_room(bytes)
                || self.is_refused()
                // The ring was made smaller meanwhile.
                || bytes > self.max_needed()
        };
        // Each time: one that was woken in vain was not in the queue for a while, and readers that
        // looked there then wait for more, which it cannot bring.
        self.writers
            .sleep_until(sleep, ready, || self.urge_readers())
    }

    /// Makes the next `bytes` bytes present, for the `faults`th time in a row, and answers how many
    /// can be read, if any.
    fn fault_in(&self, from: &mut impl Source, bytes: usize, faults: u32) -> Result<usize> {
        if self.attributes.full == Full::Block {
            // This may take long: whatever this thread was woken for is for others now.
            ring::pass_on_to_writer(&self.positions, &self.writers);
        }
        let present = from.fault_in(bytes);
        if present == 0 || faults > FAULTS_MAX {
            return Err(EFAULT);
        }
        Ok(present)
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ringdev_write)]
mod tests {
    use super::{
        super::Memory,
        *, //
    };
    use crate::{
        ring::Attributes,
        staging::{
            file::Access,
            mirror::Area,
            poll::testing::Poller,
            trace::Label, //
        }, //
    };
    use kernel::page::PAGE_SIZE;

    /// A quarter of a page that is gone when it is to be copied. The first `left` looks find it.
    struct Vanishing {
        left: u32,
    }

    impl Source for Vanishing {
        fn remaining(&self) -> usize {
            PAGE_SIZE / 4
        }

        fn copy_to(&mut self, _area: Area<'_>) -> usize {
            0
        }

        fn rewind(&mut self, _bytes: usize) {}

        fn fault_in(&mut self, bytes: usize) -> usize {
            match self.left.checked_sub(1) {
                Some(left) => {
                    self.left = left;
                    bytes
                }
                None => 0,
            }
        }
    }

    /// So many bytes, whatever they are.
    struct Present(usize);

    impl Source for Present {
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

    #[test]
    fn what_a_failed_write_gave_up_is_told_to_who_polls() -> Result {
        for framing in [Framing::Stream, Framing::Record] {
            let attributes = Attributes {
                framing,
                full: Full::Overwrite,
                ..Attributes::STREAM
            };
            let size = PAGE_SIZE as u64;
            let memory = Memory::new(Capacity::new(size, size).ok_or(EINVAL)?)?;
            let channel = Channel::new(Label::new(0, c"test"), attributes, memory)?;
            let channel = KBox::pin_init(channel, GFP_KERNEL)?;
            let access = Access {
                read: true,
                write: true,
            };
            let end = channel.open(access)?.ok_or(EINVAL)?;
            for _ in 0..8 {
                let (written, _) = channel.write(&mut Present(PAGE_SIZE / 8), Waiting::Refused);
                assert_eq!(written, PAGE_SIZE / 8);
            }
            let poller = Poller::new(|table| end.reader.pollers().register(table))?;
            let (written, result) = channel.write(&mut Vanishing { left: 1 }, Waiting::Refused);
            assert_eq!((written, result), (0, Err(EFAULT)));
            assert_eq!(poller.told(), 1);
            drop(poller);
            channel.close(access, Some(&end));
        }
        Ok(())
    }
}
