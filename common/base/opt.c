#include "common/base/opt.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/opt_impl.h"
#include "common/base/text.h"

const struct opt *opt_find(const struct opt *rows, const char *name)
{
	for (; rows->name; rows++)
		if (!strcmp(rows->name, name))
			return rows;
	return NULL;
}

int opt_wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return 1;
	return 0;
}

static int unknown(const struct opt *rows, const char *name, struct err *e)
{
	const struct opt *near = NULL;
	int least = 3 + (int)strlen(name) / 4;

	for (; rows->name; rows++) {
		int d = text_distance(name, rows->name);

		if (d < least) {
			least = d;
			near = rows;
		}
	}
	if (near)
		return fail(e, "there is no option '--%s', did you mean '--%s'", name, near->name);
	return fail(e, "there is no option '--%s'; --help lists those that there are", name);
}

static int outside(const struct opt *row, double v, const char *text, struct err *e)
{
	struct buf b = { 0 };

	if (row->min >= row->max || (v >= row->min && v <= row->max))
		return 0;
	opt_limits(&b, row);
	fail(e, "option '--%s' is '%s', %s is wanted", row->name, text, buf_str(&b));
	buf_release(&b);
	return -1;
}

static int choose(const struct opt *row, const char *v, struct err *e)
{
	size_t n = strlen(v);

	for (const char *p = row->choices; *p; ) {
		size_t m = strcspn(p, " ");

		if (m == n && m && !memcmp(p, v, n)) {
			*(const char **)row->at = v;
			return 0;
		}
		p += m + (p[m] == ' ');
	}
	return fail(e, "option '--%s' is '%s', one of these is wanted: %s", row->name, v, row->choices);
}

static int take_text(const struct opt *row, const char *v, struct err *e)
{
	size_t n = strlen(v);

	if (utf8_valid(v, n) != n)
		return fail(e, "option '--%s' is not valid UTF-8 from byte %zu on", row->name, utf8_valid(v, n));
	if (strpbrk(v, "\r\n"))
		return fail(e, "option '--%s' holds a line end, one line of text is wanted", row->name);
	*(const char **)row->at = v;
	return 0;
}

static int take_number(const struct opt *row, const char *v, struct err *e)
{
	int64_t i;
	double f;

	if (row->type == OPT_FLOAT) {
		if (text_float(v, &f) < 0)
			return fail(e, "option '--%s' is '%s', a number is wanted", row->name, v);
		if (outside(row, f, v, e) < 0)
			return -1;
		*(double *)row->at = f;
		return 0;
	}
	if (row->type == OPT_INT && text_int(v, &i) < 0)
		return fail(e, "option '--%s' is '%s', a whole number is wanted", row->name, v);
	if (row->type == OPT_SIZE && text_size(v, &i) < 0)
		return fail(e, "option '--%s' is '%s', a size such as 512M or 8G is wanted", row->name, v);
	if (outside(row, (double)i, v, e) < 0)
		return -1;
	*(int64_t *)row->at = i;
	return 0;
}

static int take(const struct opt *row, const char *v, struct err *e)
{
	switch (row->type) {
	case OPT_INT:
	case OPT_FLOAT:
	case OPT_SIZE:
		return take_number(row, v, e);
	case OPT_CHOICE:
		return choose(row, v, e);
	case OPT_TEXT:
		return take_text(row, v, e);
	case OPT_REF:
	case OPT_PATH:
		if (!*v)
			return fail(e, "option '--%s' is empty", row->name);
		*(const char **)row->at = v;
		return 0;
	default:
		BUG("option '%s' has type %d", row->name, row->type);
	}
}

/* What was met on the command line and must be put back into argv in another order. */
struct seen {
	const struct opt *row;          /* NULL: a word */
	char *value;
};

/*
 * Words go to the front of argv + 1; behind them the values of each list, side by side, so that
 * a list is a slice of argv and nobody has to free it. There is room: each value came from argv.
 */
static void settle(const struct opt *rows, char **argv, const struct seen *seen, int n, int *words)
{
	char **to = argv + 1;

	for (int i = 0; i < n; i++)
		if (!seen[i].row)
			*to++ = seen[i].value;
	*words = (int)(to - argv) - 1;
	for (; rows->name; rows++) {
		struct opt_list list = { (const char **)to, 0 };

		for (int i = 0; i < n; i++)
			if (seen[i].row == rows) {
				*to++ = seen[i].value;
				list.n++;
			}
		if (list.n)
			*(struct opt_list *)rows->at = list;
	}
}

/* "--no-flip" names the flag "flip", unless there is an option of the whole name. */
static const struct opt *find_flag(const struct opt *rows, const char *name, int *on)
{
	const struct opt *row = opt_find(rows, name);

	*on = 1;
	if (!row && starts_with(name, "no-")) {
		row = opt_find(rows, name + 3);
		*on = 0;
		if (row && row->type != OPT_FLAG)
			row = NULL;
	}
	return row;
}

