// SPDX-License-Identifier: GPL-2.0

//! The tracepoints: what was done is what a trace shows, to the byte.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFlags, PollTimeout};

use crate::abi::{records, stored};
use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::random::Random;
use crate::task::{Call, Task};

// An event that is enabled stays so until the module goes.
pub const TESTS: &[Test] = &[
    test!(trace_has_nothing_before_it_is_enabled)
        .needs(can_trace)
        .alone(),
    test!(trace_adds_up_to_what_was_counted)
        .needs(can_trace)
        .alone()
        .seconds(60),
    test!(trace_tells_the_pieces_of_long_calls)
        .needs(can_trace)
        .alone(),
    test!(trace_tells_of_a_clear).needs(can_trace).alone(),
    test!(trace_tells_who_is_woken).needs(can_trace).alone(),
    test!(trace_tells_of_no_wake_up_that_nobody_waits_for)
        .needs(can_trace)
        .alone(),
    test!(trace_can_be_filtered_by_name)
        .needs(can_trace)
        .alone(),
];

const TRACEFS: &str = "/sys/kernel/tracing";

fn can_trace() -> Result<(), &'static str> {
    if Path::new(TRACEFS).join("events").exists() {
        Ok(())
    } else {
        Err("the kernel has no event tracing")
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(TRACEFS).join(file)
}

fn set(file: &str, value: &str) {
    // Without O_TRUNC, which empties the trace.
    let opened = File::options().write(true).open(path(file));
    let written = opened.and_then(|mut file| file.write_all(value.as_bytes()));
    written.unwrap_or_else(|error| panic!("{file}: {error}"));
}

/// Begins a trace of the module's events.
fn start() {
    set("buffer_size_kb", "4096");
    File::create(path("trace")).expect("empty the trace");
    set("events/ringdev/enable", "1");
}

/// An event of the module.
#[derive(Debug)]
struct Event {
    name: String,
    fields: Vec<(String, String)>,
}

impl Event {
    /// Parses "  task-pid [cpu] flags time: ringdev_NAME: field=value ...".
    fn parse(line: &str) -> Option<Self> {
        let (name, fields) = line.split_once(": ringdev_")?.1.split_once(": ")?;
        let fields = fields
            .split(' ')
            .filter_map(|field| field.split_once('='))
            .map(|(field, value)| (field.to_owned(), value.to_owned()))
            .collect();
        Some(Self {
            name: name.to_owned(),
            fields,
        })
    }

    fn text(&self, field: &str) -> &str {
        let found = self.fields.iter().find(|(name, _)| name == field);
        &found.unwrap_or_else(|| panic!("{self:?} has no {field}")).1
    }

    fn number(&self, field: &str) -> u64 {
        let text = self.text(field);
        text.parse()
            .unwrap_or_else(|error| panic!("{field}={text}: {error}"))
    }
}

/// What the trace shows of a ring so far, in the order in which it happened.
fn events(ring: &Ring) -> Vec<Event> {
    let trace = fs::read_to_string(path("trace")).expect("read the trace");
    assert!(!trace.contains("LOST"), "the buffer of the trace is small");
    let id = ring.info().id;
    let mut events: Vec<Event> = trace.lines().filter_map(Event::parse).collect();
    events.retain(|event| event.text("name") == ring.name());
    assert!(events.iter().all(|event| event.number("ring") == id));
    events
}

/// The sum of a field over the events of that name, at that cursor if it is given.
fn sum(events: &[Event], name: &str, cursor: Option<u64>, field: &str) -> u64 {
    events
        .iter()
        .filter(|event| event.name == name)
        .filter(|event| cursor.is_none_or(|cursor| event.number("cursor") == cursor))
        .map(|event| event.number(field))
        .sum()
}

/// Who is woken, one after the other.
fn woken(events: &[Event]) -> Vec<(&str, &str)> {
    events
        .iter()
        .filter(|event| event.name == "wake")
        .map(|event| (event.text("side"), event.text("waiters")))
        .collect()
}

