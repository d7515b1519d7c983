// SPDX-License-Identifier: GPL-2.0

//! C functions that the kernel crate's bindings do not have.
//!
//! The first group is `helpers.c`, by way of `helpers.h`. The second is the kernel's own; their
//! types are asserted in `helpers.c`.

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_uint,
        c_void, //
    },
};

#[allow(
    improper_ctypes,
    reason = "some of the kernel's structures have empty members, which bindgen cannot describe"
)]
extern "C" {
    pub(super) fn ringdev_copy_struct_from_user(
        dst: *mut c_void,
        ksize: usize,
        src: *const c_void,
        usize: usize,
    ) -> c_int;
    pub(super) fn ringdev_copy_struct_to_user(
        dst: *mut c_void,
        usize: usize,
        src: *const c_void,
        ksize: usize,
    ) -> c_int;
    pub(super) fn ringdev_copy_from_user_nofault(
        to: *mut c_void,
        from: *const c_void,
        len: usize,
    ) -> usize;
    pub(super) fn ringdev_copy_to_user_nofault(
        to: *mut c_void,
        from: *const c_void,
        len: usize,
    ) -> usize;
    pub(super) fn ringdev_from_kgid_munged(
        to: *mut bindings::user_namespace,
        gid: bindings::kgid_t,
    ) -> bindings::gid_t;
    pub(super) fn ringdev_from_kuid_munged(
        to: *mut bindings::user_namespace,
        uid: bindings::kuid_t,
    ) -> bindings::uid_t;
    pub(super) fn ringdev_make_kgid(
        from: *mut bindings::user_namespace,
        gid: bindings::gid_t,
    ) -> bindings::kgid_t;
    pub(super) fn ringdev_make_kuid(
        from: *mut bindings::user_namespace,
        uid: bindings::uid_t,
    ) -> bindings::kuid_t;
    pub(super) fn ringdev_device_set_pm_not_required(dev: *mut bindings::device);
    pub(super) fn ringdev_fatal_signal_pending() -> bool;
    pub(super) fn ringdev_file_set_nowait(file: *mut bindings::file);
    pub(super) fn ringdev_file_set_seekable(file: *mut bindings::file);
    pub(super) fn ringdev_kiocb_is_nosignal(iocb: *const bindings::kiocb) -> bool;
    pub(super) fn ringdev_kiocb_is_nowait(iocb: *const bindings::kiocb) -> bool;
    pub(super) fn ringdev_list_del_init(entry: *mut bindings::list_head);
    pub(super) fn ringdev_pagefault_disable();
    pub(super) fn ringdev_pagefault_enable();
    pub(super) fn ringdev_pipe_add_page(
        pipe: *mut bindings::pipe_inode_info,
        page: *mut bindings::page,
        len: c_uint,
    );
    pub(super) fn ringdev_pipe_free_slots(pipe: *const bindings::pipe_inode_info) -> c_uint;
    pub(super) fn ringdev_pipe_has_readers(pipe: *const bindings::pipe_inode_info) -> bool;
    pub(super) fn ringdev_pipe_is_of_sendfile(pipe: *const bindings::pipe_inode_info) -> bool;
    pub(super) fn ringdev_pipe_writers_queue(
        pipe: *mut bindings::pipe_inode_info,
    ) -> *mut bindings::wait_queue_head;
    pub(super) fn ringdev_poll_requested_events(
        table: *const bindings::poll_table,
    ) -> bindings::__poll_t;
    pub(super) fn ringdev_task_sigpending() -> bool;
    pub(super) fn ringdev_vmap(pages: *mut *mut bindings::page, count: c_uint) -> *mut c_void;
}

extern "C" {
    pub(super) fn pipe_lock(pipe: *mut bindings::pipe_inode_info);
    pub(super) fn pipe_unlock(pipe: *mut bindings::pipe_inode_info);
    pub(super) fn vunmap(addr: *const c_void);
    pub(super) fn fault_in_readable(addr: *const c_char, size: usize) -> usize;
    pub(super) fn fault_in_safe_writeable(addr: *const c_char, size: usize) -> usize;
    pub(super) fn fault_in_iov_iter_readable(iter: *const bindings::iov_iter, size: usize)
        -> usize;
    pub(super) fn fault_in_iov_iter_writeable(
        iter: *const bindings::iov_iter,
        size: usize,
    ) -> usize;
}
