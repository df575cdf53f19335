/*
 * The library's part on the host: convolutions and attention as their descriptions say, sums in f64. It
 * wants odd amounts of scratch and writes all of it; what `takes` denies it does not take.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/dnn.h"
#include "kernels/cuda/host/run.h"

#define SCRATCH 1003

static double number(const void *at, enum dtype type, int64_t i)
{
	const uint16_t *h = at;

	if (type == DT_F32)
		return (double)((const float *)at)[i];
	return (double)(type == DT_BF16 ? bf16_to_f32(h[i]) : f16_to_f32(h[i]));
}

static double *unpack(const void *at, enum dtype type, int64_t n)
{
	double *v = xcalloc((size_t)n + 1, sizeof *v);

	for (int64_t i = 0; at && i < n; i++)
		v[i] = number(at, type, i);
	return v;
}

static void pack(void *at, enum dtype type, int64_t n, const double *v)
{
	for (int64_t i = 0; i < n; i++) {
		float f = (float)v[i];

		row_from_f32((char *)at + (size_t)i * dtype_size(type), type, &f, 1);
	}
}

/* ---- convolutions ---- */

struct sums {                   /* a convolution's tensors; the one that it makes begins as 0 */
	double *x, *filter, *y;
};

/* Row (or column) of x that tap r of row i of y reads, or -1. */
static int64_t reads(int64_t i, int64_t r, int64_t stride, int64_t before, int64_t size)
{
	int64_t at = i * stride + r - before;

	return at < 0 || at >= size ? -1 : at;
}

/* What one tap makes of pixel x for pixel y. */
static void add_tap(const struct filter *f, double *x, double *filter, double *y)
{
	for (int64_t k = 0; k < f->k; k++) {
		double *w = filter + k * f->r * f->s * f->c;

		for (int64_t c = 0; c < f->c; c++)
			if (f->way == FILTER_FORWARD)
				y[k] += x[c] * w[c];
			else if (f->way == FILTER_DX)
				x[c] += y[k] * w[c];
			else
				w[c] += x[c] * y[k];
	}
}

static void add_pixel(const struct filter *f, const struct sums *a, int64_t pixel)
{
	int64_t j = pixel % f->j, i = pixel / f->j % f->i, n = pixel / f->j / f->i;

	for (int64_t r = 0; r < f->r; r++)
		for (int64_t s = 0; s < f->s; s++) {
			int64_t h = reads(i, r, f->stride, f->top, f->h), w = reads(j, s, f->stride, f->left, f->w);

			if (h >= 0 && w >= 0)
				add_tap(f, a->x + ((n * f->h + h) * f->w + w) * f->c,
					a->filter + (r * f->s + s) * f->c, a->y + pixel * f->k);
		}
}

static void add_more(const struct filter *f, double *sum, int64_t n, const struct side *to)
{
	for (int64_t i = 0; i < n; i++) {
		if (f->onto)
			sum[i] += number(to->at, to->type, i);
		if (f->add.at)
			sum[i] += number(f->add.at, f->add.type, i);
		if (f->bias.at)
			sum[i] += number(f->bias.at, f->bias.type, i % f->k);
	}
}

struct host_dnn {
	struct dnn dnn;         /* first: its functions get at the rest through it */
	void *stream;
	int strict;
};

static struct host_dnn *host_of(struct dnn *d)
{
	return (struct host_dnn *)(void *)d;
}

struct filter_job { struct filter f; void *scratch; };

static void filter_now(const void *data)
{
	const struct filter_job *job = data;
	const struct filter *f = &job->f;
	const struct side *to = f->way == FILTER_FORWARD ? &f->y : f->way == FILTER_DX ? &f->x : &f->filter;
	int64_t n_x = f->n * f->h * f->w * f->c, n_filter = f->k * f->r * f->s * f->c;
	int64_t n_y = f->n * f->i * f->j * f->k;
	int64_t n = to == &f->y ? n_y : to == &f->x ? n_x : n_filter;
	struct sums a = { unpack(to == &f->x ? NULL : f->x.at, f->x.type, n_x),
			  unpack(to == &f->filter ? NULL : f->filter.at, f->filter.type, n_filter),
			  unpack(to == &f->y ? NULL : f->y.at, f->y.type, n_y) };
	double *made = to == &f->y ? a.y : to == &f->x ? a.x : a.filter;

	memset(job->scratch, 0xff, SCRATCH);
	for (int64_t pixel = 0; pixel < f->n * f->i * f->j; pixel++)
		add_pixel(f, &a, pixel);
	add_more(f, made, n, to);
	pack(to->at, to->type, n, made);
	free(a.x);
	free(a.filter);
	free(a.y);
}

static int run_filter(struct dnn *d, const struct filter *f, void *scratch, struct err *e)
{
	const struct filter_job job = { *f, scratch };

	(void)e;
	host_enqueue(host_of(d)->stream, filter_now, &job, sizeof job);
	return 0;
}

/* Fused runs are for what is made of one type; mixed ones take the other path. */
static int64_t plan_filter(struct dnn *d, const struct filter *f)
{
	if ((f->bias.at || f->add.at) && (!f->fused || f->way != FILTER_FORWARD))
		BUG("a convolution that is not fused has a bias");
	return host_of(d)->strict && f->fused ? -1 : SCRATCH;
}

/* ---- attention ---- */

