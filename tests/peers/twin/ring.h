/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ring in memory, and the arithmetic of its positions.
 *
 * Positions are counters of bytes. They begin at 0, only grow, and are masked when memory is
 * touched. The head is where the next byte will be written; the tail is where the oldest byte lies,
 * and what is below it may be overwritten. Who moves the tail depends on the kind of ring:
 *
 *   writers wait or drop, readers compete	the one cursor, whose mark it is
 *   writers wait or drop, broadcast		whoever moves a cursor, under list_lock
 *   writers overwrite				the writer, before it overwrites
 *
 * Locks, in the order in which whoever changes a ring as a whole takes them: endpoints_lock,
 * producer.lock, list_lock, the lock of one cursor at a time. Reading and writing take one of the
 * latter three. Under these bytes are copied, COPY_MAX at most, and nothing else happens: no page
 * fault is served, nothing is allocated, and nobody is woken.
 *
 * Pairs of barriers:
 *
 *   store of head, release	load of head, acquire		the bytes below it are there
 *   store of a mark, release	load of tail or mark, acquire	the bytes below it were copied out
 *   publish, smp_mb, queues	join, smp_mb, head		a sleeper or poller is not missed
 *   release, smp_mb, queues	join, smp_mb, tail		likewise
 *   evict, smp_wmb, overwrite	copy, smp_rmb, tail		who copied too late knows it
 *   missed, release of mark	mark, acquire, missed		a loss is never nowhere
 *   writing, release of opened	opened, acquire, writing	who is being opened has not left
 *   head, release of writing	writing, acquire, head		what was written before one left
 */
#ifndef TWIN_RING_H
#define TWIN_RING_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/sizes.h>
#include <linux/uidgid.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include <linux/ringdev.h>

/*
 * Whether the mistake of that name is made, one of those in tests/compile_fail. None is, unless the
 * twin is built with KCFLAGS=-DMISTAKE_<name>, to see what finds it in C (`make mistakes`).
 */
#define mistake(name)	__is_defined(MISTAKE_##name)

/* The most of a stream that is copied with a lock held, and then handed over. */
#define COPY_MAX	SZ_128K

/* What a write may have that is not split: PIPE_BUF. */
#define ATOMIC_WRITE	4096

#define CAPACITY_MIN	max_t(unsigned long, PAGE_SIZE, ATOMIC_WRITE)
#define CAPACITY_MAX	SZ_1G

/*
 * How often in a row a page may be made present and be gone again when it is copied. Memory that
 * can be made present and still not be copied would keep a thread busy for ever.
 */
#define FAULTS_MAX	16

/* Where data begin, and the number of the record there; of a stream it is 0. */
struct place {
	u64 position;
	u64 sequence;
};

struct received {
	u64 records;
	u64 bytes;
	u64 records_lost;
	u64 bytes_lost;
};

struct watermark {
	u64 bytes;
	u64 delay_ns;
};

/* What a thread sleeps for. */
struct sleep {
	/* How much is enough: bytes of room, or the position that the head must have reached. */
	u64 needs;
	/* The number of the cursor that a reader waits at. */
	u64 place;
	/* When it goes on in any case, by CLOCK_MONOTONIC; 0 for never. */
	u64 deadline;
};

/* Those who wait on one side of a ring. */
struct side {
	/* In read(2) or write(2). */
	wait_queue_head_t sleepers;
	/*
	 * In poll(2) and its kin. Where readers compete not, and have a queue for each cursor, an
	 * entry for each of these that somebody may be in.
	 */
	wait_queue_head_t pollers;
	struct fasync_struct *signalled;
	/*
	 * Somebody is not content with the edges: an edge-triggered poller that does not drain the
	 * ring, or one that shares its wake-ups. Never taken back, as nobody says when it leaves.
	 */
	bool every_edge;
	/* A hand-over does not tell what is true for a poller: each has to look. Likewise. */
	bool must_look;
	/* Sleepers are woken one at a time. */
	bool exclusive;
	int band;
	/* What a hand-over makes true for a poller otherwise. */
	__poll_t events;
	atomic_long_t sleeps;
	atomic_long_t wakes;
};

