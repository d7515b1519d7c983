// SPDX-License-Identifier: GPL-2.0
/*
 * The rings that have a name, their nodes, and what they may take up.
 *
 * Locks: rings_lock, around which rings there are. It is held while a node is made or removed, so
 * that a name is free again when its node is gone, and not before; opening and using a ring never
 * takes it, and no ring's memory is found with it held. resize_lock of a ring, among those who
 * resize it. accounts_lock inside these, around how much each user has.
 */
#include <linux/capability.h>
#include <linux/cdev.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "twin.h"

static DEFINE_MUTEX(rings_lock);
/* By ascending number. */
static LIST_HEAD(rings);
static u64 next_id = 1;

static dev_t first_devt;
static DEFINE_IDA(minors);

struct account {
	struct list_head link;
	kuid_t user;
	u64 bytes;
};

static DEFINE_MUTEX(accounts_lock);
/* Of those who have any rings. */
static LIST_HEAD(accounts);

static const struct class ring_class = {
	.name = TWIN_CLASS,
};

bool is_capacity(u64 bytes, u64 max)
{
	return is_power_of_2(bytes) && bytes >= CAPACITY_MIN && bytes <= max;
}

/* Finds the account of the current user, or opens one. With accounts_lock held. */
static struct account *find_account(void)
{
	kuid_t user = current_euid();
	struct account *account;

	list_for_each_entry(account, &accounts, link) {
		if (uid_eq(account->user, user))
			return account;
	}
	account = kzalloc_obj(*account);
	if (account) {
		account->user = user;
		list_add(&account->link, &accounts);
	}
	return account;
}

/* Closes an account that has nothing, unless a charge is to follow. With accounts_lock held. */
static void put_account(struct account *account)
{
	if (account->bytes)
		return;
	list_del(&account->link);
	kfree(account);
}

/*
 * Charges whoever made the ring so many bytes instead of what it was charged. More than max for all
 * its rings is refused unless the current process is exempt; less always works.
 */
static int charge(struct ring *ring, u64 bytes, u64 max)
{
	struct account *account;
	u64 all;
	int err = 0;

	mutex_lock(&accounts_lock);
	account = ring->account ?: find_account();
	if (!account) {
		mutex_unlock(&accounts_lock);
		return -ENOMEM;
	}
	all = account->bytes - ring->charged + bytes;
	if (bytes > ring->charged && all > max && !capable(CAP_SYS_RESOURCE)) {
		err = -EDQUOT;
	} else {
		account->bytes = all;
		ring->account = bytes ? account : NULL;
		ring->charged = bytes;
	}
	put_account(account);
	mutex_unlock(&accounts_lock);
	return err;
}

/*
 * Where the node is, and whose. Without an answer the driver core would take it to be /dev/<name>,
 * and say nothing, hence __GFP_NOFAIL for a few bytes.
 */
static char *ring_devnode(const struct device *dev, umode_t *mode, kuid_t *uid, kgid_t *gid)
{
	const struct ring *ring = container_of(dev, struct ring, dev);

	/* With the type of the file it is not 0, which would mean 0600. */
	if (mode)
		*mode = S_IFCHR | ring->mode;
	if (uid)
		*uid = ring->uid;
	if (gid)
		*gid = ring->gid;
	return kasprintf(GFP_KERNEL | __GFP_NOFAIL, TWIN_CLASS "/%s", dev_name(dev));
}

static void ring_release(struct device *dev)
{
	struct ring *ring = container_of(dev, struct ring, dev);

	ring_exit(ring);
	/* After the memory. */
	if (ring->account)
		charge(ring, 0, 0);
	kfree(ring);
}

static const struct device_type ring_type = {
	.devnode = ring_devnode,
	.release = ring_release,
};

/* With rings_lock held. */
static struct ring *find(const char *name)
{
	struct ring *ring;

	list_for_each_entry(ring, &rings, link) {
		if (!strcmp(ring->name, name))
			return ring;
	}
	return NULL;
}

/*
 * The first half of making a ring, of which nobody sees anything: all that can take long, and all
 * that can fail but for want of a few KiB. All but user and group has been looked at.
 */
struct ring *registry_prepare(const struct ringdev_create *create)
{
	kuid_t uid = make_kuid(current_user_ns(), create->uid);
	kgid_t gid = make_kgid(current_user_ns(), create->gid);
	struct ring *ring;
	int err;

	if (!uid_valid(uid) || !gid_valid(gid))
		return ERR_PTR(-EINVAL);
	mutex_lock(&rings_lock);
	err = find(create->name) ? -EEXIST : 0;
	mutex_unlock(&rings_lock);
	if (err)
		return ERR_PTR(err);
	ring = kzalloc_obj(*ring, GFP_KERNEL_ACCOUNT);
	if (!ring)
		return ERR_PTR(-ENOMEM);

