// SPDX-License-Identifier: GPL-2.0

//! Bytes go from a writer to a reader, and room goes back.

use super::{
    Breakage::Race,
    Fault::{self, PublishBeforeCopy, ReleaseBeforeCopy, Weak},
    Preemptions::Any,
    breaks, holds,
    ring::Ring,
};
use crate::ring::Site;
use loom::thread;
use std::sync::Arc;

/// Three values through a ring of two: the third goes where the first was. Neither side waits; that
/// the other is ready in time is one of the cases that the model checker tries.
fn three_values_through_two_units() {
    let ring = Arc::new(Ring::new(2, 0));
    let writer = thread::spawn({
        let ring = ring.clone();
        move || {
            for value in 1..=3 {
                if !ring.write(&[value]) {
                    break;
                }
            }
        }
    });
    for expected in 1..=3 {
        let Some(value) = ring.read() else {
            break;
        };
        assert_eq!(value, expected);
    }
    writer.join().unwrap();
}

fn expect_race(fault: Fault) {
    breaks(Any, three_values_through_two_units, fault, Race);
}

#[test]
fn bytes_and_room_are_handed_over() {
    holds(Any, three_values_through_two_units);
}

#[test]
fn head_release_is_needed() {
    expect_race(Weak(Site::HeadRelease));
}

#[test]
fn head_acquire_is_needed() {
    expect_race(Weak(Site::HeadAcquire));
}

#[test]
fn tail_release_is_needed() {
    expect_race(Weak(Site::TailRelease));
}

#[test]
fn tail_acquire_is_needed() {
    expect_race(Weak(Site::TailAcquire));
}

#[test]
fn copy_comes_before_publish() {
    expect_race(PublishBeforeCopy);
}

#[test]
fn copy_comes_before_release() {
    expect_race(ReleaseBeforeCopy);
}
