/*
 * Convolutions as products: a kernel lays out, for every pixel of the result, what its filter sees
 * ([pixels][taps][channels], zeros outside of the picture), a run of pixels at a time, and the product
 * does the rest. 1x1 filters need no laying out. For the input's gradient it is dy that is laid out, by
 * the taps that reach a pixel, and weights are turned from [k][taps][c] to [taps][k][c].
 *
 *	scratch   laid out pixels | turned weights or sums of dw in f32 | the bias' sums
 */
#include "kernels/cuda/device.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/sides.h"

/* Bytes that are laid out at a time; few on the host, so that tests see several runs. */
#ifdef __CUDACC__
#define CHUNK ((int64_t)128 << 20)
#else
#define CHUNK ((int64_t)64 << 10)
#endif

struct lay_args {
	struct span col, x;             /* x: [n][H][W][c], what the taps read */
	int64_t H, W, c;
	int64_t h, w;                   /* of the picture whose pixels are laid out */
	int64_t r, s, stride, top, left;
	int64_t from, rows, pieces;     /* pixels from .. from + rows, of all pictures */
	int dx;
};

/* Where a tap reads along one side, or -1. */
DEV int64_t tap_at(int64_t i, int64_t tap, int64_t before, int64_t stride, int64_t size, int dx)
{
	int64_t at = dx ? i + before - tap : i * stride - before + tap;

	if (at < 0 || (dx && at % stride))
		return -1;
	if (dx)
		at /= stride;
	return at < size ? at : -1;
}

KERNEL(lay_out, lay_args)
{
	int64_t v = my_vec() / VEC, a = quotient(v, p.pieces), c0 = (v - a * p.pieces) * VEC;
	int64_t row = quotient(a, p.r * p.s), tap = a - row * p.r * p.s, pixel = p.from + row;
	int64_t line = quotient(pixel, p.w), j = pixel - line * p.w, n = quotient(line, p.h), i = line - n * p.h;
	struct vec x = { { 0 } };

	if (row >= p.rows)
		return;
	i = tap_at(i, tap / p.s, p.top, p.stride, p.H, p.dx);
	j = tap_at(j, tap % p.s, p.left, p.stride, p.W, p.dx);
	if (i >= 0 && j >= 0)
		x = get_v(p.x, ((n * p.H + i) * p.W + j) * p.c + c0, p.c - c0);
	put_v(p.col, a * p.c + c0, p.c - c0, x);
}

struct turn_weights_args { struct span y, x; int64_t k, taps, c, pieces; };

KERNEL(turn_weights, turn_weights_args)
{
	int64_t v = my_vec() / VEC, a = quotient(v, p.pieces), c0 = (v - a * p.pieces) * VEC;
	int64_t k = quotient(a, p.taps), tap = a - k * p.taps;

	if (k < p.k)
		put_v(p.y, (tap * p.k + k) * p.c + c0, p.c - c0, get_v(p.x, a * p.c + c0, p.c - c0));
}

/* ---- shapes ---- */

struct conv_shape {
	int64_t pixels;         /* of the picture whose pixels are laid out, all pictures */
	int64_t taps, c;        /* laid out for each: taps x c */
	int64_t run;            /* pixels at a time */
	enum dtype type;
	int plain;              /* 1x1: nothing to lay out */
};

static struct conv_shape shape_of(const int64_t *laid, const int64_t *read, const int64_t *filter,
				  const union attr *at, enum dtype type)
{
	struct conv_shape s;

	s.pixels = laid[0] * laid[1] * laid[2];
	s.taps = filter[1] * filter[2];
	s.c = read[3];
	s.type = type;
	s.plain = s.taps == 1 && at->conv.stride == 1 && !at->conv.top && !at->conv.left &&
		!at->conv.bottom && !at->conv.right;
	s.run = max64(1, min64(s.pixels, CHUNK / max64(1, s.taps * s.c * (int64_t)dtype_size(type))));
	return s;
}

static size_t aligned(int64_t bytes)
{
	return ((size_t)bytes + 63) & ~(size_t)63;
}

static size_t laid_bytes(const struct conv_shape *s)
{
	return s->plain ? 0 : aligned(s->run * s->taps * s->c * (int64_t)dtype_size(s->type));
}

static struct lay_args lay_of(const struct call *c, const struct conv_shape *s, const struct view *read,
			      const int64_t *laid, const int64_t *filter, int dx)
{
	const union attr *at = &c->n->at;
	struct lay_args a = { { c->scratch, (int)s->type }, span_of(read), read->dim[1], read->dim[2], s->c,
			      laid[1], laid[2], filter[1], filter[2], at->conv.stride, at->conv.top,
			      at->conv.left, 0, 0, blocks_of(s->c, VEC), dx };

	return a;
}

/* Pixels from .. from + rows laid out (or, for 1x1, as they are), as a product's operand. */
static struct operand laid_out(struct lane *l, const struct conv_shape *s, struct lay_args *a, int64_t from,
			       int64_t rows)
{
	int64_t wide = s->taps * s->c;

	if (s->plain)
		return operand_from(operand_of(a->x.at, s->type, wide), from * wide);
	a->from = from;
	a->rows = rows;
	LAUNCH(l, lay_out, grid_of(rows * s->taps * a->pieces), *a);
	return operand_of(a->col.at, s->type, wide);
}

