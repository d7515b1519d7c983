// SPDX-License-Identifier: GPL-2.0

//! Real threads on a small ring, with every byte accounted for.
//!
//! A thread that is not woken waits for ever: a test that takes longer than [`PATIENCE`] fails.

use crate::{channel::Channel, ring::Capacity};
use std::{
    hint,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// Far more than any of the tests takes, even under a sanitizer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Positions that wrap in the course of the test.
const START: u64 = 0u64.wrapping_sub(50_000);

fn channel(capacity: u64) -> Channel {
    Channel::new(Capacity::new(capacity, 4096).unwrap(), START)
}

/// Runs the threads, and fails when one of them does or when they take too long.
fn run(threads: Vec<Box<dyn FnOnce() + Send>>) {
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
            let mut numbers = Numbers(2);
            let mut buffer = [0; 3000];
            let mut read = 0;
            while read < BYTES {
                let buffer = &mut buffer[..1 + numbers.below(3000)];
                match from.try_read(buffer, |_| {}) {
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

    let mut threads: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
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
            let mut buffer = [0; 5000];
            let mut left = share;
            while left > 0 {
                let most = left.min(1 + numbers.below(buffer.len()));
                left -= channel.read(&mut buffer[..most], |bytes| {
                    stream.lock().unwrap().extend_from_slice(bytes);
                });
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
            let poller = from.poll_readable();
            while read < BYTES {
                poller.wait();
                while let Some(len) = from.try_read(&mut buffer, |_| {}) {
                    for byte in &buffer[..len] {
                        assert_eq!(*byte, pattern(0, 0, read));
                        read += 1;
                    }
                }
            }
        }),
    ]);
}
