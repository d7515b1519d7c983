// SPDX-License-Identifier: GPL-2.0

//! A small ring for the unit tests of this folder: one thread, and headers but no bytes.

use super::{
    producer::Published,
    Attributes,
    Capacity,
    Cursor,
    Delivery,
    Framing,
    Full,
    Mark,
    Missed,
    Place,
    Positions,
    Producer,
    Received,
    View,
    Words, //
};
use core::cell::Cell;

/// The size of the ring.
pub(super) const BYTES: usize = 4096;

const WORD: usize = size_of::<u64>();

/// A ring with shared delivery.
pub(super) const fn shared(framing: Framing, full: Full) -> Attributes {
    Attributes {
        framing,
        full,
        delivery: Delivery::Shared,
        hangup: false,
    }
}

/// What all share. The data are there once; what is behind them is at their start again.
pub(super) struct Ring {
    pub(super) attributes: Attributes,
    pub(super) positions: Positions,
    mark: Mark,
    missed: Missed,
    start: u64,
    words: [Cell<u64>; BYTES / WORD],
}

impl Ring {
    /// An empty ring, whose positions begin at `start`, and with anything in its data.
    pub(super) fn new(attributes: Attributes, start: u64) -> Result<Self, ()> {
        Ok(Self {
            attributes,
            positions: Positions::new(capacity(BYTES)?, start),
            mark: Mark::new(start),
            missed: Missed::new(),
            start,
            words: [const { Cell::new(u64::MAX) }; BYTES / WORD],
        })
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(self.attributes, &self.positions, &self.mark, &self.missed)
    }

    /// How many bytes can be read.
    pub(super) fn unread(&self) -> usize {
        self.positions.unread(self.view().mark)
    }

    /// The writers' side of the ring, which is new.
    pub(super) fn writer(&self) -> Writer<'_> {
        let capacity = self.positions.capacity();
        Writer {
            ring: self,
            producer: Producer::new(self.attributes, capacity, self.start),
        }
    }

    /// The readers' side of the ring, which is new.
    pub(super) fn cursor(&self) -> Cursor {
        let capacity = self.positions.capacity();
        Cursor::new(self.attributes, capacity, Place::first(self.start))
    }
}

impl Ring {
    fn word(&self, position: u64) -> Option<&Cell<u64>> {
        // CAST: Less than the size of the ring.
        let offset = (position % BYTES as u64) as usize;
        self.words.get(offset / WORD)
    }
}

impl Words for Ring {
    fn load(&self, position: u64) -> u64 {
        self.word(position).map_or(0, Cell::get)
    }

    fn store(&self, position: u64, word: u64) {
        if let Some(place) = self.word(position) {
            place.set(word);
        }
    }
}

/// The writers' side.
pub(super) struct Writer<'a> {
    ring: &'a Ring,
    pub(super) producer: Producer,
}

impl Writer<'_> {
    /// Writes `bytes` bytes of a stream, or nothing if they do not fit.
    pub(super) fn write(&mut self, bytes: usize) -> Result<Published, ()> {
        let ring = self.ring;
        self.producer.make_room(&ring.positions, ring, bytes);
        let room = self.producer.reserve(&ring.positions, bytes, bytes);
        Ok(room.ok_or(())?.publish(bytes))
    }

    /// Writes a record, if it fits. Its timestamp is its length, and a billion.
    pub(super) fn record(&mut self, length: u32) -> Result<Published, ()> {
        let ring = self.ring;
        // CAST: A record of a few kilobytes.
        let stored = super::Header::stored(length) as usize;
        self.producer.make_room(&ring.positions, ring, stored);
        let slot = self.producer.reserve_record(&ring.positions, length);
        Ok(slot.ok_or(())?.publish(ring, timestamp(length)))
    }

    /// Where the oldest data begin.
    pub(super) fn oldest(&self) -> Place {
        self.producer.oldest(&self.ring.positions, self.ring)
    }

    /// What `cursor` has received and lost.
    pub(super) fn received(&self, cursor: &Cursor) -> Received {
        cursor.received(self.oldest())
    }
}

/// When [`Writer::record`] says that a record of this length was written.
pub(super) fn timestamp(length: u32) -> u64 {
    1_000_000_000 + u64::from(length)
}

/// A capacity of `bytes` bytes.
pub(super) fn capacity(bytes: usize) -> Result<Capacity, ()> {
    Capacity::new(bytes as u64, BYTES as u64).ok_or(())
}
