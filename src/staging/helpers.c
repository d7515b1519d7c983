// SPDX-License-Identifier: GPL-2.0
/*
 * One-line wrappers of inline functions and macros that bindgen cannot see, as the kernel has
 * them in rust/helpers/. No logic belongs here. The Rust side is sys.rs.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "helpers.h"

void ringdev_file_set_nowait(struct file *file)
{
	file->f_mode |= FMODE_NOWAIT;
}

bool ringdev_kiocb_is_nowait(const struct kiocb *iocb)
{
	return iocb->ki_flags & IOCB_NOWAIT;
}

void ringdev_pagefault_disable(void)
{
	pagefault_disable();
}

void ringdev_pagefault_enable(void)
{
	pagefault_enable();
}

__poll_t ringdev_poll_requested_events(const struct poll_table_struct *table)
{
	return poll_requested_events(table);
}

void *ringdev_vmap(struct page **pages, unsigned int count)
{
	return vmap(pages, count, VM_MAP, PAGE_KERNEL);
}

bool ringdev_waitqueue_active(struct wait_queue_head *head)
{
	return waitqueue_active(head);
}

/*
 * sys.rs declares these by hand, since the kernel crate's bindings do not include their headers.
 * A kernel that changes one of them must not build the module.
 */
#define SAME_TYPE(function, type) \
	static_assert(__builtin_types_compatible_p(typeof(function), type))

typedef void vunmap_t(const void *addr);
typedef size_t fault_in_readable_t(const char __user *addr, size_t size);
typedef size_t fault_in_writeable_t(char __user *addr, size_t size);
typedef size_t fault_in_iov_iter_t(const struct iov_iter *iter, size_t size);

SAME_TYPE(vunmap, vunmap_t);
SAME_TYPE(fault_in_readable, fault_in_readable_t);
SAME_TYPE(fault_in_writeable, fault_in_writeable_t);
SAME_TYPE(fault_in_iov_iter_readable, fault_in_iov_iter_t);
SAME_TYPE(fault_in_iov_iter_writeable, fault_in_iov_iter_t);
