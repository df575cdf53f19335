/* Tables about text: token ids, kohya's chunks, kohya's captions. */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/caption.h"
#include "common/data/tokenizer.h"

/* Decode \\ \t \n \r and \xHH in place; the length, as the text may hold NUL. */
static size_t unescape(char *s)
{
	char *to = s;
	unsigned byte;

	for (const char *at = s; *at; to++) {
		if (*at != '\\') {
			*to = *at++;
		} else if (at[1] == 'x' && sscanf(at + 2, "%2x", &byte) == 1) {
			*to = (char)byte;
			at += 4;
		} else {
			at++;
			*to = *at == 't' ? '\t' : *at == 'n' ? '\n' : *at == 'r' ? '\r' : '\\';
			at++;
		}
	}
	*to = 0;
	return (size_t)(to - s);
}

/* The next line cut into `n` cells (missing ones are ""); 0 at the end. */
static int next_row(char **at, char **cell, int n)
{
	static char empty[1];
	char *line = *at, *end = line + strcspn(line, "\n");

	if (!*line)
		return 0;
	*at = *end ? end + 1 : end;
	*end = 0;
	for (int i = 0; i < n; i++) {
		cell[i] = line ? line : empty;
		line = line ? strchr(line, '\t') : NULL;
		if (line)
			*line++ = 0;
	}
	return 1;
}

static void put_ids(struct buf *b, const int32_t *ids, int n)
{
	for (int i = 0; i < n; i++)
		buf_addf(b, "%s%d", i ? " " : "", (int)ids[i]);
}

/* Where a row came from, and the count of those that differ. */
struct place {
	const char *path;
	int row, *wrong;
};

static void row_differs(const struct place *p, const char *text, const char *got, const char *want)
{
	++*p->wrong;
	golden_row(p->path, p->row, "'%s' gives '%s', not '%s'", text, got, want);
}

/* A tokenizer whose padding token is EOS, and one with "!": the models' folders have both. */
static int tokenizers(const char *root, struct tokenizer *t[2], struct err *e)
{
	static const char *const models[2] = { "sd1-tiny", "sd2-tiny" };

	for (int i = 0; i < 2; i++) {
		char *folder = xasprintf("%s/models/%s/tokenizer", root, models[i]);
		int bad = tokenizer_open(&t[i], folder, e);

		free(folder);
		if (bad)
			return -1;
	}
	return 0;
}

static int ids_row(const struct tokenizer *t, const char *text, size_t len, const char *want,
		   const struct place *p, struct err *e)
{
	int32_t *ids = NULL;
	struct buf b = { 0 };
	int n = tokenizer_encode_n(t, text, len, &ids, e);

	if (n < 0)
		return -1;
	buf_addf(&b, "%d ", tokenizer_bos(t));
	put_ids(&b, ids, n);
	buf_addf(&b, "%s%d", n ? " " : "", tokenizer_eos(t));
	if (strcmp(b.at, want))
		row_differs(p, text, b.at, want);
	buf_release(&b);
	free(ids);
	return 0;
}

static int tokens_check(const char *root, const char *path, int *rows, int *wrong, struct err *e)
{
	struct tokenizer *t[2] = { NULL, NULL };
	struct buf file = { 0 };
	char *cell[9], *at;
	struct place p = { path, 1, wrong };
	int ret = -1;

	if (tokenizers(root, t, e) < 0 || file_read(&file, path, 1 << 28, e) < 0)
		goto out;
	at = file.at;
	next_row(&at, cell, 9);
	for (p.row = 1; next_row(&at, cell, 9); p.row++) {
		const char *fast = *cell[4] ? cell[4] : cell[2], *bang = *cell[7] ? cell[7] : fast;
		size_t len = unescape(cell[1]);

		*rows += 2;
		if (ids_row(t[0], cell[1], len, fast, &p, e) < 0 ||
		    ids_row(t[1], cell[1], len, bang, &p, e) < 0)
			goto out;
	}
	ret = 0;
out:
	tokenizer_close(t[0]);
	tokenizer_close(t[1]);
	buf_release(&file);
	return ret;
}

static int chunks_row(const struct tokenizer *t, char **cell, const struct place *p, struct err *e)
{
	int32_t ids[3 * 77];
	struct buf b = { 0 };
	int64_t max;

	if (text_int(cell[1], &max) < 0)
		return fail(e, "'%s' is no number of tokens", cell[1]);
	unescape(cell[2]);
	if (tokenizer_chunks(t, cell[2], ids, (int)max, e) < 0)
		return -1;
	for (int k = 0; k < max / 75; k++) {
		buf_adds(&b, k ? " | " : "");
		put_ids(&b, ids + 77 * k, 77);
	}
	if (strcmp(b.at, cell[3]))
		row_differs(p, cell[2], b.at, cell[3]);
	buf_release(&b);
	return 0;
}

