// SPDX-License-Identifier: GPL-2.0

//! A writer takes the writers' side out of its lock, to have one of its own.
//!
//! A value is moved or borrowed, and what a lock protects can only be borrowed. In C a structure is
//! copied by `=`, and the lock that stands in it as well.
//@ in: src/channel/mod.rs
//@ error: E0507: cannot move out of dereference of
//@ in C, run: record_is_read_as_it_was_written
//@ in C, found: DEBUG_LOCKS_WARN_ON(lock->magic != lock)

use super::*;

pub(super) fn where_writers_are(channel: &Channel) -> u64 {
    let writing = channel.producer.lock();
    #[cfg(not(mistake))]
    let producer = &writing.core;
    #[cfg(mistake)]
    let producer = writing.core;
    producer.newest().position
}
