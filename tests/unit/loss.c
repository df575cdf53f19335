/* Losses, their gradients and weights. */
#include "tests/test.h"

#include "kernels/run/loss.h"

#define SAMPLES 2
#define CHANNELS 3
#define PIXELS 4
#define EACH (CHANNELS * PIXELS)

static void fill(float *pred, float *target, float *mask)
{
	for (int i = 0; i < SAMPLES * EACH; i++) {
		pred[i] = sinf((float)i * 1.7f);
		target[i] = cosf((float)i * 0.6f);
	}
	for (int i = 0; i < SAMPLES * PIXELS; i++)
		mask[i] = (float)(i % 5) / 4;
}

static void gradients_are_slopes(void)
{
	float pred[SAMPLES * EACH], target[SAMPLES * EACH], mask[SAMPLES * PIXELS],
		grad[SAMPLES * EACH];
	const double weight[SAMPLES] = { 0.5, 2 }, c[SAMPLES] = { 0.1, 0.7 };
	struct loss_batch b = { pred, target, mask, weight, c, SAMPLES, CHANNELS, PIXELS, 0 };

	fill(pred, target, mask);
	for (int k = LOSS_L2; k <= LOSS_SMOOTH_L1; k++) {
		loss_compute((enum loss_kind)k, &b, NULL, grad);
		for (int i = 0; i < SAMPLES * EACH; i += 5) {
			float at = pred[i];
			double up, down;
			pred[i] = at + 0x1p-10f;
			up = loss_compute((enum loss_kind)k, &b, NULL, NULL);
			pred[i] = at - 0x1p-10f;
			down = loss_compute((enum loss_kind)k, &b, NULL, NULL);
			pred[i] = at;
			CHECK_NEAR(grad[i], (up - down) / 0x1p-9, 2e-4 * fabs(grad[i]) + 1e-6);
		}
	}
}

static void zero_at_the_target(void)
{
	float pred[EACH] = { 1, 2, 3 }, grad[EACH];
	const double c = 0.1;
	struct loss_batch b = { pred, pred, NULL, NULL, &c, 1, CHANNELS, PIXELS, 0 };

	for (int k = LOSS_L2; k <= LOSS_SMOOTH_L1; k++) {
		CHECK_NEAR(loss_compute((enum loss_kind)k, &b, NULL, grad), 0, 0);
		CHECK(grad[2] == 0);
	}
}

static void layouts_agree(void)
{
	float pred[SAMPLES * EACH], target[SAMPLES * EACH], mask[SAMPLES * PIXELS],
		turned[2][SAMPLES * EACH];
	struct loss_batch b = { pred, target, mask, NULL, NULL, SAMPLES, CHANNELS, PIXELS, 0 };
	double first;

	fill(pred, target, mask);
	first = loss_compute(LOSS_L2, &b, NULL, NULL);
	for (int s = 0; s < SAMPLES; s++)
		for (int c = 0; c < CHANNELS; c++)
			for (int p = 0; p < PIXELS; p++) {
				turned[0][s * EACH + p * CHANNELS + c] =
					pred[s * EACH + c * PIXELS + p];
				turned[1][s * EACH + p * CHANNELS + c] =
					target[s * EACH + c * PIXELS + p];
			}
	b.pred = turned[0];
	b.target = turned[1];
	b.channels_last = 1;
	CHECK_NEAR(loss_compute(LOSS_L2, &b, NULL, NULL), first, 1e-12);
}

static void weights(void)
{
	struct noise_table s;
	struct err e = { "" };
	struct loss_options o = { .snr_gamma = 5 };

	CHECK_OK(noise_init(&s, &noise_sd1, &e), e);
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_EPSILON, 0), 0.0042537, 1e-6);
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_V, 0), 0.00425, 1e-6);
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_EPSILON, 100), 0.591443, 1e-5);
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_V, 100), 0.528883, 1e-5);
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_EPSILON, 500), 1, 1e-12);
	o = (struct loss_options){ .debiased = 1 };
	CHECK_NEAR(loss_weight(&o, &s, PREDICT_EPSILON, 0), 1 / sqrt(1000), 1e-9);
	o = (struct loss_options){ 0 };
	CHECK(loss_weight(&o, &s, PREDICT_V, 0) == 1);
	noise_release(&s);
}

static void weights_stay_finite_at_zero_snr(void)
{
	struct noise_config c = noise_sd1;
	struct loss_options o = { .snr_gamma = 5 };
	struct noise_table s;
	struct err e = { "" };

	c.zero_snr = 1;
	CHECK_OK(noise_init(&s, &c, &e), e);
	CHECK(isfinite(loss_weight(&o, &s, PREDICT_V, 999)));
	CHECK(isfinite(loss_weight(&o, &s, PREDICT_EPSILON, 999)));
	o = (struct loss_options){ .kind = LOSS_HUBER, .huber = HUBER_SNR, .huber_c = 0.1,
				   .huber_scale = 1 };
	CHECK_NEAR(loss_huber_c(&o, &s, 999), 0.1, 1e-9);
	noise_release(&s);
}

static void prior(void)
{
	const unsigned char class_picture[3] = { 0, 1, 1 };
	double w[3] = { 1, 1, 1 };

	loss_prior_weights(w, class_picture, 3, 0.5, 0);
	CHECK(w[0] == 1 && w[1] == 0.5 && w[2] == 0.5);
	w[0] = w[1] = w[2] = 1;
	loss_prior_weights(w, class_picture, 3, 0.5, 1);
	CHECK_NEAR(w[0], 3, 1e-12);
	CHECK_NEAR(w[1], 0.75, 1e-12);
}

static void masks(void)
{
	const float mask[3 * 3] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
	float out[4];

	loss_shrink_mask(mask, 3, 3, out, 2, 2);
	CHECK_NEAR(out[0], 0.5, 1e-7);
	CHECK_NEAR(out[1], 0.25, 1e-7);
	loss_shrink_mask(mask, 3, 3, out, 1, 1);
	CHECK_NEAR(out[0], 1 / 3.0, 1e-7);
}

int main(void)
{
	TEST(gradients_are_slopes);
	TEST(zero_at_the_target);
	TEST(layouts_agree);
	TEST(weights);
	TEST(weights_stay_finite_at_zero_snr);
	TEST(prior);
	TEST(masks);
	return test_end();
}
