// SPDX-License-Identifier: GPL-2.0

//! epoll(7): level and edge triggered, one-shot, exclusive and nested.

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::control::{Kind, RECORD, Ring, STREAM};
use crate::endpoint::{Endpoint, open_ring};
use crate::harness::{Test, test};
use crate::module;
use crate::task::{Call, Process, Task};
use nix::fcntl::OFlag;

pub const TESTS: &[Test] = &[
    test!(epoll_level_reports_until_it_is_no_longer_so),
    test!(epoll_level_is_woken).small(),
    test!(epoll_edge_reports_once).alone(),
    test!(epoll_edge_reports_what_is_there_when_added).alone(),
    test!(epoll_edge_comes_with_every_write_drained_or_not).alone(),
    test!(epoll_edge_comes_with_every_write_to_a_sleeper).alone(),
    test!(epoll_edge_for_writers_comes_when_a_full_ring_is_read)
        .alone()
        .small(),
    test!(epoll_edge_for_writers_comes_with_every_read).alone(),
    test!(epoll_for_writers_reports_when_pipe_buf_bytes_are_free),
    test!(epoll_for_writers_of_records_reports_when_the_longest_fits),
    test!(epoll_edge_on_one_side_does_not_disturb_the_other).alone(),
    test!(epoll_edge_is_every_hand_over_to_the_side_it_is_asked_for),
    test!(epoll_edge_is_seen_by_every_set).alone(),
    test!(epoll_modify_rearms).alone(),
    test!(epoll_oneshot_is_silent_until_rearmed),
    test!(epoll_exclusive_wakes_a_sleeper).alone(),
    test!(epoll_exclusive_does_not_wake_the_whole_herd).alone(),
    test!(epoll_exclusive_sleeper_for_room_takes_no_wake_up_for_data),
    test!(epoll_exclusive_and_ordinary_sleepers_mix).alone(),
    test!(epoll_nested_sets_report),
    test!(epoll_of_a_duplicate_outlives_the_original),
    test!(epoll_set_forgets_a_closed_endpoint).alone(),
    test!(epoll_set_does_not_hold_the_module).loads_modules(),
    test!(epoll_set_closed_first_leaves_the_endpoint_alone).alone(),
];

const IN: EpollFlags = EpollFlags::EPOLLIN;
const OUT: EpollFlags = EpollFlags::EPOLLOUT;
const ET: EpollFlags = EpollFlags::EPOLLET;

/// How many bytes of a stream that blocks are free when a writer is told.
const PIPE_BUF: usize = libc::PIPE_BUF;

fn new_set() -> Epoll {
    Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1")
}

/// An epoll set with one endpoint in it.
fn set_of(ring: impl AsFd, events: EpollFlags) -> Epoll {
    let set = new_set();
    set.add(ring, EpollEvent::new(events, 7)).expect("add");
    set
}

/// What the set reports at once: the flags of its one endpoint, or none.
fn ready(set: &Epoll) -> EpollFlags {
    wait(set, EpollTimeout::ZERO)
}

fn wait(set: &Epoll, timeout: EpollTimeout) -> EpollFlags {
    let mut events = [EpollEvent::empty(); 4];
    match set.wait(&mut events, timeout).expect("epoll_wait") {
        0 => EpollFlags::empty(),
        1 => {
            assert_eq!(events[0].data(), 7);
            events[0].events()
        }
        count => panic!("{count} events of one endpoint"),
    }
}

fn wait_for_ever(set: &Epoll) -> EpollFlags {
    wait(set, EpollTimeout::NONE)
}

fn epoll_level_reports_until_it_is_no_longer_so() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | OUT);
    assert_eq!(ready(&set), OUT);
    ring.put(b"ab");
    for _ in 0..3 {
        assert_eq!(ready(&set), IN | OUT);
    }
    ring.take_exactly(1);
    assert_eq!(ready(&set), IN | OUT);
    ring.take_exactly(1);
    assert_eq!(ready(&set), OUT);
    ring.fill();
    assert_eq!(ready(&set), IN);
}

