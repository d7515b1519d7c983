// SPDX-License-Identifier: GPL-2.0

//! Memory whose pages a test can take away, and addresses that were never good.

use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, mprotect};

pub const PAGE: usize = 4096;

/// Address space behind every mapping that nothing else is ever mapped to. Whoever copies from
/// the mapping on and into it gets no further.
const GUARD: usize = PAGE;

// Where nothing can be mapped, by programs of 64 bits and by those of 32, which have nearly all of
// their address space: arch/x86/include/asm/processor.h and page_64_types.h of the kernel.
#[cfg(target_pointer_width = "64")]
mod nowhere {
    /// In the kernel's half of the address space.
    pub const KERNEL: usize = 0xffff_8880_0000_0000;
    /// In the gap between the two halves, where an access is a protection fault.
    pub const NON_CANONICAL: usize = 0x8000_0000_0000_0000;
    /// Where what mmap(2) gives out unasked ends.
    pub const END: usize = 0x7fff_ffff_f000;
}
#[cfg(target_pointer_width = "32")]
mod nowhere {
    pub const KERNEL: usize = 0xffff_f000;
    // Such a program can name no such address.
    pub const NON_CANONICAL: usize = 0xffff_e000;
    pub const END: usize = 0xffff_e000;
}
use nowhere::{END, KERNEL, NON_CANONICAL};

/// Private anonymous pages followed by [`GUARD`] bytes without access. They stay mapped until
/// the process ends, and no Rust object lives in them.
#[derive(Clone, Copy)]
pub struct Pages {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: Pages is an address. Its methods copy bytes in and out as read(2) and write(2) do,
// and whoever lets threads do so at once gets mixed bytes, nothing worse.
unsafe impl Send for Pages {}

/// A range of addresses for the kernel to try, in order. Either it begins within some [`Pages`],
/// whose guard ends every access, or no part of it can be mapped. So no Rust object is ever
/// reached.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    address: usize,
    pub len: usize,
}

impl Pages {
    /// Maps a page below 4 GiB, where programs of 32 bits could have it, and without a guard.
    pub fn map_low() -> Self {
        let length = NonZeroUsize::new(PAGE).expect("not empty");
        let allowed = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT;
        // SAFETY: an address of the kernel's choice replaces no mapping.
        let base = unsafe { mmap_anonymous(None, length, allowed, flags) }.expect("map a page");
        Self {
            base: base.cast(),
            size: PAGE,
        }
    }

    /// Maps `count` pages that can be read and written.
    pub fn map(count: usize) -> Self {
        let size = count * PAGE;
        let length = NonZeroUsize::new(size + GUARD).expect("not empty");
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: an address of the kernel's choice replaces no mapping.
        let base = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, flags) }
            .expect("map pages");
        let pages = Self {
            base: base.cast(),
            size,
        };
        pages.protect(0, count, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
        pages
    }

    /// Changes what may be done to `count` pages from page `first` on.
    pub fn protect(self, first: usize, count: usize, allowed: ProtFlags) {
        let length = count * PAGE;
        assert!(first * PAGE + length <= self.size);
        // SAFETY: the range is ours and no Rust object is in it.
        unsafe { mprotect(self.at(first * PAGE).cast(), length, allowed) }.expect("mprotect");
    }

    /// Drops the pages' contents: each is missing until it is touched again.
    pub fn forget(self) {
        // SAFETY: the range is ours and no Rust object is in it.
        unsafe { madvise(self.base.cast(), self.size, MmapAdvise::MADV_DONTNEED) }
            .expect("madvise");
    }

    pub fn put(self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.size);
        // SAFETY: the range is ours, and a slice of Rust's cannot overlap it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset).as_ptr(), bytes.len()) }
    }

    pub fn get(self, offset: usize, length: usize) -> Vec<u8> {
        assert!(offset + length <= self.size);
        let mut bytes = vec![0; length];
        // SAFETY: the range is ours, and a slice of Rust's cannot overlap it.
        unsafe { ptr::copy_nonoverlapping(self.at(offset).as_ptr(), bytes.as_mut_ptr(), length) }
        bytes
    }

    /// The addresses from `offset` on, `len` of them, into the guard and beyond if need be.
    pub fn span(self, offset: usize, len: usize) -> Span {
        assert!(offset <= self.size);
        Span {
            address: self.base.as_ptr() as usize + offset,
            len,
        }
    }

    fn at(self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.size);
        // SAFETY: the offset stays within the mapping.
        unsafe { self.base.add(offset) }
    }
}

impl Span {
    /// `len` bytes at the null pointer, where nothing is ever mapped.
    pub fn null(len: usize) -> Self {
        assert!(len <= PAGE);
        Self { address: 0, len }
    }

    /// `len` bytes where the kernel is, or could be.
    pub fn kernel(len: usize) -> Self {
        assert!(len <= PAGE);
        Self {
            address: KERNEL,
            len,
        }
    }

    /// `len` bytes in the gap between the two halves, where an access is a protection fault.
    pub fn non_canonical(len: usize) -> Self {
        assert!(len <= PAGE);
        Self {
            address: NON_CANONICAL,
            len,
        }
    }

    /// `len` bytes, the first of which is the last that mmap(2) gives out unasked.
    pub fn across_the_end_of_user_space(len: usize) -> Self {
        assert!((2..=PAGE).contains(&len));
        Self {
            address: END - 1,
            len,
        }
    }

    pub fn address(self) -> u64 {
        self.address as u64
    }

    pub fn ptr(self) -> *mut libc::c_void {
        ptr::without_provenance_mut(self.address)
    }

    pub fn iovec(self) -> libc::iovec {
        libc::iovec {
            iov_base: self.ptr(),
            iov_len: self.len,
        }
    }
}
