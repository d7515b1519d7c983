// SPDX-License-Identifier: GPL-2.0

//! The time of `CLOCK_MONOTONIC` as a number.
//!
//! The kernel crate's `Instant` can be subtracted from another, and does not tell what it is.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use kernel::bindings;

/// Nanoseconds, as clock_gettime(2) has them for `CLOCK_MONOTONIC`. May be called in any context
/// but NMI.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: `ktime_get()` has no preconditions but to be called outside of NMI context.
    // CAST: It is not negative.
    unsafe { bindings::ktime_get() as u64 }
}
