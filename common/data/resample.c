/*
 * Resampling, bit for bit as Pillow (src/libImaging/Resample.c's arithmetic) and as OpenCV's
 * INTER_AREA. Products and sums of the latter are separate f32 roundings: this file must not be
 * built with fused multiply-add.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image.h"

/* ---- Pillow ---- */

#define BITS 22         /* of a weight's fraction */

struct kernel {
	const char *name;
	double (*at)(double x);
	double support;
};

struct weights {                /* of one axis: output i reads n[i] inputs from first[i] */
	int *first, *n;
	int32_t *w;             /* [out][taps] */
	int taps;
};

static double box(double x)
{
	return x > -0.5 && x <= 0.5;
}

static double bilinear(double x)
{
	x = fabs(x);
	return x < 1 ? 1 - x : 0;
}

static double bicubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	if (x < 2)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0;
}

static double sinc(double x)
{
	if (x == 0)
		return 1;
	x *= M_PI;
	return sin(x) / x;
}

static double lanczos(double x)
{
	return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct kernel kernels[] = {
	{ "box", box, 0.5 },
	{ "bilinear", bilinear, 1 },
	{ "bicubic", bicubic, 2 },
	{ "lanczos", lanczos, 3 },
};

static void weights_release(struct weights *k)
{
	free(k->first);
	free(k->n);
	free(k->w);
}

/* Weights of one output: f64, normalised, then rounded half away from zero to 22 bits. */
static void weights_of(struct weights *k, int i, const struct kernel *f, int in, double scale,
		       double *w)
{
	double wide = scale < 1 ? 1 : scale, support = f->support * wide, inverse = 1 / wide;
	double centre = (i + 0.5) * scale, sum = 0;
	int first = (int)(centre - support + 0.5), last = (int)(centre + support + 0.5);

	if (first < 0)
		first = 0;
	if (last > in)
		last = in;
	for (int x = 0; x < last - first; x++) {
		w[x] = f->at((x + first - centre + 0.5) * inverse);
		sum += w[x];
	}
	for (int x = 0; x < last - first; x++) {
		double v = (sum != 0 ? w[x] / sum : w[x]) * (1 << BITS);
		k->w[(size_t)i * k->taps + x] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
	}
	k->first[i] = first;
	k->n[i] = last - first;
}

static void weights_new(struct weights *k, const struct kernel *f, int in, int out)
{
	double scale = (double)in / out, *w;

	k->taps = (int)ceil(f->support * (scale < 1 ? 1 : scale)) * 2 + 1;
	k->first = xcalloc(out, sizeof *k->first);
	k->n = xcalloc(out, sizeof *k->n);
	k->w = xcalloc((size_t)out * k->taps, sizeof *k->w);
	w = xcalloc(k->taps, sizeof *w);
	for (int i = 0; i < out; i++)
		weights_of(k, i, f, in, scale, w);
	free(w);
}

static inline uint8_t clip(int32_t sum)
{
	sum >>= BITS;
	return sum < 0 ? 0 : sum > 255 ? 255 : sum;
}

/* One row; `c` is a constant at each call, so the loops over channels vanish. */
static inline void across_row(uint8_t *out, const uint8_t *in, int w, const struct weights *k,
			      const int c)
{
	for (int x = 0; x < w; x++) {
		const uint8_t *p = in + (size_t)k->first[x] * c;
		const int32_t *weight = k->w + (size_t)x * k->taps;
		int32_t sum[4];

		for (int j = 0; j < c; j++)
			sum[j] = 1 << (BITS - 1);
		for (int t = 0; t < k->n[x]; t++)
			for (int j = 0; j < c; j++)
				sum[j] += p[t * c + j] * weight[t];
		for (int j = 0; j < c; j++)
			out[x * c + j] = clip(sum[j]);
	}
}

static int across(struct image *im, const struct kernel *f, int w, struct err *e)
{
	struct weights k;
	struct image to;

	if (image_new(&to, w, im->h, im->channels, e) < 0)
		return -1;
	weights_new(&k, f, im->w, w);
	for (int y = 0; y < im->h; y++) {
		uint8_t *out = to.at + (size_t)y * w * im->channels;
		const uint8_t *in = im->at + (size_t)y * im->w * im->channels;

		if (im->channels == 3)
			across_row(out, in, w, &k, 3);
		else if (im->channels == 4)
			across_row(out, in, w, &k, 4);
		else
			across_row(out, in, w, &k, 1);
	}
	weights_release(&k);
	image_release(im);
	*im = to;
	return 0;
}

#define STRIP 1024      /* columns summed together, so that the sums stay in the nearest cache */

static void down_strip(uint8_t *out, const uint8_t *in, int n, size_t row, const int32_t *weight,
		       int taps)
{
	int32_t sum[STRIP];

	for (int i = 0; i < n; i++)
		sum[i] = 1 << (BITS - 1);
	for (int t = 0; t < taps; t++) {
		const uint8_t *p = in + t * row;
		int32_t w = weight[t];

		for (int i = 0; i < n; i++)
			sum[i] += p[i] * w;
	}
	for (int i = 0; i < n; i++)
		out[i] = clip(sum[i]);
}

static int down(struct image *im, const struct kernel *f, int h, struct err *e)
{
	struct weights k;
	struct image to;
	size_t row = (size_t)im->w * im->channels;

	if (image_new(&to, im->w, h, im->channels, e) < 0)
		return -1;
	weights_new(&k, f, im->h, h);
	for (int y = 0; y < h; y++)
		for (size_t x = 0; x < row; x += STRIP)
			down_strip(to.at + y * row + x, im->at + k.first[y] * row + x,
				   row - x < STRIP ? row - x : STRIP, row, k.w + (size_t)y * k.taps,
				   k.n[y]);
	weights_release(&k);
	image_release(im);
	*im = to;
	return 0;
}

/* Colours times alpha, as Pillow's RGBa. */
static void premultiply(struct image *im)
{
	size_t n = (size_t)im->w * im->h;

	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < 3; c++) {
			int t = im->at[4 * i + c] * im->at[4 * i + 3] + 128;
			im->at[4 * i + c] = (t + (t >> 8)) >> 8;
		}
}

