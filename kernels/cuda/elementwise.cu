/* Sums and products element by element, with repetition. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

struct map_args { struct span y, x; int64_t n; float by; };

KERNEL(fill_all, map_args)
{
	int64_t i = my_vec();
	struct vec v;

	for (int k = 0; k < VEC; k++)
		v.f[k] = p.by;
	if (i < p.n)
		put_v(p.y, i, p.n - i, v);
}

KERNEL(scale_all, map_args)
{
	int64_t i = my_vec();
	struct vec v;

	if (i >= p.n)
		return;
	v = get_v(p.x, i, p.n - i);
	for (int k = 0; k < VEC; k++)
		v.f[k] *= p.by;
	put_v(p.y, i, p.n - i, v);
}

void cuda_fill(const struct call *c, struct lane *l)
{
	struct map_args a = { span_of(&c->out[0]), span_of(&c->out[0]), view_count(&c->out[0]),
			      c->n->at.fill.value };

	LAUNCH(l, fill_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_zero(struct lane *l, struct view y)
{
	struct map_args a = { span_of(&y), span_of(&y), view_count(&y), 0 };

	LAUNCH(l, fill_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_scale(const struct call *c, struct lane *l)
{
	struct map_args a = { span_of(&c->out[0]), span_of(&c->in[0]), view_count(&c->out[0]),
			      c->n->at.scale.by };

	LAUNCH(l, scale_all, grid_of(blocks_of(a.n, VEC)), a);
}

struct repeat_args { struct span y, a, b; struct sides s; int64_t n; int multiply; };

/* b's elements that belong to VEC neighbours of a, from i on. */
DEV struct vec repeated(struct span b, const struct sides *s, int64_t i, int64_t left)
{
	int64_t row = quotient(i, s->size[0]), at = i - row * s->size[0];
	int64_t from = side_at(s, 1, row);
	struct vec v;

	if (s->step[0] == 1 && at + VEC <= s->size[0])
		return get_v(b, from + at, left);
	for (int k = 0; k < VEC; k++) {
		v.f[k] = k < left ? get(b, from + at * s->step[0]) : 0;
		if (++at == s->size[0]) {
			at = 0;
			from = k + 1 < left ? side_at(s, 1, ++row) : 0;
		}
	}
	return v;
}

KERNEL(repeat_all, repeat_args)
{
	int64_t i = my_vec();
	struct raw asked;
	struct vec a, b;

	if (i >= p.n)
		return;
	asked = ask_v(p.a, i, p.n - i);
	b = repeated(p.b, &p.s, i, p.n - i);
	a = look(p.a, asked);
	for (int k = 0; k < VEC; k++)
		a.f[k] = p.multiply ? a.f[k] * b.f[k] : a.f[k] + b.f[k];
	put_v(p.y, i, p.n - i, a);
}

static void repeat(const struct call *c, struct lane *l, int multiply)
{
	struct repeat_args a = { span_of(&c->out[0]), span_of(&c->in[0]), span_of(&c->in[1]),
				 sides_of(c->in[0].dim, c->in[1].dim), view_count(&c->out[0]),
				 multiply };

	LAUNCH(l, repeat_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_add(const struct call *c, struct lane *l)
{
	repeat(c, l, 0);
}

void cuda_mul(const struct call *c, struct lane *l)
{
	repeat(c, l, 1);
}
