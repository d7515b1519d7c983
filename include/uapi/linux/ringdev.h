/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * ringdev: named ring buffers under /dev/ring.
 *
 * This header is the ABI. The module's own declarations are generated from it, and a recorded
 * description of it (tests/abi) is compared at each test run.
 *
 * Every structure begins with its own size, as the program knows it, and the ioctl numbers do not
 * contain it. A newer program may hand a longer structure to an older module: what the module does
 * not know must be zero, else it answers E2BIG. An older program may hand over a shorter one: what
 * is missing is taken as zero, and what does not fit is not written. A structure that is shorter
 * than its first version is refused with EINVAL. All fields have the same place and size for 32-bit
 * and 64-bit programs. Unknown flags and padding that is not zero are refused with EINVAL.
 */
#ifndef _UAPI_LINUX_RINGDEV_H
#define _UAPI_LINUX_RINGDEV_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The name of a ring: 1 to 31 characters of A-Z a-z 0-9 . _ -, then zeros; not ".", ".." or
 * "control".
 */
#define RINGDEV_NAME_SIZE	32

/* Framing: what a ring keeps apart. */
#define RINGDEV_STREAM		0	/* nothing: it is a stream of bytes */
#define RINGDEV_RECORD		1	/* records: one write, one record */

/* Full: what a write meets when there is no room for it. */
#define RINGDEV_BLOCK		0	/* the writer waits */
#define RINGDEV_DROP		1	/* the write is refused with ENOBUFS, and counted */
#define RINGDEV_OVERWRITE	2	/* the oldest data make room, and are counted */

/* Delivery: who gets the data. */
#define RINGDEV_SHARED		0	/* readers compete, each byte or record goes to one */
#define RINGDEV_BROADCAST	1	/* each reading endpoint sees everything */

/* Flags of a ring. */
#define RINGDEV_HANGUP		(1U << 0)	/* end of file and EPIPE, as a FIFO has them */

/**
 * struct ringdev_create - a ring to be made
 * @size: sizeof(struct ringdev_create)
 * @flags: 0 or RINGDEV_HANGUP
 * @capacity: bytes of data; a power of two from the page size to max_capacity
 * @framing: RINGDEV_STREAM or RINGDEV_RECORD
 * @full: RINGDEV_BLOCK, RINGDEV_DROP or RINGDEV_OVERWRITE
 * @delivery: RINGDEV_SHARED or RINGDEV_BROADCAST
 * @mode: permission bits of the node, at most 0777
 * @uid: owner of the node, in the user namespace of the caller
 * @gid: group of the node, likewise
 * @name: name of the ring; the node is /dev/ring/<name>
 *
 * The node is made with its mode, and is root's until it has its owner and group: it is never open
 * to anybody whom these do not allow.
 */
struct ringdev_create {
	__u32 size;
	__u32 flags;
	__u64 capacity;
	__u32 framing;
	__u32 full;
	__u32 delivery;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	char name[RINGDEV_NAME_SIZE];
};

/**
 * struct ringdev_name - the ring that a command is about
 * @size: sizeof(struct ringdev_name)
 * @flags: 0
 * @name: name of the ring
 */
struct ringdev_name {
	__u32 size;
	__u32 flags;
	char name[RINGDEV_NAME_SIZE];
};

/**
 * struct ringdev_resize - a new capacity for a ring
 * @size: sizeof(struct ringdev_resize)
 * @flags: 0
 * @capacity: as in struct ringdev_create
 * @name: name of the ring
 */
struct ringdev_resize {
	__u32 size;
	__u32 flags;
	__u64 capacity;
	char name[RINGDEV_NAME_SIZE];
};

/**
 * struct ringdev_evict - a reader to be parted from a ring with broadcast delivery
 * @size: sizeof(struct ringdev_evict)
 * @flags: 0
 * @cursor: the number of its cursor, from struct ringdev_cursor
 * @name: name of the ring
 */
struct ringdev_evict {
	__u32 size;
	__u32 flags;
	__u64 cursor;
	char name[RINGDEV_NAME_SIZE];
};

/**
 * struct ringdev_info - what a ring is, and what has happened to it
 * @size: sizeof(struct ringdev_info)
 * @flags: 0 when it is handed over; the flags of the ring when it comes back
 * @id: the number of the ring; numbers grow and are never given twice
 * @capacity: bytes of data
 * @framing: as in struct ringdev_create
 * @full: as in struct ringdev_create
 * @delivery: as in struct ringdev_create
 * @mode: as in struct ringdev_create; a later chmod(2) does not show here
 * @uid: as in struct ringdev_create
 * @gid: as in struct ringdev_create
 * @name: name of the ring
 * @readers: endpoints that are open for reading
 * @writers: endpoints that are open for writing
 * @unread: bytes in the ring that the reader furthest behind has not read; of a ring with records
 *	these are the bytes of the ring that they take up
 * @high_water: the most that @unread was seen to be
 * @records_in: records that were taken; 0 for a stream
 * @bytes_in: bytes that were taken, without headers
 * @records_dropped: writes or records that were refused with ENOBUFS
 * @bytes_dropped: their bytes
 * @records_lost: records that were overwritten, cleared, or discarded at the end of a session
 *	before they were read, with shared delivery; with broadcast delivery each cursor has a
 *	count of its own, and this is 0
 * @bytes_lost: bytes of a stream that were lost in the same ways; 0 for records
 * @records_out: records that were read, by all readers together; 0 for a stream
 * @bytes_out: bytes that were read, without headers
 * @writer_sleeps: how often a write had to wait
 * @writer_wakes: how often a sleeping writer was woken
 * @reader_sleeps: how often a read had to wait
 * @reader_wakes: how often a sleeping reader was woken
 */
