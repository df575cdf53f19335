/* booth ls: stages; the runs, states and items of one. */
#include "stages/booth/booth.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define ITEMS_SHOWN 20          /* without --all: the newest */
#define ABOUT_SHOWN 60          /* bytes of a line's value */

/* ---- all stages ---- */

struct count {
	size_t objects, runs, items;
	int64_t bytes;
};

static int is_item(const char *text)
{
	const char *level = strchr(text, '\n');

	return level && starts_with(level, "\nitem\n");
}

static int count_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct count *c = data;

	(void)r, (void)kind;
	c->objects++;
	c->bytes += (int64_t)size;
	return 0;
}

static int count_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct count *c = data;

	(void)key, (void)r;
	*(is_item(text) ? &c->items : &c->runs) += 1;
	return 0;
}

static int ls_one_store(struct stores *s, struct buf *b, struct err *e)
{
	struct names stages = { 0 };
	int ret = stores_list(s, &stages, e);

	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		struct count c = { 0 };

		if (store_objects(s, stages.at[i], count_object, &c, e) < 0 ||
		    store_actions(s, stages.at[i], count_action, &c, e) < 0)
			ret = -1;
		buf_addf(b, "%s\t%zu\t%zu\t%zu\t", stages.at[i], c.runs, c.items, c.objects);
		text_bytes(b, c.bytes);
		buf_addc(b, '\n');
	}
	names_release(&stages);
	return ret;
}

/* More than one store: each under its name. */
static int ls_stages(struct stores *s, struct buf *b, struct err *e)
{
	int several = stores_second(s) != NULL, ret = 0;

	buf_adds(b, "stage\truns\titems\tobjects\tsize\n");
	for (; s && ret == 0; s = stores_second(s)) {
		if (several)
			buf_addf(b, "%s:\n", stores_root(s));
		ret = ls_one_store(s, b, e);
	}
	return ret;
}

/* ---- one stage ---- */

struct doing {
	char *text;
	struct ref out;
	double seconds;
	int64_t time;
};

struct doings {
	struct doing *at;
	size_t n, cap;
};

static int take(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct doings *all = data;
	const char *level = strchr(text, '\n');

	(void)key;
	if (!level || starts_with(level, "\ntool\n"))
		return 0;
	all->at = grow(all->at, all->n, &all->cap, sizeof *all->at);
	all->at[all->n++] = (struct doing){ xstrdup(text), r->out, r->seconds, r->time };
	return 0;
}

/* A line as it stands in the text, between line ends. */
static int has_line(const char *text, const char *line, size_t len)
{
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");

		if (n == len && !memcmp(at, line, len))
			return 1;
		at += n + (at[n] == '\n');
	}
	return 0;
}

static void put_value(struct buf *b, const char *line, size_t len)
{
	const char *name = memchr(line, ' ', len);
	size_t n;

	if (!name)
		return;
	len -= (size_t)(name + 1 - line);
	name++;
	n = len > ABOUT_SHOWN ? utf8_valid(name, ABOUT_SHOWN) : len;
	if (starts_with(line, "input ") && n > OID_HEX)         /* the beginning names it well enough */
		n -= OID_HEX - 8;
	buf_addf(b, "%s%.*s", b->len && b->at[b->len - 1] != '\t' ? ", " : "", (int)n, name);
}

/* What tells it from the one before it: the lines that are not in both. */
static void put_about(struct buf *b, const char *text, const char *before)
{
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, "\n");

		if (at != text && (!before || !has_line(before, at, n)))
			put_value(b, at, n);
		at += n + (at[n] == '\n');
	}
}

/* Those of a kind, newest first. */
static void put_kind(const struct doings *all, int items, size_t most, struct buf *b)
{
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	size_t shown = 0, n = 0;

	for (size_t i = all->n; i-- > 0;) {
		const struct doing *d = &all->at[i], *before = NULL;
		const char *level = strchr(d->text, '\n') + 1;

		if (is_item(d->text) != items || n++ >= most)
			continue;
		for (size_t k = i; k-- > 0 && !before;)
			if (is_item(all->at[k].text) == items)
				before = &all->at[k];
		shown++;
		buf_addf(b, "%s\t%.*s\t", items ? ref_short(&d->out, text) : ref_text(&d->out, text),
			 (int)strcspn(level, "\n"), level);
		put_time(b, d->time);
		buf_addc(b, '\t');
		text_seconds(b, d->seconds);
		buf_addc(b, '\t');
		put_about(b, d->text, before ? before->text : NULL);
		buf_addc(b, '\n');
	}
	if (n > shown)
		buf_addf(b, "... and %zu more %s (--all shows them)\n", n - shown,
			 items ? "items" : "runs");
}

/* 1 listed, 0 this store has nothing of the stage, -1. */
static int ls_one_stage(struct stores *s, const char *stage, size_t most, struct buf *b,
			struct err *e)
{
	struct names stages = { 0 };
	struct doings all = { 0 };
	int ret = stores_list(s, &stages, e), there = 0;

	for (size_t i = 0; i < stages.n; i++)
		there |= !strcmp(stages.at[i], stage);
	names_release(&stages);
	if (ret == 0 && there)
		ret = store_actions(s, stage, take, &all, e);
	put_kind(&all, 0, most, b);
	put_kind(&all, 1, most, b);
	for (size_t i = 0; i < all.n; i++)
		free(all.at[i].text);
	free(all.at);
	return ret < 0 ? -1 : there;
}

static int ls_stage(struct stores *s, const char *stage, int every, struct buf *b, struct err *e)
{
	int several = stores_second(s) != NULL, found = 0;

	buf_adds(b, "result\twhat\twhen\ttook\twhat is new in its text\n");
	for (struct stores *one = s; one; one = stores_second(one)) {
		int ret;

		if (several)
			buf_addf(b, "%s:\n", stores_root(one));
		ret = ls_one_stage(one, stage, every ? SIZE_MAX : ITEMS_SHOWN, b, e);
		if (ret < 0)
			return -1;
		found |= ret;
	}
	return found ? 0 : fail(e, "'%s' has no store of a stage '%s'", stores_root(s), stage);
}

int cmd_ls(int argc, char **argv, const struct command *c)
{
	int every = 0, words, code;
	const struct opt rows[] = {
		{ "all", OPT_FLAG, &every, "", "every run and item of the stage, not the newest only",
		  .quiet = 1 },
		{ 0 }
	};
	struct stores *s = NULL;
	struct buf b = { 0 };
	struct err e;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words > 1)
		code = command_usage(c, "one stage at most, %d were given", words);
	else if ((words ? ls_stage(s, argv[1], every, &b, &e) : ls_stages(s, &b, &e)) < 0)
		code = command_failed(&e);
	else
		print_columns(buf_str(&b));
	buf_release(&b);
	stores_close(s);
	return code;
}
