// SPDX-License-Identifier: GPL-2.0

//! SIGIO: fcntl(2) with `O_ASYNC`.
//!
//! Upstream: nothing of this is in the kernel crate.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::compat::{
    smp_mb,
    Full, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    prelude::*,
    types::Opaque, //
};

/// What happened, as `si_band` and `si_code` tell it.
#[derive(Clone, Copy)]
pub(crate) enum Band {
    /// There is something to read.
    In,
    /// There is room to write.
    Out,
}

/// Those who get a signal when something happens.
///
/// # Invariants
///
/// The pointer is the head of a list that only `fasync_helper()` changes. Its entries belong to
/// files that keep `self` alive (see [`FasyncCall::apply`]), hence it is null when `self` is
/// dropped.
pub(crate) struct FasyncList(Opaque<*mut bindings::fasync_struct>);

// SAFETY: The list belongs to no thread.
unsafe impl Send for FasyncList {}

// SAFETY: `fasync_helper()` and `kill_fasync()` do their own locking, and `is_empty` makes one load
// of the pointer that does not dereference it.
unsafe impl Sync for FasyncList {}

impl FasyncList {
    /// Nobody.
    pub(crate) const fn new() -> Self {
        // INVARIANT: An empty list.
        Self(Opaque::new(ptr::null_mut()))
    }

    /// Whether nobody wants a signal.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: The pointer is valid for reads; others may store to it meanwhile, and a volatile
        // load of a word is what the kernel uses then.
        unsafe { self.0.get().read_volatile() }.is_null()
    }

    /// Sends SIGIO, or what the file's owner chose by `F_SETSIG`.
    pub(crate) fn notify(&self, band: Band) {
        let band = match band {
            Band::In => bindings::POLL_IN,
            Band::Out => bindings::POLL_OUT,
        };
        // SAFETY: By the type invariant this is the head of a list that `fasync_helper()` keeps.
        // CAST: Small numbers.
        unsafe { bindings::kill_fasync(self.0.get(), bindings::SIGIO as c_int, band as c_int) };
    }
}

/// A call of the `fasync` operation of a file.
///
/// # Invariants
///
/// The fields are the arguments of such a call; the private data of the file can be borrowed for
/// `'file`.
pub(crate) struct FasyncCall<'file> {
    fd: c_int,
    file: *mut bindings::file,
    on: c_int,
    _file: PhantomData<fn(&'file ()) -> &'file ()>,
}

impl<'file> FasyncCall<'file> {
    /// Wraps the arguments of a `fasync` operation.
    ///
    /// # Safety
    ///
    /// They must be the arguments of a call that is going on. What is borrowed for `'file` must
    /// stay valid until the `release` operation of the file is called.
    pub(super) unsafe fn from_raw(fd: c_int, file: *mut bindings::file, on: c_int) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            fd,
            file,
            on,
            _file: PhantomData,
        }
    }

    /// Puts the file into `list`, or takes it out, as the call asks.
    ///
    /// Taking out does not fail. A full barrier follows: whoever does not see the file in the list
    /// has done what the file's owner will see. May sleep.
    pub(crate) fn apply(&self, list: &'file FasyncList) -> Result {
        // SAFETY: By the type invariant the arguments are those of a call. The list lives in the
        // private data of the file, until `release`; `__fput()` makes a call that takes the file
        // out before it calls `release`.
        let changed = unsafe { bindings::fasync_helper(self.fd, self.file, self.on, list.0.get()) };
        smp_mb(Full);
        // Positive if the list changed.
        to_result(changed.min(0))
    }

    /// Takes the file out of `list`, whatever the call asks.
    pub(crate) fn undo(&self, list: &'file FasyncList) {
        // SAFETY: As for `apply`. Taking out does not fail.
        unsafe { bindings::fasync_helper(-1, self.file, 0, list.0.get()) };
    }
}
