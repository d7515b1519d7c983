// SPDX-License-Identifier: GPL-2.0

//! splice(2) from a device that has no page cache.
//!
//! `copy_splice_read()` calls `read_iter`, which may wait for data, with the pipe locked: until
//! there are some, every other user of the pipe waits as well, also one with `O_NONBLOCK`, and
//! cannot be killed. Here the data are waited for with the pipe unlocked, and taken with it locked
//! by a read that does not wait. So nothing is taken that the pipe does not get.
//!
//! sendfile(2) reads by way of a pipe of the calling task, and drops what its output does not take.
//! It is refused, as for every input that cannot be read again.
//!
//! # Locks
//!
//! The lock of the pipe is taken outside those of [`FileOperations::read`].
//!
//! Upstream: the kernel crate has nothing of splice(2).
//!
//! C header: [`include/linux/splice.h`](srctree/include/linux/splice.h)

use super::{
    file::{
        FileOperations,
        Waiting, //
    },
    signal,
    sys,
    transfer::IovDestination, //
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    error::to_result,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};

// CAST: Both are 1.
const INTERRUPTIBLE: kernel::ffi::c_int = bindings::TASK_INTERRUPTIBLE as kernel::ffi::c_int;

/// The pipe of a call of the `splice_read` operation.
///
/// # Invariants
///
/// The pointer is valid for as long as the value lives, and the pipe locked by this thread.
struct LockedPipe(*mut bindings::pipe_inode_info);

impl LockedPipe {
    /// Whether sendfile(2) uses it.
    fn is_of_sendfile(&self) -> bool {
        // SAFETY: By the type invariant the pipe is valid.
        unsafe { sys::ringdev_pipe_is_of_sendfile(self.0) }
    }

    /// How many more pages it takes.
    fn free_slots(&self) -> usize {
        // SAFETY: By the type invariant the pipe is valid.
        // CAST: 32 bits fit.
        unsafe { sys::ringdev_pipe_free_slots(self.0) as usize }
    }

    /// Fails with `EPIPE`, and sends SIGPIPE, if nobody is left to read from it.
    fn check_readers(&self) -> Result {
        // SAFETY: By the type invariant the pipe is valid.
        if unsafe { sys::ringdev_pipe_has_readers(self.0) } {
            return Ok(());
        }
        signal::send_sigpipe();
        Err(EPIPE)
    }

    /// Appends the first `len` bytes of a page. It must take one.
    fn add(&mut self, page: Page, len: usize) {
        // CAST: At most a page.
        let len = len.min(PAGE_SIZE) as u32;
        let page = core::mem::ManuallyDrop::new(page);
        // SAFETY: By the type invariant the pipe is valid and locked. It takes over the reference
        // to the page, whether it takes the page or not.
        unsafe { sys::ringdev_pipe_add_page(self.0, page.as_ptr(), len) };
    }

    /// Calls `wait` with the pipe unlocked.
    fn unlocked<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        // INVARIANT: It is locked again before anybody else sees `self`.
        // SAFETY: By the type invariant the pipe is locked by this thread, and the caller of
        // `splice_read` keeps it: it holds a reference to the file of the pipe.
        unsafe { sys::pipe_unlock(self.0) };
        let result = wait();
        // SAFETY: As above.
        unsafe { sys::pipe_lock(self.0) };
        result
    }

    /// Waits until it takes a page, or nobody reads from it. `ERESTARTSYS`.
    fn wait_for_slot(&mut self) -> Result {
        let pipe = self.0;
        self.unlocked(|| {
            let mut entry = MaybeUninit::<bindings::wait_queue_entry>::uninit();
            let entry = entry.as_mut_ptr();
            // SAFETY: The pipe stays valid, and its queue with it.
            let queue = unsafe { sys::ringdev_pipe_writers_queue(pipe) };
            // SAFETY: `entry` is valid for writes, and does not move.
            unsafe { bindings::init_wait_entry(entry, 0) };
            loop {
                // SAFETY: Both are valid; `entry` leaves the queue before this function returns.
                let interrupted =
                    unsafe { bindings::prepare_to_wait_event(queue, entry, INTERRUPTIBLE) };
                // SAFETY: The pipe is valid. An answer that is out of date is found out with the
                // pipe locked.
                let is_ready = unsafe {
                    sys::ringdev_pipe_free_slots(pipe) > 0 || !sys::ringdev_pipe_has_readers(pipe)
                };
                if is_ready {
                    // SAFETY: As above.
                    unsafe { bindings::finish_wait(queue, entry) };
                    return Ok(());
                }
                if interrupted != 0 {
                    // `prepare_to_wait_event()` has taken the entry out.
                    // CAST: An errno.
                    return to_result(interrupted as kernel::ffi::c_int);
                }
                // SAFETY: No lock is held.
                unsafe { bindings::schedule() };
            }
        })
    }
}

