// SPDX-License-Identifier: GPL-2.0
/* An open file of a ring. */
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>

#include <asm/ioctls.h>

#include "twin.h"

/* The ring outlives it: the VFS holds a reference to the cdev until after release. */
struct endpoint {
	struct ring *ring;
	struct read_end end;
	/* A read returns records with their headers. */
	bool headers;
	/* Around the lists of those who get SIGIO that the file is in; see endpoint_fasync(). */
	struct mutex signalled_lock;
};

/* Inline, unlike copy_from_user_nofault(), as a small read or write would feel the call. */
static __always_inline size_t copy_from_user_inline(void *to, const void __user *from, size_t len)
{
	pagefault_disable();
	len = _inline_copy_from_user(to, from, len);
	pagefault_enable();
	return len;
}

static __always_inline size_t copy_to_user_inline(void __user *to, const void *from, size_t len)
{
	pagefault_disable();
	len = _inline_copy_to_user(to, from, len);
	pagefault_enable();
	return len;
}

static bool is_nowait(const struct file *file)
{
	return file->f_flags & O_NONBLOCK;
}

static noinline ssize_t read_slowly(struct file *file, char __user *buffer, size_t len)
{
	struct endpoint *endpoint = file->private_data;
	struct iov_iter to;

	iov_iter_ubuf(&to, ITER_DEST, buffer, len);
	return ring_read(endpoint->ring, &endpoint->end, &to, READ_ONCE(endpoint->headers),
			 is_nowait(file));
}

static noinline ssize_t write_slowly(struct file *file, const char __user *buffer, size_t len)
{
	struct endpoint *endpoint = file->private_data;
	struct iov_iter from;

	iov_iter_ubuf(&from, ITER_SOURCE, (char __user *)buffer, len);
	return ring_write(endpoint->ring, &from, is_nowait(file), false);
}

/*
 * The most common read, in as few instructions as it takes: from a pipe that persists, in one
 * piece, without waiting. If it is not that simple nothing has happened, and it is done the long
 * way.
 */
static ssize_t endpoint_read(struct file *file, char __user *buffer, size_t len, loff_t *pos)
{
	struct endpoint *endpoint = file->private_data;
	struct ring *ring = endpoint->ring;
	struct cursor *cursor = &ring->shared;
	u64 tail, unread;

	/* Not for 0 bytes either. */
	if (unlikely(len - 1 >= READ_ONCE(cursor->at_once)))
		return read_slowly(file, buffer, len);

	mutex_lock(&cursor->lock);
	tail = ring->tail;
	unread = cursor->head_seen - tail;
	if (unread < len)
		unread = cursor_look(ring, cursor, tail);
	unread = min(unread, len);
	if (unlikely(cursor->ending || !unread ||
		     copy_to_user_inline(buffer, cursor_at(cursor, tail), unread))) {
		mutex_unlock(&cursor->lock);
		return read_slowly(file, buffer, len);
	}
	release_mark(&ring->tail, tail + unread);
	mutex_unlock(&cursor->lock);

	wake_writers(ring, tail);
	if (unlikely(has_sleepers(&ring->readers)))
		pass_on_to_reader(ring, cursor);
	return unread;
}

/* The most common write, likewise. */
static ssize_t endpoint_write(struct file *file, const char __user *buffer, size_t len, loff_t *pos)
{
	struct endpoint *endpoint = file->private_data;
	struct ring *ring = endpoint->ring;
	struct producer *producer = &ring->producer;
	u64 head;

	if (unlikely(len - 1 >= ring->at_once))
		return write_slowly(file, buffer, len);

	mutex_lock(&producer->lock);
	head = ring->head;
	/* One that was destroyed has no room by its limit. */
	if (unlikely(producer->limit - head < len &&
		     (producer->refused || producer_look(ring) < len)))
		goto slow;
	if (unlikely(copy_from_user_inline(producer_at(producer, head), buffer, len)))
		goto slow;
	/* Pairs with the acquire in load_head(). */
	smp_store_release(&ring->head, head + len);
	mutex_unlock(&producer->lock);

	wake_readers(ring, head, head + len);
	if (unlikely(has_sleepers(&ring->writers)))
		pass_on_to_writer(ring);
	return len;

slow:
	mutex_unlock(&producer->lock);
	return write_slowly(file, buffer, len);
}

