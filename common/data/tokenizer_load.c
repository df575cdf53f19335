#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/data/tokenizer.h"
#include "common/data/tokenizer_part.h"

#define FILE_MAX ((size_t)64 << 20)
#define ID_MAX (1 << 24)
#define END "</w>"                      /* the mark of a word's last piece */

/* Names of ids, hashed; the texts stay in the JSON document. */
struct vocab {
	struct { const char *text; int32_t id; } *slot;
	uint32_t mask;
	const char *file;               /* for messages */
};

static uint32_t text_hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h ^ h >> 15;
}

static uint32_t slots_for(size_t n)
{
	uint32_t slots = 64;

	while (slots < 2 * n)
		slots *= 2;
	return slots;
}

static int32_t vocab_find(const struct vocab *v, const char *text)
{
	for (uint32_t i = text_hash(text) & v->mask; v->slot[i].text; i = (i + 1) & v->mask)
		if (!strcmp(v->slot[i].text, text))
			return v->slot[i].id;
	return -1;
}

static int vocab_fill(struct vocab *v, struct tokenizer *t, const struct json *from,
		      const char *file, struct err *e)
{
	size_t n = json_count(from);

	if (json_type(from) != JSON_OBJECT || !n || n > ID_MAX)
		return fail(e, "'%s' has no vocabulary: an object of tokens and ids is wanted",
			    file);
	v->file = file;
	v->mask = slots_for(n) - 1;
	v->slot = xcalloc((size_t)v->mask + 1, sizeof *v->slot);
	for (size_t i = 0; i < n; i++) {
		const char *text;
		int64_t id = json_int(json_member(from, i, &text), -1);
		uint32_t at = text_hash(text) & v->mask;

		if (id < 0 || id >= ID_MAX)
			return fail(e, "'%s': the id of '%s' is no number from 0 to %d", file, text,
				    ID_MAX - 1);
		while (v->slot[at].text)
			at = (at + 1) & v->mask;
		v->slot[at].text = text;
		v->slot[at].id = (int32_t)id;
		if (id >= t->n_ids)
			t->n_ids = (int)id + 1;
	}
	return 0;
}

uint32_t merge_slot(uint32_t left, uint32_t right)
{
	uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;

	return (uint32_t)(h >> 32);
}

const struct merge *merge_find(const struct tokenizer *t, int32_t left, int32_t right)
{
	uint32_t i = merge_slot((uint32_t)left, (uint32_t)right) & t->merge_mask;

	for (; t->merge[i].id >= 0; i = (i + 1) & t->merge_mask)
		if (t->merge[i].left == (uint32_t)left && t->merge[i].right == (uint32_t)right)
			return &t->merge[i];
	return NULL;
}

static void merges_begin(struct tokenizer *t, size_t n)
{
	t->merge_mask = slots_for(n) - 1;
	t->merge = xcalloc((size_t)t->merge_mask + 1, sizeof *t->merge);
	for (size_t i = 0; i <= t->merge_mask; i++)
		t->merge[i].id = -1;
}

/* One merge, "left right"; `where` is the file and the line or item, for messages. */
static int merge_add(struct tokenizer *t, const struct vocab *v, const char *left,
		     const char *right,
		     int32_t rank, const char *where, struct err *e)
{
	char *both = xasprintf("%s%s", left, right);
	const char *part[3] = { left, right, both };
	int32_t id[3];
	uint32_t i;
	int ret = -1;

	for (int k = 0; k < 3; k++) {
		id[k] = vocab_find(v, part[k]);
		if (id[k] < 0) {
			fail(e, "'%s', merge %d: '%s' is not in '%s'", where, rank + 1, part[k],
			     v->file);
			goto out;
		}
	}
	ret = 0;
	if (merge_find(t, id[0], id[1]))
		goto out;
	i = merge_slot((uint32_t)id[0], (uint32_t)id[1]) & t->merge_mask;
	while (t->merge[i].id >= 0)
		i = (i + 1) & t->merge_mask;
	t->merge[i] = (struct merge){ (uint32_t)id[0], (uint32_t)id[1], rank, id[2] };
out:
	free(both);
	return ret;
}

static int merge_line(struct tokenizer *t, const struct vocab *v, char *line, int32_t rank,
		      const char *where, struct err *e)
{
	char *blank = strchr(line, ' ');

	if (!blank || strchr(blank + 1, ' '))
		return fail(e, "'%s', merge %d: '%s' is not two pieces with a blank between", where,
			    rank + 1, line);
	*blank = 0;
	return merge_add(t, v, line, blank + 1, rank, where, e);
}

