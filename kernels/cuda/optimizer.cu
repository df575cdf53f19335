/* The optimizer's passes over weights. Weights and moments are f32; gradients what they are. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

#include <float.h>

DEV int is_finite(float x)
{
	return fabsf(x) <= FLT_MAX;
}

/* Elements a block takes. */
#define CHUNK (THREADS * VEC)

struct adamw {
	float clip, keep, b1, b2, rate, root, eps;      /* root = 1 / sqrt(c2), rate = lr / c1 */
};

DEV struct adamw adamw_of(const float *h, const float *norm2)
{
	struct adamw a;

	a.clip = 1;
	if (h[7] > 0)
		a.clip = fminf(1, h[7] / (sqrtf(*norm2) * h[8] + 1e-6f));
	a.clip *= h[8];
	a.keep = (float)(1 - (double)h[0] * h[4]);
	a.b1 = h[1];
	a.b2 = h[2];
	a.rate = (float)((double)h[0] / h[5]);
	a.root = (float)(1 / sqrt((double)h[6]));
	a.eps = h[3];
	return a;
}

DEV void adamw_vec(const struct adamw *a, const struct adamw_item *t, int64_t i)
{
	struct span ws = { t->w, DT_F32 }, ms = { t->m, DT_F32 }, vs = { t->v, DT_F32 },
		gs = { t->grad, t->grad_type };
	struct raw rw = ask_v(ws, i, t->n - i), rm = ask_v(ms, i, t->n - i), rv = ask_v(vs, i, t->n - i),
		rg = ask_v(gs, i, t->n - i);
	struct vec w = look(ws, rw), m = look(ms, rm), v = look(vs, rv), grad = look(gs, rg);

	for (int k = 0; k < VEC; k++) {
		float g = grad.f[k] * a->clip;

		m.f[k] = a->b1 * m.f[k] + (1 - a->b1) * g;
		v.f[k] = a->b2 * v.f[k] + (1 - a->b2) * g * g;
		w.f[k] = w.f[k] * a->keep - a->rate * m.f[k] / (sqrtf(v.f[k]) * a->root + a->eps);
	}
	put_v(ws, i, t->n - i, w);
	put_v(ms, i, t->n - i, m);
	put_v(vs, i, t->n - i, v);
}

KERNEL(adamw_all, adamw_args)
{
	SHARED(struct adamw, a, 1);
	int item = my_item(p.from, p.n);
	int64_t i = ((int64_t)blockIdx.x - p.from[item]) * CHUNK + (int64_t)threadIdx.x * VEC;

	if (threadIdx.x == 0)
		a[0] = adamw_of(p.hyper, p.norm2);
	__syncthreads();
	if (i < p.item[item].n && is_finite(*p.norm2))
		adamw_vec(a, &p.item[item], i);
}

void adamw_launch(struct lane *l)
{
	struct adamw_args *a = &l->adamw;
	struct grid g = { 0, 1, THREADS, 1 };

	for (int i = 0; i < a->n; i++) {
		a->from[i] = g.x;
		g.x += blocks_of(a->item[i].n, CHUNK);
	}
	LAUNCH(l, adamw_all, g, *a);
	a->n = 0;
}

/* Waits for others of its kind: a step has hundreds of small tensors. */
void cuda_adamw(const struct call *c, struct lane *l)
{
	struct adamw_args *a = &l->adamw;
	struct adamw_item t = { c->in[0].at, c->in[2].at, c->in[3].at, c->in[1].at,
				view_count(&c->in[0]), (int)c->in[1].type };

	if (a->n == ADAMW_MOST || (a->n && (a->hyper != c->in[4].at || a->norm2 != c->in[5].at)))
		adamw_launch(l);
	if (!t.n)
		return;
	a->hyper = (const float *)c->in[4].at;
	a->norm2 = (const float *)c->in[5].at;
	a->item[a->n++] = t;
}

/* s = keep s + add x: keep and add are numbers, or (decay) d and 1 - d. */
struct average_args { struct span s, x; const float *decay, *norm2; int64_t n; float by; };

KERNEL(average_all, average_args)
{
	int64_t i = my_vec();
	float keep, add;
	struct raw rs, rx;
	struct vec s, x;

	if (i >= p.n || (p.norm2 && !is_finite(*p.norm2)))
		return;
	keep = p.decay ? *p.decay : 1;
	add = p.decay ? 1 - keep : p.by;
	rs = ask_v(p.s, i, p.n - i);
	rx = ask_v(p.x, i, p.n - i);
	s = look(p.s, rs);
	x = look(p.x, rx);
	for (int k = 0; k < VEC; k++)
		s.f[k] = keep * s.f[k] + add * x.f[k];
	put_v(p.s, i, p.n - i, s);
}

static void average(const struct call *c, struct lane *l, const float *decay, const float *norm2, float by)
{
	struct average_args a = { span_of(&c->in[0]), span_of(&c->in[1]), decay, norm2,
				  view_count(&c->in[0]), by };

	LAUNCH(l, average_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_accum(const struct call *c, struct lane *l)
{
	average(c, l, NULL, NULL, c->n->at.accum.by);
}

void cuda_ema(const struct call *c, struct lane *l)
{
	average(c, l, (const float *)c->in[2].at, (const float *)c->in[3].at, 0);
}
