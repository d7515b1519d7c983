// SPDX-License-Identifier: GPL-2.0

//! splice(2), sendfile(2) and tee(2), as a character device has them.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice, tee};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use nix::unistd::{pipe2, read, write};

use crate::endpoint::Endpoint;
use crate::harness::{Test, cpus, test};
use crate::memory::PAGE;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Task};

pub const TESTS: &[Test] = &[
    test!(splice_moves_a_pipe_into_the_ring),
    test!(splice_moves_the_ring_into_a_pipe),
    test!(splice_into_a_full_ring_waits).small(),
    test!(splice_nonblock_into_a_full_ring_leaves_the_pipe_alone).small(),
    test!(splice_from_an_empty_ring_waits),
    test!(splice_nonblock_from_an_empty_ring_is_eagain),
    test!(splice_into_a_full_pipe_leaves_the_ring_alone),
    test!(splice_with_an_offset_is_einval),
    test!(splice_from_ring_to_ring_is_einval),
    test!(splice_goes_through_in_any_size).small().seconds(40),
    test!(sendfile_moves_a_file_into_the_ring),
    test!(sendfile_of_a_large_file_waits_for_readers).small(),
    test!(sendfile_moves_the_ring_into_a_pipe),
    test!(sendfile_from_the_ring_to_a_file_is_einval),
    test!(tee_is_refused),
];

const SMALL: usize = 4096;

/// A pipe of 64 KiB: the end to read from, the end to write to.
fn new_pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("pipe2")
}

fn splice_all(from: impl AsFd, to: impl AsFd, length: usize) -> nix::Result<usize> {
    splice(from, None, to, None, length, SpliceFFlags::empty())
}

/// A file in memory with this in it, at its beginning.
fn file_with(bytes: &[u8]) -> File {
    let fd = memfd_create(c"source", MFdFlags::empty()).expect("memfd_create");
    let mut file = File::from(fd);
    file.write_all(bytes).expect("write the file");
    std::io::Seek::rewind(&mut file).expect("rewind");
    file
}

fn splice_moves_a_pipe_into_the_ring() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let bytes = pattern(0, 30_001);
    assert_eq!(write(&to_pipe, &bytes), Ok(bytes.len()));
    // Less than there is, then more than there is.
    assert_eq!(splice_all(&pipe, ring, 10_000), Ok(10_000));
    assert_eq!(splice_all(&pipe, ring, 1 << 20), Ok(20_001));
    assert_eq!(ring.take(1 << 20), Ok(bytes));
}

fn splice_moves_the_ring_into_a_pipe() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let bytes = pattern(0, 30_001);
    ring.put(&bytes);
    let mut moved = splice_all(ring, &to_pipe, 10_000).expect("splice");
    // A kernel for one CPU finds one page at a time for it.
    assert_eq!(moved, if cpus() > 1 { 10_000 } else { PAGE });
    assert_eq!(ring.available(), bytes.len() - moved);
    while moved < bytes.len() {
        let more = splice_all(ring, &to_pipe, 1 << 20).expect("splice");
        assert_ne!(more, 0, "the end of a ring that has none");
        moved += more;
    }
    let mut out = vec![0; 1 << 16];
    assert_eq!(read(&pipe, &mut out), Ok(bytes.len()));
    assert_eq!(out[..bytes.len()], bytes);
}

fn splice_into_a_full_ring_waits() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"later").expect("write");
    let splicer = Task::asleep_in(Call::SPLICE, move || splice_all(&pipe, ring, 5));
    ring.take_exactly(filled);
    assert_eq!(splicer.finish(), Ok(5));
    assert_eq!(ring.take(10), Ok(b"later".to_vec()));
}

fn splice_nonblock_into_a_full_ring_leaves_the_pipe_alone() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"stays").expect("write");
    ring.set_nonblocking(true);
    assert_eq!(splice_all(&pipe, ring, 5), Err(Errno::EAGAIN));
    assert_eq!(ring.available(), filled);
    let mut out = [0; 10];
    assert_eq!(read(&pipe, &mut out), Ok(5));
    assert_eq!(&out[..5], b"stays");

    // What fits goes in, the rest stays in the pipe.
    ring.take_exactly(2);
    write(&to_pipe, b"abcde").expect("write");
    assert_eq!(splice_all(&pipe, ring, 5), Ok(2));
    assert_eq!(read(&pipe, &mut out), Ok(3));
    assert_eq!(&out[..3], b"cde");
    assert_eq!(ring.drain()[filled - 2..], *b"ab");
}

fn splice_from_an_empty_ring_waits() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    let splicer = Task::asleep_in(Call::SPLICE, move || splice_all(ring, &to_pipe, 100));
    ring.put(b"now");
    assert_eq!(splicer.finish(), Ok(3));
    let mut out = [0; 10];
    assert_eq!(read(&pipe, &mut out), Ok(3));
    assert_eq!(&out[..3], b"now");
}

fn splice_nonblock_from_an_empty_ring_is_eagain() {
    let ring = Endpoint::both();
    let (_pipe, to_pipe) = new_pipe();
    ring.set_nonblocking(true);
    assert_eq!(splice_all(ring, &to_pipe, 100), Err(Errno::EAGAIN));
}

