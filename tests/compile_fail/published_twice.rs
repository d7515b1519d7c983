// SPDX-License-Identifier: GPL-2.0

//! The same room is published twice, so that readers get bytes that nobody has written.
//!
//! Publishing takes the room away from who had it. In C it is a call that can be made again.
//@ in: src/ring/producer.rs
//@ error: E0382: use of moved value: `room`
//@ in C, run: record_is_read_as_it_was_written
//@ in C, found: the test

use super::*;

pub(super) fn publish(producer: &mut Producer, positions: &Positions) -> Option<u64> {
    let room = producer.reserve(positions, 8, 8)?;
    let published = room.publish(8);
    #[cfg(mistake)]
    let published = room.publish(8);
    Some(published.before)
}
