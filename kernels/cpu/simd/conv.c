/*
 * Convolutions as products of which one operand is never written down: im2col while packing.
 *
 *	conv2d     y = im2col(x) w^T                     rows are pixels of y
 *	conv2d_dx  the convolution of dy with the filter turned by 180 degrees; with stride S, S x S
 *	           of them, each with the taps that meet pixels (i, j) = (pi, pj) mod S of dx
 *	conv2d_dw  dw = dy^T im2col(x)
 *
 * 3x3 with stride 1 goes to winograd.c where that is faster.
 */
#include "kernels/cpu/simd/gemm.h"
#include "kernels/cpu/simd/winograd.h"

static struct winograd winograd_of(const int64_t x[MAX_DIM], const int64_t w[MAX_DIM],
				   const int64_t y[MAX_DIM], const struct node *n)
{
	struct winograd v = {
		.n = x[0], .h = x[1], .w = x[2], .c = x[3], .k = y[3], .oh = y[1], .ow = y[2],
		.top = n->at.conv.top, .left = n->at.conv.left,
	};

	v.pays = w[1] == 3 && w[2] == 3 && n->at.conv.stride == 1 && winograd_pays(&v);
	return v;
}

static struct im2col im2col_of(const int64_t x[MAX_DIM], const int64_t w[MAX_DIM],
			       const int64_t y[MAX_DIM], const struct node *n)
{
	return (struct im2col){
		.h = x[1], .w = x[2], .c = x[3], .oh = y[1], .ow = y[2], .r = w[1], .s = w[2],
		.stride = n->at.conv.stride, .top = n->at.conv.top, .left = n->at.conv.left,
	};
}

/* Is the matrix the picture itself? */
static int is_plain(const struct im2col *v)
{
	return v->r == 1 && v->s == 1 && v->stride == 1 && !v->top && !v->left && v->h == v->oh &&
		v->w == v->ow;
}

static struct operand pixels(const float *at, const struct im2col *v, enum form plain)
{
	if (is_plain(v))
		return (struct operand){ .at = at, .form = plain, .ld = v->c };
	return (struct operand){ .at = at, .form = FORM_IM2COL, .conv = v };
}

static int64_t pixels_of(const int64_t dim[MAX_DIM])
{
	return dim[0] * dim[1] * dim[2];
}

size_t ISA_NAME(s_conv2d)(const struct node *n, const struct graph *g)
{
	const int64_t *x = g->node[n->in[0]].dim, *w = g->node[n->in[1]].dim;
	struct winograd v = winograd_of(x, w, n->dim, n);

	if (v.pays)
		return winograd_scratch(&v);
	return product_scratch(pixels_of(n->dim), w[0], w[1] * w[2] * w[3]);
}

void ISA_NAME(k_conv2d)(const struct call *c)
{
	const int64_t *x = c->in[0].dim, *w = c->in[1].dim, *y = c->out[0].dim;
	struct winograd v = winograd_of(x, w, y, c->n);
	struct im2col at = im2col_of(x, w, y, c->n);
	struct product p = {
		.m = pixels_of(y), .n = w[0], .k = w[1] * w[2] * w[3],
		.a = pixels(in_f32(c, 0), &at, FORM_ROWS),
		.b = { .at = in_f32(c, 1), .form = FORM_ROWS, .ld = w[1] * w[2] * w[3] },
		.c = out_f32(c, 0), .ldc = y[3], .ldr = y[3],
		.bias = in_f32(c, 2), .res = in_f32(c, 3), .scratch = c->scratch,
	};

	if (v.pays)
		winograd_forward(&v, p.a.at, p.b.at, p.bias, p.res, p.c, c->scratch);
	else
		product_run(&p);
}

/*
 * One of the S x S parts of dx: which taps, what grid. Along one side: pixels i = phase + S u,
 * u < `grid`; taps r = first + S t, t < `taps`; with t counted backwards dy's row is u - pad + t.
 */
struct phase { int64_t first, taps, grid, pad; };

static struct phase phase_of(int64_t phase, int64_t stride, int64_t filter, int64_t before,
			     int64_t side)
{
	struct phase p = { .first = (phase + before) % stride };

	p.taps = p.first < filter ? (filter - 1 - p.first) / stride + 1 : 0;
	p.grid = phase < side ? (side - 1 - phase) / stride + 1 : 0;
	p.pad = p.taps - 1 - (phase + before - p.first) / stride;
	return p;
}

static size_t dx_scratch(const int64_t dx[MAX_DIM], const int64_t w[MAX_DIM], const struct node *n)
{
	int64_t stride = n->at.conv.stride,
		m = dx[0] * blocks_of(dx[1], stride) * blocks_of(dx[2], stride);
	size_t compact = stride > 1 ? aligned((size_t)(m * dx[3]) * 4) : 0, most = 0;

	for (int64_t i = 0; i < stride; i++)
		for (int64_t j = 0; j < stride; j++) {
			struct phase y = phase_of(i, stride, w[1], n->at.conv.top, dx[1]);
			struct phase x = phase_of(j, stride, w[2], n->at.conv.left, dx[2]);
			size_t one;

			if (!y.taps || !x.taps || !y.grid || !x.grid)
				continue;
			one = product_scratch(dx[0] * y.grid * x.grid, dx[3],
					      y.taps * x.taps * w[0]);
			most = one > most ? one : most;
		}
	return compact + most;
}

size_t ISA_NAME(s_conv2d_dx)(const struct node *n, const struct graph *g)
{
	const int64_t *dy = g->node[n->in[0]].dim, *w = g->node[n->in[1]].dim;
	struct winograd v = winograd_of(n->dim, w, dy, n);

	if (v.pays)
		return winograd_dx_scratch(&v);
	return dx_scratch(n->dim, w, n);
}

