// SPDX-License-Identifier: GPL-2.0

//! Tests of the client library that need a ring. All others are in `tools/ringdev`, and run on the
//! host.
//!
//! `ringdev-client-tests NAME` runs the test of that name, which panics if it fails. Each has a
//! script in `tests/tools`, which calls it in a guest.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::Duration;
use std::{env, process};

use ringdev::{AsyncRing, Control, Create, Cursor, Delivery, Framing, Full, Info, Ring, RingName};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::{join, task, time};

const TESTS: [(&str, fn()); 8] = [
    ("rings_are_as_they_were_made", rings_are_as_they_were_made),
    (
        "control_changes_the_ring_that_is_named",
        control_changes_the_ring_that_is_named,
    ),
    (
        "seeking_leaves_out_or_comes_back",
        seeking_leaves_out_or_comes_back,
    ),
    ("a_watermark_is_as_it_was_set", a_watermark_is_as_it_was_set),
    (
        "records_come_whole_with_their_headers",
        records_come_whole_with_their_headers,
    ),
    (
        "a_ring_reads_and_writes_as_a_file",
        a_ring_reads_and_writes_as_a_file,
    ),
    (
        "tasks_share_records_and_lose_none",
        tasks_share_records_and_lose_none,
    ),
    ("tasks_learn_of_the_end", tasks_learn_of_the_end),
];

fn main() {
    let name = env::args().nth(1).unwrap_or_default();
    let Some((_, test)) = TESTS.iter().find(|(known, _)| *known == name) else {
        eprintln!("there is no test '{name}'");
        process::exit(2);
    };
    test();
}

fn name(name: &str) -> RingName {
    name.parse().expect("a name")
}

fn control() -> Control {
    Control::open().expect("the module is loaded")
}

/// Makes a ring of records.
fn records(ring: &str) -> Create {
    Create::new(name(ring)).framing(Framing::Record)
}

fn made(create: Create) {
    control().create(&create).expect("a ring that can be");
}

fn reader(ring: &str) -> Ring {
    let ring = Ring::options().read(true).open(&name(ring));
    ring.expect("a ring that is there")
}

fn writer(ring: &str) -> Ring {
    let ring = Ring::options().write(true).open(&name(ring));
    ring.expect("a ring that is there")
}

fn errno<T>(answer: io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&answer.err()?)
}

fn cursors(ring: &str) -> Vec<Cursor> {
    let cursors = control().cursors(&name(ring)).collect::<io::Result<_>>();
    cursors.expect("the cursors of a ring")
}

fn rings_are_as_they_were_made() {
    let create = records("all")
        .capacity(1 << 17)
        .full(Full::Overwrite)
        .delivery(Delivery::Broadcast)
        .hangup(true)
        .mode(0o640)
        .uid(11)
        .gid(12);
    made(create.clone());
    made(Create::new(name("other")).full(Full::Drop));
    assert_eq!(errno(control().create(&create)), Some(Errno::EXIST));

    let found = control().find(&name("all")).expect("it is there");
    let mut expected = Info::new(found.id, name("all"));
    expected.capacity = 1 << 17;
    expected.framing = Framing::Record;
    expected.full = Full::Overwrite;
    expected.delivery = Delivery::Broadcast;
    expected.hangup = true;
    expected.mode = 0o640;
    (expected.uid, expected.gid) = (11, 12);
    assert_eq!(found, expected);

    // An endpoint says the same of its ring, and is counted in it.
    let reader = reader("all");
    let _another = (writer("all"), writer("all"));
    (expected.readers, expected.writers) = (1, 2);
    assert_eq!(reader.info().expect("a ring"), expected);

    let control = control();
    let rings: Vec<Info> = control.rings().collect::<io::Result<_>>().expect("rings");
    let names: Vec<&str> = rings.iter().map(|ring| ring.name.as_str()).collect();
    assert_eq!(names, ["0", "all", "other"]);
    assert!(rings.is_sorted_by(|one, next| one.id < next.id));
    assert_eq!(rings[2].full, Full::Drop);
    assert_eq!(errno(control.find(&name("none"))), Some(Errno::NOENT));
}

