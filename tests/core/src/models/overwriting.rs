// SPDX-License-Identifier: GPL-2.0

//! A writer that waits for nobody, and a reader that finds out that it was lapped.
//!
//! The bytes are atomic here, and without any order: that they are overwritten while somebody
//! copies them is no race but what happens, and what the reader accepts must have been written at
//! the position where it says that it has read it.

use super::{
    Breakage::{Torn, Untold},
    Fault::{self, CheckBeforeCopy, OverwriteBeforeTail, Weak},
    Preemptions::{self, Any, AtMost},
    TORN, UNTOLD, breaks, faulty, holds,
    ring::{NoWords, START, UNIT, Value, capacity},
};
use crate::ring::{
    Attributes, Cursor, Framing, Full, Header, Mark, Missed, Place, Positions, Producer, Site,
    View, Words,
};
use loom::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
};
use std::sync::Arc;

/// Units of the ring.
const UNITS: usize = 2;

/// What writers and readers of an overwritten ring share.
struct Shared {
    positions: Positions,
    mark: Mark,
    missed: Missed,
    /// A value for each unit: at the n-th position, from 0, the value n + 1 is written.
    cells: Vec<AtomicU32>,
    /// The words of a header at the beginning of each unit.
    words: Vec<AtomicU64>,
}

const HEADER_WORDS: usize = Header::SIZE / 8;

impl Words for Shared {
    fn load(&self, position: u64) -> u64 {
        self.word(position).map_or(0, |word| word.load(Relaxed))
    }

    fn store(&self, position: u64, word: u64) {
        if let Some(place) = self.word(position) {
            place.store(word, Relaxed);
        }
    }
}

impl Shared {
    /// The word of a header. What pads a record is cleared, and no reader looks at it.
    fn word(&self, position: u64) -> Option<&AtomicU64> {
        let offset = position as usize;
        let word = offset % UNIT / 8;
        (word < HEADER_WORDS).then(|| &self.words[offset / UNIT % UNITS * HEADER_WORDS + word])
    }

    fn cell(&self, position: u64) -> &AtomicU32 {
        &self.cells[position as usize / UNIT % UNITS]
    }

    fn view(&self) -> View<'_> {
        View {
            positions: &self.positions,
            mark: &self.mark,
            missed: &self.missed,
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    producer: Producer,
}

struct Reader {
    shared: Arc<Shared>,
    cursor: Cursor,
}

/// An empty ring.
fn ring(framing: Framing) -> (Writer, Reader) {
    let attributes = Attributes {
        framing,
        full: Full::Overwrite,
        ..Attributes::STREAM
    };
    let shared = Arc::new(Shared {
        positions: Positions::new(capacity(UNITS), START),
        mark: Mark::new(START),
        missed: Missed::new(),
        cells: (0..UNITS).map(|_| AtomicU32::new(0)).collect(),
        words: match framing {
            Framing::Stream => Vec::new(),
            Framing::Record => (0..UNITS * HEADER_WORDS)
                .map(|_| AtomicU64::new(0))
                .collect(),
        },
    });
    let producer = Producer::new(attributes, capacity(UNITS), START);
    let cursor = Cursor::new(attributes, capacity(UNITS), Place::first(START));
    (
        Writer {
            shared: shared.clone(),
            producer,
        },
        Reader { shared, cursor },
    )
}

/// The value that belongs to a position.
fn value_at(position: u64) -> Value {
    (position.wrapping_sub(START) / UNIT as u64) as Value + 1
}

/// The position so many bytes on.
fn after(position: u64, bytes: usize) -> u64 {
    position.wrapping_add(bytes as u64)
}

/// How long the record with a number is: all take a unit with their headers.
fn length(sequence: u64) -> u32 {
    (UNIT - Header::SIZE) as u32 - (sequence % 7) as u32
}

impl Writer {
    /// Writes the next `units` values of a stream.
    fn write(&mut self, units: usize) {
        let Self { shared, producer } = self;
        let head = producer.newest().position;
        let fill = || {
            for unit in 0..units {
                let position = after(head, unit * UNIT);
                shared.cell(position).store(value_at(position), Relaxed);
            }
        };
        if faulty(OverwriteBeforeTail) {
            fill();
        }
        producer.make_room(&shared.positions, &NoWords, units * UNIT);
        let room = producer.reserve(&shared.positions, units * UNIT, units * UNIT);
        let room = room.unwrap();
        if !faulty(OverwriteBeforeTail) {
            fill();
        }
        let _ = room.publish(units * UNIT);
    }

