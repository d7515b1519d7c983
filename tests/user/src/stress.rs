// SPDX-License-Identifier: GPL-2.0

//! Many hand-overs, many users: no wake-up lost, no byte lost, none twice.
//!
//! A lost wake-up shows as a test that is not done by its deadline, with both sides asleep.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SaFlags, Signal};

use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::random::Random;
use crate::stream::{assert_pattern, run_at};
use crate::task::{Task, on_signal};

pub const TESTS: &[Test] = &[
    test!(no_wake_up_is_lost_blocking)
        .alone()
        .small()
        .seconds(120),
    test!(no_wake_up_is_lost_poll).alone().small().seconds(120),
    test!(no_wake_up_is_lost_epoll_level)
        .alone()
        .small()
        .seconds(120),
    test!(no_wake_up_is_lost_epoll_edge)
        .alone()
        .small()
        .seconds(120),
    test!(no_wake_up_is_lost_epoll_exclusive)
        .small()
        .seconds(120),
    test!(writers_and_readers_lose_no_word)
        .params("capacity=8192")
        .seconds(60),
    test!(writers_and_readers_of_all_kinds_lose_no_byte)
        .small()
        .seconds(60),
];

const SMALL: usize = 4096;

/// How one end of the ring waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Blocking,
    Poll,
    EpollLevel,
    EpollEdge,
    EpollExclusive,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Blocking,
        Self::Poll,
        Self::EpollLevel,
        Self::EpollEdge,
        Self::EpollExclusive,
    ];
}

/// One end of the ring with its way to wait.
struct End {
    ring: Endpoint,
    events: PollFlags,
    kind: Kind,
    set: Epoll,
    waits: u64,
}

/// Set when no more bytes will come. A reader that is interrupted by a signal looks at it.
struct Counter {
    received: AtomicU64,
    total: u64,
}

impl Counter {
    fn new(total: u64) -> Arc<Self> {
        Arc::new(Self {
            received: AtomicU64::new(0),
            total,
        })
    }

    fn add(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn is_complete(&self) -> bool {
        self.received.load(Ordering::Relaxed) >= self.total
    }
}

impl End {
    fn new(mode: OFlag, events: PollFlags, kind: Kind) -> Self {
        let nonblock = match kind {
            Kind::Blocking => OFlag::empty(),
            _ => OFlag::O_NONBLOCK,
        };
        let ring = Endpoint::open(mode | nonblock);
        let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
        let how = match kind {
            Kind::EpollEdge => EpollFlags::EPOLLET,
            Kind::EpollExclusive => EpollFlags::EPOLLEXCLUSIVE,
            _ => EpollFlags::empty(),
        };
        if matches!(
            kind,
            Kind::EpollLevel | Kind::EpollEdge | Kind::EpollExclusive
        ) {
            // The bits of poll and epoll are the same.
            let events = EpollFlags::from_bits_truncate(i32::from(events.bits()));
            set.add(ring, EpollEvent::new(events | how, 0))
                .expect("add");
        }
        Self {
            ring,
            events,
            kind,
            set,
            waits: 0,
        }
    }

    fn reader(kind: Kind) -> Self {
        Self::new(OFlag::O_RDONLY, PollFlags::POLLIN, kind)
    }

    fn writer(kind: Kind) -> Self {
        Self::new(OFlag::O_WRONLY, PollFlags::POLLOUT, kind)
    }

    /// Waits until the kernel says that the end is ready, or a signal comes.
    fn wait(&mut self) {
        self.waits += 1;
        let answer = match self.kind {
            Kind::Blocking => unreachable!("read(2) and write(2) wait themselves"),
            Kind::Poll => {
                let mut fds = [PollFd::new(self.ring.as_fd(), self.events)];
                nix::poll::poll(&mut fds, PollTimeout::NONE).map(drop)
            }
            Kind::EpollLevel | Kind::EpollEdge | Kind::EpollExclusive => {
                let mut events = [EpollEvent::empty()];
                self.set.wait(&mut events, EpollTimeout::NONE).map(drop)
            }
        };
        assert!(matches!(answer, Ok(()) | Err(Errno::EINTR)), "{answer:?}");
    }

