/*
 * linear, linear_dx, linear_dw as products: y = x w^T + b + r, dx = dy w + r, dw = dy^T x.
 */
#include "kernels/cpu/simd/gemm.h"

/* All sides but the last. */
static int64_t rows_of(const int64_t dim[MAX_DIM])
{
	return dim[0] * dim[1] * dim[2];
}

size_t ISA_NAME(s_linear)(const struct node *n, const struct graph *g)
{
	return product_scratch(rows_of(n->dim), n->dim[3], g->node[n->in[0]].dim[3]);
}

void ISA_NAME(k_linear)(const struct call *c)
{
	const int64_t *x = c->in[0].dim, *y = c->out[0].dim;
	struct product p = {
		.m = rows_of(y), .n = y[3], .k = x[3],
		.a = { .at = in_f32(c, 0), .form = FORM_ROWS, .ld = x[3] },
		.b = { .at = in_f32(c, 1), .form = FORM_ROWS, .ld = x[3] },
		.c = out_f32(c, 0), .ldc = y[3], .ldr = y[3],
		.bias = in_f32(c, 2), .res = in_f32(c, 3), .scratch = c->scratch,
	};

	product_run(&p);
}

size_t ISA_NAME(s_linear_dx)(const struct node *n, const struct graph *g)
{
	return product_scratch(rows_of(n->dim), n->dim[3], g->node[n->in[0]].dim[3]);
}

void ISA_NAME(k_linear_dx)(const struct call *c)
{
	const int64_t *dy = c->in[0].dim, *dx = c->out[0].dim;
	struct product p = {
		.m = rows_of(dx), .n = dx[3], .k = dy[3],
		.a = { .at = in_f32(c, 0), .form = FORM_ROWS, .ld = dy[3] },
		.b = { .at = in_f32(c, 1), .form = FORM_COLS, .ld = dx[3] },
		.c = out_f32(c, 0), .ldc = dx[3], .ldr = dx[3],
		.res = in_f32(c, 2), .scratch = c->scratch,
	};

	product_run(&p);
}

size_t ISA_NAME(s_linear_dw)(const struct node *n, const struct graph *g)
{
	const int64_t *x = g->node[n->in[0]].dim, *dy = g->node[n->in[1]].dim;
	size_t product = product_scratch(dy[3], x[3], rows_of(x)),
	       sums = column_scratch(rows_of(dy), dy[3]);

	return product > sums ? product : sums;
}

void ISA_NAME(k_linear_dw)(const struct call *c)
{
	const int64_t *x = c->in[0].dim, *dy = c->in[1].dim;
	struct product p = {
		.m = dy[3], .n = x[3], .k = rows_of(x),
		.a = { .at = in_f32(c, 1), .form = FORM_COLS, .ld = dy[3] },
		.b = { .at = in_f32(c, 0), .form = FORM_COLS, .ld = x[3] },
		.c = out_f32(c, 0), .ldc = x[3], .scratch = c->scratch,
	};

	product_run(&p);
	if (c->out[1].at)
		column_sums(p.a.at, p.k, p.m, out_f32(c, 1), c->scratch);
}
