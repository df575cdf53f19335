#include "common/data/pickle_vm.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

int pickle_damaged(const struct unpickler *u, struct err *e, const char *what)
{
	return fail(e, "'%s' is damaged: %s, at byte %zu of its pickle", u->path, what, u->pos);
}

void *pickle_alloc(struct unpickler *u, size_t n, size_t size)
{
	u->owned = grow(u->owned, u->n_owned, &u->cap_owned, sizeof *u->owned);
	u->bytes += n * size;
	return u->owned[u->n_owned++] = xcalloc(n, size);
}

void unpickler_release(struct unpickler *u)
{
	for (size_t i = 0; i < u->n_owned; i++)
		free(u->owned[i]);
	free(u->owned);
	free(u->stack);
	free(u->memo);
	free(u->mark);
	free(u->storage);
	memset(u, 0, sizeof *u);
}

int pickle_add(struct unpickler *u, struct pickle_value *to, struct pickle_value *item,
	       struct err *e)
{
	size_t n = to->many.n;

	if (n == to->many.cap) {
		size_t cap = n ? 2 * n : 4;
		struct pickle_value **more;
		if (cap > PICKLE_LIMIT || u->bytes > PICKLE_BYTES)
			return pickle_damaged(u, e, "a container of millions");
		more = pickle_alloc(u, cap, sizeof *more);
		if (n)
			memcpy(more, to->many.item, n * sizeof *more);
		to->many.item = more;
		to->many.cap = cap;
	}
	to->many.item[to->many.n++] = item;
	return 0;
}

/* ---- bytes ---- */

int pickle_take(struct unpickler *u, size_t n, const unsigned char **out, struct err *e)
{
	if (n > u->len - u->pos)
		return fail(e, "'%s' is cut off: its pickle ends in the middle, at byte %zu",
			    u->path, u->len);
	*out = u->at + u->pos;
	u->pos += n;
	return 0;
}

int pickle_uint(struct unpickler *u, int bytes, uint64_t *out, struct err *e)
{
	const unsigned char *p = NULL;

	if (pickle_take(u, (size_t)bytes, &p, e) < 0)
		return -1;
	*out = 0;
	for (int i = bytes - 1; i >= 0; i--)
		*out = *out << 8 | p[i];
	return 0;
}

int pickle_counted(struct unpickler *u, int bytes, struct pickle_text *out, struct err *e)
{
	const unsigned char *p = NULL;
	uint64_t n = 0;

	if (pickle_uint(u, bytes, &n, e) < 0 ||
	    pickle_take(u, n > SIZE_MAX ? SIZE_MAX : (size_t)n, &p, e) < 0)
		return -1;
	out->at = (const char *)p;
	out->len = (size_t)n;
	return 0;
}

int pickle_line(struct unpickler *u, struct pickle_text *out, struct err *e)
{
	const unsigned char *from = u->at + u->pos, *end = memchr(from, '\n', u->len - u->pos);

	if (!end)
		return pickle_take(u, SIZE_MAX, &from, e);
	out->at = (const char *)from;
	out->len = (size_t)(end - from);
	u->pos += out->len + 1;
	return 0;
}

/* ---- stack ---- */

int pickle_push(struct unpickler *u, struct pickle_value *v, struct err *e)
{
	if (u->n_stack >= PICKLE_LIMIT)
		return pickle_damaged(u, e, "a stack of millions");
	u->stack = grow(u->stack, u->n_stack, &u->cap_stack, sizeof *u->stack);
	u->stack[u->n_stack++] = v;
	return 0;
}

struct pickle_value *pickle_new(struct unpickler *u, enum pickle_kind kind, struct err *e)
{
	struct pickle_value *v;

	if (u->n_owned >= PICKLE_LIMIT || u->bytes > PICKLE_BYTES) {
		pickle_damaged(u, e, "millions of values");
		return NULL;
	}
	v = pickle_alloc(u, 1, sizeof *v);
	v->kind = kind;
	return pickle_push(u, v, e) < 0 ? NULL : v;
}

struct pickle_value *pickle_top(struct unpickler *u, size_t below, struct err *e)
{
	size_t floor = u->n_mark ? u->mark[u->n_mark - 1] : 0;

	if (u->n_stack < floor + below + 1) {
		pickle_damaged(u, e, "an empty stack");
		return NULL;
	}
	return u->stack[u->n_stack - 1 - below];
}

int pickle_pop(struct unpickler *u, struct pickle_value **out, struct err *e)
{
	*out = pickle_top(u, 0, e);
	if (!*out)
		return -1;
	u->n_stack--;
	return 0;
}

int pickle_mark(struct unpickler *u, size_t *from, struct err *e)
{
	if (!u->n_mark)
		return pickle_damaged(u, e, "no mark");
	*from = u->mark[--u->n_mark];
	return 0;
}
