/* if ... endif and for ... endfor: which lines are read, and how often. */
#include "stages/booth/recipe_read.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static struct place place_at(const struct reader *rd, size_t at)
{
	return (struct place){ rd->source, at };
}

/* The line is left out: what it names is used all the same. */
static void leave_out(struct reader *rd, const struct line *l)
{
	size_t at = skip_blanks(rd->text, l->rest, l->stop);

	recipe_mention_all(rd->recipe, rd->text + at, l->stop - at);
	if (l->key == KEY_IFDEF || l->key == KEY_IFNDEF)
		recipe_mention(rd->recipe, rd->text + at, name_length(rd->text + at));
}

/* Nothing may stand behind a keyword. */
static int check_empty(const struct reader *rd, const struct line *l, struct err *e)
{
	if (skip_blanks(rd->text, l->rest, l->stop) < trim_end(rd->text, l->rest, l->stop))
		return place_fail(e, place_at(rd, skip_blanks(rd->text, l->rest, l->stop)),
				  "nothing is wanted behind '%s'", keyword_name(l->key));
	return 0;
}

/* The block that begins at `open` ends with another line than its own. */
static int wrong_end(const struct reader *rd, const struct line *open, const struct line *end,
		     const char *want, struct err *e)
{
	if (end->key == KEY_NONE)
		return place_fail(e, place_at(rd, open->at), "this '%s' is not closed, '%s' is missing",
				  keyword_name(open->key), want);
	return place_fail(e, place_at(rd, end->at), "'%s' stands where '%s' is wanted, for the '%s' in line %d",
			  keyword_name(end->key), want, keyword_name(open->key),
			  place_line(place_at(rd, open->at)));
}

static int go_deeper(struct reader *rd, const struct line *l, struct err *e)
{
	if (++rd->depth > NEST_LIMIT)
		return place_fail(e, place_at(rd, l->at), "more than %d blocks in each other",
				  NEST_LIMIT);
	return 0;
}

/* ---- conditions ---- */

/* ifdef NAME: set, and not to nothing. */
static int test_defined(struct reader *rd, const struct line *l, struct err *e)
{
	size_t at = skip_blanks(rd->text, l->rest, l->stop), end = trim_end(rd->text, at, l->stop);
	size_t n = name_length(rd->text + at);
	struct var *v;
	char *name;

	if (!n || at + n != end)
		return place_fail(e, place_at(rd, at), "'%s' wants the name of one variable",
				  keyword_name(l->key));
	recipe_mention(rd->recipe, rd->text + at, n);
	name = xstrndup(rd->text + at, n);
	v = scope_var(rd->recipe, rd->scope, name);
	free(name);
	return (v && *v->value) == (l->key == KEY_IFDEF);
}

/* The end of (A or of A,: where ')' or ',' stands outside of inner ones; `stop` if nowhere. */
static size_t find_close(const char *text, size_t at, size_t stop, char what)
{
	int depth = 0;

	for (; at < stop; at++) {
		if (text[at] == what && !depth)
			return at;
		depth += (text[at] == '(') - (text[at] == ')');
	}
	return stop;
}

/* Where the two sides are: (A,B), or each between quotes. 0 it is none of these. */
static int find_sides(struct reader *rd, size_t at, size_t stop, struct range side[2])
{
	const char *text = rd->text;

	if (at < stop && text[at] == '(') {
		size_t comma = find_close(text, at + 1, stop, ','), to[2] = { comma, 0 };

		to[1] = comma < stop ? find_close(text, comma + 1, stop, ')') : stop;
		for (int i = 0; i < 2; i++) {
			size_t from = skip_blanks(text, i ? comma + 1 : at + 1, to[i]);

			side[i] = (struct range){ place_at(rd, from), trim_end(text, from, to[i]) };
		}
		return to[1] < stop && skip_blanks(text, to[1] + 1, stop) == stop;
	}
	for (int i = 0; i < 2; i++) {
		const char *close;

		at = skip_blanks(text, at, stop);
		if (at >= stop || (text[at] != '"' && text[at] != '\''))
			return 0;
		close = memchr(text + at + 1, text[at], stop - at - 1);
		if (!close)
			return 0;
		side[i] = (struct range){ place_at(rd, at + 1), (size_t)(close - text) };
		at = side[i].end + 1;
	}
	return skip_blanks(text, at, stop) == stop;
}

static int test_equal(struct reader *rd, const struct line *l, struct err *e)
{
	size_t at = skip_blanks(rd->text, l->rest, l->stop), stop = trim_end(rd->text, at, l->stop);
	struct range side[2];
	struct buf value[2] = { { 0 }, { 0 } };
	int ret = 0;

	if (!find_sides(rd, at, stop, side))
		return place_fail(e, place_at(rd, at), "'%s (A,B)' or '%s \"A\" \"B\"' is wanted",
				  keyword_name(l->key), keyword_name(l->key));
	for (int i = 0; i < 2 && ret == 0; i++)
		ret = expand_text(rd->recipe, rd->scope, side[i], &value[i], e);
	if (ret == 0)
		ret = !strcmp(buf_str(&value[0]), buf_str(&value[1])) == (l->key == KEY_IFEQ);
	buf_release(&value[0]);
	buf_release(&value[1]);
	return ret;
}