fn epoll_level_is_woken() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN);
    let sleeper = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set));
    ring.put(b"x");
    assert_eq!(sleeper.finish(), IN);

    let filled = 1 + ring.fill();
    let set = set_of(ring, OUT);
    let sleeper = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set));
    ring.take_exactly(filled);
    assert_eq!(sleeper.finish(), OUT);
}

fn epoll_edge_reports_once() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | ET);
    assert_eq!(ready(&set), EpollFlags::empty());
    ring.put(b"x");
    assert_eq!(ready(&set), IN);
    // The byte is still there, but nothing has happened since.
    assert_eq!(ready(&set), EpollFlags::empty());
    ring.take_exactly(1);
    assert_eq!(ready(&set), EpollFlags::empty());
}

fn epoll_edge_reports_what_is_there_when_added() {
    let ring = Endpoint::both();
    ring.put(b"x");
    let set = set_of(ring, IN | OUT | ET);
    assert_eq!(ready(&set), IN | OUT);
    assert_eq!(ready(&set), EpollFlags::empty());
}

fn epoll_edge_comes_with_every_write_drained_or_not() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | ET);
    // The reader never reads. Linux 5.5 made this an error of the reader's in pipes, and
    // took it back when Android's programs stopped working.
    for _ in 0..100 {
        ring.put(b"x");
        assert_eq!(ready(&set), IN);
        assert_eq!(ready(&set), EpollFlags::empty());
    }
    // Nor does it matter if a part is read.
    for _ in 0..99 {
        ring.take_exactly(1);
        ring.put(b"x");
        assert_eq!(ready(&set), IN);
    }
}

fn epoll_edge_comes_with_every_write_to_a_sleeper() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | ET);
    let (sender, edges) = mpsc::channel();
    let sleeper = Task::spawn(move || {
        for _ in 0..20 {
            sender.send(wait_for_ever(&set)).expect("the test counts");
        }
    });
    for _ in 0..20 {
        // Only once it sleeps: two writes before it looks are one edge, rightly.
        sleeper.sleeper.await_sleep_in(Call::EPOLL_WAIT);
        ring.put(b"x");
        assert_eq!(edges.recv(), Ok(IN));
    }
    sleeper.finish();
    assert_eq!(ring.available(), 20);
}

fn epoll_edge_for_writers_comes_when_a_full_ring_is_read() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let set = set_of(ring, OUT | ET);
    assert_eq!(ready(&set), EpollFlags::empty());
    ring.take_exactly(filled);
    assert_eq!(ready(&set), OUT);
    assert_eq!(ready(&set), EpollFlags::empty());
    // And asleep.
    ring.fill();
    let sleeper = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set));
    ring.take_exactly(filled);
    assert_eq!(sleeper.finish(), OUT);
}

fn epoll_edge_for_writers_comes_with_every_read() {
    let ring = Endpoint::both();
    ring.fill();
    let set = set_of(ring, OUT | ET);
    ring.take_exactly(PIPE_BUF - 1);
    assert_eq!(ready(&set), EpollFlags::empty());
    for _ in 0..100 {
        ring.take_exactly(1);
        assert_eq!(ready(&set), OUT);
        assert_eq!(ready(&set), EpollFlags::empty());
    }
}

/// The ways to wait in an epoll set.
const WAYS: [EpollFlags; 5] = [
    EpollFlags::empty(),
    ET,
    EpollFlags::EPOLLEXCLUSIVE,
    ET.union(EpollFlags::EPOLLEXCLUSIVE),
    EpollFlags::EPOLLONESHOT,
];

