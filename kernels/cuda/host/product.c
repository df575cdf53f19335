/* The library's part on the host: a product as its description says, sums in f64. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

/* rows x cols of an operand as doubles, row after row. */
static double *unpack(const struct operand *o, int64_t batch, int64_t rows, int64_t cols)
{
	double *v = xcalloc((size_t)(rows * cols) + 1, sizeof *v);
	int64_t size = (int64_t)dtype_size(o->type), stored = o->turned ? cols : rows;
	int64_t n = o->turned ? rows : cols;
	float *row = xcalloc((size_t)n + 1, sizeof *row);

	for (int64_t i = 0; i < stored; i++) {
		row_to_f32(row, (const char *)o->at + (batch * o->step + i * o->ld) * size, o->type, n);
		for (int64_t j = 0; j < n; j++)
			v[o->turned ? j * cols + i : i * cols + j] = row[j];
	}
	free(row);
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

/* y += x, whose rows are one or as many. */
static void add_all(double *y, const double *x, int64_t rows, int64_t cols, int one)
{
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			y[i * cols + j] += x[one ? j : i * cols + j];
}

#define DOWN 4                  /* a tile of sums that registers hold, all by name */
#define ACROSS 8
typedef double four __attribute__((vector_size(4 * sizeof(double))));

#define LOAD(to, at) memcpy(&(to), at, sizeof(to))
#define ADD(at, sum) do { four v; LOAD(v, at); v += alpha * (sum); memcpy(at, &v, sizeof v); } while (0)

/* y += alpha x w for DOWN rows and ACROSS columns of it. */
static inline __attribute__((always_inline)) void tile(double *y, const double *x, const double *w,
						      int64_t cols, int64_t inner, double alpha)
{
	four a0 = { 0 }, a1 = { 0 }, b0 = { 0 }, b1 = { 0 }, c0 = { 0 }, c1 = { 0 }, d0 = { 0 }, d1 = { 0 }, w0, w1;

	for (int64_t k = 0; k < inner; k++, w += cols) {
		double a = x[k], b = x[inner + k], c = x[2 * inner + k], d = x[3 * inner + k];

		LOAD(w0, w); LOAD(w1, w + 4);
		a0 += a * w0; a1 += a * w1; b0 += b * w0; b1 += b * w1;
		c0 += c * w0; c1 += c * w1; d0 += d * w0; d1 += d * w1;
	}
	ADD(y, a0); ADD(y + 4, a1);
	y += cols;
	ADD(y, b0); ADD(y + 4, b1);
	y += cols;
	ADD(y, c0); ADD(y + 4, c1);
	y += cols;
	ADD(y, d0); ADD(y + 4, d1);
}

/* The same for any part of y. */
static void edge(double *y, const double *x, const double *w, int64_t rows, int64_t across, int64_t cols,
		 int64_t inner, double alpha)
{
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < across; j++) {
			double sum = 0;

			for (int64_t k = 0; k < inner; k++)
				sum += x[i * inner + k] * w[k * cols + j];
			y[i * cols + j] += alpha * sum;
		}
}

static inline __attribute__((always_inline)) void all_tiles(double *y, const double *x, const double *w,
		int64_t rows, int64_t cols, int64_t inner, double alpha)
{
	int64_t down = rows / DOWN * DOWN, across = cols / ACROSS * ACROSS;

	for (int64_t j = 0; j < across; j += ACROSS)
		for (int64_t i = 0; i < down; i += DOWN)
			tile(y + i * cols + j, x + i * inner, w + j, cols, inner, alpha);
	edge(y + across, x, w + across, down, cols - across, cols, inner, alpha);
	edge(y + down * cols, x + down * inner, w, rows - down, cols, cols, inner, alpha);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma")))
static void multiply_avx2(double *y, const double *x, const double *w, int64_t rows, int64_t cols,
			  int64_t inner, double alpha)
{
	all_tiles(y, x, w, rows, cols, inner, alpha);
}
#endif

static void multiply(double *y, const double *x, const double *w, int64_t rows, int64_t cols, int64_t inner,
		     double alpha)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
		multiply_avx2(y, x, w, rows, cols, inner, alpha);
		return;
	}
#endif
	all_tiles(y, x, w, rows, cols, inner, alpha);
}

static void one_product(const struct product *p, int64_t b)
{
	int64_t rows = p->rows, cols = p->cols, inner = p->inner;
	double *x = unpack(&p->x, b, rows, inner), *w = unpack(&p->w, b, inner, cols), *more;
	double *y = xcalloc((size_t)(rows * cols), sizeof *y);

	multiply(y, x, w, rows, cols, inner, (double)p->alpha);
	if (p->add.at) {
		add_all(y, more = unpack(&p->add, b, rows, cols), rows, cols, 0);
		free(more);
	}
	if (p->bias.at) {
		add_all(y, more = unpack(&p->bias, b, 1, cols), rows, cols, 1);
		free(more);
	}
	pack(&p->y, b, rows, cols, y);
	free(x);
	free(w);
	free(y);
}

void host_product(const struct product *p)
{
	if (p->x.type != p->w.type || (p->add.at && p->add.type != p->y.type) ||
	    (p->y.type != p->x.type && p->y.type != DT_F32))
		BUG("a product of %s and %s makes %s", dtype_name(p->x.type), dtype_name(p->w.type),
		    dtype_name(p->y.type));
	for (int64_t b = 0; b < p->batch; b++)
		one_product(p, b);
}
