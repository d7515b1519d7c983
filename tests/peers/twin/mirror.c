// SPDX-License-Identifier: GPL-2.0
/*
 * Pages mapped twice in a row: no range of a ring wraps that is no longer than the ring, wherever
 * it begins.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ring.h"

/*
 * Zeroed pages, charged to the memory cgroup of the caller. Rather fails than have somebody killed
 * for memory, and says nothing in the log if it fails.
 */
void *mirror_alloc(u64 bytes)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	unsigned int count = bytes >> PAGE_SHIFT;
	struct page **pages;
	unsigned int i;
	void *data;

	pages = kvmalloc_array(2 * count, sizeof(*pages), GFP_KERNEL | __GFP_NOWARN);
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++) {
		/* A killed process must not wait until all pages are allocated. */
		if (fatal_signal_pending(current))
			goto free;
		pages[i] = alloc_page(gfp);
		if (!pages[i])
			goto free;
	}
	/* One reference for each place in the list: vfree() puts them all, and frees the list. */
	for (i = 0; i < count; i++) {
		get_page(pages[i]);
		pages[count + i] = pages[i];
	}
	data = vmap(pages, 2 * count, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (data)
		return data;
	for (i = 0; i < count; i++)
		put_page(pages[i]);
	i = count;
free:
	while (i)
		__free_page(pages[--i]);
	kvfree(pages);
	return NULL;
}

void mirror_free(void *data)
{
	vfree(data);
}
