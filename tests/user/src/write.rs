// SPDX-License-Identifier: GPL-2.0

//! write(2) and its relatives: what goes in, how much of it, and when a writer waits.

use std::io::IoSlice;

use nix::errno::Errno;
use nix::sys::uio::writev;
use nix::unistd::pause;

use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::random::Random;
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(write_and_read_give_the_same_bytes),
    test!(write_takes_everything_that_fits),
    test!(write_of_zero_bytes_returns_zero).small(),
    test!(write_fills_exactly_the_capacity).small(),
    test!(write_wraps_without_a_seam).small(),
    test!(writev_gathers_in_order),
    test!(writev_of_no_buffers_returns_zero),
    test!(write_nonblock_copies_what_fits).small(),
    test!(write_nonblock_when_full_is_eagain).small(),
    test!(write_nonblock_is_read_at_each_call).small(),
    test!(write_nowait_copies_what_fits_and_never_waits).small(),
    test!(write_blocks_when_full).small(),
    test!(write_goes_on_until_all_is_written).small(),
    test!(writev_goes_on_until_all_is_written).small(),
    test!(write_blocked_sleeps_until_a_quarter_is_free).params("capacity=65536"),
    test!(write_blocked_on_a_small_ring_sleeps_until_pipe_buf_is_free).params("capacity=8192"),
    test!(write_up_to_pipe_buf_waits_for_room_for_all_of_it).small(),
    test!(write_up_to_pipe_buf_is_atomic_among_writers)
        .params("capacity=8192")
        .seconds(60),
    test!(write_blocked_does_not_stop_a_nonblocking_writer).small(),
    test!(write_wakes_every_blocked_writer_in_the_end).small(),
    test!(write_does_not_need_a_reader),
    test!(write_outlives_its_writer),
    test!(write_on_a_reading_end_is_ebadf),
    test!(pwrite_is_espipe),
];

const PIPE_BUF: usize = libc::PIPE_BUF;
const SMALL: usize = 4096;

fn write_and_read_give_the_same_bytes() {
    let ring = Endpoint::both();
    let every_byte: Vec<u8> = (0..=255).collect();
    ring.put(&every_byte);
    assert_eq!(ring.take(1000), Ok(every_byte));
}

fn write_takes_everything_that_fits() {
    let ring = Endpoint::both();
    for size in [1, 2, 7, 4095, 4096, 4097, 65_536, 100_001] {
        let bytes = pattern(size as u64, size);
        assert_eq!(ring.write(&bytes), Ok(size));
        assert_eq!(ring.take(size + 1), Ok(bytes));
    }
}

fn write_of_zero_bytes_returns_zero() {
    let ring = Endpoint::both();
    assert_eq!(ring.write(b""), Ok(0), "on an empty ring");
    assert_eq!(ring.available(), 0);
    ring.fill();
    // Not even a full ring keeps an empty write waiting.
    assert_eq!(ring.write(b""), Ok(0), "on a full ring");
    assert_eq!(ring.available(), SMALL);
}

fn write_fills_exactly_the_capacity() {
    let ring = Endpoint::both();
    assert_eq!(ring.fill(), SMALL);
    assert_eq!(ring.available(), SMALL);
    assert_pattern(&ring.drain(), 0);
}

fn write_wraps_without_a_seam() {
    let ring = Endpoint::both();
    let mut random = Random::new(1);
    let (mut written, mut read) = (0, 0);
    // Every few rounds the positions pass the end of the ring at another offset.
    for _ in 0..by_lane(10_000, 2_000) {
        let free = SMALL - (written - read) as usize;
        let size = random.up_to(free as u64) as usize;
        ring.put(&pattern(written, size));
        written += size as u64;
        let bytes = ring.take(random.up_to(written - read) as usize);
        let bytes = bytes.expect("read what is there");
        assert_pattern(&bytes, read);
        read += bytes.len() as u64;
    }
    note!("{read} bytes went round a ring of {SMALL}");
}

fn writev_gathers_in_order() {
    let ring = Endpoint::both();
    let parts = [&b"one"[..], b"", b"two", b"three", b""];
    let count = writev(ring, &parts.map(IoSlice::new));
    assert_eq!(count, Ok(11));
    assert_eq!(ring.take(100), Ok(b"onetwothree".to_vec()));

    // 1024 buffers are the most that the system call takes.
    let bytes = pattern(0, 1024 * 3);
    let parts: Vec<_> = bytes.chunks(3).map(IoSlice::new).collect();
    assert_eq!(writev(ring, &parts), Ok(bytes.len()));
    assert_eq!(ring.take(bytes.len()), Ok(bytes));
}

fn writev_of_no_buffers_returns_zero() {
    let ring = Endpoint::both();
    assert_eq!(writev(ring, &[]), Ok(0));
    assert_eq!(writev(ring, &[IoSlice::new(b"")]), Ok(0));
    assert_eq!(ring.available(), 0);
}