/* ---- ops ---- */

static struct conv_shape forward_shape(const struct node *n, const struct graph *g)
{
	const struct node *x = &g->node[n->in[0]];

	return shape_of(n->dim, x->dim, g->node[n->in[1]].dim, &n->at, x->type);
}

size_t cuda_conv2d_scratch(const struct node *n, const struct graph *g)
{
	struct conv_shape s = forward_shape(n, g);

	return laid_bytes(&s);
}

/* The product of one run of pixels: y, add and their rows. */
static void run_rows(struct lane *l, struct product *p, const struct conv_shape *s, struct lay_args *a)
{
	struct operand y = p->y, add = p->add;

	for (int64_t from = 0; from < s->pixels; from += s->run) {
		p->rows = min64(s->run, s->pixels - from);
		p->x = laid_out(l, s, a, from, p->rows);
		p->y = operand_from(y, from * y.ld);
		p->add = operand_from(add, from * y.ld);
		product_run(l, p);
	}
}

void cuda_conv2d(const struct call *c, struct lane *l)
{
	const struct view *x = &c->in[0], *w = &c->in[1], *y = &c->out[0];
	struct conv_shape s = shape_of(y->dim, x->dim, w->dim, &c->n->at, x->type);
	struct lay_args a = lay_of(c, &s, x, y->dim, w->dim, 0);
	struct product p = product_linear(c);

	p.inner = s.taps * s.c;
	p.w.ld = p.inner;
	run_rows(l, &p, &s, &a);
}

static struct conv_shape dx_shape(const struct node *n, const struct graph *g)
{
	const struct node *dy = &g->node[n->in[0]];

	return shape_of(n->dim, dy->dim, g->node[n->in[1]].dim, &n->at, dy->type);
}

size_t cuda_conv2d_dx_scratch(const struct node *n, const struct graph *g)
{
	struct conv_shape s = dx_shape(n, g);
	const struct node *w = &g->node[n->in[1]];

	return laid_bytes(&s) + aligned(node_bytes(w));
}

void cuda_conv2d_dx(const struct call *c, struct lane *l)
{
	const struct view *dy = &c->in[0], *w = &c->in[1], *dx = &c->out[0];
	struct conv_shape s = shape_of(dx->dim, dy->dim, w->dim, &c->n->at, dy->type);
	struct lay_args a = lay_of(c, &s, dy, dx->dim, w->dim, 1);
	struct product p = product_linear_dx(c);
	struct span turned = { (char *)c->scratch + laid_bytes(&s), (int)w->type };
	struct turn_weights_args t = { turned, span_of(w), w->dim[0], s.taps, w->dim[3],
				       blocks_of(w->dim[3], VEC) };

	if (s.taps > 1) {
		LAUNCH(l, turn_weights, grid_of(t.k * t.taps * t.pieces), t);
		p.w.at = turned.at;
	}
	p.inner = s.taps * s.c;
	run_rows(l, &p, &s, &a);
}

static struct conv_shape dw_shape(const struct node *n, const struct graph *g)
{
	const struct node *x = &g->node[n->in[0]];

	return shape_of(g->node[n->in[1]].dim, x->dim, n->dim, &n->at, x->type);
}

/* Sums over runs are kept in f32. */
static int wants_sums(const struct conv_shape *s, enum dtype type)
{
	return !s->plain && s->run < s->pixels && type != DT_F32;
}

size_t cuda_conv2d_dw_scratch(const struct node *n, const struct graph *g)
{
	struct conv_shape s = dw_shape(n, g);
	const int64_t *dy = g->node[n->in[1]].dim;

	return laid_bytes(&s) + (wants_sums(&s, n->type) ? aligned(node_count(n) * 4) : 0) +
		cuda_bias_scratch(s.pixels, dy[3]);
}

void cuda_conv2d_dw(const struct call *c, struct lane *l)
{
	const struct view *x = &c->in[0], *dy = &c->in[1], *dw = &c->out[0];
	struct conv_shape s = shape_of(dy->dim, x->dim, dw->dim, &c->n->at, x->type);
	struct lay_args a = lay_of(c, &s, x, dy->dim, dw->dim, 0);
	struct product p = product_linear_dw(c);
	struct operand rows = p.x;
	char *at = (char *)c->scratch + laid_bytes(&s);
	struct view sums = { at, dw->dim, DT_F32 };

	p.cols = p.w.ld = p.y.ld = s.taps * s.c;
	if (s.plain)
		s.run = max64(1, s.pixels);
	if (wants_sums(&s, dw->type)) {
		at += aligned(view_count(dw) * 4);
		p.y = operand_of(sums.at, DT_F32, p.cols);
	}
	for (int64_t from = 0; from == 0 || from < s.pixels; from += s.run) {
		p.inner = min64(s.run, s.pixels - from);
		p.w = laid_out(l, &s, &a, from, p.inner);
		p.x = operand_from(rows, from * rows.ld);
		product_run(l, &p);
		p.add = p.y;
	}
	if (p.y.at == sums.at)
		cuda_cast(l, *dw, sums);
	if (c->out[1].at)
		cuda_bias(l, c->out[1], *dy, s.pixels, dy->dim[3], at);
}
