// SPDX-License-Identifier: GPL-2.0

//! How large a ring may be.

/// The number of data bytes of a ring.
///
/// # Invariants
///
/// A power of two, at least [`Capacity::MIN`] and at most [`Capacity::MAX`]. It follows that it
/// fits a `usize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity(u64);

impl Capacity {
    /// The smallest capacity. `PIPE_BUF` bytes must fit, or a write that has to be atomic could
    /// never go through.
    pub(crate) const MIN: u64 = Self::ATOMIC_WRITE as u64;

    /// The largest capacity, 1 GiB.
    pub(crate) const MAX: u64 = 1 << 30;

    /// The longest write that a blocking writer may expect to be contiguous: `PIPE_BUF`.
    pub(crate) const ATOMIC_WRITE: usize = 4096;

    /// Accepts `bytes` if a ring on a machine with pages of `page_size` bytes may have that size.
    pub(crate) fn new(bytes: u64, page_size: u64) -> Option<Self> {
        let allowed = Self::min(page_size)..=Self::MAX;
        // INVARIANT: Checked here.
        (bytes.is_power_of_two() && allowed.contains(&bytes)).then_some(Self(bytes))
    }

    /// The capacity that [`Capacity::as_u64`] was taken of.
    #[inline]
    pub(super) fn from_u64(bytes: u64) -> Self {
        // INVARIANT: It holds for the value that this was.
        Self(bytes)
    }

    /// The smallest capacity on a machine with pages of `page_size` bytes.
    pub(crate) fn min(page_size: u64) -> u64 {
        Self::MIN.max(page_size)
    }

    /// The capacity in bytes.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        // CAST: By the type invariant the value is at most `MAX`, which fits.
        self.0 as usize
    }

    /// The capacity in bytes, as positions count them.
    #[inline]
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }

    /// The longest record: a quarter of the ring, so that a writer never has to wait until all of
    /// it is empty.
    #[inline]
    pub(crate) fn max_record(self) -> usize {
        self.bytes() / 4
    }
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(
    CONFIG_RINGDEV_KUNIT_TEST,
    kernel::macros::kunit_tests(ringdev_capacity)
)]
mod tests {
    use super::*;

    const PAGE_SIZE: u64 = 4096;

    #[test]
    fn smallest_and_largest() {
        assert!(Capacity::new(PAGE_SIZE, PAGE_SIZE).is_some());
        assert!(Capacity::new(Capacity::MAX, PAGE_SIZE).is_some());
        assert!(Capacity::new(PAGE_SIZE / 2, PAGE_SIZE).is_none());
        assert!(Capacity::new(Capacity::MAX * 2, PAGE_SIZE).is_none());
        assert!(Capacity::new(0, PAGE_SIZE).is_none());
        assert!(Capacity::new(1 << 63, PAGE_SIZE).is_none());
    }

    #[test]
    fn no_less_than_a_page() {
        assert!(Capacity::new(32 << 10, 64 << 10).is_none());
        assert!(Capacity::new(64 << 10, 64 << 10).is_some());
    }

    #[test]
    fn powers_of_two_only() {
        assert!(Capacity::new(3 * PAGE_SIZE, PAGE_SIZE).is_none());
        assert!(Capacity::new(2 * PAGE_SIZE - 1, PAGE_SIZE).is_none());
        assert!(Capacity::new(2 * PAGE_SIZE + 1, PAGE_SIZE).is_none());
        assert!(Capacity::new(u64::MAX, PAGE_SIZE).is_none());
    }

    #[test]
    fn records_are_at_most_a_quarter() -> Result<(), ()> {
        for bytes in [4096, 8192, 1 << 30] {
            let capacity = Capacity::new(bytes, PAGE_SIZE).ok_or(())?;
            assert_eq!(capacity.max_record() as u64, bytes / 4);
            assert_eq!(capacity.as_u64(), bytes);
        }
        Ok(())
    }
}