/* A reading position: that of all readers together, or that of an endpoint. */
struct cursor {
	/* Readers among each other. */
	struct mutex lock;
	/* The longest read that is tried the short way; see ring->at_once. 0 with a watermark. */
	u32 at_once;

	/* Under the lock. */
	/*
	 * Nobody writes any more: who reads the last has those who poll look again, as only then
	 * the end has come.
	 */
	bool ending;
	/* The last that was seen of the head. */
	u64 head_seen;
	/*
	 * The writers' data. NULL from when the cursor is evicted, as a resize then frees them
	 * without looking at it; the same as evicted.
	 */
	char *data;
	u64 mask;
	u64 high_water;
	/* Of a stream: what of its positions was not read here, but lost or left out. */
	u64 skipped;
	/* The number that the next record has if none is missed. */
	u64 next;
	/* But for the bytes of a stream, which the position tells. */
	struct received received;
	/* It has a watermark. */
	bool gauged;
	/* Something was lost that those who read here were not told of. */
	bool untold;

	/* Without it. */
	/* It was taken from its endpoint. Changed under the lock. */
	bool evicted;
	/* Something was lost that nobody has been told of. Set before the mark moves over it. */
	bool missed;
	u64 id;
	/* Where it is, for all to see: own_mark, or the ring's tail. Its holder moves it. */
	u64 *mark;
	struct watermark watermark;
	/* When data were first seen that were too little for it, or 0. */
	u64 since_ns;
	struct hrtimer alarm;
	struct ring *ring;
	/* The ring or the endpoint that it belongs to, and whoever is about to wake those here. */
	refcount_t users;
	/* Unless readers compete: those who poll here, and their entry among all pollers. */
	wait_queue_head_t pollers;
	struct wait_queue_entry branch;
	/* In ring->cursors, under ring->list_lock. */
	struct list_head link;

	u64 own_mark ____cacheline_aligned_in_smp;
};

/* What an endpoint reads with. */
struct read_end {
	/* Where, or NULL if it does not read. */
	struct cursor *cursor;
	/* As many of ring->writers_opened had left when it was opened. */
	u64 writers_before;
};

struct producer {
	/* Writers among each other. */
	struct mutex lock;

	/* Under the lock. */
	/* How far the head may go, by the last that was seen of the tail. */
	u64 limit;
	char *data;
	u64 mask;
	u64 high_water;
	u64 records;
	/* But for the bytes of a stream, which the head tells. */
	u64 bytes;
	u64 records_dropped;
	u64 bytes_dropped;
	/* The ring was destroyed; the same as ring->destroyed. */
	bool refused;
};

struct ring {
	/* What it is. */
	bool is_record;
	bool overwrites;
	bool is_broadcast;
	bool has_hangup;
	/* The cursor is the tail: readers compete, and writers do not overwrite. */
	bool cursor_is_tail;
	u32 full;
	/*
	 * The longest write that is tried the short way. 0 if the ring is not a pipe that persists,
	 * which is what that is for.
	 */
	size_t at_once;
	/* Changed under producer.lock. */
	u64 capacity;

	/* Nothing can be written any more. */
	bool destroyed;
	/* A cursor has had a watermark. */
	bool has_watermarks;
	/* Those who open and close endpoints, among each other. A session ends inside it. */
	struct mutex endpoints_lock;
	/* Changed under that lock. */
	u32 endpoints_reading;
	u32 endpoints_writing;
	/* Endpoints that have been opened for writing so far. */
	u64 writers_opened;

	struct side readers;
	struct side writers;

	struct producer producer ____cacheline_aligned_in_smp;
	/* Stored by the holder of the producer. */
	u64 head ____cacheline_aligned_in_smp;
	u64 tail ____cacheline_aligned_in_smp;

