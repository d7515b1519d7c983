/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The wrappers of helpers.c. Their Rust declarations are in sys.rs.
 */
#ifndef _RINGDEV_HELPERS_H
#define _RINGDEV_HELPERS_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <linux/uidgid_types.h>

struct device;
struct file;
struct kiocb;
struct list_head;
struct page;
struct pipe_inode_info;
struct poll_table_struct;
struct user_namespace;
struct wait_queue_head;

int ringdev_copy_struct_from_user(void *dst, size_t ksize, const void __user *src, size_t usize);
int ringdev_copy_struct_to_user(void __user *dst, size_t usize, const void *src, size_t ksize);
size_t ringdev_copy_from_user_nofault(void *to, const void __user *from, size_t len);
size_t ringdev_copy_to_user_nofault(void __user *to, const void *from, size_t len);
gid_t ringdev_from_kgid_munged(struct user_namespace *to, kgid_t gid);
uid_t ringdev_from_kuid_munged(struct user_namespace *to, kuid_t uid);
kgid_t ringdev_make_kgid(struct user_namespace *from, gid_t gid);
kuid_t ringdev_make_kuid(struct user_namespace *from, uid_t uid);
void ringdev_device_set_pm_not_required(struct device *dev);
bool ringdev_fatal_signal_pending(void);
void ringdev_file_set_nowait(struct file *file);
void ringdev_file_set_seekable(struct file *file);
bool ringdev_kiocb_is_nosignal(const struct kiocb *iocb);
bool ringdev_kiocb_is_nowait(const struct kiocb *iocb);
void ringdev_list_del_init(struct list_head *entry);
void ringdev_pagefault_disable(void);
void ringdev_pagefault_enable(void);
void ringdev_pipe_add_page(struct pipe_inode_info *pipe, struct page *page, unsigned int len);
unsigned int ringdev_pipe_free_slots(const struct pipe_inode_info *pipe);
bool ringdev_pipe_has_readers(const struct pipe_inode_info *pipe);
bool ringdev_pipe_is_of_sendfile(const struct pipe_inode_info *pipe);
struct wait_queue_head *ringdev_pipe_writers_queue(struct pipe_inode_info *pipe);
__poll_t ringdev_poll_requested_events(const struct poll_table_struct *table);
bool ringdev_task_sigpending(void);
void *ringdev_vmap(struct page **pages, unsigned int count);

/*
 * Some of what Rust calls is declared there by hand, since the kernel crate's bindings do not have
 * it. A kernel that changes one of these must not build the module.
 */
#define SAME_TYPE(what, type) \
	static_assert(__builtin_types_compatible_p(typeof(what), type))

#endif /* _RINGDEV_HELPERS_H */
