/* The library's part on the host: a product as its description says, sums in f64. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

/* rows x cols of an operand as doubles, row after row. */
static double *unpack(const struct operand *o, int64_t batch, int64_t rows, int64_t cols)
{
	double *v = xcalloc((size_t)(rows * cols) + 1, sizeof *v);
	const char *base = (const char *)o->at + batch * o->step * (int64_t)dtype_size(o->type);

	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++) {
			int64_t at = o->turned ? j * o->ld + i : i * o->ld + j;
			const uint16_t *h = (const uint16_t *)(const void *)base;

			v[i * cols + j] = o->type == DT_F32 ? ((const float *)(const void *)base)[at] :
				o->type == DT_BF16 ? bf16_to_f32(h[at]) : f16_to_f32(h[at]);
		}
	return v;
}

static void pack(const struct operand *o, int64_t batch, int64_t rows, int64_t cols, const double *v)
{
	size_t size = dtype_size(o->type);
	char *base = (char *)o->at + (size_t)(batch * o->step) * size;
	float *row = xcalloc((size_t)cols + 1, sizeof *row);

	for (int64_t i = 0; i < rows; i++) {
		for (int64_t j = 0; j < cols; j++)
			row[j] = (float)v[i * cols + j];
		row_from_f32(base + (size_t)(i * o->ld) * size, o->type, row, cols);
	}
	free(row);
}

static void add_all(double *y, const double *x, int64_t n, int64_t period)
{
	for (int64_t i = 0; i < n; i++)
		y[i] += x[i % period];
}

static void one_product(const struct product *p, int64_t b)
{
	int64_t rows = p->rows, cols = p->cols, inner = p->inner;
	double *x = unpack(&p->x, b, rows, inner), *w = unpack(&p->w, b, inner, cols), *more;
	double *y = xcalloc((size_t)(rows * cols), sizeof *y);

	for (int64_t i = 0; i < rows; i++)
		for (int64_t k = 0; k < inner; k++)
			for (int64_t j = 0; j < cols; j++)
				y[i * cols + j] += (double)p->alpha * x[i * inner + k] * w[k * cols + j];
	if (p->add.at) {
		add_all(y, more = unpack(&p->add, b, rows, cols), rows * cols, rows * cols);
		free(more);
	}
	if (p->bias.at) {
		add_all(y, more = unpack(&p->bias, b, 1, cols), rows * cols, cols);
		free(more);
	}
	pack(&p->y, b, rows, cols, y);
	free(x);
	free(w);
	free(y);
}

void host_product(struct lane *l, const struct product *p)
{
	(void)l;
	if (p->x.type != p->w.type || (p->add.at && p->add.type != p->y.type) ||
	    (p->y.type != p->x.type && p->y.type != DT_F32))
		BUG("a product of %s and %s makes %s", dtype_name(p->x.type), dtype_name(p->w.type),
		    dtype_name(p->y.type));
	for (int64_t b = 0; b < p->batch; b++)
		one_product(p, b);
}
