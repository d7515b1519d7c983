// SPDX-License-Identifier: GPL-2.0

//! A ring is cleared, and the writers that sleep for room sleep on.
//!
//! What gives room back answers with a value that says so, and that has to be used: it is what
//! wakes writers. In C nothing connects the two.
//@ in: src/channel/mod.rs
//@ error: unused_must_use: unused `*Released` that must be used
//@ in C, run: clear_lets_blocked_writers_go_on
//@ in C, found: the test

use super::*;

pub(super) fn forget_all(channel: &Channel, reader: &Reader, newest: Place) {
    let mut cursor = reader.cursor.lock();
    #[cfg(not(mistake))]
    let released = cursor.core.clear(channel.view(reader), newest);
    #[cfg(mistake)]
    cursor.core.clear(channel.view(reader), newest);
    drop(cursor);
    #[cfg(not(mistake))]
    channel.released(released);
}