/// Sees that a set for a full ring reports nothing while `too_little` is read, in pieces, and
/// reports at once, awake or asleep, when `the_rest` is.
fn assert_reports_room(
    kind: Kind,
    fill: impl Fn(Endpoint),
    too_little: impl Fn(Endpoint, &dyn Fn()),
    the_rest: impl Fn(Endpoint),
) {
    const CAPACITY: u64 = 1 << 16;
    for way in WAYS {
        let ring = Ring::new(kind, CAPACITY);
        let (reader, writer) = (ring.reader(), ring.writer());
        for asleep in [false, true] {
            let case = format!("{kind}, {way:?}, asleep: {asleep}");
            fill(writer);
            let set = set_of(writer, OUT | way);
            let check = || assert_eq!(ready(&set), EpollFlags::empty(), "{case}");
            check();
            too_little(reader, &check);
            let reported = if asleep {
                let sleeper = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set));
                the_rest(reader);
                sleeper.finish()
            } else {
                the_rest(reader);
                ready(&set)
            };
            assert_eq!(reported, OUT, "{case}");
        }
    }
}

fn epoll_for_writers_reports_when_pipe_buf_bytes_are_free() {
    for kind in Kind::all().filter(|kind| kind.is_stream() && kind.blocks()) {
        assert_reports_room(
            kind,
            |writer| assert!(writer.fill() > 0),
            |reader, check| {
                for piece in [1, 100, PIPE_BUF - 102] {
                    reader.take_exactly(piece);
                    check();
                }
            },
            |reader| assert_eq!(reader.take_exactly(1).len(), 1),
        );
    }
}

fn epoll_for_writers_of_records_reports_when_the_longest_fits() {
    const LONGEST: usize = 1 << 14;
    for kind in Kind::all().filter(|kind| !kind.is_stream() && !kind.overwrites()) {
        assert_reports_room(
            kind,
            |writer| {
                writer.set_nonblocking(true);
                while writer.write(&[b'x'; LONGEST / 4]).is_ok() {}
                writer.set_nonblocking(false);
            },
            // With what the filling left over, three of its records are too few, and four are enough.
            |reader, check| {
                for _ in 0..3 {
                    reader.take(LONGEST).expect("read");
                    check();
                }
            },
            |reader| assert!(reader.take(LONGEST).is_ok()),
        );
    }
}

fn epoll_edge_on_one_side_does_not_disturb_the_other() {
    // With both ends in one descriptor, a write is no news for those who wait to write.
    let (reader, writer) = (Endpoint::reader(), Endpoint::writer());
    let readable = set_of(reader, IN | ET);
    let writable = set_of(writer, OUT | ET);
    assert_eq!(ready(&writable), OUT);
    for _ in 0..10 {
        writer.put(b"x");
        assert_eq!(ready(&readable), IN);
        assert_eq!(ready(&writable), EpollFlags::empty());
    }
    reader.take_exactly(1);
    assert_eq!(ready(&readable), EpollFlags::empty());
}

/// An `O_RDWR` endpoint that polls one direction edge-triggered does not turn each hand-over to the
/// other side into an edge.
fn epoll_edge_is_every_hand_over_to_the_side_it_is_asked_for() {
    for asked in [IN, OUT] {
        // What was asked for counts for as long as the ring is there.
        let ring = Ring::new(STREAM, 1 << 16);
        let (reader, writer) = (ring.reader(), ring.writer());
        let both = set_of(ring.both(), asked | ET);
        writer.put(b"some");
        ready(&both);
        // A set that is watched for edges has one when its endpoint is told of something, though it
        // was ready before.
        let told = |endpoint, events, hand_over: fn(Endpoint, Endpoint)| {
            let inner = set_of(endpoint, events);
            let outer = set_of(&inner.0, IN | ET);
            assert_eq!(ready(&outer), IN);
            assert_eq!(ready(&outer), EpollFlags::empty());
            hand_over(reader, writer);
            ready(&outer) == IN
        };
        let of_a_write = told(reader, IN, |_, writer| writer.put(b"more"));
        assert_eq!(of_a_write, asked == IN, "{asked:?}");
        let of_a_read = told(writer, OUT, |reader, _| {
            reader.take_exactly(2);
        });
        assert_eq!(of_a_read, asked == OUT, "{asked:?}");
    }
}

