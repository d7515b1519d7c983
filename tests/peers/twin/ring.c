// SPDX-License-Identifier: GPL-2.0
/* A ring as a whole: how it is made, joined and left, changed, and what it tells of itself. */
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "ring.h"

static void cursor_init(struct ring *ring, struct cursor *cursor, u64 id, u64 *mark)
{
	mutex_init(&cursor->lock);
	INIT_LIST_HEAD(&cursor->link);
	refcount_set(&cursor->users, 1);
	cursor_init_pollers(cursor);
	hrtimer_setup(&cursor->alarm, watermark_alarm, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	cursor->ring = ring;
	cursor->id = id;
	cursor->mark = mark;
	cursor->at_once = ring->at_once;
}

/* Takes over the writers' memory, which was changed or is new to the cursor. */
static void cursor_take_data(struct ring *ring, struct cursor *cursor)
{
	cursor->data = ring->producer.data;
	cursor->mask = ring->producer.mask;
}

/* The ring is all zero. The choices have been looked at. */
int ring_init(struct ring *ring, const struct ringdev_create *create)
{
	ring->is_record = create->framing == RINGDEV_RECORD;
	ring->overwrites = create->full == RINGDEV_OVERWRITE;
	ring->is_broadcast = create->delivery == RINGDEV_BROADCAST;
	ring->has_hangup = create->flags & RINGDEV_HANGUP;
	ring->cursor_is_tail = !ring->is_broadcast && !ring->overwrites;
	ring->full = create->full;
	ring->capacity = create->capacity;
	if (!ring->is_record && ring->full == RINGDEV_BLOCK && !ring->is_broadcast &&
	    !ring->has_hangup)
		ring->at_once = COPY_MAX;

	side_init(&ring->readers, EPOLLIN | EPOLLRDNORM, POLL_IN, !ring->is_broadcast);
	/* What is written may have put an end to what was there before, for some. */
	ring->readers.must_look = ring->overwrites;
	side_init(&ring->writers, EPOLLOUT | EPOLLWRNORM, POLL_OUT, true);

	mutex_init(&ring->endpoints_lock);
	mutex_init(&ring->producer.lock);
	mutex_init(&ring->list_lock);
	INIT_LIST_HEAD(&ring->cursors);
	ring->next_cursor = 1;
	ring->producer.mask = create->capacity - 1;
	ring->producer.limit = create->capacity;
	ring->producer.data = mirror_alloc(create->capacity);
	cursor_init(ring, &ring->shared, 0,
		    ring->cursor_is_tail ? &ring->tail : &ring->shared.own_mark);
	cursor_take_data(ring, &ring->shared);
	if (!ring->is_broadcast)
		list_add(&ring->shared.link, &ring->cursors);
	return ring->producer.data ? 0 : -ENOMEM;
}

void ring_exit(struct ring *ring)
{
	/* It may never have come to be. */
	if (!ring->producer.data)
		return;
	hrtimer_cancel(&ring->shared.alarm);
	mirror_free(ring->producer.data);
}

/*
 * Readers that wait for more look again, if there are any: a writer that is in the queue is about
 * to wait, and cannot bring more, or the ring has become smaller.
 *
 * Both sides join their queue before they look into the other's. Here that is done under the other
 * queue's lock: a reader that is not in it yet joins it later, and then sees the writer.
 */
void ring_urge_readers(struct ring *ring)
{
	/* Pairs with cursor_set_watermark(): a barrier lies between this and joining the queue. */
	if (READ_ONCE(ring->has_watermarks))
		side_urge(&ring->readers);
}

/*
 * How many writers there have been, if all have left, and one of them while the endpoint was open:
 * then nobody writes any more, unless there is another. 0 if somebody writes now or later.
 */
static u64 writers_that_left(const struct ring *ring, const struct read_end *end)
{
	u64 opened;

	/* Pairs with the release in ring_shut(). */
	if (smp_load_acquire(&ring->destroyed))
		return U64_MAX;
	if (!ring->has_hangup)
		return 0;
	/* Pairs with the release in enter(): who is being opened counts as open before that. */
	opened = smp_load_acquire(&ring->writers_opened);
	/* Pairs with the release in leave(). */
	if (opened == end->writers_before || smp_load_acquire(&ring->endpoints_writing))
		return 0;
	return opened;
}

/* Whether nobody writes any more, as an endpoint sees it. */
bool ring_is_abandoned(const struct ring *ring, const struct read_end *end)
{
	return writers_that_left(ring, end);
}

/*
 * Whether a reader is at the end: there is nothing to read, and nobody writes any more, though
 * somebody did while its endpoint was open. The one answer for read(2) and poll(2); it was so at
 * some moment of the call.
 */
bool ring_is_at_end(struct ring *ring, const struct read_end *end)
{
	u64 left = writers_that_left(ring, end);

	if (!left || ring_unread(ring, end->cursor->mark))
		return false;
	/*
	 * Between the two looks nobody has opened it for writing, so both are about one moment. The
	 * positions were loaded between them: one that is stored meanwhile makes what is unread
	 * appear more, not less.
	 */
	return left == writers_that_left(ring, end);
}

/* Whether the tail is where the cursor is that is furthest behind, of several. */
static bool tail_follows_cursors(const struct ring *ring)
{
	return ring->is_broadcast && !ring->overwrites;
}

/*
 * With list_lock held: moves the tail to the cursor that is furthest behind, and returns whether it
 * has moved. Without a cursor the tail stays: what is written is kept for the first that comes.
 */
static bool move_tail(struct ring *ring)
{
	u64 tail = ring->tail;
	u64 least = U64_MAX;
	struct cursor *cursor;

	if (!tail_follows_cursors(ring) || list_empty(&ring->cursors))
		return false;
	/* What each cursor has released is passed on. */
	list_for_each_entry(cursor, &ring->cursors, link)
		least = min(least, load_mark(cursor->mark) - tail);
	if (least)
		release_mark(&ring->tail, tail + least);
	return least;
}

/* Where each reader sees everything and writers wait: a cursor has moved. */
void ring_advance_tail(struct ring *ring)
{
	bool moved;
	u64 before;

	if (!tail_follows_cursors(ring))
		return;
	mutex_lock(&ring->list_lock);
	before = ring->tail;
	moved = move_tail(ring);
	mutex_unlock(&ring->list_lock);
	if (moved)
		wake_writers(ring, before);
}

/* Somebody needs the cursor of an endpoint no longer. */
static void cursor_put(struct cursor *cursor)
{
	if (refcount_dec_and_test(&cursor->users))
		kfree(cursor);
}

/* Makes a cursor for a reader that sees everything from the oldest data on. */
static struct cursor *add_cursor(struct ring *ring)
{
	struct cursor *cursor = kzalloc(sizeof(*cursor), GFP_KERNEL_ACCOUNT);

	if (!cursor)
		return NULL;
	cursor_init(ring, cursor, 0, &cursor->own_mark);
	mutex_lock(&ring->producer.lock);
	mutex_lock(&ring->list_lock);
	cursor->id = ring->next_cursor++;
	mutex_lock(&cursor->lock);
	cursor_take_data(ring, cursor);
	cursor->ending = ring->ending;
	/* What was overwritten before it came it has not lost. */
	cursor_seek(ring, cursor, producer_oldest(ring), (struct place) {});
	mutex_unlock(&cursor->lock);
	/* From now on the tail waits for it. */
	list_add_tail(&cursor->link, &ring->cursors);
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&ring->producer.lock);
	return cursor;
}

