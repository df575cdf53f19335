/*
 * A tensor on the host: type, shape, row-major values. `at` is either owned or borrowed (from a
 * mapped file or store); `own` says which. {0} is "none".
 *
 * As an object in a store its bytes are
 *	"TNSR"  u8 dtype  u8 rank  u16 0  i64 side[rank] (little-endian)
 *	zeros up to a multiple of 16  values
 * so that a stored raw f32 tensor can be used in place.
 */
#ifndef DATA_TENSOR_H
#define DATA_TENSOR_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/dtype.h"
#include "common/base/err.h"

#define TENSOR_RANK 8

struct tensor {
	enum dtype type;
	int rank;
	int64_t side[TENSOR_RANK];      /* outermost first */
	const void *at;
	void *own;                      /* what to free, or NULL */
};

int64_t tensor_count(const struct tensor *t);           /* elements */
int64_t tensor_bytes(const struct tensor *t);
void tensor_release(struct tensor *t);

/*
 * A new tensor with owned, undefined values; *values points
 * to them. -1: sizes overflow or no memory.
 */
int tensor_new(struct tensor *t, enum dtype type, int rank, const int64_t *side, void **values,
	       struct err *e);

/* The same values as owned f32 (moved if it is owned f32 already). */
int tensor_to_f32(struct tensor *t, struct err *e);
int tensor_convert(struct tensor *t, enum dtype type, struct err *e);   /* float types */

/* "4x320x3x3"; a scalar is "1". */
char *tensor_shape_text(const struct tensor *t, char out[96]);

/*
 * Object bytes, written and read. Read borrows from `at`,
 * which must be 16-byte aligned and outlive t.
 */
void tensor_pack(struct buf *out, const struct tensor *t);
/* what goes before the values */
void tensor_pack_head(struct buf *out, const struct tensor *t);
int tensor_unpack(struct tensor *t, const void *at, size_t len, struct err *e);

#endif
