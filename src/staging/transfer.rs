// SPDX-License-Identifier: GPL-2.0

//! Copies between user space and the kernel that never serve a page fault.
//!
//! A copy may be made with a lock held, on which other processes depend; a page fault may take as
//! long as the process wishes, with userfaultfd or FUSE behind the address. So a copy stops at the
//! first byte whose page is not there, and says how far it came. Its caller then releases the lock,
//! calls `fault_in`, and goes on.
//!
//! The kernel crate's `UserSlice` and `IovIter*` copy with faults, and `IovIter*` answer 0 when a
//! fault cannot be served, which looks like the end of a file.
//!
//! C headers: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h),
//! [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    mirror::Area,
    sys, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::c_char, //
};

/// Where the bytes of a write come from.
pub(crate) trait Source {
    /// How many are left.
    fn remaining(&self) -> usize;

    /// Copies into the beginning of `area` as many as there are, or as can be read without serving
    /// a page fault, and moves past them. Returns how many.
    ///
    /// What the rest of `area` contains afterwards is unspecified.
    fn copy_to(&mut self, area: Area<'_>) -> usize;

    /// Moves back over the last `bytes` bytes copied; there have to be as many.
    fn rewind(&mut self, bytes: usize);

    /// Makes the next `bytes` bytes present, and returns how many of them can be read.
    ///
    /// May sleep for as long as user space wishes: no lock may be held.
    fn fault_in(&mut self, bytes: usize) -> usize;
}

/// Where the bytes of a read go.
pub(crate) trait Destination {
    /// How many can still be taken.
    fn remaining(&self) -> usize;

    /// Copies from the beginning of `area` as many as can be taken, or as can be written without
    /// serving a page fault, and moves past them. Returns how many.
    fn copy_from(&mut self, area: Area<'_>) -> usize;

    /// The same as `copy_from` from `bytes`.
    fn put(&mut self, bytes: &[u8]) -> usize;

    /// Moves back over the last `bytes` bytes copied; there have to be as many.
    fn rewind(&mut self, bytes: usize);

    /// Makes the next `bytes` bytes present, and returns how many of them can be written. Changes
    /// none of them.
    ///
    /// May sleep for as long as user space wishes: no lock may be held.
    fn fault_in(&mut self, bytes: usize) -> usize;
}

/// Page faults of user addresses are not served in this thread while this lives.
struct FaultsDisabled(PhantomData<*mut ()>);

impl FaultsDisabled {
    #[inline]
    fn new() -> Self {
        // SAFETY: Increments a counter of the current thread. `Drop` decrements it, in the same
        // thread since the type is not `Send`.
        unsafe { sys::ringdev_pagefault_disable() };
        Self(PhantomData)
    }
}

impl Drop for FaultsDisabled {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `new` incremented the counter in this thread.
        unsafe { sys::ringdev_pagefault_enable() };
    }
}

/// A buffer of the calling process: an address and a length, as read(2) and write(2) have them.
///
/// The address is whatever the process says. All that is ever done with it is to hand it to
/// functions that check it. So nothing has to keep an address from being moved back too far.
struct UserBuffer {
    address: usize,
    remaining: usize,
}

impl UserBuffer {
    #[inline]
    fn new(address: usize, remaining: usize) -> Self {
        Self { address, remaining }
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.address = self.address.wrapping_add(bytes);
        self.remaining = self.remaining.saturating_sub(bytes);
    }

    fn rewind(&mut self, bytes: usize) {
        self.address = self.address.wrapping_sub(bytes);
        self.remaining = self.remaining.saturating_add(bytes);
    }
}

/// The buffer of a write(2).
pub(crate) struct UserSource(UserBuffer);

impl UserSource {
    /// The `len` bytes at `address` of the current process. Any value is allowed.
    #[inline]
    pub(super) fn new(address: *const c_char, len: usize) -> Self {
        Self(UserBuffer::new(address.addr(), len))
    }