fn control_changes_the_ring_that_is_named() {
    made(
        records("one")
            .capacity(1 << 16)
            .delivery(Delivery::Broadcast),
    );
    made(records("two").capacity(1 << 16));
    let (first, second) = (reader("one"), reader("one"));
    for ring in ["one", "two"] {
        writer(ring).send(b"record").expect("there is room");
    }
    let control = control();
    control.resize(&name("one"), 1 << 18).expect("it is larger");
    assert_eq!(first.info().expect("a ring").capacity, 1 << 18);
    assert_eq!(
        control.find(&name("two")).expect("it is there").capacity,
        1 << 16
    );

    // The second reader is evicted, and has no cursor any more.
    let numbers: Vec<u64> = cursors("one").iter().map(|cursor| cursor.id).collect();
    let evicted = second.cursor().expect("it reads").id;
    let kept = first.cursor().expect("it reads").id;
    assert_eq!(numbers, [kept, evicted]);
    control.evict(&name("one"), evicted).expect("a reader");
    let numbers: Vec<u64> = cursors("one").iter().map(|cursor| cursor.id).collect();
    assert_eq!(numbers, [kept]);
    let mut record = Vec::new();
    assert_eq!(errno(second.receive(&mut record)), Some(Errno::SHUTDOWN));
    assert!(first.receive(&mut record).expect("a read"));
    assert_eq!(record, b"record");
    assert_eq!(errno(control.evict(&name("two"), 0)), Some(Errno::INVAL));

    // A record of 6 bytes takes 40 of the ring.
    assert_eq!(cursors("two").first().expect("the one").unread, 40);
    control.clear(&name("two")).expect("a ring");
    let cleared = cursors("two");
    assert_eq!((cleared[0].unread, cleared[0].records_lost), (0, 1));

    control.destroy(&name("one")).expect("a ring");
    assert!(control.find(&name("two")).is_ok());
    assert_eq!(errno(control.destroy(&name("one"))), Some(Errno::NOENT));
    let gone = control.cursors(&name("one")).next().expect("an error");
    assert_eq!(errno(gone), Some(Errno::NOENT));
    assert!(!first.receive(&mut record).expect("the end"));
}

fn seeking_leaves_out_or_comes_back() {
    made(records("news").delivery(Delivery::Broadcast));
    let writer = writer("news");
    for record in [b"1", b"2", b"3"] {
        writer.send(record).expect("there is room");
    }
    let reader = reader("news");
    let mut record = Vec::new();
    reader.seek_to_newest().expect("a position");
    writer.send(b"4").expect("there is room");
    assert!(reader.receive(&mut record).expect("a read"));
    assert_eq!(record, b"4");
    // What was left out is neither read nor lost.
    let cursor = reader.cursor().expect("it reads");
    assert_eq!((cursor.records_out, cursor.records_lost), (1, 0));

    made(
        records("back")
            .full(Full::Overwrite)
            .delivery(Delivery::Broadcast),
    );
    let (reader, writer) = (self::reader("back"), self::writer("back"));
    for record in [b"1", b"2", b"3"] {
        writer.send(record).expect("there is room");
    }
    for _ in 0..2 {
        for expected in [b"1", b"2", b"3"] {
            assert!(reader.receive(&mut record).expect("a read"));
            assert_eq!(record, expected);
        }
        reader.seek_to_oldest().expect("a position");
    }
    let shared = self::reader("0");
    assert_eq!(errno(shared.seek_to_oldest()), Some(Errno::SPIPE));
    assert_eq!(errno(shared.seek_to_newest()), Some(Errno::SPIPE));
}

fn a_watermark_is_as_it_was_set() {
    made(records("log"));
    let (reader, mut records) = (reader("log"), reader("log").records().expect("records"));
    let delay = Duration::from_micros(700);
    reader.set_watermark(5000, delay).expect("less than a half");
    let cursor = records.ring().cursor().expect("it reads");
    assert_eq!((cursor.watermark, cursor.delay), (5000, delay));
    let minutes = Duration::from_secs(61);
    assert_eq!(
        errno(reader.set_watermark(5000, minutes)),
        Some(Errno::INVAL)
    );
    assert_eq!(
        errno(writer("log").set_watermark(0, delay)),
        Some(Errno::BADF)
    );
    // It does not hold back what is there.
    writer("log").send(b"x").expect("there is room");
    let record = records.next_record().expect("a read").expect("a record");
    assert_eq!(record.payload, b"x");
}

fn records_come_whole_with_their_headers() {
    made(records("log").capacity(1 << 16).full(Full::Overwrite));
    let writer = writer("log");
    let long = vec![7; 10_000];
    // 10032 bytes each: six fit, and the short one behind them.
    for _ in 0..8 {
        writer.send(&long).expect("a quarter is more");
    }
    let before = now();
    writer
        .send_vectored(&[IoSlice::new(b"in "), IoSlice::new(b"pieces")])
        .expect("a record");
    let after = now();
    let reader = Ring::options()
        .read(true)
        .nonblocking(true)
        .open(&name("log"));
    // The batch is shorter than the record, and grows.
    let mut records = ringdev::Records::with_batch(reader.expect("a ring"), 100).expect("records");
    let first = records
        .next_record()
        .expect("a read")
        .expect("a record")
        .into_owned();
    assert_eq!((first.sequence, first.lost), (2, 2));
    assert!(first.payload == long);
    for sequence in 3..8 {
        let record = records.next().expect("no end").expect("a record");
        assert_eq!((record.sequence, record.lost), (sequence, 0));
        assert!(first.timestamp <= record.timestamp && record.timestamp <= before);
    }
    let last = records.next().expect("no end").expect("a record");
    assert_eq!(
        (last.sequence, last.payload.as_slice()),
        (8, &b"in pieces"[..])
    );
    assert!(before <= last.timestamp && last.timestamp <= after);
    assert!(records.next_taken().expect("no read").is_none());
    let empty = records.next().expect("no end").expect_err("nothing there");
    assert_eq!(empty.kind(), ErrorKind::WouldBlock);

    let refused = writer.send(&vec![0; (1 << 14) + 1]);
    assert_eq!(errno(refused), Some(Errno::MSGSIZE));
    assert_eq!(errno(self::reader("0").records()), Some(Errno::INVAL));
    let mut grown = Vec::new();
    writer.send(&long).expect("a quarter is more");
    assert!(self::reader("log").receive(&mut grown).expect("a read"));
    assert!(grown == long);
}

