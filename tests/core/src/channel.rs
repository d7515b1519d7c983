// SPDX-License-Identifier: GPL-2.0

//! A ring that real threads use: the module's `channel.rs` without the kernel.

use crate::{
    data::Data,
    queue::Side,
    ring::{
        Capacity, Consumer, Positions, Producer, pass_on_to_reader, pass_on_to_writer,
        wake_readers, wake_writers,
    },
};
use std::{sync::Mutex, thread};

pub(crate) struct Channel {
    positions: Positions,
    producer: Mutex<Producer>,
    consumer: Mutex<Consumer>,
    data: Data,
    readers: Side,
    writers: Side,
}

impl Channel {
    pub(crate) fn new(capacity: Capacity, start: u64) -> Self {
        Self {
            positions: Positions::new(capacity, start),
            producer: Mutex::new(Producer::new(start)),
            consumer: Mutex::new(Consumer::new(start)),
            data: Data::new(capacity),
            readers: Side::new(),
            writers: Side::new(),
        }
    }

    /// Writes what fits of `bytes`, but no less than `least`. `None` if that does not fit.
    pub(crate) fn try_write(&self, bytes: &[u8], least: usize) -> Option<usize> {
        let mut producer = self.producer.lock().unwrap();
        let room = producer.reserve(&self.positions, least, bytes.len())?;
        let span = room.span();
        self.data.copy_in(span.offset, &bytes[..span.len]);
        let published = room.publish(span.len);
        drop(producer);
        wake_readers(&self.positions, published, &self.readers);
        Some(span.len)
    }

    /// Writes all of `bytes`, in one piece if they are few, and sleeps as long as it takes.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let whole = bytes.len() <= Capacity::ATOMIC_WRITE;
        let mut left = bytes;
        while !left.is_empty() {
            let least = if whole { left.len() } else { 1 };
            match self.try_write(left, least) {
                Some(written) => left = &left[written..],
                None => {
                    sleep_unless(&self.writers, least, || self.positions.room() >= least);
                }
            }
        }
        pass_on_to_writer(&self.positions, &self.writers);
    }

    /// Reads what is there, at most as much as `buffer` takes. `None` if nothing is there.
    ///
    /// `record` is called with the bytes before any other reader can read those that follow.
    pub(crate) fn try_read(&self, buffer: &mut [u8], record: impl Fn(&[u8])) -> Option<usize> {
        let mut consumer = self.consumer.lock().unwrap();
        let unread = consumer.unread(&self.positions, buffer.len())?;
        let span = unread.span();
        self.data.copy_out(span.offset, &mut buffer[..span.len]);
        record(&buffer[..span.len]);
        let released = unread.release(span.len);
        drop(consumer);
        wake_writers(&self.positions, released, &self.writers);
        Some(span.len)
    }

    /// Reads what is there, and sleeps while nothing is there.
    pub(crate) fn read(&self, buffer: &mut [u8], record: impl Fn(&[u8])) -> usize {
        let read = loop {
            match self.try_read(buffer, &record) {
                Some(read) => break read,
                None => sleep_unless(&self.readers, 1, || self.positions.unread() > 0),
            }
        };
        pass_on_to_reader(&self.positions, &self.readers);
        read
    }

    /// Puts the thread among those who poll for bytes, until the value returned is dropped.
    pub(crate) fn poll_readable(&self) -> Poller<'_> {
        self.readers.pollers.join(1);
        Poller { channel: self }
    }
}

/// Sleeps once, unless `ready` holds after the thread has joined the queue.
fn sleep_unless(side: &Side, needs: usize, ready: impl Fn() -> bool) {
    side.sleepers.join(needs);
    if !ready() {
        thread::park();
    }
    side.sleepers.leave();
}

/// The calling thread, which polls for bytes.
pub(crate) struct Poller<'a> {
    channel: &'a Channel,
}

impl Poller<'_> {
    /// Sleeps until bytes are there. Nothing but an edge ends the sleep.
    pub(crate) fn wait(&self) {
        while self.channel.positions.unread() == 0 {
            thread::park();
        }
    }
}

impl Drop for Poller<'_> {
    fn drop(&mut self) {
        self.channel.readers.pollers.leave();
    }
}
