#include "common/data/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define HEAD_FIXED 8            /* "TNSR", dtype, rank, zero */

/* dtypes are stored by number; the enum must never be reordered. */
_Static_assert(DT_F32 == 1 && DT_F16 == 2 && DT_BF16 == 3 && DT_F64 == 4 && DT_I64 == 5 &&
	       DT_I32 == 6 &&
	       DT_I16 == 7 && DT_I8 == 8 && DT_U8 == 9 && DT_BOOL == 10, "stored numbers of types");

int64_t tensor_count(const struct tensor *t)
{
	return t->type == DT_NONE ? 0 : size_product(t->side, t->rank);
}

int64_t tensor_bytes(const struct tensor *t)
{
	return tensor_count(t) * (int64_t)dtype_size(t->type);
}

void tensor_release(struct tensor *t)
{
	free(t->own);
	*t = (struct tensor){ 0 };
}

/* Bytes of a tensor of that shape, or -1. */
static int64_t shape_bytes(enum dtype type, int rank, const int64_t *side)
{
	int64_t both[2] = { size_product(side, rank), (int64_t)dtype_size(type) };

	return size_product(both, 2);
}

int tensor_new(struct tensor *t, enum dtype type, int rank, const int64_t *side, void **values,
	       struct err *e)
{
	int64_t bytes;

	*t = (struct tensor){ 0 };
	if (rank < 0 || rank > TENSOR_RANK)
		return fail(e, "a tensor has %d sides, at most %d are possible", rank, TENSOR_RANK);
	bytes = shape_bytes(type, rank, side);
	if (bytes < 0)
		return fail(e, "the sides of a tensor are negative or too large");
	if (mem_try(&t->own, (size_t)bytes, "a tensor", e) < 0)
		return -1;
	t->type = type;
	t->rank = rank;
	for (int i = 0; i < rank; i++)
		t->side[i] = side[i];
	t->at = t->own;
	if (values)
		*values = t->own;
	return 0;
}

/* n elements from one type to another, a piece at a time through f32. */
static void convert_row(void *out, enum dtype to, const void *in, enum dtype from, int64_t n)
{
	float piece[1024];

	for (int64_t at = 0; at < n; at += 1024) {
		int64_t m = n - at < 1024 ? n - at : 1024;

		row_to_f32(piece, (const char *)in + at * (int64_t)dtype_size(from), from, m);
		row_from_f32((char *)out + at * (int64_t)dtype_size(to), to, piece, m);
	}
}

int tensor_convert(struct tensor *t, enum dtype type, struct err *e)
{
	struct tensor new;
	void *values;
	int64_t n = tensor_count(t);

	if (t->type == type && t->own)
		return 0;
	if (!dtype_is_float(type))
		return fail(e, "a tensor cannot be converted to %s, a float type is wanted", dtype_name(type));
	if (tensor_new(&new, type, t->rank, t->side, &values, e) < 0)
		return -1;
	if (t->type == type && n)
		memcpy(values, t->at, (size_t)tensor_bytes(t));
	else if (type == DT_F32)
		row_to_f32(values, t->at, t->type, n);
	else
		convert_row(values, type, t->at, t->type, n);
	tensor_release(t);
	*t = new;
	return 0;
}

int tensor_to_f32(struct tensor *t, struct err *e)
{
	return tensor_convert(t, DT_F32, e);
}

char *tensor_shape_text(const struct tensor *t, char out[96])
{
	size_t n = 0;

	strcpy(out, "1");
	for (int i = 0; i < t->rank && n < 96; i++)
		n += (size_t)snprintf(out + n, 96 - n, "%s%lld", i ? "x" : "", (long long)t->side[i]);
	return out;
}

void tensor_pack_head(struct buf *out, const struct tensor *t)
{
	size_t from = out->len;

	buf_adds(out, "TNSR");
	buf_addc(out, (char)t->type);
	buf_addc(out, (char)t->rank);
	buf_add(out, "\0\0", 2);
	for (int i = 0; i < t->rank; i++)
		for (int k = 0; k < 64; k += 8)
			buf_addc(out, (char)((uint64_t)t->side[i] >> k & 255));
	while ((out->len - from) % 16)
		buf_addc(out, 0);
}

void tensor_pack(struct buf *out, const struct tensor *t)
{
	tensor_pack_head(out, t);
	buf_add(out, t->at, (size_t)tensor_bytes(t));
}

static int64_t read_i64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return (int64_t)v;
}

int tensor_unpack(struct tensor *t, const void *at, size_t len, struct err *e)
{
	const unsigned char *p = at;
	struct tensor new = { 0 };
	size_t head;
	int64_t bytes;

	*t = new;
	if (len < HEAD_FIXED || memcmp(p, "TNSR", 4) || p[6] || p[7])
		return fail(e, "%zu bytes that are not a tensor", len);
	if (p[4] == DT_NONE || p[4] >= DT__COUNT || p[5] > TENSOR_RANK)
		return fail(e, "a tensor of unknown type %d or with %d sides", p[4], p[5]);
	new.type = (enum dtype)p[4];
	new.rank = p[5];
	head = (HEAD_FIXED + 8 * (size_t)new.rank + 15) / 16 * 16;
	if (len < head)
		return fail(e, "a tensor of %zu bytes, its head alone has %zu", len, head);
	for (int i = 0; i < new.rank; i++)
		new.side[i] = read_i64(p + HEAD_FIXED + 8 * i);
	bytes = shape_bytes(new.type, new.rank, new.side);
	if (bytes < 0 || (uint64_t)bytes != len - head)
		return fail(e, "a tensor has %zu bytes of values, its shape wants %lld", len - head, (long long)bytes);
	new.at = p + head;
	*t = new;
	return 0;
}
