// SPDX-License-Identifier: GPL-2.0

//! Memory that another thread changes while the kernel copies it: what is copied is up to that
//! thread, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
        .needs(threads_at_once)
        .seconds(60),
    test!(changed_during_writes_a_stream_keeps_its_length)
        .needs(threads_at_once)
        .seconds(60),
    test!(changed_during_reads_others_read_what_was_written)
        .needs(threads_at_once)
        .seconds(60),
    test!(changed_during_a_create_what_was_copied_counts)
        .needs(threads_at_once)
        .seconds(60),
];

const SMALL: usize = 4096;

/// The longest record in a ring of a page.
const LONGEST: usize = SMALL / 4;

/// Whether what one thread does falls into what another does: a copy in user space is as good as
/// one in the kernel to see that. Where one thread emulates all CPUs it hardly ever does.
fn threads_at_once() -> Result<(), &'static str> {
    let pages = Pages::map(1);
    let changer = Changer::start(pages, 0, vec![vec![0x55; SMALL], vec![0xaa; SMALL]]);
    let (mut copies, mut mixed) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        copies += 1;
        mixed += u64::from(is_mixed(&pages.get(0, SMALL), 0x55, 0xaa));
    }
    changer.stop();
    if mixed > copies / 50 {
        Ok(())
    } else {
        Err("no two threads run at once here, so that nothing changes during a copy")
    }
}

/// A thread that puts one after the other of these into the pages, over and over.
struct Changer {
    stop: Arc<AtomicBool>,
    thread: Task<u64>,
}

impl Changer {
    fn start(pages: Pages, offset: usize, turns: Vec<Vec<u8>>) -> Self {
        pages.put(offset, &turns[0]);
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = Task::spawn(move || {
            let mut count = 0;
            while !told.load(Ordering::Relaxed) {
                for bytes in &turns {
                    pages.put(offset, bytes);
                }
                count += 1;
            }
            count
        });
        Self { stop, thread }
    }

    /// Returns how often it has put them all.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.finish()
    }
}

/// Says whether bytes that can be one or the other are both; nothing else may be among them.
fn is_mixed(bytes: &[u8], one: u8, other: u8) -> bool {
    assert!(bytes.iter().all(|byte| [one, other].contains(byte)));
    bytes.contains(&one) && bytes.contains(&other)
}

/// Goes on for so many rounds, and then until a copy was seen into which a change fell: else
/// nothing was tested. The deadline of the test ends it if none ever does.
fn until_seen(rounds: u64, mut round: impl FnMut(u64) -> bool) {
    let mut mixed = 0_u64;
    let mut number = 0;
    while number < rounds || mixed == 0 {
        mixed += u64::from(round(number));
        number += 1;
    }
    note!("changes fell into {mixed} of {number} copies");
}

fn changed_during_writes_records_keep_their_lengths() {
    for kind in Kind::all().filter(|kind| !kind.is_stream() && !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        let pages = Pages::map(1);
        let changer = Changer::start(pages, 0, vec![vec![0x55; LONGEST], vec![0xaa; LONGEST]]);
        let mut random = Random::new(1);
        until_seen(by_lane(2000, 200), |number| {
            let length = random.up_to((LONGEST - 1) as u64) as usize + 1;
            assert_eq!(writer.write_from(pages.span(0, length)), Ok(length));
            let bytes = reader.take(SMALL).expect("read");
            // A payload that says what a header says is still a payload.
            let records = abi::records(&bytes);
            let [(header, payload)] = &records[..] else {
                panic!("one was written, and here are {}", records.len());
            };
            assert_eq!(u64::from(header.length), length as u64);
            assert_eq!(header.sequence, number);
            assert_eq!(payload.len(), length);
            is_mixed(payload, 0x55, 0xaa)
        });
        note!("changed {} times", changer.stop());
        assert_eq!(ring.info().unread, 0);
    }
}

fn changed_during_writes_a_stream_keeps_its_length() {
    for kind in Kind::all().filter(|kind| kind.is_stream() && !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let pages = Pages::map(1);
        let changer = Changer::start(pages, 0, vec![vec![0x55; SMALL], vec![0xaa; SMALL]]);
        let mut random = Random::new(2);
        let mut written = 0;
        until_seen(by_lane(2000, 200), |_| {
            let length = random.up_to((SMALL - 1) as u64) as usize + 1;
            assert_eq!(writer.write_from(pages.span(0, length)), Ok(length));
            written += length as u64;
            let bytes = reader.take(SMALL).expect("read");
            assert_eq!(bytes.len(), length);
            is_mixed(&bytes, 0x55, 0xaa)
        });
        note!("changed {} times", changer.stop());
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
        let changer = Changer::start(pages, 0, vec![vec![0xff; LONGEST]]);
        let mut position = 0;
        until_seen(by_lane(4000, 400), |_| {
            let message = pattern(position, LONGEST);
            writer.put(&message);
            assert_eq!(disturbed.read_to(pages.span(0, LONGEST)), Ok(LONGEST));
            // What was read, as far as it was not changed since.
            let found = pages.get(0, LONGEST);
            let read = other.take(SMALL).expect("read");
            assert_eq!(read.len(), LONGEST);
            assert_pattern(&read, position);
            position += LONGEST as u64;
            let changed = found.iter().zip(&message).filter(|(a, b)| a != b);
            let count = changed.inspect(|(a, _)| assert_eq!(**a, 0xff)).count();
            count > 0 && count < LONGEST
        });
        note!("changed {} times", changer.stop());
        assert_eq!(cursors(disturbed, other), (position, position));
    }
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
    let turns = vec![
        request("a", STREAM, 4096, size as u32),
        request("b", RECORD.overwriting(), 8192, size as u32),
        request("c", STREAM, 4096, u32::MAX),
        request("d", STREAM, 4096, 4),
    ];
    let changer = Changer::start(pages, at, turns);
    let mut made = 0_u64;
    let mut refused = 0_u64;
    until_seen(by_lane(4000, 400), |_| {
        match abi::call_at(&control, abi::CREATE, pages.span(at, size)) {
            Ok(_) => made += 1,
            // The size may be copied byte by byte: of a mixture the rest may have no memory.
            Err(Errno::E2BIG | Errno::EINVAL | Errno::EFAULT) => {
                refused += 1;
                assert_eq!(others(&control).len(), 0);
                return false;
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
        destroy_others().expect("destroy it");
        // The fields of one and the name of another.
        let first = name.as_bytes()[0];
        name.bytes().any(|letter| letter != first) || (first == b'b') != (ring.capacity == 8192)
    });
    note!("changed {} times", changer.stop());
    note!("{made} rings were made, {refused} refused");
    assert!(made > 0 && refused > 0);
}

/// The rings beside the default one.
fn others(control: &Control) -> Vec<abi::Info> {
    let mut rings = control.rings();
    rings.retain(|ring| name_of(&ring.name) != "0");
    rings
}