/* merges.txt: a line "#version: ...", then a merge a line. */
static int merges_text(struct tokenizer *t, const struct vocab *v, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int32_t rank = 0;
	size_t lines = 1;
	char *next;
	int ret = -1;

	if (file_read(&b, path, FILE_MAX, e) < 0)
		goto out;
	for (size_t i = 0; i < b.len; i++)
		lines += b.at[i] == '\n';
	merges_begin(t, lines);
	for (char *line = b.at; line && *line; line = next) {
		size_t len = strcspn(line, "\n");

		next = line[len] ? line + len + 1 : NULL;
		if (len && line[len - 1] == '\r')
			len--;
		line[len] = 0;
		if (!len || (line == b.at && starts_with(line, "#version")))
			continue;
		if (merge_line(t, v, line, rank++, path, e) < 0)
			goto out;
	}
	ret = 0;
out:
	buf_release(&b);
	return ret;
}

/* tokenizer.json's model.merges: "left right" or ["left", "right"]. */
static int merges_list(struct tokenizer *t, const struct vocab *v, const struct json *list,
		       const char *path, struct err *e)
{
	size_t n = json_count(list);

	if (json_type(list) != JSON_LIST || n > ID_MAX)
		return fail(e, "'%s' has no list of merges", path);
	merges_begin(t, n);
	for (size_t i = 0; i < n; i++) {
		const struct json *m = json_at(list, i);
		char *line;
		int bad;

		if (json_count(m) == 2) {
			const char *left = json_text(json_at(m, 0),
						     ""), *right = json_text(json_at(m, 1), "");
			if (merge_add(t, v, left, right, (int32_t)i, path, e) < 0)
				return -1;
			continue;
		}
		line = xstrdup(json_text(m, ""));
		bad = merge_line(t, v, line, (int32_t)i, path, e);
		free(line);
		if (bad)
			return -1;
	}
	return 0;
}

uint32_t tokenizer_byte_code(int byte)
{
	if (byte <= 0x20)
		return 0x100 + (uint32_t)byte;
	if (byte >= 0x7f && byte <= 0xa0)
		return 0x100 + 0x21 + (uint32_t)(byte - 0x7f);
	return byte == 0xad ? 0x100 + 0x21 + 0x22 : (uint32_t)byte;
}

static void bytes_fill(struct tokenizer *t, const struct vocab *v)
{
	struct buf s = { 0 };

	for (int b = 0; b < 256; b++) {
		buf_clear(&s);
		utf8_put(&s, tokenizer_byte_code(b));
		t->byte[b] = vocab_find(v, buf_str(&s));
		buf_adds(&s, END);
		t->last[b] = vocab_find(v, buf_str(&s));
		if (t->byte[b] < 0)
			t->byte[b] = t->unk;
		if (t->last[b] < 0)
			t->last[b] = t->unk;
	}
	buf_release(&s);
}

/* Kept with the longest first, so that the first match is the longest. */
static void special_add(struct tokenizer *t, const char *text, int32_t id)
{
	size_t len = strlen(text), i = t->n_special;

	for (size_t k = 0; k < t->n_special; k++)
		if (!strcmp(t->special[k].text, text))
			return;
	if (!len)
		return;
	t->special = grow(t->special, t->n_special, &t->cap_special, sizeof *t->special);
	for (; i > 0 && t->special[i - 1].len < len; i--)
		t->special[i] = t->special[i - 1];
	t->special[i] = (struct special){ xstrdup(text), len, id };
	t->n_special++;
	if (id >= t->n_ids)
		t->n_ids = id + 1;
}

/* A token is written as its text or as an object with "content". */
static const char *token_text(const struct json *v)
{
	return json_text(v, json_text(json_get(v, "content"), NULL));
}

static int special_by_name(struct tokenizer *t, const struct vocab *v, const char *text,
			   int32_t *id, struct err *e)
{
	*id = vocab_find(v, text);
	for (size_t i = 0; i < t->n_special; i++)
		if (!strcmp(t->special[i].text, text))
			*id = t->special[i].id;
	if (*id < 0)
		return fail(e, "the special token '%s' is not in '%s'", text, v->file);
	special_add(t, text, *id);
	return 0;
}

/* The first file that names the token counts; `otherwise` where none does. */
static const char *special_text(struct json *const *files, const char *name, const char *otherwise)
{
	const char *text = token_text(json_get(files[0], name));

	if (!text)
		text = token_text(json_get(files[1], name));
	return text ? text : otherwise;
}

static int added_one(struct tokenizer *t, const char *text, int64_t id, struct err *e)
{
	if (!text || id < 0 || id >= ID_MAX)
		return fail(e, "the added token '%s' has the id %lld, 0 to %d are possible",
			    text ? text : "?", (long long)id, ID_MAX - 1);
	special_add(t, text, (int32_t)id);
	return 0;
}

