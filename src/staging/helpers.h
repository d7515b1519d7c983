/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The wrappers of helpers.c. Their Rust declarations are in sys.rs.
 */
#ifndef _RINGDEV_HELPERS_H
#define _RINGDEV_HELPERS_H

#include <linux/types.h>

struct file;
struct kiocb;
struct page;
struct poll_table_struct;
struct wait_queue_head;

void ringdev_file_set_nowait(struct file *file);
bool ringdev_kiocb_is_nowait(const struct kiocb *iocb);
void ringdev_pagefault_disable(void);
void ringdev_pagefault_enable(void);
__poll_t ringdev_poll_requested_events(const struct poll_table_struct *table);
void *ringdev_vmap(struct page **pages, unsigned int count);
bool ringdev_waitqueue_active(struct wait_queue_head *head);

#endif /* _RINGDEV_HELPERS_H */
