// SPDX-License-Identifier: GPL-2.0

//! Proves the ring core on the host.
//!
//! The source of the core, `src/ring/`, is compiled into this crate as it is compiled into the
//! module; only [`platform`] differs. There are four kinds of runs:
//!
//! - `cargo test -p ring-core-tests`: the unit tests that stand in the core's own files and also
//!   run in the kernel under KUnit, property tests against a model, and real threads.
//! - The same with `RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread` or `=address` and an explicit
//!   `--target` (ThreadSanitizer also wants `-Zbuild-std`, or it would not see the locks of the
//!   standard library). Each brings tests of its own, in `sanitizers`, which show that it is
//!   awake. A race makes the whole process exit with 66, even if every test is `ok`.
//! - `RUSTFLAGS="--cfg loom" cargo test --release -p ring-core-tests`: the models, and only they.
//!   The model checker runs every interleaving of a few threads and every value that each load
//!   may return. The barriers are proven here and nowhere else: ThreadSanitizer knows nothing of
//!   them, and a real machine hides most of what may go wrong.
//!
//! The limits of the model checker: a barrier synchronizes more than it has to (two of them order
//! everything before the first before everything after the second), and where a model bounds
//! preemptions it says so. Of an atomic it remembers the last access only: that a store could have
//! come before a load it does not find out if another thread has loaded in between. So a model is
//! worth as much as the faults that it breaks by.

#![cfg(test)]

mod platform;
mod queue;
// In the style of the kernel, which formats for another edition.
#[path = "../../../src/ring/mod.rs"]
#[rustfmt::skip]
#[cfg_attr(
    loom,
    expect(dead_code, unused_imports, reason = "the models run what is shared by threads")
)]
mod ring;

#[cfg(not(loom))]
mod channel;
#[cfg(not(loom))]
mod data;
#[cfg(not(loom))]
mod model;
#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod properties;
#[cfg(any(sanitizer = "address", sanitizer = "thread"))]
mod sanitizers;
#[cfg(not(loom))]
mod stress;
