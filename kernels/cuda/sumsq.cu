/*
 * Sums of squares, in f64 as on the CPU. The norm of all gradients is a chain of hundreds of them, each
 * added to the sum before: they wait for each other, and two launches make up to SUMSQ_MOST of them and
 * their sums. The first adds up parts of each tensor, the second the parts, and then number after number.
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

#define CHUNK (THREADS * VEC * 2)       /* elements that a block takes at a time */
#define EACH (THREADS / SUMSQ_MOST)     /* threads that share a tensor's parts */

KERNEL(sumsq_parts, sumsq_args)
{
	SHARED(double, part, THREADS);
	int item = my_item(p.from, p.n);
	const struct sumsq_item *t = &p.item[item];
	struct span x = { (void *)t->x, t->x_type };
	int64_t n = t->n, block = blockIdx.x - p.from[item], step = t->parts * CHUNK;
	double sum = 0;

	for (int64_t at = block * CHUNK; at < n; at += step)
		for (int64_t i = at + threadIdx.x * VEC; i < at + CHUNK && i < n; i += THREADS * VEC) {
			struct vec v = get_v(x, i, n - i);

			for (int k = 0; k < VEC; k++)
				sum += (double)v.f[k] * v.f[k];
		}
	sum = block_sum(sum, part);
	if (threadIdx.x == 0)
		p.part[item * SUMSQ_PARTS + block] = sum;
}

KERNEL(sumsq_ends, sumsq_args)
{
	SHARED(double, part, THREADS);
	int t = (int)threadIdx.x, item = t / EACH;
	double sum = 0;
	float last = 0;

	for (int64_t k = t % EACH; item < p.n && k < p.item[item].parts; k += EACH)
		sum += p.part[item * SUMSQ_PARTS + k];
	part[t] = sum;
	__syncthreads();
	for (int k = 1; t % EACH == 0 && k < EACH; k++)
		part[t] += part[t + k];
	__syncthreads();
	if (t)
		return;
	for (int i = 0; i < p.n; i++) {
		const struct sumsq_item *to = &p.item[i];
		struct span y = { to->y, to->y_type };
		float square = (float)part[i * EACH];

		put(y, 0, square);
		if (to->sum)
			*to->sum = last = square + (to->chained ? last : *to->on);
		else
			last = square;
	}
}

void sumsq_launch(struct lane *l)
{
	struct sumsq_args *a = &l->sumsq;
	struct grid parts = { 0, 1, THREADS, 1 }, one = { 1, 1, THREADS, 1 };

	for (int i = 0; i < a->n; i++) {
		a->from[i] = parts.x;
		a->item[i].parts = min64(blocks_of(a->item[i].n, CHUNK), SUMSQ_PARTS);
		parts.x += a->item[i].parts;
	}
	LAUNCH(l, sumsq_parts, parts, *a);
	LAUNCH(l, sumsq_ends, one, *a);
	a->n = 0;
}

/* Is it what an item that waits will make? */
static int is_due(const struct sumsq_args *a, const void *at)
{
	for (int i = 0; i < a->n; i++)
		if (at == a->item[i].y || at == (const void *)a->item[i].sum)
			return 1;
	return 0;
}

void cuda_sumsq(const struct call *c, struct lane *l)
{
	struct sumsq_args *a = &l->sumsq;
	struct sumsq_item t = { c->in[0].at, c->out[0].at, NULL, NULL, view_count(&c->in[0]), 0,
				(int)c->in[0].type, (int)c->out[0].type, 0 };

	if (a->n == SUMSQ_MOST || is_due(a, t.x))
		sumsq_launch(l);
	a->item[a->n++] = t;
}

static int is_number(const struct view *v)
{
	return v->type == DT_F32 && view_count(v) == 1;
}

/* What the item makes last, as far as that is f32. */
static const void *result_of(const struct sumsq_item *t)
{
	return t->sum ? (const void *)t->sum : t->y_type == DT_F32 ? t->y : NULL;
}

int sumsq_joins(const struct call *c, struct lane *l)
{
	struct sumsq_args *a = &l->sumsq;
	struct sumsq_item *last;
	const void *other;

	if (c->n->op != OP_ADD || !a->n || !is_number(&c->in[0]) || !is_number(&c->in[1]) || !is_number(&c->out[0]))
		return 0;
	last = &a->item[a->n - 1];
	if (last->sum || (c->in[0].at != last->y && c->in[1].at != last->y))
		return 0;
	other = c->in[c->in[0].at == last->y].at;
	/* what an item before made is there, too: one thread makes them in order, only slower that way */
	last->chained = a->n > 1 && other == result_of(last - 1);
	last->on = (const float *)other;
	last->sum = (float *)c->out[0].at;
	return 1;
}