    /// Writes the next record.
    fn write_record(&mut self) {
        let Self { shared, producer } = self;
        let Place { position, sequence } = producer.newest();
        producer.make_room(&shared.positions, &**shared, UNIT);
        let slot = producer.reserve_record(&shared.positions, length(sequence));
        let slot = slot.unwrap();
        let cell = shared.cell(slot.payload().position);
        cell.store(value_at(position), Relaxed);
        let _ = slot.publish(&**shared, sequence);
    }
}

impl Reader {
    /// Reads up to `units` values of a stream, and tries again when it was lapped. Answers whether
    /// there was anything.
    fn read(&mut self, units: usize) -> bool {
        loop {
            let Self { shared, cursor } = self;
            let Some(unread) = cursor.unread(shared.view(), units * UNIT) else {
                return false;
            };
            let span = unread.span();
            let copy = || -> Vec<Value> {
                let cells = (0..span.len)
                    .step_by(UNIT)
                    .map(|begin| shared.cell(after(span.position, begin)));
                cells.map(|cell| cell.load(Relaxed)).collect()
            };
            let (values, released) = if faulty(CheckBeforeCopy) {
                let released = unread.release(span.len);
                (copy(), released)
            } else {
                (copy(), unread.release(span.len))
            };
            if released.is_ok() {
                let end = shared.mark.load();
                for (index, value) in values.iter().rev().enumerate() {
                    let position = end.wrapping_sub(((index + 1) * UNIT) as u64);
                    assert_eq!(*value, value_at(position), "{TORN}");
                }
                return true;
            }
        }
    }

