// SPDX-License-Identifier: GPL-2.0

//! Bad addresses and absurd lengths: `EFAULT` or a short count, and never a byte lost, added
//! or repeated.

use nix::errno::Errno;
use nix::sys::mman::ProtFlags;

use crate::control::{Ring, STREAM};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::memory::{PAGE, Pages, Span};
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Task};

pub const TESTS: &[Test] = &[
    test!(fault_at_each_byte_of_a_read_loses_nothing).seconds(60),
    test!(fault_at_each_byte_of_a_readv_loses_nothing).seconds(60),
    test!(fault_at_each_byte_of_a_write_adds_nothing).seconds(60),
    test!(fault_at_each_byte_of_a_writev_adds_nothing).seconds(60),
    test!(fault_where_the_ring_wraps_loses_nothing).small(),
    test!(fault_in_a_long_transfer_keeps_what_went_before),
    test!(fault_after_progress_is_a_short_write).small(),
    test!(fault_while_asleep_leaves_the_data),
    test!(fault_while_blocked_adds_nothing).small(),
    test!(bad_addresses_are_efault),
    test!(bad_addresses_of_no_length_do_not_matter),
    test!(bad_address_of_the_vector_itself_is_efault),
    test!(read_only_memory_cannot_be_read_into),
    test!(missing_pages_are_filled_in),
    test!(missing_pages_of_a_long_transfer_are_filled_in).no_ring(),
    test!(lengths_that_no_memory_has_are_refused)
        .not_of_32_bits("it can ask for no length that the kernel cannot have"),
    test!(lengths_beyond_the_limit_of_a_call_are_cut),
    test!(vectors_too_long_are_einval),
    test!(vectors_with_absurd_lengths_are_einval),
    test!(vectors_with_holes_and_a_fault_between),
];

const NONE: ProtFlags = ProtFlags::PROT_NONE;

/// Bytes of a transfer that is done in many pieces.
const LONG: usize = 8 << 20;

/// Two pages, the second of which cannot be touched.
fn cliff() -> Pages {
    let pages = Pages::map(2);
    pages.protect(1, 1, NONE);
    pages
}

/// The distances from the cliff to try: every one; in the debug lane, which is slow, every one near
/// the edges, where words, cache lines and pages end, and some in between.
fn distances() -> impl Iterator<Item = usize> {
    let stride = by_lane(1, 61) as usize;
    (0..=PAGE).filter(move |d| *d <= 130 || *d >= PAGE - 130 || d % stride == 0)
}

/// What a transfer across the cliff must answer when `good` bytes lie before it.
fn expected(good: usize) -> nix::Result<usize> {
    match good {
        0 => Err(Errno::EFAULT),
        good => Ok(good),
    }
}

/// Reads by `read` with the memory ending after each possible number of bytes. The stream
/// goes on from one call to the next, so a byte lost anywhere is noticed at once.
fn check_reads(read: impl Fn(Endpoint, Pages, usize) -> nix::Result<usize>) {
    const SIZE: usize = PAGE + 8;
    let ring = Endpoint::both();
    let pages = cliff();
    let (mut written, mut taken) = (0, 0);
    let mut tried = 0;
    for good in distances() {
        ring.put(&pattern(written, SIZE));
        written += SIZE as u64;

        assert_eq!(read(ring, pages, good), expected(good), "{good} good bytes");
        assert_pattern(&pages.get(PAGE - good, good), taken);
        taken += good as u64;

        let rest = (written - taken) as usize;
        assert_eq!(ring.available(), rest, "{good} good bytes");
        // Read half of the rest: the next round begins with bytes of this one.
        let bytes = ring.take_exactly(rest / 2);
        assert_pattern(&bytes, taken);
        taken += bytes.len() as u64;
        tried += 1;
    }
    assert_pattern(&ring.drain(), taken);
    note!("{tried} places for the fault");
}

fn fault_at_each_byte_of_a_read_loses_nothing() {
    check_reads(|ring, pages, good| ring.read_to(pages.span(PAGE - good, good + 8)));
}

fn fault_at_each_byte_of_a_readv_loses_nothing() {
    // The bad part is the end of a buffer, or begins one.
    check_reads(|ring, pages, good| {
        let start = PAGE - good;
        let third = good / 3;
        ring.readv_to(&[
            pages.span(start, third),
            pages.span(start + third, 0),
            pages.span(start + third, good - third + 8),
        ])
    });
    check_reads(|ring, pages, good| {
        ring.readv_to(&[pages.span(PAGE - good, good), pages.span(PAGE, 8)])
    });
}

