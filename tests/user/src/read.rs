// SPDX-License-Identifier: GPL-2.0

//! read(2) and its relatives: what comes out, how much of it, and when a reader waits.

use std::io::IoSliceMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::mman::ProtFlags;
use nix::sys::uio::readv;

use crate::control::{Kind, Kinds, Ring};
use crate::endpoint::Endpoint;
use crate::harness::{Test, note, test};
use crate::memory::{Pages, Span};
use crate::stream::{assert_pattern, pattern};
use crate::task::{Call, Process, Task};

pub const TESTS: &[Test] = &[
    test!(read_returns_what_is_there),
    test!(read_takes_at_most_the_size_asked_for),
    test!(read_joins_what_several_writes_left),
    test!(read_of_zero_bytes_returns_zero),
    test!(read_sleeps_only_when_empty),
    test!(read_is_woken_by_a_single_byte),
    test!(readv_scatters_in_order),
    test!(readv_of_no_buffers_returns_zero),
    test!(read_nonblock_when_empty_is_eagain),
    test!(read_nonblock_is_read_at_each_call),
    test!(read_nowait_takes_what_is_there_and_never_waits),
    test!(read_never_sees_an_end).small(),
    test!(read_shared_gives_each_byte_to_one_reader),
    test!(read_blocked_is_woken_alone),
    test!(read_wake_up_is_passed_on_while_data_remains),
    test!(read_wake_up_survives_a_fault_of_the_woken),
    test!(read_on_a_writing_end_is_ebadf),
    test!(pread_is_espipe),
    test!(read_of_much_lets_others_in_between).seconds(60),
    test!(write_of_much_lets_others_in_between).seconds(60),
];

fn read_returns_what_is_there() {
    let ring = Endpoint::both();
    ring.put(b"hello");
    // It does not wait for the rest of the buffer to fill.
    assert_eq!(ring.take(100_000), Ok(b"hello".to_vec()));
}

fn read_takes_at_most_the_size_asked_for() {
    let ring = Endpoint::both();
    let bytes = pattern(0, 1000);
    ring.put(&bytes);
    for byte in &bytes[..10] {
        assert_eq!(ring.take(1), Ok(vec![*byte]));
    }
    assert_eq!(ring.take(90), Ok(bytes[10..100].to_vec()));
    assert_eq!(ring.take(900), Ok(bytes[100..].to_vec()));
    assert_eq!(ring.available(), 0);
}

fn read_joins_what_several_writes_left() {
    let ring = Endpoint::both();
    ring.put(b"no ");
    ring.put(b"boundaries ");
    ring.put(b"here");
    assert_eq!(ring.take(100), Ok(b"no boundaries here".to_vec()));
}

fn read_of_zero_bytes_returns_zero() {
    let ring = Endpoint::both();
    // At once, though a read of one byte would sleep.
    assert_eq!(ring.read(&mut []), Ok(0), "on an empty ring");
    ring.put(b"x");
    assert_eq!(ring.read(&mut []), Ok(0), "with a byte to read");
    assert_eq!(ring.available(), 1);
}

fn read_sleeps_only_when_empty() {
    let ring = Endpoint::both();
    let reader = Task::spawn(move || ring.take(100));
    reader.sleeper.sleeps_through(Call::READ, || {});
    ring.put(b"now");
    assert_eq!(reader.finish(), Ok(b"now".to_vec()));
}

fn read_is_woken_by_a_single_byte() {
    let ring = Endpoint::both();
    for _ in 0..20 {
        let reader = Task::asleep_in(Call::READ, move || ring.take(100_000));
        ring.put(b"x");
        assert_eq!(reader.finish(), Ok(b"x".to_vec()));
    }
}

fn readv_scatters_in_order() {
    let ring = Endpoint::both();
    ring.put(&pattern(0, 100));
    let (mut one, mut none, mut two, mut three) = ([0; 7], [0; 0], [0; 50], [0; 60]);
    let mut parts = [&mut one[..], &mut none, &mut two, &mut three].map(IoSliceMut::new);
    assert_eq!(readv(ring, &mut parts), Ok(100));
    assert_pattern(&one, 0);
    assert_pattern(&two, 7);
    assert_pattern(&three[..43], 57);
    assert_eq!(three[43..], [0; 17], "nothing behind the end");

    let sleeper = Task::asleep_in(Call::READV, move || {
        let mut bytes = [0; 10];
        let mut parts: Vec<_> = bytes.chunks_mut(4).map(IoSliceMut::new).collect();
        readv(ring, &mut parts).map(|count| (count, bytes))
    });
    ring.put(&pattern(0, 9));
    let (count, bytes) = sleeper.finish().expect("readv");
    assert_eq!(count, 9);
    assert_pattern(&bytes[..9], 0);
}

