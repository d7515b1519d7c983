// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate lacks: one file a gap, each a safe API that could move there.
//!
//! This folder has the module's only `unsafe`. C stands here as well, in `helpers.c`: one-line
//! wrappers of what bindgen cannot see, and nothing else.
//!
//! | file          | gap in the kernel crate of 7.3                                          |
//! |---------------|-------------------------------------------------------------------------|
//! | `fasync.rs`   | SIGIO                                                                   |
//! | `file.rs`     | file operations with `poll`, `fasync`, splice, `O_NONBLOCK` at each call |
//! | `misc.rs`     | a misc device with `nodename`, `mode`, an owner, and data of its own    |
//! | `mirror.rs`   | pages mapped twice in a row                                             |
//! | `poll.rs`     | poll(2) with the events that are asked for, keyed wake-ups              |
//! | `transfer.rs` | copies from and to user space that never serve a page fault             |
//! | `wait.rs`     | exclusive interruptible waits for an amount                             |

pub(crate) mod fasync;
pub(crate) mod file;
pub(crate) mod mirror;
pub(crate) mod misc;
pub(crate) mod poll;
mod sys;
pub(crate) mod transfer;
pub(crate) mod wait;