/// Writes by `write` with the memory ending after each possible number of bytes.
fn check_writes(write: impl Fn(Endpoint, Pages, usize) -> nix::Result<usize>) {
    let ring = Endpoint::both();
    let pages = cliff();
    let mut written = 0;
    let mut tried = 0;
    for good in distances() {
        pages.put(PAGE - good, &pattern(written, good));
        assert_eq!(
            write(ring, pages, good),
            expected(good),
            "{good} good bytes"
        );
        let bytes = ring.drain();
        assert_eq!(bytes.len(), good);
        assert_pattern(&bytes, written);
        written += good as u64;
        tried += 1;
    }
    note!("{tried} places for the fault");
}

fn fault_at_each_byte_of_a_write_adds_nothing() {
    check_writes(|ring, pages, good| ring.write_from(pages.span(PAGE - good, good + 8)));
}

fn fault_at_each_byte_of_a_writev_adds_nothing() {
    check_writes(|ring, pages, good| {
        let start = PAGE - good;
        let third = good / 3;
        ring.writev_from(&[
            pages.span(start, third),
            pages.span(start + third, 0),
            pages.span(start + third, good - third + 8),
        ])
    });
    check_writes(|ring, pages, good| {
        ring.writev_from(&[pages.span(PAGE - good, good), pages.span(PAGE, 8)])
    });
}

fn fault_where_the_ring_wraps_loses_nothing() {
    let ring = Endpoint::both();
    let pages = cliff();
    let mut position = 0;
    // 64 bytes that lie across the end of the ring, and a fault at each of them.
    for good in 0..=64 {
        let lead = PAGE - (position % PAGE as u64) as usize + PAGE - 32;
        for part in [lead / 2, lead - lead / 2] {
            ring.put(&vec![0; part]);
            ring.take_exactly(part);
            position += part as u64;
        }
        assert_eq!(position % PAGE as u64, PAGE as u64 - 32);

        ring.put(&pattern(position, 64));
        let read = ring.read_to(pages.span(PAGE - good, 64));
        assert_eq!(read, expected(good), "{good} good bytes");
        assert_pattern(&pages.get(PAGE - good, good), position);
        assert_pattern(&ring.drain(), position + good as u64);
        position += 64;
    }
}

fn fault_in_a_long_transfer_keeps_what_went_before() {
    const PAGES: usize = 20;
    let ring = Endpoint::both();
    let pages = Pages::map(PAGES);
    let bytes = pattern(0, PAGES * PAGE);
    pages.put(0, &bytes);
    pages.protect(PAGES - 1, 1, NONE);
    let good = (PAGES - 1) * PAGE - 100;

    let written = ring.write_from(pages.span(100, PAGES * PAGE - 100));
    assert_eq!(written, Ok(good));
    assert_eq!(ring.available(), good);
    pages.forget();
    let read = ring.read_to(pages.span(PAGE + 100, good));
    assert_eq!(read, Ok(good - PAGE));
    assert_eq!(
        pages.get(PAGE + 100, good - PAGE),
        bytes[100..][..good - PAGE]
    );
    assert_eq!(ring.drain(), bytes[100 + good - PAGE..][..PAGE]);
}

fn fault_after_progress_is_a_short_write() {
    // The writer has to sleep between its first page and the bad one.
    let ring = Endpoint::both();
    let pages = Pages::map(4);
    pages.put(0, &pattern(0, 2 * PAGE));
    pages.protect(2, 2, NONE);
    let writer = Task::asleep_in(Call::WRITE, move || {
        ring.write_from(pages.span(0, 4 * PAGE))
    });
    let mut bytes = ring.take_exactly(2 * PAGE);
    assert_eq!(writer.finish(), Ok(2 * PAGE));
    bytes.extend(ring.drain());
    assert_eq!(bytes.len(), 2 * PAGE);
    assert_pattern(&bytes, 0);
}