    /// Copies `len` bytes into `area`, in the fewest instructions. `false` if there are not as many
    /// on either side, or if not all of them could be read without serving a page fault: what
    /// `area` contains is unspecified then.
    #[inline]
    pub(crate) fn copy_all_to(self, area: Area<'_>, len: usize) -> bool {
        if len > area.len() || len > self.0.remaining {
            return false;
        }
        let from = self.0.address as *const _;
        // SAFETY: By its type invariant the area is writable for `len` bytes. The function checks
        // the user address.
        unsafe { sys::ringdev_copy_from_user_nofault(area.as_ptr().cast(), from, len) == 0 }
    }
}

impl Source for UserSource {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.remaining
    }

    #[inline]
    fn copy_to(&mut self, area: Area<'_>) -> usize {
        let len = area.len().min(self.0.remaining);
        let from = self.0.address as *const _;
        // SAFETY: By its type invariant the area is writable for `len` bytes. The function checks
        // the user address.
        let left = unsafe { sys::ringdev_copy_from_user_nofault(area.as_ptr().cast(), from, len) };
        let copied = len.saturating_sub(left);
        self.0.advance(copied);
        copied
    }

    fn rewind(&mut self, bytes: usize) {
        self.0.rewind(bytes);
    }

    fn fault_in(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.0.remaining);
        // SAFETY: The function checks the user address. That no lock is held, by contract, is for
        // others not to wait, and no matter of memory.
        let missing = unsafe { sys::fault_in_readable(self.0.address as *const _, bytes) };
        bytes.saturating_sub(missing)
    }
}

/// The buffer of a read(2).
pub(crate) struct UserDestination(UserBuffer);

impl UserDestination {
    /// The `len` bytes at `address` of the current process. Any value is allowed.
    #[inline]
    pub(super) fn new(address: *mut c_char, len: usize) -> Self {
        Self(UserBuffer::new(address.addr(), len))
    }

    /// Copies `len` bytes from `area`, in the fewest instructions. `false` if there are not as many
    /// on either side, or if not all of them could be written without serving a page fault.
    #[inline]
    pub(crate) fn copy_all_from(self, area: Area<'_>, len: usize) -> bool {
        if len > area.len() || len > self.0.remaining {
            return false;
        }
        let to = self.0.address as *mut _;
        // SAFETY: By its type invariant the area is readable for `len` bytes. The function checks
        // the user address.
        unsafe { sys::ringdev_copy_to_user_nofault(to, area.as_ptr().cast(), len) == 0 }
    }

    /// # Safety
    ///
    /// `len` bytes at `from` must be readable. Others may change them meanwhile.
    #[inline]
    unsafe fn copy(&mut self, from: *const u8, len: usize) -> usize {
        let len = len.min(self.0.remaining);
        let to = self.0.address as *mut _;
        // SAFETY: By the safety requirements the bytes are readable. The function checks the user
        // address.
        let left = unsafe { sys::ringdev_copy_to_user_nofault(to, from.cast(), len) };
        let copied = len.saturating_sub(left);
        self.0.advance(copied);
        copied
    }
}

impl Destination for UserDestination {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.remaining
    }

    #[inline]
    fn copy_from(&mut self, area: Area<'_>) -> usize {
        // SAFETY: By its type invariant the area is readable for that many bytes.
        unsafe { self.copy(area.as_ptr(), area.len()) }
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        // SAFETY: It is a slice.
        unsafe { self.copy(bytes.as_ptr(), bytes.len()) }
    }

    fn rewind(&mut self, bytes: usize) {
        self.0.rewind(bytes);
    }

    fn fault_in(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.0.remaining);
        // Not `fault_in_writeable()`, which stores zeros: to probe a buffer does not change it.
        // SAFETY: As for `UserSource::fault_in`.
        let missing = unsafe { sys::fault_in_safe_writeable(self.0.address as *const _, bytes) };
        bytes.saturating_sub(missing)
    }
}

/// A `struct iov_iter`, during a call of `read_iter` or `write_iter`.
///
/// The kernel crate's types for it are not used because they assert its direction, and a system
/// call should have no way to a panic.
///
/// # Invariants
///
/// `raw` is valid, nobody else uses it for `'call`, and it was advanced by at least `copied` bytes.
struct Iov<'call> {
    raw: *mut bindings::iov_iter,
    copied: usize,
    _call: PhantomData<&'call mut bindings::iov_iter>,
}

