// SPDX-License-Identifier: GPL-2.0

//! Models of a few threads on a ring, run by the model checker in every way they can run.
//!
//! Each model is run without a fault, and must hold. Then it is run with one [`Fault`] at a time,
//! and must break, and break as expected: so no barrier and no order is there by habit, and no
//! model holds only because it looks at nothing.

mod broadcast;
mod hand_over;
mod overwriting;
mod passing_on;
mod polling;
mod ring;
mod sleeping;

use crate::{platform::weaken, ring::Site};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// An ordered access is relaxed, or a barrier left out.
    Weak(Site),
    /// Bytes are published before they have been copied.
    PublishBeforeCopy,
    /// Bytes are released before they have been copied.
    ReleaseBeforeCopy,
    /// A reader finds out which cursor is furthest behind before it has moved its own.
    MinimumBeforeMark,
    /// Readers find out which cursor is furthest behind, and move the tail, without a lock.
    MinimumWithoutLock,
    /// A writer overwrites before it has moved the tail.
    OverwriteBeforeTail,
    /// A reader looks whether it was lapped before it has copied.
    CheckBeforeCopy,
    /// Whoever hands over looks at the queues first.
    QueuesBeforeHandOver,
    /// Whoever waits looks at the positions before joining the queue.
    LookBeforeJoin,
    /// Pollers load the two positions in the wrong order.
    PositionsSwapped,
    /// Whoever leaves passes nothing on.
    KeepWakeUp,
    /// A poller does not say that it wants to be told of every hand-over.
    ConcealEveryEdge,
    /// A writer that is woken in vain does not tell readers again that it waits.
    UrgeOnce,
}

/// How a model breaks.
#[derive(Clone, Copy)]
enum Breakage {
    /// Two threads use the same bytes at once.
    Race,
    /// A thread is never woken.
    LostWakeUp,
    /// A reader accepts what was not written there.
    Torn,
    /// What was lost is nowhere to be seen.
    Untold,
}

/// What a model says that breaks so.
const TORN: &str = "not what was written";
const UNTOLD: &str = "lost, and nobody is told";

thread_local! {
    // The model checker runs all threads of a model on the thread of the test.
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Whether `fault` is what is to be done wrong.
fn faulty(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// How many switches of threads that can go on are tried in one run, at most.
///
/// Models of three threads and more are bounded, or they would take too long. A bound may miss a
/// run that breaks; each fault that a bounded model is tried with is found within its bound.
#[derive(Clone, Copy)]
enum Preemptions {
    Any,
    AtMost(usize),
}

fn check(preemptions: Preemptions, model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = match preemptions {
        Preemptions::Any => None,
        Preemptions::AtMost(bound) => Some(bound),
    };
    builder.check(model);
}

/// Runs a model as it should be.
fn holds(preemptions: Preemptions, model: fn()) {
    check(preemptions, model);
}

/// Runs a model with a fault, and expects it to break.
fn breaks(preemptions: Preemptions, model: fn(), fault: Fault, breakage: Breakage) {
    FAULT.set(Some(fault));
    weaken(match fault {
        Fault::Weak(site) => Some(site),
        _ => None,
    });
    let result = catch_unwind(AssertUnwindSafe(|| check(preemptions, model)));
    let message = match &result {
        Ok(()) => panic!("the model holds in spite of {fault:?}"),
        Err(panic) => panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message"),
    };
    let expected = match breakage {
        Breakage::Race => "Causality violation",
        Breakage::LostWakeUp => "deadlock",
        Breakage::Torn => TORN,
        Breakage::Untold => UNTOLD,
    };
    assert!(message.contains(expected), "{fault:?} breaks by: {message}");
}
