// SPDX-License-Identifier: GPL-2.0

//! One sleeper is woken at a time; what it leaves it passes on.

use super::{
    Breakage::LostWakeUp,
    Fault::{KeepWakeUp, Weak},
    Preemptions::AtMost,
    breaks, holds,
    ring::{Ring, Signal, Value},
};
use crate::ring::Site;
use loom::thread;
use std::sync::Arc;

/// Two readers, and a writer that wakes one of them for two values.
fn two_readers_share() {
    let ring = Arc::new(Ring::new(2, 0));
    let readers = [(), ()].map(|()| {
        let ring = ring.clone();
        thread::spawn(move || ring.read_sleeping())
    });
    assert!(ring.write(&[1, 2]));
    let values = readers.map(|reader| reader.join().unwrap());
    assert_eq!(values[0] + values[1], 3);
}

/// Two readers, of which one may be woken and then leaves because of a signal.
fn reader_is_interrupted() {
    let ring = Arc::new(Ring::new(2, 0));
    let interrupted = thread::spawn({
        let ring = ring.clone();
        move || {
            ring.sleep_as_reader(Signal::Pending);
            ring.leave_as_reader();
        }
    });
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read_sleeping(), 1)
    });
    assert!(ring.write(&[1]));
    interrupted.join().unwrap();
    reader.join().unwrap();
}

/// Two writers, of which one may be woken and then leaves because of a signal.
fn writer_is_interrupted() {
    let ring = Arc::new(Ring::new(2, 2));
    let interrupted = thread::spawn({
        let ring = ring.clone();
        move || {
            ring.sleep_as_writer(1, Signal::Pending);
            ring.leave_as_writer();
        }
    });
    let writer = thread::spawn({
        let ring = ring.clone();
        move || ring.write_sleeping(&[3])
    });
    assert_eq!(ring.read(), Some(1));
    assert_eq!(ring.read(), Some(2));
    interrupted.join().unwrap();
    writer.join().unwrap();
}

/// Two writers, and a reader that reads until the ring is empty and then waits for both. Its last
/// wake-up was for one of them, so the one has to wake the other.
fn two_writers_share() {
    let ring = Arc::new(Ring::new(2, 2));
    let writers = [3, 4].map(|value| {
        let ring = ring.clone();
        thread::spawn(move || ring.write_sleeping(&[value]))
    });
    while ring.read().is_some() {}
    for writer in writers {
        writer.join().unwrap();
    }
}

/// Two writers, of which one needs the whole ring, and a reader that waits for both.
fn small_and_large_writer() {
    let ring = Arc::new(Ring::new(2, 0));
    let writers = [&[1, 2][..], &[3]].map(|values| {
        let ring = ring.clone();
        thread::spawn(move || ring.write_sleeping(values))
    });
    assert_eq!((0..3).map(|_| ring.read_sleeping()).sum::<Value>(), 6);
    for writer in writers {
        writer.join().unwrap();
    }
}

const BOUND: super::Preemptions = AtMost(2);

#[test]
fn leftover_goes_to_the_next_reader() {
    holds(BOUND, two_readers_share);
}

#[test]
fn leftover_is_lost_if_not_passed_on() {
    breaks(BOUND, two_readers_share, KeepWakeUp, LostWakeUp);
}

#[test]
fn interrupted_reader_keeps_no_wake_up() {
    holds(BOUND, reader_is_interrupted);
}

#[test]
fn interrupted_reader_must_pass_on() {
    breaks(BOUND, reader_is_interrupted, KeepWakeUp, LostWakeUp);
}

#[test]
fn interrupted_writer_keeps_no_wake_up() {
    holds(BOUND, writer_is_interrupted);
}

#[test]
fn interrupted_writer_must_pass_on() {
    breaks(BOUND, writer_is_interrupted, KeepWakeUp, LostWakeUp);
}

#[test]
fn leftover_goes_to_the_next_writer() {
    holds(BOUND, two_writers_share);
}

#[test]
fn room_is_lost_if_not_passed_on() {
    breaks(BOUND, two_writers_share, KeepWakeUp, LostWakeUp);
}

#[test]
fn small_and_large_writers_get_their_turn() {
    holds(BOUND, small_and_large_writer);
}

#[test]
fn small_and_large_writers_need_the_readers_barrier() {
    let fault = Weak(Site::ReleasedThenWaiters);
    breaks(BOUND, small_and_large_writer, fault, LostWakeUp);
}
