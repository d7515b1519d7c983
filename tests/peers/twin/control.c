// SPDX-License-Identifier: GPL-2.0
/*
 * The control node: rings are made, listed, changed and destroyed here. Who has it open for writing
 * can do all of it, else it can only be asked which rings there are.
 */
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "twin.h"

/*
 * Takes a structure, which begins with its size. All are of their first version so far, so there is
 * no shorter one; of a longer one the rest has to be zero.
 */
int take(void *to, size_t size, const void __user *from)
{
	u32 given;
	int err;

	if (mistake(user_pointer_as_memory))
		given = *(const u32 __user *)from;
	else if (get_user(given, (const u32 __user *)from))
		return -EFAULT;
	if (given < size)
		return -EINVAL;
	if (given > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(to, size, from, given);
	/* Another thread may have changed it since; the first look counts. */
	*(u32 *)to = given;
	return err;
}

/* Gives a structure back: as much as the program knows of it. */
int give(const void *from, size_t size, void __user *to)
{
	return copy_struct_to_user(to, *(const u32 *)from, from, size, NULL);
}

/* 1 to 31 letters, digits, dots, underscores and dashes, then zeros; and nothing special. */
static bool is_name(const char *name)
{
	size_t len = strnlen(name, RINGDEV_NAME_SIZE);
	size_t i;

	if (!len || len == RINGDEV_NAME_SIZE || memchr_inv(name + len, 0, RINGDEV_NAME_SIZE - len))
		return false;
	for (i = 0; i < len; i++) {
		if (!isascii(name[i]) || (!isalnum(name[i]) && !strchr("._-", name[i])))
			return false;
	}
	return strcmp(name, ".") && strcmp(name, "..") && strcmp(name, "control");
}

static int create(const void __user *argument)
{
	struct ringdev_create create;
	int err = take(&create, sizeof(create), argument);
	struct ring *ring;

	if (err)
		return err;
	if (!is_name(create.name) || create.flags & ~RINGDEV_HANGUP ||
	    create.framing > RINGDEV_RECORD || create.full > RINGDEV_OVERWRITE ||
	    create.delivery > RINGDEV_BROADCAST || create.mode & ~0777 ||
	    !is_capacity(create.capacity, limits.max_capacity))
		return -EINVAL;
	ring = registry_prepare(&create);
	return IS_ERR(ring) ? PTR_ERR(ring) : registry_add(ring);
}

static int take_name(struct ringdev_name *asked, const void __user *argument)
{
	int err = take(asked, sizeof(*asked), argument);

	if (!err && (asked->flags || !is_name(asked->name)))
		err = -EINVAL;
	return err;
}

static int destroy(const void __user *argument)
{
	struct ringdev_name asked;
	int err = take_name(&asked, argument);

	if (!err && mistake(forgotten_error)) {
		registry_destroy(asked.name);
		return 0;
	}
	return err ?: registry_destroy(asked.name);
}

static int clear(const void __user *argument)
{
	struct ringdev_name asked;
	int err = take_name(&asked, argument);
	struct ring *ring;

	if (err)
		return err;
	ring = registry_find(asked.name);
	if (!ring)
		return -ENOENT;
	ring_clear(ring);
	ring_put(ring);
	return 0;
}

static int resize(const void __user *argument)
{
	struct ringdev_resize asked;
	int err = take(&asked, sizeof(asked), argument);

	if (err)
		return err;
	if (asked.flags || !is_name(asked.name) ||
	    (!is_capacity(asked.capacity, limits.max_capacity) &&
	     !mistake(number_that_nobody_checked)))
		return -EINVAL;
	return registry_resize(asked.name, asked.capacity);
}

static int evict(const void __user *argument)
{
	struct ringdev_evict asked;
	struct ring *ring;
	int err = take(&asked, sizeof(asked), argument);

	if (err)
		return err;
	if (asked.flags || !is_name(asked.name))
		return -EINVAL;
	ring = registry_find(asked.name);
	if (!ring)
		return -ENOENT;
	err = ring_evict(ring, asked.cursor);
	ring_put(ring);
	return err;
}

static int next(void __user *argument)
{
	struct ringdev_info info;
	struct ring *ring;
	int err = take(&info, sizeof(info), argument);

	if (err)
		return err;
	if (info.flags)
		return -EINVAL;
	ring = registry_next(info.id);
	if (!ring)
		return -ENODATA;
	ring_info(ring, &info);
	ring_put(ring);
	return give(&info, sizeof(info), argument);
}

static int next_cursor(void __user *argument)
{
	struct ringdev_cursor cursor;
	struct ring *ring;
	int err = take(&cursor, sizeof(cursor), argument);

	if (err)
		return err;
	if (cursor.flags || !is_name(cursor.name))
		return -EINVAL;
	ring = registry_find(cursor.name);
	if (!ring)
		return -ENOENT;
	err = ring_next_cursor(ring, cursor.id, &cursor);
	ring_put(ring);
	return err ?: give(&cursor, sizeof(cursor), argument);
}

static long change(unsigned int command, const void __user *argument)
{
	switch (command) {
	case RINGDEV_IOC_CREATE:
		return create(argument);
	case RINGDEV_IOC_DESTROY:
		return destroy(argument);
	case RINGDEV_IOC_RESIZE:
		return resize(argument);
	case RINGDEV_IOC_CLEAR:
		return clear(argument);
	default:
		return evict(argument);
	}
}

static long control_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	void __user *argument = (void __user *)arg;

	switch (command) {
	case RINGDEV_IOC_NEXT:
		return next(argument);
	case RINGDEV_IOC_NEXT_CURSOR:
		return next_cursor(argument);
	case RINGDEV_IOC_CREATE:
	case RINGDEV_IOC_DESTROY:
	case RINGDEV_IOC_RESIZE:
	case RINGDEV_IOC_CLEAR:
	case RINGDEV_IOC_EVICT:
		return opened_to_write(file) ? change(command, argument) : -EBADF;
	default:
		return -ENOTTY;
	}
}

static int control_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_NOWAIT;
	return stream_open(inode, file);
}

const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
