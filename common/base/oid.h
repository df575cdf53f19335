/*
 * Identity by content. An oid is the xxh3-128 of (kind, bytes): one kind byte goes before
 * the bytes, so equal bytes of different kinds never meet. xxh3 guards against accident,
 * not against malice: do not take stores from people who want to hurt you.
 */
#ifndef BASE_OID_H
#define BASE_OID_H

#include <stddef.h>
#include "common/base/err.h"

enum kind {             /* the byte that is hashed first and that `booth ls` prints */
	KIND_TEXT   = 'x',      /* UTF-8 */
	KIND_IMAGE  = 'i',      /* the original file's bytes (JPEG, PNG, WebP) */
	KIND_TENSOR = 't',      /* as in common/data/tensor.h */
	KIND_TABLE  = 'b',      /* as in common/data/table.h */
	KIND_BYTES  = 'y',      /* files from outside; such hashes are never stored as objects */
};

struct oid {
	unsigned char at[16];   /* big-endian: the hex text reads left to right */
};

#define OID_HEX 32              /* hex digits, without the NUL */

void oid_of(struct oid *out, enum kind kind, const void *at, size_t len);
int oid_equal(const struct oid *a, const struct oid *b);
int oid_compare(const struct oid *a, const struct oid *b);
char *oid_hex(const struct oid *o, char out[OID_HEX + 1]);      /* returns out */
int oid_parse(struct oid *out, const char *hex);                /* 0, or -1: not 32 hex digits */

/* Hash in pieces: start, add, end (end also releases). */
struct oid_state;
struct oid_state *oid_start(enum kind kind);
void oid_add(struct oid_state *s, const void *at, size_t len);
void oid_end(struct oid_state *s, struct oid *out);

#endif