static ssize_t endpoint_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct endpoint *endpoint = iocb->ki_filp->private_data;

	return ring_read(endpoint->ring, &endpoint->end, to, READ_ONCE(endpoint->headers),
			 iocb->ki_flags & IOCB_NOWAIT || is_nowait(iocb->ki_filp));
}

static ssize_t endpoint_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe,
				    size_t len, unsigned int flags)
{
	struct endpoint *endpoint = file->private_data;

	return ring_splice_read(endpoint->ring, &endpoint->end, READ_ONCE(endpoint->headers), pipe,
				len, flags & SPLICE_F_NONBLOCK || is_nowait(file));
}

static ssize_t endpoint_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct endpoint *endpoint = iocb->ki_filp->private_data;

	return ring_write(endpoint->ring, from,
			  iocb->ki_flags & IOCB_NOWAIT || is_nowait(iocb->ki_filp),
			  iocb->ki_flags & IOCB_NOSIGNAL);
}

/* Whether something was lost here that nobody has been told of, noticed or not. */
static bool has_missed(struct ring *ring, struct cursor *cursor)
{
	/* First, as the tail does not pass a mark that nobody overwrites. */
	u64 tail = load_mark(&ring->tail);

	/* In this order: it is noted before the mark moves over it. */
	return is_beyond(tail, load_mark(cursor->mark)) || READ_ONCE(cursor->missed);
}

static __poll_t readable(struct ring *ring, const struct read_end *end)
{
	struct cursor *cursor = end->cursor;
	__poll_t events = 0;

	if (READ_ONCE(cursor->evicted))
		return EPOLLIN | EPOLLRDNORM | EPOLLHUP | EPOLLERR;
	if (ring_is_at_end(ring, end))
		events |= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
	else if (ring_is_ready_to_poll(ring, end))
		events |= EPOLLIN | EPOLLRDNORM;
	if (has_missed(ring, cursor))
		events |= EPOLLPRI;
	return events;
}

static __poll_t writable(struct ring *ring)
{
	if (ring_is_refused(ring))
		return EPOLLOUT | EPOLLWRNORM | EPOLLERR;
	if (ring->overwrites || ring_room(ring) >= ring_max_needed(ring))
		return EPOLLOUT | EPOLLWRNORM;
	return 0;
}

/* For who has joined the queue of a side that may have these events. */
static void note_edges(struct side *side, poll_table *table, __poll_t events)
{
	__poll_t requested = poll_requested_events(table);

	if (requested & (EPOLLET | EPOLLEXCLUSIVE) && requested & events)
		WRITE_ONCE(side->every_edge, true);
}

/* Exact: readable if and only if a read would return, and writable if and only if a write would. */
static __poll_t endpoint_poll(struct file *file, poll_table *table)
{
	struct endpoint *endpoint = file->private_data;
	struct ring *ring = endpoint->ring;
	__poll_t events = 0;

	if (endpoint->end.cursor) {
		cursor_join_pollers(endpoint->end.cursor, file, table);
		note_edges(&ring->readers, table, EPOLLIN | EPOLLRDNORM | EPOLLPRI);
		events |= readable(ring, &endpoint->end);
	}
	if (opened_to_write(file)) {
		poll_wait(file, &ring->writers.pollers, table);
		note_edges(&ring->writers, table, EPOLLOUT | EPOLLWRNORM);
		events |= writable(ring);
	}
	return events;
}

/*
 * FASYNC, by which __fput() knows that a file has to be taken out of something, is one bit, which
 * fasync_helper() sets and clears for each list alone, and two fcntl(2) of a file may come here at
 * the same time. With the lock held over both lists the file is in all that are its own or in none,
 * and the bit says which.
 */
static int endpoint_fasync(int fd, struct file *file, int on)
{
	struct endpoint *endpoint = file->private_data;
	struct ring *ring = endpoint->ring;
	int changed = 0;
	int err = 0;

	mutex_lock(&endpoint->signalled_lock);
	if (opened_to_read(file)) {
		changed = fasync_helper(fd, file, on, &ring->readers.signalled);
		err = changed;
	}
	if (err >= 0 && opened_to_write(file)) {
		err = fasync_helper(fd, file, on, &ring->writers.signalled);
		/* Only what was put in here: a file that was in one list stays in both. */
		if (err < 0 && changed > 0)
			fasync_helper(-1, file, 0, &ring->readers.signalled);
	}
	mutex_unlock(&endpoint->signalled_lock);
	/* Who does not see the file in the list has done what its owner will see. */
	smp_mb();
	return min(err, 0);
}