fn splice_into_a_full_pipe_leaves_the_ring_alone() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    while write(&to_pipe, &[0; 4096]).is_ok() {}
    ring.put(b"stays");
    assert_eq!(splice_all(ring, &to_pipe, 5), Err(Errno::EAGAIN));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
    drop(pipe);
}

fn splice_with_an_offset_is_einval() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"x").expect("write");
    ring.put(b"x");
    let none = SpliceFFlags::empty();
    // Of a file that cannot seek, as of a socket; only of a pipe it would be ESPIPE.
    let into = splice(&pipe, None, ring, Some(&mut 0), 1, none);
    assert_eq!(into, Err(Errno::EINVAL));
    let out_of = splice(ring, Some(&mut 0), &to_pipe, None, 1, none);
    assert_eq!(out_of, Err(Errno::EINVAL));
    assert_eq!(ring.available(), 1);
}

fn splice_from_ring_to_ring_is_einval() {
    // One of the two must be a pipe.
    let ring = Endpoint::both();
    ring.put(b"x");
    assert_eq!(splice_all(ring, Endpoint::both(), 1), Err(Errno::EINVAL));
    assert_eq!(ring.available(), 1);
}

fn splice_goes_through_in_any_size() {
    // pipe -> ring -> pipe, with each stage in sizes of its own.
    const TOTAL: usize = 300_000;
    let ring = Endpoint::both();
    let (first, to_first) = new_pipe();
    let (last, to_last) = new_pipe();
    let source = Task::spawn(move || {
        for (number, bytes) in pattern(0, TOTAL).chunks(1777).enumerate() {
            assert_eq!(write(&to_first, bytes), Ok(bytes.len()), "chunk {number}");
        }
    });
    let into = Task::spawn(move || {
        let mut moved = 0;
        while moved < TOTAL {
            moved += splice_all(&first, ring, 5000).expect("splice into the ring");
        }
    });
    let out_of = Task::spawn(move || {
        let mut moved = 0;
        while moved < TOTAL {
            moved += splice_all(ring, &to_last, 3001).expect("splice out of the ring");
        }
    });
    let mut bytes = vec![0; 10_000];
    let mut done = 0;
    while done < TOTAL {
        let count = read(&last, &mut bytes).expect("read the pipe");
        assert_pattern(&bytes[..count], done as u64);
        done += count;
    }
    source.finish();
    into.finish();
    out_of.finish();
}

fn sendfile_moves_a_file_into_the_ring() {
    let ring = Endpoint::both();
    let bytes = pattern(0, 100_001);
    let file = file_with(&bytes);
    assert_eq!(sendfile(ring, &file, None, 1000), Ok(1000));
    let mut offset = 50_000;
    assert_eq!(sendfile(ring, &file, Some(&mut offset), 10), Ok(10));
    assert_eq!(offset, 50_010);
    assert_eq!(ring.take_exactly(1000), bytes[..1000]);
    assert_eq!(ring.take_exactly(10), bytes[50_000..50_010]);
    assert_eq!(sendfile(ring, &file, None, 1 << 20), Ok(99_001));
    assert_eq!(ring.take_exactly(99_001), bytes[1000..]);
    assert_eq!(sendfile(ring, &file, None, 1), Ok(0), "the end of the file");
}

fn sendfile_of_a_large_file_waits_for_readers() {
    let ring = Endpoint::both();
    let file = file_with(&pattern(0, 10 * SMALL));
    let sender = Task::asleep_in(Call::SENDFILE, move || {
        sendfile(ring, &file, None, 10 * SMALL)
    });
    assert_pattern(&ring.take_exactly(10 * SMALL), 0);
    assert_eq!(sender.finish(), Ok(10 * SMALL));
}

fn sendfile_moves_the_ring_into_a_pipe() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    ring.put(b"through a pipe");
    assert_eq!(sendfile(&to_pipe, ring, None, 14), Ok(14));
    let mut out = [0; 20];
    assert_eq!(read(&pipe, &mut out), Ok(14));
    assert_eq!(&out[..14], b"through a pipe");
}

fn sendfile_from_the_ring_to_a_file_is_einval() {
    // Only what can seek can be sent to anything but a pipe. So it is with a FIFO.
    let ring = Endpoint::both();
    ring.put(b"stays");
    let file = file_with(b"");
    assert_eq!(sendfile(&file, ring, None, 5), Err(Errno::EINVAL));
    let offset = sendfile(&file, ring, Some(&mut 0), 5);
    assert_eq!(offset, Err(Errno::ESPIPE));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn tee_is_refused() {
    let ring = Endpoint::both();
    let (pipe, to_pipe) = new_pipe();
    write(&to_pipe, b"x").expect("write");
    ring.put(b"y");
    let none = SpliceFFlags::empty();
    assert_eq!(tee(&pipe, ring, 1, none), Err(Errno::EINVAL));
    assert_eq!(tee(ring, &to_pipe, 1, none), Err(Errno::EINVAL));
    assert_eq!(ring.take(10), Ok(b"y".to_vec()));
}
