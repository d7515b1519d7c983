// SPDX-License-Identifier: GPL-2.0

//! The other system calls on an endpoint, most of which do not apply to a stream.

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::{Whence, fdatasync, fsync, ftruncate, lseek64};

use crate::abi::{self, call_at};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::memory::{PAGE, Pages, Span};

pub const TESTS: &[Test] = &[
    test!(fionread_counts_the_bytes_there).small(),
    test!(fionread_to_a_bad_address_is_efault),
    test!(fionbio_sets_o_nonblock),
    test!(ioctl_unknown_is_enotty),
    test!(mmap_is_enodev),
    test!(lseek_is_espipe),
    test!(fsync_is_einval),
    test!(ftruncate_is_einval),
    test!(fallocate_is_refused),
    test!(fadvise_is_espipe_or_nothing),
];

fn fionread_counts_the_bytes_there() {
    // Any endpoint may ask, as with a pipe.
    let (both, reader, writer) = (Endpoint::both(), Endpoint::reader(), Endpoint::writer());
    let check = |count| {
        for end in [both, reader, writer] {
            assert_eq!(end.available(), count);
        }
    };
    check(0);
    let mut there = 0;
    for size in [1, 2, 100, 3000, 993] {
        both.put(&vec![0; size]);
        there += size;
        check(there);
    }
    assert_eq!(there, 4096, "full");
    both.take_exactly(4000);
    check(96);
    both.put(&[0; 4000]);
    check(4096);
    both.take_exactly(4096);
    check(0);
}

fn fionread_to_a_bad_address_is_efault() {
    let ring = Endpoint::both();
    ring.put(b"x");
    for bad in [Span::null(4), Span::kernel(4), Span::non_canonical(4)] {
        assert_eq!(call_at(ring, libc::FIONREAD, bad), Err(Errno::EFAULT));
    }
}

fn fionbio_sets_o_nonblock() {
    let ring = Endpoint::both();
    let flag = Pages::map(1);
    flag.put(0, &1_i32.to_ne_bytes());
    assert_eq!(call_at(ring, libc::FIONBIO, flag.span(0, 4)), Ok(0));
    assert_eq!(ring.take(1), Err(Errno::EAGAIN));
}

fn ioctl_unknown_is_enotty() {
    let ring = Endpoint::both();
    let place = Pages::map(1).span(0, 8);
    let own_letter = 0x7c << 8;
    for request in [
        0xdead_beef,
        libc::TCGETS,
        own_letter,
        own_letter | 0x80,
        own_letter | 0xff,
        0x8000_0000 | (4 << 16) | own_letter | 0x90,
        // Those of the control node are none of an endpoint's.
        abi::CREATE,
        abi::DESTROY,
        abi::NEXT,
        abi::EVICT,
        libc::Ioctl::from(u32::MAX),
    ] {
        for argument in [place, Span::null(0), Span::kernel(8)] {
            let answer = call_at(ring, request, argument);
            assert_eq!(answer, Err(Errno::ENOTTY), "{request:#x}");
        }
    }
}

fn mmap_is_enodev() {
    let ring = Endpoint::both();
    let length = std::num::NonZeroUsize::new(PAGE).expect("not zero");
    for sharing in [MapFlags::MAP_SHARED, MapFlags::MAP_PRIVATE] {
        // SAFETY: an address of the kernel's choice replaces no mapping.
        let mapped = unsafe { mmap(None, length, ProtFlags::PROT_READ, sharing, ring, 0) };
        assert_eq!(mapped, Err(Errno::ENODEV));
    }
}

fn lseek_is_espipe() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    for whence in [
        Whence::SeekSet,
        Whence::SeekCur,
        Whence::SeekEnd,
        Whence::SeekData,
        Whence::SeekHole,
    ] {
        for offset in [0, 1, -1] {
            assert_eq!(lseek64(ring, offset, whence), Err(Errno::ESPIPE));
        }
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn fsync_is_einval() {
    let ring = Endpoint::both();
    assert_eq!(fsync(ring), Err(Errno::EINVAL));
    assert_eq!(fdatasync(ring), Err(Errno::EINVAL));
}

fn ftruncate_is_einval() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    assert_eq!(ftruncate(ring, 0), Err(Errno::EINVAL));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn fallocate_is_refused() {
    let ring = Endpoint::both();
    let answer = fallocate(ring, FallocateFlags::empty(), 0, 4096);
    assert_eq!(answer, Err(Errno::ENODEV));
}

fn fadvise_is_espipe_or_nothing() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    // Advice may be refused or ignored, but not followed.
    let answer = posix_fadvise(ring, 0, 0, advice);
    assert!(matches!(answer, Ok(()) | Err(Errno::ESPIPE)), "{answer:?}");
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}
