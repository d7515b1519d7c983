// SPDX-License-Identifier: GPL-2.0

//! A ring gets the capacity that user space asks for, whatever that is.
//!
//! A capacity can be made only by the function that checks it, so an unchecked number is of another
//! type. In C both are a size_t.
//@ in: src/control.rs
//@ error: E0308: mismatched types
//@ in C, run: resize_refuses_what_create_refuses
//@ in C, found: the test

use super::*;
use crate::{channel::Channel, ring::Capacity};

pub(super) fn resize(channel: &Channel, asked: &uapi::ringdev_resize) -> Result {
    #[cfg(not(mistake))]
    let capacity: Capacity = abi::capacity(asked.capacity, Capacity::MAX)?;
    #[cfg(mistake)]
    let capacity = asked.capacity;
    channel.resize(capacity)
}
