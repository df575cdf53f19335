/*
 * How an object lies in the store: 16 bytes of head, then the payload.
 *
 *	u8 codec  u8 kind  u16 zero  u32 skip  u64 length unpacked      (little-endian)
 *
 *	'r' raw     as it is: pictures (packed already), f32 and f64 tensors
 *	'z' zstd    level 1: text, tables, tensors of whole numbers
 *	'p' planes  bf16 and f16 tensors: `skip` bytes as they are (the tensor's head), then all low
 *	            bytes, then all high bytes (signs and exponents, which are much alike), zstd 1
 *
 * LMDB keeps values above about 2 kB on pages of their own, 16 bytes behind the page's begin. With
 * a head of 16 bytes a raw payload is 16-byte aligned in the map, and so are the values of a
 * tensor. Inside common/data only.
 */
#ifndef DATA_STORE_PACK_H
#define DATA_STORE_PACK_H

#include "common/data/store.h"

#define VALUE_HEAD 16
#define OBJECT_LIMIT ((size_t)1 << 30)

/* head, then one or two pieces; borrowed from the caller unless own */
struct packed {
	unsigned char head[VALUE_HEAD];
	const void *at[2];
	size_t len[2];
	void *own;
};

/* The object is `a` followed by `b`. Packing that does not make it smaller is not done. */
int object_pack(struct packed *p, enum kind kind, const void *a, size_t a_len, const void *b,
		size_t b_len, struct err *e);
size_t packed_size(const struct packed *p);
void packed_keep(struct packed *p);             /* own what is borrowed */
void packed_release(struct packed *p);

/* What a stored value says about itself: -1 if its head makes no sense. */
struct value_head {
	char codec;
	enum kind kind;
	size_t skip, len;
};
int value_head(struct value_head *h, const void *value, size_t len, struct err *e);

/* Unpack a whole stored value into a blob. The hash is the caller's to check. */
int object_unpack(struct blob *out, const void *value, size_t len, struct err *e);

#endif