    /// Writes all of `bytes`.
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.ring.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::EAGAIN) => self.wait(),
                Err(error) => panic!("write: {error}"),
            }
        }
    }

    /// Reads something, or nothing once the counter is complete.
    fn read(&mut self, buffer: &mut [u8], counter: &Counter) -> usize {
        while !counter.is_complete() {
            match self.ring.read(buffer) {
                Ok(count) => {
                    assert_ne!(count, 0, "the end of a ring that has none");
                    counter.add(count);
                    return count;
                }
                Err(Errno::EAGAIN) => self.wait(),
                Err(Errno::EINTR) => {}
                Err(error) => panic!("read: {error}"),
            }
        }
        0
    }

    /// How often this end has waited. To be asked by the thread that used it.
    fn times_waited(&self) -> u64 {
        match self.kind {
            Kind::Blocking => {
                let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage");
                usage.voluntary_context_switches() as u64
            }
            _ => self.waits,
        }
    }
}

/// Waits for readers of which some may sleep on though all bytes have come: those it
/// interrupts, so that they see it. It does not interrupt while bytes are missing, as that
/// would wake who should have been woken.
fn finish_readers<T: Send + 'static>(readers: Vec<Task<T>>, counter: &Counter) -> Vec<T> {
    while !counter.is_complete() {
        thread::sleep(Duration::from_millis(1));
    }
    while !readers.iter().all(Task::is_finished) {
        for reader in &readers {
            // Those that are done may be gone.
            let _ = reader.sleeper.try_signal(Signal::SIGUSR1);
        }
        thread::sleep(Duration::from_millis(1));
    }
    readers.into_iter().map(Task::finish).collect()
}

/// How much a write hands over.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    /// As much as the ring holds, so that the ends take turns.
    Full,
    UpTo(u64),
}

/// Hands `count` writes of these sizes from one thread to `readers` others, in a ring of a page.
/// Returns how often the readers and the writer had to wait.
fn hand_over(kind: Kind, count: u64, sizes: Sizes, readers: usize) -> (u64, u64) {
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let each_size = move || {
        let mut random = Random::new(count);
        (0..count).map(move |_| match sizes {
            Sizes::Full => SMALL,
            Sizes::UpTo(largest) => random.up_to(largest) as usize,
        })
    };
    let counter = Counter::new(each_size().sum::<usize>() as u64);
    let alone = readers == 1;
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let counter = Arc::clone(&counter);
            Task::spawn(move || {
                let mut end = End::reader(kind);
                let mut buffer = [0; 2 * SMALL];
                let mut position = 0;
                loop {
                    let size = end.read(&mut buffer, &counter);
                    if size == 0 {
                        break end.times_waited();
                    }
                    if alone {
                        assert_pattern(&buffer[..size], position);
                    }
                    position += size as u64;
                }
            })
        })
        .collect();
    let writer = Task::spawn(move || {
        let mut end = End::writer(kind);
        let mut position = 0;
        for size in each_size() {
            let mut left = size;
            while left > 0 {
                let run = run_at(position);
                let bytes = &run[..run.len().min(left)];
                end.write(bytes);
                position += bytes.len() as u64;
                left -= bytes.len();
            }
        }
        end.times_waited()
    });
    let reader_waits: u64 = finish_readers(readers, &counter).iter().sum();
    let writer_waits = writer.finish();
    note!(
        "{count} writes, {sizes:?}: \
         readers waited {reader_waits} times, the writer {writer_waits} times"
    );
    (reader_waits, writer_waits)
}

/// The three ways in which ends meet: each write fills the ring and each read empties it;
/// the reader is the quicker; the writer is the quicker.
fn check_wake_ups(kind: Kind, readers: usize) {
    let turns = by_lane(20_000, 2_000);
    // How many turns end in a wait depends on who is quicker to come back, up to all of them.
    // So it goes on until both have waited so often, or it is plain that they do not.
    let mut waits = (0, 0);
    for _ in 0..8 {
        let (reader_waits, writer_waits) = hand_over(kind, turns, Sizes::Full, readers);
        waits = (waits.0 + reader_waits, waits.1 + writer_waits);
        if waits.0.min(waits.1) > turns / 2 {
            break;
        }
    }
    assert!(waits.0.min(waits.1) > turns / 2, "too few waits: {waits:?}");
    // Who waits here, and how often, is up to the machine.
    hand_over(kind, by_lane(80_000, 5_000), Sizes::UpTo(600), readers);
    hand_over(kind, by_lane(900_000, 30_000), Sizes::UpTo(16), readers);
}

fn no_wake_up_is_lost_blocking() {
    check_wake_ups(Kind::Blocking, 1);
}

fn no_wake_up_is_lost_poll() {
    check_wake_ups(Kind::Poll, 1);
}

fn no_wake_up_is_lost_epoll_level() {
    check_wake_ups(Kind::EpollLevel, 1);
}