fn epoll_edge_is_seen_by_every_set() {
    let ring = Endpoint::both();
    let sets: Vec<_> = (0..8).map(|_| set_of(ring, IN | ET)).collect();
    for _ in 0..10 {
        ring.put(b"x");
        for set in &sets {
            assert_eq!(ready(set), IN);
        }
    }
}

fn epoll_modify_rearms() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | ET);
    ring.put(b"x");
    assert_eq!(ready(&set), IN);
    assert_eq!(ready(&set), EpollFlags::empty());
    set.modify(ring, &mut EpollEvent::new(IN | ET, 7))
        .expect("modify");
    assert_eq!(ready(&set), IN, "the byte is there, and it was asked anew");
    set.modify(ring, &mut EpollEvent::new(OUT, 7))
        .expect("modify");
    assert_eq!(ready(&set), OUT);
}

fn epoll_oneshot_is_silent_until_rearmed() {
    let ring = Endpoint::both();
    let set = set_of(ring, IN | EpollFlags::EPOLLONESHOT);
    ring.put(b"x");
    assert_eq!(ready(&set), IN);
    ring.put(b"x");
    assert_eq!(ready(&set), EpollFlags::empty());
    let rearmed = IN | EpollFlags::EPOLLONESHOT;
    set.modify(ring, &mut EpollEvent::new(rearmed, 7))
        .expect("modify");
    assert_eq!(ready(&set), IN);
    assert_eq!(ready(&set), EpollFlags::empty());
}

/// Threads that each sleep in a set of their own.
fn sleepers(count: usize, ring: Endpoint, events: EpollFlags) -> Vec<Task<EpollFlags>> {
    (0..count)
        .map(|_| {
            let set = set_of(ring, events);
            Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set))
        })
        .collect()
}

fn epoll_exclusive_wakes_a_sleeper() {
    let ring = Endpoint::both();
    for sleeper in sleepers(1, ring, IN | EpollFlags::EPOLLEXCLUSIVE) {
        ring.put(b"x");
        assert_eq!(sleeper.finish(), IN);
    }
    ring.drain();
    for sleeper in sleepers(1, ring, IN | ET | EpollFlags::EPOLLEXCLUSIVE) {
        ring.put(b"x");
        assert_eq!(sleeper.finish(), IN);
    }
}

fn epoll_exclusive_does_not_wake_the_whole_herd() {
    let ring = Endpoint::both();
    let mut herd = sleepers(8, ring, IN | EpollFlags::EPOLLEXCLUSIVE);
    // Each write wakes at least one more, though nobody has read what woke the others.
    for left in (0..8).rev() {
        ring.put(b"x");
        let woken = loop {
            match herd.iter().position(Task::is_finished) {
                Some(woken) => break woken,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(herd.swap_remove(woken).finish(), IN);
        if left == 7 {
            // The very first write may wake one or two, but not all eight.
            let asleep = herd.iter().filter(|sleeper| !sleeper.is_finished()).count();
            assert!(asleep > 0, "one byte woke everybody");
        }
    }
    assert!(herd.is_empty());
}

/// Wherever pollers are not told what has happened, and have to look.
fn epoll_exclusive_sleeper_for_room_takes_no_wake_up_for_data() {
    for kind in [STREAM, STREAM.overwriting(), RECORD, RECORD.overwriting()] {
        let ring = Ring::new(kind, 1 << 16);
        let (both, reader) = (ring.both(), ring.reader());
        let minute = Duration::from_secs(60);
        reader.set_watermark(1, minute).expect("watermark");
        let set = set_of(both, OUT | ET | EpollFlags::EPOLLEXCLUSIVE);
        assert_eq!(wait_for_ever(&set), OUT);
        let _for_room = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&set));
        for sleeper in sleepers(1, reader, IN | EpollFlags::EPOLLEXCLUSIVE) {
            ring.writer().put(b"x");
            assert_eq!(sleeper.finish(), IN, "{kind}");
        }
    }
}