/* dx at pixels (pi + S u, pj + S v) = part[u][v] + r; part NULL: no tap reaches them. */
static void scatter(float *dx, const float *part, const float *r, const int64_t dim[MAX_DIM],
		    int64_t stride, const int64_t at[2], const int64_t grid[2])
{
	int64_t rows = dim[0] * grid[0], c = dim[3];

	PAR_FOR(rows * grid[1] * c)
	for (int64_t q = 0; q < rows; q++) {
		int64_t y = q / grid[0] * dim[1] + at[0] + q % grid[0] * stride;

		for (int64_t u = 0; u < grid[1]; u++) {
			int64_t to = (y * dim[2] + at[1] + u * stride) * c;
			const float *from = part ? part + (q * grid[1] + u) * c : NULL;

			for (int64_t k = 0; k < c; k += VF) {
				vf sum = from ? vf_load_n(from + k, c - k) : vf_zero();

				if (r)
					sum += vf_load_n(r + to + k, c - k);
				vf_store_n(dx + to + k, sum, c - k);
			}
		}
	}
}

static void run_phase(const struct call *c, int64_t pi, int64_t pj)
{
	const int64_t *dy = c->in[0].dim, *w = c->in[1].dim, *dx = c->out[0].dim;
	int64_t stride = c->n->at.conv.stride, tap[MAX_TAPS];
	int64_t m = dx[0] * blocks_of(dx[1], stride) * blocks_of(dx[2], stride);
	size_t compact = stride > 1 ? aligned((size_t)(m * dx[3]) * 4) : 0;
	struct phase y = phase_of(pi, stride, w[1], c->n->at.conv.top, dx[1]);
	struct phase x = phase_of(pj, stride, w[2], c->n->at.conv.left, dx[2]);
	const struct im2col at = {
		.h = dy[1], .w = dy[2], .c = dy[3], .oh = y.grid, .ow = x.grid,
		.r = y.taps, .s = x.taps, .stride = 1, .top = y.pad, .left = x.pad,
	};
	struct product p = {
		.m = dx[0] * y.grid * x.grid, .n = dx[3], .k = y.taps * x.taps * dy[3],
		.a = pixels(in_f32(c, 0), &at, FORM_ROWS),
		.b = { .at = in_f32(c, 1), .form = FORM_TAPS, .ld = w[1] * w[2] * w[3],
		       .tap = tap, .per_tap = w[0] },
		.c = stride > 1 ? c->scratch : out_f32(c, 0), .ldc = dx[3], .ldr = dx[3],
		.res = stride > 1 ? NULL : in_f32(c, 2), .scratch = (char *)c->scratch + compact,
	};

	if (!y.grid || !x.grid)
		return;
	for (int64_t r = 0; r < y.taps; r++)
		for (int64_t s = 0; s < x.taps; s++)
			tap[r * x.taps + s] = ((y.first + stride * (y.taps - 1 - r)) * w[2] +
					       x.first + stride * (x.taps - 1 - s)) * w[3];
	if (p.k > 0)
		product_run(&p);
	if (stride > 1 || p.k == 0)
		scatter(out_f32(c, 0), p.k > 0 ? p.c : NULL, in_f32(c, 2), dx, stride,
			(const int64_t[]){ pi, pj }, (const int64_t[]){ y.grid, x.grid });
}

void ISA_NAME(k_conv2d_dx)(const struct call *c)
{
	const int64_t *dy = c->in[0].dim, *w = c->in[1].dim, *dx = c->out[0].dim;
	struct winograd v = winograd_of(dx, w, dy, c->n);
	int64_t stride = c->n->at.conv.stride;

	if (w[1] * w[2] > MAX_TAPS)
		BUG("filter of %d x %d taps, at most %d", (int)w[1], (int)w[2], MAX_TAPS);
	if (v.pays) {
		winograd_dx(&v, in_f32(c, 0), in_f32(c, 1), in_f32(c, 2), out_f32(c, 0),
			    c->scratch);
		return;
	}
	for (int64_t i = 0; i < stride; i++)
		for (int64_t j = 0; j < stride; j++)
			run_phase(c, i, j);
}

size_t ISA_NAME(s_conv2d_dw)(const struct node *n, const struct graph *g)
{
	const int64_t *x = g->node[n->in[0]].dim, *dy = g->node[n->in[1]].dim, *w = n->dim;
	struct winograd v = winograd_of(x, w, dy, n);
	size_t sums = column_scratch(pixels_of(dy), dy[3]), most;

	most = v.pays ? winograd_dw_scratch(&v) :
			product_scratch(w[0], w[1] * w[2] * w[3], pixels_of(dy));
	return most > sums ? most : sums;
}

void ISA_NAME(k_conv2d_dw)(const struct call *c)
{
	const int64_t *x = c->in[0].dim, *dy = c->in[1].dim, *w = c->out[0].dim;
	struct winograd v = winograd_of(x, w, dy, c->n);
	struct im2col at = im2col_of(x, w, dy, c->n);
	struct product p = {
		.m = w[0], .n = w[1] * w[2] * w[3], .k = pixels_of(dy),
		.a = { .at = in_f32(c, 1), .form = FORM_COLS, .ld = dy[3] },
		.b = pixels(in_f32(c, 0), &at, FORM_COLS),
		.c = out_f32(c, 0), .ldc = w[1] * w[2] * w[3], .scratch = c->scratch,
	};

	if (v.pays)
		winograd_dw(&v, in_f32(c, 0), p.a.at, p.c, c->scratch);
	else
		product_run(&p);
	if (c->out[1].at)
		column_sums(p.a.at, p.k, p.m, out_f32(c, 1), c->scratch);
}
