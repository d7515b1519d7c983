// SPDX-License-Identifier: GPL-2.0
/* Positions: what is beyond the short way, which is inline in ring.h. */
#include "ring.h"

/* For a ring that is overwritten: everything below the position is about to be. */
static void evict(struct ring *ring, u64 position)
{
	ring->producer.limit = position + ring->producer.mask + 1;
	/* Who goes on from this tail sees a head that is not below it. */
	release_mark(&ring->tail, position);
	/* Pairs with the barrier in cursor_was_lapped(). */
	smp_wmb();
}

/*
 * Makes room for so many bytes, at most the capacity, by giving up the oldest data. From here on,
 * until something is published, what was given up is gone all the same.
 */
void producer_make_room(struct ring *ring, u64 bytes)
{
	struct producer *producer = &ring->producer;
	u64 tail = ring->tail;
	u64 least;

	bytes = min(bytes, producer->mask + 1);
	/* Where the tail has to be at least. */
	least = ring->head + bytes - (producer->mask + 1);
	if (!is_beyond(least, tail))
		return;
	if (ring->is_record) {
		while (is_beyond(least, tail))
			tail += stored(record_length(producer_at(producer, tail)));
	} else {
		tail = least;
	}
	evict(ring, tail);
}

/* Gives up what is older than the position, where a record begins or any byte of a stream. */
void producer_give_up_before(struct ring *ring, u64 position)
{
	evict(ring, position);
}

/* Where the next data will begin. */
struct place producer_newest(const struct ring *ring)
{
	return (struct place) { ring->head, ring->producer.records };
}

/*
 * Where the oldest data begin. Nobody may move the tail meanwhile: where writers overwrite only
 * they do, elsewhere whoever moves cursors.
 */
struct place producer_oldest(struct ring *ring)
{
	u64 tail = load_mark(&ring->tail);

	if (tail == ring->head)
		return producer_newest(ring);
	return (struct place) {
		tail,
		ring->is_record ? record_sequence(producer_at(&ring->producer, tail)) : 0,
	};
}

void cursor_raise_high_water(struct cursor *cursor, u64 unread)
{
	/* Data that were overwritten since may be among them, and are not there. */
	cursor->high_water = max(cursor->high_water, min(unread, cursor->mask + 1));
}

/*
 * What lies before the position, which the tail or the head has reached, is lost if it has not been
 * read. Records that were lost are found missing, and counted, at the next one.
 */
void cursor_lose_up_to(struct ring *ring, struct cursor *cursor, u64 position)
{
	u64 lost = position - *cursor->mark;

	if (!is_beyond(position, *cursor->mark))
		return;
	/* Before the mark moves, so that a poller sees the one or the other. */
	WRITE_ONCE(cursor->missed, true);
	if (!ring->is_record) {
		cursor->received.bytes_lost += lost;
		cursor->skipped += lost;
	}
	cursor->head_seen = load_head(ring);
	release_mark(cursor->mark, position);
}

/*
 * Moves the cursor to another place. What was lost so far, up to the oldest data, is counted; what
 * is left out on the way is neither read nor lost.
 */
void cursor_seek(struct ring *ring, struct cursor *cursor, struct place to, struct place oldest)
{
	cursor_lose_up_to(ring, cursor, oldest.position);
	if (ring->is_record && is_beyond(oldest.sequence, cursor->next))
		cursor->received.records_lost += oldest.sequence - cursor->next;
	cursor->next = to.sequence;
	cursor->skipped += to.position - *cursor->mark;
	cursor->head_seen = load_head(ring);
	release_mark(cursor->mark, to.position);
	cursor_restart(cursor);
}

/* What has been read and lost, if the oldest data are there. */
struct received cursor_received(const struct ring *ring, const struct cursor *cursor,
				struct place oldest)
{
	struct received received = cursor->received;

	if (ring->is_record) {
		if (is_beyond(oldest.sequence, cursor->next))
			received.records_lost += oldest.sequence - cursor->next;
	} else {
		received.bytes = *cursor->mark - cursor->skipped;
		if (is_beyond(oldest.position, *cursor->mark))
			received.bytes_lost += oldest.position - *cursor->mark;
	}
	return received;
}
