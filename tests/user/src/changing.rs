// SPDX-License-Identifier: GPL-2.0

//! Memory that another thread changes while the kernel copies it: what is copied is up to that
//! thread, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::errno::Errno;

use crate::abi::{self, Structure};
use crate::control::{Control, Kind, RECORD, Ring, STREAM, control, destroy_others, name_of};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::memory::{PAGE, Pages};
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::Task;

pub const TESTS: &[Test] = &[
    test!(changed_during_writes_records_keep_their_lengths)
        .threads_at_once()
        .seconds(60),
    test!(changed_during_writes_a_stream_keeps_its_length)
        .threads_at_once()
        .seconds(60),
    test!(changed_during_reads_others_read_what_was_written)
        .threads_at_once()
        .seconds(60),
    test!(changed_during_a_create_what_was_copied_counts)
        .threads_at_once()
        .seconds(60),
];

const SMALL: usize = 4096;
const LINE: usize = 64;

/// The longest record in a ring of a page.
const LONGEST: usize = SMALL / 4;

/// A thread that changes memory in turns, over and over.
struct Changer {
    turns: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Task<()>,
}

impl Changer {
    fn start(turn: impl Fn(u64) + Send + 'static) -> Self {
        let (turns, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, told) = (Arc::clone(&turns), Arc::clone(&stop));
        // So that nobody sees what was there before.
        turn(0);
        let thread = Task::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                turn(count.fetch_add(1, Ordering::Relaxed));
            }
        });
        Self {
            turns,
            stop,
            thread,
        }
    }

    /// It changes one byte of each line of a page, from the first on, to the number of the turn.
    fn of_marks(pages: Pages) -> Self {
        Self::start(move |number| {
            for line in 0..PAGE / LINE {
                pages.put(line * LINE, &[number as u8]);
            }
        })
    }

    /// Whether all was changed at least once, and by the other thread, while this ran.
    fn turned_during(&self, body: impl FnOnce()) -> bool {
        let before = self.turns.load(Ordering::Relaxed);
        body();
        // The one that was going on had begun before.
        self.turns.load(Ordering::Relaxed) > before + 1
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.finish();
    }
}

/// Goes on for so many rounds, and then until the memory was changed during the call of one: else
/// nothing was tested. The deadline of the test ends it if it never was.
fn until_seen(rounds: u64, mut round: impl FnMut(u64) -> bool) {
    let mut changed = 0_u64;
    let mut number = 0;
    while number < rounds || changed == 0 {
        changed += u64::from(round(number));
        number += 1;
    }
    note!("the memory was changed during {changed} of {number} calls");
}

/// Writes so many bytes from the pages; whether they were changed meanwhile.
fn write_changing(writer: Endpoint, pages: Pages, length: usize, changer: &Changer) -> bool {
    changer.turned_during(|| {
        assert_eq!(writer.write_from(pages.span(0, length)), Ok(length));
    })
}

fn changed_during_writes_records_keep_their_lengths() {
    for kind in Kind::all().filter(|kind| !kind.is_stream() && !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        let pages = Pages::map(1);
        let changer = Changer::of_marks(pages);
        let mut random = Random::new(1);
        until_seen(by_lane(2000, 200), |number| {
            let length = random.up_to((LONGEST - 1) as u64) as usize + 1;
            let changed = write_changing(writer, pages, length, &changer);
            let bytes = reader.take(SMALL).expect("read");
            // A payload that says what a header says is still a payload.
            let records = abi::records(&bytes);
            let [(header, payload)] = &records[..] else {
                panic!("one was written, and here are {}", records.len());
            };
            assert_eq!(u64::from(header.length), length as u64);
            assert_eq!(header.sequence, number);
            assert_eq!(payload.len(), length);
            assert_between_marks_is_zero(payload);
            changed
        });
        changer.stop();
        assert_eq!(ring.info().unread, 0);
    }
}

fn changed_during_writes_a_stream_keeps_its_length() {
    for kind in Kind::all().filter(|kind| kind.is_stream() && !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let pages = Pages::map(1);
        let changer = Changer::of_marks(pages);
        let mut random = Random::new(2);
        let mut written = 0;
        until_seen(by_lane(2000, 200), |_| {
            let length = random.up_to((SMALL - 1) as u64) as usize + 1;
            let changed = write_changing(writer, pages, length, &changer);
            written += length as u64;
            let bytes = reader.take(SMALL).expect("read");
            assert_eq!(bytes.len(), length);
            assert_between_marks_is_zero(&bytes);
            changed
        });
        changer.stop();
        let info = ring.info();
        assert_eq!((info.bytes_in, info.bytes_out), (written, written));
    }
}

