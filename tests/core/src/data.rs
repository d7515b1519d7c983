// SPDX-License-Identifier: GPL-2.0

//! The bytes of a ring, as threads share them.
//!
//! As in the module, nothing but the positions keeps two threads from the same bytes. So this is
//! what the sanitizers look at: ThreadSanitizer takes a copy that is not ordered by the positions
//! for a race, and AddressSanitizer one that leaves the data for an overflow.

use crate::ring::Capacity;
use std::{cell::UnsafeCell, env, ptr};

/// The environment variable that makes [`Data::copy_out`] read a byte beyond the data.
pub(crate) const OVERRUN: &str = "RING_CORE_OVERRUN";

/// The bytes of a ring, once; a range that goes on behind the end begins again at the start.
pub(crate) struct Data {
    bytes: Box<[UnsafeCell<u8>]>,
    overrun: usize,
}

// SAFETY: The bytes are shared by the rules of the ring: a range is written only by the thread that
// has reserved it and read only by the thread that has found it unread. Proving that the ring keeps
// these rules is what the tests are for.
unsafe impl Sync for Data {}

impl Data {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            bytes: (0..capacity.bytes()).map(|_| UnsafeCell::new(0)).collect(),
            overrun: usize::from(env::var_os(OVERRUN).is_some()),
        }
    }

    /// Copies `from` to the bytes from `offset` on. The caller has reserved them.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        let before_end = from.len().min(self.bytes.len() - offset);
        let (first, second) = from.split_at(before_end);
        // SAFETY: Both ranges are within the data, since `offset + from.len()` is within data that
        // is there twice. The caller has reserved them.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), self.at(offset), first.len());
            ptr::copy_nonoverlapping(second.as_ptr(), self.at(0), second.len());
        }
    }

    /// Copies the bytes from `offset` on to `to`. The caller has found them unread.
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let before_end = to.len().min(self.bytes.len() - offset) + self.overrun;
        let (first, second) = to.split_at_mut(before_end.min(to.len()));
        // SAFETY: As for `copy_in`, except for the overrun of a byte, which only a test asks for
        // that expects to be killed for it.
        unsafe {
            ptr::copy_nonoverlapping(self.at(offset), first.as_mut_ptr(), first.len());
            ptr::copy_nonoverlapping(self.at(0), second.as_mut_ptr(), second.len());
        }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes.as_ptr().wrapping_add(offset))
    }
}
