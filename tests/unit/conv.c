/*
 * conv2d, conv2d_dx, conv2d_dw: the direct way and Winograd's.
 */
#include "tests/unit/kernel_job.h"

struct shape { int64_t n, h, w, c, k, r, s; struct { int stride, top, left, bottom, right; } at; };

static void out_size(const struct shape *v, int64_t y[MAX_DIM])
{
	y[0] = v->n;
	y[1] = (v->h + v->at.top + v->at.bottom - v->r) / v->at.stride + 1;
	y[2] = (v->w + v->at.left + v->at.right - v->s) / v->at.stride + 1;
	y[3] = v->k;
}

/* Calls f for every product of the convolution: x index, w index, y index. */
static void conv_walk(const struct shape *v, const float *x, const float *w, const float *y,
		      double *dx, double *dw, double *dy)
{
	int64_t d[MAX_DIM];

	out_size(v, d);
	for (int64_t p = 0; p < d[0] * d[1] * d[2]; p++)
		for (int64_t t = 0; t < v->r * v->s; t++) {
			int64_t i = p / d[2] % d[1] * v->at.stride + t / v->s - v->at.top;
			int64_t j = p % d[2] * v->at.stride + t % v->s - v->at.left;
			int64_t xi = ((p / d[2] / d[1] * v->h + i) * v->w + j) * v->c;

			if (i < 0 || i >= v->h || j < 0 || j >= v->w)
				continue;
			for (int64_t k = 0; k < v->k; k++) {
				int64_t wi = (k * v->r * v->s + t) * v->c, yi = p * v->k + k;
				double sum = 0;

				for (int64_t c = 0; c < v->c; c++) {
					if (dy)
						sum += (double)x[xi + c] * w[wi + c];
					else if (dx)
						dx[xi + c] += (double)y[yi] * w[wi + c];
					else
						dw[wi + c] += (double)y[yi] * x[xi + c];
				}
				if (dy)
					dy[yi] += sum;
			}
		}
}

static void set_at(struct job *j, const struct shape *v)
{
	j->n.at.conv.stride = v->at.stride;
	j->n.at.conv.top = v->at.top;
	j->n.at.conv.left = v->at.left;
	j->n.at.conv.bottom = v->at.bottom;
	j->n.at.conv.right = v->at.right;
}

static void conv_one(const struct shape *v, double eps, int with)
{
	struct job j = {
		.n = { .op = OP_CONV2D }, .n_in = 4,
		.in = { { .dim = { v->n, v->h, v->w, v->c } },
			{ .dim = { v->k, v->r, v->s, v->c } },
			{ .dim = { with, 1, 1, v->k } } },
	};
	double *want;

	out_size(v, j.n.dim);
	memcpy(j.in[3].dim, j.n.dim, sizeof j.n.dim);
	if (!with)
		j.in[3].dim[0] = 0;
	set_at(&j, v);
	want = calloc((size_t)count(j.n.dim), 8);
	job_begin(&j);
	for (int64_t i = 0; with && i < count(j.n.dim); i++)
		want[i] = (double)j.at[2][i % v->k] + j.at[3][i];
	conv_walk(v, j.at[0], j.at[1], NULL, NULL, NULL, want);
	job_check(&j, want, NULL, eps, with ? 3 : -1);
	job_end(&j);
	free(want);
}

static void conv_dx_one(const struct shape *v, double eps, int with)
{
	struct job j = {
		.n = { .op = OP_CONV2D_DX, .dim = { v->n, v->h, v->w, v->c } }, .n_in = 3,
		.in = { { .dim = { 0 } }, { .dim = { v->k, v->r, v->s, v->c } },
			{ .dim = { with ? v->n : 0, v->h, v->w, v->c } } },
	};
	double *want = calloc((size_t)count(j.n.dim), 8);

	out_size(v, j.in[0].dim);
	set_at(&j, v);
	job_begin(&j);
	for (int64_t i = 0; with && i < count(j.n.dim); i++)
		want[i] = j.at[2][i];
	conv_walk(v, NULL, j.at[1], j.at[0], want, NULL, NULL);
	job_check(&j, want, NULL, eps, with ? 2 : -1);
	job_end(&j);
	free(want);
}

