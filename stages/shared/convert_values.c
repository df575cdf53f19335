#include <math.h>
#include <string.h>

#include "stages/shared/convert.h"

#define CHUNK 4096

/* The smallest number that is rounded to infinity. */
static float too_large(enum dtype type)
{
	return type == DT_F16 ? 65520.0f : type == DT_BF16 ? 0x1.ffp127f : INFINITY;
}

static const char *lower_name(enum dtype type)
{
	return type == DT_F16 ? "f16" : type == DT_BF16 ? "bf16" : "f32";
}

static int value_unfit(const char *name, int64_t at, float v, enum dtype type, struct err *e)
{
	if (!isfinite(v))
		return fail(e, "weight '%s' is not finite: element %lld is %g", name, (long long)at, (double)v);
	return fail(e, "weight '%s' does not fit into %s: element %lld is %g, the largest number is %g; use --dtype %s",
		    name, lower_name(type), (long long)at, (double)v,
		    type == DT_F16 ? 65504.0 : 0x1.fep127, type == DT_F16 ? "bf16 or f32" : "f32");
}

int values_fit(const char *name, const struct tensor *t, enum dtype type, struct err *e)
{
	int64_t n = tensor_count(t);
	float limit = too_large(type), v[CHUNK];

	if (!dtype_is_float(t->type))
		return fail(e, "weight '%s' is %s, not a floating-point number", name, dtype_name(t->type));
	for (int64_t at = 0; at < n; at += CHUNK) {
		int64_t m = n - at < CHUNK ? n - at : CHUNK;

		row_to_f32(v, (const char *)t->at + (size_t)at * dtype_size(t->type), t->type, m);
		for (int64_t i = 0; i < m; i++)
			if (!(fabsf(v[i]) < limit))
				return value_unfit(name, at + i, v[i], type, e);
	}
	return 0;
}

int values_same(const char *name, const struct tensor *want, const struct tensor *got,
		enum dtype type, struct err *e)
{
	struct tensor x = *want;
	char a[96], b[96];
	int ret = 0;

	x.own = NULL;
	if (got->type != type || got->rank != want->rank ||
	    memcmp(got->side, want->side, (size_t)want->rank * sizeof *want->side))
		return fail(e, "read back, weight '%s' is %s %s, not %s %s", name, dtype_name(got->type),
			    tensor_shape_text(got, a), dtype_name(type),
			    tensor_shape_text(want, b));
	if (x.type != type && tensor_convert(&x, type, e) < 0)
		return -1;
	if (memcmp(x.at, got->at, (size_t)tensor_bytes(&x)))
		ret = fail(e, "read back, weight '%s' has other values than were written: is the disk in order?", name);
	tensor_release(&x);
	return ret;
}

enum dtype values_widest(enum dtype a, enum dtype b)
{
	if (a == DT_NONE || a == b)
		return b == DT_F16 || b == DT_BF16 ? b : DT_F32;
	return DT_F32;
}
