// SPDX-License-Identifier: GPL-2.0

//! The bytes of a ring, as threads share them.
//!
//! As in the module, nothing but the positions keeps two threads from the same bytes. So this is
//! what the sanitizers look at: ThreadSanitizer takes a copy that is not ordered by the positions
//! for a race, and AddressSanitizer one that leaves the data for an overflow.
//!
//! Where data may be overwritten while they are copied there is a race, and the ring has to find
//! out what it did. There each byte is copied atomically, without any order.

use crate::ring::{Capacity, Words};
use std::{
    cell::UnsafeCell,
    env, ptr,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

/// The environment variable that makes [`Data::copy_out`] read a byte beyond the data.
pub(crate) const OVERRUN: &str = "RING_CORE_OVERRUN";

/// The bytes of a ring, once; a range that goes on behind the end begins again at the start.
pub(crate) struct Data {
    bytes: Box<[UnsafeCell<u8>]>,
    /// They may be overwritten while they are copied.
    overwritten: bool,
    overrun: usize,
}

// SAFETY: The bytes are shared by the rules of the ring: a range is written only by the thread that
// has reserved it and read only by threads that have found it unread. Proving that the ring keeps
// these rules is what the tests are for. Where it has others all copies are atomic.
unsafe impl Sync for Data {}

impl Data {
    pub(crate) fn new(capacity: Capacity, overwritten: bool) -> Self {
        Self {
            bytes: (0..capacity.bytes()).map(|_| UnsafeCell::new(0)).collect(),
            overwritten,
            overrun: usize::from(env::var_os(OVERRUN).is_some()),
        }
    }

    /// How many bytes there are.
    pub(crate) fn capacity(&self) -> Capacity {
        Capacity::new(self.bytes.len() as u64, 1).unwrap()
    }

    /// Copies `from` to the bytes from `position` on. The caller has reserved them.
    pub(crate) fn copy_in(&self, position: u64, from: &[u8]) {
        let offset = self.offset(position);
        if self.overwritten {
            for (index, byte) in from.iter().enumerate() {
                self.byte(offset + index).store(*byte, Relaxed);
            }
            return;
        }
        let before_end = from.len().min(self.bytes.len() - offset);
        let (first, second) = from.split_at(before_end);
        // SAFETY: Both ranges are within the data, since `offset + from.len()` is within data that
        // is there twice. The caller has reserved them.
        unsafe {
            ptr::copy_nonoverlapping(first.as_ptr(), self.at(offset), first.len());
            ptr::copy_nonoverlapping(second.as_ptr(), self.at(0), second.len());
        }
    }

    /// Copies the bytes from `position` on to `to`. The caller has found them unread.
    pub(crate) fn copy_out(&self, position: u64, to: &mut [u8]) {
        let offset = self.offset(position);
        if self.overwritten {
            for (index, byte) in to.iter_mut().enumerate() {
                *byte = self.byte(offset + index).load(Relaxed);
            }
            return;
        }
        let before_end = to.len().min(self.bytes.len() - offset) + self.overrun;
        let (first, second) = to.split_at_mut(before_end.min(to.len()));
        // SAFETY: As for `copy_in`, except for the overrun of a byte, which only a test asks for
        // that expects to be killed for it.
        unsafe {
            ptr::copy_nonoverlapping(self.at(offset), first.as_mut_ptr(), first.len());
            ptr::copy_nonoverlapping(self.at(0), second.as_mut_ptr(), second.len());
        }
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.bytes.len() as u64) as usize
    }

    fn at(&self, offset: usize) -> *mut u8 {
        UnsafeCell::raw_get(self.bytes.as_ptr().wrapping_add(offset))
    }

    /// The byte at `offset`, of data that are copied atomically.
    fn byte(&self, offset: usize) -> &AtomicU8 {
        let byte = self.bytes[offset % self.bytes.len()].get();
        // SAFETY: It is a byte of the data and lives as long; all other accesses come by here.
        unsafe { AtomicU8::from_ptr(byte) }
    }
}

/// Words are copied like everything else, that is, byte by byte where they may be overwritten: then
/// they come in more mixtures than they do in the module.
impl Words for Data {
    fn load(&self, position: u64) -> u64 {
        let mut word = [0; 8];
        self.copy_out(position, &mut word);
        u64::from_ne_bytes(word)
    }

    fn store(&self, position: u64, word: u64) {
        self.copy_in(position, &word.to_ne_bytes());
    }
}