fn trace_has_nothing_before_it_is_enabled() {
    start();
    set("events/ringdev/enable", "0");
    let ring = Ring::small(STREAM);
    let both = ring.both();
    both.put(b"unseen");
    both.take(6).expect("read");
    assert!(events(&ring).is_empty());
    set("events/ringdev/ringdev_read/enable", "1");
    both.put(b"seen?");
    both.take(5).expect("read");
    let events = events(&ring);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].name, "read");
    assert_eq!(events[0].number("position"), 6);
}

fn trace_adds_up_to_what_was_counted() {
    start();
    let mut random = Random::new(1);
    let mut seen = 0;
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let nonblocking = |flags| Endpoint::keep(ring.open(flags | OFlag::O_NONBLOCK));
        let readers = [nonblocking(OFlag::O_RDONLY), nonblocking(OFlag::O_RDONLY)];
        if !kind.is_stream() {
            readers[1].set_headers(true);
        }
        let writer = nonblocking(OFlag::O_WRONLY);
        let (mut sent, mut taken) = (0, 0);
        for _ in 0..by_lane(400, 60) {
            match random.up_to(3) {
                1 => {
                    let written = writer.write(&vec![b'x'; random.up_to(1000) as usize]);
                    sent += written.unwrap_or(0) as u64;
                }
                2 => taken += readers[0].take(1000).map_or(0, |bytes| bytes.len() as u64),
                _ => {
                    let bytes = readers[1].take(3000).unwrap_or_default();
                    taken += if kind.is_stream() {
                        bytes.len() as u64
                    } else {
                        let records = records(&bytes);
                        records
                            .iter()
                            .map(|(_, payload)| payload.len() as u64)
                            .sum()
                    };
                }
            }
        }
        // What was overwritten is found when somebody reads on.
        for reader in readers {
            loop {
                match reader.take(4096) {
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(error) => panic!("read on: {error}"),
                }
            }
        }
        let (events, info) = (events(&ring), ring.info());
        assert_eq!(sum(&events, "write", None, "bytes"), sent, "{kind}");
        assert!(sum(&events, "read", None, "bytes") >= taken, "{kind}");
        assert_eq!(
            sum(&events, "write", None, "bytes"),
            info.bytes_in,
            "{kind}"
        );
        assert_eq!(
            sum(&events, "read", None, "bytes"),
            info.bytes_out,
            "{kind}"
        );
        if !kind.is_stream() {
            assert_eq!(
                sum(&events, "write", None, "records"),
                info.records_in,
                "{kind}"
            );
            assert_eq!(
                sum(&events, "read", None, "records"),
                info.records_out,
                "{kind}"
            );
        }
        for cursor in ring.cursors() {
            let at = |name, field| sum(&events, name, Some(cursor.id), field);
            assert_eq!(at("read", "bytes"), cursor.bytes_out, "{kind}");
            assert_eq!(at("lost", "bytes"), cursor.bytes_lost, "{kind}");
            assert_eq!(at("lost", "records"), cursor.records_lost, "{kind}");
            assert!(kind.overwrites() || at("lost", "bytes") + at("lost", "records") == 0);
        }
        // A write begins where the one before it has ended.
        let mut position = 0;
        for event in events.iter().filter(|event| event.name == "write") {
            assert_eq!(event.number("position"), position, "{kind}");
            let bytes = event.number("bytes");
            position += if kind.is_stream() {
                bytes
            } else {
                stored(bytes as usize) as u64
            };
        }
        seen += events.len();
    }
    note!("{seen} events");
}

fn trace_tells_the_pieces_of_long_calls() {
    const SIZE: usize = 200_000;
    start();
    let ring = Ring::new(STREAM, 1 << 18);
    let both = ring.both();
    both.put(&vec![b'x'; SIZE]);
    both.take_exactly(SIZE);
    let events = events(&ring);
    // Each lock is held for a piece, and not for all of it.
    for call in ["write", "read"] {
        let pieces = events.iter().filter(|event| event.name == call).count();
        assert!(pieces > 1, "{pieces} pieces of {call}");
    }
    assert_eq!(sum(&events, "write", None, "bytes"), SIZE as u64);
    assert_eq!(sum(&events, "read", Some(0), "bytes"), SIZE as u64);
}

