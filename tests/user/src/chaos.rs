// SPDX-License-Identifier: GPL-2.0

//! Everything at once: writers and readers of rings of all kinds that come, go, grow, shrink, are
//! cleared and lose their readers, under signals. Nobody hangs, nothing is torn, and of every
//! ring every record is accounted for.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, Signal};
use nix::unistd::close;

use crate::control::{Kind, Ring};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::random::Random;
use crate::task::{Task, on_signal};
use crate::words::{Account, Receiver, Sender};

pub const TESTS: &[Test] = &[test!(chaos_leaves_every_record_accounted_for)
    .alone()
    .seconds(60)];

const WRITERS: u64 = 8;
const READERS: u64 = 8;

/// So many rings there are at a time.
const SLOTS: usize = 4;

/// A ring from its creation to the day when all accounts are settled.
struct Life {
    ring: Ring,
    kind: Kind,
    /// A reader that is there from before the first message, stays to the end, and is never
    /// evicted.
    auditor: Endpoint,
    destroyed: AtomicBool,
    /// What all writers and readers say, except for the auditor.
    account: Mutex<Account>,
}

/// What all have in common.
struct Stage {
    slots: [Mutex<Arc<Life>>; SLOTS],
    over: AtomicBool,
    interrupted: AtomicU64,
    evicted: AtomicU64,
}

impl Life {
    fn begin(kind: Kind) -> Arc<Self> {
        let ring = Ring::small(kind);
        Arc::new(Self {
            ring,
            kind,
            auditor: ring.reader(),
            destroyed: AtomicBool::new(false),
            account: Mutex::new(Account::default()),
        })
    }

    fn add(&self, account: Account) {
        self.account.lock().expect("not poisoned").add(account);
    }

    fn end(&self) {
        self.ring.destroy();
        self.destroyed.store(true, Ordering::Release);
    }