static void conv_dw_one(const struct shape *v, double eps, int with)
{
	struct job j = {
		.n = { .op = OP_CONV2D_DW, .dim = { v->k, v->r, v->s, v->c } }, .n_in = 2,
		.in = { { .dim = { v->n, v->h, v->w, v->c } } }, .out1 = { with, 1, 1, v->k },
	};
	double *want = calloc((size_t)count(j.n.dim), 8), *sums = calloc((size_t)v->k, 8);

	out_size(v, j.in[1].dim);
	set_at(&j, v);
	job_begin(&j);
	conv_walk(v, j.at[0], NULL, j.at[1], NULL, want, NULL);
	for (int64_t i = 0; i < count(j.in[1].dim); i++)
		sums[i % v->k] += j.at[1][i];
	job_check(&j, want, sums, eps, -1);
	job_end(&j);
	free(want);
	free(sums);
}

static const struct shape shapes[] = {
	{ 1, 1, 1, 1, 1, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 2, 9, 5, 7, 11, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 1, 16, 16, 32, 32, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 2, 8, 8, 16, 48, 3, 3, { 2, 1, 1, 1, 1 } },
	{ 1, 9, 7, 5, 4, 3, 3, { 2, 0, 0, 1, 1 } },
	{ 2, 8, 6, 17, 6, 3, 3, { 2, 0, 0, 1, 1 } },
	{ 1, 12, 13, 4, 33, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 3, 5, 7, 37, 19, 1, 1, { 1, 0, 0, 0, 0 } },
	{ 1, 8, 8, 6, 20, 1, 1, { 2, 0, 0, 0, 0 } },
	{ 1, 16, 16, 3, 18, 8, 8, { 8, 0, 0, 0, 0 } },
	{ 1, 11, 10, 5, 9, 5, 2, { 3, 2, 0, 1, 1 } },
	{ 1, 6, 7, 13, 3, 2, 4, { 1, 1, 3, 0, 0 } },
	{ 1, 20, 18, 40, 70, 3, 3, { 1, 1, 1, 1, 1 } },
};

static void conv2d(void)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		conv_one(&shapes[i], 1e-6, (int)i & 1);
}

static void conv2d_dx(void)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		conv_dx_one(&shapes[i], 1e-6, (int)i & 1);
}

static void conv2d_dw(void)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		conv_dw_one(&shapes[i], 1e-6, (int)i & 1);
}

/* For Winograd's way: tiles cut off at the edge, odd channels, pictures, one-sided padding. */
static const struct shape large[] = {
	{ 1, 32, 32, 32, 32, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 1, 33, 38, 37, 19, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 3, 16, 18, 16, 47, 3, 3, { 1, 1, 1, 1, 1 } },
	{ 2, 34, 30, 53, 33, 3, 3, { 1, 0, 0, 1, 1 } },
	{ 1, 30, 30, 20, 64, 3, 3, { 1, 2, 1, 0, 1 } },
	{ 1, 350, 340, 16, 17, 3, 3, { 1, 1, 1, 1, 1 } },       /* several blocks of tiles */
	{ 1, 16, 20, 430, 18, 3, 3, { 1, 1, 1, 1, 1 } },        /* filters in chunks of channels */
	{ 1, 20, 16, 17, 410, 3, 3, { 1, 1, 1, 1, 1 } }
};

static void winograd(void)
{
	for (size_t i = 0; i < sizeof large / sizeof *large; i++)
		conv_one(&large[i], 5e-6, (int)i & 1);
}

static void winograd_dx(void)
{
	for (size_t i = 0; i < sizeof large / sizeof *large; i++)
		conv_dx_one(&large[i], 5e-6, (int)i & 1);
}

static void winograd_dw(void)
{
	for (size_t i = 0; i < sizeof large / sizeof *large; i++)
		conv_dw_one(&large[i], 5e-6, (int)i & 1);
}

int main(void)
{
	TEST(conv2d);
	TEST(conv2d_dx);
	TEST(conv2d_dw);
	TEST(winograd);
	TEST(winograd_dx);
	TEST(winograd_dw);
	return test_end();
}