static int check_item(const struct opt *row, const char *v, struct err *e)
{
	const char *unused;
	struct opt one = *row;

	one.at = &unused;
	one.type = row->type == OPT_LIST ? OPT_TEXT : row->type == OPT_PATHS ? OPT_PATH : OPT_REF;
	return take(&one, v, e);
}

/* One option at argv[*i]; *i is moved over its value. */
static int parse_one(const struct opt *rows, int argc, char **argv, int *i, struct seen *seen,
		     struct err *e)
{
	char *word = argv[*i] + 2, *equals = strchr(word, '='), *value;
	char *name = equals ? xstrndup(word, (size_t)(equals - word)) : xstrdup(word);
	int on, ret = -1;
	const struct opt *row = find_flag(rows, name, &on);

	*seen = (struct seen){ row, NULL };
	if (!row) {
		unknown(rows, name, e);
		goto out;
	}
	if (row->type == OPT_FLAG) {
		if (equals)
			fail(e, "option '--%s' takes no value, '%s' was given", name, equals + 1);
		else
			ret = 0;
		*(int *)row->at = on;
		goto out;
	}
	value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
	if (!value) {
		fail(e, "option '--%s' needs a value", name);
		goto out;
	}
	seen->value = value;
	ret = opt_is_list(row) ? check_item(row, value, e) : take(row, value, e);
out:
	free(name);
	return ret;
}

static int check_required(const struct opt *rows, const unsigned char *given, struct err *e)
{
	for (int i = 0; rows[i].name; i++)
		if (rows[i].required && !given[i])
			return fail(e, "option '--%s' is missing (%s)", rows[i].name, rows[i].help);
	return 0;
}

int opt_parse(const struct opt *rows, int argc, char **argv, int *words, struct err *e)
{
	int n = 0, count = 0, only_words = 0, ret = -1;
	struct seen *seen = xcalloc((size_t)argc + 1, sizeof *seen);
	unsigned char *given;

	while (rows[count].name)
		count++;
	given = xcalloc((size_t)count + 1, 1);
	for (int i = 1; i < argc; i++) {
		if (only_words || argv[i][0] != '-' || !argv[i][1]) {
			seen[n++] = (struct seen){ NULL, argv[i] };
		} else if (!strcmp(argv[i], "--")) {
			only_words = 1;
		} else if (argv[i][1] != '-') {
			fail(e, "there is no option '%s'; options begin with two dashes", argv[i]);
			goto out;
		} else {
			if (parse_one(rows, argc, argv, &i, &seen[n], e) < 0)
				goto out;
			given[seen[n].row - rows] = 1;
			n += opt_is_list(seen[n].row);
		}
	}
	if (check_required(rows, given, e) < 0)
		goto out;
	settle(rows, argv, seen, n, words);
	ret = 0;
out:
	free(seen);
	free(given);
	return ret;
}

static void put_escaped(struct buf *out, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '\\': buf_adds(out, "\\\\"); break;
		case '\n': buf_adds(out, "\\n"); break;
		case '\r': buf_adds(out, "\\r"); break;
		case '\t': buf_adds(out, "\\t"); break;
		default: buf_addc(out, *s);
		}
}

/* Values of a list are separated by raw tabs, which no escaped value holds. */
static int put_list(struct buf *out, const struct opt_list *list)
{
	for (int i = 0; i < list->n; i++) {
		if (i)
			buf_addc(out, '\t');
		put_escaped(out, list->at[i]);
	}
	return list->n ? 0 : -1;
}

static int is_first_choice(const struct opt *row)
{
	const char *s = *(const char **)row->at;
	size_t n = strcspn(row->choices, " ");

	return s && strlen(s) == n && !strncmp(s, row->choices, n);
}

static int is_zero(const struct opt *row)
{
	switch (row->type) {
	case OPT_FLAG: return *(int *)row->at == 0;
	case OPT_INT:
	case OPT_SIZE: return *(int64_t *)row->at == 0;
	case OPT_FLOAT: return *(double *)row->at == 0;
	case OPT_CHOICE: return is_first_choice(row);
	default: return 0;
	}
}

int opt_value(const struct opt *row, struct buf *out)
{
	const char *s;

	if (row->added && is_zero(row))
		return -1;
	switch (row->type) {
	case OPT_FLAG:
		buf_addc(out, *(int *)row->at ? '1' : '0');
		return 0;
	case OPT_INT:
	case OPT_SIZE:
		buf_addi(out, *(int64_t *)row->at);
		return 0;
	case OPT_FLOAT:
		/* -0 and 0 are the same value */
		buf_addf(out, "%.17g", *(double *)row->at + 0.0);
		return 0;
	case OPT_LIST:
	case OPT_REFS:
	case OPT_PATHS:
		return put_list(out, row->at);
	default:
		s = *(const char **)row->at;
		if (!s)
			return -1;
		put_escaped(out, s);
		return 0;
	}
}
