// SPDX-License-Identifier: GPL-2.0

//! A writer sleeps until there is room with the writers' side locked, so that nobody else can even
//! try.
//!
//! The compiler has nothing against it: a guard may live for as long as its holder likes, and
//! nothing in the type of a function says that it sleeps.
//@ in: src/channel/write.rs
//@ error: none
//@ in C, run: write_blocked_does_not_stop_a_nonblocking_writer
//@ in C, found: INFO: task ringdev-tests blocked

use super::*;

pub(super) fn wait(channel: &Channel, bytes: usize) -> Result {
    let producer = channel.producer.lock();
    #[cfg(not(mistake))]
    drop(producer);
    let waited = channel.wait_for_room(bytes, Waiting::Allowed);
    #[cfg(mistake)]
    drop(producer);
    waited
}