	/* Where readers compete. */
	struct cursor shared ____cacheline_aligned_in_smp;
	/* Around which cursors there are: the shared one, for ever, or those of endpoints. */
	struct mutex list_lock;
	/* By ascending number, and what was read at those that have left. */
	struct list_head cursors;
	struct received departed;
	/* What it is in all cursors. */
	bool ending;
	u64 next_cursor;

	/* The name and the node; see registry.c. */
	struct list_head link;
	u64 id;
	char name[RINGDEV_NAME_SIZE];
	umode_t mode;
	kuid_t uid;
	kgid_t gid;
	/* Among those who resize the ring. */
	struct mutex resize_lock;
	struct account *account;
	u64 charged;
	unsigned int minor;
	struct cdev cdev;
	/* Its references are those to the whole. */
	struct device dev;
};

/* Whether a is beyond b, of two positions that are less than half of all positions apart. */
static inline bool is_beyond(u64 a, u64 b)
{
	return (s64)(a - b) > 0;
}

static inline u64 ring_capacity(const struct ring *ring)
{
	return READ_ONCE(ring->capacity);
}

/* What is below it has been written. */
static inline u64 load_head(const struct ring *ring)
{
	/* Pairs with the release in producer_publish(). */
	return smp_load_acquire(&ring->head);
}

/* What is below a mark has been copied out, or was given up; the tail is one. */
static inline u64 load_mark(const u64 *mark)
{
	/* Pairs with the release in release_mark(). */
	return smp_load_acquire(mark);
}

static inline void release_mark(u64 *mark, u64 position)
{
	/* Pairs with the acquire in load_mark(). */
	smp_store_release(mark, position);
}

static inline u64 max_record(u64 capacity)
{
	return capacity / 4;
}

/*
 * How many bytes can be read at a mark, for who does not hold its cursor. Who wants to be woken
 * joins a queue first: an answer of 0 then means that the next writer sees it there.
 */
static inline u64 ring_unread(struct ring *ring, const u64 *mark)
{
	u64 from = READ_ONCE(*mark);
	u64 tail = READ_ONCE(ring->tail);

	if (is_beyond(tail, from))
		from = tail;
	/* Pairs with the one in wake_readers(). */
	smp_mb();
	/* The mark may have moved on meanwhile: there never was more than the capacity. */
	return min(READ_ONCE(ring->head) - from, ring_capacity(ring));
}

/* How many bytes can be written, likewise. */
static inline u64 ring_room(struct ring *ring)
{
	u64 head = READ_ONCE(ring->head);
	u64 limit;

	/* Pairs with the one in wake_writers(). */
	smp_mb();
	limit = READ_ONCE(ring->tail) + ring_capacity(ring);
	/* The ring has been made smaller since the tail was loaded. */
	if (is_beyond(head, limit))
		return 0;
	return min(limit - head, ring_capacity(ring));
}

/* Writers: with producer.lock held. */

static inline char *producer_at(const struct producer *producer, u64 position)
{
	return producer->data + (position & producer->mask);
}

/* Looks how far the readers have come, and returns what is free. */
static inline u64 producer_look(struct ring *ring)
{
	struct producer *producer = &ring->producer;
	u64 tail = load_mark(&ring->tail);
	u64 fill = ring->head - tail;

	producer->limit = tail + producer->mask + 1;
	if (fill > producer->high_water)
		producer->high_water = fill;
	return producer->limit - ring->head;
}

/*
 * Finds room for least to most bytes; 0 if there is not even the least. The tail, which is the
 * readers' cache line, is loaded only if what is known of it does not allow the most.
 */
static inline u64 producer_reserve(struct ring *ring, u64 least, u64 most)
{
	u64 room = ring->producer.limit - ring->head;

	if (room < most)
		room = producer_look(ring);
	return room < least ? 0 : min(room, most);
}

/* Gives bytes to the readers, and returns the head before. */
static inline u64 producer_publish(struct ring *ring, u64 bytes)
{
	u64 before = ring->head;

	/* Pairs with the acquire in load_head(). */
	smp_store_release(&ring->head, before + bytes);
	return before;
}

