/*
 * Learns a vocabulary in CLIP's format from captions: 256 bytes, the same 256 as ends of words,
 * then merges, most frequent pair first (ties: the pair seen first), until every word is one
 * token or --merges are there; then begin and end of text. transformers' CLIPTokenizer loads it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/data/tokenizer.h"

#define BYTES 256
#define PIECES (2 * BYTES)              /* bytes, bytes that end a word */
#define CAPTIONS_MAX ((size_t)256 << 20)
#define END "</w>"

static const char bos[] = "<|startoftext|>", eos[] = "<|endoftext|>";

struct word {
	int32_t *id;                    /* pieces, fewer with each merge */
	int n;
	int64_t times;
};

struct vocabulary {
	char **text;                    /* of pieces and merges */
	int32_t (*merge)[2];
	size_t n, cap, n_merges, cap_merges;
	struct word *word;
	size_t n_words, cap_words;
};

static void text_add(struct vocabulary *v, char *text)
{
	v->text = grow(v->text, v->n, &v->cap, sizeof *v->text);
	v->text[v->n++] = text;
}

static int is_plain(int byte)
{
	return tokenizer_byte_code(byte) == (uint32_t)byte;
}

/* In CLIP's order: printable bytes first. */
static void alphabet(struct vocabulary *v)
{
	for (int end = 0; end < 2; end++)
		for (int pass = 0; pass < 2; pass++)
			for (int b = 0; b < BYTES; b++) {
				struct buf s = { 0 };

				if (is_plain(b) == pass)
					continue;
				utf8_put(&s, tokenizer_byte_code(b));
				buf_adds(&s, end ? END : "");
				text_add(v, buf_detach(&s));
			}
}

static int put_file(const char *folder, const char *name, const struct buf *b, struct err *e)
{
	char *path = path_join(folder, name);
	int ret = file_replace(path, b->at, b->len, e);

	free(path);
	return ret;
}

static int put_vocab(const struct vocabulary *v, const char *folder, struct err *e)
{
	struct buf b = { 0 };
	int ret;

	buf_adds(&b, "{");
	for (size_t i = 0; i < v->n; i++) {
		json_put_text(&b, v->text[i]);
		buf_addf(&b, ": %zu, ", i);
	}
	buf_addf(&b, "\"%s\": %zu, \"%s\": %zu}\n", bos, v->n, eos, v->n + 1);
	ret = put_file(folder, "vocab.json", &b, e);
	buf_clear(&b);
	buf_adds(&b, "#version: 0.2\n");
	for (size_t i = 0; i < v->n_merges; i++)
		buf_addf(&b, "%s %s\n", v->text[v->merge[i][0]], v->text[v->merge[i][1]]);
	if (!ret)
		ret = put_file(folder, "merges.txt", &b, e);
	buf_release(&b);
	return ret;
}

static int put_config(const char *folder, struct err *e)
{
	struct buf b = { 0 };
	int ret;

	buf_addf(&b, "{\n  \"bos_token\": \"%s\",\n  \"eos_token\": \"%s\",\n", bos, eos);
	buf_addf(&b, "  \"pad_token\": \"%s\",\n  \"unk_token\": \"%s\"\n}\n", eos, eos);
	ret = put_file(folder, "special_tokens_map.json", &b, e);
	b.len -= 3;             /* the end, "\n}\n": the same members and more */
	buf_adds(&b, ",\n  \"add_prefix_space\": false,\n  \"do_lower_case\": true,\n"
		     "  \"errors\": \"replace\",\n  \"model_max_length\": 77,\n"
		     "  \"tokenizer_class\": \"CLIPTokenizer\"\n}\n");
	if (!ret)
		ret = put_file(folder, "tokenizer_config.json", &b, e);
	buf_release(&b);
	return ret;
}

static void word_count(struct vocabulary *v, const int32_t *id, int n)
{
	for (size_t i = 0; i < v->n_words; i++)
		if (v->word[i].n == n && !memcmp(v->word[i].id, id, (size_t)n * sizeof *id)) {
			v->word[i].times++;
			return;
		}
	v->word = grow(v->word, v->n_words, &v->cap_words, sizeof *v->word);
	v->word[v->n_words] = (struct word){ xcalloc((size_t)n, sizeof *id), n, 1 };
	memcpy(v->word[v->n_words++].id, id, (size_t)n * sizeof *id);
}

/* A vocabulary without merges cuts text into words for us: each ends with an id from 256 on. */
static int words_of(struct vocabulary *v, const struct tokenizer *t, const char *text,
		    struct err *e)
{
	int32_t *id = NULL;
	int n = tokenizer_encode(t, text, &id, e), from = 0;

	for (int i = 0; i < n; i++) {
		if (id[i] < BYTES)
			continue;
		if (id[i] < PIECES)
			word_count(v, id + from, i + 1 - from);
		from = i + 1;
	}
	free(id);
	return n < 0 ? -1 : 0;
}

static int lines_of(struct vocabulary *v, const struct tokenizer *t, const char *path,
		    struct err *e)
{
	struct buf b = { 0 };
	char *save = NULL;
	int ret = file_read(&b, path, CAPTIONS_MAX, e);

	if (!ret && b.len)
		for (char *s = strtok_r(b.at, "\r\n", &save); s &&
		     !ret; s = strtok_r(NULL, "\r\n", &save))
			ret = words_of(v, t, s, e);
	if (ret)
		err_prefix(e, "'%s'", path);
	buf_release(&b);
	return ret;
}

