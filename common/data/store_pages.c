#include "common/data/store_pages.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HEAD 16                 /* of a page: number, pad, flags, lower, upper */
#define NODE 8                  /* of a node: size or child, flags, length of the key */
#define TREE 48
#define KEY_LIMIT 511
#define DEPTH_LIMIT 32
#define MAGIC 0xbeefc0deu
#define VERSION 1
#define FLAG_BRANCH 1
#define FLAG_LEAF 2
#define FLAG_OVERFLOW 4
#define FLAG_META 8
#define INTEGER_KEY 8           /* of a tree: the free list's keys are numbers */

static uint16_t get16(const unsigned char *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof v);
	return v;
}

static uint32_t get32(const unsigned char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof v);
	return v;
}

static uint64_t get64(const unsigned char *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof v);
	return v;
}

/* ---- the map ---- */

int pages_map(struct pages *p, int fd, size_t page_size, struct err *e)
{
	struct stat st;
	void *at;

	if (fstat(fd, &st) < 0)
		return fail_errno(e, "cannot look at its file");
	if (p->at && (size_t)st.st_size <= p->len)
		return 0;
	pages_unmap(p);
	if (st.st_size == 0)
		return 0;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return fail_errno(e, "cannot map its file");
	*p = (struct pages){ at, (size_t)st.st_size, page_size };
	return 0;
}

void pages_unmap(struct pages *p)
{
	if (p->at)
		munmap((void *)(uintptr_t)p->at, p->len);
	*p = (struct pages){ 0 };
}

static int is_inside(const struct pages *p, const struct snapshot *s, uint64_t number,
		     uint64_t count)
{
	return number >= 2 && count && number <= s->last && count <= s->last - number + 1 &&
		number + count <= p->len / p->size;
}

/* ---- meta pages and trees ---- */

static int tree_parse(const unsigned char *at, const char *name, unsigned flags, struct tree *out,
		      struct err *e)
{
	*out = (struct tree){ name, get64(at + 40), get16(at + 6), get16(at + 4), get64(at + 8),
			      get64(at + 16), get64(at + 24), get64(at + 32) };
	if (out->flags != flags)
		return fail(e, "tree '%s' has the flags %x, %x are wanted", name, out->flags, flags);
	if (out->depth > DEPTH_LIMIT || (out->depth == 0) != (out->root == TREE_EMPTY))
		return fail(e, "tree '%s' is %u pages deep", name, out->depth);
	return 0;
}

int tree_read(const struct node *n, const char *name, struct tree *out, struct err *e)
{
	if (n->flags != NODE_TREE || n->len != TREE)
		return fail(e, "table '%s' is not recorded as one", name);
	if (get32(n->at))
		return fail(e, "tree '%s' has records of %u bytes", name, get32(n->at));
	return tree_parse(n->at, name, 0, out, e);
}

/* One of the two: -1 if it is none. */
static int meta_read(const struct pages *p, int i, struct snapshot *out, struct err *e)
{
	const unsigned char *at = p->at + (size_t)i * p->size, *m = at + HEAD;

	if (p->len < 2 * p->size)
		return fail(e, "its file has %zu bytes", p->len);
	if (get64(at) != (uint64_t)i || get16(at + 10) != FLAG_META || get32(m) != MAGIC ||
	    get32(m + 4) != VERSION || get64(m + 8) || get32(m + 24) != p->size)
		return fail(e, "page %d is not a meta page of this version", i);
	*out = (struct snapshot){ .last = get64(m + 120), .txn = get64(m + 128) };
	if (tree_parse(m + 24, "free", INTEGER_KEY, &out->free, e) < 0)
		return -1;
	if (get32(m + 72))
		return fail(e, "tree 'main' has records of %u bytes", get32(m + 72));
	return tree_parse(m + 72, "main", 0, &out->main, e);
}

int pages_metas(const struct pages *p, struct err *e)
{
	struct snapshot s[2];
	int agree = 0;

	/* Others may be writing them while we look. */
	for (int i = 0; i < 16 && !agree; i++) {
		if (meta_read(p, 0, &s[0], e) < 0 || meta_read(p, 1, &s[1], e) < 0)
			return -1;
		agree = (s[0].txn & 1) == 0 && ((s[1].txn & 1) == 1 || !s[1].txn) &&
			(s[0].txn > s[1].txn ? s[0].txn - s[1].txn : s[1].txn - s[0].txn) <= 1;
	}
	return agree ? 0 : fail(e, "its meta pages are of transactions %llu and %llu",
				(unsigned long long)s[0].txn, (unsigned long long)s[1].txn);
}

