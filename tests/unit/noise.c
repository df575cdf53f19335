/* Noise schedules, forward noise, shaped noise. */
#include "tests/test.h"

#include "common/base/mem.h"
#include "kernels/run/noise.h"
#include "kernels/run/noise_extra.h"

static struct noise_table table_of(const struct noise_config *c)
{
	struct noise_table s;
	struct err e = { "" };

	CHECK_OK(noise_init(&s, c, &e), e);
	return s;
}

static void known_levels(void)
{
	struct noise_table s = table_of(&noise_sd1);

	CHECK_INT(s.n, 1000);
	CHECK_NEAR(s.a[0], 0.99915, 1e-7);
	CHECK_NEAR(s.a[100], 0.894223154, 1e-8);
	CHECK_NEAR(s.a[500], 0.276332468, 1e-8);
	CHECK_NEAR(s.a[999], 0.00466009509, 1e-11);
	CHECK_NEAR(noise_sigma(&s, 0), 0.02916716, 1e-6);
	CHECK_NEAR(noise_sigma(&s, 999), 14.61464, 1e-4);
	CHECK_NEAR(noise_snr(&s, 500), 0.38185, 1e-5);
	noise_release(&s);
	noise_release(&s);
}

static void cosine_levels(void)
{
	struct noise_config c = { .n = 1000, .schedule = BETA_COSINE };
	struct noise_table s = table_of(&c);

	CHECK_NEAR(s.a[0], 0.999958716, 1e-7);
	CHECK_NEAR(s.a[500], 0.492285172, 1e-6);
	CHECK_NEAR(s.beta[999], 0.999, 1e-7);
	noise_release(&s);
}

static void zero_snr_ends_in_pure_noise(void)
{
	struct noise_config c = noise_sd1;
	struct noise_table plain = table_of(&c), s;

	c.zero_snr = 1;
	s = table_of(&c);
	CHECK(s.a[999] == 0);
	CHECK(s.a[998] > 0);
	CHECK_NEAR(s.a[0], plain.a[0], 1e-6);
	CHECK_NEAR(s.a[500], 0.241018783, 1e-6);
	CHECK(noise_snr(&s, 999) == 0);
	CHECK(isinf(noise_sigma(&s, 999)));
	for (int t = 1; t < 1000; t++)
		CHECK(s.a[t] < s.a[t - 1]);
	noise_release(&s);
	noise_release(&plain);
}

/* x = sqrt(a) x_t - sqrt(1 - a) velocity: the two are a rotation. */
static void velocity_undoes_noise(void)
{
	struct noise_table s = table_of(&noise_sd1);
	const float x[3] = { 1, -0.5f, 0.25f }, n[3] = { 0.3f, 2, -1 };
	float noisy[3], v[3];

	for (int t = 0; t < 1000; t += 111) {
		noise_add(&s, t, x, n, noisy, 3);
		noise_target(&s, PREDICT_V, t, x, n, v, 3);
		for (int i = 0; i < 3; i++)
			CHECK_NEAR(sqrt(s.a[t]) * noisy[i] - sqrt(1 - s.a[t]) * v[i], x[i], 1e-6);
	}
	noise_target(&s, PREDICT_EPSILON, 5, x, n, v, 3);
	CHECK(v[1] == 2);
	noise_target(&s, PREDICT_SAMPLE, 5, x, n, v, 3);
	CHECK(v[1] == -0.5f);
	noise_release(&s);
}

/* In bf16 the first levels round to 1. */
static void bf16_loses_the_first_noise(void)
{
	struct noise_table s = table_of(&noise_sd1);
	const float x[2] = { 1, -0.5f }, n[2] = { 1, 1 };
	float noisy[2];

	noise_add_as(&s, DT_BF16, 1, x, n, noisy, 2);
	CHECK(noisy[0] == 1 && noisy[1] == -0.5f);
	noise_add_as(&s, DT_BF16, 500, x, n, noisy, 2);
	CHECK_NEAR(noisy[0], sqrt(0.276332684) + sqrt(1 - 0.276332684), 1e-2);
	noise_release(&s);
}

static int config_of(const char *text, struct err *e)
{
	struct noise_config c;
	struct json *j = NULL;
	int ret = json_parse(&j, text, strlen(text), "test", e);

	if (ret == 0)
		ret = noise_config_read(&c, j, e);
	json_free(j);
	return ret;
}

