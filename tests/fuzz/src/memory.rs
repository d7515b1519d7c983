// SPDX-License-Identifier: GPL-2.0

//! The buffers that system calls get.
//!
//! Each is a range of a shared file that is mapped twice: calls get addresses of the one mapping,
//! whose pages may be missing, late, protected or replaced; the fuzzer itself uses the other, which
//! is always whole.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::Buffer;
use crate::sys::{self, Fd};

/// The size of a region in bytes, whatever a page is. The last page of the first mapping is never
/// accessible.
pub const REGION: usize = 512 << 10;

/// The longest buffer.
pub const LONGEST: usize = 256 << 10;

const ALL: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// A range of a shared file, mapped twice.
pub struct Region {
    pub file: Fd,
    target: usize,
    mirror: usize,
    page: usize,
    /// Some of it is not what it was in the beginning.
    disturbed: AtomicBool,
}

/// A buffer in a region.
#[derive(Clone, Copy)]
pub struct Place {
    /// What a system call gets.
    pub address: usize,
    /// The same bytes, for the fuzzer.
    offset: usize,
    /// How many bytes can be accessed from the beginning on.
    pub mapped: usize,
}

impl Region {
    pub fn new(page: usize) -> Result<Self, i64> {
        let check = |value: i64| if value < 0 { Err(value) } else { Ok(value) };
        let file = check(sys::memfd(REGION))? as Fd;
        let mirror = check(sys::map(0, REGION, ALL, Some(file), true))? as usize;
        let target = check(sys::map(0, REGION, ALL, Some(file), true))? as usize;
        let region = Self {
            file,
            target,
            mirror,
            page,
            disturbed: AtomicBool::new(false),
        };
        check(sys::protect(region.guard(), page, libc::PROT_NONE))?;
        Ok(region)
    }

    /// Where the page is that cannot be accessed.
    fn guard(&self) -> usize {
        self.target + REGION - self.page
    }

    /// Returns a buffer of `len` bytes, prepared as asked. `cut` chooses where it ends early.
    pub fn place(&self, buffer: Buffer, len: usize, cut: usize, writing: bool) -> Place {
        let place = |offset: usize, mapped: usize| Place {
            address: self.target + offset,
            offset,
            mapped,
        };
        match buffer {
            Buffer::Cut => {
                let mapped = if len == 0 { 0 } else { cut % len };
                place(REGION - self.page - mapped, mapped)
            }
            Buffer::ReadOnly => {
                self.map_file(self.pages_of(len), libc::PROT_READ, true);
                place(0, if writing { len } else { 0 })
            }
            Buffer::Zapped | Buffer::Late => {
                sys::zap(self.target, self.pages_of(len));
                place(cut % 16, len)
            }
            _ => place(cut % 16, len),
        }
    }

    /// Makes the region accessible again after a call, which may have got less than was prepared.
    pub fn release(&self, buffer: Buffer) {
        if buffer == Buffer::ReadOnly {
            self.map_file(REGION - self.page, ALL, false);
        }
    }

    fn pages_of(&self, len: usize) -> usize {
        (len + 16)
            .next_multiple_of(self.page)
            .min(REGION - self.page)
    }

