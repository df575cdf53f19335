/* All pages of a store's file, each met once. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/store_pages.h"

#define FEW 8192

struct walk {
	const struct pages *p;
	const struct snapshot *s;
	unsigned char *met;             /* a bit a page; NULL: not asked */
	const struct tree *t;
	int light;                      /* trees of FEW pages only, large values unseen */
	uint64_t branches, leaves, overflow, entries;   /* of the tree at hand */
};

static int meet(struct walk *w, uint64_t number, uint64_t count, struct err *e)
{
	for (uint64_t i = number; w->met && i < number + count; i++) {
		if (w->met[i / 8] >> i % 8 & 1)
			return fail(e, "page %llu is used twice", (unsigned long long)i);
		w->met[i / 8] |= (unsigned char)(1 << i % 8);
	}
	return 0;
}

/* Numbers of pages that are free, highest first, after their count. */
static int check_list(struct walk *w, const unsigned char *at, uint64_t len, struct err *e)
{
	uint64_t n, number, before = w->s->last + 1;

	if (len < 8 || len % 8)
		return fail(e, "a list of free pages has %llu bytes", (unsigned long long)len);
	memcpy(&n, at, 8);
	if (n > len / 8 - 1)
		return fail(e, "a list of %llu free pages has %llu bytes", (unsigned long long)n,
			    (unsigned long long)len);
	for (uint64_t i = 1; i <= n; i++) {
		memcpy(&number, at + 8 * i, 8);
		if (number >= before || number < 2)
			return fail(e, "a list of free pages has %llu after %llu",
				    (unsigned long long)number, (unsigned long long)before);
		if (meet(w, number, 1, e) < 0)
			return -1;
		before = number;
	}
	return 0;
}

static int take_node(struct walk *w, const struct node *n, struct err *e)
{
	const struct pages *p = w->p;
	int is_free = w->t == &w->s->free, is_main = w->t == &w->s->main;
	uint64_t count, txn;

	w->entries++;
	if (n->flags & NODE_BIG) {
		if (page_big(p, w->s, n, !w->light || is_free, &count, e) < 0 || meet(w, n->child, count, e) < 0)
			return -1;
		w->overflow += count;
	} else if ((n->flags == NODE_TREE) != is_main) {
		return fail(e, "tree '%s' has an entry that is not one of ours", w->t->name);
	}
	if (!is_free)
		return 0;
	memcpy(&txn, n->key, 8);
	if (txn > w->s->txn)
		return fail(e, "pages are free from transaction %llu on, the last was %llu",
			    (unsigned long long)txn, (unsigned long long)w->s->txn);
	return check_list(w, n->flags & NODE_BIG ? p->at + n->child * p->size + 16 : n->at, n->len, e);
}

static int walk_page(struct walk *w, uint64_t number, unsigned level, const struct bounds *b,
		     struct err *e)
{
	struct page g;
	struct node n;

	if (page_open(w->p, w->s, w->t, number, level, b, &g, e) < 0 || meet(w, number, 1, e) < 0)
		return -1;
	*(g.leaf ? &w->leaves : &w->branches) += 1;
	for (int i = 0; i < g.n; i++) {
		struct bounds in = child_bounds(w->p, &g, i, b);

		page_node(w->p, &g, i, &n);
		if ((g.leaf ? take_node(w, &n, e) : walk_page(w, n.child, level + 1, &in, e)) < 0)
			return -1;
	}
	return 0;
}

static int walk_tree(struct walk *w, const struct tree *t, struct err *e)
{
	struct bounds none = { 0 };

	w->t = t;
	w->branches = w->leaves = w->overflow = w->entries = 0;
	if (t->root != TREE_EMPTY && walk_page(w, t->root, 1, &none, e) < 0)
		return -1;
	if (w->branches != t->branches || w->leaves != t->leaves || w->overflow != t->overflow ||
	    w->entries != t->entries)
		return fail(e, "tree '%s' has %llu entries, %llu are recorded (or other numbers of pages)",
			    t->name, (unsigned long long)w->entries, (unsigned long long)t->entries);
	return 0;
}

static int walk_tables(struct walk *w, struct err *e)
{
	struct bounds none = { 0 };
	const struct snapshot *s = w->s;
	struct page g;
	struct node n;

	if (s->main.root == TREE_EMPTY)
		return 0;
	if (page_open(w->p, s, &s->main, s->main.root, s->main.depth, &none, &g, e) < 0)
		return -1;
	for (int i = 0; i < g.n; i++) {
		struct tree t;
		char name[16] = "";

		page_node(w->p, &g, i, &n);
		memcpy(name, n.key, n.key_len < sizeof name - 1 ? n.key_len : sizeof name - 1);
		if (pages_table(w->p, s, name, &t, e) < 0)
			return -1;
		if (w->light && t.branches + t.leaves > FEW)
			continue;
		if (walk_tree(w, &t, e) < 0)
			return -1;
	}
	return 0;
}

int pages_free(const struct pages *p, const struct snapshot *s, struct err *e)
{
	struct walk w = { .p = p, .s = s, .light = 1, .met = xcalloc(1, s->last / 8 + 1) };
	int ret = walk_tree(&w, &s->free, e);

	if (ret == 0)
		ret = walk_tree(&w, &s->main, e);
	if (ret == 0)
		ret = walk_tables(&w, e);
	free(w.met);
	return ret;
}

/*
 * Nothing guards the number of the transaction in a meta page; flipped, it can make an older page
 * the one that counts. But every transaction after the first frees a page (the root of the tables
 * that it replaced) and files it under its own number, the highest that there is.
 */
static int check_age(const struct pages *p, const struct snapshot *s, struct err *e)
{
	struct bounds none = { 0 };
	uint64_t number = s->free.root, txn = 0;
	struct page g;
	struct node n;

	if (s->txn < 2)
		return 0;
	for (unsigned level = 1; number != TREE_EMPTY && level <= s->free.depth; level++) {
		if (page_open(p, s, &s->free, number, level, &none, &g, e) < 0)
			return -1;
		page_node(p, &g, g.n - 1, &n);
		number = n.child;
		if (g.leaf)
			memcpy(&txn, n.key, 8);
	}
	return txn == s->txn ? 0 : fail(e, "a meta page of transaction %llu is marked as of %llu",
					(unsigned long long)txn, (unsigned long long)s->txn);
}

/* The pages of the transaction before are left alone by the last one, but not by the next. */
static int check_ages(const struct pages *p, const struct snapshot *s, struct err *e)
{
	struct snapshot before;
	struct err ignored;

	if (check_age(p, s, e) < 0)
		return -1;
	if (!s->txn || pages_snapshot(p, s->txn - 1, &before, &ignored) < 0 ||
	    check_age(p, &before, e) == 0)
		return 0;
	return pages_snapshot(p, s->txn - 1, &before, &ignored) < 0 ? 0 : -1;
}

int pages_all(const struct pages *p, const struct snapshot *s, struct err *e)
{
	struct walk w = { .p = p, .s = s, .met = xcalloc(1, s->last / 8 + 1) };
	int ret = -1;

	if (pages_metas(p, e) < 0 || check_ages(p, s, e) < 0 || walk_tree(&w, &s->free, e) < 0 ||
	    walk_tree(&w, &s->main, e) < 0 || walk_tables(&w, e) < 0)
		goto out;
	for (uint64_t i = 2; i <= s->last; i++)
		if (!(w.met[i / 8] >> i % 8 & 1)) {
			fail(e, "page %llu is neither used nor free", (unsigned long long)i);
			goto out;
		}
	ret = 0;
out:
	free(w.met);
	return ret;
}
