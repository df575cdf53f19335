#include "common/data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/tokenizer_part.h"

#define TEXT_MAX ((size_t)1 << 20)      /* bytes; captions have some hundred */

int tokenizer_open(struct tokenizer **out, const char *folder, struct err *e)
{
	struct tokenizer *t = xcalloc(1, sizeof *t);

	if (tokenizer_load(t, folder, e) < 0) {
		tokenizer_close(t);
		return -1;
	}
	*out = t;
	return 0;
}

void tokenizer_close(struct tokenizer *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_special; i++)
		free(t->special[i].text);
	free(t->special);
	free(t->merge);
	free(t);
}

int tokenizer_vocab(const struct tokenizer *t)
{
	return t->n_ids;
}

int tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}

int tokenizer_pad(const struct tokenizer *t)
{
	return t->pad;
}

void tokenizer_set_pad(struct tokenizer *t, int id)
{
	t->pad = id;
}

/* The special token that starts at `s`, or NULL. */
static const struct special *special_at(const struct tokenizer *t, const char *s, size_t len)
{
	for (size_t i = 0; i < t->n_special; i++)
		if (t->special[i].len <= len && !memcmp(s, t->special[i].text, t->special[i].len))
			return &t->special[i];
	return NULL;
}

static int encode(const struct tokenizer *t, const char *s, size_t len, struct ids *ids,
		  struct err *e)
{
	size_t from = 0, at = 0;

	while (at < len) {
		const struct special *sp = special_at(t, s + at, len - at);

		if (!sp) {
			at++;
			continue;
		}
		if (words_encode(t, s + from, at - from, ids, e) < 0)
			return -1;
		ids->at = grow(ids->at, ids->n, &ids->cap, sizeof *ids->at);
		ids->at[ids->n++] = sp->id;
		from = at += sp->len;
	}
	return words_encode(t, s + from, len - from, ids, e);
}

int tokenizer_encode_n(const struct tokenizer *t, const char *text, size_t len, int32_t **out,
		       struct err *e)
{
	struct ids ids = { 0 };
	size_t valid = utf8_valid(text, len);

	if (len > TEXT_MAX)
		return fail(e, "a text of %zu bytes is too long to be tokenized, the limit is %zu",
			    len, TEXT_MAX);
	if (valid < len)
		return fail(e, "the text '%.*s' is not UTF-8 at byte %zu",
			    (int)(valid < 60 ? valid : 60), text, valid + 1);
	if (encode(t, text, len, &ids, e) < 0) {
		free(ids.at);
		return -1;
	}
	*out = ids.at ? ids.at : xcalloc(1, sizeof *ids.at);
	return (int)ids.n;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, int32_t **out, struct err *e)
{
	return tokenizer_encode_n(t, text, strlen(text), out, e);
}

int tokenizer_row(const struct tokenizer *t, const char *text, int32_t *out, int length,
		  struct err *e)
{
	int32_t *ids = NULL;
	int n, kept;

	if (length < 2)
		return fail(e,
			    "a row of %d ids has no room for begin and end, 2 are wanted", length);
	n = tokenizer_encode(t, text, &ids, e);
	if (n < 0)
		return -1;
	kept = n < length - 2 ? n : length - 2;
	out[0] = t->bos;
	memcpy(out + 1, ids, (size_t)kept * sizeof *ids);
	out[1 + kept] = t->eos;
	for (int i = kept + 2; i < length; i++)
		out[i] = t->pad;
	free(ids);
	return n - kept;
}

/*
 * kohya's repairs where padding is not EOS: a chunk that is full to the end gets EOS as its last
 * id, one that starts with padding gets EOS first (a real "!" too, if "!" is the padding token).
 */
static void chunk_repair(const struct tokenizer *t, int32_t *row)
{
	if (row[75] != t->eos && row[75] != t->pad)
		row[76] = t->eos;
	if (row[1] == t->pad)
		row[1] = t->eos;
}

int tokenizer_chunks(const struct tokenizer *t, const char *text, int32_t *out, int max_tokens,
		     struct err *e)
{
	int32_t row[225 + 2];
	int cut, n = max_tokens / 75;

	if (max_tokens % 75 || n < 1 || n > 3)
		return fail(e, "at most %d tokens were asked for, 75, 150 or 225 can be",
			    max_tokens);
	cut = tokenizer_row(t, text, row, max_tokens + 2, e);
	if (cut < 0)
		return -1;
	for (int k = 0; k < n; k++) {
		int32_t *to = out + 77 * k;

		to[0] = row[0];
		memcpy(to + 1, row + 1 + 75 * k, 75 * sizeof *to);
		to[76] = row[max_tokens + 1];
		if (n > 1 && t->pad != t->eos)
			chunk_repair(t, to);
	}
	return cut;
}