fn no_wake_up_is_lost_epoll_edge() {
    check_wake_ups(Kind::EpollEdge, 1);
}

fn no_wake_up_is_lost_epoll_exclusive() {
    check_wake_ups(Kind::EpollExclusive, 3);
}

/// Writers write whole words that say who wrote them and in which order, each write atomic.
/// Every word must be seen once, and a reader must see each writer's words in order.
fn writers_and_readers_lose_no_word() {
    const WRITERS: u64 = 4;
    const WORD: usize = 8;
    let words = by_lane(300_000, 30_000);
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let counter = Counter::new(WRITERS * words * WORD as u64);
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let counter = Arc::clone(&counter);
            Task::spawn(move || {
                let mut end = End::reader(Kind::Blocking);
                let mut random = Random::new(number);
                let mut buffer = [0; SMALL];
                let mut seen = Vec::new();
                loop {
                    let room = random.up_to((SMALL / WORD) as u64) as usize * WORD;
                    let size = end.read(&mut buffer[..room], &counter);
                    if size == 0 {
                        break seen;
                    }
                    assert_eq!(size % WORD, 0, "a word is broken");
                    let words = buffer[..size].chunks_exact(WORD);
                    seen.extend(
                        words.map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes"))),
                    );
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            Task::spawn(move || {
                let ring = Endpoint::writer();
                let mut random = Random::new(number);
                let mut next = 0;
                while next < words {
                    let count = random.up_to((words - next).min((SMALL / WORD) as u64));
                    let bytes: Vec<u8> = (next..next + count)
                        .flat_map(|word| ((number << 32) | word).to_ne_bytes())
                        .collect();
                    ring.put(&bytes);
                    next += count;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.finish();
    }

    let mut times_seen = vec![0_u8; (WRITERS * words) as usize];
    let mut share = Vec::new();
    for seen in finish_readers(readers, &counter) {
        let mut last = [None; WRITERS as usize];
        share.push(seen.len());
        for word in seen {
            let (writer, order) = (word >> 32, word & 0xffff_ffff);
            assert!(writer < WRITERS && order < words, "nobody wrote {word:#x}");
            assert!(last[writer as usize] < Some(order), "out of order");
            last[writer as usize] = Some(order);
            times_seen[(writer * words + order) as usize] += 1;
        }
    }
    note!("{WRITERS} writers of {words} words; the readers had {share:?}");
    assert!(times_seen.iter().all(|&times| times == 1));
}

/// Writers and readers of every kind at once, in sizes of no order. Every byte value must
/// come out as often as it went in.
fn writers_and_readers_of_all_kinds_lose_no_byte() {
    let each = by_lane(2_000_000, 150_000) as usize;
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let counter = Counter::new((Kind::ALL.len() * each) as u64);
    let readers: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let counter = Arc::clone(&counter);
            Task::spawn(move || {
                let mut end = End::reader(kind);
                let mut random = Random::new(kind as u64);
                let mut buffer = vec![0; 3 * SMALL];
                let mut histogram = [0_u64; 256];
                loop {
                    let room = random.up_to(buffer.len() as u64) as usize;
                    let size = end.read(&mut buffer[..room], &counter);
                    if size == 0 {
                        break histogram;
                    }
                    count_bytes(&mut histogram, &buffer[..size]);
                }
            })
        })
        .collect();
    let writers: Vec<_> = Kind::ALL
        .into_iter()
        .map(|kind| {
            Task::spawn(move || {
                let mut end = End::writer(kind);
                let mut random = Random::new(100 + kind as u64);
                let mut histogram = [0_u64; 256];
                let mut written = 0;
                while written < each {
                    let size = random.up_to(3 * SMALL as u64) as usize;
                    let run = run_at(random.next());
                    let bytes = &run[..run.len().min(size).min(each - written)];
                    end.write(bytes);
                    count_bytes(&mut histogram, bytes);
                    written += bytes.len();
                }
                histogram
            })
        })
        .collect();
    let sum = |histograms: Vec<[u64; 256]>| {
        histograms.iter().fold([0; 256], |mut sum, histogram| {
            for (sum, count) in sum.iter_mut().zip(histogram) {
                *sum += count;
            }
            sum
        })
    };
    let sent = sum(writers.into_iter().map(Task::finish).collect());
    let received = sum(finish_readers(readers, &counter));
    note!("{each} bytes from each of {} writers", Kind::ALL.len());
    assert_eq!(received, sent);
}

fn count_bytes(histogram: &mut [u64; 256], bytes: &[u8]) {
    for &byte in bytes {
        histogram[usize::from(byte)] += 1;
    }
}
