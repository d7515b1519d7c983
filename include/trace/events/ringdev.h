/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints of ringdev. Their fields count as struct ringdev_info and struct ringdev_cursor
 * do. The Rust declarations are in src/staging/trace.rs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ringdev

#if !defined(_TRACE_RINGDEV_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_RINGDEV_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/*
 * Something has been written, and can be read from here on. A write(2) to a stream is one event for
 * each piece, a record is one event.
 *
 * position: where it begins; positions count the bytes since the ring was made, headers included,
 *	and put the events of a ring in order, across CPUs as well
 * bytes: without headers
 * records: 1, or 0 for a stream
 */
TRACE_EVENT(ringdev_write,
	TP_PROTO(const char *name, u64 ring, u64 position, u64 bytes, u64 records),
	TP_ARGS(name, ring, position, bytes, records),
	TP_STRUCT__entry(
		__string(name, name)
		__field(u64, ring)
		__field(u64, position)
		__field(u64, bytes)
		__field(u64, records)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ring = ring;
		__entry->position = position;
		__entry->bytes = bytes;
		__entry->records = records;
	),
	TP_printk("name=%s ring=%llu position=%llu bytes=%llu records=%llu",
		  __get_str(name), __entry->ring, __entry->position, __entry->bytes,
		  __entry->records)
);

/*
 * Something has been read at a cursor, and is given back to writers, or to the other cursors.
 *
 * cursor: its number
 * position, bytes, records: as in ringdev_write; a read with RINGDEV_HEADERS has several records
 */
TRACE_EVENT(ringdev_read,
	TP_PROTO(const char *name, u64 ring, u64 cursor, u64 position, u64 bytes, u64 records),
	TP_ARGS(name, ring, cursor, position, bytes, records),
	TP_STRUCT__entry(
		__string(name, name)
		__field(u64, ring)
		__field(u64, cursor)
		__field(u64, position)
		__field(u64, bytes)
		__field(u64, records)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ring = ring;
		__entry->cursor = cursor;
		__entry->position = position;
		__entry->bytes = bytes;
		__entry->records = records;
	),
	TP_printk("name=%s ring=%llu cursor=%llu position=%llu bytes=%llu records=%llu",
		  __get_str(name), __entry->ring, __entry->cursor, __entry->position,
		  __entry->bytes, __entry->records)
);

/*
 * A cursor has found that data were given up before they were read there. What is overwritten is
 * found when somebody reads on, and not before.
 *
 * bytes: of a stream; 0 for records
 * records: 0 for a stream
 */
TRACE_EVENT(ringdev_lost,
	TP_PROTO(const char *name, u64 ring, u64 cursor, u64 bytes, u64 records),
	TP_ARGS(name, ring, cursor, bytes, records),
	TP_STRUCT__entry(
		__string(name, name)
		__field(u64, ring)
		__field(u64, cursor)
		__field(u64, bytes)
		__field(u64, records)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ring = ring;
		__entry->cursor = cursor;
		__entry->bytes = bytes;
		__entry->records = records;
	),
	TP_printk("name=%s ring=%llu cursor=%llu bytes=%llu records=%llu",
		  __get_str(name), __entry->ring, __entry->cursor, __entry->bytes,
		  __entry->records)
);

/*
 * Somebody waits and is about to be woken: an event for each wake-up, before it, and not for each
 * thread. It goes to those who need no more than there is, which may be nobody.
 *
 * writers: those who wait for room to write, else those who wait for something to read
 * pollers: those in poll(2), epoll_wait(2) and the like, or with SIGIO; else those who sleep in
 *	write(2) or read(2)
 */
TRACE_EVENT(ringdev_wake,
	TP_PROTO(const char *name, u64 ring, bool writers, bool pollers),
	TP_ARGS(name, ring, writers, pollers),
	TP_STRUCT__entry(
		__string(name, name)
		__field(u64, ring)
		__field(bool, writers)
		__field(bool, pollers)
	),
	TP_fast_assign(
		__assign_str(name);
		__entry->ring = ring;
		__entry->writers = writers;
		__entry->pollers = pollers;
	),
	TP_printk("name=%s ring=%llu side=%s waiters=%s",
		  __get_str(name), __entry->ring,
		  __entry->writers ? "writers" : "readers",
		  __entry->pollers ? "pollers" : "sleepers")
);

#endif /* _TRACE_RINGDEV_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
