/*
 * Noise schedules: betas and alphas_cumprod to the last bit, where the reference's own rounding is
 * known.
 */
#include "tests/golden/golden.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/noise.h"

static int check_table(struct gcase *c, const struct noise_table *s, const char *name,
		       const float *x, struct err *e)
{
	const char *exact = golden_word(c, "exact", "no");

	return golden_compare(c, name, x, s->n, strncmp(exact, "no", 2) ? 0 : -1, 0, e);
}

/* The sigma samplers put 2^-24 where a is 0. */
static void by_timestep(const struct noise_table *s, float *snr, float *sigma)
{
	for (int t = 0; t < s->n; t++) {
		snr[t] = (float)noise_snr(s, t);
		sigma[t] = s->a[t] > 0 ? (float)noise_sigma(s, t) : 4096.0f;
	}
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	struct noise_table s = { 0 };
	struct noise_config k;
	float *snr = NULL, *sigma = NULL;
	int ret = -1;

	*v = GOLDEN_CHECKED;
	if (noise_config_read(&k, json_get(c->doc, "args"), e) < 0 || noise_init(&s, &k, e) < 0)
		return -1;
	snr = xcalloc((size_t)s.n, sizeof *snr);
	sigma = xcalloc((size_t)s.n, sizeof *sigma);
	by_timestep(&s, snr, sigma);
	if (check_table(c, &s, "out.betas", s.beta, e) < 0 || check_table(c, &s, "out.alphas_cumprod", s.a, e) < 0 ||
	    golden_compare(c, "out.snr", snr, s.n, -1, 0, e) < 0 ||
	    golden_compare(c, "out.sigmas", sigma, s.n, -1, 0, e) < 0)
		goto out;
	ret = 0;
out:
	free(snr);
	free(sigma);
	noise_release(&s);
	return ret;
}

const struct golden_group golden_schedule = { .name = "schedule", .check = check };
