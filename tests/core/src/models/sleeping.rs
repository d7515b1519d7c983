// SPDX-License-Identifier: GPL-2.0

//! A thread inside read(2) or write(2) sleeps, and is woken.

use super::{
    Breakage::LostWakeUp,
    Fault::{self, LookBeforeJoin, QueuesBeforeHandOver, UrgeOnce, Weak},
    Preemptions::{Any, AtMost},
    breaks, holds,
    ring::Ring,
};
use crate::ring::Site;
use loom::thread;
use std::sync::Arc;

/// A reader of an empty ring, and a writer.
fn reader_sleeps() {
    let ring = Arc::new(Ring::new(2, 0));
    let writer = thread::spawn({
        let ring = ring.clone();
        move || assert!(ring.write(&[1]))
    });
    assert_eq!(ring.read_sleeping(), 1);
    writer.join().unwrap();
}

/// A reader, and two writers that write one after the other and wake at the same time.
fn reader_sleeps_between_two_writers() {
    let ring = Arc::new(Ring::new(2, 0));
    let writers = [1, 2].map(|value| {
        let ring = ring.clone();
        thread::spawn(move || assert!(ring.write(&[value])))
    });
    assert_eq!(ring.read_sleeping() + ring.read_sleeping(), 3);
    for writer in writers {
        writer.join().unwrap();
    }
}

/// A writer of two values to a ring with room for one, and a reader that frees the other: that is
/// the watermark of this ring.
fn writer_sleeps() {
    let ring = Arc::new(Ring::new(8, 7));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read(), Some(1))
    });
    ring.write_sleeping(&[8, 9]);
    reader.join().unwrap();
}

/// A writer to a full ring, and two readers that free the watermark between them.
fn writer_sleeps_between_two_readers() {
    let ring = Arc::new(Ring::new(2, 2));
    let readers = [(), ()].map(|()| {
        let ring = ring.clone();
        thread::spawn(move || assert!(ring.read().is_some()))
    });
    ring.write_sleeping(&[3, 4]);
    for reader in readers {
        reader.join().unwrap();
    }
}

/// A reader of one value that waits for two, and a writer of two values that have no room: each
/// waits for the other, unless one sees that the other waits. No barrier is named here: the writer
/// looks for readers under the lock of their queue, so a reader that joins later sees that the
/// writer had.
fn reader_and_writer_wait() {
    let ring = Arc::new(Ring::new(2, 1));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read_at_watermark(2), 1)
    });
    ring.write_urging(&[2, 3]);
    reader.join().unwrap();
}

/// The same, and another writer, whose value may take the room that the first was woken for.
fn reader_and_two_writers_wait() {
    let ring = Arc::new(Ring::new(2, 1));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || {
            assert_eq!(ring.read_at_watermark(2), 1);
            ring.read_at_watermark(2)
        }
    });
    let other = thread::spawn({
        let ring = ring.clone();
        move || ring.write(&[9])
    });
    ring.write_urging(&[2, 3]);
    let second = reader.join().unwrap();
    other.join().unwrap();
    assert!(second == 2 || second == 9);
}

fn reader_is_lost_by(fault: Fault) {
    breaks(Any, reader_sleeps, fault, LostWakeUp);
}

fn writer_is_lost_by(fault: Fault) {
    breaks(Any, writer_sleeps, fault, LostWakeUp);
}

#[test]
fn sleeping_reader_is_woken() {
    holds(Any, reader_sleeps);
}

#[test]
fn sleeping_reader_is_woken_by_either_writer() {
    holds(AtMost(2), reader_sleeps_between_two_writers);
}

#[test]
fn sleeping_writer_is_woken_at_the_watermark() {
    holds(Any, writer_sleeps);
}

#[test]
fn sleeping_writer_is_woken_by_either_reader() {
    holds(AtMost(2), writer_sleeps_between_two_readers);
}

#[test]
fn writer_needs_barrier_between_head_and_queues() {
    reader_is_lost_by(Weak(Site::PublishedThenWaiters));
}

#[test]
fn reader_needs_barrier_between_queue_and_positions() {
    reader_is_lost_by(Weak(Site::TailThenHead));
}

#[test]
fn writer_publishes_before_it_looks_at_queues() {
    reader_is_lost_by(QueuesBeforeHandOver);
}

#[test]
fn reader_joins_before_it_looks_at_positions() {
    reader_is_lost_by(LookBeforeJoin);
}

#[test]
fn reader_needs_barrier_between_tail_and_queues() {
    writer_is_lost_by(Weak(Site::ReleasedThenWaiters));
}

#[test]
fn writer_needs_barrier_between_queue_and_positions() {
    writer_is_lost_by(Weak(Site::HeadThenTail));
}

#[test]
fn reader_releases_before_it_looks_at_queues() {
    writer_is_lost_by(QueuesBeforeHandOver);
}

#[test]
fn writer_joins_before_it_looks_at_positions() {
    writer_is_lost_by(LookBeforeJoin);
}

#[test]
fn reader_and_writer_do_not_wait_for_each_other() {
    holds(Any, reader_and_writer_wait);
}

#[test]
fn each_joins_before_it_looks_for_the_other() {
    breaks(Any, reader_and_writer_wait, LookBeforeJoin, LostWakeUp);
}

#[test]
fn writer_that_was_woken_in_vain_urges_again() {
    holds(AtMost(2), reader_and_two_writers_wait);
}

#[test]
fn urging_once_is_not_enough() {
    breaks(AtMost(2), reader_and_two_writers_wait, UrgeOnce, LostWakeUp);
}

#[test]
fn either_writer_needs_barrier_between_head_and_queues() {
    breaks(
        AtMost(2),
        reader_sleeps_between_two_writers,
        Weak(Site::PublishedThenWaiters),
        LostWakeUp,
    );
}

#[test]
fn either_reader_needs_barrier_between_tail_and_queues() {
    breaks(
        AtMost(2),
        writer_sleeps_between_two_readers,
        Weak(Site::ReleasedThenWaiters),
        LostWakeUp,
    );
}
