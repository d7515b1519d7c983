// SPDX-License-Identifier: GPL-2.0

//! What the ring core needs of its surroundings: one atomic integer and three memory barriers.
//!
//! The module has a file of the same name, with the kernel's. Here they are the host's, or under
//! `--cfg loom` those of the model checker, and each [`Site`] can be weakened: a release becomes a
//! relaxed store, an acquire a relaxed load, and a barrier nothing. A test that weakens a site
//! expects something to go wrong.

use crate::ring::Site;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A position.
pub(crate) struct AtomicPosition(AtomicU64);

impl AtomicPosition {
    pub(crate) fn new(position: u64) -> Self {
        Self(AtomicU64::new(position))
    }

    pub(crate) fn load_relaxed(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn store_relaxed(&self, position: u64) {
        self.0.store(position, Ordering::Relaxed);
    }

    pub(crate) fn load_acquire(&self, site: Site) -> u64 {
        self.0.load(if is_weakened(site) {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        })
    }

    pub(crate) fn store_release(&self, position: u64, site: Site) {
        let ordering = if is_weakened(site) {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        self.0.store(position, ordering);
    }
}

/// A full memory barrier.
pub(crate) fn full_barrier(site: Site) {
    if !is_weakened(site) {
        #[cfg(loom)]
        by_model::meet_all_barriers();
        fence(Ordering::SeqCst);
    }
}

/// Stores before it come before stores after it.
///
/// The language has no such barrier, and what it has is stronger: a release fence also keeps loads
/// before it from what follows. The core relies on nothing of the kind. What a writer loads before
/// it overwrites is a header that lies in the same place, and that earlier holders of its lock have
/// stored.
pub(crate) fn write_barrier(site: Site) {
    if !is_weakened(site) {
        fence(Ordering::Release);
    }
}

/// Loads before it come before loads after it.
///
/// An acquire fence also keeps stores after it from what precedes. The one that follows in the
/// core is that of the mark, and a release anyway.
///
/// Unlike [`full_barrier`] these two have an effect on their own thread only, so the model checker
/// need not try them in every order.
pub(crate) fn read_barrier(site: Site) {
    if !is_weakened(site) {
        fence(Ordering::Acquire);
    }
}

#[cfg(sanitizer = "thread")]
pub(crate) use by_environment::WEAKEN;
#[cfg(not(loom))]
use by_environment::is_weakened;

/// A sanitizer ends the process that it finds fault with, so the site is weakened for a whole
/// process, from its start.
#[cfg(not(loom))]
mod by_environment {
    use super::Site;
    use std::{env, sync::OnceLock};

    /// The environment variable that names the site.
    pub(crate) const WEAKEN: &str = "RING_CORE_WEAKEN";

    pub(crate) fn is_weakened(site: Site) -> bool {
        static WEAKENED: OnceLock<Option<String>> = OnceLock::new();
        WEAKENED
            .get_or_init(|| env::var(WEAKEN).ok())
            .as_ref()
            .is_some_and(|name| *name == format!("{site:?}"))
    }
}

#[cfg(loom)]
use by_model::is_weakened;
#[cfg(loom)]
pub(crate) use by_model::weaken;

/// The model checker runs all threads of a model on the thread of the test, so a site is weakened
/// for one test and the other tests do not notice.
#[cfg(loom)]
mod by_model {
    use super::Site;
    use loom::{
        lazy_static,
        sync::atomic::{AtomicUsize, Ordering},
    };
    use std::cell::Cell;

    thread_local! {
        static WEAKENED: Cell<Option<Site>> = const { Cell::new(None) };
    }

    lazy_static! {
        static ref BARRIERS: AtomicUsize = AtomicUsize::new(0);
    }

    /// Makes the model checker try the barriers in every order.
    ///
    /// It does not switch threads at a barrier, and takes two of them for independent. Counting
    /// them, with no ordering, gives it what it needs.
    pub(super) fn meet_all_barriers() {
        BARRIERS.fetch_add(1, Ordering::Relaxed);
    }

    /// Weakens `site`, and no other, in the models that this test runs from now on.
    pub(crate) fn weaken(site: Option<Site>) {
        WEAKENED.set(site);
    }

    pub(crate) fn is_weakened(site: Site) -> bool {
        WEAKENED.get() == Some(site)
    }
}
