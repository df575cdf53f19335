#include "common/base/dtype.h"

#include <string.h>
#include <strings.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "common/base/err.h"

static const struct { const char *name; size_t size; int is_float; } info[DT__COUNT] = {
	[DT_NONE] = { "none", 0, 0 },
	[DT_F32]  = { "F32", 4, 1 },
	[DT_F16]  = { "F16", 2, 1 },
	[DT_BF16] = { "BF16", 2, 1 },
	[DT_F64]  = { "F64", 8, 1 },
	[DT_I64]  = { "I64", 8, 0 },
	[DT_I32]  = { "I32", 4, 0 },
	[DT_I16]  = { "I16", 2, 0 },
	[DT_I8]   = { "I8", 1, 0 },
	[DT_U8]   = { "U8", 1, 0 },
	[DT_BOOL] = { "BOOL", 1, 0 },
};

size_t dtype_size(enum dtype t) { return info[t].size; }
const char *dtype_name(enum dtype t) { return info[t].name; }
int dtype_is_float(enum dtype t) { return info[t].is_float; }

enum dtype dtype_of_name(const char *name)
{
	for (int t = 1; t < DT__COUNT; t++)
		if (!strcasecmp(info[t].name, name))
			return (enum dtype)t;
	return DT_NONE;
}

static uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, 4);
	return u;
}

static float of_bits(uint32_t u)
{
	float f;

	memcpy(&f, &u, 4);
	return f;
}

float f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;

	if (exp == 31)
		return of_bits(sign | 0x7f800000 | man << 13);
	if (exp)
		return of_bits(sign | (exp + 112) << 23 | man << 13);
	/* subnormal: man * 2^-24 is exact in f32 */
	return of_bits(sign | bits_of((float)man * 0x1p-24f));
}

uint16_t f16_of_f32(float f)
{
	uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;

	if (a > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
	if (a >= 0x477ff000)            /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (a < 0x38800000)             /* below 2^-14: adding 0.5 puts the rounding at bit 0 */
		return (uint16_t)(sign | (bits_of(of_bits(a) + 0.5f) - 0x3f000000));
	a += 0xfff + (a >> 13 & 1);
	return (uint16_t)(sign | ((a - 0x38000000) >> 13));
}

float bf16_to_f32(uint16_t h)
{
	return of_bits((uint32_t)h << 16);
}

uint16_t bf16_of_f32(float f)
{
	uint32_t u = bits_of(f);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/*
 * Checkpoints are f16 as a rule, and there are a billion of them: where the CPU converts eight at a
 * time, it is asked to. Both ways give the same bits.
 */
#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) static int64_t halves_to_f32(float *out, const uint16_t *p, int64_t n)
{
	int64_t i = 0;

	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(out + i,
				 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + i))));
	return i;
}

__attribute__((target("avx,f16c"))) static int64_t halves_of_f32(uint16_t *out, const float *in, int64_t n)
{
	int64_t i = 0;

	for (; i + 8 <= n; i += 8)
		_mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i),
								       _MM_FROUND_TO_NEAREST_INT));
	return i;
}

/* gcc looks once; asking the CPU takes microseconds in a virtual machine, as long as a thousand numbers. */
static int has_f16c(void)
{
#ifdef __clang__
	unsigned a, b, c, d;

	/* clang does not know the feature's name: bit 29 of ecx */
	return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
#else
	return __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
#endif
}
#else

static int64_t halves_to_f32(float *out, const uint16_t *p, int64_t n)
{
	return (void)out, (void)p, n * 0;
}

static int64_t halves_of_f32(uint16_t *out, const float *in, int64_t n)
{
	return (void)out, (void)in, n * 0;
}

static int has_f16c(void) { return 0; }
#endif

static void f16_row(float *out, const uint16_t *p, int64_t n)
{
	for (int64_t i = has_f16c() ? halves_to_f32(out, p, n) : 0; i < n; i++)
		out[i] = f16_to_f32(p[i]);
}

static void f16_row_of(uint16_t *out, const float *in, int64_t n)
{
	for (int64_t i = has_f16c() ? halves_of_f32(out, in, n) : 0; i < n; i++)
		out[i] = f16_of_f32(in[i]);
}

static void bf16_row(float *out, const uint16_t *p, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		out[i] = bf16_to_f32(p[i]);
}

static void bf16_row_of(uint16_t *out, const float *in, int64_t n)
{
#pragma omp simd
	for (int64_t i = 0; i < n; i++)
		out[i] = bf16_of_f32(in[i]);
}

#define LOOP(type, value)                                       \
	do {                                                    \
		const type *p = in;                             \
		for (int64_t i = 0; i < n; i++)                 \
			out[i] = value;                         \
	} while (0)

void row_to_f32(float *out, const void *in, enum dtype t, int64_t n)
{
	switch (t) {
	case DT_F32: memcpy(out, in, (size_t)n * 4); break;
	case DT_F16: f16_row(out, in, n); break;
	case DT_BF16: bf16_row(out, in, n); break;
	case DT_F64: LOOP(double, (float)p[i]); break;
	case DT_I64: LOOP(int64_t, (float)p[i]); break;
	case DT_I32: LOOP(int32_t, (float)p[i]); break;
	case DT_I16: LOOP(int16_t, (float)p[i]); break;
	case DT_I8: LOOP(int8_t, (float)p[i]); break;
	case DT_U8: LOOP(uint8_t, (float)p[i]); break;
	case DT_BOOL: LOOP(uint8_t, (float)(p[i] != 0)); break;
	default: BUG("no rows of type %d", t);
	}
}

void row_from_f32(void *out, enum dtype t, const float *in, int64_t n)
{
	uint16_t *h = out;
	double *d = out;

	switch (t) {
	case DT_F32: memcpy(out, in, (size_t)n * 4); break;
	case DT_F16: f16_row_of(h, in, n); break;
	case DT_BF16: bf16_row_of(h, in, n); break;
	case DT_F64: for (int64_t i = 0; i < n; i++) d[i] = in[i]; break;
	default: BUG("no float rows of type %d", t);
	}
}
