#include "common/data/store_pack.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/base/mem.h"

#define LEVEL 1
#define PACK_LEAST 256          /* bytes; zstd takes longer than to write less, and gains little */

static void put_number(unsigned char *to, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		to[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_number(const unsigned char *at, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | at[i];
	return v;
}

static int is_kind(int c)
{
	return c == KIND_TEXT || c == KIND_IMAGE || c == KIND_TENSOR || c == KIND_TABLE ||
		c == KIND_BYTES;
}

/* The codec for an object; for tensors `type` is its numbers'. */
static char codec_of(enum kind kind, enum dtype type)
{
	if (kind == KIND_TEXT || kind == KIND_TABLE)
		return 'z';
	if (kind != KIND_TENSOR)
		return 'r';
	if (type == DT_BF16 || type == DT_F16)
		return 'p';
	return dtype_is_float(type) ? 'r' : 'z';
}

/* Head, low bytes, high bytes. */
static void split(char *to, const char *a, size_t skip, const char *values, size_t len)
{
	size_t n = len / 2;
	char *low = to + skip, *high = low + n;

	memcpy(to, a, skip);
	for (size_t i = 0; i < n; i++) {
		low[i] = values[2 * i];
		high[i] = values[2 * i + 1];
	}
}

static void join(char *to, const char *from, size_t skip, size_t len)
{
	size_t n = (len - skip) / 2;
	const char *low = from + skip, *high = low + n;

	memcpy(to, from, skip);
	to += skip;
	for (size_t i = 0; i < n; i++) {
		to[2 * i] = low[i];
		to[2 * i + 1] = high[i];
	}
}

/* The two pieces side by side, planes split if that is the codec. NULL: no memory. */
static char *flatten(char codec, const void *a, size_t a_len, const void *b, size_t b_len)
{
	char *all = malloc(a_len + b_len + 1);

	if (!all)
		return NULL;
	if (codec == 'p') {
		split(all, a, a_len, b, b_len);
		return all;
	}
	if (a_len)
		memcpy(all, a, a_len);
	if (b_len)
		memcpy(all + a_len, b, b_len);
	return all;
}

/* Compress both pieces; leaves p as it is (raw) if that gains nothing. */
static int compress(struct packed *p, char codec, const void *a, size_t a_len, const void *b,
		    size_t b_len, struct err *e)
{
	size_t len = a_len + b_len, bound = ZSTD_compressBound(len), n;
	char *flat = codec == 'z' && !b_len ? NULL : flatten(codec, a, a_len, b, b_len);
	void *out = malloc(bound);
	int ret = -1;

	if (!out || (!flat && (codec != 'z' || b_len))) {
		fail(e, "no memory to pack an object of %zu bytes", len);
		goto out;
	}
	n = ZSTD_compress(out, bound, flat ? flat : a, len, LEVEL);
	if (ZSTD_isError(n)) {
		fail(e, "an object of %zu bytes cannot be packed: %s", len, ZSTD_getErrorName(n));
		goto out;
	}
	ret = 0;
	if (n >= len)
		goto out;
	p->head[0] = (unsigned char)codec;
	put_number(p->head + 4, codec == 'p' ? a_len : 0, 4);
	p->own = xrealloc(out, n);
	p->at[0] = p->own;
	p->len[0] = n;
	p->at[1] = NULL;
	p->len[1] = 0;
	out = NULL;
out:
	free(flat);
	free(out);
	return ret;
}

int object_pack(struct packed *p, enum kind kind, const void *a, size_t a_len, const void *b,
		size_t b_len, struct err *e)
{
	struct tensor t = { 0 };
	char codec;

	*p = (struct packed){ .at = { a, b }, .len = { a_len, b_len } };
	if (a_len >= OBJECT_LIMIT || b_len >= OBJECT_LIMIT - a_len)
		return fail(e, "an object of %zu bytes is too large for a store, below %zu is wanted",
			    a_len + b_len, OBJECT_LIMIT);
	if (kind == KIND_TENSOR)        /* the type is in the head, which is in the first piece */
		t.type = a_len > 4 ? (enum dtype)((const unsigned char *)a)[4] : DT_NONE;
	codec = codec_of(kind, t.type);
	p->head[0] = 'r';
	p->head[1] = (unsigned char)kind;
	put_number(p->head + 8, a_len + b_len, 8);
	if (codec == 'r' || a_len + b_len < PACK_LEAST)
		return 0;
	return compress(p, codec, a, a_len, b, b_len, e);
}

size_t packed_size(const struct packed *p)
{
	return VALUE_HEAD + p->len[0] + p->len[1];
}

void packed_keep(struct packed *p)
{
	char *all;

	if (p->own)
		return;
	all = xmalloc(p->len[0] + p->len[1]);
	if (p->len[0])
		memcpy(all, p->at[0], p->len[0]);
	if (p->len[1])
		memcpy(all + p->len[0], p->at[1], p->len[1]);
	p->own = all;
	p->at[0] = all;
	p->len[0] += p->len[1];
	p->at[1] = NULL;
	p->len[1] = 0;
}

void packed_release(struct packed *p)
{
	free(p->own);
	*p = (struct packed){ 0 };
}

int value_head(struct value_head *h, const void *value, size_t len, struct err *e)
{
	const unsigned char *v = value;
	uint64_t size;

	if (len < VALUE_HEAD || !memchr("rzp", v[0], 3) || !is_kind(v[1]))
		return fail(e, "damaged, its head is not one of ours");
	size = get_number(v + 8, 8);
	if (size >= OBJECT_LIMIT || (v[0] == 'r' && size != len - VALUE_HEAD))
		return fail(e, "damaged, %zu bytes stored for a length of %llu", len - VALUE_HEAD,
			    (unsigned long long)size);
	*h = (struct value_head){ (char)v[0], (enum kind)v[1], (size_t)get_number(v + 4, 4),
				  (size_t)size };
	/* Ours say what they unpack to, and no byte of zstd's gives more than 2^15: looked at before so
	 * much memory is asked for. */
	if (v[0] != 'r' && (size >> 15 > len ||
			    ZSTD_getFrameContentSize(v + VALUE_HEAD, len - VALUE_HEAD) != size))
		return fail(e, "damaged, its %zu bytes cannot unpack to %llu", len - VALUE_HEAD,
			    (unsigned long long)size);
	if (h->skip > h->len || (h->codec == 'p' && (h->len - h->skip) % 2))
		return fail(e, "damaged, its head is not one of ours");
	return 0;
}

static int decompress(void *to, size_t len, const void *at, size_t n, struct err *e)
{
	size_t got = ZSTD_decompress(to, len, at, n);

	if (ZSTD_isError(got))
		return fail(e, "damaged, it cannot be unpacked: %s", ZSTD_getErrorName(got));
	if (got != len)
		return fail(e, "damaged, it unpacks to %zu bytes, %zu are wanted", got, len);
	return 0;
}

static int unpack_planes(struct blob *out, const struct value_head *h, const char *at, size_t n,
			 struct err *e)
{
	void *flat;
	int ret;

	if (mem_try(&flat, h->len, "an object", e) < 0)
		return -1;
	ret = decompress(flat, h->len, at, n, e);
	if (ret == 0)
		join((char *)out->at, flat, h->skip, h->len);
	free(flat);
	return ret;
}

int object_unpack(struct blob *out, const void *value, size_t len, struct err *e)
{
	const char *at = (const char *)value + VALUE_HEAD;
	struct value_head h;
	void *to;
	int ret = 0;

	*out = (struct blob){ 0 };
	if (value_head(&h, value, len, e) < 0 || mem_try(&to, h.len, "an object", e) < 0)
		return -1;
	*out = (struct blob){ h.kind, to, h.len };
	if (h.codec == 'z')
		ret = decompress(to, h.len, at, len - VALUE_HEAD, e);
	else if (h.codec == 'p')
		ret = unpack_planes(out, &h, at, len - VALUE_HEAD, e);
	else if (h.len)
		memcpy(to, at, h.len);
	if (ret < 0)
		blob_release(out);
	return ret;
}