    /// Returns the bytes of a buffer, by the mapping that is always whole.
    #[expect(
        clippy::mut_from_ref,
        reason = "the bytes are another process's as well"
    )]
    pub fn bytes(&self, place: Place, len: usize) -> &mut [u8] {
        let len = len.min(REGION - place.offset);
        // SAFETY: The mapping is that long and never changes. Only the actor that has the region
        // calls this, and drops what it got before it makes the next call.
        unsafe { std::slice::from_raw_parts_mut((self.mirror + place.offset) as *mut u8, len) }
    }

    pub fn file_offset(place: Place) -> usize {
        place.offset
    }

    /// Takes a page out of the page table, or makes it inaccessible, while a call may use it.
    pub fn disturb(&self, page: usize, disturb: crate::program::Disturb) {
        use crate::program::Disturb;
        self.disturbed.store(true, Ordering::SeqCst);
        let at = self.target + page % 4 * self.page;
        match disturb {
            Disturb::Zap => sys::zap(at, self.page),
            Disturb::Protect => sys::protect(at, self.page, libc::PROT_READ),
            // Something else takes the place of the page, so that no other thread's mapping can.
            Disturb::Unmap => sys::map(at, self.page, libc::PROT_NONE, None, false),
            Disturb::Restore => self.remap(),
        };
    }

    /// Makes the region what it was in the beginning, if anything was done to it. To be called when
    /// nobody disturbs it any more.
    pub fn restore(&self) {
        if self.disturbed.swap(false, Ordering::SeqCst) {
            self.remap();
        }
    }

    fn remap(&self) -> i64 {
        self.map_file(4 * self.page, ALL, true)
    }

    /// Maps the file anew. Not mprotect(2), which would make what took the place of a page
    /// accessible.
    fn map_file(&self, len: usize, protection: i32, populate: bool) -> i64 {
        sys::map(self.target, len, protection, Some(self.file), populate)
    }
}

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Continue {
    start: u64,
    len: u64,
    mode: u64,
    mapped: i64,
}

const UFFD_API: u64 = 0xaa;
const MINOR_SHMEM: u64 = 1 << 10;
const REGISTER_MODE_MINOR: u64 = 1 << 2;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_CONTINUE: u64 = 0xc020_aa07;
const EVENT_PAGEFAULT: u8 = 0x12;

/// How long a late page takes, in microseconds.
pub static LATE_US: AtomicU32 = AtomicU32::new(0);

/// Has pages of these regions come late, by userfaultfd(2): a thread serves them after a while.
pub fn serve_late(regions: &[&Region], page: usize) -> Result<(), i64> {
    let check = |value: i64| if value < 0 { Err(value) } else { Ok(()) };
    let fd = sys::userfaultfd();
    check(fd)?;
    let fd = fd as Fd;
    let mut api = Api {
        api: UFFD_API,
        features: MINOR_SHMEM,
        ioctls: 0,
    };
    check(sys::ioctl_raw(fd, UFFDIO_API, &mut api))?;
    for region in regions {
        let mut register = Register {
            start: region.target as u64,
            len: (REGION - page) as u64,
            mode: REGISTER_MODE_MINOR,
            ioctls: 0,
        };
        check(sys::ioctl_raw(fd, UFFDIO_REGISTER, &mut register))?;
    }
    thread::spawn(move || {
        let mut message = [0_u64; 4];
        loop {
            sys::poll(fd, libc::POLLIN, -1);
            let address = message.as_mut_ptr() as usize;
            if sys::read(fd, address, size_of_val(&message)) < 32 {
                continue;
            }
            if message[0] as u8 != EVENT_PAGEFAULT {
                continue;
            }
            let late = LATE_US.load(Ordering::Relaxed);
            if late > 0 {
                thread::sleep(Duration::from_micros(late.into()));
            }
            let mut page_now = Continue {
                start: message[2] & !(page as u64 - 1),
                len: page as u64,
                mode: 0,
                mapped: 0,
            };
            sys::ioctl_raw(fd, UFFDIO_CONTINUE, &mut page_now);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_accessible_again_after_a_call() {
        let page = sys::page_size();
        let region = Region::new(page).expect("memory");
        let zeros = sys::open("/dev/zero", libc::O_RDONLY) as Fd;
        let writable = |at: usize| sys::read(zeros, region.target + at, 1) == 1;
        let len = LONGEST;
        region.place(Buffer::ReadOnly, len, 0, false);
        assert!(!writable(0) && !writable(len - 1));
        region.release(Buffer::ReadOnly);
        assert!(writable(0) && writable(len - 1));
        assert!(!writable(REGION - page), "the last page never is");
        region.disturb(1, crate::program::Disturb::Unmap);
        assert!(!writable(page));
        region.restore();
        assert!(writable(page));
        region.disturb(1, crate::program::Disturb::Unmap);
        let place = region.place(Buffer::ReadOnly, len, 0, false);
        region.release(Buffer::ReadOnly);
        region.bytes(place, len).fill(1);
        assert!(writable(page));
        assert_eq!(
            region.bytes(place, len)[page],
            0,
            "it is the file's page again"
        );
        sys::close(zeros);
    }
}
