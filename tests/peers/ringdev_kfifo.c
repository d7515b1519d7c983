// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/ringdev-kfifo: a ring as a driver in C has it today, a struct kfifo in a misc device, with
 * one mutex around both sides and a wait queue for each.
 *
 * It is what ringdev is measured beside (`make bench`), written as one would write it who wants it
 * short and right, not fast.
 */
#include <linux/fs.h>
#include <linux/kfifo.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sizes.h>
#include <linux/wait.h>

/* As much as /dev/ring/0 holds. */
#define CAPACITY SZ_256K

static DEFINE_MUTEX(fifo_lock);
static DECLARE_WAIT_QUEUE_HEAD(readers);
static DECLARE_WAIT_QUEUE_HEAD(writers);
/* Under fifo_lock, but for the looks of those who wait. */
static struct kfifo fifo;

static ssize_t fifo_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	unsigned int copied;
	int err;

	if (!len)
		return 0;
	if (mutex_lock_interruptible(&fifo_lock))
		return -ERESTARTSYS;
	while (kfifo_is_empty(&fifo)) {
		mutex_unlock(&fifo_lock);
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(readers, !kfifo_is_empty(&fifo)))
			return -ERESTARTSYS;
		if (mutex_lock_interruptible(&fifo_lock))
			return -ERESTARTSYS;
	}
	err = kfifo_to_user(&fifo, to, len, &copied);
	mutex_unlock(&fifo_lock);
	if (!copied)
		return err;
	wake_up_interruptible_poll(&writers, EPOLLOUT | EPOLLWRNORM);
	return copied;
}

static ssize_t fifo_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	unsigned int copied;
	int err;

	if (!len)
		return 0;
	if (mutex_lock_interruptible(&fifo_lock))
		return -ERESTARTSYS;
	while (kfifo_is_full(&fifo)) {
		mutex_unlock(&fifo_lock);
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(writers, !kfifo_is_full(&fifo)))
			return -ERESTARTSYS;
		if (mutex_lock_interruptible(&fifo_lock))
			return -ERESTARTSYS;
	}
	err = kfifo_from_user(&fifo, from, len, &copied);
	mutex_unlock(&fifo_lock);
	if (!copied)
		return err;
	wake_up_interruptible_poll(&readers, EPOLLIN | EPOLLRDNORM);
	return copied;
}

static __poll_t fifo_poll(struct file *file, poll_table *table)
{
	__poll_t events = 0;

	poll_wait(file, &readers, table);
	poll_wait(file, &writers, table);
	if (!kfifo_is_empty(&fifo))
		events |= EPOLLIN | EPOLLRDNORM;
	if (!kfifo_is_full(&fifo))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

static int fifo_open(struct inode *inode, struct file *file)
{
	return stream_open(inode, file);
}

static const struct file_operations fifo_fops = {
	.owner = THIS_MODULE,
	.open = fifo_open,
	.read = fifo_read,
	.write = fifo_write,
	.poll = fifo_poll,
};

static struct miscdevice fifo_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ringdev-kfifo",
	.fops = &fifo_fops,
};

static int __init fifo_init(void)
{
	int err = kfifo_alloc(&fifo, CAPACITY, GFP_KERNEL);

	if (err)
		return err;
	err = misc_register(&fifo_device);
	if (err)
		kfifo_free(&fifo);
	return err;
}
module_init(fifo_init);

static void __exit fifo_exit(void)
{
	misc_deregister(&fifo_device);
	kfifo_free(&fifo);
}
module_exit(fifo_exit);

MODULE_DESCRIPTION("A kfifo in a misc device, for ringdev's benchmark");
MODULE_LICENSE("GPL");