fn readv_of_no_buffers_returns_zero() {
    let ring = Endpoint::both();
    assert_eq!(readv(ring, &mut []), Ok(0));
    assert_eq!(readv(ring, &mut [IoSliceMut::new(&mut [])]), Ok(0));
}

fn read_nonblock_when_empty_is_eagain() {
    let ring = Endpoint::both();
    ring.set_nonblocking(true);
    assert_eq!(ring.take(1), Err(Errno::EAGAIN));
    ring.put(b"x");
    assert_eq!(ring.take(100), Ok(b"x".to_vec()));
    assert_eq!(ring.take(100), Err(Errno::EAGAIN));
}

fn read_nonblock_is_read_at_each_call() {
    let ring = Endpoint::both();
    for _ in 0..3 {
        ring.set_nonblocking(true);
        assert_eq!(ring.take(1), Err(Errno::EAGAIN));
        ring.set_nonblocking(false);
        let reader = Task::asleep_in(Call::READ, move || ring.take(1));
        // The call that sleeps is not changed by a flag that is set later.
        reader
            .sleeper
            .sleeps_through(Call::READ, || ring.set_nonblocking(true));
        ring.put(b"x");
        assert_eq!(reader.finish(), Ok(b"x".to_vec()));
    }
}

fn read_nowait_takes_what_is_there_and_never_waits() {
    let ring = Endpoint::both();
    let mut buffer = [0; 8];
    let empty = ring.preadv2(&mut buffer, -1, libc::RWF_NOWAIT);
    assert_eq!(empty, Err(Errno::EAGAIN));
    ring.put(b"abc");
    assert_eq!(ring.preadv2(&mut buffer, -1, libc::RWF_NOWAIT), Ok(3));
    assert_eq!(&buffer[..3], b"abc");
    // The flag is the call's, not the endpoint's.
    let reader = Task::asleep_in(Call::READ, move || ring.take(1));
    ring.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn read_never_sees_an_end() {
    let ring = Endpoint::reader();
    // Neither before the first writer has come ...
    let reader = Task::spawn(move || ring.take_exactly(2));
    reader.sleeper.sleeps_through(Call::READ, || {});
    // ... nor after the last has gone.
    reader.sleeper.await_sleep_in(Call::READ);
    Process::fork(|| Endpoint::writer().put(b"a")).finish();
    reader.sleeper.sleeps_through(Call::READ, || {});
    Endpoint::writer().put(b"b");
    assert_eq!(reader.finish(), b"ab");
}

fn read_shared_gives_each_byte_to_one_reader() {
    let ring = Endpoint::writer();
    let (one, two) = (Endpoint::reader(), Endpoint::reader());
    ring.put(b"abcdef");
    assert_eq!(one.take(2), Ok(b"ab".to_vec()));
    assert_eq!(two.take(3), Ok(b"cde".to_vec()));
    assert_eq!(one.take(9), Ok(b"f".to_vec()));
    assert_eq!((one.available(), two.available()), (0, 0));
    // Who opens later finds what is left, not what was.
    ring.put(b"gh");
    assert_eq!(Endpoint::reader().take(9), Ok(b"gh".to_vec()));
}

fn read_blocked_is_woken_alone() {
    let ring = Endpoint::both();
    let first = Task::asleep_in(Call::READ, move || ring.take(10));
    let second = Task::asleep_in(Call::READ, move || ring.take(10));
    // The first in the queue gets it all. The second is left alone.
    second.sleeper.sleeps_through(Call::READ, || ring.put(b"x"));
    assert_eq!(first.finish(), Ok(b"x".to_vec()));
    ring.put(b"y");
    assert_eq!(second.finish(), Ok(b"y".to_vec()));
}

fn read_wake_up_is_passed_on_while_data_remains() {
    let ring = Endpoint::both();
    let readers: Vec<_> = (0..8)
        .map(|_| Task::asleep_in(Call::READ, move || ring.take(3)))
        .collect();
    // One write, so one wake-up, for all of them.
    ring.put(&pattern(0, 24));
    let mut bytes: Vec<u8> = readers
        .into_iter()
        .flat_map(|reader| reader.finish().expect("read"))
        .collect();
    let mut written = pattern(0, 24);
    bytes.sort_unstable();
    written.sort_unstable();
    assert_eq!(bytes, written);
}

fn read_wake_up_survives_a_fault_of_the_woken() {
    let ring = Endpoint::both();
    for round in 0..50 {
        let pages = Pages::map(1);
        let first = Task::asleep_in(Call::READ, move || ring.read_to(pages.span(0, 10)));
        let second = Task::asleep_in(Call::READ, move || ring.take(10));
        // The reader that will be woken first cannot take what it is woken for.
        pages.protect(0, 1, ProtFlags::PROT_NONE);
        ring.put(b"x");
        assert_eq!(first.finish(), Err(Errno::EFAULT), "round {round}");
        assert_eq!(second.finish(), Ok(b"x".to_vec()), "round {round}");
    }
}

// errno: read EBADF
fn read_on_a_writing_end_is_ebadf() {
    let ring = Endpoint::writer();
    ring.put(b"x");
    assert_eq!(ring.take(1), Err(Errno::EBADF));
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    assert_eq!(readv(ring, &mut parts), Err(Errno::EBADF));
    assert_eq!(ring.available(), 1);
}

// errno: read ESPIPE
fn pread_is_espipe() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    let mut buffer = [0; 8];
    for offset in [0, 1, 1 << 40] {
        assert_eq!(ring.pread(&mut buffer, offset), Err(Errno::ESPIPE));
        assert_eq!(ring.preadv2(&mut buffer, offset, 0), Err(Errno::ESPIPE));
    }
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

/// What is moved in one call, that is to take long.
const MUCH: usize = 16 << 20;

/// Makes a call again and again until somebody else has seen it in the middle: `seen` asks for what
/// has gone through so far, under the lock that the call takes. With that held all the time it is
/// nothing or everything, however often one asks.
fn assert_seen_halfway(
    kind: Kind,
    mut prepare: impl FnMut(),
    call: impl Fn() -> nix::Result<usize> + Copy + Send + 'static,
    mut seen: impl FnMut() -> u64,
) {
    for round in 1..=300 {
        prepare();
        let before = seen();
        // Both are awake when it begins.
        let go = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&go);
        let task = Task::spawn(move || {
            while !gone.load(Ordering::Relaxed) {}
            call()
        });
        go.store(true, Ordering::Relaxed);
        let halfway = loop {
            match (seen() - before) as usize {
                0 => {}
                MUCH => break false,
                _ => break true,
            }
        };
        assert_eq!(task.finish(), Ok(MUCH), "{kind}");
        if halfway {
            note!("{kind}: seen halfway in round {round}");
            return;
        }
    }
    panic!("{kind}: others had to wait for all of it");
}

