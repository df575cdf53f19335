#include "tests/golden/golden.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/run/device.h"

const char *golden_device_name(void)
{
	const char *name = getenv("BOOTH_TEST_DEVICE");

	return name && *name ? name : "cpu";
}

int golden_device(struct backend **out, struct err *e)
{
	return device_open(out, golden_device_name(), 0, e);
}

const char *golden_precision(void)
{
	const char *name = getenv("BOOTH_TEST_PRECISION");

	return name && *name ? name : "f32";
}

/*
 * Of 8 or 11 bits a network keeps fewer, and pictures after some steps fewer again: seen on the CPU are .04
 * and .056 in bf16, .004 and .0083 in fp16, where diffusers' own pictures are .059 and .0077 from its f32.
 * What computes wrongly is further off.
 */
static double narrow(const struct gcase *c)
{
	static const char *const groups[] = { "unet", "vae", "text", "pipeline" };
	const char *p = golden_precision();
	double allowed = !strcmp(p, "bf16") ? .06 : .008;

	if (!strcmp(p, "f32"))
		return 0;
	for (int i = 0; i < 4; i++)
		if (!strcmp(c->group, groups[i]))
			return i == 3 ? 2 * allowed : allowed;
	return 0;
}

int golden_has(const struct gcase *c, const char *name)
{
	return safetensors_find(&c->file, name) != NULL;
}

int golden_tensor(struct gcase *c, const char *name, struct tensor *t, struct err *e)
{
	const struct tensor *from = safetensors_find(&c->file, name);

	memset(t, 0, sizeof *t);
	if (!from)
		return fail(e, "the case has no tensor '%s'", name);
	*t = *from;
	t->own = NULL;
	return tensor_to_f32(t, e);
}

static const struct json *member(const struct gcase *c, const char *key)
{
	const struct json *v = json_get(c->doc, key);

	return v ? v : json_get(json_get(c->doc, "args"), key);
}

double golden_number(const struct gcase *c, const char *key, double otherwise)
{
	return json_float(member(c, key), otherwise);
}

const char *golden_word(const struct gcase *c, const char *key, const char *otherwise)
{
	return json_text(member(c, key), otherwise);
}

/* The worst is the one that comes nearest to its tolerance, or exceeds it most. */
static void note(struct gcase *c, const char *name, double error, double rtol)
{
	c->compared++;
	if (!(error <= rtol))
		c->over = 1;
	if (c->compared > 1 && !(error * c->worst_of > c->worst * rtol) && !isnan(error))
		return;
	c->worst = error;
	c->worst_of = rtol;
	snprintf(c->worst_at, sizeof c->worst_at, "%s", name);
}

/* Largest |x - ref| relative to the largest |ref|; equal infinities and NaN on both sides agree. */
static double error_of(const float *x, int64_t step, const float *ref, int64_t n, double floor)
{
	double diff = 0, top = floor > 0 ? floor : 0;

	for (int64_t i = 0; i < n; i++) {
		double a = x[i * step], b = ref[i];
		if (isfinite(b) && fabs(b) > top)
			top = fabs(b);
		if (a == b || (isnan(a) && isnan(b)))
			continue;
		if (!(fabs(a - b) <= diff))
			diff = isfinite(a - b) ? fabs(a - b) : INFINITY;
	}
	if (diff == 0)
		return 0;
	return top > 0 ? diff / top : INFINITY;
}

static double tolerance(const struct gcase *c, double rtol)
{
	return fmax(rtol < 0 ? golden_number(c, "rtol", 0) : rtol, narrow(c));
}

int golden_compare(struct gcase *c, const char *name, const float *x, int64_t n, double rtol,
		   double floor, struct err *e)
{
	struct tensor t;

	if (golden_tensor(c, name, &t, e) < 0)
		return -1;
	if (tensor_count(&t) != n) {
		char shape[96];
		fail(e, "'%s' is recorded as %s, computed were %lld values", name,
		     tensor_shape_text(&t, shape), (long long)n);
		tensor_release(&t);
		return -1;
	}
	note(c, name, error_of(x, 1, t.at, n, floor), tolerance(c, rtol));
	tensor_release(&t);
	return 0;
}

static int compare_sample(struct gcase *c, const char *name, const float *x, int64_t n, double rtol,
			  double floor, struct err *e)
{
	int64_t stride = (n + 1023) / 1024;
	struct tensor t;

	if (golden_tensor(c, name, &t, e) < 0)
		return -1;
	if (!stride || tensor_count(&t) != (n + stride - 1) / stride) {
		fail(e, "'%s' has %lld values, a sample of %lld has another number", name,
		     (long long)tensor_count(&t), (long long)n);
		tensor_release(&t);
		return -1;
	}
	note(c, name, error_of(x, stride, t.at, tensor_count(&t), floor), tolerance(c, rtol));
	tensor_release(&t);
	return 0;
}

static int compare_norm(struct gcase *c, const char *name, const float *x, int64_t n, double rtol,
			double floor, struct err *e)
{
	double sum = 0;
	float norm;

	for (int64_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	norm = (float)sqrt(sum);
	return golden_compare(c, name, &norm, 1, rtol, floor, e);
}

int golden_compare_weight(struct gcase *c, const char *role, const char *weight, const float *x,
			  int64_t n, double rtol, double floor, struct err *e)
{
	char *whole = xasprintf("%s.%s", role, weight);
	char *sample = xasprintf("%s_sample.%s", role, weight);
	char *norm = xasprintf("%s_norm.%s", role, weight);
	int ret;

	if (golden_has(c, whole) || !golden_has(c, sample)) {
		ret = golden_compare(c, whole, x, n, rtol, floor, e);
	} else {
		ret = compare_sample(c, sample, x, n, rtol, floor, e);
		if (!ret && golden_has(c, norm))
			ret = compare_norm(c, norm, x, n, rtol, floor * sqrt((double)n), e);
	}
	free(whole);
	free(sample);
	free(norm);
	return ret;
}

void golden_row(const char *path, int row, const char *fmt, ...)
{
	static const char *last;
	static int told;
	va_list ap;

	told = last == path ? told + 1 : 1;
	last = path;
	if (told > 5)
		return;
	printf("# %s: row %d: ", path, row);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}