static void divide(struct image *im)
{
	size_t n = (size_t)im->w * im->h;

	for (size_t i = 0; i < n; i++) {
		int a = im->at[4 * i + 3];

		for (int c = 0; c < 3 && a != 0 && a != 255; c++) {
			int v = 255 * im->at[4 * i + c] / a;
			im->at[4 * i + c] = v > 255 ? 255 : v;
		}
	}
}

static int pillow_resize(struct image *im, int w, int h, const struct kernel *f, struct err *e)
{
	if (im->channels == 4)
		premultiply(im);
	if (w != im->w && across(im, f, w, e) < 0)
		return -1;
	if (h != im->h && down(im, f, h, e) < 0)
		return -1;
	if (im->channels == 4)
		divide(im);
	return 0;
}

/* Pillow's Image.reduce: means of whole blocks; at the right and lower edge of what is there. */
static int reduce(struct image *im, int n, struct err *e)
{
	struct image to;
	int c = im->channels;

	if (image_new(&to, (im->w + n - 1) / n, (im->h + n - 1) / n, c, e) < 0)
		return -1;
	for (int y = 0; y < to.h; y++)
		for (int i = 0; i < to.w * c; i++) {
			int x = i / c, bw = im->w - x * n < n ? im->w - x * n : n,
			    bh = im->h - y * n < n ? im->h - y * n : n;
			uint32_t sum = bw * bh / 2,
				 factor = (uint32_t)(4294967296.0f / (256u * (bw * bh)));

			for (int k = 0; k < bw * bh; k++)
				sum += im->at[((size_t)(y * n + k / bw) * im->w + x * n + k % bw) *
					      c + i % c];
			to.at[(size_t)y * to.w * c + i] = sum * factor >> 24;
		}
	image_release(im);
	*im = to;
	return 0;
}

/* ---- OpenCV's INTER_AREA ---- */

struct cover {          /* input `from` covers part of output `to` */
	int from, to;
	float part;
};

