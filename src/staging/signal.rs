// SPDX-License-Identifier: GPL-2.0

//! Signals to the current thread.
//!
//! Upstream: the kernel crate can tell that something interrupts the thread, not whether it is a
//! signal, and cannot send one.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use super::sys;
use kernel::{
    bindings,
    ffi::c_int,
    task::Task, //
};

/// Sends `SIGPIPE` to the current thread, as a write does that nobody will read. Process context.
pub(crate) fn send_sigpipe() {
    // SAFETY: The current task is valid, and 0 says that a process is the sender. The result is
    // whether the signal could be delivered; nobody else could be told.
    // CAST: The number of a signal.
    unsafe { bindings::send_sig(bindings::SIGPIPE as c_int, Task::current_raw(), 0) };
}

/// Whether a signal is pending for the current thread. Other work that interrupts a sleep, such as
/// io_uring's, is none. Process context.
pub(crate) fn is_pending() -> bool {
    // SAFETY: It looks at the current task.
    unsafe { sys::ringdev_task_sigpending() }
}