/*
 * Tokens added to the vocabulary: a list in tokenizer.json, by id in tokenizer_config.json, by
 * text in added_tokens.json.
 */
static int added_load(struct tokenizer *t, const struct json *list, const struct json *by_id,
		      const struct json *by_text, struct err *e)
{
	const char *name;

	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *one = json_at(list, i);
		if (added_one(t, token_text(one), json_int(json_get(one, "id"), -1), e) < 0)
			return -1;
	}
	for (size_t i = 0; i < json_count(by_id); i++) {
		const struct json *one = json_member(by_id, i, &name);
		int64_t id = -1;

		text_int(name, &id);
		if (added_one(t, token_text(one), id, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < json_count(by_text); i++) {
		const struct json *one = json_member(by_text, i, &name);
		if (added_one(t, name, json_int(one, -1), e) < 0)
			return -1;
	}
	return 0;
}

static int specials_load(struct tokenizer *t, const struct vocab *v, struct json *const *files,
			 const struct json *added, const struct json *more, struct err *e)
{
	const char *bos = special_text(files, "bos_token", "<|startoftext|>");
	const char *eos = special_text(files, "eos_token", "<|endoftext|>");
	int32_t id;

	if (added_load(t, added, json_get(files[0], "added_tokens_decoder"), more, e) < 0 ||
	    special_by_name(t, v, bos, &t->bos, e) < 0 || special_by_name(t, v, eos, &t->eos,
									  e) < 0 ||
	    special_by_name(t, v, special_text(files, "unk_token", eos), &t->unk, e) < 0 ||
	    special_by_name(t, v, special_text(files, "pad_token", eos), &t->pad, e) < 0)
		return -1;
	for (int f = 0; f < 2; f++) {
		const struct json *list = json_get(files[f], "additional_special_tokens");
		for (size_t i = 0; i < json_count(list); i++) {
			const char *text = token_text(json_at(list, i));
			if (text && special_by_name(t, v, text, &id, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* A file that may be missing: *out stays NULL then. */
static int json_maybe(struct json **out, const char *folder, const char *name, struct err *e)
{
	char *path = path_join(folder, name);
	int ret = is_file(path) ? json_read(out, path, e) : 0;

	free(path);
	return ret;
}

static int tables_load(struct tokenizer *t, struct vocab *v, const struct json *vocab,
		       const struct json *whole,
		       const char *vocab_path, const char *merges_path, struct err *e)
{
	const struct json *model = json_get(whole, "model");

	if (vocab) {
		if (vocab_fill(v, t, vocab, vocab_path, e) < 0)
			return -1;
		return merges_text(t, v, merges_path, e);
	}
	if (strcmp(json_text(json_get(model, "end_of_word_suffix"), ""), END))
		return fail(e,
			    "'%s' is not CLIP's: its end_of_word_suffix is '%s', not '%s'",
			    vocab_path, json_text(json_get(model, "end_of_word_suffix"), ""), END);
	return vocab_fill(v, t, json_get(model, "vocab"), vocab_path, e) < 0 ? -1 :
	       merges_list(t, v, json_get(model, "merges"), vocab_path, e);
}

int tokenizer_load(struct tokenizer *t, const char *folder, struct err *e)
{
	char *vocab_path = path_join(folder, "vocab.json"), *merges_path = path_join(folder,
										     "merges.txt");
	char *whole_path = path_join(folder, "tokenizer.json");
	struct json *vocab = NULL, *whole = NULL, *more = NULL, *config[2] = { NULL, NULL };
	struct vocab v = { 0 };
	int ret = -1, two = is_file(vocab_path) && is_file(merges_path);

	if (!two && !is_file(whole_path)) {
		fail(e,
		     "'%s' has no vocab.json with merges.txt, and no tokenizer.json", folder);
		goto out;
	}
	if ((two ? json_read(&vocab, vocab_path, e) : json_read(&whole, whole_path, e)) < 0)
		goto out;
	if (json_maybe(&config[0], folder, "tokenizer_config.json", e) < 0 ||
	    json_maybe(&config[1], folder, "special_tokens_map.json", e) < 0 ||
	    json_maybe(&more, folder, "added_tokens.json", e) < 0)
		goto out;
	if (tables_load(t, &v, vocab, whole, two ? vocab_path : whole_path, merges_path, e) < 0 ||
	    specials_load(t, &v, config, json_get(whole, "added_tokens"), more, e) < 0)
		goto out;
	bytes_fill(t, &v);
	ret = 0;
out:
	free(v.slot);
	json_free(vocab);
	json_free(whole);
	json_free(more);
	json_free(config[0]);
	json_free(config[1]);
	free(vocab_path);
	free(merges_path);
	free(whole_path);
	return ret;
}