fn write_nonblock_copies_what_fits() {
    let ring = Endpoint::both();
    ring.put(&pattern(0, SMALL - 100));
    ring.set_nonblocking(true);
    let start = (SMALL - 100) as u64;
    assert_eq!(ring.write(&pattern(start, 5000)), Ok(100));
    assert_pattern(&ring.drain(), 0);

    // A vector stops in the middle of a buffer.
    ring.set_nonblocking(true);
    ring.put(&pattern(0, SMALL - 10));
    let bytes = pattern((SMALL - 10) as u64, 18);
    let parts: Vec<_> = bytes.chunks(6).map(IoSlice::new).collect();
    assert_eq!(writev(ring, &parts), Ok(10));
    let all = ring.drain();
    assert_eq!(all.len(), SMALL);
    assert_pattern(&all, 0);
}

// errno: write EAGAIN
fn write_nonblock_when_full_is_eagain() {
    let ring = Endpoint::both();
    ring.fill();
    ring.set_nonblocking(true);
    assert_eq!(ring.write(b"x"), Err(Errno::EAGAIN));
    assert_eq!(ring.write(&[0; 10_000]), Err(Errno::EAGAIN));
    assert_eq!(ring.available(), SMALL);
    // One byte of room is room for one byte.
    assert_eq!(ring.take(1).map(|bytes| bytes.len()), Ok(1));
    assert_eq!(ring.write(b"xy"), Ok(1));
    assert_eq!(ring.write(b"y"), Err(Errno::EAGAIN));
}

fn write_nonblock_is_read_at_each_call() {
    let ring = Endpoint::both();
    ring.fill();
    for _ in 0..3 {
        ring.set_nonblocking(true);
        assert_eq!(ring.write(b"x"), Err(Errno::EAGAIN));
        ring.set_nonblocking(false);
        let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
        // The call that sleeps is not changed by a flag that is set later.
        writer
            .sleeper
            .sleeps_through(Call::WRITE, || ring.set_nonblocking(true));
        ring.take_exactly(SMALL);
        assert_eq!(writer.finish(), Ok(1));
        ring.drain();
        ring.fill();
    }
}

// errno: write EAGAIN
fn write_nowait_copies_what_fits_and_never_waits() {
    let ring = Endpoint::both();
    assert_eq!(ring.pwritev2(b"abc", -1, libc::RWF_NOWAIT), Ok(3));
    assert_eq!(ring.take(10), Ok(b"abc".to_vec()));
    ring.put(&[0; SMALL - 5]);
    assert_eq!(ring.pwritev2(&[1; 100], -1, libc::RWF_NOWAIT), Ok(5));
    let full = ring.pwritev2(b"x", -1, libc::RWF_NOWAIT);
    assert_eq!(full, Err(Errno::EAGAIN));
    // The flag is the call's, not the endpoint's.
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
    ring.take_exactly(SMALL);
    assert_eq!(writer.finish(), Ok(1));
}

fn write_blocks_when_full() {
    let ring = Endpoint::both();
    ring.fill();
    let writer = Task::spawn(move || ring.write(b"x"));
    writer.sleeper.sleeps_through(Call::WRITE, || {});
    assert_eq!(ring.available(), SMALL);
    ring.take_exactly(SMALL);
    assert_eq!(writer.finish(), Ok(1));
}

fn write_goes_on_until_all_is_written() {
    let total = by_lane(1_000_003, 200_003) as usize;
    let ring = Endpoint::both();
    let writer = Task::spawn(move || ring.write(&pattern(0, total)));
    let mut random = Random::new(2);
    let mut read = 0;
    while read < total {
        let size = random.up_to(6000) as usize;
        let bytes = ring.take(size.min(total - read)).expect("read");
        assert_pattern(&bytes, read as u64);
        read += bytes.len();
    }
    assert_eq!(writer.finish(), Ok(total), "one call writes it all");
}

fn writev_goes_on_until_all_is_written() {
    let total = 50_000;
    let ring = Endpoint::both();
    let writer = Task::asleep_in(Call::WRITEV, move || {
        let bytes = pattern(0, total);
        let parts: Vec<_> = bytes.chunks(777).map(IoSlice::new).collect();
        writev(ring, &parts)
    });
    assert_pattern(&ring.take_exactly(total), 0);
    assert_eq!(writer.finish(), Ok(total));
}

/// Reads all but one byte of the room that a blocked writer waits for, sees that it sleeps
/// on, and reads that byte.
fn assert_wakes_at(ring: Endpoint, room: usize) {
    let filled = ring.fill();
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
    writer.sleeper.sleeps_through(Call::WRITE, || {
        // In small steps: not the size of a read counts, but the room there is.
        for _ in 0..7 {
            ring.take_exactly((room - 1) / 7);
        }
        ring.take_exactly((room - 1) % 7);
    });
    ring.take_exactly(1);
    assert_eq!(writer.finish(), Ok(1));
    assert_eq!(ring.drain().len(), filled - room + 1);
}

fn write_blocked_sleeps_until_a_quarter_is_free() {
    let ring = Endpoint::both();
    assert_wakes_at(ring, 65_536 / 4);
    // Again with the positions elsewhere in the ring.
    ring.put(&[0; 12_345]);
    ring.take_exactly(12_345);
    assert_wakes_at(ring, 65_536 / 4);
}

