// SPDX-License-Identifier: GPL-2.0

//! Users and groups as the current process names them, and what it may do.
//!
//! The kernel crate has `Kuid`, but cannot make one of a number; it has no `Kgid` and no
//! `capable()`.
//!
//! C headers: [`include/linux/uidgid.h`](srctree/include/linux/uidgid.h),
//! [`include/linux/capability.h`](srctree/include/linux/capability.h)

use super::sys;
use kernel::{
    bindings,
    ffi::c_int,
    task::Kuid, //
};

/// Returns the number of `user` in the user namespace of the current process; the overflow id if it
/// has none there, as the kernel crate's method does not.
pub(crate) fn uid_in_current_ns(user: Kuid) -> u32 {
    // SAFETY: The namespace of the current process is valid.
    unsafe { sys::ringdev_from_kuid_munged(bindings::current_user_ns(), user.into_raw()) }
}

/// The user that is `uid` in the user namespace of the current process, if there is one.
pub(crate) fn kuid_from_current_ns(uid: u32) -> Option<Kuid> {
    // SAFETY: The namespace of the current process is valid for as long as the process runs.
    let kuid = unsafe { sys::ringdev_make_kuid(bindings::current_user_ns(), uid) };
    // `INVALID_UID`.
    (kuid.val != bindings::uid_t::MAX).then(|| Kuid::from_raw(kuid))
}

/// The user that the current process acts for.
pub(crate) fn current_uid() -> Kuid {
    Kuid::current_euid()
}

/// Whether the current process is exempt from limits: `CAP_SYS_RESOURCE`.
pub(crate) fn may_exceed_resources() -> bool {
    // CAST: The number of a capability.
    // SAFETY: Process context, and a capability that there is.
    unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as c_int) }
}

/// A group, as the kernel knows it: `kgid_t`.
#[derive(Clone, Copy)]
pub(crate) struct Kgid(bindings::kgid_t);

impl Kgid {
    /// The group that is `gid` in the user namespace of the current process, if there is one.
    pub(crate) fn from_current_ns(gid: u32) -> Option<Self> {
        // SAFETY: As for `kuid_from_current_ns`.
        let kgid = unsafe { sys::ringdev_make_kgid(bindings::current_user_ns(), gid) };
        // `INVALID_GID`.
        (kgid.val != bindings::gid_t::MAX).then_some(Self(kgid))
    }

    /// What the group is in the user namespace of the current process. One that is not there is
    /// shown as the overflow group, as in stat(2).
    pub(crate) fn into_gid_in_current_ns(self) -> bindings::gid_t {
        // SAFETY: As for `kuid_from_current_ns`.
        unsafe { sys::ringdev_from_kgid_munged(bindings::current_user_ns(), self.0) }
    }

    /// The group as C has it.
    pub(super) fn into_raw(self) -> bindings::kgid_t {
        self.0
    }
}
