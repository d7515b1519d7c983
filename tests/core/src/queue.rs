// SPDX-License-Identifier: GPL-2.0

//! Wait queues with the properties of the kernel's that the ring relies on.
//!
//! Entries are linked and unlinked under a lock. Whether the queue has entries is read without it,
//! and without any ordering, as `waitqueue_active()` does. A thread that was woken before it went
//! to sleep does not go to sleep.

use crate::ring::{Waiters, is_beyond};
use std::collections::VecDeque;

#[cfg(loom)]
use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
};
#[cfg(not(loom))]
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
};

/// How the sleepers of a queue are woken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// One at a time.
    One,
    /// All to whom there is enough.
    Everybody,
}

/// Threads that wait until there is enough of something.
pub(crate) struct Queue {
    /// What each needs, longest wait first.
    threads: Mutex<VecDeque<(u64, Thread)>>,
    /// How many there are, for those who look without the lock.
    len: AtomicUsize,
    turn: Turn,
}

impl Queue {
    fn new(turn: Turn) -> Self {
        Self {
            threads: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
            turn,
        }
    }

    /// The calling thread joins at the end.
    pub(crate) fn join(&self, needs: u64) {
        let mut threads = self.threads.lock().unwrap();
        threads.push_back((needs, thread::current()));
        self.len.store(threads.len(), Ordering::Relaxed);
    }

    /// The calling thread leaves, if no wake-up has unlinked it already.
    pub(crate) fn leave(&self) {
        let me = thread::current().id();
        let mut threads = self.threads.lock().unwrap();
        threads.retain(|(_, thread)| thread.id() != me);
        self.len.store(threads.len(), Ordering::Relaxed);
    }

    /// Whether the calling thread has joined, and no wake-up has unlinked it.
    #[cfg(loom)]
    pub(crate) fn has_me(&self) -> bool {
        let me = thread::current().id();
        let threads = self.threads.lock().unwrap();
        threads.iter().any(|(_, thread)| thread.id() == me)
    }

    fn has_threads(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// Wakes those to whom `there_is` is enough, and unlinks them; or if it is one's turn, the
    /// first of them.
    fn wake(&self, there_is: u64, turn: Turn) {
        let mut threads = self.threads.lock().unwrap();
        let mut woken = Vec::new();
        let mut left = VecDeque::new();
        for (needs, thread) in threads.drain(..) {
            let enough = !is_beyond(needs, there_is);
            if enough && (turn == Turn::Everybody || woken.is_empty()) {
                woken.push(thread);
            } else {
                left.push_back((needs, thread));
            }
        }
        *threads = left;
        self.len.store(threads.len(), Ordering::Relaxed);
        // Last under the lock: a thread that is about to leave waits for the lock, and the model
        // checker takes this for its unlocking.
        for thread in woken {
            thread.unpark();
        }
    }

    /// Wakes all threads. They stay in the queue.
    fn wake_all(&self) {
        for (_, thread) in self.threads.lock().unwrap().iter() {
            thread.unpark();
        }
    }
}

/// All who wait on one side of a ring.
pub(crate) struct Side {
    pub(crate) sleepers: Queue,
    pub(crate) pollers: Queue,
    every_edge: AtomicBool,
}

impl Side {
    /// Nobody. `turn` is how sleepers are woken.
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            sleepers: Queue::new(turn),
            pollers: Queue::new(Turn::Everybody),
            every_edge: AtomicBool::new(false),
        }
    }

    /// Wakes all sleepers to whom `there_is` is enough.
    pub(crate) fn wake_everybody(&self, there_is: u64) {
        self.sleepers.wake(there_is, Turn::Everybody);
    }

    /// Says that a poller is not content with edges. To be called after it has joined.
    #[cfg(loom)]
    pub(crate) fn want_every_edge(&self) {
        self.every_edge.store(true, Ordering::Relaxed);
    }
}

impl Waiters for Side {
    fn has_sleepers(&self) -> bool {
        self.sleepers.has_threads()
    }

    fn wake_sleepers(&self, there_is: u64) {
        self.sleepers.wake(there_is, self.sleepers.turn);
    }

    fn has_pollers(&self) -> bool {
        self.pollers.has_threads()
    }

    fn wants_every_edge(&self) -> bool {
        self.every_edge.load(Ordering::Relaxed)
    }

    fn wake_pollers(&self) {
        self.pollers.wake_all();
    }
}