/// Each reader has a cursor of its own, and one of them reads into memory that is not still.
fn changed_during_reads_others_read_what_was_written() {
    for kind in [STREAM.broadcast(), RECORD.broadcast()] {
        let ring = Ring::small(kind);
        let (disturbed, other, writer) = (ring.reader(), ring.reader(), ring.writer());
        let pages = Pages::map(1);
        let changer = Changer::of_marks(pages);
        let mut position = 0;
        until_seen(by_lane(4000, 400), |_| {
            writer.put(&pattern(position, LONGEST));
            let changed = changer.turned_during(|| {
                assert_eq!(disturbed.read_to(pages.span(0, LONGEST)), Ok(LONGEST));
            });
            let read = other.take(SMALL).expect("read");
            assert_eq!(read.len(), LONGEST);
            assert_pattern(&read, position);
            position += LONGEST as u64;
            changed
        });
        changer.stop();
        assert_eq!(cursors(disturbed, other), (position, position));
    }
}

/// The pages are zero but for the marks.
fn assert_between_marks_is_zero(bytes: &[u8]) {
    let mut rest = bytes.iter().enumerate().filter(|(at, _)| at % LINE != 0);
    assert!(rest.all(|(_, byte)| *byte == 0));
}

/// How much two readers have read.
fn cursors(one: Endpoint, other: Endpoint) -> (u64, u64) {
    (one.cursor().bytes_out, other.cursor().bytes_out)
}

/// A structure may be copied while half of it is of one request and half of another, and its
/// size may be another when it is looked at again. What comes of it is one ring, or none.
fn changed_during_a_create_what_was_copied_counts() {
    const LENGTH: usize = abi::NAME_SIZE - 1;
    let control = control();
    let pages = Pages::map(1);
    let size = size_of::<abi::Create>();
    let request = |letter: &str, kind: Kind, capacity, said: u32| {
        let mut bytes = kind
            .request(&letter.repeat(LENGTH), capacity)
            .bytes()
            .to_vec();
        bytes[..4].copy_from_slice(&said.to_ne_bytes());
        bytes
    };
    let at = PAGE - size;
    let turns = [
        request("a", STREAM, 4096, size as u32),
        request("b", RECORD.overwriting(), 8192, size as u32),
        request("c", STREAM, 4096, u32::MAX),
        request("d", STREAM, 4096, 4),
    ];
    let changer = Changer::start(move |_| turns.iter().for_each(|bytes| pages.put(at, bytes)));
    let mut made = 0_u64;
    let mut refused = 0_u64;
    // With the fields of one request and the name of another.
    let mut mixed = 0_u64;
    until_seen(by_lane(4000, 400), |_| {
        let mut answer = Ok(0);
        let changed = changer.turned_during(|| {
            answer = abi::call_at(&control, abi::CREATE, pages.span(at, size));
        });
        match answer {
            Ok(_) => made += 1,
            // The size may be copied byte by byte: of a mixture the rest may have no memory.
            Err(Errno::E2BIG | Errno::EINVAL | Errno::EFAULT) => {
                refused += 1;
                assert_eq!(others(&control).len(), 0);
                return changed;
            }
            Err(error) => panic!("create: {error}"),
        }
        let rings = others(&control);
        let [ring] = &rings[..] else {
            panic!("one was made, and here are {}", rings.len());
        };
        let name = name_of(&ring.name);
        assert_eq!(name.len(), LENGTH);
        assert!(name.bytes().all(|letter| b"abcd".contains(&letter)));
        assert!([4096, 8192].contains(&ring.capacity));
        assert!(ring.framing < 2 && ring.full < 3 && ring.delivery == 0);
        let first = name.as_bytes()[0];
        mixed += u64::from(
            name.bytes().any(|letter| letter != first)
                || (first == b'b') != (ring.capacity == 8192),
        );
        destroy_others().expect("destroy it");
        changed
    });
    changer.stop();
    note!("{made} rings were made, {mixed} of them of two requests; {refused} were refused");
    assert!(made > 0 && refused > 0);
}

/// The rings beside the default one.
fn others(control: &Control) -> Vec<abi::Info> {
    let mut rings = control.rings();
    rings.retain(|ring| name_of(&ring.name) != "0");
    rings
}
