/* Samplers: with a network that knows the picture every one of them must arrive at it. */
#include "tests/test.h"

#include "common/base/rng.h"
#include "kernels/run/guidance.h"
#include "kernels/run/sampler_parts.h"

#define SAMPLES 2
#define EACH 40
#define ALL (SAMPLES * EACH)

static void draw(void *who, int i, float *out, int64_t n)
{
	struct rng r = rng_stream(5, "test", (uint32_t)i, 0);

	(void)who;
	rng_normal(&r, out, n);
}

static const struct sampler_noise noise = { draw, NULL };

static void picture(float *x)
{
	struct rng r = rng_stream(6, "picture", 0, 0);

	rng_normal(&r, x, ALL);
	for (int i = 0; i < ALL; i++)
		x[i] *= 0.4f;
}

/* What a perfect network says at call i: in = sqrt(a) x0 + sqrt(1 - a) noise. */
static void perfect(const struct sampler *s, int i, const float *in, const float *x0, float *out)
{
	double a, keep, add;

	if (sampler_by_time(s->c.kind)) {
		a = s->table.a[(int)s->time[i]];
	} else {
		double sigma = sampler_sigma(s, i);
		a = 1 / (sigma * sigma + 1);
	}
	keep = sqrt(a);
	add = sqrt(1 - a);
	for (int k = 0; k < ALL; k++) {
		double epsilon = (in[k] - keep * x0[k]) / add;
		out[k] = (float)(s->c.noise.predict == PREDICT_V ?
				 keep * epsilon - add * x0[k] : epsilon);
	}
}

static void run(struct sampler *s, const float *x0, float *x)
{
	float in[ALL], out[ALL];

	for (int i = s->first; i < s->count; i++) {
		sampler_scale_input(s, i, x, in);
		perfect(s, i, in, x0, out);
		sampler_step(s, i, out, NULL, x, &noise);
	}
}

/* Largest difference from the picture after `steps` steps from pure noise. */
static double arrive(const char *name, enum prediction p, int steps, double eta)
{
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };
	float x0[ALL], x[ALL];
	double worst = 0;

	CHECK_OK(sampler_configure(&c, NULL, name, &e), e);
	c.noise.predict = p;
	c.eta = eta;
	CHECK_OK(sampler_init(&s, &c, steps, SAMPLES, EACH, &e), e);
	picture(x0);
	draw(NULL, 1000, x, ALL);
	for (int i = 0; i < ALL; i++)
		x[i] *= s.init_sigma;
	run(&s, x0, x);
	for (int i = 0; i < ALL; i++)
		worst = fmax(worst, fabs(x[i] - x0[i]));
	sampler_release(&s);
	return worst;
}

static void every_sampler_arrives(void)
{
	int n = 0;

	for (const char *name; (name = sampler_name(n)) != NULL; n++) {
		for (int steps = 1; steps <= 17; steps += 8) {
			for (int p = PREDICT_EPSILON; p <= PREDICT_V; p++) {
				/*
				 * Those that end at a[0] keep its noise, PNDM's last output is
				 * extrapolated too, and their only step of one is at timestep 1,
				 * where nothing is left to remove.
				 */
				int near = strstr("ddim pndm plms DDIMScheduler PNDMScheduler", name) != NULL;
				double worst = arrive(name, (enum prediction)p, steps, 0);
				if (near && steps == 1)
					continue;
				if (!(worst < (near ? 0.25 : 1e-4))) {
					printf("# %s, %d steps, %s: %g\n", name, steps,
					       prediction_name((enum prediction)p), worst);
					CHECK(!"arrives");
				}
			}
		}
	}
	CHECK_INT(n, 46);
	CHECK(sampler_name(-1) == NULL);
	CHECK(arrive("ddim", PREDICT_EPSILON, 20, 1) < 0.2);
}

static void names_have_aliases(void)
{
	static const char *const same[][2] = {
		{ "Euler a", "euler_a" }, { "EULER-A", "k_euler_a" }, { "DPM++ 2M Karras", "dpm++_2m_karras" },
		{ "PLMS", "PNDMScheduler" }, { "dpm_2_a", "KDPM2AncestralDiscreteScheduler" },
		{ "dpmsolver++", "DPMSolverMultistepScheduler" },
	};
	struct sampler_config a, b;
	struct err e = { "" };

	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		CHECK_OK(sampler_configure(&a, NULL, same[i][0], &e), e);
		CHECK_OK(sampler_configure(&b, NULL, same[i][1], &e), e);
		CHECK(a.kind == b.kind && a.spread == b.spread && a.spacing == b.spacing);
	}
	CHECK(sampler_configure(&a, NULL, "euler_", &e) < 0);
	CHECK(sampler_configure(&a, NULL, "dpm fast", &e) < 0);
	CHECK(strstr(e.text, "'dpm fast'") != NULL);
}

