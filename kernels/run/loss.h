/*
 * What a training step minimises: for each sample the mean over its elements of a distance between
 * the network's output and its target (times a mask), times the sample's weight; then the mean over
 * the batch.
 *
 *	l2         d^2                            l1          |d|
 *	huber      2 c (sqrt(d^2 + c^2) - c)      smooth l1   2 (sqrt(d^2 + c^2) - c)
 *
 * A weight depends on the sample's timestep and on whether it is a class picture (prior
 * preservation), never on values, so it can be computed before the network runs.
 */
#ifndef RUN_LOSS_H
#define RUN_LOSS_H

#include "kernels/run/noise.h"

enum loss_kind { LOSS_L2, LOSS_L1, LOSS_HUBER, LOSS_SMOOTH_L1 };
enum huber_schedule { HUBER_CONSTANT, HUBER_EXPONENTIAL, HUBER_SNR };

struct loss_options {                   /* {0} is the plain mean squared error */
	enum loss_kind kind;
	enum huber_schedule huber;
	double huber_c, huber_scale;    /* 0.1, 1 */
	double snr_gamma;               /* min-SNR weighting; 0: none, 5 is usual */
	int snr_plus_one;               /* v: min(snr, gamma) / snr + 1,
					 * as one script of diffusers */
	int scale_v;                    /* v: snr / (snr + 1), the size
					 * of a noise prediction's loss */
	double v_pred_like;             /* epsilon: add that part of a
					 * v prediction's loss; 0: none */
	int debiased;                   /* 1 / sqrt(snr); v: 1 / (snr + 1) */
};

/* "l2", ... and "constant", ...; -1: unknown. */
int loss_kind_of_name(const char *name, enum loss_kind *out, struct err *e);
int huber_schedule_of_name(const char *name, enum huber_schedule *out, struct err *e);

/*
 * The product of the weights asked for at timestep t. min-SNR is min(snr, gamma) / snr, for v over
 * snr + 1. The others use an SNR of at most 1000. `s` is the schedule before a rescaling to zero
 * terminal SNR, as in kohya's trainers: weights would be infinite or zero at its end.
 */
double loss_weight(const struct loss_options *o, const struct noise_table *s, enum prediction p,
		   int t);

/* c of huber and smooth l1. `s` is the schedule in force. 1 for the other kinds. */
double loss_huber_c(const struct loss_options *o, const struct noise_table *s, int t);

/*
 * Weights of `n` samples of which class_picture[i] != 0 are for prior preservation, to be
 * multiplied into w[n]. With own_means each of the two kinds has a mean of its own and they are
 * added, as in diffusers' scripts (for a batch of halves twice kohya's); without, class pictures
 * get `prior` and the mean is the batch's.
 */
void loss_prior_weights(double *w, const unsigned char *class_picture, int64_t n, double prior,
			int own_means);

struct loss_batch {
	const float *pred, *target;     /* [samples][channels][pixels], or channels last */
	const float *mask;              /* [samples][pixels], or NULL */
	const double *weight;           /* [samples], or NULL: 1 */
	const double *huber_c;          /* [samples]; for huber and smooth l1 */
	int64_t samples, channels, pixels;
	int channels_last;
};

/*
 * The loss. per_sample[samples] gets the means before the weights, grad (like pred) d loss / d
 * pred; either may be NULL. Sums are in f64, in the order of the elements.
 */
double loss_compute(enum loss_kind k, const struct loss_batch *b, double *per_sample, float *grad);

/*
 * Shrink a mask by area: cell i of h covers rows floor(i H / h) up to ceil((i + 1) H / h), and the
 * same across. It is not normalised by its sum: a sample with a small mask has a small loss.
 */
void loss_shrink_mask(const float *mask, int64_t high, int64_t wide, float *out, int64_t h,
		      int64_t w);

#endif