static loff_t endpoint_llseek(struct file *file, loff_t offset, int whence)
{
	struct endpoint *endpoint = file->private_data;

	if (offset || (whence != SEEK_SET && whence != SEEK_END))
		return -EINVAL;
	return ring_seek(endpoint->ring, endpoint->end.cursor, whence == SEEK_SET);
}

/* How large a buffer the next read needs. Who only writes may ask how much is there. */
static int store_next_read(struct endpoint *endpoint, int __user *to)
{
	struct ring *ring = endpoint->ring;
	u64 next;

	if (endpoint->end.cursor)
		next = ring_next_read(ring, endpoint->end.cursor, READ_ONCE(endpoint->headers));
	else
		next = ring_unread(ring, &ring->tail);
	return put_user((int)min_t(u64, next, INT_MAX), to);
}

static int give_info(struct endpoint *endpoint, void __user *argument)
{
	struct ringdev_info info;
	int err = take(&info, sizeof(info), argument);

	if (err)
		return err;
	if (info.flags)
		return -EINVAL;
	ring_info(endpoint->ring, &info);
	return give(&info, sizeof(info), argument);
}

static int give_cursor(struct endpoint *endpoint, void __user *argument)
{
	struct ringdev_cursor cursor;
	int err = take(&cursor, sizeof(cursor), argument);

	if (err)
		return err;
	if (cursor.flags || cursor.id || memchr_inv(cursor.name, 0, sizeof(cursor.name)))
		return -EINVAL;
	if (!endpoint->end.cursor)
		return -EBADF;
	ring_cursor_info(endpoint->ring, endpoint->end.cursor, &cursor);
	err = give(&cursor, sizeof(cursor), argument);
	if (!err)
		ring_cursor_told(endpoint->ring, endpoint->end.cursor, &cursor);
	return err;
}

static int set_watermark(struct endpoint *endpoint, void __user *argument)
{
	struct ringdev_watermark asked;
	int err = take(&asked, sizeof(asked), argument);

	if (err)
		return err;
	if (asked.flags)
		return -EINVAL;
	if (!endpoint->end.cursor)
		return -EBADF;
	return cursor_set_watermark(endpoint->ring, endpoint->end.cursor,
				    (struct watermark) { asked.bytes, asked.delay_ns });
}

static int set_read_mode(struct endpoint *endpoint, void __user *argument)
{
	struct ringdev_read_mode asked;
	int err = take(&asked, sizeof(asked), argument);

	if (err)
		return err;
	if (asked.flags & ~RINGDEV_HEADERS)
		return -EINVAL;
	if (!endpoint->end.cursor)
		return -EBADF;
	if (!endpoint->ring->is_record)
		return -EINVAL;
	WRITE_ONCE(endpoint->headers, asked.flags & RINGDEV_HEADERS);
	return 0;
}

static long endpoint_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	struct endpoint *endpoint = file->private_data;
	void __user *argument = (void __user *)arg;

	switch (command) {
	case FIONREAD:
		return store_next_read(endpoint, argument);
	case RINGDEV_IOC_INFO:
		return give_info(endpoint, argument);
	case RINGDEV_IOC_CURSOR:
		return give_cursor(endpoint, argument);
	case RINGDEV_IOC_WATERMARK:
		return set_watermark(endpoint, argument);
	case RINGDEV_IOC_READ_MODE:
		return set_read_mode(endpoint, argument);
	default:
		return -ENOTTY;
	}
}

