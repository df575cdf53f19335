#include "common/base/oid.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/base/mem.h"

#define SMALL 1024              /* bytes that are put behind their kind and hashed at one go */

struct oid_state {
	XXH3_state_t *xxh;
};

static void put_digest(struct oid *out, XXH128_hash_t hash)
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, hash);
	memcpy(out->at, c.digest, sizeof out->at);
}

struct oid_state *oid_start(enum kind kind)
{
	struct oid_state *s = xmalloc(sizeof *s);
	unsigned char k = (unsigned char)kind;

	s->xxh = XXH3_createState();
	if (!s->xxh)
		die(1, "out of memory, %zu bytes wanted", sizeof(XXH3_state_t));
	XXH3_128bits_reset(s->xxh);
	XXH3_128bits_update(s->xxh, &k, 1);
	return s;
}

void oid_add(struct oid_state *s, const void *at, size_t len)
{
	if (len)
		XXH3_128bits_update(s->xxh, at, len);
}

void oid_end(struct oid_state *s, struct oid *out)
{
	put_digest(out, XXH3_128bits_digest(s->xxh));
	XXH3_freeState(s->xxh);
	free(s);
}

void oid_of(struct oid *out, enum kind kind, const void *at, size_t len)
{
	struct oid_state *s;
	unsigned char small[SMALL + 1];

	if (len <= SMALL) {
		small[0] = (unsigned char)kind;
		if (len)
			memcpy(small + 1, at, len);
		put_digest(out, XXH3_128bits(small, len + 1));
		return;
	}
	s = oid_start(kind);
	oid_add(s, at, len);
	oid_end(s, out);
}

int oid_compare(const struct oid *a, const struct oid *b)
{
	return memcmp(a->at, b->at, sizeof a->at);
}

int oid_equal(const struct oid *a, const struct oid *b)
{
	return oid_compare(a, b) == 0;
}

char *oid_hex(const struct oid *o, char out[OID_HEX + 1])
{
	static const char digit[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		out[2 * i] = digit[o->at[i] >> 4];
		out[2 * i + 1] = digit[o->at[i] & 15];
	}
	out[OID_HEX] = 0;
	return out;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int oid_parse(struct oid *out, const char *hex)
{
	for (int i = 0; i < 16; i++) {
		int hi = digit_value(hex[2 * i]);
		int lo = hi < 0 ? -1 : digit_value(hex[2 * i + 1]);

		if (lo < 0)
			return -1;
		out->at[i] = (unsigned char)(hi << 4 | lo);
	}
	return hex[OID_HEX] ? -1 : 0;
}