	device_initialize(&ring->dev);
	/* From here on putting the device frees the ring. It has no power to manage. */
	device_set_pm_not_required(&ring->dev);
	ring->dev.class = &ring_class;
	ring->dev.type = &ring_type;
	cdev_init(&ring->cdev, &endpoint_fops);
	ring->cdev.owner = THIS_MODULE;
	memcpy(ring->name, create->name, sizeof(ring->name));
	ring->mode = create->mode;
	ring->uid = uid;
	ring->gid = gid;
	mutex_init(&ring->resize_lock);
	err = charge(ring, create->capacity, limits.max_user_bytes);
	if (!err)
		err = ring_init(ring, create);
	if (!err)
		err = dev_set_name(&ring->dev, "%s", ring->name);
	if (err) {
		ring_put(ring);
		return ERR_PTR(err);
	}
	return ring;
}

/* The second half: makes the node. The ring is put if that fails. */
int registry_add(struct ring *ring)
{
	int minor, err;

	mutex_lock(&rings_lock);
	/* Again: another ring may have been made meanwhile. */
	err = -EEXIST;
	if (find(ring->name))
		goto unlock;
	minor = ida_alloc_max(&minors, limits.max_rings - 1, GFP_KERNEL);
	err = minor;
	if (minor < 0)
		goto unlock;
	ring->minor = minor;
	ring->dev.devt = first_devt + minor;
	ring->id = next_id;
	/* Last: when it is there, the ring can be opened. */
	err = cdev_device_add(&ring->cdev, &ring->dev);
	if (err)
		goto free_minor;
	list_add_tail(&ring->link, &rings);
	next_id++;
	mutex_unlock(&rings_lock);
	return 0;

free_minor:
	ida_free(&minors, minor);
unlock:
	mutex_unlock(&rings_lock);
	ring_put(ring);
	return err;
}

/* Takes the name and the node from a ring. With rings_lock held. */
static void forget(struct ring *ring)
{
	list_del(&ring->link);
	cdev_device_del(&ring->cdev, &ring->dev);
	ida_free(&minors, ring->minor);
}

int registry_destroy(const char *name)
{
	struct ring *ring;

	mutex_lock(&rings_lock);
	ring = find(name);
	if (ring)
		forget(ring);
	mutex_unlock(&rings_lock);
	if (!ring)
		return -ENOENT;
	ring_shut(ring);
	ring_put(ring);
	return 0;
}

/* The ring of that name, with a reference. */
struct ring *registry_find(const char *name)
{
	struct ring *ring;

	mutex_lock(&rings_lock);
	ring = find(name);
	if (ring)
		get_device(&ring->dev);
	mutex_unlock(&rings_lock);
	return ring;
}

/* The first ring that has this number or a larger one, with a reference. */
struct ring *registry_next(u64 id)
{
	struct ring *ring, *next = NULL;

	mutex_lock(&rings_lock);
	list_for_each_entry(ring, &rings, link) {
		if (ring->id >= id) {
			next = ring;
			get_device(&next->dev);
			break;
		}
	}
	mutex_unlock(&rings_lock);
	return next;
}

int registry_resize(const char *name, u64 capacity)
{
	struct ring *ring = registry_find(name);
	u64 before;
	int err;

	if (!ring)
		return -ENOENT;
	/* One at a time, so that what is charged is what it has. */
	mutex_lock(&ring->resize_lock);
	before = ring->charged;
	/* More is charged before, and less after, so that nobody else has it meanwhile. */
	err = charge(ring, max(before, capacity), limits.max_user_bytes);
	if (!err) {
		err = ring_resize(ring, capacity);
		charge(ring, err ? before : capacity, U64_MAX);
	}
	mutex_unlock(&ring->resize_lock);
	ring_put(ring);
	return err;
}

int registry_init(void)
{
	int err;

	err = alloc_chrdev_region(&first_devt, 0, limits.max_rings, TWIN_CLASS);
	if (err)
		return err;
	err = class_register(&ring_class);
	if (err)
		unregister_chrdev_region(first_devt, limits.max_rings);
	return err;
}

/* Nobody has a node open any more. */
void registry_exit(void)
{
	struct ring *ring, *next;

	list_for_each_entry_safe(ring, next, &rings, link) {
		forget(ring);
		ring_put(ring);
	}
	class_unregister(&ring_class);
	unregister_chrdev_region(first_devt, limits.max_rings);
	ida_destroy(&minors);
}
