#include "common/flow/why.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define VALUE_SHOWN 60          /* bytes of a value; more is cut */
#define BEFORE_SHOWN 20         /* of them before the place where two long values differ */

/* A line: its first word, its name, its value; slices of the text. */
struct line {
	const char *at, *name, *value;
	size_t len, what_len, name_len, value_len;
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
	*l = (struct line){ .at = at, .len = len, .what_len = a, .name = at + b };
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

/* By bytes, then by place, so that of equal lines the first meets the first. */
static int compare_lines(const struct line *a, const struct line *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int order = memcmp(a->at, b->at, n);

	return order ? order : a->len < b->len ? -1 : a->len > b->len;
}

static int sort_lines(const void *a, const void *b)
{
	const struct line *x = *(struct line *const *)a, *y = *(struct line *const *)b;
	int order = compare_lines(x, y);

	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

static struct line **sorted(struct lines *l)
{
	struct line **by = xcalloc(l->n + 1, sizeof *by);

	for (size_t i = 0; i < l->n; i++)
		by[i] = &l->at[i];
	qsort(by, l->n, sizeof *by, sort_lines);
	return by;
}

/* Texts may have a line for each of many thousand inputs, most of them the same. */
static void take_same(struct lines *old, struct lines *new)
{
	struct line **a = sorted(old), **b = sorted(new);
	size_t i = 0, k = 0;

	while (i < old->n && k < new->n) {
		int order = compare_lines(a[i], b[k]);

		if (order == 0)
			a[i++]->taken = b[k++]->taken = 1;
		else if (order < 0)
			i++;
		else
			k++;
	}
	free(a);
	free(b);
}

/* The counterpart among what is left: the same first word and name. */
static struct line *counterpart(struct lines *in, const struct line *l)
{
	size_t head = l->what_len + (l->name_len ? 1 + l->name_len : 0);

	for (size_t i = 0; i < in->n; i++) {
		struct line *k = &in->at[i];

		if (!k->taken && k->what_len == l->what_len && k->name_len == l->name_len &&
		    !memcmp(k->at, l->at, head))
			return k;
	}
	return NULL;
}

static void add_change(struct line_changes *out, const struct line *was, const struct line *is)
{
	const struct line *l = is ? is : was;

	out->at = grow(out->at, out->n, &out->cap, sizeof *out->at);
	out->at[out->n++] = (struct line_change){
		.what = xstrndup(l->at, l->what_len),
		.name = xstrndup(l->name, l->name_len),
		.was = was ? xstrndup(was->value, was->value_len) : NULL,
		.is = is ? xstrndup(is->value, is->value_len) : NULL,
	};
}

void changes_find(struct line_changes *out, const char *old_text, const char *new_text)
{
	struct lines old = { 0 }, new = { 0 };
	struct line order;

	*out = (struct line_changes){ 0 };
	cut_all(&old, old_text);
	cut_all(&new, new_text);
	take_same(&old, &new);
	for (size_t i = 0; i < new.n; i++)
		if (!new.at[i].taken) {
			struct line *was = counterpart(&old, &new.at[i]);

			if (was)
				was->taken = 1;
			add_change(out, was, &new.at[i]);
		}
	for (size_t i = 0; i < old.n; i++)
		if (!old.at[i].taken)
			add_change(out, &old.at[i], NULL);
	if (!out->n && strcmp(old_text, new_text)) {
		cut(&order, "order changed", strlen("order changed"));
		add_change(out, &order, &order);
	}
	free(old.at);
	free(new.at);
}

void changes_release(struct line_changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->at[i].what);
		free(c->at[i].name);
		free(c->at[i].was);
		free(c->at[i].is);
	}
	free(c->at);
	*c = (struct line_changes){ 0 };
}

/* ---- for people ---- */

/* Values for people: cut where they are long, "nothing" where there is none. */
static void put_value(struct buf *out, const char *value, size_t from)
{
	size_t len;

	if (!value || !*value) {
		buf_adds(out, "nothing");
		return;
	}
	while (from && ((unsigned char)value[from] & 0xc0) == 0x80)
		from--;
	value += from;
	len = strlen(value);
	buf_adds(out, from ? "..." : "");
	buf_add(out, value, len > VALUE_SHOWN ? utf8_valid(value, VALUE_SHOWN) : len);
	buf_adds(out, len > VALUE_SHOWN ? "..." : "");
}

void change_values(struct buf *out, const char *was, const char *is)
{
	size_t same = 0, from = 0;

	while (was && is && was[same] && was[same] == is[same])
		same++;
	if (was && is && (strlen(was) > VALUE_SHOWN || strlen(is) > VALUE_SHOWN) &&
	    same > BEFORE_SHOWN + 3)
		from = same - BEFORE_SHOWN;
	put_value(out, was, from);
	buf_adds(out, " -> ");
	put_value(out, is, from);
}

/* "NAME VERSION" both: the name's length if it is the same, 0 if it is not. */
static size_t same_name(const char *was, const char *is)
{
	size_t n = strcspn(was, " ");

	return n == strcspn(is, " ") && !memcmp(was, is, n) && was[n] && is[n] ? n : 0;
}

void change_text(struct buf *out, const struct line_change *c)
{
	int param = !strcmp(c->what, "param");
	size_t n;

	if (param && !strcmp(c->name, "executable") && c->was && c->is) {
		n = same_name(c->was, c->is);
		if (n)
			buf_addf(out, "stage %.*s: version %s -> %s", (int)n, c->is, c->was + n + 1,
				 c->is + n + 1);
		else
			buf_addf(out, "stage %.*s -> %.*s", (int)strcspn(c->was, " "), c->was,
				 (int)strcspn(c->is, " "), c->is);
	} else if (!strcmp(c->what, "order")) {
		buf_adds(out, "the order of repeated options or inputs changed");
	} else if (!strcmp(c->what, "stage")) {
		buf_addf(out, "stage %s: version ", c->name);
		change_values(out, c->was, c->is);
	} else if (param) {
		buf_addf(out, "%s ", c->name);
		change_values(out, c->was, c->is);
	} else {
		buf_addf(out, "%s%s%s %s", c->what, *c->name ? " " : "", c->name,
			 !c->was ? "is new" : !c->is ? "is gone" : "changed");
	}
}

void change_lines(struct buf *out, const struct line_change *c, const char *indent)
{
	if (!strcmp(c->what, "order"))
		return;
	if (c->was)
		buf_addf(out, "%s- %s %s %s\n", indent, c->what, c->name, c->was);
	if (c->is)
		buf_addf(out, "%s+ %s %s %s\n", indent, c->what, c->name, c->is);
}

int action_diff(const char *old_text, const char *new_text, struct buf *out)
{
	struct line_changes c;
	int n;

	changes_find(&c, old_text, new_text);
	n = (int)c.n;
	for (size_t i = 0; i < c.n && out; i++) {
		if (out->len)
			buf_adds(out, "; ");
		change_text(out, &c.at[i]);
	}
	changes_release(&c);
	return n;
}
