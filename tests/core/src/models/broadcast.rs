// SPDX-License-Identifier: GPL-2.0

//! Each reader has a cursor, writers wait for all of them, and whoever reads may move the tail.

use super::{
    Breakage::{LostWakeUp, Race},
    Fault::{MinimumBeforeMark, MinimumWithoutLock, QueuesBeforeHandOver, ReleaseBeforeCopy, Weak},
    Preemptions::{self, AtMost},
    breaks, holds,
    ring::{Ring, Value},
};
use crate::ring::Site;
use loom::thread;
use std::sync::Arc;

const BOUND: Preemptions = AtMost(3);

/// Two readers of a full ring, and a writer that puts a value where the first was, if both have
/// released it by then.
fn value_through_two_readers() {
    let ring = Arc::new(Ring::broadcast(2, 2, 2));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read_at(1), Some(1))
    });
    let writer = thread::spawn({
        let ring = ring.clone();
        move || ring.write(&[3])
    });
    assert_eq!(ring.read_at(0), Some(1));
    reader.join().unwrap();
    let _ = writer.join().unwrap();
}

/// A writer that waits for room that two readers free between them: each releases one value, and
/// whoever comes last has to wake the writer.
fn writer_waits_for_two_readers() {
    let ring = Arc::new(Ring::broadcast(8, 7, 2));
    let readers = [0, 1].map(|reader| {
        let ring = ring.clone();
        thread::spawn(move || assert_eq!(ring.read_at(reader), Some(1)))
    });
    ring.write_sleeping(&[8, 9]);
    for reader in readers {
        reader.join().unwrap();
    }
}

/// A reader that is ahead, and one that catches up in two steps: the tail must not go back.
fn one_reader_moves_the_tail_twice() {
    let ring = Arc::new(Ring::broadcast(8, 6, 2));
    assert_eq!(ring.read_at(0), Some(1));
    let ahead = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read_at(0), Some(2))
    });
    let behind = thread::spawn({
        let ring = ring.clone();
        move || {
            assert_eq!(ring.read_at(1), Some(1));
            assert_eq!(ring.read_at(1), Some(2));
        }
    });
    ahead.join().unwrap();
    behind.join().unwrap();
    // There is room for what both have read.
    ring.write_sleeping(&[7, 8, 9, 10]);
}

/// Two readers that sleep, and one write for both.
fn both_readers_are_woken() {
    let ring = Arc::new(Ring::broadcast(2, 0, 2));
    let readers = [0, 1].map(|reader| {
        let ring = ring.clone();
        thread::spawn(move || assert_eq!(ring.read_sleeping_at(reader), 1))
    });
    assert!(ring.write(&[1]));
    for reader in readers {
        reader.join().unwrap();
    }
}

/// A reader of a full ring, which is cleared meanwhile, and a writer that puts a value where the
/// first was.
fn value_through_a_cleared_ring() {
    let ring = Arc::new(Ring::broadcast(2, 2, 1));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_ne!(ring.read_at(0), Some(2))
    });
    let writer = thread::spawn({
        let ring = ring.clone();
        move || ring.write(&[3])
    });
    ring.clear();
    reader.join().unwrap();
    let _ = writer.join().unwrap();
}

/// A writer that waits for more room than the readers free, and a ring that is cleared.
fn writer_waits_for_a_clear() {
    const VALUES: [Value; 2] = [3, 4];
    let ring = Arc::new(Ring::broadcast(2, 2, 2));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || ring.read_at(0)
    });
    let clear = thread::spawn({
        let ring = ring.clone();
        move || ring.clear()
    });
    ring.write_sleeping(&VALUES);
    reader.join().unwrap();
    clear.join().unwrap();
}

#[test]
fn room_is_handed_over_by_a_clear() {
    holds(BOUND, value_through_a_cleared_ring);
}

#[test]
fn clear_needs_tail_release() {
    breaks(
        BOUND,
        value_through_a_cleared_ring,
        Weak(Site::TailRelease),
        Race,
    );
}

#[test]
fn sleeping_writer_is_woken_by_a_clear() {
    holds(BOUND, writer_waits_for_a_clear);
}

#[test]
fn clear_needs_barrier_between_tail_and_queues() {
    breaks(
        BOUND,
        writer_waits_for_a_clear,
        Weak(Site::ReleasedThenWaiters),
        LostWakeUp,
    );
}

#[test]
fn clear_releases_before_it_looks_at_queues() {
    breaks(
        BOUND,
        writer_waits_for_a_clear,
        QueuesBeforeHandOver,
        LostWakeUp,
    );
}

#[test]
fn room_is_handed_over_by_all_readers() {
    holds(BOUND, value_through_two_readers);
}

#[test]
fn tail_release_is_needed() {
    breaks(
        BOUND,
        value_through_two_readers,
        Weak(Site::TailRelease),
        Race,
    );
}

#[test]
fn tail_acquire_is_needed() {
    breaks(
        BOUND,
        value_through_two_readers,
        Weak(Site::TailAcquire),
        Race,
    );
}

#[test]
fn mark_acquire_is_needed() {
    breaks(
        BOUND,
        value_through_two_readers,
        Weak(Site::MarkAcquire),
        Race,
    );
}

#[test]
fn copy_comes_before_release() {
    breaks(BOUND, value_through_two_readers, ReleaseBeforeCopy, Race);
}

#[test]
fn sleeping_writer_is_woken_by_the_last_reader() {
    holds(BOUND, writer_waits_for_two_readers);
}

#[test]
fn own_mark_comes_before_the_minimum() {
    breaks(
        BOUND,
        writer_waits_for_two_readers,
        MinimumBeforeMark,
        LostWakeUp,
    );
}

#[test]
fn reader_needs_barrier_between_tail_and_queues() {
    breaks(
        BOUND,
        writer_waits_for_two_readers,
        Weak(Site::ReleasedThenWaiters),
        LostWakeUp,
    );
}

#[test]
fn reader_releases_before_it_looks_at_queues() {
    breaks(
        BOUND,
        writer_waits_for_two_readers,
        QueuesBeforeHandOver,
        LostWakeUp,
    );
}

#[test]
fn tail_does_not_go_back() {
    holds(BOUND, one_reader_moves_the_tail_twice);
}

#[test]
fn tail_needs_the_lock_of_all_cursors() {
    breaks(
        BOUND,
        one_reader_moves_the_tail_twice,
        MinimumWithoutLock,
        LostWakeUp,
    );
}

#[test]
fn sleeping_readers_are_all_woken() {
    holds(BOUND, both_readers_are_woken);
}

#[test]
fn writer_needs_barrier_between_head_and_queues() {
    breaks(
        BOUND,
        both_readers_are_woken,
        Weak(Site::PublishedThenWaiters),
        LostWakeUp,
    );
}

#[test]
fn readers_need_barrier_between_queue_and_positions() {
    breaks(
        BOUND,
        both_readers_are_woken,
        Weak(Site::TailThenHead),
        LostWakeUp,
    );
}
