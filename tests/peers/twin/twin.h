/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the module beside the ring itself know of each other. */
#ifndef TWIN_TWIN_H
#define TWIN_TWIN_H

#include <linux/fs.h>
#include <linux/types.h>

#include "ring.h"

/* The twin stands in for the driver in Rust, or beside it under names of its own. */
#ifdef TWIN_BESIDE
#define TWIN_CLASS	"ring-twin"
#else
#define TWIN_CLASS	"ring"
#endif

/* How many rings there may be at most: that many device numbers are set aside. */
#define MAX_RINGS	65536

struct limits {
	/* Bytes in a ring. */
	u64 max_capacity;
	/* Bytes in all rings that a user has made, unless it has CAP_SYS_RESOURCE. */
	u64 max_user_bytes;
	unsigned int max_rings;
};

extern struct limits limits;

bool is_capacity(u64 bytes, u64 max);

/* What an endpoint was opened for. Access mode 3, which open(2) allows, is neither. */
static inline bool opened_to_read(const struct file *file)
{
	unsigned int mode = file->f_flags & O_ACCMODE;

	return mode == O_RDONLY || mode == O_RDWR;
}

static inline bool opened_to_write(const struct file *file)
{
	unsigned int mode = file->f_flags & O_ACCMODE;

	return mode == O_WRONLY || mode == O_RDWR;
}

/* control.c */
int take(void *to, size_t size, const void __user *from);
int give(const void *from, size_t size, void __user *to);
extern const struct file_operations control_fops;

/* endpoint.c */
extern const struct file_operations endpoint_fops;

/* registry.c */
int registry_init(void);
void registry_exit(void);
struct ring *registry_prepare(const struct ringdev_create *create);
int registry_add(struct ring *ring);
int registry_destroy(const char *name);
int registry_resize(const char *name, u64 capacity);
struct ring *registry_find(const char *name);
struct ring *registry_next(u64 id);

static inline void ring_put(struct ring *ring)
{
	put_device(&ring->dev);
}

#endif /* TWIN_TWIN_H */
