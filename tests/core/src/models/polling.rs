// SPDX-License-Identifier: GPL-2.0

//! A poller is told when the ring ceases to be empty or full.

use super::{
    Breakage::LostWakeUp,
    Fault::{self, ConcealEveryEdge, LookBeforeJoin, PositionsSwapped, QueuesBeforeHandOver, Weak},
    Preemptions::{Any, AtMost},
    breaks, holds,
    ring::{Edges, Ring},
};
use crate::ring::Site;
use loom::thread;
use std::sync::Arc;

/// A ring with a value, a reader that takes it, and a writer that adds another: whether the writer
/// has to tell the poller depends on how far the reader is, and on what the poller saw of it.
fn poller_of_emptied_ring() {
    let ring = Arc::new(Ring::new(2, 1));
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read(), Some(1))
    });
    let writer = thread::spawn({
        let ring = ring.clone();
        move || assert!(ring.write(&[2]))
    });
    ring.poll_readable(1, Edges::Real);
    reader.join().unwrap();
    writer.join().unwrap();
}

/// The same for room: a writer fills the ring, and a reader takes a value. Any write fits then, as
/// the ring has room for one value more than the longest write that waits for all of its room.
fn poller_of_filled_ring() {
    let ring = Arc::new(Ring::new(4, 2));
    let writer = thread::spawn({
        let ring = ring.clone();
        move || assert!(ring.write(&[3]))
    });
    let reader = thread::spawn({
        let ring = ring.clone();
        move || assert_eq!(ring.read(), Some(1))
    });
    ring.poll_writable();
    writer.join().unwrap();
    reader.join().unwrap();
}

/// Two writers that publish one after the other and wake at the same time, and a reader between
/// them. There is one value too many for it, so the poller must see one.
fn poller_of_two_writers() {
    let ring = Arc::new(Ring::new(2, 0));
    let writers = [1, 2].map(|value| {
        let ring = ring.clone();
        thread::spawn(move || assert!(ring.write(&[value])))
    });
    let reader = thread::spawn({
        let ring = ring.clone();
        move || ring.read().is_some()
    });
    ring.poll_readable(1, Edges::Real);
    for writer in writers {
        writer.join().unwrap();
    }
    reader.join().unwrap();
}

/// A poller that reads nothing and waits for a second value.
fn poller_that_does_not_drain() {
    let ring = Arc::new(Ring::new(2, 0));
    let writer = thread::spawn({
        let ring = ring.clone();
        move || {
            assert!(ring.write(&[1]));
            assert!(ring.write(&[2]));
        }
    });
    ring.poll_readable(2, Edges::Every);
    writer.join().unwrap();
}

fn poller_of_bytes_is_lost_by(fault: Fault) {
    breaks(AtMost(3), poller_of_emptied_ring, fault, LostWakeUp);
}

fn poller_of_room_is_lost_by(fault: Fault) {
    breaks(AtMost(3), poller_of_filled_ring, fault, LostWakeUp);
}

fn poller_of_two_is_lost_by(fault: Fault) {
    breaks(AtMost(2), poller_of_two_writers, fault, LostWakeUp);
}

#[test]
fn poller_is_told_of_bytes() {
    holds(AtMost(3), poller_of_emptied_ring);
}

#[test]
fn poller_is_told_of_room() {
    holds(AtMost(3), poller_of_filled_ring);
}

#[test]
fn poller_is_told_by_either_writer() {
    holds(AtMost(2), poller_of_two_writers);
}

#[test]
fn either_writer_needs_barrier_between_head_and_pollers() {
    poller_of_two_is_lost_by(Weak(Site::PublishedThenWaiters));
}

#[test]
fn poller_is_told_of_every_hand_over() {
    holds(Any, poller_that_does_not_drain);
}

#[test]
fn poller_must_ask_for_every_hand_over() {
    breaks(
        Any,
        poller_that_does_not_drain,
        ConcealEveryEdge,
        LostWakeUp,
    );
}

#[test]
fn poller_needs_barrier_between_tail_and_head() {
    poller_of_bytes_is_lost_by(Weak(Site::TailThenHead));
}

#[test]
fn poller_loads_tail_before_head() {
    poller_of_bytes_is_lost_by(PositionsSwapped);
}

#[test]
fn writer_needs_barrier_between_head_and_pollers() {
    poller_of_bytes_is_lost_by(Weak(Site::PublishedThenWaiters));
}

#[test]
fn writer_publishes_before_it_looks_for_pollers() {
    poller_of_bytes_is_lost_by(QueuesBeforeHandOver);
}

#[test]
fn poller_of_bytes_joins_before_it_looks() {
    poller_of_bytes_is_lost_by(LookBeforeJoin);
}

#[test]
fn poller_needs_barrier_between_head_and_tail() {
    poller_of_room_is_lost_by(Weak(Site::HeadThenTail));
}

#[test]
fn poller_loads_head_before_tail() {
    poller_of_room_is_lost_by(PositionsSwapped);
}

#[test]
fn reader_needs_barrier_between_tail_and_pollers() {
    poller_of_room_is_lost_by(Weak(Site::ReleasedThenWaiters));
}

#[test]
fn reader_releases_before_it_looks_for_pollers() {
    poller_of_room_is_lost_by(QueuesBeforeHandOver);
}

#[test]
fn poller_of_room_joins_before_it_looks() {
    poller_of_room_is_lost_by(LookBeforeJoin);
}
