#include "kernels/run/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define ALIGN 64

/*
 * Floats that are put at a time: little enough to stay in a core's cache from one pass over them to
 * the next, and not one page of memory more than the pool's own has to be touched.
 */
#define PIECE ((int64_t)1 << 17)

static struct pool_entry *find_unsorted(struct pool *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->entry[i].name, name))
			return &p->entry[i];
	return NULL;
}

static int declare(struct pool *p, const struct node *n, struct err *e)
{
	struct pool_entry *w = find_unsorted(p, n->name);
	char a[96], b[96];

	if (w && w->type != n->type)
		return fail(e, "'%s' is %s in one graph and %s in another", n->name, dtype_name(w->type), dtype_name(n->type));
	if (w && !same_dim(w->dim, n->dim))
		return fail(e, "'%s' is %s in one graph and %s in another", n->name, dim_text(w->dim, a), dim_text(n->dim, b));
	if (w) {
		w->trainable |= n->trainable;
		return 0;
	}
	p->entry = grow(p->entry, p->n, &p->cap, sizeof *p->entry);
	w = &p->entry[p->n++];
	*w = (struct pool_entry){ .name = xstrdup(n->name), .type = n->type, .kind = n->op,
				  .trainable = n->trainable };
	memcpy(w->dim, n->dim, sizeof w->dim);
	return 0;
}

int pool_declare(struct pool *p, const struct graph *g, struct err *e)
{
	for (id i = 0; i < g->n; i++)
		if ((g->node[i].op == OP_WEIGHT || g->node[i].op == OP_STATE) &&
		    declare(p, &g->node[i], e) < 0)
			return -1;
	return 0;
}

static int64_t entry_count(const struct pool_entry *w)
{
	return size_product(w->dim, MAX_DIM);
}

static size_t entry_bytes(const struct pool_entry *w)
{
	return ((size_t)entry_count(w) * dtype_size(w->type) + ALIGN - 1) / ALIGN * ALIGN;
}

size_t pool_bytes(const struct pool *p)
{
	size_t bytes = 0;

	for (size_t i = 0; i < p->n; i++)
		bytes += entry_bytes(&p->entry[i]);
	return bytes;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct pool_entry *)a)->name, ((const struct pool_entry *)b)->name);
}

int pool_place(struct pool *p, struct backend *b, struct err *e)
{
	size_t at = 0;
	void *memory;

	if (p->n)
		qsort(p->entry, p->n, sizeof *p->entry, by_name);
	for (size_t i = 0; i < p->n; i++) {
		p->entry[i].at = at;
		at += entry_bytes(&p->entry[i]);
	}
	if (b->alloc(b, at, &memory, e) < 0)
		return err_prefix(e, "weights and optimizer state");
	p->b = b;
	p->memory = memory;
	p->bytes = at;
	return 0;
}

void pool_release(struct pool *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->entry[i].name);
	free(p->entry);
	if (p->memory)
		p->b->release(p->b, p->memory, p->bytes);
	*p = (struct pool){ 0 };
}

struct pool_entry *pool_find(const struct pool *p, const char *name)
{
	struct pool_entry key = { .name = (char *)name };

	return p->n ? bsearch(&key, p->entry, p->n, sizeof *p->entry, by_name) : NULL;
}

int pool_file_shape(const struct pool_entry *w, int64_t side[TENSOR_RANK])
{
	const int64_t *d = w->dim;
	size_t n = strlen(w->name);
	int row = n > 5 && !strcmp(w->name + n - 5, ".bias");

	if (d[0] == 1 && d[1] == 1 && d[2] == 1 && (row || strstr(w->name, "norm"))) {
		side[0] = d[3];
		return 1;
	}
	if (d[0] == 1 && d[1] == 1) {           /* linear, embedding */
		side[0] = d[2];
		side[1] = d[3];
		return 2;
	}
	side[0] = d[0];
	side[1] = d[3];
	side[2] = d[1];
	side[3] = d[2];
	return 4;
}

/* The same sides, ones at the end left away: [k][c][1][1] equals [k][c]. */
static int same_shape(const int64_t *a, int na, const int64_t *b, int nb)
{
	while (na > 1 && a[na - 1] == 1)
		na--;
	while (nb > 1 && b[nb - 1] == 1)
		nb--;
	return na == nb && !memcmp(a, b, (size_t)na * sizeof *a);
}