fn fault_while_asleep_leaves_the_data() {
    let ring = Endpoint::both();
    let pages = Pages::map(1);
    let reader = Task::asleep_in(Call::READ, move || ring.read_to(pages.span(0, 10)));
    // The memory was good when it went to sleep.
    pages.protect(0, 1, NONE);
    ring.put(b"stays");
    assert_eq!(reader.finish(), Err(Errno::EFAULT));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn fault_while_blocked_adds_nothing() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let pages = Pages::map(1);
    let writer = Task::asleep_in(Call::WRITE, move || ring.write_from(pages.span(0, 10)));
    pages.protect(0, 1, NONE);
    assert_pattern(&ring.take_exactly(filled), 0);
    assert_eq!(writer.finish(), Err(Errno::EFAULT));
    assert_eq!(ring.available(), 0);
}

fn bad_addresses() -> [Span; 4] {
    [
        Span::null(8),
        Span::kernel(8),
        Span::non_canonical(8),
        cliff().span(PAGE, 8),
    ]
}

fn bad_addresses_are_efault() {
    let ring = Endpoint::both();
    let good = Pages::map(1).span(0, 8);
    for bad in bad_addresses() {
        assert_eq!(ring.write_from(bad), Err(Errno::EFAULT), "{bad:x?}");
        assert_eq!(ring.writev_from(&[bad]), Err(Errno::EFAULT), "{bad:x?}");
        assert_eq!(ring.available(), 0, "{bad:x?}");
        ring.put(b"stays");
        assert_eq!(ring.read_to(bad), Err(Errno::EFAULT), "{bad:x?}");
        assert_eq!(ring.readv_to(&[bad]), Err(Errno::EFAULT), "{bad:x?}");
        assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
        // Behind a good buffer, a bad one in the kernel's half spoils the whole vector;
        // any other ends the transfer. Neither loses anything.
        let before = ring.writev_from(&[good, bad]);
        assert!(matches!(before, Ok(8) | Err(Errno::EFAULT)), "{bad:x?}");
        assert_eq!(ring.drain().len(), before.unwrap_or(0));
    }
    // The last byte of user space is nobody's, nor is what follows it.
    let end = Span::across_the_end_of_user_space(16);
    assert_eq!(ring.write_from(end), Err(Errno::EFAULT));
    ring.put(b"stays");
    assert_eq!(ring.read_to(end), Err(Errno::EFAULT));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn bad_addresses_of_no_length_do_not_matter() {
    let ring = Endpoint::both();
    for nowhere in [Span::null(0), cliff().span(PAGE, 0)] {
        assert_eq!(ring.write_from(nowhere), Ok(0));
        assert_eq!(ring.read_to(nowhere), Ok(0));
        assert_eq!(ring.writev_from(&[nowhere, nowhere]), Ok(0));
        assert_eq!(ring.readv_to(&[nowhere, nowhere]), Ok(0));
    }
}

fn bad_address_of_the_vector_itself_is_efault() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    for bad in bad_addresses() {
        assert_eq!(ring.readv_vector_at(bad, 2), Err(Errno::EFAULT));
        assert_eq!(ring.writev_vector_at(bad, 2), Err(Errno::EFAULT));
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn read_only_memory_cannot_be_read_into() {
    let ring = Endpoint::both();
    let pages = Pages::map(2);
    pages.put(0, &pattern(0, 2 * PAGE));
    pages.protect(1, 1, ProtFlags::PROT_READ);
    // It can be written from ...
    assert_eq!(ring.write_from(pages.span(PAGE - 5, 10)), Ok(10));
    // ... and stops a read where it begins.
    pages.put(0, &[0; 10]);
    assert_eq!(ring.read_to(pages.span(PAGE, 10)), Err(Errno::EFAULT));
    assert_eq!(ring.read_to(pages.span(PAGE - 2, 10)), Ok(2));
    assert_pattern(&pages.get(PAGE - 2, 2), PAGE as u64 - 5);
    assert_pattern(&pages.get(PAGE, PAGE), PAGE as u64);
}

fn missing_pages_are_filled_in() {
    const PAGES: usize = 16;
    let ring = Endpoint::both();
    // Pages that were never touched read as zeros, and a short count would be a mistake:
    // they are missing, not bad.
    let fresh = Pages::map(PAGES);
    let size = PAGES * PAGE - 20;
    assert_eq!(ring.write_from(fresh.span(10, size)), Ok(size));
    assert_eq!(ring.take(2 * size), Ok(vec![0; size]));

    let bytes = pattern(0, size);
    ring.put(&bytes);
    let fresh = Pages::map(PAGES);
    assert_eq!(ring.read_to(fresh.span(10, size)), Ok(size));
    assert_eq!(fresh.get(10, size), bytes);

    ring.put(&bytes);
    fresh.forget();
    let halves = [fresh.span(size / 2, size / 2), fresh.span(0, size / 2)];
    assert_eq!(ring.readv_to(&halves), Ok(size));
    assert_eq!(fresh.get(size / 2, size / 2), bytes[..size / 2]);
    assert_eq!(fresh.get(0, size / 2), bytes[size / 2..]);
}

/// As many as one likes, as long as the transfer gets on.
fn missing_pages_of_a_long_transfer_are_filled_in() {
    const PAGES: usize = LONG / PAGE;
    let ring = Ring::new(STREAM, LONG as u64);
    let both = ring.both();
    assert_eq!(both.write_from(Pages::map(PAGES).span(0, LONG)), Ok(LONG));
    assert_eq!(both.read_to(Pages::map(PAGES).span(0, LONG)), Ok(LONG));
}

fn lengths_that_no_memory_has_are_refused() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    let pages = Pages::map(1);
    for length in [
        1 << (usize::BITS - 7),
        isize::MAX as usize,
        isize::MAX as usize + 1,
        usize::MAX - PAGE,
        usize::MAX,
    ] {
        let span = pages.span(0, length);
        assert_eq!(ring.read_to(span), Err(Errno::EFAULT), "{length:#x}");
        assert_eq!(ring.write_from(span), Err(Errno::EFAULT), "{length:#x}");
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn lengths_beyond_the_limit_of_a_call_are_cut() {
    let ring = Endpoint::both();
    let pages = Pages::map(1);
    // More than MAX_RW_COUNT, and more than an int: 2 GiB less a page at most is moved.
    for length in [0x7fff_f001, 0x8000_0000, 0xffff_ffff] {
        ring.put(b"ten bytes!");
        assert_eq!(ring.read_to(pages.span(0, length)), Ok(10), "{length:#x}");
        assert_eq!(pages.get(0, 10), b"ten bytes!");
        ring.put(b"ten bytes!");
        // In a vector it is an int for programs of 32 bits, and negative.
        let in_vector = if isize::try_from(length).is_ok() {
            Ok(10)
        } else {
            Err(Errno::EINVAL)
        };
        assert_eq!(ring.readv_to(&[pages.span(0, length)]), in_vector);
        assert_eq!(ring.drain().len(), 10 - in_vector.unwrap_or(0));
        // A write ends where the memory does.
        assert_eq!(ring.write_from(pages.span(0, length)), Ok(PAGE));
        assert_eq!(ring.drain().len(), PAGE);
    }
}

fn vectors_too_long_are_einval() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    let span = Pages::map(1).span(0, 1);
    let too_long = vec![span; libc::UIO_MAXIOV as usize + 1];
    assert_eq!(ring.readv_to(&too_long), Err(Errno::EINVAL));
    assert_eq!(ring.writev_from(&too_long), Err(Errno::EINVAL));
    for count in [-1, i32::MIN, i32::MAX] {
        assert_eq!(ring.readv_vector_at(span, count), Err(Errno::EINVAL));
        assert_eq!(ring.writev_vector_at(span, count), Err(Errno::EINVAL));
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn vectors_with_absurd_lengths_are_einval() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    let pages = Pages::map(1);
    let good = pages.span(0, 1);
    let negative = pages.span(0, isize::MAX as usize + 1);
    for absurd in [[negative, good], [good, negative]] {
        assert_eq!(ring.readv_to(&absurd), Err(Errno::EINVAL));
        assert_eq!(ring.writev_from(&absurd), Err(Errno::EINVAL));
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn vectors_with_holes_and_a_fault_between() {
    let ring = Endpoint::both();
    let pages = cliff();
    let (good, none, bad) = (pages.span(0, 4), pages.span(9, 0), pages.span(PAGE, 4));
    let behind = pages.span(100, 4);
    pages.put(0, b"good");
    pages.put(100, b"gone");
    let written = ring.writev_from(&[none, good, none, bad, none, behind]);
    assert_eq!(written, Ok(4), "nothing behind the fault is taken");
    assert_eq!(ring.available(), 4);
    pages.put(0, &[0; 4]);
    ring.put(b"stay");
    assert_eq!(ring.readv_to(&[none, good, none, bad, behind]), Ok(4));
    assert_eq!(pages.get(0, 4), b"good");
    assert_eq!(
        pages.get(100, 4),
        b"gone",
        "nothing behind the fault is touched"
    );
    assert_eq!(ring.drain(), b"stay");
}
