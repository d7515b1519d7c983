// SPDX-License-Identifier: GPL-2.0

//! Unread bytes are looked up with the cursor locked, and used when it is locked no more, so that
//! somebody else has read them by then.
//!
//! A range is borrowed from the guard of the lock that it was found under. In C it is two numbers.
//@ in: src/channel/mod.rs
//@ error: E0505: cannot move out of `cursor` because it is borrowed
//@ in C, run: stalled_reader_finds_the_ring_emptied_by_others
//@ in C, found: the test

use super::*;

pub(super) fn first_unread(channel: &Channel, reader: &Reader) -> Option<u64> {
    let mut cursor = reader.cursor.lock();
    let unread = cursor.core.unread(channel.view(reader), 1)?;
    #[cfg(mistake)]
    drop(cursor);
    let position = unread.span().position;
    #[cfg(not(mistake))]
    drop(cursor);
    Some(position)
}