/* One head of one picture, its rows after each other. */
struct head {
	double *q, *k, *v, *y, *dy, *dq, *dk, *dv, *score;
	float *lse;
};

/* Rows of head a of picture n. */
static double *rows_of(const struct heads *h, const void *at, int64_t tokens, int64_t n, int64_t a)
{
	double *v = xcalloc((size_t)(tokens * h->d), sizeof *v);

	for (int64_t i = 0; at && i < tokens * h->d; i++)
		v[i] = number(at, h->type, ((n * tokens + i / h->d) * h->heads + a) * h->d + i % h->d);
	return v;
}

static void put_rows(const struct heads *h, void *at, int64_t tokens, int64_t n, int64_t a, const double *v)
{
	for (int64_t t = 0; at && t < tokens; t++)
		pack((char *)at + (size_t)(((n * tokens + t) * h->heads + a) * h->d) * dtype_size(h->type), h->type,
		     h->d, v + t * h->d);
}

static double dot(const double *x, const double *y, int64_t n)
{
	double sum = 0;

	for (int64_t i = 0; i < n; i++)
		sum += x[i] * y[i];
	return sum;
}

static void add_row(double *to, double by, const double *x, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += by * x[i];
}

/* Scores of query i, and how many keys it sees. */
static int64_t scores(const struct heads *h, const struct head *b, int64_t i)
{
	int64_t keys = h->causal && i + 1 < h->tk ? i + 1 : h->tk;

	for (int64_t j = 0; j < keys; j++)
		b->score[j] = (double)h->scale * dot(b->q + i * h->d, b->k + j * h->d, h->d);
	return keys;
}

static void forward(const struct heads *h, const struct head *b, int64_t i)
{
	int64_t keys = scores(h, b, i);
	double top = -INFINITY, sum = 0;

	for (int64_t j = 0; j < keys; j++)
		top = fmax(top, b->score[j]);
	for (int64_t j = 0; j < keys; j++)
		sum += exp(b->score[j] - top);
	for (int64_t j = 0; j < keys; j++)
		add_row(b->y + i * h->d, exp(b->score[j] - top) / sum, b->v + j * h->d, h->d);
	b->lse[i] = (float)(top + log(sum));
}

static void backward(const struct heads *h, const struct head *b, int64_t i)
{
	int64_t keys = scores(h, b, i), at = i * h->d;
	double delta = dot(b->dy + at, b->y + at, h->d);

	for (int64_t j = 0; j < keys; j++) {
		double p = exp(b->score[j] - (double)b->lse[i]);
		double ds = p * (dot(b->dy + at, b->v + j * h->d, h->d) - delta) * (double)h->scale;

		add_row(b->dq + at, ds, b->k + j * h->d, h->d);
		add_row(b->dk + j * h->d, ds, b->q + at, h->d);
		add_row(b->dv + j * h->d, p, b->dy + at, h->d);
	}
}

static void one_head(const struct heads *h, int64_t n, int64_t a)
{
	struct head b = {
		.q = rows_of(h, h->q, h->tq, n, a), .k = rows_of(h, h->k, h->tk, n, a),
		.v = rows_of(h, h->v, h->tk, n, a), .y = rows_of(h, h->dx ? h->y : NULL, h->tq, n, a),
		.dy = rows_of(h, h->dy, h->tq, n, a), .dq = rows_of(h, NULL, h->tq, n, a),
		.dk = rows_of(h, NULL, h->tk, n, a), .dv = rows_of(h, NULL, h->tk, n, a),
		.score = xcalloc((size_t)h->tk, sizeof(double)),
		.lse = (float *)h->lse + (n * h->heads + a) * h->tq,
	};
	double *const all[] = { b.q, b.k, b.v, b.y, b.dy, b.dq, b.dk, b.dv, b.score };

	for (int64_t i = 0; i < h->tq; i++)
		if (h->dx)
			backward(h, &b, i);
		else
			forward(h, &b, i);
	put_rows(h, h->dx ? NULL : h->y, h->tq, n, a, b.y);
	put_rows(h, h->dq, h->tq, n, a, b.dq);
	put_rows(h, h->dk, h->tk, n, a, b.dk);
	put_rows(h, h->dv, h->tk, n, a, b.dv);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

struct heads_job { struct heads h; void *scratch; };

static void heads_now(const void *data)
{
	const struct heads_job *job = data;

	memset(job->scratch, 0xff, SCRATCH);
	for (int64_t n = 0; n < job->h.n; n++)
		for (int64_t a = 0; a < job->h.heads; a++)
			one_head(&job->h, n, a);
}

static int run_heads(struct dnn *d, const struct heads *h, void *scratch, struct err *e)
{
	const struct heads_job job = { *h, scratch };

	(void)e;
	host_enqueue(host_of(d)->stream, heads_now, &job, sizeof job);
	return 0;
}

/* What cuDNN does not take of the cases that tests run. */
static int64_t plan_heads(struct dnn *d, const struct heads *h)
{
	(void)d;
	return h->d > 256 || h->d % 8 ? -1 : SCRATCH;
}

struct dnn *host_dnn(void *stream, int strict)
{
	struct host_dnn *h = xcalloc(1, sizeof *h);

	*h = (struct host_dnn){ { 16 << 10, plan_filter, plan_heads, NULL, run_filter, run_heads }, stream, strict };
	return &h->dnn;
}