void producer_make_room(struct ring *ring, u64 bytes);
void producer_give_up_before(struct ring *ring, u64 position);
struct place producer_newest(const struct ring *ring);
struct place producer_oldest(struct ring *ring);

/* Records. */

/* Bytes that a record takes of the ring. */
static inline u64 stored(u32 length)
{
	return ALIGN(sizeof(struct ringdev_record) + (u64)length, RINGDEV_ALIGN);
}

/*
 * Where data are overwritten a header may be so while it is looked at: each field is loaded once,
 * and not believed before a look at the tail.
 */
static inline u32 record_length(const char *at)
{
	if (mistake(shared_bytes_as_a_slice))
		return ((const struct ringdev_record *)at)->length;
	return READ_ONCE(((const struct ringdev_record *)at)->length);
}

static inline u64 record_sequence(const char *at)
{
	return READ_ONCE(((const struct ringdev_record *)at)->sequence);
}

static inline u64 record_timestamp(const char *at)
{
	return READ_ONCE(((const struct ringdev_record *)at)->timestamp_ns);
}

/* Readers: with the lock of the cursor held. */

static inline const char *cursor_at(const struct cursor *cursor, u64 position)
{
	return cursor->data + (position & cursor->mask);
}

/* It was moved on or elsewhere: what is unread there, if anything, begins to wait anew. */
static inline void cursor_restart(struct cursor *cursor)
{
	if (cursor->gauged)
		WRITE_ONCE(cursor->since_ns, 0);
}

void cursor_raise_high_water(struct cursor *cursor, u64 unread);

/* Looks how far the writers have come, and returns what is unread at the position. */
static inline u64 cursor_look(struct ring *ring, struct cursor *cursor, u64 position)
{
	u64 head = load_head(ring);
	u64 unread = head - position;

	cursor->head_seen = head;
	if (unlikely(unread > cursor->high_water))
		cursor_raise_high_water(cursor, unread);
	return unread;
}

/* Whether what began at the position may have been overwritten while it was copied. */
static inline bool cursor_was_lapped(struct ring *ring, u64 position)
{
	if (!ring->overwrites)
		return false;
	/* Pairs with the barrier in evict(). */
	smp_rmb();
	return is_beyond(READ_ONCE(ring->tail), position);
}

void cursor_lose_up_to(struct ring *ring, struct cursor *cursor, u64 position);
void cursor_seek(struct ring *ring, struct cursor *cursor, struct place to, struct place oldest);
struct received cursor_received(const struct ring *ring, const struct cursor *cursor,
				struct place oldest);

/* Where it would go on, if the oldest data are there. */
static inline u64 cursor_position_from(const struct cursor *cursor, struct place oldest)
{
	return is_beyond(oldest.position, *cursor->mark) ? oldest.position : *cursor->mark;
}

/* side.c: those who wait. */

void side_init(struct side *side, __poll_t events, int band, bool exclusive);
void side_wake_sleepers(struct side *side, u64 there_is);
void side_wake_pollers(struct side *side);
void side_signal(struct side *side);
void side_announce(struct side *side);
void side_urge(struct side *side);
int side_sleep(struct side *side, const struct sleep *sleep, bool (*ready)(void *of),
	       void (*before_sleep)(void *of), void *of);
void cursor_init_pollers(struct cursor *cursor);
void cursor_join_pollers(struct cursor *cursor, struct file *file,
			 struct poll_table_struct *table);
void cursor_leave_pollers(struct cursor *cursor);
void cursor_wake_pollers(struct cursor *cursor);
void cursor_look_again(struct cursor *cursor);
u64 ring_max_needed(const struct ring *ring);

/* Behind the barrier of a hand-over, or as a hint. */
static inline bool has_sleepers(struct side *side)
{
	/* Pairs with the barrier in prepare_to_wait_event(). */
	return waitqueue_active(&side->sleepers);
}

static inline bool has_pollers(struct side *side)
{
	/* Pairs with the barrier in poll_wait(), cursor_join_pollers(), or endpoint_fasync(). */
	return waitqueue_active(&side->pollers) || READ_ONCE(side->signalled);
}

