/*
 * Vectors of floats, as wide as the instruction set has them. This file is the only place that
 * knows the width; kernels are written against it and compiled once for each set.
 *
 *	vf      VF floats; + - * / and comparisons (giving vi, all bits of a lane set where true)
 *	vi      VF 32-bit integers; & | ^ ~ + - << >>
 *
 * Addresses need no alignment. The functions ending in _n touch only the first n lanes of memory
 * (0 <= n; n >= VF means all); other lanes load as 0. A loop over any length is
 *
 *	for (int64_t i = 0; i < n; i += VF)
 *		vf_store_n(y + i, f(vf_load_n(x + i, n - i)), n - i);
 *
 * (a loop over whole vectors followed by one tail is faster where n is long). a * b + c becomes a
 * fused multiply-add where the set has one. NaN: vf_max and vf_min give b if either side is NaN.
 */
#ifndef CPU_SIMD_VEC_H
#define CPU_SIMD_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(ISA_avx512) || defined(ISA_avx2)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline, unused))

/* Unroll the loop that follows completely; its trip count is a constant below 33. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 33")
#endif

/* The compiler takes x for changed here: it stays in a register, nothing about it is known. */
#if defined(__x86_64__)
#define KEEP(x) __asm__ volatile("" : "+v"(x))
#else
#define KEEP(x) ((void)0)
#endif

#if defined(ISA_avx512)
#define VF 16
#elif defined(ISA_avx2)
#define VF 8
#else
#define VF 4
#endif

typedef float vf __attribute__((vector_size(VF * 4)));
typedef int32_t vi __attribute__((vector_size(VF * 4)));
typedef uint32_t vu __attribute__((vector_size(VF * 4)));       /* sums wrap */
typedef float vf_any __attribute__((vector_size(VF * 4), aligned(4), may_alias));
typedef int32_t vi_any __attribute__((vector_size(VF * 4), aligned(4), may_alias));

#if VF == 16
#define VF_ALL(x) { x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x }
#define VF_LANES { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }
#elif VF == 8
#define VF_ALL(x) { x, x, x, x, x, x, x, x }
#define VF_LANES { 0, 1, 2, 3, 4, 5, 6, 7 }
#else
#define VF_ALL(x) { x, x, x, x }
#define VF_LANES { 0, 1, 2, 3 }
#endif

INLINE vf vf_set(float x) { return (vf)VF_ALL(x); }
INLINE vi vi_set(int32_t x) { return (vi)VF_ALL(x); }
INLINE vf vf_zero(void) { return (vf)VF_ALL(0); }
INLINE vi vi_lanes(void) { return (vi)VF_LANES; }               /* 0, 1, 2, ... */
INLINE vf vf_load(const float *p) { return *(const vf_any *)p; }
INLINE void vf_store(float *p, vf x) { *(vf_any *)p = x; }
INLINE vi vi_load(const int32_t *p) { return *(const vi_any *)p; }
INLINE void vi_store(int32_t *p, vi x) { *(vi_any *)p = x; }
INLINE vf vf_from_vi(vi x) { return __builtin_convertvector(x, vf); }
INLINE vi vi_from_vf(vf x) { return __builtin_convertvector(x, vi); }   /* towards zero */
INLINE vi vf_bits(vf x) { return (vi)x; }
INLINE vf vi_bits(vi x) { return (vf)x; }

/* where ? a : b, lane by lane; `where` is the result of a comparison. */
INLINE vf vf_select(vi where, vf a, vf b) { return (vf)((where & (vi)a) | (~where & (vi)b)); }
INLINE vf vf_abs(vf x) { return (vf)((vi)x & vi_set(0x7fffffff)); }
INLINE vf vf_copysign(vf size, vf sign)
{
	return (vf)(((vi)size & vi_set(0x7fffffff)) | ((vi)sign & vi_set((int32_t)0x80000000)));
}

#if defined(ISA_avx512)