/*
 * Takes a cursor out of the list. What was read there stays read, and the tail does not wait for it
 * any more; returns whether the tail has moved.
 *
 * With list_lock held, and the lock of the cursor: in one critical section, as whoever moves the
 * tail between two of them would take what was read for unread, or the reverse.
 */
static bool remove_cursor(struct ring *ring, struct cursor *cursor)
{
	struct received received;
	bool moved;

	/* While it is in the list: where there is no other, the tail stays there. */
	moved = move_tail(ring);
	list_del_init(&cursor->link);
	received = cursor_received(ring, cursor, (struct place) { *cursor->mark, cursor->next });
	ring->departed.records += received.records;
	ring->departed.bytes += received.bytes;
	return move_tail(ring) || moved;
}

/* Takes the cursor of an endpoint that is being closed out of the list, unless it was evicted. */
static void part(struct ring *ring, struct cursor *cursor)
{
	bool moved = false;
	u64 before;

	mutex_lock(&ring->list_lock);
	before = ring->tail;
	if (!list_empty(&cursor->link)) {
		mutex_lock(&cursor->lock);
		moved = remove_cursor(ring, cursor);
		mutex_unlock(&cursor->lock);
	}
	mutex_unlock(&ring->list_lock);
	if (moved)
		wake_writers(ring, before);
}