static void times_are(const char *name, int steps, const int *want, int n)
{
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };

	CHECK_OK(sampler_configure(&c, NULL, name, &e), e);
	CHECK_OK(sampler_init(&s, &c, steps, 1, 1, &e), e);
	CHECK(s.count >= n);
	for (int i = 0; i < n && i < s.count; i++)
		CHECK_NEAR(sampler_timestep(&s, i), want[i], 1e-3);
	sampler_release(&s);
}

static void known_timesteps(void)
{
	static const int ddim[] = { 981, 961, 941 }, pndm[] = { 981, 961, 961, 941 };
	static const int dpm[] = { 999, 959, 919, 879, 839, 799, 759, 719, 679, 639, 599, 559,
				   519, 480, 440 };

	times_are("ddim", 50, ddim, 3);
	times_are("pndm", 50, pndm, 4);
	times_are("dpm++ 2m", 25, dpm, 15);
}

static void karras_sigmas(void)
{
	static const double want[] = { 14.61464, 11.72536, 9.34020, 7.38362, 5.78941 };
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };

	CHECK_OK(sampler_configure(&c, NULL, "DPM++ 2M Karras", &e), e);
	CHECK_OK(sampler_init(&s, &c, 20, 1, 1, &e), e);
	for (int i = 0; i < 5; i++)
		CHECK_NEAR(s.sigma[i], want[i], 1e-4);
	CHECK_NEAR(s.sigma[19], 0.02917, 1e-5);
	CHECK(s.sigma[20] == 0);
	CHECK_NEAR(s.time[1], 962, 0);
	sampler_release(&s);
}

/* From its fourth step on LMS integrates cubic slopes exactly. */
static void lms_is_exact_for_cubics(void)
{
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };
	float x = 0;

	CHECK_OK(sampler_configure(&c, NULL, "lms", &e), e);
	CHECK_OK(sampler_init(&s, &c, 8, 1, 1, &e), e);
	for (int i = 0; i < s.count; i++) {
		double from = s.sigma[i], to = s.sigma[i + 1], before = x;
		float slope = (float)(from * from * from / 100);
		sampler_step(&s, i, &slope, NULL, &x, NULL);
		if (i >= 3)
			CHECK_NEAR(x - before, (pow(to, 4) - pow(from, 4)) / 400, 1e-4);
	}
	sampler_release(&s);
}

static int first_of(const char *name, int steps, double strength, int *count)
{
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };
	int first;

	CHECK_OK(sampler_configure(&c, NULL, name, &e), e);
	CHECK_OK(sampler_init(&s, &c, steps, 1, 1, &e), e);
	first = sampler_set_strength(&s, strength);
	*count = s.count;
	sampler_release(&s);
	return first;
}

static void starting_from_a_picture(void)
{
	int count;

	CHECK_INT(first_of("ddim", 50, 0.8, &count), 10);
	CHECK_INT(first_of("ddim", 50, 0.58, &count), 22);
	CHECK_INT(first_of("heun", 50, 0.8, &count), 20);
	CHECK_INT(count, 99);
	CHECK_INT(first_of("ddim", 10, 0.05, &count), count);
	CHECK_INT(first_of("heun", 10, 0.05, &count), count);
	CHECK_INT(first_of("euler", 20, 1, &count), 0);
	CHECK_INT(first_of("euler", 20, 7, &count), 0);
	CHECK_INT(first_of("euler", 20, -1, &count), 20);
}

/* The same steps again give the same picture, and a picture that starts half-way arrives too. */
static void restarts(void)
{
	static const char *const names[] = { "lms", "unipc", "dpm++ 2m", "heun", "dpm++ 2s", "pndm" };
	float x0[ALL], start[ALL], a[ALL], b[ALL];
	struct sampler_config c;
	struct err e = { "" };

	picture(x0);
	for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
		struct sampler s = { 0 };
		CHECK_OK(sampler_configure(&c, NULL, names[k], &e), e);
		CHECK_OK(sampler_init(&s, &c, 12, SAMPLES, EACH, &e), e);
		sampler_set_strength(&s, 0.6);
		draw(NULL, 77, start, ALL);
		sampler_noise(&s, s.first, x0, start, a, ALL);
		memcpy(b, a, sizeof b);
		run(&s, x0, a);
		sampler_restart(&s);
		run(&s, x0, b);
		CHECK(memcmp(a, b, sizeof a) == 0);
		CHECK_NEAR(a[3], x0[3], strcmp(names[k], "pndm") ? 1e-4 : 0.2);
		sampler_release(&s);
	}
}

static void zero_snr_for_all(void)
{
	static const char *const names[] = { "ddpm", "ddim", "pndm", "lms", "euler_a", "heun", "dpm_2", "dpm++ 2m karras", "unipc" };
	float x0[ALL], x[ALL];
	struct sampler_config c;
	struct err e = { "" };

	picture(x0);
	for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
		struct sampler s = { 0 };
		CHECK_OK(sampler_configure(&c, NULL, names[k], &e), e);
		c.noise.zero_snr = 1;
		c.noise.predict = PREDICT_V;
		c.spacing = SPACING_TRAILING;
		CHECK_OK(sampler_init(&s, &c, 8, SAMPLES, EACH, &e), e);
		CHECK(s.time[0] == 999);
		draw(NULL, 77, x, ALL);
		for (int i = 0; i < ALL; i++)
			x[i] *= s.init_sigma;
		run(&s, x0, x);
		for (int i = 0; i < ALL; i++)
			CHECK(isfinite(x[i]));
		sampler_release(&s);
	}
	CHECK_OK(sampler_configure(&c, NULL, "ddim", &e), e);
	c.noise.zero_snr = 1;
	{
		struct sampler s = { 0 };
		CHECK(sampler_init(&s, &c, 8, 1, 1, &e) < 0);
	}
}

