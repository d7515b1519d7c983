// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks: one file a gap, each a safe API that could move there.
//!
//! This folder has the module's only `unsafe`. C stands here as well: in `helpers.c` one-line
//! wrappers of what bindgen cannot see, in `trace.c` what makes tracepoints, and nothing else.
//!
//! | file          | gap in the kernel crate of 7.3                                          |
//! |---------------|-------------------------------------------------------------------------|
//! | `chardev.rs`  | a character device whose node has a folder, a mode and an owner         |
//! | `clock.rs`    | the monotonic clock as a number                                         |
//! | `compat.rs`   | nothing: what is not in all kernels that the driver is built for        |
//! | `credentials.rs` | users and groups by number, `capable()`                              |
//! | `debugfs.rs`  | files in debugfs that a module can have and be unloaded                 |
//! | `fasync.rs`   | SIGIO                                                                   |
//! | `file.rs`     | file operations with `poll`, `fasync`, splice, `O_NONBLOCK` at each call |
//! | `misc.rs`     | a misc device with `nodename`, `mode`, an owner, and data of its own    |
//! | `mirror.rs`   | pages mapped twice in a row                                             |
//! | `poll.rs`     | poll(2) with the events that are asked for, keyed wake-ups              |
//! | `signal.rs`   | a signal to the current thread                                          |
//! | `splice.rs`   | splice(2) that waits with the pipe unlocked                             |
//! | `trace.rs`    | tracepoints of a module                                                 |
//! | `transfer.rs` | copies from and to user space that never serve a page fault             |
//! | `uapi.rs`     | the ABI's structures, and ioctl(2) with those that may grow             |
//! | `wait.rs`     | exclusive interruptible waits for an amount                             |

pub(crate) mod chardev;
pub(crate) mod clock;
pub(crate) mod compat;
pub(crate) mod credentials;
pub(crate) mod debugfs;
pub(crate) mod fasync;
pub(crate) mod file;
pub(crate) mod mirror;
pub(crate) mod misc;
pub(crate) mod poll;
pub(crate) mod signal;
mod splice;
mod sys;
pub(crate) mod trace;
pub(crate) mod transfer;
pub(crate) mod uapi;
pub(crate) mod wait;
