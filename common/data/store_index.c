/* Positions of ids in an array; see store_impl.h. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/store_impl.h"

static const struct oid *id_at(const void *array, size_t size, size_t at)
{
	return (const void *)((const char *)array + at * size);
}

/* The slot that holds the id, or the free one where it would be. Ids are hashes already. */
static uint32_t *slot_of(const struct oid_index *x, const struct oid *id, const void *array,
			 size_t size)
{
	uint64_t i;

	memcpy(&i, id->at, sizeof i);
	for (i &= x->slots - 1; x->slot[i]; i = (i + 1) & (x->slots - 1))
		if (oid_equal(id_at(array, size, x->slot[i] - 1), id))
			break;
	return &x->slot[i];
}

ptrdiff_t oid_index_find(const struct oid_index *x, const struct oid *id, const void *array,
			 size_t size)
{
	return x->n ? (ptrdiff_t)*slot_of(x, id, array, size) - 1 : -1;
}

/* At most half full, so that a search is short. */
static void make_room(struct oid_index *x, const void *array, size_t size)
{
	struct oid_index old = *x;

	if (2 * (x->n + 1) <= x->slots)
		return;
	x->slots = old.slots ? 2 * old.slots : 64;
	x->slot = xcalloc(x->slots, sizeof *x->slot);
	for (size_t i = 0; i < old.slots; i++)
		if (old.slot[i])
			*slot_of(x, id_at(array, size, old.slot[i] - 1), array, size) = old.slot[i];
	free(old.slot);
}

void oid_index_add(struct oid_index *x, size_t at, const void *array, size_t size)
{
	uint32_t *slot;

	make_room(x, array, size);
	slot = slot_of(x, id_at(array, size, at), array, size);
	x->n += *slot == 0;
	*slot = (uint32_t)at + 1;
}

void oid_index_clear(struct oid_index *x)
{
	free(x->slot);
	*x = (struct oid_index){ 0 };
}