/// The time by `CLOCK_MONOTONIC`.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn a_ring_reads_and_writes_as_a_file() {
    made(Create::new(name("stream")).hangup(true).mode(0o600));
    let mut ends = Ring::options().read(true).write(true).open(&name("stream"));
    let both = ends.as_mut().expect("a ring");
    both.write_all(b"one two").expect("there is room");
    let mut three = [0; 3];
    both.read_exact(&mut three).expect("it is there");
    assert_eq!(&three, b"one");
    let neither = Ring::options().open(&name("stream"));
    assert_eq!(errno(neither), Some(Errno::INVAL));
    assert_eq!(errno((&reader("stream")).write(b"x")), Some(Errno::BADF));
    assert_eq!(
        errno((&writer("stream")).read(&mut three)),
        Some(Errno::BADF)
    );
    let mut rest = reader("stream");
    drop(ends);
    rest.set_nonblocking(true).expect("a flag");
    let mut text = String::new();
    rest.read_to_string(&mut text).expect("up to the end");
    assert_eq!(text, " two");
    assert_eq!(
        errno(Ring::options().read(true).open(&name("none"))),
        Some(Errno::NOENT)
    );
}

/// Runs a future to its end, in a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

fn asynchronous(ring: Ring) -> AsyncRing {
    AsyncRing::new(ring).expect("a runtime")
}

fn tasks_share_records_and_lose_none() {
    // Small enough that all have to wait, readers that are cancelled again and again among them.
    const EACH: u64 = 500;
    made(records("shared").capacity(1 << 16).hangup(true));
    run(async {
        let readers = [0, 1].map(|_| asynchronous(reader("shared")));
        let writers = [0, 1].map(|_| asynchronous(writer("shared")));
        let local = task::LocalSet::new();
        let written = writers.map(|writer| {
            local.spawn_local(async move {
                for number in 0..EACH {
                    let mut record = number.to_ne_bytes().to_vec();
                    record.resize(1000, number as u8);
                    writer.send(&record).await.expect("there is a reader");
                    if number % 50 == 0 {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        });
        let read = readers.map(|reader| {
            local.spawn_local(async move {
                let mut records = reader.records().expect("records");
                let (mut sum, mut lost) = (0, 0);
                loop {
                    let next = time::timeout(Duration::from_micros(100), records.next_record());
                    let Ok(next) = next.await else {
                        continue;
                    };
                    let Some(record) = next.expect("a read") else {
                        return (sum, lost);
                    };
                    let (number, rest) = record.payload.split_first_chunk().expect("a number");
                    let number = u64::from_ne_bytes(*number);
                    assert!(rest.iter().all(|byte| *byte == number as u8));
                    sum += number;
                    lost += record.lost;
                }
            })
        });
        local.await;
        for task in written {
            task.await.expect("no panic");
        }
        let mut all = 0;
        for task in read {
            let (sum, lost) = task.await.expect("no panic");
            assert_eq!(lost, 0);
            all += sum;
        }
        assert_eq!(all, EACH * (EACH - 1));
    });
}

fn tasks_learn_of_the_end() {
    made(Create::new(name("stream")).capacity(1 << 16));
    made(records("news").delivery(Delivery::Broadcast));
    run(async {
        // A stream takes more than it has room for, while it is read.
        let (mut source, mut sink) = (
            asynchronous(writer("stream")),
            asynchronous(reader("stream")),
        );
        let bytes: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
        let mut there = vec![0; bytes.len()];
        let (written, read) = join!(source.write_all(&bytes), sink.read_exact(&mut there));
        written.expect("in the end there was room");
        read.expect("all of it");
        assert!(there == bytes);

        // Who waits learns that the ring is destroyed, or that it is evicted.
        let mut byte = [0];
        let (read, ()) = join!(sink.read(&mut byte), async {
            control().destroy(&name("stream")).expect("a ring");
        });
        assert_eq!(read.expect("the end"), 0);
        assert_eq!(errno(source.write(b"x").await), Some(Errno::NODEV));

        let reader = asynchronous(reader("news"));
        let number = reader.get_ref().cursor().expect("it reads").id;
        let mut records = reader.records().expect("records");
        let (next, ()) = join!(records.next_record(), async {
            task::yield_now().await;
            control().evict(&name("news"), number).expect("a reader");
        });
        assert_eq!(errno(next), Some(Errno::SHUTDOWN));
    });
}
