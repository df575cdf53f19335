#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/tokenizer_part.h"

/* What the pattern of CLIP's tokenizer tells apart. */
enum class { SPACE, LETTER, DIGIT, OTHER };

/* Unicode's property White_Space, which is \s of the fast tokenizer's regular expressions. */
static int is_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

static enum class class_of(uint32_t c)
{
	if (c < 0x80) {
		if ((c | 32) >= 'a' && (c | 32) <= 'z')
			return LETTER;
		if (c >= '0' && c <= '9')
			return DIGIT;
		return is_space(c) ? SPACE : OTHER;
	}
	if (is_space(c))
		return SPACE;
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return LETTER;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return DIGIT;
	default:
		return OTHER;
	}
}

/* Each character by itself, so a final sigma stays one; U+0130 is the only one that becomes two. */
static void lower_put(struct buf *out, uint32_t c)
{
	if (c == 0x130) {
		buf_addc(out, 'i');
		utf8_put(out, 0x307);
	} else {
		utf8_put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
	}
}

static int normalize(struct buf *out, const char *s, size_t len, struct err *e)
{
	utf8proc_uint8_t *nfc = NULL;
	utf8proc_ssize_t n;
	uint32_t c;

	n = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &nfc,
			 UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (n < 0)
		return fail(e, "text cannot be normalized: %s", utf8proc_errmsg(n));
	for (size_t at = 0; at < (size_t)n; at += (size_t)utf8_next((char *)nfc + at,
								    (size_t)n - at, &c)) {
		utf8_next((char *)nfc + at, (size_t)n - at, &c);
		lower_put(out, c);
	}
	free(nfc);
	return 0;
}

/* ASCII is in NFC already. */
static int normalize_fast(struct buf *out, const char *s, size_t len)
{
	char *to;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return 0;
	to = buf_extend(out, len);
	for (size_t i = 0; i < len; i++)
		to[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
	return 1;
}

/* 's 't 're 've 'm 'll 'd: its length, or 0. */
static size_t contraction(const char *s, size_t len)
{
	static const char *const all[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };

	for (size_t i = 0; s[0] == '\'' && i < sizeof all / sizeof *all; i++) {
		size_t n = strlen(all[i]);
		if (n <= len && !memcmp(s, all[i], n))
			return n;
	}
	return 0;
}

/* Length of the word at s (len > 0): a contraction, letters, one digit, or a run of others. */
static size_t word_length(const char *s, size_t len, enum class *kind)
{
	uint32_t c;
	size_t n = contraction(s, len), first = (size_t)utf8_next(s, len, &c);

	*kind = n ? OTHER : class_of(c);
	if (n)
		return n;
	if (*kind == SPACE || *kind == DIGIT)
		return first;
	for (n = first; n < len; ) {
		int step = utf8_next(s + n, len - n, &c);
		if (class_of(c) != *kind)
			break;
		n += (size_t)step;
	}
	return n;
}

/* Replace every such pair, from left to right; returns what is left of n. */
static size_t merge_all(int32_t *id, size_t n, const struct merge *m)
{
	size_t to = 0;

	for (size_t i = 0; i < n; to++) {
		if (i + 1 < n && (uint32_t)id[i] == m->left && (uint32_t)id[i + 1] == m->right) {
			id[to] = m->id;
			i += 2;
		} else {
			id[to] = id[i++];
		}
	}
	return to;
}

/* The pair that was learned first is merged first, wherever it stands. */
static size_t merge_word(const struct tokenizer *t, int32_t *id, size_t n)
{
	while (n > 1) {
		const struct merge *best = NULL;

		for (size_t i = 0; i + 1 < n; i++) {
			const struct merge *m = merge_find(t, id[i], id[i + 1]);
			if (m && (!best || m->rank < best->rank))
				best = m;
		}
		if (!best)
			break;
		n = merge_all(id, n, best);
	}
	return n;
}

static void word_encode(const struct tokenizer *t, const char *s, size_t len, struct ids *out)
{
	if (out->cap - out->n < len) {
		out->cap = (out->n + len) * 2;
		out->at = xrealloc(out->at, out->cap * sizeof *out->at);
	}
	for (size_t i = 0; i < len; i++)
		out->at[out->n + i] = t->byte[(unsigned char)s[i]];
	out->at[out->n + len - 1] = t->last[(unsigned char)s[len - 1]];
	out->n += merge_word(t, out->at + out->n, len);
}

int words_encode(const struct tokenizer *t, const char *text, size_t len, struct ids *out,
		 struct err *e)
{
	struct buf b = { 0 };
	size_t n;

	if (!len)
		return 0;
	if (!normalize_fast(&b, text, len) && normalize(&b, text, len, e) < 0)
		return -1;
	for (size_t at = 0; at < b.len; at += n) {
		enum class kind;

		n = word_length(b.at + at, b.len - at, &kind);
		if (kind != SPACE)
			word_encode(t, b.at + at, n, out);
	}
	buf_release(&b);
	return 0;
}
