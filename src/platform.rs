// SPDX-License-Identifier: GPL-2.0

//! What the ring core needs of the kernel: a 64-bit atomic, and barriers.
//!
//! `tests/core` has another file of this name, with the host's atomics and a model checker's.

use crate::{
    ring::Site,
    staging::compat::{
        smp_mb,
        Full,
        Read,
        Write, //
    }, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// A free-running position that one side stores and all may load.
pub(crate) struct AtomicPosition(Atomic<u64>);

impl AtomicPosition {
    /// A position that is `position` so far.
    pub(crate) const fn new(position: u64) -> Self {
        Self(Atomic::new(position))
    }

    /// `READ_ONCE()`.
    #[inline]
    pub(crate) fn load_relaxed(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// `WRITE_ONCE()`.
    #[inline]
    pub(crate) fn store_relaxed(&self, position: u64) {
        self.0.store(position, Relaxed);
    }

    /// `smp_load_acquire()`.
    #[inline]
    pub(crate) fn load_acquire(&self, _site: Site) -> u64 {
        self.0.load(Acquire)
    }

    /// `smp_store_release()`.
    #[inline]
    pub(crate) fn store_release(&self, position: u64, _site: Site) {
        self.0.store(position, Release);
    }
}

/// `smp_mb()`.
#[inline]
pub(crate) fn full_barrier(_site: Site) {
    smp_mb(Full);
}

/// `smp_wmb()`: stores before it come before stores after it.
#[inline]
pub(crate) fn write_barrier(_site: Site) {
    smp_mb(Write);
}

/// `smp_rmb()`: loads before it come before loads after it.
#[inline]
pub(crate) fn read_barrier(_site: Site) {
    smp_mb(Read);
}