static void endpoint_show_fdinfo(struct seq_file *to, struct file *file)
{
	struct endpoint *endpoint = file->private_data;
	struct ringdev_cursor cursor;
	struct ringdev_info info;

	ring_info(endpoint->ring, &info);
	seq_printf(to, "ring-id:\t%llu\n", info.id);
	seq_printf(to, "ring-capacity:\t%llu\n", info.capacity);
	seq_printf(to, "ring-framing:\t%u\n", info.framing);
	seq_printf(to, "ring-full:\t%u\n", info.full);
	seq_printf(to, "ring-delivery:\t%u\n", info.delivery);
	seq_printf(to, "ring-flags:\t%u\n", info.flags);
	seq_printf(to, "ring-unread:\t%llu\n", info.unread);
	seq_printf(to, "ring-high-water:\t%llu\n", info.high_water);
	seq_printf(to, "ring-readers:\t%u\n", info.readers);
	seq_printf(to, "ring-writers:\t%u\n", info.writers);
	seq_printf(to, "ring-records-in:\t%llu\n", info.records_in);
	seq_printf(to, "ring-bytes-in:\t%llu\n", info.bytes_in);
	seq_printf(to, "ring-records-dropped:\t%llu\n", info.records_dropped);
	seq_printf(to, "ring-bytes-dropped:\t%llu\n", info.bytes_dropped);
	seq_printf(to, "ring-records-lost:\t%llu\n", info.records_lost);
	seq_printf(to, "ring-bytes-lost:\t%llu\n", info.bytes_lost);
	seq_printf(to, "ring-records-out:\t%llu\n", info.records_out);
	seq_printf(to, "ring-bytes-out:\t%llu\n", info.bytes_out);
	seq_printf(to, "ring-writer-sleeps:\t%llu\n", info.writer_sleeps);
	seq_printf(to, "ring-writer-wakes:\t%llu\n", info.writer_wakes);
	seq_printf(to, "ring-reader-sleeps:\t%llu\n", info.reader_sleeps);
	seq_printf(to, "ring-reader-wakes:\t%llu\n", info.reader_wakes);
	if (!endpoint->end.cursor)
		return;
	ring_cursor_info(endpoint->ring, endpoint->end.cursor, &cursor);
	seq_printf(to, "cursor-id:\t%llu\n", cursor.id);
	seq_printf(to, "cursor-unread:\t%llu\n", cursor.unread);
	seq_printf(to, "cursor-records-out:\t%llu\n", cursor.records_out);
	seq_printf(to, "cursor-bytes-out:\t%llu\n", cursor.bytes_out);
	seq_printf(to, "cursor-records-lost:\t%llu\n", cursor.records_lost);
	seq_printf(to, "cursor-bytes-lost:\t%llu\n", cursor.bytes_lost);
	seq_printf(to, "cursor-watermark:\t%llu\n", cursor.watermark);
	seq_printf(to, "cursor-delay-ns:\t%llu\n", cursor.delay_ns);
}

static int endpoint_open(struct inode *inode, struct file *file)
{
	struct ring *ring = container_of(inode->i_cdev, struct ring, cdev);
	struct endpoint *endpoint;
	int err;

	/* The VFS refuses it as well, but only after this. */
	if (file->f_flags & O_DIRECT)
		return -EINVAL;
	endpoint = kzalloc_obj(*endpoint, GFP_KERNEL_ACCOUNT);
	if (!endpoint)
		return -ENOMEM;
	endpoint->ring = ring;
	mutex_init(&endpoint->signalled_lock);
	err = ring_join(ring, opened_to_read(file), opened_to_write(file), &endpoint->end);
	if (err) {
		kfree(endpoint);
		return err;
	}
	file->private_data = endpoint;
	/* Takes away what llseek, pread and pwrite ask for. */
	stream_open(inode, file);
	file->f_mode |= FMODE_NOWAIT;
	/* There is no position that the VFS knows of. Who only writes has no cursor to move. */
	if (ring->is_broadcast && endpoint->end.cursor)
		file->f_mode |= FMODE_LSEEK;
	return 0;
}

static int endpoint_release(struct inode *inode, struct file *file)
{
	struct endpoint *endpoint = file->private_data;

	ring_leave(endpoint->ring, opened_to_read(file), opened_to_write(file),
		   endpoint->end.cursor);
	kfree(endpoint);
	return 0;
}

const struct file_operations endpoint_fops = {
	.owner = THIS_MODULE,
	.open = mistake(operation_that_is_missing) ? NULL : endpoint_open,
	.release = endpoint_release,
	/* Beside the others: a plain read(2) or write(2) sets up no kiocb and no iterator. */
	.read = endpoint_read,
	.write = endpoint_write,
	.read_iter = endpoint_read_iter,
	.write_iter = endpoint_write_iter,
	.splice_read = endpoint_splice_read,
	.splice_write = iter_file_splice_write,
	.poll = endpoint_poll,
	.unlocked_ioctl = endpoint_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.fasync = endpoint_fasync,
	.llseek = endpoint_llseek,
	.show_fdinfo = endpoint_show_fdinfo,
};