impl Iov<'_> {
    /// # Safety
    ///
    /// `raw` must be valid, and nobody else may use it for as long as the value lives.
    #[inline]
    unsafe fn new(raw: *mut bindings::iov_iter) -> Self {
        // INVARIANT: By the safety requirements; nothing was copied so far.
        Self {
            raw,
            copied: 0,
            _call: PhantomData,
        }
    }

    /// Takes note that a copy has just advanced the iterator.
    #[inline]
    fn advanced(&mut self, copied: usize) {
        // INVARIANT: It was, by as many more.
        self.copied = self.copied.wrapping_add(copied);
    }

    fn rewind(&mut self, bytes: usize) {
        let bytes = bytes.min(self.copied);
        // INVARIANT: The iterator is about to be moved back by as many.
        self.copied = self.copied.wrapping_sub(bytes);
        // SAFETY: By the type invariant the iterator was advanced by at least `bytes` bytes.
        unsafe { bindings::iov_iter_revert(self.raw, bytes) };
    }

    #[inline]
    fn remaining(&self) -> usize {
        // SAFETY: By the type invariant the iterator is valid. All its kinds have this member.
        unsafe { (*self.raw).__bindgen_anon_1.__bindgen_anon_1.as_ref().count }
    }
}

/// The vector of a writev(2), the pages of a splice(2), or what else a `write_iter` gets.
///
/// # Invariants
///
/// The iterator is a source.
pub(super) struct IovSource<'call>(Iov<'call>);

impl IovSource<'_> {
    /// # Safety
    ///
    /// `raw` must be valid and a source, and nobody else may use it for as long as the value lives.
    #[inline]
    pub(super) unsafe fn new(raw: *mut bindings::iov_iter) -> Self {
        // INVARIANT: By the safety requirements.
        // SAFETY: Likewise.
        Self(unsafe { Iov::new(raw) })
    }
}

impl Source for IovSource<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    #[inline]
    fn copy_to(&mut self, area: Area<'_>) -> usize {
        let copied = {
            let _faults = FaultsDisabled::new();
            // SAFETY: By its type invariant the area is writable for `area.len()` bytes, and by
            // ours the iterator is a valid source.
            unsafe { bindings::_copy_from_iter(area.as_ptr().cast(), area.len(), self.0.raw) }
        };
        self.0.advanced(copied);
        copied
    }

    fn rewind(&mut self, bytes: usize) {
        self.0.rewind(bytes);
    }

    fn fault_in(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.remaining());
        // SAFETY: By the type invariant the iterator is valid; no lock is held by contract.
        let missing = unsafe { sys::fault_in_iov_iter_readable(self.0.raw, bytes) };
        bytes.saturating_sub(missing)
    }
}

/// The vector of a readv(2), the pages of a splice(2), or what else a `read_iter` gets.
///
/// # Invariants
///
/// The iterator is a destination.
pub(super) struct IovDestination<'call>(Iov<'call>);

impl IovDestination<'_> {
    /// # Safety
    ///
    /// `raw` must be valid and a destination, and nobody else may use it for as long as the value
    /// lives.
    #[inline]
    pub(super) unsafe fn new(raw: *mut bindings::iov_iter) -> Self {
        // INVARIANT: By the safety requirements.
        // SAFETY: Likewise.
        Self(unsafe { Iov::new(raw) })
    }

    /// # Safety
    ///
    /// `len` bytes at `from` must be readable. Others may change them meanwhile.
    #[inline]
    unsafe fn copy(&mut self, from: *const u8, len: usize) -> usize {
        let copied = {
            let _faults = FaultsDisabled::new();
            // SAFETY: By the safety requirements the bytes are readable, and by the type invariant
            // the iterator is a valid destination.
            unsafe { bindings::_copy_to_iter(from.cast(), len, self.0.raw) }
        };
        self.0.advanced(copied);
        copied
    }
}

impl Destination for IovDestination<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    #[inline]
    fn copy_from(&mut self, area: Area<'_>) -> usize {
        // SAFETY: By its type invariant the area is readable for that many bytes.
        unsafe { self.copy(area.as_ptr(), area.len()) }
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        // SAFETY: It is a slice.
        unsafe { self.copy(bytes.as_ptr(), bytes.len()) }
    }

    fn rewind(&mut self, bytes: usize) {
        self.0.rewind(bytes);
    }

    fn fault_in(&mut self, bytes: usize) -> usize {
        let bytes = bytes.min(self.remaining());
        // SAFETY: By the type invariant the iterator is valid; no lock is held by contract.
        let missing = unsafe { sys::fault_in_iov_iter_writeable(self.0.raw, bytes) };
        bytes.saturating_sub(missing)
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ringdev_transfer)]
mod tests {
    use super::{
        super::mirror::Mirror,
        *, //
    };
    use core::{
        mem::MaybeUninit,
        ptr, //
    };
    use kernel::{
        page::PAGE_SIZE,
        prelude::*, //
    };

