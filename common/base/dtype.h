/*
 * Number types of tensors, as safetensors names them, and rows converted to and from f32.
 */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum dtype { DT_NONE, DT_F32, DT_F16, DT_BF16, DT_F64, DT_I64, DT_I32, DT_I16, DT_I8, DT_U8,
	     DT_BOOL, DT__COUNT };

size_t dtype_size(enum dtype t);                /* bytes an element */
const char *dtype_name(enum dtype t);           /* "F32", "BF16", ... */
enum dtype dtype_of_name(const char *name);     /* DT_NONE if unknown; any case */
int dtype_is_float(enum dtype t);

/* n elements of type t -> f32. Integers are converted by value, BOOL to 0 and 1. No overlap. */
void row_to_f32(float *out, const void *in, enum dtype t, int64_t n);

/*
 * f32 -> n elements of type t (float types only), rounded half to even. Too large becomes infinity.
 */
void row_from_f32(void *out, enum dtype t, const float *in, int64_t n);

float f16_to_f32(uint16_t h);
uint16_t f16_of_f32(float f);
float bf16_to_f32(uint16_t h);
uint16_t bf16_of_f32(float f);          /* half to even; a NaN stays a NaN */

#endif