/// The `splice_read` operation: moves at most `len` bytes of `this` into a pipe. Returns how many.
///
/// # Safety
///
/// `pipe` must be valid and locked by this thread.
pub(super) unsafe fn read<T: FileOperations>(
    this: &T,
    pipe: *mut bindings::pipe_inode_info,
    len: usize,
    waiting: Waiting,
) -> Result<usize> {
    // INVARIANT: By the safety requirements.
    let mut pipe = LockedPipe(pipe);
    if pipe.is_of_sendfile() {
        return Err(EINVAL);
    }
    loop {
        let slots = pipe.free_slots();
        if slots == 0 {
            // Others have filled it while it was unlocked.
            if waiting == Waiting::Refused {
                return Err(EAGAIN);
            }
            // Whatever this thread was woken for is for others now.
            this.read_given_up();
            pipe.wait_for_slot()?;
            pipe.check_readers()?;
            continue;
        }
        let most = len.min(slots.saturating_mul(PAGE_SIZE));
        match read_pages(this, &mut pipe, most) {
            Err(EAGAIN) if waiting == Waiting::Allowed => {}
            result => return result,
        }
        pipe.unlocked(|| {
            let ready = this.wait_to_read();
            // The pipe's lock may be held for as long as its owner likes.
            this.read_given_up();
            ready
        })?;
        pipe.check_readers()?;
    }
}

/// Reads at most `len` bytes without waiting, for which the pipe has slots, and appends them.
fn read_pages<T: FileOperations>(this: &T, pipe: &mut LockedPipe, len: usize) -> Result<usize> {
    let count = len.div_ceil(PAGE_SIZE);
    let mut pages = KVec::with_capacity(count, GFP_KERNEL)?;
    let mut segments = KVec::with_capacity(count, GFP_KERNEL)?;
    let mut left = len;
    while left > 0 {
        let page = Page::alloc_page(GFP_KERNEL)?;
        let part = left.min(PAGE_SIZE);
        segments.push(
            bindings::bio_vec {
                bv_page: page.as_ptr(),
                // CAST: At most a page.
                bv_len: part as u32,
                bv_offset: 0,
            },
            GFP_KERNEL,
        )?;
        pages.push(page, GFP_KERNEL)?;
        left -= part;
    }
    let mut iter = MaybeUninit::uninit();
    // SAFETY: The segments are pages of ours, and live as long as the iterator.
    unsafe {
        bindings::iov_iter_bvec(
            iter.as_mut_ptr(),
            bindings::ITER_DEST,
            segments.as_ptr(),
            segments.len(),
            len,
        )
    };
    // SAFETY: The iterator was just made, a destination, and is ours.
    let mut to = unsafe { IovDestination::new(iter.as_mut_ptr()) };
    let read = this.read(&mut to, Waiting::Refused)?;
    let mut left = read;
    for page in pages {
        if left == 0 {
            break;
        }
        let part = left.min(PAGE_SIZE);
        pipe.add(page, part);
        left -= part;
    }
    Ok(read)
}