static inline bool wants_every_edge(const struct side *side)
{
	return READ_ONCE(side->every_edge) || READ_ONCE(side->signalled);
}

void tell_readers(struct ring *ring, u64 before, u64 head);
void tell_writers(struct ring *ring, u64 before);
void pass_on_to_writer(struct ring *ring);
void pass_on_to_reader(struct ring *ring, struct cursor *cursor);

/* After something was published, with no lock held. */
static inline void wake_readers(struct ring *ring, u64 before, u64 head)
{
	/* Pairs with the one in ring_unread(). */
	smp_mb();
	if (unlikely(has_sleepers(&ring->readers) || has_pollers(&ring->readers)))
		tell_readers(ring, before, head);
}

/* After the tail has moved on from before, with no lock held. */
static inline void wake_writers(struct ring *ring, u64 before)
{
	/* Pairs with the one in ring_room(). */
	smp_mb();
	if (unlikely(has_sleepers(&ring->writers) || has_pollers(&ring->writers)))
		tell_writers(ring, before);
}

/* mirror.c: memory that is mapped twice in a row. */

void *mirror_alloc(u64 bytes);
void mirror_free(void *data);

/* read.c, write.c: the data path. */

ssize_t ring_read(struct ring *ring, const struct read_end *end, struct iov_iter *to, bool headers,
		  bool nowait);
int ring_wait_to_read(struct ring *ring, const struct read_end *end);
void ring_read_given_up(struct ring *ring, const struct read_end *end);
ssize_t ring_splice_read(struct ring *ring, const struct read_end *end, bool headers,
			 struct pipe_inode_info *pipe, size_t len, bool nowait);
ssize_t ring_write(struct ring *ring, struct iov_iter *from, bool nowait, bool nosignal);
bool ring_is_refused(const struct ring *ring);

/* watermark.c: when a reader is woken. */

/* What a reader waits for. */
struct awaited {
	/* Where the head must be for it to look. */
	u64 head;
	/* When it is ready all the same, by CLOCK_MONOTONIC; 0 if there is nothing so far. */
	u64 due_ns;
};

enum hrtimer_restart watermark_alarm(struct hrtimer *timer);
bool ring_is_ready(struct ring *ring, const struct read_end *end, struct awaited *awaited);
bool ring_is_ready_to_poll(struct ring *ring, const struct read_end *end);
int cursor_set_watermark(struct ring *ring, struct cursor *cursor, struct watermark watermark);

/* ring.c: a ring as a whole. */

int ring_init(struct ring *ring, const struct ringdev_create *create);
void ring_exit(struct ring *ring);
int ring_join(struct ring *ring, bool reads, bool writes, struct read_end *end);
void ring_leave(struct ring *ring, bool reads, bool writes, struct cursor *cursor);
void ring_shut(struct ring *ring);
void ring_clear(struct ring *ring);
int ring_resize(struct ring *ring, u64 capacity);
int ring_evict(struct ring *ring, u64 id);
int ring_seek(struct ring *ring, struct cursor *cursor, bool to_oldest);
void ring_advance_tail(struct ring *ring);
bool ring_is_at_end(struct ring *ring, const struct read_end *end);
bool ring_is_abandoned(const struct ring *ring, const struct read_end *end);
void ring_urge_readers(struct ring *ring);
u64 ring_next_read(struct ring *ring, struct cursor *cursor, bool headers);
void ring_info(struct ring *ring, struct ringdev_info *info);
void ring_cursor_info(struct ring *ring, struct cursor *cursor, struct ringdev_cursor *info);
void ring_cursor_told(struct ring *ring, struct cursor *cursor, const struct ringdev_cursor *told);
int ring_next_cursor(struct ring *ring, u64 id, struct ringdev_cursor *info);

/* A cursor has moved on from before. With no lock held. */
static inline void ring_released(struct ring *ring, u64 before)
{
	if (ring->cursor_is_tail)
		wake_writers(ring, before);
	else
		ring_advance_tail(ring);
}

#endif /* TWIN_RING_H */
