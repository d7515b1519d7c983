// SPDX-License-Identifier: GPL-2.0

//! Signals to the current thread.
//!
//! Upstream: the kernel crate can tell that a signal is pending, and cannot send one.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

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
