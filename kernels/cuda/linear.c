/* The linear ops, described as products; the bias' gradient is our own sum. */
#include "kernels/cuda/product.h"

static struct operand of_view(const struct view *v, int64_t ld)
{
	return operand_of(v->at, v->type, ld);
}

static int64_t rows_of(const struct view *v)
{
	return v->dim[0] * v->dim[1] * v->dim[2];
}

/* The sum of nothing, which libraries refuse: only weights' gradients of no pictures are such. */
static void product_empty(struct lane *l, const struct product *p)
{
	int64_t dim[MAX_DIM] = { 1, 1, p->rows, p->cols };

	if (p->add.at || p->bias.at || p->batch != 1 || p->y.ld != p->cols)
		BUG("a product of %lld x 0 numbers", (long long)p->rows);
	cuda_zero(l, (struct view){ p->y.at, dim, p->y.type });
}

void product_run(struct lane *l, const struct product *p)
{
	if (!p->rows || !p->cols || !p->batch || l->failed)
		return;
	if (p->inner)
		l->product(l, p);
	else
		product_empty(l, p);
}

/* y[m][k] = x[m][c] w[k][c] + b[k] + r[m][k] */
struct product product_linear(const struct call *c)
{
	int64_t rows = rows_of(&c->out[0]), inner = c->in[0].dim[3], cols = c->out[0].dim[3];

	return (struct product){
		.rows = rows, .cols = cols, .inner = inner, .batch = 1, .alpha = 1,
		.x = of_view(&c->in[0], inner), .w = operand_turned(of_view(&c->in[1], inner)),
		.y = of_view(&c->out[0], cols), .bias = of_view(&c->in[2], 0),
		.add = of_view(&c->in[3], cols),
	};
}

/* dx[m][c] = dy[m][k] w[k][c] + r[m][c] */
struct product product_linear_dx(const struct call *c)
{
	int64_t rows = rows_of(&c->out[0]), inner = c->in[0].dim[3], cols = c->out[0].dim[3];

	return (struct product){
		.rows = rows, .cols = cols, .inner = inner, .batch = 1, .alpha = 1,
		.x = of_view(&c->in[0], inner), .w = of_view(&c->in[1], cols),
		.y = of_view(&c->out[0], cols), .add = of_view(&c->in[2], cols),
	};
}

/* dw[k][c] = dy[m][k] x[m][c], summed over m */
struct product product_linear_dw(const struct call *c)
{
	int64_t inner = rows_of(&c->in[0]), rows = c->in[1].dim[3], cols = c->in[0].dim[3];

	return (struct product){
		.rows = rows, .cols = cols, .inner = inner, .batch = 1, .alpha = 1,
		.x = operand_turned(of_view(&c->in[1], rows)), .w = of_view(&c->in[0], cols),
		.y = of_view(&c->out[0], cols),
	};
}

void cuda_linear(const struct call *c, struct lane *l)
{
	struct product p = product_linear(c);

	product_run(l, &p);
}

void cuda_linear_dx(const struct call *c, struct lane *l)
{
	struct product p = product_linear_dx(c);

	product_run(l, &p);
}

size_t cuda_linear_dw_scratch(const struct node *n, const struct graph *g)
{
	const int64_t *dy = g->node[n->in[1]].dim;

	return cuda_bias_scratch(dy[0] * dy[1] * dy[2], dy[3]);
}

void cuda_linear_dw(const struct call *c, struct lane *l)
{
	struct product p = product_linear_dw(c);

	product_run(l, &p);
	if (c->out[1].at)
		cuda_bias(l, c->out[1], c->in[1], rows_of(&c->in[1]), c->in[1].dim[3], c->scratch);
}