/* Says to all cursors whether nobody writes any more. */
static void set_ending(struct ring *ring, bool ending)
{
	struct cursor *cursor;

	mutex_lock(&ring->list_lock);
	ring->ending = ending;
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		cursor->ending = ending;
		mutex_unlock(&cursor->lock);
	}
	mutex_unlock(&ring->list_lock);
}

/*
 * Ends a session: gives up what has not been read, as nobody is there to read it or to be told of
 * it. It counts as lost. Nobody has to be woken: even a file that is being closed is not polled.
 */
static void discard(struct ring *ring)
{
	struct producer *producer = &ring->producer;
	struct cursor *cursor;
	struct place newest;

	mutex_lock(&producer->lock);
	newest = producer_newest(ring);
	if (ring->overwrites)
		producer_give_up_before(ring, newest.position);
	mutex_lock(&ring->list_lock);
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		cursor_seek(ring, cursor, newest, newest);
		cursor->untold = false;
		WRITE_ONCE(cursor->missed, false);
		mutex_unlock(&cursor->lock);
	}
	if (tail_follows_cursors(ring))
		release_mark(&ring->tail, newest.position);
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&producer->lock);
}

/* Counts an endpoint that is being opened. */
static int enter(struct ring *ring, bool reads, bool writes, struct read_end *end)
{
	u64 opened;

	mutex_lock(&ring->endpoints_lock);
	if (ring->destroyed) {
		mutex_unlock(&ring->endpoints_lock);
		return -ENODEV;
	}
	opened = ring->writers_opened;
	/* A writer that is still open is one that a reader will see leave. */
	end->writers_before = opened - !!ring->endpoints_writing;
	if (reads)
		WRITE_ONCE(ring->endpoints_reading, ring->endpoints_reading + 1);
	if (writes) {
		if (ring->has_hangup && !ring->endpoints_writing)
			set_ending(ring, false);
		WRITE_ONCE(ring->endpoints_writing, ring->endpoints_writing + 1);
		/* Pairs with the acquire in writers_that_left(). */
		smp_store_release(&ring->writers_opened, opened + 1);
	}
	mutex_unlock(&ring->endpoints_lock);
	return 0;
}

/* Takes an endpoint that is being closed out of the count, and tells those whom it leaves alone. */
static void leave(struct ring *ring, bool reads, bool writes)
{
	bool is_last_reader, is_last_writer;
	u32 reading, writing;

	mutex_lock(&ring->endpoints_lock);
	reading = ring->endpoints_reading - reads;
	writing = ring->endpoints_writing - writes;
	WRITE_ONCE(ring->endpoints_reading, reading);
	/* After what was written; pairs with the acquire in writers_that_left(). */
	smp_store_release(&ring->endpoints_writing, writing);
	is_last_reader = ring->has_hangup && reads && !reading;
	is_last_writer = ring->has_hangup && writes && !writing;
	if (is_last_writer)
		set_ending(ring, true);
	/* Whoever opens it next finds it empty: it waits for the lock. */
	if (ring->has_hangup && !reading && !writing)
		discard(ring);
	mutex_unlock(&ring->endpoints_lock);
	/*
	 * The locks of the queues are taken after the counts were changed: whoever joins a queue
	 * later sees them.
	 */
	if (is_last_reader)
		side_announce(&ring->writers);
	if (is_last_writer)
		side_announce(&ring->readers);
}

/* Removes the cursor of an endpoint that is closed, or could not be opened. */
static void leave_cursor(struct ring *ring, struct cursor *cursor)
{
	part(ring, cursor);
	cursor_leave_pollers(cursor);
	if (mistake(cursor_after_its_endpoint))
		kfree(cursor);
	hrtimer_cancel(&cursor->alarm);
	if (!mistake(cursor_after_its_endpoint))
		cursor_put(cursor);
}

/*
 * Opens an endpoint. It is counted last, because creating a cursor may fail: readers would see a
 * counted writer leave and the session end.
 */
int ring_join(struct ring *ring, bool reads, bool writes, struct read_end *end)
{
	int err;

	end->cursor = NULL;
	if (reads) {
		end->cursor = ring->is_broadcast ? add_cursor(ring) : &ring->shared;
		if (!end->cursor)
			return -ENOMEM;
	}
	err = enter(ring, reads, writes, end);
	if (err && reads && ring->is_broadcast)
		leave_cursor(ring, end->cursor);
	return err;
}

/*
 * An endpoint has been closed. In a ring that hangs up, the last endpoint of both sides ends the
 * session: what nobody has read counts as lost.
 */