static void bad_steps(void)
{
	static const int list[] = { 900, 500, 500 };
	struct sampler_config c;
	struct sampler s = { 0 };
	struct err e = { "" };

	CHECK_OK(sampler_configure(&c, NULL, "ddpm", &e), e);
	CHECK(sampler_init(&s, &c, 0, 1, 1, &e) < 0);
	CHECK(sampler_init(&s, &c, 1001, 1, 1, &e) < 0);
	CHECK(strstr(e.text, "1001") != NULL);
	CHECK(sampler_init_list(&s, &c, list, 3, 1, 1, &e) < 0);
	CHECK(sampler_init_list(&s, &c, list, 2, 1, 1, &e) == 0);
	sampler_release(&s);
	CHECK(sampler_init(&s, &c, 10, 1LL << 40, 1LL << 40, &e) < 0);
	CHECK(sampler_init(&s, &c, 1000, 1, 1, &e) == 0);
	CHECK(s.time[0] <= 999);
	sampler_release(&s);
	sampler_release(&s);
}

static int file_works(const char *text, const char *name, struct err *e)
{
	struct sampler_config c;
	struct json *j = NULL;
	int ret = json_parse(&j, text, strlen(text), "test", e);

	if (ret == 0)
		ret = sampler_configure(&c, j, name, e);
	json_free(j);
	return ret;
}

static void options_of_files(void)
{
	struct err e = { "" };

	CHECK_OK(file_works("{\"_class_name\":\"EulerDiscreteScheduler\"}", NULL, &e), e);
	CHECK(file_works("{\"_class_name\":\"FlowMatchEulerDiscreteScheduler\"}", NULL, &e) < 0);
	CHECK(file_works("{}", NULL, &e) < 0);
	CHECK(file_works("{\"use_beta_sigmas\":true}", "euler", &e) < 0);
	CHECK(file_works("{\"timestep_spacing\":\"odd\"}", "euler", &e) < 0);
	CHECK(file_works("{\"skip_prk_steps\":false}", "pndm", &e) < 0);
	CHECK(file_works("{\"algorithm_type\":\"dpmsolver\"}", "DPMSolverMultistepScheduler", &e) < 0);
	CHECK_OK(file_works("{\"algorithm_type\":\"dpmsolver\"}", "DPM++ 2M", &e), e);
	CHECK(file_works("{\"solver_order\":4}", "unipc", &e) < 0);
	CHECK(file_works("{\"steps_offset\":-1}", "ddim", &e) < 0);
	CHECK(file_works("{\"variance_type\":\"learned\"}", "ddpm", &e) < 0);
}

/* The 0.5 quantile of |x| = 1, 2, 3, 4 is 2.5; x is cut there and divided. */
static void thresholding(void)
{
	struct sampler s = { .samples = 1, .each = 4 };
	float x[4] = { -4, 1, 2, 3 }, sorted[4];

	s.c.threshold = 1;
	s.c.threshold_ratio = 0.5;
	s.c.threshold_max = 10;
	s.sorted = sorted;
	sampler_limit(&s, x);
	CHECK_NEAR(x[0], -1, 1e-6);
	CHECK_NEAR(x[1], 0.4, 1e-6);
	CHECK_NEAR(x[3], 1, 1e-6);
	s.c.threshold_max = 1;
	sampler_limit(&s, x);
	CHECK_NEAR(x[1], 0.4, 1e-6);
}

static void guidance(void)
{
	float without[3] = { 0, 1, 2 }, with[3] = { 1, 1, 1 }, out[3];
	float ramp[4] = { 1, 2, 3, 4 }, wide[4] = { 2, 4, 6, 8 };

	guide(without, with, 2, out, 3);
	CHECK(out[0] == 2 && out[1] == 1 && out[2] == 0);
	guide_rescale(wide, ramp, 1, 1, 4);
	for (int i = 0; i < 4; i++)
		CHECK_NEAR(wide[i], ramp[i], 1e-6);
	guide_rescale(with, without, 1, 1, 3);
	CHECK(with[0] == 1);
}

int main(void)
{
	TEST(every_sampler_arrives);
	TEST(names_have_aliases);
	TEST(known_timesteps);
	TEST(karras_sigmas);
	TEST(lms_is_exact_for_cubics);
	TEST(starting_from_a_picture);
	TEST(restarts);
	TEST(zero_snr_for_all);
	TEST(bad_steps);
	TEST(options_of_files);
	TEST(thresholding);
	TEST(guidance);
	return test_end();
}
