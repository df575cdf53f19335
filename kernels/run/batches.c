#include "kernels/run/batches.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

struct shape {                  /* items of one shape */
	int64_t h, w;
	int64_t *subject, subjects;     /* each as often as it is repeated */
	int64_t *class, classes;
	int64_t first;                  /* number of its first batch */
};

struct batches {
	struct shape *shape;
	int64_t shapes, batch, per_epoch;
	int64_t most_class;             /* the shape with most class items, or -1 */
	uint64_t seed;
	int64_t epoch;                  /* that the orders below are of; -1: none yet */
	int64_t *order;                 /* [per_epoch]: batch numbers */
	int64_t **shuffled;             /* [shapes][subjects] */
	int64_t *pick[2];               /* what batches_at hands out */
};

static struct shape *shape_of(struct batches *b, int64_t h, int64_t w)
{
	for (int64_t i = 0; i < b->shapes; i++)
		if (b->shape[i].h == h && b->shape[i].w == w)
			return &b->shape[i];
	b->shape = xrealloc(b->shape, (size_t)(b->shapes + 1) * sizeof *b->shape);
	b->shape[b->shapes] = (struct shape){ .h = h, .w = w };
	return &b->shape[b->shapes++];
}

static void append(int64_t **list, int64_t *n, int64_t value)
{
	*list = xrealloc(*list, (size_t)(*n + 1) * sizeof **list);
	(*list)[(*n)++] = value;
}

static int by_size(const void *a, const void *b)
{
	const struct shape *x = a, *y = b;

	if (x->w != y->w)
		return x->w < y->w ? -1 : 1;
	return x->h < y->h ? -1 : x->h > y->h;
}

static int64_t batches_of(const struct batches *b, const struct shape *s)
{
	return (s->subjects + b->batch - 1) / b->batch;
}

static void number_batches(struct batches *b)
{
	b->most_class = -1;
	for (int64_t i = 0; i < b->shapes; i++) {
		b->shape[i].first = b->per_epoch;
		b->per_epoch += batches_of(b, &b->shape[i]);
		if (b->shape[i].classes &&
		    (b->most_class < 0 || b->shape[i].classes > b->shape[b->most_class].classes))
			b->most_class = i;
	}
}

struct batches *batches_new(const struct batch_item *item, int64_t n, int64_t batch, uint64_t seed)
{
	struct batches *b = xcalloc(1, sizeof *b);

	b->batch = batch;
	b->seed = seed;
	b->epoch = -1;
	for (int64_t i = 0; i < n; i++) {
		struct shape *s = shape_of(b, item[i].h, item[i].w);

		if (item[i].is_class)
			append(&s->class, &s->classes, i);
		for (int64_t k = 0; !item[i].is_class && k < item[i].repeats; k++)
			append(&s->subject, &s->subjects, i);
	}
	qsort(b->shape, (size_t)b->shapes, sizeof *b->shape, by_size);
	number_batches(b);
	if (!b->per_epoch)
		BUG("batches of no subject items");
	b->order = xmalloc((size_t)b->per_epoch * sizeof *b->order);
	b->shuffled = xcalloc((size_t)b->shapes, sizeof *b->shuffled);
	for (int64_t i = 0; i < b->shapes; i++)
		b->shuffled[i] = xmalloc((size_t)(b->shape[i].subjects + 1) * sizeof **b->shuffled);
	b->pick[0] = xmalloc(2 * (size_t)batch * sizeof *b->pick[0]);
	b->pick[1] = xmalloc((size_t)batch * sizeof *b->pick[1]);
	return b;
}

void batches_free(struct batches *b)
{
	if (!b)
		return;
	for (int64_t i = 0; i < b->shapes; i++) {
		free(b->shape[i].subject);
		free(b->shape[i].class);
		free(b->shuffled[i]);
	}
	free(b->shape);
	free(b->shuffled);
	free(b->order);
	free(b->pick[0]);
	free(b->pick[1]);
	free(b);
}

int64_t batches_per_epoch(const struct batches *b)
{
	return b->per_epoch;
}

static void enter_epoch(struct batches *b, int64_t epoch)
{
	struct rng order = rng_stream(b->seed, "batch order", (uint32_t)epoch, 0);

	if (b->epoch == epoch)
		return;
	b->epoch = epoch;
	rng_shuffle(&order, b->order, b->per_epoch);
	for (int64_t i = 0; i < b->shapes; i++) {
		struct rng r = rng_stream(b->seed, "item order", (uint32_t)epoch, (uint32_t)i);

		rng_shuffle(&r, b->shuffled[i], b->shape[i].subjects);
	}
}

static int64_t find_shape(const struct batches *b, int64_t number)
{
	int64_t i = b->shapes - 1;

	while (b->shape[i].first > number || !b->shape[i].subjects)
		i--;
	return i;
}

/* The k-th class item of a shape in its endless order: permutations of all, one after the other. */
static int64_t class_item(const struct batches *b, int64_t shape, int64_t k)
{
	const struct shape *s = &b->shape[shape];
	struct rng r = rng_stream(b->seed, "class order", (uint32_t)(k / s->classes), (uint32_t)shape);
	int64_t *order = xmalloc((size_t)s->classes * sizeof *order), item;

	rng_shuffle(&r, order, s->classes);
	item = s->class[order[k % s->classes]];
	free(order);
	return item;
}

static void fill_subjects(struct batches *b, int64_t shape, int64_t number, struct batch_group *g)
{
	const struct shape *s = &b->shape[shape];
	int64_t from = (number - s->first) * b->batch;

	*g = (struct batch_group){ s->h, s->w, 0, b->pick[0] };
	while (g->n < b->batch && from + g->n < s->subjects) {
		g->item[g->n] = s->subject[b->shuffled[shape][from + g->n]];
		g->n++;
	}
}

int batches_at(struct batches *b, int64_t at, struct batch_group group[2])
{
	int64_t number, shape, from, n;
	struct batch_group *to = &group[0];

	enter_epoch(b, at / b->per_epoch);
	number = b->order[at % b->per_epoch];
	shape = find_shape(b, number);
	fill_subjects(b, shape, number, &group[0]);
	if (b->most_class < 0)
		return 1;
	n = group[0].n;
	if (!b->shape[shape].classes) {
		shape = b->most_class;
		to = &group[1];
		*to = (struct batch_group){ b->shape[shape].h, b->shape[shape].w, 0, b->pick[1] };
	}
	from = at * b->batch;
	for (int64_t i = 0; i < n; i++)
		to->item[to->n++] = class_item(b, shape, from + i);
	return to == &group[0] ? 1 : 2;
}

int batches_split(const struct batches *b)
{
	for (int64_t i = 0; i < b->shapes; i++)
		if (b->most_class >= 0 && b->shape[i].subjects && !b->shape[i].classes)
			return 1;
	return 0;
}
