// SPDX-License-Identifier: GPL-2.0

//! Wait queues with the properties of the kernel's that the ring relies on.
//!
//! Entries are linked and unlinked under a lock. Whether the queue has entries is read without it,
//! and without any ordering, as `waitqueue_active()` does. A thread that was woken before it went
//! to sleep does not go to sleep.

use crate::ring::Waiters;
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

/// Threads that wait for an amount of something.
pub(crate) struct Queue {
    /// What each needs, longest wait first.
    threads: Mutex<VecDeque<(usize, Thread)>>,
    /// How many there are, for those who look without the lock.
    len: AtomicUsize,
}

impl Queue {
    fn new() -> Self {
        Self {
            threads: Mutex::new(VecDeque::new()),
            len: AtomicUsize::new(0),
        }
    }

    /// The calling thread joins at the end.
    pub(crate) fn join(&self, needs: usize) {
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

    fn has_threads(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// Wakes the first thread that needs no more than `amount`, and unlinks it.
    fn wake_first(&self, amount: usize) {
        let mut threads = self.threads.lock().unwrap();
        let first = threads.iter().position(|(needs, _)| *needs <= amount);
        if let Some((_, thread)) = first.and_then(|first| threads.remove(first)) {
            self.len.store(threads.len(), Ordering::Relaxed);
            // Last under the lock: a thread that is about to leave waits for the lock, and the
            // model checker takes this for its unlocking.
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
    pub(crate) fn new() -> Self {
        Self {
            sleepers: Queue::new(),
            pollers: Queue::new(),
            every_edge: AtomicBool::new(false),
        }
    }

    /// Says that a poller is not content with edges. To be called before it joins.
    #[cfg(loom)]
    pub(crate) fn want_every_edge(&self) {
        self.every_edge.store(true, Ordering::Relaxed);
    }
}

impl Waiters for Side {
    fn has_sleepers(&self) -> bool {
        self.sleepers.has_threads()
    }

    fn wake_sleeper(&self, bytes: usize) {
        self.sleepers.wake_first(bytes);
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