int pool_check_shape(const struct pool_entry *w, const struct tensor *t, struct err *e)
{
	struct tensor want = { .type = DT_F32 };
	char a[96], b[96];

	want.rank = pool_file_shape(w, want.side);
	if (!same_shape(t->side, t->rank, want.side, want.rank))
		return fail(e, "weight '%s' is %s, the model wants %s", w->name,
			    tensor_shape_text(t, a), tensor_shape_text(&want, b));
	return 0;
}

/* [k][c][rs] <-> [k][rs][c] */
static void turn(float *out, const float *in, int64_t k, int64_t a, int64_t b)
{
	for (int64_t i = 0; i < k; i++, in += a * b, out += a * b)
		for (int64_t y = 0; y < a; y++)
			for (int64_t x = 0; x < b; x++)
				out[x * a + y] = in[y * b + x];
}

/* Is one of them infinite or no number? Without a way out in between, so that it is vectorized. */
static int any_bad(const float *v, int64_t n)
{
	uint32_t bad = 0, u[64];

	for (; n >= 64; v += 64, n -= 64) {
		memcpy(u, v, sizeof u);
		for (int i = 0; i < 64; i++)
			bad |= (u[i] & 0x7f800000) == 0x7f800000;
	}
	for (int64_t i = 0; i < n; i++)
		bad |= !isfinite(v[i]);
	return bad != 0;
}

/* v: the weight's elements from number `first` on */
static int check_finite(const char *name, const float *v, int64_t first, int64_t n, struct err *e)
{
	if (!any_bad(v, n))
		return 0;
	for (int64_t i = 0; i < n; i++)
		if (!isfinite(v[i]))
			return fail(e, "weight '%s' is not finite: element %lld is %g", name, (long long)(first + i), (double)v[i]);
	return 0;
}

/* Did a finite v become infinite in `type`? bf16 ends where f32 does, but for its last half step. */
static int check_range(const char *name, const uint16_t *h, enum dtype type, const float *v, int64_t first,
		       int64_t n, struct err *e)
{
	uint16_t infinite = type == DT_F16 ? 0x7c00 : 0x7f80;
	int bad = 0;

#pragma omp simd reduction(| : bad)
	for (int64_t i = 0; i < n; i++)
		bad |= (h[i] & 0x7fff) == infinite;
	for (int64_t i = 0; bad && i < n; i++)
		if ((h[i] & 0x7fff) == infinite)
			return fail(e, "weight '%s' does not fit into %s: element %lld is %g; --precision bf16 or f32 takes it",
				    name, type == DT_F16 ? "fp16" : "bf16", (long long)(first + i), (double)v[i]);
	return 0;
}

/* Elements from number `first` on onto the device, in the entry's type. `room`: for as many floats. */
static int put_values(const struct pool *p, const struct pool_entry *w, const float *v, int64_t first,
		      int64_t n, void *room, struct err *e)
{
	size_t size = dtype_size(w->type);
	const void *from = v;

	if (w->type != DT_F32) {
		row_from_f32(room, w->type, v, n);
		if (check_range(w->name, room, w->type, v, first, n, e) < 0)
			return -1;
		from = room;
	}
	return p->b->put(p->b, p->memory + w->at + (size_t)first * size, from, (size_t)n * size, e);
}

/* Rows of a filter, or single elements of anything else: what a weight is put by. */
static int64_t unit_of(const struct pool_entry *w)
{
	int64_t side[TENSOR_RANK], rs = w->dim[1] * w->dim[2];

	return pool_file_shape(w, side) == 4 && rs > 1 ? rs * w->dim[3] : 1;
}