    /// The same for records.
    fn read_records(&mut self, most: usize) -> bool {
        loop {
            let Self { shared, cursor } = self;
            let Some(records) = cursor.records(shared.view(), &**shared, most) else {
                return false;
            };
            let (first, payload, span) = (records.first(), records.payload(), records.span());
            // It is what it says, even if it is overwritten by now.
            let begin = shared.mark.load();
            assert_eq!(first.sequence + 1, u64::from(value_at(begin)), "{TORN}");
            assert_eq!(first.length, length(first.sequence), "{TORN}");
            let copy = || -> Vec<(u64, Value)> {
                (0..=span.len / UNIT)
                    .map(|unit| unit * UNIT)
                    .filter(|begin| *begin < span.len)
                    .map(|begin| {
                        let sequence = after(span.position, begin + 8);
                        let value = after(payload.position, begin);
                        let sequence = shared.load(sequence);
                        (sequence, shared.cell(value).load(Relaxed))
                    })
                    .collect()
            };
            let (copied, released) = if faulty(CheckBeforeCopy) {
                let released = records.release(false);
                (copy(), released)
            } else {
                (copy(), records.release(false))
            };
            if released.is_ok() {
                for (index, (sequence, value)) in copied.into_iter().enumerate() {
                    assert_eq!(sequence, first.sequence + index as u64, "{TORN}");
                    assert_eq!(u64::from(value), sequence + 1, "{TORN}");
                }
                return true;
            }
        }
    }
}

/// A reader of a full ring copies all of it while a writer puts a value where the oldest was, and
/// another.
fn reader_is_lapped() {
    let (mut writer, mut reader) = ring(Framing::Stream);
    writer.write(2);
    let writer = thread::spawn(move || {
        writer.write(1);
        writer.write(1);
    });
    while reader.read(2) {}
    writer.join().unwrap();
}

/// A writer overwrites what it has just written, so that a reader that has seen nothing of it goes
/// on from a tail that is beyond the head that it knows.
fn reader_goes_on_from_the_tail() {
    let (mut writer, mut reader) = ring(Framing::Stream);
    let writer = thread::spawn(move || {
        writer.write(2);
        writer.write(2);
    });
    reader.read(1);
    writer.join().unwrap();
}

/// The first of two records is overwritten while it is looked at, and while it is copied.
fn reader_of_a_record_is_lapped() {
    let (mut writer, mut reader) = ring(Framing::Record);
    writer.write_record();
    writer.write_record();
    let writer = thread::spawn(move || writer.write_record());
    assert!(reader.read_records(0));
    writer.join().unwrap();
}

/// The same for a reader that takes both at once.
fn reader_of_a_batch_is_lapped() {
    let (mut writer, mut reader) = ring(Framing::Record);
    writer.write_record();
    writer.write_record();
    let writer = thread::spawn(move || writer.write_record());
    assert!(reader.read_records(usize::MAX));
    writer.join().unwrap();
}

/// Somebody polls for what was lost while the reader that has lost it finds that out.
fn loss_is_polled_for() {
    let (mut writer, mut reader) = ring(Framing::Stream);
    writer.write(2);
    writer.write(1);
    let shared = reader.shared.clone();
    let reader = thread::spawn(move || {
        assert!(reader.read(1));
    });
    assert!(shared.view().has_missed(), "{UNTOLD}");
    reader.join().unwrap();
}

fn loss_is_untold_by(fault: Fault) {
    breaks(Any, loss_is_polled_for, fault, Untold);
}

const BOUND: Preemptions = AtMost(3);

// All of them take half a minute, and find no more.
const LAPPED: Preemptions = AtMost(4);

fn stream_is_torn_by(fault: Fault) {
    breaks(LAPPED, reader_is_lapped, fault, Torn);
}

fn record_is_torn_by(fault: Fault) {
    breaks(BOUND, reader_of_a_record_is_lapped, fault, Torn);
}

#[test]
fn lapped_reader_of_a_stream_accepts_nothing_torn() {
    holds(LAPPED, reader_is_lapped);
}

#[test]
fn lapped_reader_of_a_record_accepts_nothing_torn() {
    holds(BOUND, reader_of_a_record_is_lapped);
}

#[test]
fn lapped_reader_of_a_batch_accepts_nothing_torn() {
    holds(BOUND, reader_of_a_batch_is_lapped);
}

#[test]
fn head_is_never_seen_below_the_tail() {
    holds(Any, reader_goes_on_from_the_tail);
}

#[test]
fn writer_needs_barrier_between_tail_and_stream() {
    stream_is_torn_by(Weak(Site::TailThenOverwrite));
}

#[test]
fn reader_needs_barrier_between_stream_and_tail() {
    stream_is_torn_by(Weak(Site::CopyThenTail));
}

#[test]
fn writer_moves_the_tail_before_it_overwrites() {
    stream_is_torn_by(OverwriteBeforeTail);
}

#[test]
fn reader_copies_before_it_checks() {
    stream_is_torn_by(CheckBeforeCopy);
}

#[test]
fn head_release_is_needed() {
    stream_is_torn_by(Weak(Site::HeadRelease));
}

#[test]
fn head_acquire_is_needed() {
    stream_is_torn_by(Weak(Site::HeadAcquire));
}

#[test]
fn writer_needs_barrier_between_tail_and_record() {
    record_is_torn_by(Weak(Site::TailThenOverwrite));
}

#[test]
fn reader_needs_barrier_between_record_and_tail() {
    record_is_torn_by(Weak(Site::CopyThenTail));
}

#[test]
fn writer_needs_barrier_between_tail_and_batch() {
    let fault = Weak(Site::TailThenOverwrite);
    breaks(BOUND, reader_of_a_batch_is_lapped, fault, Torn);
}

#[test]
fn reader_needs_barrier_between_batch_and_tail() {
    let fault = Weak(Site::CopyThenTail);
    breaks(BOUND, reader_of_a_batch_is_lapped, fault, Torn);
}

#[test]
fn reader_copies_a_record_before_it_checks() {
    record_is_torn_by(CheckBeforeCopy);
}

#[test]
fn eviction_hands_on_the_head() {
    breaks(
        Any,
        reader_goes_on_from_the_tail,
        Weak(Site::EvictRelease),
        Torn,
    );
}

#[test]
fn lapped_reader_acquires_the_tail() {
    breaks(
        Any,
        reader_goes_on_from_the_tail,
        Weak(Site::TailAcquire),
        Torn,
    );
}

#[test]
fn loss_is_never_out_of_sight() {
    holds(Any, loss_is_polled_for);
}

#[test]
fn reader_says_what_it_missed_before_it_moves_on() {
    loss_is_untold_by(Weak(Site::TailRelease));
}

#[test]
fn poller_looks_at_the_mark_before_it_asks_what_was_missed() {
    loss_is_untold_by(Weak(Site::MarkThenMissed));
}