fn epoll_exclusive_and_ordinary_sleepers_mix() {
    let ring = Endpoint::both();
    let exclusive = sleepers(2, ring, IN | EpollFlags::EPOLLEXCLUSIVE);
    let ordinary = sleepers(4, ring, IN);
    let exclusive_too = sleepers(2, ring, IN | EpollFlags::EPOLLEXCLUSIVE);
    ring.put(b"x");
    for sleeper in ordinary {
        assert_eq!(sleeper.finish(), IN, "who did not ask to be spared is told");
    }
    // One write for each sleeper is enough for all of them.
    for _ in 0..4 {
        ring.put(b"x");
    }
    for sleeper in exclusive.into_iter().chain(exclusive_too) {
        assert_eq!(sleeper.finish(), IN);
    }
}

fn epoll_nested_sets_report() {
    let ring = Endpoint::both();
    let inner = set_of(ring, IN);
    let middle = set_of(&inner.0, IN);
    let outer = set_of(&middle.0, IN);
    assert_eq!(ready(&outer), EpollFlags::empty());
    ring.put(b"x");
    assert_eq!(ready(&outer), IN);
    ring.take_exactly(1);
    assert_eq!(
        ready(&outer),
        EpollFlags::empty(),
        "no longer so, all the way up"
    );
    let sleeper = Task::asleep_in(Call::EPOLL_WAIT, move || wait_for_ever(&outer));
    ring.put(b"x");
    assert_eq!(sleeper.finish(), IN);
}

fn epoll_of_a_duplicate_outlives_the_original() {
    let writer = Endpoint::writer();
    let original = open_ring(OFlag::O_RDONLY).expect("open");
    let duplicate = original.try_clone().expect("dup");
    let set = set_of(&original, IN);
    // The set holds the description, which the duplicate keeps open.
    drop(original);
    writer.put(b"x");
    assert_eq!(ready(&set), IN);
    drop(duplicate);
    assert_eq!(ready(&set), EpollFlags::empty());
}

fn epoll_set_forgets_a_closed_endpoint() {
    let writer = Endpoint::writer();
    for _ in 0..50 {
        let reader = open_ring(OFlag::O_RDONLY).expect("open");
        let set = set_of(&reader, IN | ET);
        let sleeper = Process::asleep_in(Call::EPOLL_WAIT, || {
            let ready = wait_for_ever(&set);
            assert_eq!(ready, IN);
        });
        // The other process has it open still; ours is closed under the sleeper's feet.
        drop(reader);
        drop(set);
        writer.put(b"x");
        sleeper.finish();
        Endpoint::reader().take_exactly(1);
    }
}

fn epoll_set_does_not_hold_the_module() {
    let reader = open_ring(OFlag::O_RDONLY).expect("open");
    let set = set_of(&reader, IN | ET);
    assert_eq!(module::unload(), Err(Errno::EAGAIN), "an endpoint is open");
    drop(reader);
    // The wait queue must be gone from the set before the memory it is in goes.
    assert_eq!(module::unload(), Ok(()));
    assert_eq!(ready(&set), EpollFlags::empty());
    drop(set);
    module::load("").expect("load again");
}

fn epoll_set_closed_first_leaves_the_endpoint_alone() {
    let ring = Endpoint::both();
    for _ in 0..50 {
        drop(set_of(ring, IN | OUT | ET));
        ring.put(b"x");
    }
    assert_eq!(ring.take(100), Ok(vec![b'x'; 50]));
}
