// SPDX-License-Identifier: GPL-2.0

//! What is known of a cursor is looked up after the endpoint that reads there was closed.
//!
//! A cursor is borrowed from the endpoint that keeps it alive, and the compiler knows for how long.
//! In C a pointer to it is a pointer, before as after kfree().
//@ in: src/endpoint.rs
//@ error: E0505: cannot move out of `endpoint` because it is borrowed
//@ in C, run: info_remembers_what_readers_have_read_that_are_gone
//@ in C, found: BUG: KASAN: slab-use-after-free

use super::*;

pub(super) fn close_and_count(endpoint: KBox<Endpoint>, channel: &Channel) -> Result<u64> {
    let reader = endpoint.reader()?;
    #[cfg(mistake)]
    drop(endpoint);
    let unread = channel.cursor_statistics(reader).unread;
    #[cfg(not(mistake))]
    drop(endpoint);
    Ok(unread)
}
