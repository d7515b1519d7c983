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
use core::ptr::{
    self,
    NonNull, //
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
/// files that keep `self` alive, and leave it before they are released (see [`Membership`]), hence
/// it is null when `self` is dropped.
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

/// The lists that a file can be in: that of what it reads, and that of what it writes.
pub(crate) type Lists<'file> = [Option<&'file FasyncList>; 2];

/// Which lists an open file is in.
///
/// `FASYNC`, by which `__fput()` knows whether a file has to be taken out of anything, is one bit,
/// and `fasync_helper()` sets and clears it for each list alone. Nobody else keeps two fcntl(2) of
/// a file apart: between them the file could stay in one list without the bit, and be freed there.
/// So this belongs under a lock, one for each file.
///
/// # Invariants
///
/// The file is in these lists, and in no others. Its `FASYNC` is set if and only if there are any.
/// The lists are valid until the `release` operation of the file.
pub(super) struct Membership([Option<NonNull<FasyncList>>; 2]);

// SAFETY: The lists are `Sync`, and the pointers belong to no thread.
unsafe impl Send for Membership {}

impl Membership {
    /// Of a file that is being opened.
    pub(super) const fn new() -> Self {
        // INVARIANT: No list.
        Self([None; 2])
    }

    /// Does what a call of the `fasync` operation asks: puts the file into all of `lists`, or takes
    /// it out of all that it is in, whatever `lists` are by now.
    ///
    /// If it fails the file is where it was. Taking out does not fail. A full barrier follows:
    /// whoever does not see the file in a list has done what the file's owner will see. May sleep.
    ///
    /// # Safety
    ///
    /// `fd`, `file` and `on` must be the arguments of a call that is going on, and `self` that of
    /// the file. `lists` must be valid until the `release` operation of the file.
    pub(super) unsafe fn apply(
        &mut self,
        fd: c_int,
        file: *mut bindings::file,
        on: c_int,
        lists: Lists<'_>,
    ) -> Result {
        // One that is in stays as it is, in the lists that it is in.
        let result = if on == 0 || self.0.iter().any(Option::is_some) {
            Ok(())
        } else {
            // SAFETY: By the safety requirements.
            unsafe { self.join(fd, file, lists) }
        };
        if on == 0 || result.is_err() {
            // SAFETY: By the safety requirements.
            unsafe { self.leave(file) };
        }
        smp_mb(Full);
        result
    }

    /// # Safety
    ///
    /// As for [`Membership::apply`].
    unsafe fn join(&mut self, fd: c_int, file: *mut bindings::file, lists: Lists<'_>) -> Result {
        for (place, list) in self.0.iter_mut().zip(lists) {
            let Some(list) = list else {
                continue;
            };
            // SAFETY: The arguments are those of a call. `__fput()` makes a call that takes the
            // file out before it calls `release`, until which the list is valid: by the type
            // invariant, kept here, `FASYNC` tells it to.
            to_result(unsafe { bindings::fasync_helper(fd, file, 1, list.0.get()) }.min(0))?;
            // INVARIANT: The file is in it, and `FASYNC` set.
            *place = Some(NonNull::from(list));
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As for [`Membership::apply`].
    unsafe fn leave(&mut self, file: *mut bindings::file) {
        for list in self.0.iter_mut().filter_map(Option::take) {
            // INVARIANT: `FASYNC` is cleared with the first; nobody looks at the others before they
            // are gone as well, as the caller has `self` for itself.
            // SAFETY: By the type invariant the list is valid. Taking out does not fail.
            unsafe { bindings::fasync_helper(-1, file, 0, list.as_ref().0.get()) };
        }
    }
}
