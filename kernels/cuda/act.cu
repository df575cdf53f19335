/* Activations and the gated linear unit. */
#include "kernels/cuda/act.h"
#include "kernels/cuda/sides.h"

struct act_args { struct span y, dy, x; int64_t n; int kind; };

KERNEL(act_all, act_args)
{
	int64_t i = my_vec();
	struct vec x;

	if (i >= p.n)
		return;
	x = activate_v(get_v(p.x, i, p.n - i), p.kind);
	put_v(p.y, i, p.n - i, x);
}

KERNEL(act_dx_all, act_args)
{
	int64_t i = my_vec();
	struct raw rx, rdy;
	struct vec x, dy;

	if (i >= p.n)
		return;
	rx = ask_v(p.x, i, p.n - i);
	rdy = ask_v(p.dy, i, p.n - i);
	x = slope_v(look(p.x, rx), p.kind);
	dy = look(p.dy, rdy);
	for (int k = 0; k < VEC; k++)
		x.f[k] *= dy.f[k];
	put_v(p.y, i, p.n - i, x);
}

void cuda_act(const struct call *c, struct lane *l)
{
	struct act_args a = { span_of(&c->out[0]), span_of(&c->in[0]), span_of(&c->in[0]),
			      view_count(&c->in[0]), (int)c->n->at.act.kind };

	LAUNCH(l, act_all, grid_of(blocks_of(a.n, VEC)), a);
}

void cuda_act_dx(const struct call *c, struct lane *l)
{
	struct act_args a = { span_of(&c->out[0]), span_of(&c->in[0]), span_of(&c->in[1]),
			      view_count(&c->in[0]), (int)c->n->at.act.kind };

	LAUNCH(l, act_dx_all, grid_of(blocks_of(a.n, VEC)), a);
}

/* x: [rows][2 d]; y or dy: [rows][d]. A thread takes VEC neighbours of a row of d. */
struct geglu_args { struct span y, dy, x; int64_t rows, d, pieces; };

KERNEL(geglu_all, geglu_args)
{
	int64_t i = my_vec() / VEC, row = quotient(i, p.pieces), at = (i - row * p.pieces) * VEC;
	struct raw ra, rb;
	struct vec a, b;

	if (row >= p.rows)
		return;
	ra = ask_v(p.x, row * 2 * p.d + at, p.d - at);
	rb = ask_v(p.x, row * 2 * p.d + p.d + at, p.d - at);
	a = look(p.x, ra);
	b = look(p.x, rb);
	for (int k = 0; k < VEC; k++)
		a.f[k] *= b.f[k] * phi(b.f[k]);
	put_v(p.y, row * p.d + at, p.d - at, a);
}

KERNEL(geglu_dx_all, geglu_args)
{
	int64_t i = my_vec() / VEC, row = quotient(i, p.pieces), at = (i - row * p.pieces) * VEC;
	struct raw ra, rb, rdy;
	struct vec a, b, dy;

	if (row >= p.rows)
		return;
	ra = ask_v(p.x, row * 2 * p.d + at, p.d - at);
	rb = ask_v(p.x, row * 2 * p.d + p.d + at, p.d - at);
	rdy = ask_v(p.dy, row * p.d + at, p.d - at);
	a = look(p.x, ra);
	b = look(p.x, rb);
	dy = look(p.dy, rdy);
	for (int k = 0; k < VEC; k++) {
		float gate = b.f[k];

		b.f[k] = dy.f[k] * a.f[k] * gelu_slope(gate);
		a.f[k] = dy.f[k] * gate * phi(gate);
	}
	put_v(p.y, row * 2 * p.d + at, p.d - at, a);
	put_v(p.y, row * 2 * p.d + p.d + at, p.d - at, b);
}

static struct geglu_args geglu_of(const struct view *y, const struct view *dy, const struct view *x)
{
	int64_t d = x->dim[3] / 2;
	struct geglu_args a = { span_of(y), span_of(dy), span_of(x), d ? view_count(x) / (2 * d) : 0,
				d, blocks_of(d, VEC) };

	return a;
}

void cuda_geglu(const struct call *c, struct lane *l)
{
	struct geglu_args a = geglu_of(&c->out[0], &c->out[0], &c->in[0]);

	LAUNCH(l, geglu_all, grid_of(a.rows * a.pieces), a);
}

void cuda_geglu_dx(const struct call *c, struct lane *l)
{
	struct geglu_args a = geglu_of(&c->out[0], &c->in[0], &c->in[1]);

	LAUNCH(l, geglu_dx_all, grid_of(a.rows * a.pieces), a);
}