static int chunks_check(const char *root, const char *path, int *rows, int *wrong, struct err *e)
{
	struct tokenizer *t[2] = { NULL, NULL };
	struct buf file = { 0 };
	char *cell[4], *at;
	struct place p = { path, 1, wrong };
	int ret = -1;

	if (tokenizers(root, t, e) < 0 || file_read(&file, path, 1 << 28, e) < 0)
		goto out;
	at = file.at;
	next_row(&at, cell, 4);
	for (; next_row(&at, cell, 4); ++*rows, p.row++) {
		int late_pad = !strcmp(cell[0], "xl2");

		tokenizer_set_pad(t[0], late_pad ? 0 : tokenizer_eos(t[0]));
		if (chunks_row(t[!strcmp(cell[0], "v2")], cell, &p, e) < 0)
			goto out;
	}
	ret = 0;
out:
	tokenizer_close(t[0]);
	tokenizer_close(t[1]);
	buf_release(&file);
	return ret;
}

static void rules_of(struct caption_rules *r, const struct json *o)
{
	*r = (struct caption_rules){
		.prefix = json_text(json_get(o, "caption_prefix"), NULL),
		.suffix = json_text(json_get(o, "caption_suffix"), NULL),
		.separator = json_text(json_get(o, "caption_separator"), ","),
		.secondary_separator = json_text(json_get(o, "secondary_separator"), NULL),
		.keep_separator = json_text(json_get(o, "keep_tokens_separator"), NULL),
		.keep_tokens = json_int(json_get(o, "keep_tokens"), 0),
		.wildcard = json_bool(json_get(o, "enable_wildcard"), 0),
		.shuffle = json_bool(json_get(o, "shuffle_caption"), 0),
		.dropout = json_float(json_get(o, "caption_dropout_rate"), 0),
		.tag_dropout = json_float(json_get(o, "caption_tag_dropout_rate"), 0),
		.dropout_every_epochs = json_int(json_get(o, "caption_dropout_every_n_epochs"), 0),
		.warmup_min = json_int(json_get(o, "token_warmup_min"), 1),
		.warmup_steps = json_float(json_get(o, "token_warmup_step"), 0),
		.total_steps = json_int(json_get(o, "max_train_steps"), 0),
	};
}

struct draws {                  /* recorded outcomes, as the draws that lead to them */
	double at[256];
	int n, used;
};

static double next_draw(void *state)
{
	struct draws *d = state;

	return d->used < d->n ? d->at[d->used++] : (d->used++, 0);
}

static void add_draw(struct draws *d, double x)
{
	if (d->n < 256)
		d->at[d->n++] = x;
}

/* "s2,0,1": which swaps of a Fisher-Yates shuffle, from the back, put the items there. */
static void add_shuffle(struct draws *d, const char *s)
{
	int want[64], now[64], n = 0;

	for (char *end; *s && n < 64; s = *end ? end + 1 : end) {
		want[n] = (int)strtol(s, &end, 10);
		now[n] = n;
		n++;
	}
	for (int i = n - 1; i >= 1; i--) {
		int j = 0;

		while (j < i && now[j] != want[i])
			j++;
		add_draw(d, (j + .5) / (i + 1));
		now[j] = now[i];
	}
}

static void draws_of(struct draws *d, char *s)
{
	char *save = NULL;
	int i, n;

	for (char *w = strtok_r(s, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (*w == 's')
			add_shuffle(d, w + 1);
		else if (*w == 'c' && sscanf(w, "c%d/%d", &i, &n) == 2)
			add_draw(d, (i + .5) / n);
		else
			add_draw(d, strtod(w + 1, NULL));
	}
}

static int caption_row(char **cell, const struct place *p, struct err *e)
{
	struct json *options = NULL;
	struct caption_rules r;
	struct draws d = { .n = 0 };
	struct buf b = { 0 };

	if (json_parse(&options, cell[2], strlen(cell[2]), "options", e) < 0)
		return -1;
	rules_of(&r, options);
	draws_of(&d, cell[4]);
	unescape(cell[3]);
	unescape(cell[5]);
	caption_apply(&b, &r, cell[3], json_int(json_get(options, "step"), 0),
		      json_int(json_get(options, "epoch"), 1),
		      next_draw, &d);
	if (strcmp(buf_str(&b), cell[5]))
		row_differs(p, cell[3], buf_str(&b), cell[5]);
	else if (d.used != d.n)
		row_differs(p, cell[3], "another number of draws", cell[1]);
	buf_release(&b);
	json_free(options);
	return 0;
}

static int captions_check(const char *root, const char *path, int *rows, int *wrong, struct err *e)
{
	struct buf file = { 0 };
	char *cell[6], *at;
	struct place p = { path, 1, wrong };
	int ret = -1;

	(void)root;
	if (file_read(&file, path, 1 << 28, e) < 0)
		goto out;
	at = file.at;
	next_row(&at, cell, 6);
	for (; next_row(&at, cell, 6); ++*rows, p.row++)
		if (caption_row(cell, &p, e) < 0)
			goto out;
	ret = 0;
out:
	buf_release(&file);
	return ret;
}

const struct golden_group golden_table_tokenizer = { "tables/tokenizer-clip.tsv", NULL,
	tokens_check };
const struct golden_group golden_table_chunks = { "tables/chunks-225.tsv", NULL, chunks_check };
const struct golden_group golden_table_captions = { "tables/captions-kohya.tsv", NULL,
	captions_check };
