/*
 * Activations and the gated linear unit. Silu and gelu are written out in their builder's comment.
 */
#include "kernels/cpu/simd/exp2.h"
#include "kernels/cpu/simd/share.h"

INLINE vf gelu(vf x)
{
	return 0.5f * x * (1.0f + vf_erf(x * 0.70710678f));
}

/* Phi(x) + x phi(x) */
INLINE vf gelu_slope(vf x)
{
	return 0.5f * (1.0f + vf_erf(x * 0.70710678f)) + x * 0.39894228f * vf_exp(-0.5f * x * x);
}

/* of x s(by x): s (1 + by x (1 - s)) */
INLINE vf silu_slope(vf x, float by)
{
	vf s = sigmoid_fast(by * x);

	return s * (1.0f + by * x * (1.0f - s));
}

INLINE vf act(vf x, enum act kind)
{
	switch (kind) {
	case ACT_SILU:
		return x * sigmoid_fast(x);
	case ACT_GELU:
		return gelu(x);
	case ACT_QUICK_GELU:
		return x * sigmoid_fast(1.702f * x);
	case ACT_EXP:
		return vf_exp(x);
	case ACT_SQUARE:
		return x * x;
	case ACT_CLAMP_LOGVAR:
		return vf_min(vf_set(20), vf_max(vf_set(-30), x));
	default:
		return x;
	}
}

INLINE vf slope(vf x, enum act kind)
{
	switch (kind) {
	case ACT_SILU:
		return silu_slope(x, 1);
	case ACT_GELU:
		return gelu_slope(x);
	case ACT_QUICK_GELU:
		return silu_slope(x, 1.702f);
	case ACT_EXP:
		return vf_exp(x);
	case ACT_SQUARE:
		return 2.0f * x;
	case ACT_CLAMP_LOGVAR:
		return vf_select((x >= -30.0f) & (x <= 20.0f), vf_set(1), vf_zero());
	default:
		return vf_set(1);
	}
}

INLINE void act_span(float *y, const float *x, int64_t n, enum act kind)
{
	int64_t i = 0;

	for (; i + VF <= n; i += VF)
		vf_store(y + i, act(vf_load(x + i), kind));
	if (i < n)
		vf_store_n(y + i, act(vf_load_n(x + i, n - i), kind), n - i);
}

INLINE void act_dx_span(float *dx, const float *dy, const float *x, int64_t n, enum act kind)
{
	int64_t i = 0;

	for (; i + VF <= n; i += VF)
		vf_store(dx + i, vf_load(dy + i) * slope(vf_load(x + i), kind));
	if (i < n) {
		vf grad = vf_load_n(dy + i, n - i);
		vf_store_n(dx + i, grad * slope(vf_load_n(x + i, n - i), kind), n - i);
	}
}

/* A copy of the loop for each activation: `kind` is then a constant in it. */
#define EACH_ACT(kind, CALL) \
	switch (kind) { \
	case ACT_SILU: CALL(ACT_SILU); break; \
	case ACT_GELU: CALL(ACT_GELU); break; \
	case ACT_QUICK_GELU: CALL(ACT_QUICK_GELU); break; \
	case ACT_EXP: CALL(ACT_EXP); break; \
	case ACT_SQUARE: CALL(ACT_SQUARE); break; \
	case ACT_CLAMP_LOGVAR: CALL(ACT_CLAMP_LOGVAR); break; \
	default: CALL(ACT_NONE); break; \
	}

KERNEL(act)
{
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0);
	int64_t n = view_count(&c->in[0]);

	PAR_FOR(2 * n)
	for (int64_t at = 0; at < n; at += BLOCK) {
#define SPAN(k) act_span(y + at, x + at, min64(BLOCK, n - at), k)
		EACH_ACT(c->n->at.act.kind, SPAN)
	}
}

KERNEL(act_dx)
{
	const float *dy = in_f32(c, 0), *x = in_f32(c, 1);
	float *dx = out_f32(c, 0);
	int64_t n = view_count(&c->in[0]);

	PAR_FOR(2 * n)
	for (int64_t at = 0; at < n; at += BLOCK) {
#define SPAN_DX(k) act_dx_span(dx + at, dy + at, x + at, min64(BLOCK, n - at), k)
		EACH_ACT(c->n->at.act.kind, SPAN_DX)
	}
}

KERNEL(geglu)
{
	const float *x = in_f32(c, 0);
	float *y = out_f32(c, 0);
	int64_t d = c->out[0].dim[3], rows = view_count(&c->out[0]) / d,
		group = max64(1, BLOCK / d);

	PAR_FOR(4 * rows * d)
	for (int64_t b = 0; b < blocks_of(rows, group); b++)
		for (int64_t r = b * group; r < min64(rows, (b + 1) * group); r++) {
			const float *a = x + r * 2 * d;
			float *to = y + r * d;
			int64_t i = 0;

			for (; i + VF <= d; i += VF)
				vf_store(to + i, vf_load(a + i) * gelu(vf_load(a + d + i)));
			if (i < d) {
				vf gate = gelu(vf_load_n(a + d + i, d - i));
				vf_store_n(to + i, vf_load_n(a + i, d - i) * gate, d - i);
			}
		}
}

static void geglu_dx_row(float *dx, const float *dy, const float *x, int64_t d)
{
	for (int64_t i = 0; i < d; i += VF) {
		vf a = vf_load_n(x + i, d - i), b = vf_load_n(x + d + i, d - i),
			grad = vf_load_n(dy + i, d - i);
		vf phi = 0.5f * (1.0f + vf_erf(b * 0.70710678f));

		vf_store_n(dx + i, grad * b * phi, d - i);
		vf_store_n(dx + d + i,
			   grad * a * (phi + b * 0.39894228f * vf_exp(-0.5f * b * b)), d - i);
	}
}

KERNEL(geglu_dx)
{
	const float *dy = in_f32(c, 0), *x = in_f32(c, 1);
	float *dx = out_f32(c, 0);
	int64_t d = c->in[0].dim[3], rows = view_count(&c->in[0]) / d, group = max64(1, BLOCK / d);

	PAR_FOR(4 * rows * d)
	for (int64_t b = 0; b < blocks_of(rows, group); b++)
		for (int64_t r = b * group; r < min64(rows, (b + 1) * group); r++)
			geglu_dx_row(dx + r * 2 * d, dy + r * d, x + r * 2 * d, d);
}
