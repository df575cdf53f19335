/* Rows of tables, features of the timestep, and dropout. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/philox.h"
#include "kernels/cuda/sides.h"

struct embed_args { struct span y, x; const int32_t *ids; int64_t count, d, pieces; };

KERNEL(embed_all, embed_args)
{
	int64_t i = my_vec() / VEC, row = quotient(i, p.pieces), at = (i - row * p.pieces) * VEC;

	if (row < p.count)
		put_v(p.y, row * p.d + at, p.d - at,
		      get_v(p.x, p.ids[row] * p.d + at, p.d - at));
}

static struct embed_args embed_of(const struct call *c, int x)
{
	int64_t d = c->out[0].dim[3];
	struct embed_args a = { span_of(&c->out[0]), span_of(&c->in[x]), (const int32_t *)c->in[0].at,
				view_count(&c->in[0]), d, blocks_of(d, VEC) };

	return a;
}

void cuda_embed(const struct call *c, struct lane *l)
{
	struct embed_args a = embed_of(c, 1);

	LAUNCH(l, embed_all, grid_of(a.count * a.pieces), a);
}

/* Whoever meets an id first adds up its rows, in the tokens' order. y is zero before. */
KERNEL(embed_dw_all, embed_args)
{
	int64_t i = my_vec() / VEC, row = quotient(i, p.pieces), at = (i - row * p.pieces) * VEC;
	struct vec sum = { { 0 } };
	int32_t its;

	if (row >= p.count)
		return;
	its = p.ids[row];
	for (int64_t t = 0; t < row; t++)
		if (p.ids[t] == its)
			return;
	for (int64_t t = row; t < p.count; t++) {
		struct vec dy;

		if (p.ids[t] != its)
			continue;
		dy = get_v(p.x, t * p.d + at, p.d - at);
		for (int k = 0; k < VEC; k++)
			sum.f[k] += dy.f[k];
	}
	put_v(p.y, its * p.d + at, p.d - at, sum);
}

KERNEL(embed_zero, embed_args)
{
	int64_t i = my_vec();
	struct vec none = { { 0 } };

	if (i < p.count)
		put_v(p.y, i, p.count - i, none);
}

void cuda_embed_dw(const struct call *c, struct lane *l)
{
	struct embed_args a = embed_of(c, 1), zero = a;

	zero.count = view_count(&c->out[0]);
	LAUNCH(l, embed_zero, grid_of(blocks_of(zero.count, VEC)), zero);
	LAUNCH(l, embed_dw_all, grid_of(a.count * a.pieces), a);
}

/* Every step is rounded to f32 as on the CPU: see timestep in kernels/cpu/simd/lookup.c. */
struct timestep_args { struct span y, t; int64_t n, d; float log_period, span; int flip; };

KERNEL(timestep_all, timestep_args)
{
	int64_t v = my_vec() / VEC, n = quotient(v, p.d), i = v - n * p.d, half = p.d / 2;
	int64_t f = i < half ? i : i - half;
	float angle;

	if (n >= p.n)
		return;
	angle = get(p.t, n) * expf(p.log_period * (float)f / p.span);
	put(p.y, v, i >= 2 * half ? 0 : (i < half) == p.flip ? cosf(angle) : sinf(angle));
}

void cuda_timestep(const struct call *c, struct lane *l)
{
	int64_t n = c->out[0].dim[0], d = c->out[0].dim[3];
	struct timestep_args a = { span_of(&c->out[0]), span_of(&c->in[0]), n, d,
				   (float)-log((double)c->n->at.timestep.max_period),
				   (float)((double)(d / 2) - c->n->at.timestep.freq_shift),
				   c->n->at.timestep.flip_sin_to_cos != 0 };

	LAUNCH(l, timestep_all, grid_of(n * d), a);
}

struct dropout_args { struct span y, x; const int32_t *key; int64_t n; float p, by; uint32_t tag; };

KERNEL(dropout_all, dropout_args)
{
	int64_t i = my_vec();
	struct philox k;
	struct vec x;

	if (i >= p.n)
		return;
	k.key[0] = (uint32_t)p.key[0];
	k.key[1] = (uint32_t)p.key[1];
	k.item = (uint32_t)p.key[2];
	k.step = (uint32_t)p.key[3];
	k.purpose = p.tag;
	x = get_v(p.x, i, p.n - i);
	for (int half = 0; half < VEC / 4; half++) {
		struct words w = philox(k, (uint32_t)(i / 4 + half));

		for (int j = 0; j < 4; j++) {
			float *to = &x.f[half * 4 + j];
			*to = (float)(w.w[j] >> 8) * 0x1p-24f >= p.p ? *to * p.by : 0;
		}
	}
	put_v(p.y, i, p.n - i, x);
}

void cuda_dropout(const struct call *c, struct lane *l)
{
	float drop = c->n->at.dropout.p;
	struct dropout_args a = { span_of(&c->out[0]), span_of(&c->in[0]),
				  (const int32_t *)c->in[1].at, view_count(&c->in[0]), drop,
				  drop < 1 ? 1 / (1 - drop) : 0, c->n->at.dropout.tag };

	LAUNCH(l, dropout_all, grid_of(blocks_of(a.n, VEC)), a);
}