/* Units `first` .. `first + n` of t: as f32, turned, onto the device. a, b: room for them. */
static int put_units(struct pool *p, const struct pool_entry *w, const struct tensor *t,
		     int64_t first, int64_t n, float *a, float *b, struct err *e)
{
	int64_t unit = unit_of(w), at = first * unit, count = n * unit;
	const void *from = (const char *)t->at + (size_t)at * dtype_size(t->type);
	const float *v = from;

	if (t->type != DT_F32) {
		row_to_f32(a, from, t->type, count);
		v = a;
	}
	if (check_finite(w->name, v, at, count, e) < 0)
		return -1;
	if (unit > 1) {
		turn(b, v, n, w->dim[3], w->dim[1] * w->dim[2]);
		v = b;
	}
	/* a and b have served: what v is not in takes the narrow values */
	return put_values(p, w, v, at, count, v == a ? b : a, e);
}

int pool_put(struct pool *p, struct pool_entry *w, const struct tensor *t, struct err *e)
{
	int64_t unit = unit_of(w), n = entry_count(w) / unit;
	int64_t step = unit < PIECE ? PIECE / unit : 1;
	void *room;
	int ret = 0;

	if (pool_check_shape(w, t, e) < 0)
		return -1;
	step = step < n ? step : n;
	if (mem_try(&room, 2 * (size_t)(step * unit) * sizeof(float), w->name, e) < 0)
		return -1;
	for (int64_t at = 0; ret == 0 && at < n; at += step)
		ret = put_units(p, w, t, at, n - at < step ? n - at : step, room,
				(float *)room + step * unit, e);
	free(room);
	w->set = ret == 0;
	return ret;
}

int pool_get(const struct pool *p, const struct pool_entry *w, struct tensor *out, struct err *e)
{
	int64_t side[TENSOR_RANK], rs = w->dim[1] * w->dim[2];
	int rank = pool_file_shape(w, side);
	void *values, *raw = NULL;
	int ret = -1;

	if (tensor_new(out, DT_F32, rank, side, &values, e) < 0)
		return -1;
	if (rank != 4 || rs == 1)
		return pool_get_raw(p, w, values, e);
	if (mem_try(&raw, (size_t)entry_count(w) * sizeof(float), w->name, e) < 0 ||
	    pool_get_raw(p, w, raw, e) < 0)
		goto out;
	turn(values, raw, w->dim[0], rs, w->dim[3]);
	ret = 0;
out:
	free(raw);
	return ret;
}

int pool_put_raw(struct pool *p, struct pool_entry *w, const float *in, struct err *e)
{
	void *room = NULL;
	int ret = -1;

	if (w->type == DT_F32 ||
	    mem_try(&room, (size_t)entry_count(w) * dtype_size(w->type), w->name, e) == 0)
		ret = put_values(p, w, in, 0, entry_count(w), room, e);
	free(room);
	w->set = 1;
	return ret;
}

int pool_get_raw(const struct pool *p, const struct pool_entry *w, float *out, struct err *e)
{
	int64_t n = entry_count(w);
	size_t bytes = (size_t)n * dtype_size(w->type);
	void *raw = NULL;
	int ret = -1;

	if (w->type == DT_F32)
		return p->b->get(p->b, out, p->memory + w->at, bytes, e);
	if (mem_try(&raw, bytes, w->name, e) == 0 &&
	    (ret = p->b->get(p->b, raw, p->memory + w->at, bytes, e)) == 0)
		row_to_f32(out, raw, w->type, n);
	free(raw);
	return ret;
}

int pool_fill(struct pool *p, struct pool_entry *w, float value, struct err *e)
{
	int64_t n = entry_count(w), step = n < PIECE ? n : PIECE;
	void *v;
	int ret = 0;

	if (mem_try(&v, 2 * (size_t)step * sizeof(float), w->name, e) < 0)
		return -1;
	for (int64_t i = 0; i < step; i++)
		((float *)v)[i] = value;
	for (int64_t at = 0; ret == 0 && at < n; at += step)
		ret = put_values(p, w, v, at, n - at < step ? n - at : step, (float *)v + step, e);
	free(v);
	w->set = ret == 0;
	return ret;
}

int pool_complete(const struct pool *p, struct err *e)
{
	const struct pool_entry *first = NULL;
	size_t missing = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!p->entry[i].set) {
			first = first ? first : &p->entry[i];
			missing++;
		}
	if (missing)
		return fail(e, "%zu of %zu weights are missing, the first is '%s'", missing, p->n, first->name);
	return 0;
}
