#include "common/flow/why.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* A line: its first word, its name, its value; slices of the text. */
struct line {
	const char *what, *name, *value;
	size_t what_len, name_len, value_len;
	int taken;
};

struct lines {
	struct line *at;
	size_t n, cap;
};

static void cut(struct line *l, const char *at, size_t len)
{
	size_t a = 0, b;

	while (a < len && at[a] != ' ')
		a++;
	b = a < len ? a + 1 : len;
	*l = (struct line){ .what = at, .what_len = a, .name = at + b };
	while (b < len && at[b] != ' ')
		b++;
	l->name_len = (size_t)(at + b - l->name);
	b = b < len ? b + 1 : len;
	l->value = at + b;
	l->value_len = len - b;
}

static void cut_all(struct lines *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		out->at = grow(out->at, out->n, &out->cap, sizeof *out->at);
		cut(&out->at[out->n++], text, len);
		text += len + (text[len] == '\n');
	}
}

static int same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && !memcmp(a, b, a_len);
}

/*
 * The counterpart: the same first word and name, in order, so that a repeated input meets its twin.
 */
static struct line *counterpart(struct lines *in, const struct line *l)
{
	for (size_t i = 0; i < in->n; i++) {
		struct line *k = &in->at[i];

		if (!k->taken && same(k->what, k->what_len, l->what, l->what_len) &&
		    same(k->name, k->name_len, l->name, l->name_len))
			return k;
	}
	return NULL;
}

static int is_what(const struct line *l, const char *what)
{
	return same(l->what, l->what_len, what, strlen(what));
}

/* Values for people: cut where they are long, "nothing" where empty. */
static void put_value(struct buf *out, const char *at, size_t len)
{
	size_t n = len > 60 ? utf8_valid(at, 60) : len;

	if (!len)
		buf_adds(out, "nothing");
	buf_add(out, at, n);
	if (n < len)
		buf_adds(out, "...");
}

static void put_change(struct buf *out, const struct line *old, const struct line *new)
{
	const struct line *l = new ? new : old;

	if (out->len)
		buf_adds(out, "; ");
	if (is_what(l, "stage"))
		buf_addf(out, "stage %.*s: version ", (int)l->name_len, l->name);
	else if (!is_what(l, "param"))
		buf_addf(out, "%.*s%s%.*s", (int)l->what_len, l->what, l->name_len ? " " : "",
			 (int)l->name_len, l->name);
	else
		buf_addf(out, "%.*s ", (int)l->name_len, l->name);
	if (is_what(l, "param") || is_what(l, "stage")) {
		put_value(out, old ? old->value : "", old ? old->value_len : 0);
		buf_adds(out, " -> ");
		put_value(out, new ? new->value : "", new ? new->value_len : 0);
	} else {
		buf_adds(out, !old ? " is new" : !new ? " is gone" : " changed");
	}
}

int action_diff(const char *old_text, const char *new_text, struct buf *out)
{
	struct lines old = { 0 }, new = { 0 };
	struct buf own = { 0 };
	int n = 0;

	cut_all(&old, old_text);
	cut_all(&new, new_text);
	for (size_t i = 0; i < new.n; i++) {
		struct line *l = &new.at[i], *was = counterpart(&old, l);

		if (was)
			was->taken = 1;
		if (was && same(was->value, was->value_len, l->value, l->value_len))
			continue;
		put_change(&own, was, l);
		n++;
	}
	for (size_t i = 0; i < old.n; i++)
		if (!old.at[i].taken) {
			put_change(&own, &old.at[i], NULL);
			n++;
		}
	if (out)
		buf_add(out, own.at, own.len);
	buf_release(&own);
	free(old.at);
	free(new.at);
	return n;
}
