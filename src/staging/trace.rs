// SPDX-License-Identifier: GPL-2.0

//! The module's tracepoints.
//!
//! An event that nobody wants is a static branch that is not taken, and without
//! `CONFIG_TRACEPOINTS` nothing at all. What it says is written down in
//! [`include/trace/events/ringdev.h`](../../include/trace/events/ringdev.h); `trace.c` makes it.
//!
//! May be called in any context, with any lock held; nothing sleeps, allocates or logs.
//!
//! Upstream: `declare_trace!` of the kernel crate looks for a tracepoint among the crate's own
//! bindings, where those of a module cannot be. This one declares it itself.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)

use kernel::{
    ffi::c_char,
    prelude::*, //
};

#[cfg(CONFIG_TRACEPOINTS)]
use kernel::{
    bindings,
    jump_label::static_branch_unlikely, //
};

/// Declares the Rust entry points of tracepoints, as `kernel::tracepoint::declare_trace` does. The
/// types of the arguments are asserted in `trace.c`.
macro_rules! declare_trace {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?);)*) => {
        kernel::macros::paste! {
            #[cfg(CONFIG_TRACEPOINTS)]
            #[allow(
                improper_ctypes,
                non_upper_case_globals,
                reason = "the names are C's, and some of its structures have empty members"
            )]
            extern "C" {
                $(
                    static mut [<__tracepoint_ $name>]: bindings::tracepoint;
                    fn [<rust_do_trace_ $name>]($($arg: $type),*);
                )*
            }
            $(
                /// # Safety
                ///
                /// `name` must be a string that ends with a null byte.
                #[inline(always)]
                unsafe fn $name($($arg: $type),*) {
                    #[cfg(CONFIG_TRACEPOINTS)]
                    {
                        // SAFETY: It is a tracepoint that C has defined, and `key` its static key.
                        let is_wanted = unsafe {
                            static_branch_unlikely!(
                                [<__tracepoint_ $name>],
                                bindings::tracepoint,
                                key
                            )
                        };
                        if is_wanted {
                            // SAFETY: By the safety requirements of this function.
                            unsafe { [<rust_do_trace_ $name>]($($arg),*) };
                        }
                    }
                    #[cfg(not(CONFIG_TRACEPOINTS))]
                    {
                        $( let _ = $arg; )*
                    }
                }
            )*
        }
    };
}

declare_trace! {
    fn ringdev_write(
        name: *const c_char,
        ring: u64,
        position: u64,
        bytes: u64,
        records: u64,
    );

    fn ringdev_read(
        name: *const c_char,
        ring: u64,
        cursor: u64,
        position: u64,
        bytes: u64,
        records: u64,
    );

    fn ringdev_lost(
        name: *const c_char,
        ring: u64,
        cursor: u64,
        bytes: u64,
        records: u64,
    );

    fn ringdev_wake(name: *const c_char, ring: u64, writers: bool, pollers: bool);
}

/// What the events call a ring. Of no size where there are none.
///
/// # Invariants
///
/// The last byte of `name` is null.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    #[cfg(CONFIG_TRACEPOINTS)]
    ring: u64,
    #[cfg(CONFIG_TRACEPOINTS)]
    name: [c_char; Self::NAME_SIZE],
}

impl Label {
    #[cfg(CONFIG_TRACEPOINTS)]
    const NAME_SIZE: usize = 32;

    /// The ring has this number and this name, of which 31 bytes are kept.
    #[cfg(CONFIG_TRACEPOINTS)]
    pub(crate) fn new(ring: u64, name: &CStr) -> Self {
        let mut bytes = [0; Self::NAME_SIZE];
        for (to, from) in bytes.iter_mut().zip(name.to_bytes()) {
            // CAST: The same byte, whether C's characters have a sign or not.
            *to = *from as c_char;
        }
        if let Some(last) = bytes.last_mut() {
            // INVARIANT: The last byte is null.
            *last = 0;
        }
        Self { ring, name: bytes }
    }

    /// The ring has this number and this name.
    #[cfg(not(CONFIG_TRACEPOINTS))]
    pub(crate) fn new(_ring: u64, _name: &CStr) -> Self {
        Self {}
    }

    /// Name and number, for C.
    #[cfg(CONFIG_TRACEPOINTS)]
    #[inline(always)]
    fn raw(&self) -> (*const c_char, u64) {
        (self.name.as_ptr(), self.ring)
    }

    /// Name and number, for nobody.
    #[cfg(not(CONFIG_TRACEPOINTS))]
    #[inline(always)]
    fn raw(&self) -> (*const c_char, u64) {
        (core::ptr::null(), 0)
    }
}

/// What was written at `position` can be read.
#[inline(always)]
pub(crate) fn write(label: &Label, position: u64, bytes: usize, records: u64) {
    let (name, ring) = label.raw();
    // SAFETY: By the type invariant of `Label`; without tracepoints nobody looks at it.
    unsafe { ringdev_write(name, ring, position, bytes as u64, records) };
}

/// What is at `position` was read at the cursor of that number.
#[inline(always)]
pub(crate) fn read(label: &Label, cursor: u64, position: u64, bytes: u64, records: u64) {
    let (name, ring) = label.raw();
    // SAFETY: As in `write`.
    unsafe { ringdev_read(name, ring, cursor, position, bytes, records) };
}

/// The cursor of that number has found that data are gone; nothing is said of none.
#[inline(always)]
pub(crate) fn lost(label: &Label, cursor: u64, bytes: u64, records: u64) {
    if bytes == 0 && records == 0 {
        return;
    }
    let (name, ring) = label.raw();
    // SAFETY: As in `write`.
    unsafe { ringdev_lost(name, ring, cursor, bytes, records) };
}

/// Who is woken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// One or more that sleep in read(2) or write(2).
    Sleepers,
    /// Those that poll, or get signals.
    Pollers,
}

/// Somebody who waits is about to be woken: a writer for room, or a reader for data.
#[inline(always)]
pub(crate) fn wake(label: &Label, writers: bool, woken: Woken) {
    let (name, ring) = label.raw();
    // SAFETY: As in `write`.
    unsafe { ringdev_wake(name, ring, writers, woken == Woken::Pollers) };
}