fn trace_tells_of_a_clear() {
    for kind in [
        STREAM,
        STREAM.broadcast(),
        RECORD,
        RECORD.overwriting().broadcast(),
    ] {
        start();
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(&[b'x'; 100]);
        writer.put(&[b'x'; 50]);
        ring.clear();
        // Records are found missing at the next one.
        writer.put(b"next");
        assert_eq!(reader.take(10), Ok(b"next".to_vec()));
        let (events, cursor) = (events(&ring), ring.cursors()[0]);
        assert_eq!(
            cursor.bytes_lost,
            if kind.is_stream() { 150 } else { 0 },
            "{kind}"
        );
        assert_eq!(
            sum(&events, "lost", Some(cursor.id), "bytes"),
            cursor.bytes_lost
        );
        assert_eq!(
            cursor.records_lost,
            if kind.is_stream() { 0 } else { 2 },
            "{kind}"
        );
        assert_eq!(
            sum(&events, "lost", Some(cursor.id), "records"),
            cursor.records_lost
        );
    }
}

fn trace_tells_who_is_woken() {
    for kind in [STREAM, RECORD, STREAM.broadcast(), RECORD.broadcast()] {
        start();
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
        writer.put(b"wake up");
        assert_eq!(sleeper.finish(), Ok(b"wake up".to_vec()));
        assert_eq!(woken(&events(&ring)), [("readers", "sleepers")], "{kind}");

        start();
        let poller = Task::asleep_in(Call::POLL, move || {
            reader.poll(PollFlags::POLLIN, PollTimeout::NONE)
        });
        writer.put(b"you too");
        assert_eq!(poller.finish(), Ok(PollFlags::POLLIN));
        assert_eq!(woken(&events(&ring)), [("readers", "pollers")], "{kind}");
        reader.take(10).expect("read");

        // Full, in pieces that a record can be.
        writer.set_nonblocking(true);
        while writer.write(&[b'x'; 500]).is_ok() {}
        writer.set_nonblocking(false);
        start();
        let sleeper = Task::asleep_in(Call::WRITE, move || writer.write(&[b'y'; 1000]));
        while !sleeper.is_finished() {
            if reader.available() > 0 {
                reader.take(1000).expect("read");
            }
        }
        assert_eq!(sleeper.finish(), Ok(1000));
        let events = events(&ring);
        assert!(
            woken(&events).contains(&("writers", "sleepers")),
            "{kind}: {events:?}"
        );
        // Before what it has brought about.
        let order: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        let wake = order.iter().position(|name| *name == "wake");
        let write = order.iter().position(|name| *name == "write");
        assert!(wake < write, "{kind}: {order:?}");
    }
    // And when a ring ends.
    start();
    let ring = Ring::small(STREAM);
    let reader = ring.reader();
    let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
    let (name, before) = (ring.name().to_owned(), ring);
    ring.destroy();
    assert_eq!(sleeper.finish(), Ok(Vec::new()));
    let trace = fs::read_to_string(path("trace")).expect("read the trace");
    let mut events: Vec<Event> = trace.lines().filter_map(Event::parse).collect();
    events.retain(|event| event.text("name") == name);
    assert_eq!(
        woken(&events),
        [("readers", "sleepers")],
        "{}",
        before.name()
    );
}

fn trace_tells_of_no_wake_up_that_nobody_waits_for() {
    start();
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let both = ring.both();
        for _ in 0..10 {
            both.put(b"nobody");
            both.take(6).expect("read");
        }
        drop(ring.open(OFlag::O_RDWR));
        assert!(woken(&events(&ring)).is_empty(), "{kind}");
    }
}

fn trace_can_be_filtered_by_name() {
    start();
    let rings = [Ring::small(STREAM), Ring::small(STREAM)];
    set(
        "events/ringdev/filter",
        &format!("name == \"{}\"", rings[1].name()),
    );
    for ring in rings {
        ring.both().put(b"one of two");
    }
    assert!(events(&rings[0]).is_empty());
    assert_eq!(events(&rings[1]).len(), 1);
}