fn streams() -> Kinds {
    Kind::all().filter(|kind| kind.is_stream() && kind.blocks() && !kind.hangup)
}

fn read_of_much_lets_others_in_between() {
    for kind in streams() {
        let ring = Ring::new(kind, MUCH as u64);
        let (reader, writer) = (ring.reader(), ring.writer());
        let pages = Pages::map(MUCH.div_ceil(crate::memory::PAGE));
        let (from, to) = (pages.span(0, MUCH), pages.span(0, MUCH));
        let ways: [fn(Endpoint, Span) -> nix::Result<usize>; 2] =
            [Endpoint::read_to, |ring, span| ring.readv_to(&[span])];
        for way in ways {
            assert_seen_halfway(
                kind,
                || assert_eq!(writer.write_from(from), Ok(MUCH)),
                move || way(reader, to),
                // The cursor's lock, which other readers, lseek(2) and clearing take.
                || reader.cursor().bytes_out,
            );
        }
    }
}

fn write_of_much_lets_others_in_between() {
    for kind in streams() {
        let ring = Ring::new(kind, MUCH as u64);
        let (reader, writer) = (ring.reader(), ring.writer());
        let pages = Pages::map(MUCH.div_ceil(crate::memory::PAGE));
        let (from, to) = (pages.span(0, MUCH), pages.span(0, MUCH));
        let ways: [fn(Endpoint, Span) -> nix::Result<usize>; 2] =
            [Endpoint::write_from, |ring, span| ring.writev_from(&[span])];
        for way in ways {
            let mut full = false;
            assert_seen_halfway(
                kind,
                || {
                    if full {
                        assert_eq!(reader.read_to(to), Ok(MUCH));
                    }
                    full = true;
                },
                move || way(writer, from),
                || writer.info().bytes_in,
            );
            assert_eq!(reader.read_to(to), Ok(MUCH));
        }
    }
}