    /// Opens an end of the ring, unless it has been destroyed.
    fn open(&self, flags: OFlag) -> Option<Endpoint> {
        match self.ring.try_open(flags) {
            Ok(fd) => Some(Endpoint::keep(fd)),
            Err(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => None,
            Err(error) => panic!("open: {error}"),
        }
    }

    /// Reads along until the ring has ended and everybody else has left it, and then settles.
    /// Returns how much was sent.
    fn audit(self: Arc<Self>) -> Account {
        let mut receiver = Receiver::new(self.auditor, self.kind);
        loop {
            // Asked before the read: then nothing comes after an end that it sees.
            let destroyed = self.destroyed.load(Ordering::Acquire);
            match receiver.receive() {
                Ok(0) if destroyed => break,
                // With hangup there is an end as often as no writer is there.
                Ok(0) => thread::sleep(Duration::from_millis(1)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => panic!("read: {error}"),
            }
        }
        while Arc::strong_count(&self) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        let others = *self.account.lock().expect("not poisoned");
        let info = self.auditor.info();
        let ring = Account::of_ring(self.kind, &info);
        let cursor = Account::of_cursor(self.kind, &self.auditor.cursor());
        let received = receiver.account.received;
        let all = format!(
            "{}: {others:?} {ring:?} {cursor:?}, {received} here",
            self.kind
        );
        assert_eq!(others.sent, others.accepted + others.dropped, "{all}");
        assert_eq!(ring.accepted, others.accepted, "{all}");
        assert_eq!(ring.dropped, others.dropped, "{all}");
        assert_eq!(cursor.received + cursor.lost, others.accepted, "{all}");
        if self.kind.is_broadcast() {
            assert_eq!(received, cursor.received, "{all}");
        } else {
            assert_eq!(received + others.received, cursor.received, "{all}");
        }
        assert_eq!(
            (info.readers, info.writers, info.unread),
            (1, 0, 0),
            "{all}"
        );
        close(self.auditor.as_raw_fd()).expect("close");
        others
    }
}

impl Stage {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The ring that is in one of the slots now.
    fn pick(&self, random: &mut Random) -> Arc<Life> {
        let slot = random.next() as usize % SLOTS;
        Arc::clone(&self.slots[slot].lock().expect("not poisoned"))
    }

    /// Writes to one ring after the other.
    fn write(&self, number: u64) {
        let mut random = Random::new(number);
        let mut sender: Option<Sender> = None;
        while !self.is_over() {
            let life = self.pick(&mut random);
            let nonblock = random.up_to(2) == 1;
            let Some(ring) = life.open(OFlag::O_WRONLY) else {
                continue;
            };
            ring.set_nonblocking(nonblock);
            let sender = sender.get_or_insert_with(|| Sender::new(ring, life.kind, number));
            sender.turn_to(ring, life.kind);
            for _ in 0..random.up_to(60) {
                match sender.send_any() {
                    Ok(()) => {}
                    Err(Errno::EAGAIN) if nonblock => thread::yield_now(),
                    Err(Errno::ENODEV) => break,
                    Err(error) => panic!("write: {error}, {}", life.kind),
                }
            }
            // First closed, then accounted for, and then let go.
            close(ring.as_raw_fd()).expect("close");
            life.add(sender.turn_to(ring, life.kind));
        }
    }

    /// Reads from one ring after the other.
    fn read(&self, number: u64) {
        let mut random = Random::new(100 + number);
        while !self.is_over() {
            let life = self.pick(&mut random);
            let Some(ring) = life.open(OFlag::O_RDONLY) else {
                continue;
            };
            let headers = !life.kind.is_stream() && random.up_to(2) == 1;
            if headers {
                ring.set_headers(true);
            }
            ring.set_nonblocking(random.up_to(2) == 1);
            let mut receiver = Receiver::new(ring, life.kind);
            for _ in 0..random.up_to(60) {
                let answer = if headers {
                    receiver.receive_batch()
                } else {
                    receiver.receive()
                };
                match answer {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => thread::yield_now(),
                    Err(Errno::EINTR) => {
                        self.interrupted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(Errno::ESHUTDOWN) => {
                        assert!(life.kind.is_broadcast());
                        self.evicted.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Err(error) => panic!("read: {error}, {}", life.kind),
                }
            }
            close(ring.as_raw_fd()).expect("close");
            life.add(Account {
                received: receiver.account.received,
                ..Account::default()
            });
        }
    }
}

fn chaos_leaves_every_record_accounted_for() {
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let kinds: Vec<_> = Kind::all().collect();
    let mut random = Random::new(8);
    let mut next_kind = kinds.iter().cycle().copied();
    let mut audits = Vec::new();
    let mut begin = |audits: &mut Vec<_>| {
        // A step that no other number has in common with 24: in this order neighbours differ.
        let life = Life::begin(next_kind.by_ref().nth(6).expect("there is always one"));
        let audited = Arc::clone(&life);
        audits.push(Task::spawn(move || audited.audit()));
        life
    };
    let stage = Arc::new(Stage {
        slots: [(); SLOTS].map(|()| Mutex::new(begin(&mut audits))),
        over: AtomicBool::new(false),
        interrupted: AtomicU64::new(0),
        evicted: AtomicU64::new(0),
    });
    let mut actors = Vec::new();
    for number in 1..=WRITERS {
        let stage = Arc::clone(&stage);
        actors.push(Task::spawn(move || stage.write(number)));
    }
    for number in 1..=READERS {
        let stage = Arc::clone(&stage);
        actors.push(Task::spawn(move || stage.read(number)));
    }

    let (mut lives, mut resized, mut busy, mut cleared) = (SLOTS, 0, 0, 0);
    let mut sent = Account::default();
    let end = Instant::now() + Duration::from_secs(by_lane(10, 60));
    while Instant::now() < end {
        thread::sleep(Duration::from_micros(random.up_to(300)));
        let actor = random.next() as usize % actors.len();
        actors[actor].sleeper.signal(Signal::SIGUSR1);
        let slot = &stage.slots[random.next() as usize % SLOTS];
        let life = Arc::clone(&slot.lock().expect("not poisoned"));
        match random.up_to(20) {
            1 => {
                *slot.lock().expect("not poisoned") = begin(&mut audits);
                life.end();
                lives += 1;
            }
            2..=6 => match life.ring.resize(2048 << random.up_to(5)) {
                Ok(()) => resized += 1,
                Err(Errno::EBUSY) => busy += 1,
                Err(error) => panic!("resize: {error}"),
            },
            7..=9 => {
                life.ring.clear();
                cleared += 1;
            }
            10..=13 if life.kind.is_broadcast() => {
                let cursors = life.ring.cursors();
                let victim = &cursors[random.next() as usize % cursors.len()];
                if victim.id != life.auditor.cursor().id {
                    let evicted = life.ring.evict(victim.id);
                    // It may just have left.
                    assert!(
                        matches!(evicted, Ok(()) | Err(Errno::ENOENT)),
                        "{evicted:?}"
                    );
                }
            }
            _ => {}
        }
        drop(life);
        // Settled accounts need no thread.
        let (settled, open) = audits.into_iter().partition(Task::is_finished);
        audits = open;
        let settled: Vec<Task<_>> = settled;
        settled
            .into_iter()
            .for_each(|audit| sent.add(audit.finish()));
    }

    stage.over.store(true, Ordering::Relaxed);
    for slot in &stage.slots {
        slot.lock().expect("not poisoned").end();
    }
    actors.into_iter().for_each(Task::finish);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (interrupted, evicted) = (count(&stage.interrupted), count(&stage.evicted));
    // With it the last rings are let go.
    drop(stage);
    audits
        .into_iter()
        .for_each(|audit| sent.add(audit.finish()));
    note!(
        "{lives} rings, {resized} times resized, {busy} times too full for it, {cleared} times cleared"
    );
    note!("{interrupted} reads interrupted, {evicted} readers evicted");
    note!("records and bytes together: {sent:?}");
    assert!(resized > 0 && busy > 0 && cleared > 0 && interrupted > 0 && evicted > 0);
}
