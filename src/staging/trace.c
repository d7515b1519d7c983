// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the tracepoints of ringdev. The Rust side is trace.rs, which declares by hand what it
 * calls: a declaration that is not the same any more must not build.
 */
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/ringdev.h>

#include "helpers.h"

typedef void write_t(const char *name, u64 ring, u64 position, u64 bytes, u64 records);
typedef void read_t(const char *name, u64 ring, u64 cursor, u64 position, u64 bytes, u64 records);
typedef void lost_t(const char *name, u64 ring, u64 cursor, u64 bytes, u64 records);
typedef void wake_t(const char *name, u64 ring, bool writers, bool pollers);

SAME_TYPE(rust_do_trace_ringdev_write, write_t);
SAME_TYPE(rust_do_trace_ringdev_read, read_t);
SAME_TYPE(rust_do_trace_ringdev_lost, lost_t);
SAME_TYPE(rust_do_trace_ringdev_wake, wake_t);
SAME_TYPE(__tracepoint_ringdev_write, struct tracepoint);
SAME_TYPE(__tracepoint_ringdev_read, struct tracepoint);
SAME_TYPE(__tracepoint_ringdev_lost, struct tracepoint);
SAME_TYPE(__tracepoint_ringdev_wake, struct tracepoint);