INLINE __mmask16 vf_mask_(int64_t n) { return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1); }
INLINE vf vf_load_n(const float *p, int64_t n) { return (vf)_mm512_maskz_loadu_ps(vf_mask_(n), p); }
INLINE void vf_store_n(float *p, vf x, int64_t n)
{
	_mm512_mask_storeu_ps(p, vf_mask_(n), (__m512)x);
}
INLINE vf vf_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf vf_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf vf_sqrt(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
INLINE vf vf_scale2_(vf x, vf n, vi bits)
{
	(void)bits;
	return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
}

#elif defined(ISA_avx2)

INLINE vi vf_mask_(int64_t n) { return vi_lanes() < vi_set(n >= 8 ? 8 : (int32_t)n); }
INLINE vf vf_load_n(const float *p, int64_t n)
{
	return n >= 8 ? vf_load(p) : (vf)_mm256_maskload_ps(p, (__m256i)vf_mask_(n));
}
INLINE void vf_store_n(float *p, vf x, int64_t n)
{
	if (n >= 8)
		vf_store(p, x);
	else
		_mm256_maskstore_ps(p, (__m256i)vf_mask_(n), (__m256)x);
}
INLINE vf vf_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf vf_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf vf_sqrt(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }

#else

INLINE vf vf_load_n(const float *p, int64_t n)
{
	float t[VF] = { 0 };
	if (n >= VF)
		return vf_load(p);
	for (int i = 0; i < VF - 1 && i < n; i++)
		t[i] = p[i];
	return vf_load(t);
}
INLINE void vf_store_n(float *p, vf x, int64_t n)
{
	if (n >= VF) {
		vf_store(p, x);
		return;
	}
	for (int i = 0; i < VF - 1 && i < n; i++)
		p[i] = x[i];
}
INLINE vf vf_max(vf a, vf b) { return vf_select(a > b, a, b); }
INLINE vf vf_min(vf a, vf b) { return vf_select(a < b, a, b); }
INLINE vf vf_sqrt(vf x)
{
	vf y;
	for (int i = 0; i < VF; i++)
		y[i] = sqrtf(x[i]);
	return y;
}

#endif

#if !defined(ISA_avx512)
/* x 2^n, |n| <= 252, in two steps so that neither factor leaves the normal range. */
INLINE vf vf_scale2_(vf x, vf n, vi bits)
{
	vi half = bits >> 1, rest = bits - half;
	(void)n;
	return x * (vf)((half + 127) << 23) * (vf)((rest + 127) << 23);
}
#endif

INLINE vf vf_rsqrt(vf x) { return 1.0f / vf_sqrt(x); }          /* exact to the last rounding */

/* Across lanes, always in the same order (halves folded). */
#if defined(ISA_avx512) || defined(ISA_avx2)
INLINE float vf_sum(vf x)
{
	__m128 q;
#if defined(ISA_avx512)
	__m256 h = _mm256_add_ps(_mm512_castps512_ps256((__m512)x),
				 _mm512_extractf32x8_ps((__m512)x, 1));
#else
	__m256 h = (__m256)x;
#endif
	q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
#else
INLINE float vf_sum(vf x)
{
	return (x[0] + x[2]) + (x[1] + x[3]);
}
#endif
INLINE float vf_top(vf x)                                       /* the largest lane */
{
	float t[VF];
	vf_store(t, x);
	for (int w = VF / 2; w; w /= 2)
		for (int i = 0; i < w; i++)
			t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
	return t[0];
}

/*
 * e^x, within 1.5 units in the last place; inf above 88.72, denormals and 0 below -87.3, NaN stays.
 * e^x = 2^n e^r, |r| <= ln 2 / 2 (ln 2 in two parts); polynomial fitted for least relative error.
 */
INLINE vf vf_exp(vf x)
{
	const vf magic = vf_set(12582912.0f);   /* 1.5 2^23: adding it rounds to an integer */
	vf n, r, p;
	vi bits;

	x = vf_min(vf_set(89.5f), vf_max(vf_set(-104.5f), x));
	n = x * 1.44269504f + magic;
	bits = (vi)n - (vi)magic;
	n -= magic;
	r = x - n * 0.693359375f;
	r = r + n * 2.12194440e-4f;
	p = vf_set(1.381459420e-03f);
	p = p * r + 8.368716012e-03f;
	p = p * r + 4.166838805e-02f;
	p = p * r + 1.666652064e-01f;
	p = p * r + 4.999999345e-01f;
	p = p * (r * r) + r + 1.0f;
	return vf_scale2_(p, n, bits);
}

INLINE vf vf_sigmoid(vf x) { return 1.0f / (1.0f + vf_exp(-x)); }

/*
 * erf(x), within 2 units in the last place: x + x P(x^2) up to |x| = 1, 1 - exp(-|x| Q(|x|)) above;
 * both fitted for least relative error. Beyond 4 the result is 1.
 */
INLINE vf vf_erf(vf x)
{
	vf s = x * x, t = vf_min(vf_set(4.0f), vf_abs(x)), p, q;

	p = vf_set(7.853847313e-05f);
	p = p * s - 8.010189373e-04f;
	p = p * s + 5.188327202e-03f;
	p = p * s - 2.685381168e-02f;
	p = p * s + 1.128358514e-01f;
	p = p * s - 3.761262582e-01f;
	p = p * s + 1.283791657e-01f;
	p = p * x + x;
	q = vf_set(1.396295201e-05f);
	q = q * t - 3.505970794e-04f;
	q = q * t + 3.757497166e-03f;
	q = q * t - 2.401011131e-02f;
	q = q * t + 1.065309147e-01f;
	q = q * t + 6.349695014e-01f;
	q = q * t + 1.128694344e+00f;
	q = 1.0f - vf_exp(-(t * q));
	return vf_select(vf_abs(x) > 1.0f, vf_copysign(q, x), p);
}

/* Transpose VF rows of VF: on return r[i] lane j is what r[j] lane i was. */
#if VF == 16
INLINE void vf_transpose(vf r[16])
{
	vf t[16];

	UNROLL for (int i = 0; i < 8; i++) {
		t[2 * i] = (vf)_mm512_unpacklo_ps((__m512)r[2 * i], (__m512)r[2 * i + 1]);
		t[2 * i + 1] = (vf)_mm512_unpackhi_ps((__m512)r[2 * i], (__m512)r[2 * i + 1]);
	}
	UNROLL for (int i = 0; i < 4; i++) {
		r[4 * i] = (vf)_mm512_unpacklo_pd((__m512d)t[4 * i], (__m512d)t[4 * i + 2]);
		r[4 * i + 1] = (vf)_mm512_unpackhi_pd((__m512d)t[4 * i], (__m512d)t[4 * i + 2]);
		r[4 * i + 2] = (vf)_mm512_unpacklo_pd((__m512d)t[4 * i + 1], (__m512d)t[4 * i + 3]);
		r[4 * i + 3] = (vf)_mm512_unpackhi_pd((__m512d)t[4 * i + 1], (__m512d)t[4 * i + 3]);
	}
	UNROLL for (int i = 0; i < 4; i++) {
		t[i] = (vf)_mm512_shuffle_f32x4((__m512)r[i], (__m512)r[i + 4], 0x88);
		t[i + 4] = (vf)_mm512_shuffle_f32x4((__m512)r[i], (__m512)r[i + 4], 0xdd);
		t[i + 8] = (vf)_mm512_shuffle_f32x4((__m512)r[i + 8], (__m512)r[i + 12], 0x88);
		t[i + 12] = (vf)_mm512_shuffle_f32x4((__m512)r[i + 8], (__m512)r[i + 12], 0xdd);
	}
	UNROLL for (int i = 0; i < 4; i++) {
		r[i] = (vf)_mm512_shuffle_f32x4((__m512)t[i], (__m512)t[i + 8], 0x88);
		r[i + 8] = (vf)_mm512_shuffle_f32x4((__m512)t[i], (__m512)t[i + 8], 0xdd);
		r[i + 4] = (vf)_mm512_shuffle_f32x4((__m512)t[i + 4], (__m512)t[i + 12], 0x88);
		r[i + 12] = (vf)_mm512_shuffle_f32x4((__m512)t[i + 4], (__m512)t[i + 12], 0xdd);
	}
}
#elif VF == 8
INLINE void vf_transpose(vf r[8])
{
	vf t[8];

	UNROLL for (int i = 0; i < 4; i++) {
		t[2 * i] = (vf)_mm256_unpacklo_ps((__m256)r[2 * i], (__m256)r[2 * i + 1]);
		t[2 * i + 1] = (vf)_mm256_unpackhi_ps((__m256)r[2 * i], (__m256)r[2 * i + 1]);
	}
	UNROLL for (int i = 0; i < 2; i++) {
		r[4 * i] = (vf)_mm256_unpacklo_pd((__m256d)t[4 * i], (__m256d)t[4 * i + 2]);
		r[4 * i + 1] = (vf)_mm256_unpackhi_pd((__m256d)t[4 * i], (__m256d)t[4 * i + 2]);
		r[4 * i + 2] = (vf)_mm256_unpacklo_pd((__m256d)t[4 * i + 1], (__m256d)t[4 * i + 3]);
		r[4 * i + 3] = (vf)_mm256_unpackhi_pd((__m256d)t[4 * i + 1], (__m256d)t[4 * i + 3]);
	}
	UNROLL for (int i = 0; i < 4; i++) {
		t[i] = (vf)_mm256_permute2f128_ps((__m256)r[i], (__m256)r[i + 4], 0x20);
		t[i + 4] = (vf)_mm256_permute2f128_ps((__m256)r[i], (__m256)r[i + 4], 0x31);
	}
	UNROLL for (int i = 0; i < 8; i++)
		r[i] = t[i];
}
#else
INLINE void vf_transpose(vf r[4])
{
	vf t[4];

	UNROLL for (int i = 0; i < 4; i++)
		t[i] = (vf){ r[0][i], r[1][i], r[2][i], r[3][i] };
	UNROLL for (int i = 0; i < 4; i++)
		r[i] = t[i];
}
#endif

#endif
