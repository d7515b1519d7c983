// SPDX-License-Identifier: GPL-2.0

//! The writers' position is looked at without the writers' lock.
//!
//! The position is inside the lock, and there is no way to it but through the guard. In C the lock
//! stands beside what it protects, and which is which is said in a comment.
//@ in: src/channel/mod.rs
//@ error: E0609: no field `core` on type
//@ in C, run: headers_of_many_writers_count_without_a_gap
//@ in C, found: the test

use super::*;

pub(super) fn where_writers_are(channel: &Channel) -> u64 {
    #[cfg(not(mistake))]
    let producer = channel.producer.lock();
    #[cfg(mistake)]
    let producer = &channel.producer;
    producer.core.newest().position
}
