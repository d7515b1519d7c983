// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers of inline functions and macros that bindgen cannot see, as the kernel has them in
 * rust/helpers/: one line each, but for the two copies, where a small read(2) would feel three
 * calls in place of one. No logic belongs here. The Rust side is sys.rs.
 */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include "helpers.h"

/* The module! macro has no field for it. Cargo.toml says which it is; tests/lab compares. */
MODULE_VERSION("0.1.0");

int ringdev_copy_struct_from_user(void *dst, size_t ksize, const void __user *src, size_t usize)
{
	return copy_struct_from_user(dst, ksize, src, usize);
}

int ringdev_copy_struct_to_user(void __user *dst, size_t usize, const void *src, size_t ksize)
{
	return copy_struct_to_user(dst, usize, src, ksize, NULL);
}

/* Not copy_from_user_nofault(): it does not say how far it came. */
size_t ringdev_copy_from_user_nofault(void *to, const void __user *from, size_t len)
{
	pagefault_disable();
	len = _inline_copy_from_user(to, from, len);
	pagefault_enable();
	return len;
}

size_t ringdev_copy_to_user_nofault(void __user *to, const void *from, size_t len)
{
	pagefault_disable();
	len = _inline_copy_to_user(to, from, len);
	pagefault_enable();
	return len;
}

gid_t ringdev_from_kgid_munged(struct user_namespace *to, kgid_t gid)
{
	return from_kgid_munged(to, gid);
}

uid_t ringdev_from_kuid_munged(struct user_namespace *to, kuid_t uid)
{
	return from_kuid_munged(to, uid);
}

kgid_t ringdev_make_kgid(struct user_namespace *from, gid_t gid)
{
	return make_kgid(from, gid);
}

kuid_t ringdev_make_kuid(struct user_namespace *from, uid_t uid)
{
	return make_kuid(from, uid);
}

void ringdev_device_set_pm_not_required(struct device *dev)
{
	device_set_pm_not_required(dev);
}

bool ringdev_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

void ringdev_file_set_nowait(struct file *file)
{
	file->f_mode |= FMODE_NOWAIT;
}

void ringdev_file_set_seekable(struct file *file)
{
	file->f_mode |= FMODE_LSEEK;
}

bool ringdev_kiocb_is_nosignal(const struct kiocb *iocb)
{
	return iocb->ki_flags & IOCB_NOSIGNAL;
}

bool ringdev_kiocb_is_nowait(const struct kiocb *iocb)
{
	return iocb->ki_flags & IOCB_NOWAIT;
}

void ringdev_list_del_init(struct list_head *entry)
{
	list_del_init(entry);
}

void ringdev_pagefault_disable(void)
{
	pagefault_disable();
}

void ringdev_pagefault_enable(void)
{
	pagefault_enable();
}

void ringdev_pipe_add_page(struct pipe_inode_info *pipe, struct page *page, unsigned int len)
{
	add_to_pipe(pipe, &(struct pipe_buffer) {
		.ops = &nosteal_pipe_buf_ops, .page = page, .len = len,
	});
}

unsigned int ringdev_pipe_free_slots(const struct pipe_inode_info *pipe)
{
	return max_t(int, READ_ONCE(pipe->max_usage) - pipe_buf_usage(pipe), 0);
}

bool ringdev_pipe_has_readers(const struct pipe_inode_info *pipe)
{
	return READ_ONCE(pipe->readers);
}

bool ringdev_pipe_is_of_sendfile(const struct pipe_inode_info *pipe)
{
	return pipe == current->splice_pipe;
}

struct wait_queue_head *ringdev_pipe_writers_queue(struct pipe_inode_info *pipe)
{
	return &pipe->wr_wait;
}

__poll_t ringdev_poll_requested_events(const struct poll_table_struct *table)
{
	return poll_requested_events(table);
}

bool ringdev_task_sigpending(void)
{
	return task_sigpending(current);
}

void *ringdev_vmap(struct page **pages, unsigned int count)
{
	return vmap(pages, count, VM_MAP, PAGE_KERNEL);
}

/* What sys.rs declares by hand. */
typedef void pipe_lock_t(struct pipe_inode_info *pipe);
typedef void vunmap_t(const void *addr);
typedef size_t fault_in_readable_t(const char __user *addr, size_t size);
typedef size_t fault_in_safe_writeable_t(const char __user *addr, size_t size);
typedef size_t fault_in_iov_iter_t(const struct iov_iter *iter, size_t size);

SAME_TYPE(pipe_lock, pipe_lock_t);
SAME_TYPE(pipe_unlock, pipe_lock_t);
SAME_TYPE(vunmap, vunmap_t);
SAME_TYPE(fault_in_readable, fault_in_readable_t);
SAME_TYPE(fault_in_safe_writeable, fault_in_safe_writeable_t);
SAME_TYPE(fault_in_iov_iter_readable, fault_in_iov_iter_t);
SAME_TYPE(fault_in_iov_iter_writeable, fault_in_iov_iter_t);
