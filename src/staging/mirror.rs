// SPDX-License-Identifier: GPL-2.0

//! Pages mapped twice in a row, so that no range of a ring wraps.
//!
//! The kernel crate has pages and it has vmalloc, but it cannot map given pages. Here the same
//! pages appear at `base` and again at `base + size`; a range that begins in the first half and is
//! no longer than `size` is contiguous, wherever it begins. Bytes are named by positions that run
//! freely, as in a ring: the size is a power of two, and a position modulo the size is an offset.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use super::sys;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Zeroed pages of our own, listed twice.
///
/// # Invariants
///
/// The first `owned` entries of `list` are pages that this value owns. If construction was
/// finished, `list` holds these same pages a second time behind them.
struct Pages {
    list: KVVec<*mut bindings::page>,
    owned: usize,
}

impl Pages {
    /// Allocates `count` pages and charges them to the memory cgroup of the caller.
    ///
    /// May sleep. Rather fails than have the kernel kill somebody for memory, and says nothing in
    /// the log if it fails. Who is killed meanwhile gets `EINTR`, and does not see it.
    fn new(count: usize) -> Result<Self> {
        let gfp = bindings::GFP_KERNEL_ACCOUNT
            | bindings::__GFP_ZERO
            | bindings::__GFP_NOWARN
            | (1 << bindings::___GFP_RETRY_MAYFAIL_BIT);
        let twice = count.checked_mul(2).ok_or(EINVAL)?;
        // INVARIANT: No page is owned so far.
        let mut pages = Self {
            list: KVVec::with_capacity(twice, GFP_KERNEL | __GFP_NOWARN)?,
            owned: 0,
        };
        for _ in 0..count {
            // SAFETY: Looks at the current thread.
            if unsafe { sys::ringdev_fatal_signal_pending() } {
                return Err(EINTR);
            }
            // SAFETY: Allocating pages has no preconditions; the flags allow sleeping.
            let page = unsafe { bindings::alloc_pages(gfp, 0) };
            if page.is_null() {
                return Err(ENOMEM);
            }
            // INVARIANT: One more page, and it is ours. There was capacity for it, so this does
            // not allocate and cannot fail.
            pages.list.push(page, GFP_KERNEL)?;
            pages.owned += 1;
        }
        for index in 0..count {
            let page = *pages.list.get(index).ok_or(EINVAL)?;
            pages.list.push(page, GFP_KERNEL)?;
        }
        Ok(pages)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for page in self.list.iter().take(self.owned) {
            // SAFETY: By the type invariant the page is ours, and it is given back once. Whoever
            // had mapped it (`Mirror`) has unmapped it before.
            unsafe { bindings::__free_pages(*page, 0) };
        }
    }
}

/// Memory that is mapped twice in a row.
///
/// # Invariants
///
/// `size` is a power of two, and at least a page. `2 * size` bytes at `base` are mapped, writable,
/// to `pages`, which has `size` bytes, twice. They stay mapped until the value is dropped.
///
/// No reference to the bytes is ever formed: they are only touched by functions of C that copy, and
/// by volatile accesses, so several threads may do so at the same time. What they then read or
/// write in the same place is unspecified bytes, and nothing worse.
pub(crate) struct Mirror {
    base: NonNull<u8>,
    size: usize,
    // Held for its destructor, which runs after that of `Mirror`.
    _pages: Pages,
}

// SAFETY: A mapping in the kernel's address space belongs to no thread.
unsafe impl Send for Mirror {}

// SAFETY: By the type invariant several threads may use the bytes.
unsafe impl Sync for Mirror {}

