/*
 * The pages of a store's file, before LMDB gets to see them. The first bytes are a key and a NUL; then
 * for each page the number of its first bytes and of its last ones (two bytes each) and these: what
 * stands between is zero.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/store_pages.h"
#include "tests/fuzz/shared/fuzz.h"

#define PAGE 4096
#define PAGES 16
#define TXN (16 + 128)          /* in a meta page */

static size_t take(size_t *len, size_t n, size_t room)
{
	n = n < *len ? n : *len;
	n = n < room ? n : room;
	*len -= n;
	return n;
}

static size_t unpack(uint8_t *to, const uint8_t *at, size_t len)
{
	size_t n = 0, first, last;

	for (; n < PAGES && len > 4; n++) {
		const uint8_t *head = at;

		at += 4, len -= 4;
		first = take(&len, (size_t)(head[0] | head[1] << 8), PAGE);
		memcpy(to + n * PAGE, at, first);
		at += first;
		last = take(&len, (size_t)(head[2] | head[3] << 8), PAGE - first);
		memcpy(to + (n + 1) * PAGE - last, at, last);
		at += last;
	}
	return n;
}

/* Where every page is in order, so is every way. */
static void look(const struct pages *p, uint64_t txn, const char *key, size_t key_len)
{
	static const char *const table[] = { "objects", "actions" };
	struct snapshot s;
	struct tree t;
	struct err e;
	int sound;

	if (pages_snapshot(p, txn, &s, &e) < 0)
		return;
	sound = pages_all(p, &s, &e) == 0;
	HOLDS(pages_free(p, &s, &e) == 0 || !sound);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (pages_table(p, &s, table[i], &t, &e) == 0)
			HOLDS(pages_path(p, &s, &t, key, key_len, &e) == 0 || !sound);
}

FUZZ(pages)
{
	struct piece key = fuzz_piece(&at, &len, 0);
	static uint8_t all[PAGES * PAGE];
	struct pages p = { .size = PAGE };
	uint8_t *exact;
	uint64_t txn;
	struct err e;

	p.len = unpack(all, at, len) * PAGE;
	p.at = exact = xmalloc(p.len ? p.len : 1);
	memcpy(exact, all, p.len);
	memset(all, 0, p.len);
	if (pages_metas(&p, &e) == 0)
		for (int i = 0; i < 2; i++) {
			memcpy(&txn, exact + (size_t)i * PAGE + TXN, sizeof txn);
			look(&p, txn, (const char *)key.at, key.len);
		}
	free(exact);
	return 0;
}