int pages_snapshot(const struct pages *p, uint64_t txn, struct snapshot *out, struct err *e)
{
	if (meta_read(p, (int)(txn & 1), out, e) < 0)
		return -1;
	if (out->txn != txn)
		return fail(e, "its meta page is of transaction %llu, %llu is wanted",
			    (unsigned long long)out->txn, (unsigned long long)txn);
	if (out->last >= p->len / p->size)
		return fail(e, "its file has %zu bytes for %llu pages", p->len,
			    (unsigned long long)out->last + 1);
	return 0;
}

/* ---- pages ---- */

void page_node(const struct pages *p, const struct page *g, int i, struct node *out)
{
	const unsigned char *at = g->at + get16(g->at + HEAD + 2 * i);

	(void)p;
	*out = (struct node){ .key = at + NODE, .key_len = get16(at + 6) };
	if (!g->leaf) {
		out->child = get32(at) | (uint64_t)get16(at + 4) << 32;
		return;
	}
	out->flags = get16(at + 4);
	out->len = get32(at);
	out->at = at + NODE + out->key_len;
	if (out->flags & NODE_BIG)
		out->child = get64(out->at);
}

/* The node's bytes, 0 if it is not inside of the page. */
static size_t node_size(const struct pages *p, const struct page *g, int i, size_t upper)
{
	size_t at = get16(g->at + HEAD + 2 * i), room = p->size - at, n = NODE;
	const unsigned char *node = g->at + at;

	if (at < upper || at > p->size - NODE || at % 2)
		return 0;
	n += get16(node + 6);
	if (get16(node + 6) > KEY_LIMIT || n > room)
		return 0;
	if (g->leaf) {
		unsigned flags = get16(node + 4);

		if (flags > 2)
			return 0;
		n += flags & NODE_BIG ? 8 : (size_t)get32(node);
	}
	return n > room ? 0 : (n + 1) / 2 * 2;
}

