// SPDX-License-Identifier: GPL-2.0
/*
 * splice(2) from a ring. copy_splice_read() would wait for data with the pipe locked, and hold up
 * all other users of the pipe. Here the data are waited for with the pipe unlocked, and taken with
 * it locked by a read that does not wait: nothing is taken that the pipe does not get.
 */
#include <linux/bvec.h>
#include <linux/gfp.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/splice.h>

#include "ring.h"

static unsigned int free_slots(const struct pipe_inode_info *pipe)
{
	return max_t(int, READ_ONCE(pipe->max_usage) - pipe_buf_usage(pipe), 0);
}

/* Fails, and sends SIGPIPE, if nobody is left to read from the pipe. */
static int check_readers(struct pipe_inode_info *pipe)
{
	if (pipe->readers)
		return 0;
	send_sig(SIGPIPE, current, 0);
	return -EPIPE;
}

/* Reads without waiting at most len bytes, for which the pipe has slots, and appends them. */
static ssize_t read_pages(struct ring *ring, const struct read_end *end, bool headers,
			  struct pipe_inode_info *pipe, size_t len)
{
	size_t count = DIV_ROUND_UP(len, PAGE_SIZE), used = 0, i;
	struct iov_iter to;
	struct bio_vec *pages;
	ssize_t read = -ENOMEM;

	pages = kcalloc(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			goto out;
		bvec_set_page(&pages[i], page, min(len - i * PAGE_SIZE, PAGE_SIZE), 0);
	}
	iov_iter_bvec(&to, ITER_DEST, pages, count, len);
	read = ring_read(ring, end, &to, headers, true);
	for (; read > 0 && used * PAGE_SIZE < read; used++) {
		struct pipe_buffer buffer = {
			.ops = &nosteal_pipe_buf_ops,
			.page = pages[used].bv_page,
			.len = min_t(size_t, read - used * PAGE_SIZE, PAGE_SIZE),
		};

		/* It takes over the page. */
		add_to_pipe(pipe, &buffer);
	}
out:
	for (i = used; i < count && pages[i].bv_page; i++)
		__free_page(pages[i].bv_page);
	kfree(pages);
	return read;
}

/* With the pipe locked, as the VFS calls it. */
ssize_t ring_splice_read(struct ring *ring, const struct read_end *end, bool headers,
			 struct pipe_inode_info *pipe, size_t len, bool nowait)
{
	ssize_t read;
	int err;

	/* sendfile(2), which drops what its output does not take. */
	if (pipe == current->splice_pipe)
		return -EINVAL;
	for (;;) {
		size_t slots = free_slots(pipe);

		if (!slots) {
			/* Others have filled it while it was unlocked. */
			if (nowait)
				return -EAGAIN;
			ring_read_given_up(ring, end);
			pipe_unlock(pipe);
			err = wait_event_interruptible(pipe->wr_wait, free_slots(pipe) ||
						       !READ_ONCE(pipe->readers));
			pipe_lock(pipe);
			if (!err)
				err = check_readers(pipe);
			if (err)
				return err;
			continue;
		}
		read = read_pages(ring, end, headers, pipe, min(len, slots * PAGE_SIZE));
		if (read != -EAGAIN || nowait)
			return read;
		pipe_unlock(pipe);
		err = ring_wait_to_read(ring, end);
		/* The pipe's lock may be held for as long as its owner likes. */
		ring_read_given_up(ring, end);
		pipe_lock(pipe);
		if (!err)
			err = check_readers(pipe);
		if (err)
			return err;
	}
}