fn write_blocked_on_a_small_ring_sleeps_until_pipe_buf_is_free() {
    // A quarter of this ring would be too little for an atomic write.
    assert_wakes_at(Endpoint::both(), PIPE_BUF);
}

fn write_up_to_pipe_buf_waits_for_room_for_all_of_it() {
    let ring = Endpoint::both();
    ring.put(&[1; 1]);
    // All but one byte would fit.
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(&[2; PIPE_BUF]));
    assert_eq!(ring.available(), 1, "no part of it is in yet");
    assert_eq!(ring.take_exactly(1), [1]);
    assert_eq!(writer.finish(), Ok(PIPE_BUF));
    assert_eq!(ring.take(2 * PIPE_BUF), Ok(vec![2; PIPE_BUF]));
}

/// Writers put down runs of one letter, the length of the run before it. A run that another
/// writer broke into shows as a letter that is not the run's own.
fn write_up_to_pipe_buf_is_atomic_among_writers() {
    const WRITERS: u8 = 3;
    let runs = by_lane(1_500, 300);
    let ring = Endpoint::both();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            Process::fork(|| {
                let mut random = Random::new(u64::from(writer));
                for round in 0..runs {
                    // The longest length of all is the one most often got wrong.
                    let length = match round % 8 {
                        0 => PIPE_BUF,
                        _ => 3 + random.up_to(PIPE_BUF as u64 - 3) as usize,
                    };
                    let mut run = vec![b'a' + writer; length];
                    run[..2].copy_from_slice(&(length as u16).to_le_bytes());
                    ring.put(&run);
                }
            })
        })
        .collect();

    let mut counts = [0; WRITERS as usize];
    for _ in 0..u64::from(WRITERS) * runs {
        let length = ring.take_exactly(2);
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        assert!((3..=PIPE_BUF).contains(&length), "a length out of place");
        let run = ring.take_exactly(length - 2);
        assert!(
            run.iter().all(|&letter| letter == run[0]),
            "a run of {length} letters is broken"
        );
        counts[usize::from(run[0] - b'a')] += 1;
    }
    assert_eq!(counts, [runs; WRITERS as usize]);
    for writer in writers {
        writer.finish();
    }
    assert_eq!(ring.available(), 0);
    note!("{WRITERS} writers, {runs} runs each");
}

fn write_blocked_does_not_stop_a_nonblocking_writer() {
    let ring = Endpoint::both();
    let quick = Endpoint::writer();
    quick.set_nonblocking(true);
    ring.put(&[0; SMALL - 1]);
    // It waits for two bytes of room. There is one, which others may have.
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"ab"));
    assert_eq!(quick.write(b"xy"), Ok(1));
    assert_eq!(quick.write(b"y"), Err(Errno::EAGAIN));
    assert!(!writer.is_finished());
    assert_eq!(ring.take_exactly(SMALL)[SMALL - 1], b'x');
    assert_eq!(writer.finish(), Ok(2));
    assert_eq!(ring.take(10), Ok(b"ab".to_vec()));
}

fn write_wakes_every_blocked_writer_in_the_end() {
    let ring = Endpoint::both();
    ring.fill();
    let writers: Vec<_> = (0..8)
        .map(|_| Task::asleep_in(Call::WRITE, move || ring.write(b"x")))
        .collect();
    // One read makes room for them all, and nothing else will happen to wake them.
    ring.take_exactly(SMALL);
    for writer in writers {
        assert_eq!(writer.finish(), Ok(1));
    }
    assert_eq!(ring.take(100), Ok(vec![b'x'; 8]));
}

fn write_does_not_need_a_reader() {
    // A pipe would answer EPIPE and SIGPIPE here.
    let ring = Endpoint::writer();
    ring.put(b"still here");
    assert_eq!(Endpoint::reader().take(100), Ok(b"still here".to_vec()));
}

fn write_outlives_its_writer() {
    Process::fork(|| Endpoint::writer().put(&pattern(0, 1000))).finish();
    let killed = Process::asleep_in(Call::PAUSE, || {
        Endpoint::writer().put(&pattern(1000, 1000));
        pause();
    });
    killed.kill_for_good();
    let bytes = Endpoint::reader().take(5000).expect("read");
    assert_eq!(bytes.len(), 2000);
    assert_pattern(&bytes, 0);
}

// errno: write EBADF
fn write_on_a_reading_end_is_ebadf() {
    let ring = Endpoint::reader();
    assert_eq!(ring.write(b"x"), Err(Errno::EBADF));
    assert_eq!(writev(ring, &[IoSlice::new(b"x")]), Err(Errno::EBADF));
    assert_eq!(ring.available(), 0);
}

// errno: write ESPIPE
fn pwrite_is_espipe() {
    let ring = Endpoint::both();
    for offset in [0, 1, 1 << 40] {
        assert_eq!(ring.pwrite(b"x", offset), Err(Errno::ESPIPE));
        assert_eq!(ring.pwritev2(b"x", offset, 0), Err(Errno::ESPIPE));
    }
    assert_eq!(ring.available(), 0);
}