impl Mirror {
    /// Allocates and maps `size` bytes, all zero. `EINVAL` if that is no power of two, or less than
    /// a page.
    ///
    /// May sleep.
    pub(crate) fn new(size: usize) -> Result<Self> {
        if !size.is_power_of_two() || size < PAGE_SIZE {
            return Err(EINVAL);
        }
        let mut pages = Pages::new(size >> PAGE_SHIFT)?;
        let count = pages.list.len().try_into()?;
        // SAFETY: `list` has `count` entries, each a page that stays allocated for as long as the
        // mapping exists.
        let base = unsafe { sys::ringdev_vmap(pages.list.as_mut_ptr(), count) };
        // INVARIANT: That is what `vmap()` returns, or null.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
            size,
            _pages: pages,
        })
    }

    /// The `len` bytes at `position`, at most the size.
    #[inline]
    pub(crate) fn area(&self, position: u64, len: usize) -> Area<'_> {
        // INVARIANT: What begins in the first mapping and has at most its size is mapped, by the
        // type invariant of `Mirror`.
        Area {
            start: self.at(position),
            len: len.min(self.size),
            _mirror: PhantomData,
        }
    }

    /// Where the byte at `position` is, in the first mapping: the `size` bytes from there on are
    /// valid for reads and writes for as long as `self` is borrowed.
    #[inline]
    fn at(&self, position: u64) -> NonNull<u8> {
        // CAST: Less than the size.
        let offset = (position & (self.size as u64 - 1)) as usize;
        // SAFETY: As the size is a power of two, the offset is less, and within the mapping.
        unsafe { self.base.add(offset) }
    }

    /// Where the `N` aligned words from `position` on are. That is rounded down to a word.
    #[inline]
    fn words<const N: usize>(&self, position: u64) -> NonNull<u64> {
        // They are within what `at` says is valid. The mapping begins with a page.
        const { assert!(N * size_of::<u64>() <= PAGE_SIZE) };
        self.at(position & !(align_of::<u64>() as u64 - 1)).cast()
    }

    /// Loads the aligned words from `position` on, each at once (`READ_ONCE()`).
    ///
    /// Not by `Atomic`, whose loads are calls of C: a batch of records looks at a word for each.
    #[inline]
    pub(crate) fn load_words<const N: usize>(&self, position: u64) -> [u64; N] {
        let words = self.words::<N>(position);
        // SAFETY: By `words` that many aligned words are mapped. Others that use the bytes at the
        // same time are functions of C that copy, or volatile accesses as this; what is seen then
        // is unspecified bytes, by the type invariant of `Mirror`.
        core::array::from_fn(|index| unsafe { words.add(index).read_volatile() })
    }

    /// Stores the aligned words from `position` on, each at once (`WRITE_ONCE()`).
    #[inline]
    pub(crate) fn store_words<const N: usize>(&self, position: u64, values: [u64; N]) {
        let words = self.words::<N>(position);
        for (index, value) in values.into_iter().enumerate() {
            // SAFETY: As for `load_words`.
            unsafe { words.add(index).write_volatile(value) };
        }
    }

    /// Copies the `len` bytes at `position` from `other`, at most the size of either, to the same
    /// position.
    pub(crate) fn copy_from(&self, other: &Self, position: u64, len: usize) {
        let to = self.area(position, len);
        let from = other.area(position, to.len());
        // SAFETY: By the type invariants of `Area` both are mapped for that many bytes. They are of
        // two mirrors, each with pages of its own, so they do not overlap. Others may use them at
        // the same time, so this is C's function: what that then copies is unspecified, no more.
        unsafe { bindings::memcpy(to.as_ptr().cast(), from.as_ptr().cast(), from.len()) };
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is what `vmap()` returned. No `Area` is left, since
        // each borrows from the value.
        unsafe { sys::vunmap(self.base.as_ptr().cast()) };
    }
}

/// A part of a [`Mirror`], for a copy into it or out of it.
///
/// # Invariants
///
/// `len` bytes at `start` are mapped and writable for `'a`, and are of the kind that the type
/// invariants of [`Mirror`] describe.
#[derive(Clone, Copy)]
pub(crate) struct Area<'a> {
    start: NonNull<u8>,
    len: usize,
    _mirror: PhantomData<&'a Mirror>,
}

impl Area<'_> {
    /// Where it begins.
    #[inline]
    pub(super) fn as_ptr(self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many bytes it has.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kunit_tests(ringdev_mirror)]
mod tests {
    use super::*;

    /// The byte at `offset` of both mappings together.
    fn byte(mirror: &Mirror, offset: usize) -> *mut u8 {
        assert!(offset < 2 * mirror.size);
        // No overflow, as the offset is within the mappings.
        mirror.base.as_ptr().wrapping_add(offset)
    }