void ring_leave(struct ring *ring, bool reads, bool writes, struct cursor *cursor)
{
	if (cursor && ring->is_broadcast)
		leave_cursor(ring, cursor);
	leave(ring, reads, writes);
}

/*
 * The ring has lost its name: writers are refused from now on, and readers find an end when they
 * have read what is there.
 */
void ring_shut(struct ring *ring)
{
	mutex_lock(&ring->endpoints_lock);
	/* With the lock held nobody is in the middle of a write that has looked before. */
	mutex_lock(&ring->producer.lock);
	ring->producer.refused = true;
	/* The short way finds no room any more, and leaves it to the long one to say why. */
	ring->producer.limit = ring->head;
	/* Who sees it sees all that was written; pairs with the acquire in writers_that_left(). */
	smp_store_release(&ring->destroyed, true);
	mutex_unlock(&ring->producer.lock);
	set_ending(ring, true);
	mutex_unlock(&ring->endpoints_lock);
	side_announce(&ring->readers);
	side_announce(&ring->writers);
}

/* Gives up everything that has not been read. It counts as lost. */
void ring_clear(struct ring *ring)
{
	struct producer *producer = &ring->producer;
	struct cursor *cursor;
	u64 newest, before;
	bool moved = false;

	mutex_lock(&producer->lock);
	newest = ring->head;
	before = ring->tail;
	/*
	 * Where data are overwritten the writers' side gives them up, elsewhere the cursors do. Not
	 * record by record: writers wait meanwhile, and a large ring has many.
	 */
	if (ring->overwrites)
		producer_give_up_before(ring, newest);
	mutex_lock(&ring->list_lock);
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		if (ring->cursor_is_tail)
			before = ring->tail;
		cursor_lose_up_to(ring, cursor, newest);
		cursor_restart(cursor);
		mutex_unlock(&cursor->lock);
		moved = true;
	}
	if (tail_follows_cursors(ring)) {
		/* Whether there is a cursor or not: nothing is left for one that is to come. */
		before = ring->tail;
		moved = is_beyond(newest, before);
		if (moved)
			release_mark(&ring->tail, newest);
	}
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&producer->lock);
	if (moved && !ring->overwrites && !mistake(forgotten_wake_up))
		wake_writers(ring, before);
	/* Who polls for what was lost. */
	side_announce(&ring->readers);
}

/*
 * For a ring that is overwritten, and shall have a capacity that does not hold what is in it: what
 * all readers have read need not be kept. If the rest does not fit either, everything is kept.
 */
static int give_up_what_was_read(struct ring *ring, u64 capacity)
{
	struct place oldest = producer_oldest(ring);
	bool has_cursor = false;
	struct cursor *cursor;
	u64 unread = 0;

	if (ring->head - oldest.position <= capacity)
		return 0;
	mutex_lock(&ring->list_lock);
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		unread = max(unread, ring->head - cursor_position_from(cursor, oldest));
		mutex_unlock(&cursor->lock);
		has_cursor = true;
	}
	mutex_unlock(&ring->list_lock);
	/* Without a cursor all of it is for the first that comes. */
	if (!has_cursor || unread > capacity)
		return -EBUSY;
	producer_give_up_before(ring, ring->head - unread);
	return 0;
}

/*
 * Changes the capacity. Writers wait meanwhile; readers go on in the old memory until it is their
 * turn.
 */
int ring_resize(struct ring *ring, u64 capacity)
{
	struct producer *producer = &ring->producer;
	struct cursor *cursor;
	u64 tail, len;
	char *data;
	int err = 0;

	data = mirror_alloc(capacity);
	if (!data)
		return -ENOMEM;
	mutex_lock(&producer->lock);
	if (ring->overwrites)
		err = give_up_what_was_read(ring, capacity);
	/* The tail may move on: then a little more is copied than has to be. */
	tail = READ_ONCE(ring->tail);
	len = ring->head - tail;
	if (!err && len > capacity)
		err = -EBUSY;
	if (err) {
		mutex_unlock(&producer->lock);
		mirror_free(data);
		return err;
	}
	memcpy(data + (tail & (capacity - 1)), producer_at(producer, tail), len);
	swap(producer->data, data);
	producer->mask = capacity - 1;
	producer->limit = load_mark(&ring->tail) + capacity;
	if (producer->refused)
		producer->limit = ring->head;
	WRITE_ONCE(ring->capacity, capacity);
	if (mistake(memory_after_it_was_freed))
		mirror_free(data);

	mutex_lock(&ring->list_lock);
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		cursor_take_data(ring, cursor);
		mutex_unlock(&cursor->lock);
	}
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&producer->lock);
	/* Nobody is in it any more: at a cursor that is in no list nobody reads. */
	if (!mistake(memory_after_it_was_freed))
		mirror_free(data);
	/* There may be room now, and of what is unread less may be enough. */
	side_announce(&ring->writers);
	ring_urge_readers(ring);
	return 0;
}

