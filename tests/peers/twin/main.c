// SPDX-License-Identifier: GPL-2.0
/*
 * The twin of ringdev: the same driver in C, by the same design, and behind the same ABI. It is
 * what the driver in Rust is compared with, and passes the same tests.
 *
 * A call goes one way: endpoint.c (what is asked; the short way of a read and of a write), read.c
 * and write.c (lock, copy, wake), ring.h and core.c (where), side.c (who waits). control.c and
 * registry.c are about rings as a whole.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "twin.h"

static bool default_ring = true;
module_param(default_ring, bool, 0);
MODULE_PARM_DESC(default_ring, "Create /dev/" TWIN_CLASS "/0 (default: 1)");

static unsigned long long capacity = SZ_256K;
module_param(capacity, ullong, 0);
MODULE_PARM_DESC(capacity,
		 "Bytes in /dev/" TWIN_CLASS "/0, a power of two up to max_capacity (262144)");

static unsigned long long max_capacity = CAPACITY_MAX;
module_param(max_capacity, ullong, 0);
MODULE_PARM_DESC(max_capacity,
		 "The most bytes that a ring may have (default and at most: 1073741824)");

static unsigned int max_rings = 4096;
module_param(max_rings, uint, 0);
MODULE_PARM_DESC(max_rings, "How many rings there may be, from 1 to 65536 (default: 4096)");

static unsigned long long max_user_bytes = SZ_64M;
module_param(max_user_bytes, ullong, 0);
MODULE_PARM_DESC(max_user_bytes,
		 "The most bytes that a user's rings may have together (default: 67108864)");

struct limits limits;

static struct miscdevice control = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = TWIN_CLASS "-control",
	.nodename = TWIN_CLASS "/control",
	.mode = 0600,
	.fops = &control_fops,
};

static int check_parameters(void)
{
	if (max_capacity < CAPACITY_MIN || max_capacity > CAPACITY_MAX) {
		pr_err("max_capacity=%llu: must be from %lu to %u\n", max_capacity, CAPACITY_MIN,
		       CAPACITY_MAX);
		return -EINVAL;
	}
	if (!max_rings || max_rings > MAX_RINGS) {
		pr_err("max_rings=%u: must be from 1 to %u\n", max_rings, MAX_RINGS);
		return -EINVAL;
	}
	if (default_ring && !is_capacity(capacity, max_capacity)) {
		pr_err("capacity=%llu: must be a power of two from %lu to %llu\n", capacity,
		       CAPACITY_MIN, max_capacity);
		return -EINVAL;
	}
	return 0;
}

static int __init twin_init(void)
{
	struct ringdev_create pipe = {
		.framing = RINGDEV_STREAM,
		.full = RINGDEV_BLOCK,
		.delivery = RINGDEV_SHARED,
		.mode = 0600,
		.name = "0",
	};
	struct ring *ring = NULL;
	int err;

	err = check_parameters();
	if (err)
		return err;
	limits.max_capacity = max_capacity;
	limits.max_user_bytes = max_user_bytes;
	limits.max_rings = max_rings;
	err = registry_init();
	if (err)
		return err;
	/* Before the first node: what can be opened keeps nobody from unloading after a failure. */
	if (default_ring) {
		pipe.capacity = capacity;
		ring = registry_prepare(&pipe);
		if (IS_ERR(ring)) {
			err = PTR_ERR(ring);
			goto exit_registry;
		}
	}
	err = misc_register(&control);
	if (err) {
		if (ring)
			ring_put(ring);
		goto exit_registry;
	}
	if (ring) {
		err = registry_add(ring);
		if (err)
			goto deregister;
	}
	return 0;

deregister:
	misc_deregister(&control);
exit_registry:
	registry_exit();
	return err;
}
module_init(twin_init);

static void __exit twin_exit(void)
{
	/* Nobody makes a ring while the rings go. */
	misc_deregister(&control);
	registry_exit();
}
module_exit(twin_exit);

MODULE_AUTHOR("The ringdev developers");
MODULE_DESCRIPTION("Named ring buffers under /dev/" TWIN_CLASS ", in C");
MODULE_LICENSE("GPL");
