// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/ringdev-floor: what any device costs. A write copies into one buffer, a read copies out of
 * it, and nothing else happens: no lock, no position, nobody waits. What another device costs more
 * than this is its own.
 *
 * For `make bench`, whose one thread uses it. With several, they get each other's bytes.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/uaccess.h>

static char floor_buffer[SZ_256K];

static ssize_t floor_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	len = min(len, sizeof(floor_buffer));
	if (copy_to_user(to, floor_buffer, len))
		return -EFAULT;
	return len;
}

static ssize_t floor_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	len = min(len, sizeof(floor_buffer));
	if (copy_from_user(floor_buffer, from, len))
		return -EFAULT;
	return len;
}

static int floor_open(struct inode *inode, struct file *file)
{
	return stream_open(inode, file);
}

static const struct file_operations floor_fops = {
	.owner = THIS_MODULE,
	.open = floor_open,
	.read = floor_read,
	.write = floor_write,
};

static struct miscdevice floor_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ringdev-floor",
	.fops = &floor_fops,
};
module_misc_device(floor_device);

MODULE_DESCRIPTION("The least that a device costs, for ringdev's benchmark");
MODULE_LICENSE("GPL");
