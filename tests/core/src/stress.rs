// SPDX-License-Identifier: GPL-2.0

//! Real threads on a small ring, with every byte accounted for.
//!
//! A thread that is not woken waits for ever: a test that takes longer than [`PATIENCE`] fails.

use crate::{
    channel::{Channel, End},
    ring::{Attributes, Capacity, Delivery, Framing, Full},
};
use std::{
    hint,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Far more than any of the tests takes, even under a sanitizer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Positions that wrap in the course of the test.
const START: u64 = 0u64.wrapping_sub(50_000);

fn channel(bytes: u64) -> Channel {
    Channel::new(Attributes::STREAM, capacity(bytes), START)
}

fn capacity(bytes: u64) -> Capacity {
    Capacity::new(bytes, 4096).unwrap()
}

type Threads = Vec<Box<dyn FnOnce() + Send>>;

/// Runs the threads, and fails when one of them does or when they take too long.
fn run(threads: Threads) {
    let (done, all_done) = mpsc::channel();
    let threads: Vec<_> = threads
        .into_iter()
        .map(|body| {
            let done = done.clone();
            thread::spawn(move || {
                body();
                // Dropped instead if the body panics.
                done.send(()).unwrap();
            })
        })
        .collect();
    drop(done);
    for _ in &threads {
        match all_done.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("a thread was not woken"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    for thread in threads {
        thread.join().expect("a thread failed");
    }
}

/// Numbers that look arbitrary and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A message that says who wrote it, as which of his, and how long it is, filled with a pattern.
fn message(writer: usize, number: usize, len: usize) -> Vec<u8> {
    let mut message = vec![writer as u8];
    message.extend((number as u32).to_le_bytes());
    message.extend((len as u32).to_le_bytes());
    message.extend((0..len).map(|i| pattern(writer, number, i)));
    message
}

fn pattern(writer: usize, number: usize, index: usize) -> u8 {
    (writer * 31 + number * 7 + index) as u8
}

/// Checks that `stream` consists of the messages 0 to `messages` of each writer, in his order.
fn expect_messages(mut stream: &[u8], writers: usize, messages: usize) {
    let mut next = vec![0; writers];
    while !stream.is_empty() {
        let (header, rest) = stream.split_at(9);
        let writer = header[0] as usize;
        let number = u32::from_le_bytes(header[1..5].try_into().unwrap()) as usize;
        let len = u32::from_le_bytes(header[5..9].try_into().unwrap()) as usize;
        assert_eq!(number, next[writer], "of writer {writer}");
        next[writer] += 1;
        let (body, rest) = rest.split_at(len);
        for (index, byte) in body.iter().enumerate() {
            assert_eq!(*byte, pattern(writer, number, index));
        }
        stream = rest;
    }
    assert_eq!(next, vec![messages; writers]);
}

/// No thread sleeps here, and no lock is shared by the two: all order there is between them comes
/// from the positions. The sanitizers' own tests run this one with a fault.
#[test]
fn one_writer_one_reader_without_sleep() {
    const BYTES: usize = 300_000;
    let channel = Arc::new(channel(4096));
    let (to, from) = (channel.clone(), channel);
    run(vec![
        Box::new(move || {
            let bytes: Vec<u8> = (0..BYTES).map(|i| pattern(0, 0, i)).collect();
            let mut numbers = Numbers(1);
            let mut left = &bytes[..];
            while !left.is_empty() {
                let len = left.len().min(1 + numbers.below(3000));
                match to.try_write(&left[..len], 1) {
                    Some(written) => left = &left[written..],
                    None => thread::yield_now(),
                }
            }
        }),
        Box::new(move || {
            let reader = from.join();
            let mut numbers = Numbers(2);
            let mut buffer = [0; 3000];
            let mut read = 0;
            while read < BYTES {
                let buffer = &mut buffer[..1 + numbers.below(3000)];
                match from.try_read(&reader, buffer, |_, _| {}) {
                    Some(len) => {
                        for byte in &buffer[..len] {
                            assert_eq!(*byte, pattern(0, 0, read));
                            read += 1;
                        }
                    }
                    None => thread::yield_now(),
                }
            }
        }),
    ]);
}

/// Every writer's messages arrive whole, in order, and once, whoever reads them.
fn writers_and_readers(capacity: u64, writers: usize, readers: usize, longest: usize) {
    const MESSAGES: usize = 600;
    let channel = Arc::new(channel(capacity));
    // What was read, in the order in which it was.
    let stream = Arc::new(Mutex::new(Vec::new()));

    let all: Vec<Vec<Vec<u8>>> = (0..writers)
        .map(|writer| {
            let mut numbers = Numbers(writer as u64);
            (0..MESSAGES)
                .map(|number| message(writer, number, numbers.below(longest)))
                .collect()
        })
        .collect();
    let total: usize = all.iter().flatten().map(Vec::len).sum();

    let mut threads: Threads = Vec::new();
    for messages in all {
        let channel = channel.clone();
        threads.push(Box::new(move || {
            for message in messages {
                channel.write(&message);
            }
        }));
    }
    for reader in 0..readers {
        let (channel, stream) = (channel.clone(), stream.clone());
        // Each reads its share and leaves, while others may still sleep.
        let share = total * (reader + 1) / readers - total * reader / readers;
        threads.push(Box::new(move || {
            let mut numbers = Numbers(reader as u64);
            let reader = channel.join();
            let mut buffer = [0; 5000];
            let mut left = share;
            while left > 0 {
                let most = left.min(1 + numbers.below(buffer.len()));
                let read = channel.read(&reader, &mut buffer[..most], |bytes, _| {
                    stream.lock().unwrap().extend_from_slice(bytes);
                });
                left -= read.unwrap();
            }
        }));
    }
    run(threads);
    expect_messages(&stream.lock().unwrap(), writers, MESSAGES);
}

// A message with its header is at most an atomic write long, so it arrives in one piece.
const LONGEST_ATOMIC: usize = Capacity::ATOMIC_WRITE - 9;

#[test]
fn one_writer_one_reader() {
    writers_and_readers(4096, 1, 1, LONGEST_ATOMIC);
}

#[test]
fn one_writer_of_more_than_the_capacity() {
    writers_and_readers(4096, 1, 1, 10_000);
}

#[test]
fn one_writer_four_readers() {
    writers_and_readers(8192, 1, 4, LONGEST_ATOMIC);
}

#[test]
fn four_writers_one_reader() {
    writers_and_readers(8192, 4, 1, LONGEST_ATOMIC);
}

#[test]
fn four_writers_four_readers() {
    writers_and_readers(16384, 4, 4, LONGEST_ATOMIC);
}

#[test]
fn small_messages_of_four_writers_to_four_readers() {
    writers_and_readers(4096, 4, 4, 40);
}

/// A poller is told of every edge: it drains the ring each time and sleeps.
#[test]
fn poller_sees_every_edge() {
    const BYTES: usize = 100_000;
    let channel = Arc::new(channel(4096));
    let (to, from) = (channel.clone(), channel);
    run(vec![
        Box::new(move || {
            let mut numbers = Numbers(3);
            for i in 0..BYTES {
                to.write(&[pattern(0, 0, i)]);
                for _ in 0..numbers.below(100) {
                    hint::spin_loop();
                }
            }
        }),
        Box::new(move || {
            let mut buffer = [0; 100];
            let mut read = 0;
            let reader = from.join();
            let poller = from.poll_readable(&reader);
            while read < BYTES {
                poller.wait();
                while let Some(len) = from.try_read(&reader, &mut buffer, |_, _| {}) {
                    for byte in &buffer[..len] {
                        assert_eq!(*byte, pattern(0, 0, read));
                        read += 1;
                    }
                }
            }
        }),
    ]);
}

/// Records of several writers: who, which of his, and a pattern, all of it summed up.
fn record(writer: usize, number: usize, len: usize) -> Vec<u8> {
    let mut record = vec![writer as u8];
    record.extend((number as u32).to_le_bytes());
    record.extend((0..len).map(|i| pattern(writer, number, i)));
    let sum = checksum(&record);
    record.extend(sum.to_le_bytes());
    record
}

fn checksum(bytes: &[u8]) -> u32 {
    // FNV-1a.
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Takes a record apart that must be one of those that [`record`] makes.
fn writer_and_number(record: &[u8]) -> (usize, usize) {
    let (body, sum) = record.split_at(record.len() - 4);
    assert_eq!(checksum(body).to_le_bytes(), sum, "a torn record");
    let number = u32::from_le_bytes(body[1..5].try_into().unwrap());
    (body[0] as usize, number as usize)
}

/// What arrives at a cursor: in what order, and with what missing.
struct Arrivals {
    /// The number of the record that comes next if nothing is lost.
    sequence: Option<u64>,
    /// For each writer the least number that may come next.
    next: Vec<usize>,
    records: u64,
    lost: u64,
}

impl Arrivals {
    fn new(writers: usize, sequence: Option<u64>) -> Self {
        Self {
            sequence,
            next: vec![0; writers],
            records: 0,
            lost: 0,
        }
    }

    /// The cursor has been moved.
    fn begin_anew(&mut self) {
        self.sequence = None;
        self.next.fill(0);
    }

    /// A record has come, and it is said that so many have been lost before it.
    fn note(&mut self, sequence: u64, timestamp: u64, payload: &[u8], lost: u64) {
        let expected = self.sequence.unwrap_or(sequence - lost);
        assert_eq!(sequence, expected + lost, "{lost} were lost");
        self.sequence = Some(sequence + 1);
        self.records += 1;
        self.lost += lost;

        let (writer, number) = writer_and_number(payload);
        assert_eq!(timestamp, number as u64);
        assert!(number >= self.next[writer], "out of order");
        self.next[writer] = number + 1;
    }
}

/// How the records of a test are written and read.
struct Plan {
    full: Full,
    delivery: Delivery,
    writers: usize,
    readers: usize,
    /// Bytes that a reader takes at a time: a few records, or no more than one.
    batch: usize,
    /// Whether readers dawdle.
    slow: bool,
    /// Capacities that the ring has in turn.
    resize: &'static [u64],
    /// Whether the ring is cleared now and then, and readers come that see what is left.
    clear: bool,
    /// Whether readers move their cursors now and then.
    seek: bool,
}

impl Plan {
    const FAST: Self = Self {
        full: Full::Overwrite,
        delivery: Delivery::Shared,
        writers: 3,
        readers: 3,
        batch: 3000,
        slow: false,
        resize: &[],
        clear: false,
        seek: false,
    };

    fn run(self) {
        const RECORDS: usize = 1500;

        let attributes = Attributes {
            framing: Framing::Record,
            full: self.full,
            delivery: self.delivery,
            hangup: false,
        };
        // Records begin at multiples of 8.
        let channel = Arc::new(Channel::new(attributes, capacity(4096), START));
        let writing = Arc::new(AtomicUsize::new(self.writers));
        let shared = Arc::new(Mutex::new(Arrivals::new(self.writers, Some(0))));

        let mut threads: Threads = Vec::new();
        for writer in 0..self.writers {
            let (channel, writing) = (channel.clone(), writing.clone());
            threads.push(Box::new(move || {
                let mut numbers = Numbers(writer as u64);
                for number in 0..RECORDS {
                    // Mostly short ones, and then a long one.
                    let len = numbers.below(if number % 10 == 0 { 1000 } else { 100 });
                    channel.write_record(&record(writer, number, len), number as u64);
                    if number % 64 == 0 {
                        thread::yield_now();
                    }
                }
                if writing.fetch_sub(1, SeqCst) == 1 {
                    channel.end();
                }
            }));
        }
        for index in 0..self.readers {
            // It is there before anything is written, so it sees all.
            let (channel, reader) = (channel.clone(), channel.join());
            let arrivals = match self.delivery {
                Delivery::Shared => shared.clone(),
                Delivery::Broadcast => Arc::new(Mutex::new(Arrivals::new(self.writers, Some(0)))),
            };
            let (batch, slow, seek) = (self.batch, self.slow, self.seek);
            threads.push(Box::new(move || {
                let mut numbers = Numbers(index as u64);
                // Room for one in any case.
                let mut buffer = vec![0; batch.max(1100)];
                let most = if batch == 0 { 0 } else { batch };
                let read = |buffer: &mut [u8]| {
                    channel.read_records(&reader, buffer, most, |header, payload, lost| {
                        let mut arrivals = arrivals.lock().unwrap();
                        arrivals.note(header.sequence, header.timestamp, payload, lost);
                    })
                };
                while read(&mut buffer).is_some() {
                    if slow && numbers.below(20) == 0 {
                        thread::sleep(Duration::from_micros(100));
                    }
                    channel.account(&reader).check();
                    if seek && numbers.below(10) == 0 {
                        let to = [End::Oldest, End::Newest][numbers.below(2)];
                        channel.seek(&reader, to);
                        channel.account(&reader).check();
                        arrivals.lock().unwrap().begin_anew();
                    }
                }
            }));
        }
        if !self.resize.is_empty() {
            let channel = channel.clone();
            let (writing, resize) = (writing.clone(), self.resize);
            threads.push(Box::new(move || {
                for bytes in resize.iter().cycle() {
                    if writing.load(SeqCst) == 0 {
                        break;
                    }
                    channel.resize(capacity(*bytes));
                    thread::sleep(Duration::from_micros(300));
                }
            }));
        }
        let readers: Vec<_> = channel.readers();
        if self.clear {
            let cleared = Arc::new(AtomicU64::new(0));
            threads.push(self.clear(&channel, &writing, &cleared));
            if self.delivery == Delivery::Broadcast {
                threads.push(self.visit(&channel, &writing, &cleared));
            }
        }
        run(threads);

        let written = channel.written();
        let sent = (self.writers * RECORDS) as u64;
        assert_eq!(written.records + written.records_dropped, sent);
        assert_eq!(written.records_dropped > 0, self.full == Full::Drop);
        for reader in &readers {
            let account = channel.account(reader);
            account.check();
            assert_eq!(account.unread, 0);
            let received = account.received;
            if !self.seek {
                assert_eq!(received.records + received.records_lost, written.records);
            }
            if self.full != Full::Overwrite && !self.clear {
                assert_eq!(received.records_lost, 0);
                if !self.seek {
                    assert_eq!(received.bytes, written.bytes);
                }
            }
        }
        if self.delivery == Delivery::Shared {
            let arrivals = shared.lock().unwrap();
            let seen = arrivals.records + arrivals.lost;
            assert!(seen <= written.records);
            assert!(self.clear || seen == written.records);
        }
    }

    /// Gives up what is in the ring, again and again. `cleared` is how many records are gone.
    fn clear(
        &self,
        channel: &Arc<Channel>,
        writing: &Arc<AtomicUsize>,
        cleared: &Arc<AtomicU64>,
    ) -> Box<dyn FnOnce() + Send> {
        let (channel, writing, cleared) = (channel.clone(), writing.clone(), cleared.clone());
        Box::new(move || {
            while writing.load(SeqCst) > 0 {
                cleared.store(channel.clear().sequence, SeqCst);
                thread::sleep(Duration::from_micros(300));
            }
        })
    }

    /// Comes, reads a little, and goes. What was cleared before it came it does not see, and what
    /// was lost before it is not its own.
    fn visit(
        &self,
        channel: &Arc<Channel>,
        writing: &Arc<AtomicUsize>,
        cleared: &Arc<AtomicU64>,
    ) -> Box<dyn FnOnce() + Send> {
        let (channel, writing, cleared) = (channel.clone(), writing.clone(), cleared.clone());
        let writers = self.writers;
        Box::new(move || {
            let mut numbers = Numbers(17);
            let mut buffer = vec![0; 1100];
            while writing.load(SeqCst) > 0 {
                let gone = cleared.load(SeqCst);
                let reader = channel.join();
                channel.account(&reader).check();
                let arrivals = Mutex::new(Arrivals::new(writers, None));
                for _ in 0..numbers.below(10) {
                    let read =
                        channel.read_records(&reader, &mut buffer, 0, |header, payload, lost| {
                            assert!(header.sequence >= gone, "it was cleared");
                            let mut arrivals = arrivals.lock().unwrap();
                            arrivals.note(header.sequence, header.timestamp, payload, lost);
                        });
                    let account = channel.account(&reader);
                    account.check();
                    if read.is_none() {
                        break;
                    }
                    assert!(account.received.records > 0);
                }
                channel.part(&reader);
            }
        })
    }
}

#[test]
fn overwritten_records_of_competing_readers() {
    Plan::FAST.run();
}

#[test]
fn overwritten_records_one_by_one() {
    let batch = 0;
    Plan {
        batch,
        ..Plan::FAST
    }
    .run();
}

#[test]
fn overwritten_records_of_slow_readers() {
    let slow = true;
    Plan { slow, ..Plan::FAST }.run();
}

#[test]
fn overwritten_records_for_each_reader() {
    let delivery = Delivery::Broadcast;
    Plan {
        delivery,
        ..Plan::FAST
    }
    .run();
}

#[test]
fn overwritten_records_of_a_ring_that_changes_its_capacity() {
    for delivery in [Delivery::Shared, Delivery::Broadcast] {
        Plan {
            delivery,
            slow: true,
            resize: &[16384, 8192, 4096],
            ..Plan::FAST
        }
        .run();
    }
}

#[test]
fn records_of_waiting_writers() {
    let full = Full::Block;
    Plan { full, ..Plan::FAST }.run();
    Plan {
        full,
        batch: 0,
        ..Plan::FAST
    }
    .run();
}

#[test]
fn records_of_waiting_writers_for_each_reader() {
    for slow in [false, true] {
        Plan {
            full: Full::Block,
            delivery: Delivery::Broadcast,
            slow,
            ..Plan::FAST
        }
        .run();
    }
}

#[test]
fn records_of_waiting_writers_of_a_ring_that_changes_its_capacity() {
    for delivery in [Delivery::Shared, Delivery::Broadcast] {
        Plan {
            full: Full::Block,
            delivery,
            resize: &[16384, 4096, 8192],
            ..Plan::FAST
        }
        .run();
    }
}

#[test]
fn records_that_are_cleared_are_lost() {
    for full in [Full::Block, Full::Drop, Full::Overwrite] {
        for delivery in [Delivery::Shared, Delivery::Broadcast] {
            Plan {
                full,
                delivery,
                slow: full == Full::Drop,
                clear: true,
                ..Plan::FAST
            }
            .run();
        }
    }
}

#[test]
fn records_that_a_seek_leaves_out_are_neither_received_nor_lost() {
    for full in [Full::Block, Full::Overwrite] {
        for clear in [false, true] {
            Plan {
                full,
                delivery: Delivery::Broadcast,
                clear,
                seek: true,
                ..Plan::FAST
            }
            .run();
        }
    }
}

#[test]
fn refused_records_are_counted() {
    for delivery in [Delivery::Shared, Delivery::Broadcast] {
        Plan {
            full: Full::Drop,
            delivery,
            slow: true,
            ..Plan::FAST
        }
        .run();
    }
}

/// Each byte is what belongs to its position, which is known from what was received and lost.
fn overwritten_stream(delivery: Delivery, readers: usize, clear: bool) {
    const BYTES: usize = 400_000;
    let attributes = Attributes {
        full: Full::Overwrite,
        delivery,
        ..Attributes::STREAM
    };
    let channel = Arc::new(Channel::new(attributes, capacity(4096), START));
    let cursors: Vec<_> = (0..readers).map(|_| channel.join()).collect();
    let mut threads: Threads = Vec::new();
    for (index, reader) in cursors.iter().cloned().enumerate() {
        let channel = channel.clone();
        threads.push(Box::new(move || {
            let mut numbers = Numbers(index as u64);
            let mut buffer = [0; 3000];
            loop {
                let most = 1 + numbers.below(buffer.len());
                let read = channel.read(&reader, &mut buffer[..most], |bytes, position| {
                    let position = position as usize;
                    for (index, byte) in bytes.iter().enumerate() {
                        assert_eq!(*byte, far_pattern(position + index));
                    }
                });
                if read.is_none() {
                    break;
                }
                channel.account(&reader).check();
                if delivery == Delivery::Broadcast && numbers.below(20) == 0 {
                    channel.seek(&reader, [End::Oldest, End::Newest][numbers.below(2)]);
                    channel.account(&reader).check();
                }
            }
        }));
    }
    if clear {
        let channel = channel.clone();
        threads.push(Box::new(move || {
            while channel.written().bytes < BYTES as u64 {
                channel.clear();
                thread::sleep(Duration::from_micros(300));
            }
        }));
    }
    let to = channel.clone();
    threads.push(Box::new(move || {
        let bytes: Vec<u8> = (0..BYTES).map(far_pattern).collect();
        let mut numbers = Numbers(7);
        let mut left = &bytes[..];
        while !left.is_empty() {
            // Now and then more than the ring holds.
            let len = if numbers.below(50) == 0 {
                10_000
            } else {
                1 + numbers.below(1500)
            };
            let (now, rest) = left.split_at(len.min(left.len()));
            to.write(now);
            left = rest;
            if numbers.below(4) == 0 {
                thread::yield_now();
            }
        }
        to.end();
    }));
    run(threads);
    for reader in &cursors {
        let account = channel.account(reader);
        account.check();
        assert_eq!((account.written.bytes, account.unread), (BYTES as u64, 0));
        if delivery == Delivery::Shared {
            let received = account.received;
            assert_eq!(received.bytes + received.bytes_lost, BYTES as u64);
        }
    }
}

/// A pattern that is another one each time the ring comes round.
fn far_pattern(index: usize) -> u8 {
    (index as u32).wrapping_mul(0x9e37_79b9).to_be_bytes()[0]
}

#[test]
fn overwritten_stream_of_competing_readers() {
    for clear in [false, true] {
        overwritten_stream(Delivery::Shared, 3, clear);
    }
}

#[test]
fn overwritten_stream_for_each_reader() {
    for clear in [false, true] {
        overwritten_stream(Delivery::Broadcast, 3, clear);
    }
}

/// The writer waits for the slowest of all who read, whoever comes and goes, and each sees all
/// that is written while it is there.
#[test]
fn stream_of_a_waiting_writer_for_each_reader() {
    const BYTES: usize = 150_000;
    const STAYING: usize = 2;
    let attributes = Attributes {
        delivery: Delivery::Broadcast,
        ..Attributes::STREAM
    };
    let channel = Arc::new(Channel::new(attributes, capacity(4096), START));
    let mut threads: Threads = Vec::new();
    for index in 0..STAYING {
        let (channel, reader) = (channel.clone(), channel.join());
        threads.push(Box::new(move || {
            let mut numbers = Numbers(index as u64);
            let mut buffer = [0; 3000];
            let mut read = 0;
            loop {
                let most = 1 + numbers.below(buffer.len());
                let Some(len) = channel.read(&reader, &mut buffer[..most], |_, _| {}) else {
                    break;
                };
                for byte in &buffer[..len] {
                    assert_eq!(*byte, far_pattern(read));
                    read += 1;
                }
                if index == 0 && numbers.below(8) == 0 {
                    thread::sleep(Duration::from_micros(100));
                }
            }
            assert_eq!(read, BYTES);
        }));
    }
    let visited = channel.clone();
    threads.push(Box::new(move || {
        let mut numbers = Numbers(5);
        let mut buffer = [0; 1000];
        loop {
            let reader = visited.join();
            let mut all: Vec<u8> = Vec::new();
            for _ in 0..numbers.below(10) {
                let Some(len) = visited.read(&reader, &mut buffer, |_, _| {}) else {
                    break;
                };
                all.extend(&buffer[..len]);
            }
            let account = visited.account(&reader);
            account.check();
            let (written, unread) = (account.written, account.unread);
            assert_eq!(account.received.bytes, all.len() as u64);
            assert_eq!(account.received.bytes_lost, 0);
            // It came somewhere, and from there on there is no gap.
            let begin = (written.bytes - unread) as usize - all.len();
            for (index, byte) in all.iter().enumerate() {
                assert_eq!(*byte, far_pattern(begin + index));
            }
            visited.part(&reader);
            if written.bytes == BYTES as u64 {
                break;
            }
        }
    }));
    threads.push(Box::new(move || {
        let bytes: Vec<u8> = (0..BYTES).map(far_pattern).collect();
        let mut numbers = Numbers(9);
        let mut left = &bytes[..];
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(1 + numbers.below(5000)));
            channel.write(now);
            left = rest;
        }
        channel.end();
    }));
    run(threads);
}
