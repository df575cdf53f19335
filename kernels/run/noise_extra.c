#include <math.h>
#include <string.h>
#include "common/base/rng.h"
#include "kernels/run/noise_extra.h"

static void draw_normal(void *who, float *out, int64_t n)
{
	struct noise_draws *d = who;
	struct rng r = rng_stream(d->seed, "extra noise", d->step, d->at++);

	rng_normal(&r, out, n);
}

static double draw_uniform(void *who)
{
	struct noise_draws *d = who;
	struct rng r = rng_stream(d->seed, "extra noise", d->step, d->at++);

	return rng_uniform(&r, 0);
}

struct noise_source noise_source(struct noise_draws *d)
{
	return (struct noise_source){ draw_normal, draw_uniform, d };
}

static int64_t index_of(const struct noise_shape *p, int64_t n, int64_t c, int64_t y, int64_t x)
{
	if (p->channels_last)
		return ((n * p->h + y) * p->w + x) * p->channels + c;
	return ((n * p->channels + c) * p->h + y) * p->w + x;
}

static double channel_mean(const struct noise_shape *p, const float *v, int64_t n, int64_t c)
{
	double sum = 0;

	for (int64_t y = 0; y < p->h; y++)
		for (int64_t x = 0; x < p->w; x++)
			sum += v[index_of(p, n, c, y, x)];
	return sum / (double)(p->h * p->w);
}

static void add_offset(const struct noise_options *o, const struct noise_shape *p,
	const float *latents, float *noise, float *scratch, const struct noise_source *from)
{
	double strength = o->offset * (o->offset_random ? from->uniform(from->who) : 1);

	from->normal(from->who, scratch, p->samples * p->channels);
	for (int64_t k = 0; k < p->samples * p->channels; k++) {
		int64_t n = k / p->channels, c = k % p->channels;
		double s = strength;
		if (o->adaptive != 0)
			s += o->adaptive * fabs(channel_mean(p, latents, n, c));
		if (s < 0)
			s = 0;
		for (int64_t y = 0; y < p->h; y++)
			for (int64_t x = 0; x < p->w; x++)
				noise[index_of(p, n, c, y, x)] += (float)(s * scratch[k]);
	}
}

/* Where the centre of cell i of `out` lies among `in` cells, not before the first centre. */
static double source_at(int64_t i, int64_t in, int64_t out)
{
	double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;

	return at > 0 ? at : 0;
}

/* noise += weight * field, enlarged linearly; centres of cells, not corners, are aligned. */
static void add_field(const struct noise_shape *p, float *noise, const struct noise_shape *f,
		      const float *field, double weight)
{
	for (int64_t y = 0; y < p->h; y++) {
		double fy = source_at(y, f->h, p->h);
		int64_t y0 = (int64_t)fy, y1 = y0 + 1 < f->h ? y0 + 1 : y0;
		for (int64_t x = 0; x < p->w; x++) {
			double fx = source_at(x, f->w, p->w);
			int64_t x0 = (int64_t)fx, x1 = x0 + 1 < f->w ? x0 + 1 : x0;
			double u = fx - (double)x0, v = fy - (double)y0;
			for (int64_t k = 0; k < p->samples * p->channels; k++) {
				int64_t n = k / p->channels, c = k % p->channels;
				double a = field[index_of(f, n, c, y0, x0)],
					b = field[index_of(f, n, c, y0, x1)];
				double d = field[index_of(f, n, c, y1, x0)],
					e = field[index_of(f, n, c, y1, x1)];
				double top = a * (1 - u) + b * u, low = d * (1 - u) + e * u;
				float sum = (float)(weight * (top * (1 - v) + low * v));
				noise[index_of(p, n, c, y, x)] += sum;
			}
		}
	}
}

/* Divide by the standard deviation (n - 1) of all values. */
static void normalise(float *v, int64_t n)
{
	double sum = 0, squares = 0, mean, by;

	for (int64_t i = 0; i < n; i++)
		sum += v[i];
	mean = sum / (double)n;
	for (int64_t i = 0; i < n; i++)
		squares += (v[i] - mean) * (v[i] - mean);
	by = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
	for (int64_t i = 0; by > 0 && i < n; i++)
		v[i] = (float)(v[i] / by);
}

/*
 * Level 0 is a full-size field of weight 1, so white noise is counted twice; its uniform draw has
 * no effect.
 */
static void add_multires(const struct noise_options *o, const struct noise_shape *p, float *noise,
			 float *scratch, const struct noise_source *from)
{
	for (int i = 0; i < o->multires; i++) {
		double r = 2 + 2 * from->uniform(from->who), shrink = pow(r, i);
		struct noise_shape f = *p;
		f.h = (int64_t)((double)p->h / shrink);
		f.w = (int64_t)((double)p->w / shrink);
		f.h = f.h > 1 ? f.h : 1;
		f.w = f.w > 1 ? f.w : 1;
		from->normal(from->who, scratch, f.samples * f.channels * f.h * f.w);
		add_field(p, noise, &f, scratch, pow(o->multires_discount, i));
		if (f.h == 1 || f.w == 1)
			break;
	}
	normalise(noise, p->samples * p->channels * p->h * p->w);
}

void noise_shape_up(const struct noise_options *o, const struct noise_shape *shape,
	const float *latents, float *noise, float *scratch, const struct noise_source *from)
{
	if (o->offset != 0)
		add_offset(o, shape, latents, noise, scratch, from);
	if (o->multires > 0)
		add_multires(o, shape, noise, scratch, from);
}

void noise_perturb(const struct noise_options *o, const float *noise, float *out, int64_t n,
		   const struct noise_source *from)
{
	double gamma = o->ip_gamma;

	if (gamma == 0) {
		memcpy(out, noise, (size_t)n * sizeof *out);
		return;
	}
	if (o->ip_random)
		gamma *= from->uniform(from->who);
	from->normal(from->who, out, n);
	for (int64_t i = 0; i < n; i++)
		out[i] = (float)(noise[i] + gamma * out[i]);
}