static size_t cover_new(struct cover **out, int in, int size)
{
	double scale = (double)in / size;
	struct cover *list = xcalloc((size_t)in + 2 * (size_t)size, sizeof *list);
	size_t n = 0;

	for (int i = 0; i < size; i++) {
		double a = i * scale, b = a + scale, cell = fmin(scale, in - a), rest;
		int first = (int)ceil(a), last = (int)floor(b);

		last = last < in - 1 ? last : in - 1;
		first = first < last ? first : last;
		if (first - a > 1e-3)
			list[n++] = (struct cover){ first - 1, i, (float)((first - a) / cell) };
		for (int x = first; x < last; x++)
			list[n++] = (struct cover){ x, i, (float)(1 / cell) };
		rest = b - last;
		if (rest > 1e-3)
			list[n++] = (struct cover){ last, i,
						    (float)(fmin(fmin(rest, 1), cell) / cell) };
	}
	*out = list;
	return n;
}

static void round_row(uint8_t *out, const float *sum, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		long v = lrintf(sum[i]);
		out[i] = v < 0 ? 0 : v > 255 ? 255 : v;
	}
}

static inline void cover_row(float *line, const uint8_t *in, const struct cover *x, size_t n,
			     const int c)
{
	for (size_t i = 0; i < n; i++)
		for (int j = 0; j < c; j++)
			line[x[i].to * c + j] += in[x[i].from * c + j] * x[i].part;
}

static void cover_pixels(struct image *to, const struct image *im, const struct cover *x, size_t nx,
			 const struct cover *y, size_t ny)
{
	size_t row = (size_t)to->w * to->channels;
	float *line = xcalloc(row, sizeof *line), *sum = xcalloc(row, sizeof *sum);

	for (size_t i = 0; i < ny; i++) {
		const uint8_t *in = im->at + (size_t)y[i].from * im->w * im->channels;
		int fresh = !i || y[i].to != y[i - 1].to;

		memset(line, 0, row * sizeof *line);
		if (im->channels == 3)
			cover_row(line, in, x, nx, 3);
		else
			cover_row(line, in, x, nx, im->channels);
		for (size_t j = 0; j < row; j++)
			sum[j] = fresh ? line[j] * y[i].part : sum[j] + line[j] * y[i].part;
		if (i + 1 == ny || y[i + 1].to != y[i].to)
			round_row(to->at + y[i].to * row, sum, row);
	}
	free(line);
	free(sum);
}

/* Whole blocks of bw x bh pixels: integer sums, one product; 2 x 2 is rounded half up, the rest
 * half to even. */
static void block_pixels(struct image *to, const struct image *im, int bw, int bh)
{
	int c = im->channels;
	float part = 1.0f / (bw * bh);

	for (int y = 0; y < to->h; y++)
		for (int i = 0; i < to->w * c; i++) {
			const uint8_t *in =
				im->at + ((size_t)y * bh * im->w + i / c * bw) * c + i % c;
			int sum = 0;

			for (int v = 0; v < bh; v++)
				for (int u = 0; u < bw; u++)
					sum += in[((size_t)v * im->w + u) * c];
			to->at[(size_t)y * to->w * c + i] = bw == 2 && bh == 2 ? (sum + 2) >> 2
									       : lrintf(sum * part);
		}
}

static int area_resize(struct image *im, int w, int h, struct err *e)
{
	struct image to;
	struct cover *x, *y;

	if (w > im->w || h > im->h)
		return fail(e, "'area' only shrinks: %d x %d to %d x %d", im->w, im->h, w, h);
	if (image_new(&to, w, h, im->channels, e) < 0)
		return -1;
	if (im->w % w == 0 && im->h % h == 0) {
		block_pixels(&to, im, im->w / w, im->h / h);
	} else {
		size_t nx = cover_new(&x, im->w, w), ny = cover_new(&y, im->h, h);

		cover_pixels(&to, im, x, nx, y, ny);
		free(x);
		free(y);
	}
	image_release(im);
	*im = to;
	return 0;
}

int image_resize(struct image *im, int w, int h, const char *filter, struct err *e)
{
	int64_t n;

	if (w < 1 || h < 1)
		return fail(e, "cannot resize to %d x %d", w, h);
	if (starts_with(filter, "reduce") && !text_int(filter + 6, &n) && n >= 1 && n <= 16)
		return reduce(im, (int)n, e);
	if (w == im->w && h == im->h)
		return 0;
	if (!strcmp(filter, "area"))
		return area_resize(im, w, h, e);
	for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
		if (!strcmp(filter, kernels[i].name))
			return pillow_resize(im, w, h, &kernels[i], e);
	return fail(e, "no filter '%s'; there are box, bilinear, bicubic, lanczos, area", filter);
}