/* The first cursor that has this number or a larger one. With list_lock held. */
static struct cursor *find_cursor(struct ring *ring, u64 id)
{
	struct cursor *cursor;

	list_for_each_entry(cursor, &ring->cursors, link) {
		if (cursor->id >= id)
			return cursor;
	}
	return NULL;
}

/*
 * Takes a cursor away from the endpoint that reads there. What the endpoint has not read stays for
 * the next reader if there is no other. Where readers compete, the cursor is the ring's.
 */
int ring_evict(struct ring *ring, u64 id)
{
	struct cursor *cursor;
	struct place oldest;
	bool moved = false;
	int err = -ENOENT;
	u64 before;

	if (!ring->is_broadcast)
		return -EINVAL;
	mutex_lock(&ring->producer.lock);
	mutex_lock(&ring->list_lock);
	before = ring->tail;
	cursor = find_cursor(ring, id);
	if (cursor && cursor->id == id) {
		err = 0;
		/*
		 * With its lock held nobody is in the middle of a read that has looked before: what
		 * is at the cursor may be overwritten from now on.
		 */
		mutex_lock(&cursor->lock);
		oldest = producer_oldest(ring);
		moved = remove_cursor(ring, cursor);
		/* What was lost so far stays its loss, and nothing is added to it. */
		cursor_seek(ring, cursor, producer_newest(ring), oldest);
		cursor->data = NULL;
		WRITE_ONCE(cursor->evicted, true);
		mutex_unlock(&cursor->lock);
		/* Its endpoint may be closed before those who wait there are woken. */
		refcount_inc(&cursor->users);
	}
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&ring->producer.lock);
	if (err)
		return err;
	if (moved)
		wake_writers(ring, before);
	cursor_look_again(cursor);
	cursor_put(cursor);
	/* Who of them it was that the signals are for, the list does not say. */
	side_signal(&ring->readers);
	return 0;
}

/* Moves the cursor of an endpoint to the oldest data, or to where the next will be. */
int ring_seek(struct ring *ring, struct cursor *cursor, bool to_oldest)
{
	struct place oldest;
	int err = 0;

	mutex_lock(&ring->producer.lock);
	/* The tail does not move meanwhile. */
	mutex_lock(&ring->list_lock);
	oldest = producer_oldest(ring);
	mutex_lock(&cursor->lock);
	if (cursor->data)
		cursor_seek(ring, cursor, to_oldest ? oldest : producer_newest(ring), oldest);
	else
		err = -ESHUTDOWN;
	mutex_unlock(&cursor->lock);
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&ring->producer.lock);
	if (err)
		return err;
	ring_advance_tail(ring);
	/* Who waits on the same endpoint looks at the new place. */
	cursor_look_again(cursor);
	return 0;
}

static void received_add(struct received *sum, const struct received *other)
{
	sum->records += other->records;
	sum->bytes += other->bytes;
	sum->records_lost += other->records_lost;
	sum->bytes_lost += other->bytes_lost;
}