/* 1 the lines below are read, 0 not, -1 */
static int test(struct reader *rd, const struct line *l, struct err *e)
{
	return l->key == KEY_IFDEF || l->key == KEY_IFNDEF ? test_defined(rd, l, e)
							   : test_equal(rd, l, e);
}

/* At an 'else': is what is below it read? `taken` says whether something above was. */
static int read_else(struct reader *rd, struct line *l, int taken, int *last, struct err *e)
{
	struct line next = *l;

	next.at = skip_blanks(rd->text, l->rest, l->stop);
	next.key = keyword_at(rd->text, next.at, l->stop, &next.rest);
	if (*last)
		return place_fail(e, place_at(rd, l->at), "a second 'else' without a condition");
	if (next.key >= KEY_IFEQ && next.key <= KEY_IFNDEF) {
		if (taken)
			leave_out(rd, &next);
		return taken ? 0 : test(rd, &next, e);
	}
	*last = 1;
	return check_empty(rd, l, e) < 0 ? -1 : !taken;
}

int read_if(struct reader *rd, const struct line *open, struct err *e)
{
	int outer = rd->skip, last = 0, now = outer ? 0 : test(rd, open, e), taken = outer || now;
	struct line end;

	if (now < 0 || go_deeper(rd, open, e) < 0)
		return -1;
	if (outer)
		leave_out(rd, open);
	for (;;) {
		rd->skip = outer || !now;
		if (read_lines(rd, &end, e) < 0)
			return -1;
		if (end.key != KEY_ELSE)
			break;
		now = read_else(rd, &end, taken, &last, e);
		if (now < 0)
			return -1;
		taken |= now;
	}
	rd->skip = outer;
	rd->depth--;
	return end.key == KEY_ENDIF ? check_empty(rd, &end, e)
				    : wrong_end(rd, open, &end, "endif", e);
}

/* ---- for ---- */

/* "NAME in": the name; *at is moved to the items. */
static char *read_for_name(struct reader *rd, const struct line *l, size_t *at, struct err *e)
{
	const char *text = rd->text;
	size_t name = skip_blanks(text, l->rest, l->stop), n = name_length(text + name), in;
	const struct var *v;
	char *copy;

	in = skip_blanks(text, name + n, l->stop);
	*at = in + 2;
	if (!n || in == name + n || in + 2 > l->stop || strncmp(text + in, "in", 2) ||
	    (in + 2 < l->stop && !strchr(" \t\r\n\\", text[in + 2]))) {
		place_fail(e, place_at(rd, name), "'for NAME in ITEM...' is wanted");
		return NULL;
	}
	copy = xstrndup(text + name, n);
	v = scope_var(rd->recipe, rd->scope, copy);
	if (!v || rd->skip)
		return copy;
	if (v->from == VAR_LINE)
		place_fail(e, place_at(rd, name),
			   "'%s' is set on the command line, but this 'for' gives it its values", copy);
	else
		place_fail(e, place_at(rd, name), "'%s' is set in %s:%d already, a 'for' wants another name",
			   copy, v->at.source->path, place_line(v->at));
	free(copy);
	return NULL;
}

static int read_body(struct reader *rd, const struct line *open, struct err *e)
{
	struct line end;

	rd->rule = -1;
	if (read_lines(rd, &end, e) < 0)
		return -1;
	return end.key == KEY_ENDFOR ? check_empty(rd, &end, e)
				     : wrong_end(rd, open, &end, "endfor", e);
}

static int read_items(struct reader *rd, const struct line *open, const char *name,
		      const struct words *item, struct err *e)
{
	size_t body = rd->at, at = skip_blanks(rd->text, open->rest, open->stop);
	struct scope *outer = rd->scope;
	int ret = 0;

	for (size_t i = 0; i < item->n && ret == 0; i++) {
		if (++*rd->items > ITEM_LIMIT)
			return place_fail(e, place_at(rd, open->at),
					  "more than %d items of all 'for' lines", ITEM_LIMIT);
		rd->at = body;
		rd->scope = scope_add(rd->recipe, outer);
		var_set(rd->recipe, rd->scope, name, xstrdup(item->at[i].text), VAR_ITEM,
			place_at(rd, at));
		ret = read_body(rd, open, e);
	}
	rd->scope = outer;
	return ret;
}

int read_for(struct reader *rd, const struct line *open, struct err *e)
{
	struct words item = { 0 };
	int outer = rd->skip, ret = -1;
	size_t at;
	char *name = read_for_name(rd, open, &at, e);

	if (!name || go_deeper(rd, open, e) < 0)
		goto out;
	if (outer)
		leave_out(rd, open);
	else if (expand_words(rd->recipe, rd->scope,
			      (struct range){ place_at(rd, at), open->stop }, &item, e) < 0)
		goto out;
	if (item.n) {
		ret = read_items(rd, open, name, &item, e);
	} else {
		rd->skip = 1;
		ret = read_body(rd, open, e);
	}
	rd->skip = outer;
	rd->rule = -1;
	rd->depth--;
out:
	words_release(&item);
	free(name);
	return ret;
}