/* A file with a caption a line, or a folder with .txt and .caption files. */
static int captions_of(struct vocabulary *v, const struct tokenizer *t, const char *path,
		       struct err *e)
{
	struct names names = { 0 };
	int ret;

	if (!is_folder(path))
		return lines_of(v, t, path, e);
	ret = folder_list(&names, path, e);
	for (size_t i = 0; i < names.n && !ret; i++) {
		char *one;

		if (!ends_with(names.at[i], ".txt") && !ends_with(names.at[i], ".caption"))
			continue;
		one = path_join(path, names.at[i]);
		ret = lines_of(v, t, one, e);
		free(one);
	}
	names_release(&names);
	return ret;
}

static int words_read(struct vocabulary *v, const char *folder, const char *captions,
		      const char *extra, struct err *e)
{
	struct tokenizer *t = NULL;
	int ret = -1;

	if (put_vocab(v, folder, e) < 0 || put_config(folder, e) < 0 ||
	    tokenizer_open(&t, folder, e) < 0)
		goto out;
	if ((captions && captions_of(v, t, captions, e) < 0) ||
	    (extra && words_of(v, t, extra, e) < 0))
		goto out;
	ret = v->n_words ? 0 : fail(e,
				    "no words were given: --captions, --extra or both are wanted");
out:
	tokenizer_close(t);
	return ret;
}

struct pair {
	int32_t left, right;
	int64_t times;
};

static void pair_count(struct pair **list, size_t *n, size_t *cap, int32_t left, int32_t right,
		       int64_t times)
{
	for (size_t i = 0; i < *n; i++)
		if ((*list)[i].left == left && (*list)[i].right == right) {
			(*list)[i].times += times;
			return;
		}
	*list = grow(*list, *n, cap, sizeof **list);
	(*list)[(*n)++] = (struct pair){ left, right, times };
}

/* The most frequent pair of neighbours; 0 if every word is one piece. */
static int best_pair(const struct vocabulary *v, struct pair *best)
{
	struct pair *list = NULL;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < v->n_words; i++)
		for (int k = 0; k + 1 < v->word[i].n; k++)
			pair_count(&list, &n, &cap, v->word[i].id[k], v->word[i].id[k + 1],
				   v->word[i].times);
	*best = (struct pair){ 0 };
	for (size_t i = 0; i < n; i++)
		if (list[i].times > best->times)
			*best = list[i];
	free(list);
	return n > 0;
}

static void word_merge(struct word *w, const struct pair *p, int32_t id)
{
	int to = 0;

	for (int i = 0; i < w->n; to++) {
		int hit = i + 1 < w->n && w->id[i] == p->left && w->id[i + 1] == p->right;

		w->id[to] = hit ? id : w->id[i];
		i += 1 + hit;
	}
	w->n = to;
}

/* "ab" + "c" and "a" + "bc" are the same piece. */
static int32_t piece(struct vocabulary *v, char *text)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->text[i], text)) {
			free(text);
			return (int32_t)i;
		}
	text_add(v, text);
	return (int32_t)v->n - 1;
}

static void learn(struct vocabulary *v, size_t most)
{
	struct pair p = { 0 };

	while (v->n_merges < most && best_pair(v, &p)) {
		int32_t id = piece(v, xasprintf("%s%s", v->text[p.left], v->text[p.right]));

		for (size_t i = 0; i < v->n_words; i++)
			word_merge(&v->word[i], &p, id);
		v->merge = grow(v->merge, v->n_merges, &v->cap_merges, sizeof *v->merge);
		v->merge[v->n_merges][0] = p.left;
		v->merge[v->n_merges++][1] = p.right;
	}
}

static void vocabulary_release(struct vocabulary *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->text[i]);
	for (size_t i = 0; i < v->n_words; i++)
		free(v->word[i].id);
	free(v->text);
	free(v->merge);
	free(v->word);
}

static void help(const struct opt *rows)
{
	printf("vocabulary --out FOLDER [--captions FILE|FOLDER] [--extra WORDS]\n"
	       "learns a small vocabulary in CLIP's format\n\n");
	opt_help(rows, stdout);
}

int main(int argc, char **argv)
{
	const char *out = NULL, *captions = NULL, *extra = NULL;
	int64_t merges = 2000;
	const struct opt rows[] = {
		{ "out", OPT_TEXT, &out, "folder", "where the four files go", .required = 1 },
		{ "captions", OPT_TEXT, &captions, "path",
		  "a file with a caption a line, or a folder of .txt files", .min = 0 },
		{ "extra", OPT_TEXT, &extra, "words", "more text to learn words from", .min = 0 },
		{ "merges", OPT_INT, &merges, "", "at most so many are learned", .min = 0,
		  .max = 48894 },
		{ 0 }
	};
	struct vocabulary v = { 0 };
	struct err e = { { 0 } };
	int words = 0;

	program_name = "vocabulary";
	if (opt_wants_help(argc, argv)) {
		help(rows);
		return 0;
	}
	if (opt_parse(rows, argc, argv, &words, &e) < 0)
		die(2, "%s", e.text);
	if (words)
		die(2, "'%s' is not an option", argv[1]);
	alphabet(&v);
	if (make_folder(out, &e) < 0 || words_read(&v, out, captions, extra, &e) < 0)
		die(1, "%s", e.text);
	learn(&v, (size_t)merges);
	if (put_vocab(&v, out, &e) < 0)
		die(1, "%s", e.text);
	printf("%zu words, %zu merges, %zu ids\n", v.n_words, v.n_merges, v.n + 2);
	vocabulary_release(&v);
	return 0;
}
