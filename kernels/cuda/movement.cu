/* Columns copied (concat, slice and its gradient), pictures enlarged by repeating pixels. */
#include "kernels/cuda/device.h"
#include "kernels/cuda/sides.h"

/*
 * y's columns to .. to + width of every row take x's columns shift, shift + 1, ... of the same row;
 * those that x does not have are 0.
 */
struct columns_args {
	struct span y, x;
	int64_t rows, width, y_width, x_width, to, shift, pieces;
};

KERNEL(columns_all, columns_args)
{
	int64_t i = my_vec() / VEC, row = quotient(i, p.pieces), at = (i - row * p.pieces) * VEC;
	int64_t left = p.width - at, from = at + p.shift;
	struct vec v;

	if (row >= p.rows)
		return;
	if (from >= 0 && from + (left < VEC ? left : VEC) <= p.x_width)
		v = get_v(p.x, row * p.x_width + from, left);
	else
		for (int k = 0; k < VEC; k++)
			v.f[k] = k < left && from + k >= 0 && from + k < p.x_width ?
				get(p.x, row * p.x_width + from + k) : 0;
	put_v(p.y, row * p.y_width + p.to + at, left, v);
}

static void columns(struct lane *l, const struct view *y, const struct view *x, int64_t width,
		    int64_t to, int64_t shift)
{
	struct columns_args a = { span_of(y), span_of(x), y->dim[0] * y->dim[1] * y->dim[2], width,
				  y->dim[3], x->dim[3], to, shift, blocks_of(width, VEC) };

	LAUNCH(l, columns_all, grid_of(a.rows * a.pieces), a);
}

void cuda_concat(const struct call *c, struct lane *l)
{
	columns(l, &c->out[0], &c->in[0], c->in[0].dim[3], 0, 0);
	columns(l, &c->out[0], &c->in[1], c->in[1].dim[3], c->in[0].dim[3], 0);
}

void cuda_slice(const struct call *c, struct lane *l)
{
	columns(l, &c->out[0], &c->in[0], c->out[0].dim[3], 0, c->n->at.slice.from);
}

void cuda_pad_slice(const struct call *c, struct lane *l)
{
	columns(l, &c->out[0], &c->in[0], c->out[0].dim[3], 0, -c->n->at.slice.from);
}

/* The large picture is [n][H][W][c], the small one [n][h][w][c]. */
struct upsample_args { struct span y, x; int64_t n, h, w, H, W, c, pieces; };

struct pixel { int64_t n, i, j, at; };

/* Number v of a picture of h rows and w columns, in pieces of channels. */
DEV struct pixel pixel_of(int64_t v, int64_t h, int64_t w, int64_t pieces)
{
	struct pixel x;
	int64_t a = quotient(v, pieces), b = quotient(a, w);

	x.at = (v - a * pieces) * VEC;
	x.j = a - b * w;
	x.n = quotient(b, h);
	x.i = b - x.n * h;
	return x;
}

KERNEL(upsample_all, upsample_args)
{
	int64_t v = my_vec() / VEC, from;
	struct pixel x;

	if (v >= p.n * p.H * p.W * p.pieces)
		return;
	x = pixel_of(v, p.H, p.W, p.pieces);
	from = (x.n * p.h + quotient(x.i * p.h, p.H)) * p.w + quotient(x.j * p.w, p.W);
	put_v(p.y, ((x.n * p.H + x.i) * p.W + x.j) * p.c + x.at, p.c - x.at,
	      get_v(p.x, from * p.c + x.at, p.c - x.at));
}

/* Row I of H falls on row i of h where i H <= I h < (i + 1) H. */
KERNEL(upsample_dx_all, upsample_args)
{
	int64_t v = my_vec() / VEC;
	struct pixel x;
	struct vec sum = { { 0 } };

	if (v >= p.n * p.h * p.w * p.pieces)
		return;
	x = pixel_of(v, p.h, p.w, p.pieces);
	for (int64_t i = quotient(x.i * p.H + p.h - 1, p.h); i * p.h < (x.i + 1) * p.H; i++)
		for (int64_t j = quotient(x.j * p.W + p.w - 1, p.w); j * p.w < (x.j + 1) * p.W; j++) {
			int64_t at = ((x.n * p.H + i) * p.W + j) * p.c + x.at;
			struct vec dy = get_v(p.x, at, p.c - x.at);

			for (int k = 0; k < VEC; k++)
				sum.f[k] += dy.f[k];
		}
	put_v(p.y, ((x.n * p.h + x.i) * p.w + x.j) * p.c + x.at, p.c - x.at, sum);
}

static struct upsample_args upsample_of(const struct call *c, const int64_t *small, const int64_t *large)
{
	struct upsample_args a = { span_of(&c->out[0]), span_of(&c->in[0]), small[0], small[1],
				   small[2], large[1], large[2], small[3], blocks_of(small[3], VEC) };

	return a;
}

void cuda_upsample(const struct call *c, struct lane *l)
{
	struct upsample_args a = upsample_of(c, c->in[0].dim, c->out[0].dim);

	LAUNCH(l, upsample_all, grid_of(a.n * a.H * a.W * a.pieces), a);
}

void cuda_upsample_dx(const struct call *c, struct lane *l)
{
	struct upsample_args a = upsample_of(c, c->out[0].dim, c->in[0].dim);

	LAUNCH(l, upsample_dx_all, grid_of(a.n * a.h * a.w * a.pieces), a);
}