static void bad_configs(void)
{
	struct err e = { "" };

	CHECK(config_of("{}", &e) == 0);
	CHECK(config_of("{\"beta_schedule\":\"sigmoid\"}", &e) < 0);
	CHECK(strstr(e.text, "'sigmoid'") != NULL);
	CHECK(config_of("{\"prediction_type\":\"flow_prediction\"}", &e) < 0);
	CHECK(config_of("{\"trained_betas\":[0.1,0.2]}", &e) < 0);
	CHECK(config_of("{\"num_train_timesteps\":1}", &e) < 0);
	CHECK(config_of("{\"num_train_timesteps\":9000000000}", &e) < 0);
	CHECK(config_of("{\"beta_start\":0}", &e) < 0);
	CHECK(config_of("{\"beta_end\":1.5}", &e) < 0);
}

#define N 2
#define C 3
#define H 8
#define W 6

static void shaped(float *noise, int last, uint32_t step)
{
	struct noise_options o = { .offset = 0.1, .offset_random = 1, .adaptive = 0.5,
				   .multires = 4, .multires_discount = 0.3 };
	struct noise_shape p = { N, C, H, W, last };
	struct noise_draws d = { .seed = 7, .step = step };
	struct noise_source from = noise_source(&d);
	float latents[N * C * H * W], scratch[N * C * H * W];

	for (int i = 0; i < N * C * H * W; i++)
		latents[i] = 1;
	memset(noise, 0, sizeof latents);
	noise_shape_up(&o, &p, latents, noise, scratch, &from);
}

static void shaped_noise_is_a_function_of_the_step(void)
{
	static float a[N * C * H * W], b[N * C * H * W];
	double squares = 0, sum = 0;
	int n = N * C * H * W;

	shaped(a, 0, 3);
	shaped(b, 0, 3);
	CHECK(memcmp(a, b, sizeof a) == 0);
	shaped(b, 0, 4);
	CHECK(memcmp(a, b, sizeof a) != 0);
	for (int i = 0; i < n; i++) {
		sum += a[i];
		squares += (double)a[i] * a[i];
	}
	CHECK_NEAR((squares - sum * sum / n) / (n - 1), 1, 1e-4);
	shaped(b, 1, 3);
	CHECK(memcmp(a, b, sizeof a) != 0);
}

/* An offset moves a whole channel by the same amount, whatever the layout. */
static void offset_is_flat(void)
{
	struct noise_options o = { .offset = 0.1 };
	struct noise_draws d[2] = { { .seed = 7 }, { .seed = 7 } };
	float first[N * C * H * W] = { 0 }, last[N * C * H * W] = { 0 }, scratch[N * C * H * W];
	struct noise_shape p = { N, C, H, W, 0 };
	struct noise_source from = noise_source(&d[0]);

	noise_shape_up(&o, &p, NULL, first, scratch, &from);
	p.channels_last = 1;
	from = noise_source(&d[1]);
	noise_shape_up(&o, &p, NULL, last, scratch, &from);
	for (int n = 0; n < N; n++)
		for (int c = 0; c < C; c++)
			for (int i = 0; i < H * W; i++) {
				CHECK(first[(n * C + c) * H * W + i] == first[(n * C + c) * H * W]);
				CHECK(last[(n * H * W + i) * C + c] == first[(n * C + c) * H * W]);
			}
	CHECK(first[0] != 0);
}

static void perturbation(void)
{
	struct noise_options o = { .ip_gamma = 0 };
	struct noise_draws d = { .seed = 7 };
	struct noise_source from = noise_source(&d);
	const float noise[4] = { 1, 2, 3, 4 };
	float out[4];

	noise_perturb(&o, noise, out, 4, &from);
	CHECK(memcmp(noise, out, sizeof out) == 0);
	CHECK_INT(d.at, 0);
	o.ip_gamma = 0.1;
	noise_perturb(&o, noise, out, 4, &from);
	CHECK(out[0] != 1 && fabs(out[0] - 1) < 1);
}

int main(void)
{
	TEST(known_levels);
	TEST(cosine_levels);
	TEST(zero_snr_ends_in_pure_noise);
	TEST(velocity_undoes_noise);
	TEST(bf16_loses_the_first_noise);
	TEST(bad_configs);
	TEST(shaped_noise_is_a_function_of_the_step);
	TEST(offset_is_flat);
	TEST(perturbation);
	return test_end();
}