struct ringdev_info {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 capacity;
	__u32 framing;
	__u32 full;
	__u32 delivery;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	char name[RINGDEV_NAME_SIZE];
	__u32 readers;
	__u32 writers;
	__u64 unread;
	__u64 high_water;
	__u64 records_in;
	__u64 bytes_in;
	__u64 records_dropped;
	__u64 bytes_dropped;
	__u64 records_lost;
	__u64 bytes_lost;
	__u64 records_out;
	__u64 bytes_out;
	__u64 writer_sleeps;
	__u64 writer_wakes;
	__u64 reader_sleeps;
	__u64 reader_wakes;
};

/**
 * struct ringdev_cursor - a reading position, and what has happened to it
 * @size: sizeof(struct ringdev_cursor)
 * @flags: 0
 * @id: the number of the cursor; 0 is the one that the readers of a ring with shared delivery
 *	share. On an endpoint, 0 as it is handed over
 * @unread: bytes of the ring between it and the newest data
 * @records_out: records that were read from here; 0 for a stream
 * @bytes_out: bytes that were read from here, without headers
 * @records_lost: records that were overwritten or cleared before they were read here
 * @bytes_lost: bytes of a stream that were overwritten or cleared before they were read here; 0 for
 *	records
 * @watermark: a reader is woken when @unread is so many bytes; 0 and 1 mean at once
 * @delay_ns: ... or so long after the first of them was seen
 * @name: the ring. On an endpoint, zeros as it is handed over
 */
struct ringdev_cursor {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 unread;
	__u64 records_out;
	__u64 bytes_out;
	__u64 records_lost;
	__u64 bytes_lost;
	__u64 watermark;
	__u64 delay_ns;
	char name[RINGDEV_NAME_SIZE];
};

/**
 * struct ringdev_watermark - when those are woken who wait at a cursor
 *
 * It belongs to the cursor. With shared delivery that is the ring's, and it stays when the endpoint
 * is closed that has set it.
 *
 * @size: sizeof(struct ringdev_watermark)
 * @flags: 0
 * @bytes: wake it when so many bytes are unread, at most half of the capacity; 0 and 1: at once
 * @delay_ns: ... or so long after the first of them was seen; at most a minute, and not 0 if @bytes
 *	is more than 1 (else it does not matter)
 */
struct ringdev_watermark {
	__u32 size;
	__u32 flags;
	__u64 bytes;
	__u64 delay_ns;
};

/* How an endpoint reads records. */
#define RINGDEV_HEADERS		(1U << 0)	/* as many as fit, each behind a header */

/**
 * struct ringdev_read_mode - how an endpoint reads records
 * @size: sizeof(struct ringdev_read_mode)
 * @flags: 0 for the payload of one record a read, or RINGDEV_HEADERS
 */
struct ringdev_read_mode {
	__u32 size;
	__u32 flags;
};

/* Where records begin in what a read with RINGDEV_HEADERS returns: at multiples of this. */
#define RINGDEV_ALIGN		8

/**
 * struct ringdev_record - what precedes each record in a read with RINGDEV_HEADERS
 * @length: bytes of payload, which follow; the next header is at the next multiple of RINGDEV_ALIGN
 * @flags: 0
 * @sequence: the number of the record, from 0; the next has the next number
 * @timestamp_ns: when it was written, by CLOCK_MONOTONIC
 * @lost: how many records were overwritten or cleared between this and the one that was read
 *	before it
 */
struct ringdev_record {
	__u32 length;
	__u32 flags;
	__u64 sequence;
	__u64 timestamp_ns;
	__u64 lost;
};

/* On /dev/ring/control. */
#define RINGDEV_IOC_CREATE	_IO('|', 0x90)	/* struct ringdev_create */
#define RINGDEV_IOC_DESTROY	_IO('|', 0x91)	/* struct ringdev_name */
#define RINGDEV_IOC_NEXT	_IO('|', 0x92)	/* struct ringdev_info: the first from @id on */
#define RINGDEV_IOC_RESIZE	_IO('|', 0x93)	/* struct ringdev_resize */
#define RINGDEV_IOC_CLEAR	_IO('|', 0x94)	/* struct ringdev_name */
#define RINGDEV_IOC_EVICT	_IO('|', 0x95)	/* struct ringdev_evict */
#define RINGDEV_IOC_NEXT_CURSOR	_IO('|', 0x96)	/* struct ringdev_cursor: the first from @id on */

/* On an endpoint. */
#define RINGDEV_IOC_INFO	_IO('|', 0x98)	/* struct ringdev_info of its ring */
#define RINGDEV_IOC_CURSOR	_IO('|', 0x99)	/* struct ringdev_cursor that it reads at */
#define RINGDEV_IOC_WATERMARK	_IO('|', 0x9a)	/* struct ringdev_watermark */
#define RINGDEV_IOC_READ_MODE	_IO('|', 0x9b)	/* struct ringdev_read_mode */

#endif /* _UAPI_LINUX_RINGDEV_H */
