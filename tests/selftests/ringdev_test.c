// SPDX-License-Identifier: GPL-2.0
/*
 * What a program relies on first: a ring is made by its name, keeps what was written, says when it
 * is empty or full, and is gone when it was destroyed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/ringdev.h>

#include "kselftest_harness.h"

#define CONTROL		"/dev/ring/control"
#define CAPACITY	4096

static int destroy(int control, const char *name)
{
	struct ringdev_name ring = { .size = sizeof(ring) };

	snprintf(ring.name, sizeof(ring.name), "%s", name);
	return ioctl(control, RINGDEV_IOC_DESTROY, &ring);
}

FIXTURE(ring)
{
	int control;
	int reader;
	int writer;
	char name[RINGDEV_NAME_SIZE];
};

FIXTURE_VARIANT(ring)
{
	__u32 framing;
	__u32 full;
};

FIXTURE_VARIANT_ADD(ring, stream)
{
	.framing = RINGDEV_STREAM,
	.full = RINGDEV_BLOCK,
};

FIXTURE_VARIANT_ADD(ring, records)
{
	.framing = RINGDEV_RECORD,
	.full = RINGDEV_BLOCK,
};

FIXTURE_VARIANT_ADD(ring, records_that_drop)
{
	.framing = RINGDEV_RECORD,
	.full = RINGDEV_DROP,
};

FIXTURE_SETUP(ring)
{
	struct ringdev_create create = {
		.size = sizeof(create),
		.capacity = CAPACITY,
		.framing = variant->framing,
		.full = variant->full,
		.delivery = RINGDEV_SHARED,
		.mode = 0600,
	};
	char path[64];

	self->control = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (self->control < 0)
		SKIP(return, "%s: %s; it takes root, and the driver", CONTROL, strerror(errno));

	snprintf(self->name, sizeof(self->name), "selftest.%d", getpid());
	snprintf(create.name, sizeof(create.name), "%s", self->name);
	ASSERT_EQ(0, ioctl(self->control, RINGDEV_IOC_CREATE, &create));

	snprintf(path, sizeof(path), "/dev/ring/%s", self->name);
	self->reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->reader);
	self->writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, self->writer);
}

FIXTURE_TEARDOWN(ring)
{
	close(self->writer);
	close(self->reader);
	/* A test may have done so. */
	destroy(self->control, self->name);
	close(self->control);
}

TEST_F(ring, gives_what_it_was_given)
{
	char back[16];

	ASSERT_EQ(5, write(self->writer, "hello", 5));
	ASSERT_EQ(5, write(self->writer, "world", 5));
	if (variant->framing == RINGDEV_RECORD) {
		/* One read, one write. */
		ASSERT_EQ(5, read(self->reader, back, sizeof(back)));
		EXPECT_EQ(0, memcmp(back, "hello", 5));
		ASSERT_EQ(5, read(self->reader, back, sizeof(back)));
		EXPECT_EQ(0, memcmp(back, "world", 5));
	} else {
		ASSERT_EQ(10, read(self->reader, back, sizeof(back)));
		EXPECT_EQ(0, memcmp(back, "helloworld", 10));
	}
}

TEST_F(ring, is_empty_until_something_is_written)
{
	struct pollfd poller = { .fd = self->reader, .events = POLLIN };
	char byte;

	EXPECT_EQ(-1, read(self->reader, &byte, 1));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0, poll(&poller, 1, 0));
	ASSERT_EQ(1, write(self->writer, "x", 1));
	EXPECT_EQ(1, poll(&poller, 1, 0));
	EXPECT_EQ(POLLIN, poller.revents & POLLIN);
	EXPECT_EQ(1, read(self->reader, &byte, 1));
	EXPECT_EQ('x', byte);
}

TEST_F(ring, says_when_it_is_full)
{
	int error = variant->full == RINGDEV_DROP ? ENOBUFS : EAGAIN;
	char data[512] = { 0 };
	int count = 0;

	while (write(self->writer, data, sizeof(data)) == sizeof(data))
		ASSERT_GT(CAPACITY, count++ * (int)sizeof(data));
	EXPECT_EQ(error, errno);
	/* A record takes room for its header. */
	EXPECT_EQ(variant->framing == RINGDEV_RECORD ? 7 : 8, count);
	ASSERT_EQ(sizeof(data), read(self->reader, data, sizeof(data)));
	EXPECT_EQ(sizeof(data), write(self->writer, data, sizeof(data)));
}

TEST_F(ring, goes_when_it_is_destroyed)
{
	char byte;

	ASSERT_EQ(1, write(self->writer, "x", 1));
	ASSERT_EQ(0, destroy(self->control, self->name));
	EXPECT_EQ(-1, write(self->writer, "y", 1));
	EXPECT_EQ(ENODEV, errno);
	/* What is in it can still be read. */
	EXPECT_EQ(1, read(self->reader, &byte, 1));
	EXPECT_EQ(0, read(self->reader, &byte, 1));
	EXPECT_EQ(-1, destroy(self->control, self->name));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(ring, refuses_what_it_does_not_know)
{
	struct ringdev_name ring = { .size = sizeof(ring), .flags = 1 };

	EXPECT_EQ(-1, ioctl(self->control, RINGDEV_IOC_DESTROY, &ring));
	EXPECT_EQ(EINVAL, errno);
	ring.flags = 0;
	ring.size = 1;
	EXPECT_EQ(-1, ioctl(self->control, RINGDEV_IOC_DESTROY, &ring));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->control, _IO('|', 0x97), &ring));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_HARNESS_MAIN