    // From the ABI: include/uapi/asm-generic/mman-common.h, include/uapi/linux/mman.h.
    const PROT_READ: usize = 1;
    const PROT_WRITE: usize = 2;
    const MAP_PRIVATE: usize = 2;
    const MAP_ANONYMOUS: usize = 0x20;

    /// Maps `pages` anonymous pages, of which none is present. KUnit unmaps them.
    fn map(pages: usize) -> Result<usize> {
        // SAFETY: The test runs in a thread that KUnit made and that has no memory of a process.
        kernel::error::to_result(unsafe { bindings::kunit_attach_mm() })?;
        // SAFETY: There is a current test, and now there is memory to map into.
        let address = unsafe {
            bindings::kunit_vm_mmap(
                bindings::kunit_get_current_test(),
                ptr::null_mut(),
                0,
                pages * PAGE_SIZE,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS,
                0,
            )
        };
        if address == 0 {
            return Err(ENOMEM);
        }
        Ok(address)
    }

    /// Unmaps the page at `address`.
    fn punch(address: usize) -> Result {
        // SAFETY: The pages were mapped by `map`, and only this thread uses them.
        kernel::error::to_result(unsafe { bindings::vm_munmap(address, PAGE_SIZE) })
    }

    fn source(address: usize, len: usize) -> UserSource {
        UserSource::new(address as *const c_char, len)
    }

    fn destination(address: usize, len: usize) -> UserDestination {
        UserDestination::new(address as *mut c_char, len)
    }

    #[test]
    fn a_page_that_is_not_present_is_not_faulted_in_by_a_copy() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        let mut from = source(map(1)?, 100);