    fn peek(mirror: &Mirror, offset: usize) -> u8 {
        // SAFETY: `byte` is mapped, and no other thread knows of the mirror.
        unsafe { byte(mirror, offset).read() }
    }

    fn poke(mirror: &Mirror, offset: usize, value: u8) {
        // SAFETY: `byte` is mapped, and no other thread knows of the mirror.
        unsafe { byte(mirror, offset).write(value) };
    }

    #[test]
    fn every_byte_appears_twice() -> Result {
        let mirror = Mirror::new(2 * PAGE_SIZE)?;
        for offset in 0..2 * PAGE_SIZE {
            poke(&mirror, offset, (offset % 251) as u8);
        }
        for offset in 0..2 * PAGE_SIZE {
            let value = (offset % 251) as u8;
            assert_eq!(peek(&mirror, offset), value);
            assert_eq!(peek(&mirror, offset + 2 * PAGE_SIZE), value);
        }
        poke(&mirror, 4 * PAGE_SIZE - 1, 252);
        assert_eq!(peek(&mirror, 2 * PAGE_SIZE - 1), 252);
        Ok(())
    }

    #[test]
    fn new_memory_is_zero() -> Result {
        let mirror = Mirror::new(4 * PAGE_SIZE)?;
        for offset in 0..8 * PAGE_SIZE {
            assert_eq!(peek(&mirror, offset), 0);
        }
        Ok(())
    }

    #[test]
    fn an_area_is_at_its_position_modulo_the_size() -> Result {
        let mirror = Mirror::new(2 * PAGE_SIZE)?;
        let size = 2 * PAGE_SIZE as u64;
        for (position, offset) in [
            (0, 0),
            (size - 1, 2 * PAGE_SIZE - 1),
            (size, 0),
            (5 * size + 7, 7),
            (u64::MAX, 2 * PAGE_SIZE - 1),
        ] {
            assert!(mirror.area(position, 1).as_ptr() == byte(&mirror, offset));
        }
        Ok(())
    }

    #[test]
    fn an_area_has_at_most_the_size() -> Result {
        let mirror = Mirror::new(2 * PAGE_SIZE)?;
        for position in [0, 1, u64::MAX] {
            assert_eq!(mirror.area(position, 0).len(), 0);
            assert_eq!(mirror.area(position, 2 * PAGE_SIZE).len(), 2 * PAGE_SIZE);
            assert_eq!(mirror.area(position, usize::MAX).len(), 2 * PAGE_SIZE);
        }
        Ok(())
    }

    #[test]
    fn words_go_on_at_the_start() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        // It is rounded down.
        let position = u64::MAX;
        mirror.store_words(position, [1, 2]);
        assert_eq!(mirror.load_words(position - 7), [1, 2]);
        assert_eq!(mirror.load_words(0), [2, 0]);
        assert_eq!(mirror.load_words(PAGE_SIZE as u64 - 16), [0, 1, 2]);
        Ok(())
    }

    #[test]
    fn bytes_keep_their_positions_in_another_mirror() -> Result {
        let (small, large) = (Mirror::new(PAGE_SIZE)?, Mirror::new(2 * PAGE_SIZE)?);
        let position = 3 * PAGE_SIZE as u64 - 8;
        small.store_words(position, [1, 2]);
        large.copy_from(&small, position, 16);
        assert_eq!(large.load_words(position), [1, 2]);
        assert_eq!(peek(&large, 2 * PAGE_SIZE - 9), 0);
        // Of what does not fit there is as much as fits.
        large.store_words(position, [3, 4]);
        small.copy_from(&large, position, 2 * PAGE_SIZE);
        assert_eq!(small.load_words(position), [3, 4]);
        Ok(())
    }

    #[test]
    fn other_sizes_are_refused() {
        for size in [
            0,
            1,
            PAGE_SIZE / 2,
            PAGE_SIZE - 1,
            PAGE_SIZE + 1,
            3 * PAGE_SIZE,
        ] {
            assert_eq!(Mirror::new(size).err(), Some(EINVAL));
        }
    }

    #[test]
    fn a_size_beyond_all_memory_fails_quietly() {
        assert!(Mirror::new(1 << 52).is_err());
    }
}
