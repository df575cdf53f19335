/*
 * Host memory. The x-functions die ("out of memory, N bytes wanted") instead of returning
 * NULL: a host without memory for its own bookkeeping cannot go on. Big buffers whose size
 * comes from outside are asked for with mem_try(), which fails with a sentence.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);            /* zeroed; n * size is checked */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Make room for one more element in a growing array: returns `p`, moved if `n` == `*cap`.
 *	list = grow(list, n, &cap, sizeof *list);
 */
void *grow(void *p, size_t n, size_t *cap, size_t size);

/* `what` names the buffer in the sentence. 64-byte aligned; release with free(). -1: no memory. */
int mem_try(void **out, size_t n, const char *what, struct err *e);

/* Bytes of memory in this machine. */
size_t mem_machine(void);

/*
 * The one place where sizes from outside are multiplied. Returns the product of `n` sides,
 * or -1 if one is negative or the product does not fit into int64_t.
 */
int64_t size_product(const int64_t *side, int n);

#endif
