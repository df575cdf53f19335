/*
 * What LMDB trusts and we don't: the pages of a store's file. LMDB has no checksums, and follows
 * whatever a damaged page says, off its end or into another tree. So the pages are looked at
 * through a map of our own, by what LMDB 0.9's format says of them (mdb.c: "Internal structures"):
 *	pages_metas     at opening: the two meta pages agree (no more is read: a store of any size
 *	                opens in the same time)
 *	pages_free      before the first write of a process: the lists of free pages are sane, and no
 *	                page in them is in use by a tree of up to 8,192 pages (32 MB, which holds the
 *	                records of 100,000 items; more would take longer to read than a stage to start)
 *	pages_path      before each write: the pages that it will change are sane
 *	pages_all       booth check: every page is used exactly once, is in order, and is counted;
 *	                the meta pages are of the transactions that they say
 * Values are looked at by those who read them: an object has its hash for a name, a recorded action
 * and a file's stamp carry a sum. What is left are bits without a meaning (the space between the
 * nodes of a page, free pages, the older meta page's tree): they may flip unseen, and nothing comes
 * out different.
 *
 * Inside common/data only. All calls: 0, or -1 with what is wrong ("page 7 ...") in e.
 */
#ifndef DATA_STORE_PAGES_H
#define DATA_STORE_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

#define TREE_EMPTY UINT64_MAX

struct pages {                  /* {0} is nothing mapped */
	const unsigned char *at;
	size_t len;
	size_t size;            /* of a page */
};

struct tree {
	const char *name;
	uint64_t root;          /* TREE_EMPTY */
	unsigned depth, flags;
	uint64_t branches, leaves, overflow, entries;
};

struct snapshot {               /* what one transaction left */
	struct tree free, main;
	uint64_t last, txn;
};

/* Map the file, or map it again if it grew. */
int pages_map(struct pages *p, int fd, size_t page_size, struct err *e);
void pages_unmap(struct pages *p);

int pages_metas(const struct pages *p, struct err *e);
/* Of the transaction with that number. */
int pages_snapshot(const struct pages *p, uint64_t txn, struct snapshot *out, struct err *e);
/* One of the named tables; an absent one is empty. */
int pages_table(const struct pages *p, const struct snapshot *s, const char *name,
		struct tree *out, struct err *e);
int pages_path(const struct pages *p, const struct snapshot *s, const struct tree *t,
	       const void *key, size_t key_len, struct err *e);
int pages_free(const struct pages *p, const struct snapshot *s, struct err *e);
int pages_all(const struct pages *p, const struct snapshot *s, struct err *e);

/* ---- shared by store_pages.c and store_walk.c ---- */

struct node {
	const unsigned char *key;
	size_t key_len;
	unsigned flags;
	uint64_t child;         /* of a branch; of a big value: its first page */
	const unsigned char *at;        /* of a small value */
	uint64_t len;
};
#define NODE_BIG 1
#define NODE_TREE 2

struct page {
	const unsigned char *at;
	uint64_t number;
	int leaf, n;
};

struct bounds {                 /* of keys; NULL: none */
	const unsigned char *low, *high;
	size_t low_len, high_len;
};

int page_open(const struct pages *p, const struct snapshot *s, const struct tree *t,
	      uint64_t number, unsigned level, const struct bounds *b, struct page *out,
	      struct err *e);
void page_node(const struct pages *p, const struct page *g, int i, struct node *out);
/* The bounds of child i of a branch that has the bounds b itself. */
struct bounds child_bounds(const struct pages *p, const struct page *g, int i,
			   const struct bounds *b);
/* The number of pages of a big value; `look`: the first of them is looked at. */
int page_big(const struct pages *p, const struct snapshot *s, const struct node *n, int look,
	     uint64_t *count, struct err *e);
int tree_read(const struct node *n, const char *name, struct tree *out, struct err *e);

#endif