static int compare(const struct tree *t, const unsigned char *a, size_t a_len,
		   const unsigned char *b, size_t b_len)
{
	int c;

	if (t->flags & INTEGER_KEY)
		return get64(a) < get64(b) ? -1 : get64(a) > get64(b);
	c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

static int check_order(const struct pages *p, const struct tree *t, const struct page *g,
		       const struct bounds *b)
{
	struct node n, last = { .key = b->low, .key_len = b->low_len };

	/* the first key of a branch stands for everything that is lower, and is left out */
	for (int i = !g->leaf; i < g->n; i++) {
		int equal_is_fine = i == 0;

		page_node(p, g, i, &n);
		if (((t->flags & INTEGER_KEY) && n.key_len != 8) || !n.key_len)
			return 0;
		if (last.key && compare(t, last.key, last.key_len, n.key, n.key_len) > -!equal_is_fine)
			return 0;
		last = n;
	}
	return !b->high || !last.key || last.key == b->low ||
		compare(t, last.key, last.key_len, b->high, b->high_len) < 0;
}

int page_open(const struct pages *p, const struct snapshot *s, const struct tree *t,
	      uint64_t number, unsigned level, const struct bounds *b, struct page *out,
	      struct err *e)
{
	unsigned long long shown = number;
	size_t lower, upper, used = 0;

	if (!is_inside(p, s, number, 1))
		return fail(e, "tree '%s' names page %llu of %llu", t->name, shown,
			    (unsigned long long)s->last + 1);
	*out = (struct page){ p->at + number * p->size, number, level == t->depth, 0 };
	lower = get16(out->at + 12);
	upper = get16(out->at + 14);
	if (get64(out->at) != number || get16(out->at + 10) != (out->leaf ? FLAG_LEAF : FLAG_BRANCH))
		return fail(e, "page %llu is not what tree '%s' takes it for", shown, t->name);
	if (lower < HEAD + 2 || lower % 2 || lower > upper || upper > p->size)
		return fail(e, "page %llu has its free room at %zu to %zu", shown, lower, upper);
	out->n = (int)(lower - HEAD) / 2;
	for (int i = 0; i < out->n; i++) {
		size_t n = node_size(p, out, i, upper);

		if (!n)
			return fail(e, "entry %d of page %llu is not inside of it", i, shown);
		used += n;
	}
	if (used != p->size - upper)
		return fail(e, "the entries of page %llu have %zu bytes, %zu are wanted", shown, used,
			    p->size - upper);
	if (!check_order(p, t, out, b))
		return fail(e, "the keys of page %llu are not in order", shown);
	return 0;
}

struct bounds child_bounds(const struct pages *p, const struct page *g, int i,
			   const struct bounds *b)
{
	struct bounds out = *b;
	struct node n;

	if (i > 0) {
		page_node(p, g, i, &n);
		out.low = n.key;
		out.low_len = n.key_len;
	}
	if (i + 1 < g->n) {
		page_node(p, g, i + 1, &n);
		out.high = n.key;
		out.high_len = n.key_len;
	}
	return out;
}

int page_big(const struct pages *p, const struct snapshot *s, const struct node *n, int look,
	     uint64_t *count, struct err *e)
{
	const unsigned char *at;

	*count = (HEAD - 1 + n->len) / p->size + 1;
	if (!is_inside(p, s, n->child, *count))
		return fail(e, "a value of %llu bytes lies at page %llu of %llu",
			    (unsigned long long)n->len, (unsigned long long)n->child,
			    (unsigned long long)s->last + 1);
	if (!look)
		return 0;
	at = p->at + n->child * p->size;
	if (get64(at) != n->child || get16(at + 10) != FLAG_OVERFLOW || get32(at + 12) != *count)
		return fail(e, "page %llu is not the beginning of a value of %llu bytes",
			    (unsigned long long)n->child, (unsigned long long)n->len);
	return 0;
}

/* ---- the way to a key ---- */

/* The last child whose keys may be as low as the key; in a leaf, its place. */
static int find_child(const struct pages *p, const struct tree *t, const struct page *g,
		      const unsigned char *key, size_t key_len)
{
	int low = 1, high = g->n;       /* the first child's key counts as lowest */
	struct node n;

	while (low < high) {
		int mid = (low + high) / 2;

		page_node(p, g, mid, &n);
		if (compare(t, n.key, n.key_len, key, key_len) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

/* A page that loses entries is filled up from the one beside it, or joined with it. */
static int check_beside(const struct pages *p, const struct snapshot *s, const struct tree *t,
			const struct page *g, int i, unsigned level, const struct bounds *b,
			struct err *e)
{
	for (int k = i - 1; k <= i + 1; k += 2) {
		struct bounds in;
		struct page beside;
		struct node n;

		if (k < 0 || k >= g->n)
			continue;
		in = child_bounds(p, g, k, b);
		page_node(p, g, k, &n);
		if (page_open(p, s, t, n.child, level + 1, &in, &beside, e) < 0)
			return -1;
	}
	return 0;
}

int pages_path(const struct pages *p, const struct snapshot *s, const struct tree *t,
	       const void *key, size_t key_len, struct err *e)
{
	uint64_t number = t->root, count;
	struct bounds b = { 0 }, in;
	struct page g;
	struct node n;

	if (t->root == TREE_EMPTY)
		return 0;
	for (unsigned level = 1; ; level++) {
		int i;

		if (page_open(p, s, t, number, level, &b, &g, e) < 0)
			return -1;
		i = find_child(p, t, &g, key, key_len);
		page_node(p, &g, i, &n);
		if (g.leaf)
			return n.flags & NODE_BIG ? page_big(p, s, &n, 1, &count, e) : 0;
		if (check_beside(p, s, t, &g, i, level, &b, e) < 0)
			return -1;
		in = child_bounds(p, &g, i, &b);
		b = in;
		number = n.child;
	}
}

int pages_table(const struct pages *p, const struct snapshot *s, const char *name,
		struct tree *out, struct err *e)
{
	struct bounds b = { 0 };
	struct page g;
	struct node n;

	*out = (struct tree){ .name = name, .root = TREE_EMPTY };
	if (s->main.root == TREE_EMPTY)
		return 0;
	if (s->main.depth != 1)         /* it names a handful of tables */
		return fail(e, "tree 'main' is %u pages deep", s->main.depth);
	if (page_open(p, s, &s->main, s->main.root, 1, &b, &g, e) < 0)
		return -1;
	for (int i = 0; i < g.n; i++) {
		page_node(p, &g, i, &n);
		if (n.key_len == strlen(name) && !memcmp(n.key, name, n.key_len))
			return tree_read(&n, name, out, e);
	}
	return fail(e, "table '%s' is gone", name);
}
