#include <math.h>
#include <string.h>
#include "kernels/run/loss.h"

#define MAX_SNR 1000.0

int loss_kind_of_name(const char *name, enum loss_kind *out, struct err *e)
{
	static const char *const names[] = { "l2", "l1", "huber", "smooth_l1" };

	for (int i = 0; i < 4; i++) {
		if (!strcmp(name, names[i])) {
			*out = (enum loss_kind)i;
			return 0;
		}
	}
	return fail(e, "loss type '%s' is unknown (l2, l1, huber, smooth_l1)", name);
}

int huber_schedule_of_name(const char *name, enum huber_schedule *out, struct err *e)
{
	static const char *const names[] = { "constant", "exponential", "snr" };

	for (int i = 0; i < 3; i++) {
		if (!strcmp(name, names[i])) {
			*out = (enum huber_schedule)i;
			return 0;
		}
	}
	return fail(e, "huber schedule '%s' is unknown (constant, exponential, snr)", name);
}

static double min_snr(const struct loss_options *o, enum prediction p, double snr)
{
	double low = snr < o->snr_gamma ? snr : o->snr_gamma;
	double ratio = snr > 0 ? low / snr : 1;         /* its limit; 0 / 0 otherwise */

	if (isinf(snr))
		ratio = 0;
	if (p != PREDICT_V)
		return ratio;
	return o->snr_plus_one ? ratio + 1 : isinf(snr) ? 0 : low / (snr + 1);
}

double loss_weight(const struct loss_options *o, const struct noise_table *s, enum prediction p,
		   int t)
{
	double snr = noise_snr(s, t), most = snr < MAX_SNR ? snr : MAX_SNR, w = 1;

	if (o->snr_gamma > 0)
		w *= min_snr(o, p, snr);
	if (o->scale_v)
		w *= most / (most + 1);
	if (o->v_pred_like > 0)
		w *= 1 + o->v_pred_like * (most + 1) / most;
	if (o->debiased)
		w *= p == PREDICT_V ? 1 / (most + 1) : 1 / sqrt(most);
	return w;
}

double loss_huber_c(const struct loss_options *o, const struct noise_table *s, int t)
{
	double near;

	if (o->kind != LOSS_HUBER && o->kind != LOSS_SMOOTH_L1)
		return 1;
	if (o->huber == HUBER_CONSTANT)
		return o->huber_c * o->huber_scale;
	if (o->huber == HUBER_EXPONENTIAL)
		return o->huber_scale * exp(t * log(o->huber_c) / s->n);
	near = 1 / (1 + noise_sigma(s, t));     /* 0 at zero SNR */
	return (1 - o->huber_c) * near * near + o->huber_c;
}

void loss_prior_weights(double *w, const unsigned char *class_picture, int64_t n, double prior,
			int own_means)
{
	int64_t of_class = 0;

	for (int64_t i = 0; i < n; i++)
		of_class += class_picture[i] != 0;
	for (int64_t i = 0; i < n; i++) {
		if (own_means)
			w[i] *= (double)n / (double)(class_picture[i] ? of_class : n - of_class);
		if (class_picture[i])
			w[i] *= prior;
	}
}

static double distance(enum loss_kind k, double d, double c, double *slope)
{
	double root;

	switch (k) {
	case LOSS_L2:
		*slope = 2 * d;
		return d * d;
	case LOSS_L1:
		*slope = (d > 0) - (d < 0);
		return fabs(d);
	default:
		root = sqrt(d * d + c * c);
		c = k == LOSS_HUBER ? c : 1;
		*slope = root > 0 ? 2 * c * d / root : 0;
		return 2 * c * root;
	}
}

/* The constant that makes the distance 0 at d = 0. */
static double at_zero(enum loss_kind k, double c)
{
	double slope;

	return k == LOSS_L2 || k == LOSS_L1 ? 0 : distance(k, 0, c, &slope);
}

static double sample_loss(enum loss_kind k, const struct loss_batch *b, int64_t i, double share,
			  float *grad)
{
	int64_t each = b->channels * b->pixels;
	const float *pred = b->pred + i * each, *target = b->target + i * each;
	const float *mask = b->mask ? b->mask + i * b->pixels : NULL;
	double c = b->huber_c ? b->huber_c[i] : 1, zero = at_zero(k, c), sum = 0, slope;

	for (int64_t j = 0; j < each; j++) {
		double m = !mask ? 1 : mask[b->channels_last ? j / b->channels : j % b->pixels];
		sum += m * (distance(k, (double)pred[j] - target[j], c, &slope) - zero);
		if (grad)
			grad[i * each + j] = (float)(share * m * slope);
	}
	return each ? sum / (double)each : 0;
}

double loss_compute(enum loss_kind k, const struct loss_batch *b, double *per_sample, float *grad)
{
	double elements = (double)(b->samples * b->channels * b->pixels), total = 0;

	for (int64_t i = 0; i < b->samples; i++) {
		double w = b->weight ? b->weight[i] : 1;
		double v = sample_loss(k, b, i, w / elements, grad);
		if (per_sample)
			per_sample[i] = v;
		total += w * v;
	}
	return b->samples ? total / (double)b->samples : 0;
}

void loss_shrink_mask(const float *mask, int64_t high, int64_t wide, float *out, int64_t h,
		      int64_t w)
{
	for (int64_t y = 0; y < h; y++) {
		for (int64_t x = 0; x < w; x++) {
			int64_t top = y * high / h, bottom = ((y + 1) * high + h - 1) / h;
			int64_t left = x * wide / w, right = ((x + 1) * wide + w - 1) / w;
			double sum = 0;
			for (int64_t i = top; i < bottom; i++)
				for (int64_t j = left; j < right; j++)
					sum += mask[i * wide + j];
			out[y * w + x] = (float)(sum / (double)((bottom - top) * (right - left)));
		}
	}
}