        assert_eq!(from.copy_to(mirror.area(0, 100)), 0);
        assert_eq!(from.remaining(), 100);
        assert_eq!(from.fault_in(100), 100);
        assert_eq!(from.copy_to(mirror.area(0, 100)), 100);
        assert_eq!(from.remaining(), 0);
        Ok(())
    }

    #[test]
    fn what_is_copied_out_comes_back() -> Result {
        let mirror = Mirror::new(2 * PAGE_SIZE)?;
        let address = map(3)?;
        // Across the seam between the two mappings, and across pages of the user.
        let seam = mirror.area(2 * PAGE_SIZE as u64 - 7, PAGE_SIZE + 7);
        for index in 0..seam.len() {
            // SAFETY: The area has that many bytes, and no other thread knows of the mirror.
            unsafe { seam.as_ptr().add(index).write((index % 253) as u8) };
        }

        let mut to = destination(address + 5, seam.len());
        assert_eq!(to.fault_in(seam.len()), seam.len());
        assert_eq!(to.copy_from(seam), seam.len());
        assert_eq!(to.remaining(), 0);

        let copy = Mirror::new(2 * PAGE_SIZE)?;
        let mut from = source(address + 5, seam.len());
        let back = copy.area(1, seam.len());
        assert_eq!(from.copy_to(back), seam.len());
        for index in 0..seam.len() {
            // SAFETY: As above.
            let byte = unsafe { back.as_ptr().add(index).read() };
            assert_eq!(byte, (index % 253) as u8);
        }
        Ok(())
    }

    #[test]
    fn a_copy_stops_where_the_memory_ends() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        let address = map(2)?;
        punch(address + PAGE_SIZE)?;

        let mut from = source(address + PAGE_SIZE - 10, 30);
        assert_eq!(from.fault_in(30), 10);
        assert_eq!(from.copy_to(mirror.area(0, 30)), 10);
        assert_eq!(from.fault_in(20), 0);
        assert_eq!(from.remaining(), 20);

        let mut to = destination(address + PAGE_SIZE - 10, 30);
        assert_eq!(to.fault_in(30), 10);
        assert_eq!(to.copy_from(mirror.area(0, 30)), 10);
        assert_eq!(to.fault_in(20), 0);
        assert_eq!(to.remaining(), 20);
        Ok(())
    }

    #[test]
    fn rewinding_gives_the_same_bytes_again() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        let mut from = source(map(1)?, 64);
        assert_eq!(from.fault_in(64), 64);
        assert_eq!(from.copy_to(mirror.area(0, 40)), 40);
        from.rewind(30);
        assert_eq!(from.remaining(), 54);
        from.rewind(10);
        assert_eq!(from.remaining(), 64);
        assert_eq!(from.copy_to(mirror.area(0, 100)), 64);
        Ok(())
    }

    #[test]
    fn all_is_copied_or_the_answer_is_no() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        let address = map(2)?;
        punch(address + PAGE_SIZE)?;
        let edge = address + PAGE_SIZE - 8;
        assert!(!source(edge, 8).copy_all_to(mirror.area(0, 8), 8));
        assert!(!destination(edge, 8).copy_all_from(mirror.area(0, 8), 8));
        assert_eq!(destination(edge, 8).fault_in(8), 8);

        mirror.store_words(0, [7]);
        assert!(destination(edge, 8).copy_all_from(mirror.area(0, 8), 8));
        assert!(source(edge, 8).copy_all_to(mirror.area(64, 8), 8));
        assert_eq!(mirror.load_words(64), [7]);

        // A byte of the memory is missing, of the buffer, and of the area.
        assert!(!source(edge, 9).copy_all_to(mirror.area(0, 9), 9));
        assert!(!source(edge, 7).copy_all_to(mirror.area(0, 8), 8));
        assert!(!source(edge, 8).copy_all_to(mirror.area(0, 7), 8));
        assert!(!destination(edge, 9).copy_all_from(mirror.area(0, 9), 9));
        assert!(!destination(edge, 7).copy_all_from(mirror.area(0, 8), 8));
        assert!(!destination(edge, 8).copy_all_from(mirror.area(0, 7), 8));
        Ok(())
    }

    #[test]
    fn kernel_addresses_are_refused() -> Result {
        let mirror = Mirror::new(PAGE_SIZE)?;
        let address = mirror.area(0, 1).as_ptr().addr();
        map(1)?;

        let mut from = source(address, 16);
        assert_eq!(from.copy_to(mirror.area(100, 16)), 0);
        assert_eq!(from.fault_in(16), 0);
        let mut to = destination(address, 16);
        assert_eq!(to.copy_from(mirror.area(100, 16)), 0);
        assert_eq!(to.fault_in(16), 0);

        let mut from = source(usize::MAX - 7, 16);
        assert_eq!(from.copy_to(mirror.area(0, 16)), 0);
        assert_eq!(from.fault_in(16), 0);
        Ok(())
    }

    #[test]
    fn a_vector_rewinds_over_its_segments() -> Result {
        const PIECES: [&[u8]; 3] = [b"one", b"", b"three"];

        let mirror = Mirror::new(PAGE_SIZE)?;
        let segments = PIECES.map(|piece| bindings::kvec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        });
        let mut raw = MaybeUninit::uninit();
        // SAFETY: The segments are valid for reads, and live as long as the iterator.
        unsafe {
            bindings::iov_iter_kvec(
                raw.as_mut_ptr(),
                bindings::ITER_SOURCE,
                segments.as_ptr(),
                segments.len(),
                8,
            )
        };
        // SAFETY: The iterator was just made, a source, and is ours.
        let mut from = unsafe { IovSource::new(raw.as_mut_ptr()) };

        assert_eq!(from.remaining(), 8);
        assert_eq!(from.copy_to(mirror.area(0, 5)), 5);
        from.rewind(4);
        assert_eq!(from.remaining(), 7);
        assert_eq!(from.copy_to(mirror.area(1, 100)), 7);
        assert_eq!(from.remaining(), 0);
        for (index, byte) in b"onethree".iter().enumerate() {
            // SAFETY: The mirror has that many bytes, and no other thread knows of it.
            let copied = unsafe { mirror.area(index as u64, 1).as_ptr().read() };
            assert_eq!(copied, *byte);
        }
        Ok(())
    }
}