/* What the ring is, and what has happened to it. The size is the caller's. */
void ring_info(struct ring *ring, struct ringdev_info *info)
{
	struct producer *producer = &ring->producer;
	struct received sum, received;
	struct cursor *cursor;
	struct place oldest;
	u64 unread = 0;

	info->flags = ring->has_hangup ? RINGDEV_HANGUP : 0;
	info->id = ring->id;
	info->framing = ring->is_record ? RINGDEV_RECORD : RINGDEV_STREAM;
	info->full = ring->full;
	info->delivery = ring->is_broadcast ? RINGDEV_BROADCAST : RINGDEV_SHARED;
	info->mode = ring->mode;
	info->uid = from_kuid_munged(current_user_ns(), ring->uid);
	info->gid = from_kgid_munged(current_user_ns(), ring->gid);
	memcpy(info->name, ring->name, sizeof(info->name));

	mutex_lock(&producer->lock);
	mutex_lock(&ring->list_lock);
	sum = ring->departed;
	list_for_each_entry(cursor, &ring->cursors, link) {
		mutex_lock(&cursor->lock);
		/* With the lock held, as where writers wait the cursor is what moves the tail. */
		oldest = producer_oldest(ring);
		unread = max(unread, ring->head - cursor_position_from(cursor, oldest));
		producer->high_water = max(producer->high_water, cursor->high_water);
		received = cursor_received(ring, cursor, oldest);
		received_add(&sum, &received);
		mutex_unlock(&cursor->lock);
	}
	if (ring->is_broadcast) {
		/* Each cursor has lost something else. */
		sum.records_lost = 0;
		sum.bytes_lost = 0;
		if (!ring->overwrites)
			unread = ring->head - ring->tail;
	}
	mutex_unlock(&ring->list_lock);
	producer->high_water = max(producer->high_water, unread);
	info->capacity = producer->mask + 1;
	info->unread = unread;
	info->high_water = producer->high_water;
	info->records_in = producer->records;
	info->bytes_in = ring->is_record ? producer->bytes : ring->head;
	info->records_dropped = producer->records_dropped;
	info->bytes_dropped = producer->bytes_dropped;
	mutex_unlock(&producer->lock);

	info->readers = READ_ONCE(ring->endpoints_reading);
	info->writers = READ_ONCE(ring->endpoints_writing);
	info->records_lost = sum.records_lost;
	info->bytes_lost = sum.bytes_lost;
	info->records_out = sum.records;
	info->bytes_out = sum.bytes;
	info->writer_sleeps = atomic_long_read(&ring->writers.sleeps);
	info->writer_wakes = atomic_long_read(&ring->writers.wakes);
	info->reader_sleeps = atomic_long_read(&ring->readers.sleeps);
	info->reader_wakes = atomic_long_read(&ring->readers.wakes);
}

/* With producer.lock held. */
static void cursor_info(struct ring *ring, struct cursor *cursor, struct ringdev_cursor *info)
{
	struct received received;

	mutex_lock(&cursor->lock);
	if (!cursor->data) {
		/* It was evicted: what happens in the ring does not concern it any more. */
		info->unread = 0;
		received = cursor_received(ring, cursor,
					   (struct place) { *cursor->mark, cursor->next });
	} else {
		struct place oldest = producer_oldest(ring);

		info->unread = ring->head - cursor_position_from(cursor, oldest);
		received = cursor_received(ring, cursor, oldest);
	}
	info->watermark = READ_ONCE(cursor->watermark.bytes);
	info->delay_ns = READ_ONCE(cursor->watermark.delay_ns);
	mutex_unlock(&cursor->lock);
	info->flags = 0;
	info->id = cursor->id;
	info->records_out = received.records;
	info->bytes_out = received.bytes;
	info->records_lost = received.records_lost;
	info->bytes_lost = received.bytes_lost;
	memcpy(info->name, ring->name, sizeof(info->name));
}

/* What has happened at a cursor. */
void ring_cursor_info(struct ring *ring, struct cursor *cursor, struct ringdev_cursor *info)
{
	mutex_lock(&ring->producer.lock);
	cursor_info(ring, cursor, info);
	mutex_unlock(&ring->producer.lock);
}

/* Clears EPOLLPRI at a cursor whose reader has received told, unless more was lost since then. */
void ring_cursor_told(struct ring *ring, struct cursor *cursor, const struct ringdev_cursor *told)
{
	mutex_lock(&ring->producer.lock);
	mutex_lock(&cursor->lock);
	if (cursor->data) {
		struct place oldest = producer_oldest(ring);
		struct received now = cursor_received(ring, cursor, oldest);

		if (now.records_lost == told->records_lost && now.bytes_lost == told->bytes_lost) {
			cursor_lose_up_to(ring, cursor, oldest.position);
			cursor->untold = false;
			WRITE_ONCE(cursor->missed, false);
		}
	}
	mutex_unlock(&cursor->lock);
	mutex_unlock(&ring->producer.lock);
}

/* Likewise, of the first cursor that has this number or a larger one. */
int ring_next_cursor(struct ring *ring, u64 id, struct ringdev_cursor *info)
{
	struct cursor *cursor;

	mutex_lock(&ring->producer.lock);
	mutex_lock(&ring->list_lock);
	cursor = find_cursor(ring, id);
	if (cursor)
		cursor_info(ring, cursor, info);
	mutex_unlock(&ring->list_lock);
	mutex_unlock(&ring->producer.lock);
	return cursor ? 0 : -ENODATA;
}
