#include "common/data/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/store.h"
#include "common/data/table_impl.h"

enum column_type { TYPE_TEXT, TYPE_REF, TYPE_INT, TYPE_NUMBER, TYPE_NAME };

/* What the values of a column must look like if they are not empty. Others are free text. */
static const struct { const char *name; enum column_type type; } types[] = {
	{ "item", TYPE_NAME },
	{ "image", TYPE_REF }, { "mask", TYPE_REF }, { "moments", TYPE_REF },
	{ "hidden", TYPE_REF }, { "tensor", TYPE_REF },
	{ "width", TYPE_INT }, { "height", TYPE_INT }, { "repeats", TYPE_INT },
	{ "class", TYPE_INT }, { "flip", TYPE_INT }, { "step", TYPE_INT },
	{ "loss", TYPE_NUMBER }, { "lr", TYPE_NUMBER },
};

static enum column_type type_of(const char *name)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!strcmp(types[i].name, name))
			return types[i].type;
	return TYPE_TEXT;
}

int table_column_is_ref(const char *name)
{
	return type_of(name) == TYPE_REF;
}

/* ---- cells ---- */

#define TEXT_LEAST ((size_t)4 << 10)
#define TEXT_MOST ((size_t)1 << 20)     /* pieces double up to this */

/* Bytes of many cells: one allocation for each would take most of the time of reading a table. */
struct table_text {
	struct table_text *next;
	size_t len, cap;
	char at[];
};

char *table_add_text(struct table *t, const char *at, size_t len)
{
	struct table_text *piece = t->text;
	size_t cap = piece ? piece->cap < TEXT_MOST ? 2 * piece->cap : TEXT_MOST : TEXT_LEAST;
	char *to;

	if (!piece || piece->cap - piece->len <= len) {
		if (cap <= len)
			cap = len + 1;
		piece = xmalloc(sizeof *piece + cap);
		*piece = (struct table_text){ .next = t->text, .cap = cap };
		t->text = piece;
	}
	to = piece->at + piece->len;
	memcpy(to, at, len);
	to[len] = 0;
	piece->len += len + 1;
	return to;
}

void table_add_name(struct table *t, const char *at, size_t len)
{
	size_t cap = (size_t)t->cap_columns;

	t->name = grow(t->name, (size_t)t->columns, &cap, sizeof *t->name);
	t->cap_columns = (int)cap;
	t->name[t->columns++] = xstrndup(at, len);
}

static void room_for(struct table *t, size_t cells)
{
	if (cells <= t->cap_cells)
		return;
	t->cap_cells = cells > 2 * t->cap_cells ? cells + 64 : 2 * t->cap_cells;
	t->cell = xrealloc(t->cell, t->cap_cells * sizeof *t->cell);
}

size_t table_add_row(struct table *t)
{
	size_t n = (size_t)t->columns, at = t->rows * n;

	room_for(t, at + n);
	for (size_t i = 0; i < n; i++)
		t->cell[at + i] = NULL;         /* as "" */
	return t->rows++;
}

int table_column(const struct table *t, const char *name)
{
	for (int i = 0; i < t->columns; i++)
		if (!strcmp(t->name[i], name))
			return i;
	return -1;
}

int table_need(const struct table *t, const char *name, const char *who, struct err *e)
{
	int i = table_column(t, name);
	struct buf b = { 0 };

	if (i >= 0)
		return i;
	for (int k = 0; k < t->columns; k++)
		buf_addf(&b, "%s%s", k ? ", " : "", t->name[k]);
	fail(e, "'%s' needs a column '%s'; the table has %s", who, name, buf_str(&b));
	buf_release(&b);
	return -1;
}

int table_add_column(struct table *t, const char *name)
{
	int had = table_column(t, name);
	size_t old = (size_t)t->columns;

	if (had >= 0)
		return had;
	table_add_name(t, name, strlen(name));
	room_for(t, t->rows * (old + 1));
	for (size_t row = t->rows; row-- > 0; ) {       /* last row first: cells move up */
		if (old)
			memmove(t->cell + row * (old + 1), t->cell + row * old,
				old * sizeof *t->cell);
		t->cell[row * (old + 1) + old] = NULL;
	}
	return (int)old;
}

const char *table_get(const struct table *t, size_t row, int column)
{
	const char *s;

	if (column < 0)
		return "";
	if (row >= t->rows || column >= t->columns)
		BUG("cell %zu, %d of a table of %zu rows, %d columns", row, column, t->rows, t->columns);
	s = t->cell[row * (size_t)t->columns + (size_t)column];
	return s ? s : "";
}

void table_set(struct table *t, size_t row, int column, const char *value)
{
	size_t len = strlen(value);
	char **c;

	if (row >= t->rows || column < 0 || column >= t->columns)
		BUG("cell %zu, %d of a table of %zu rows, %d columns", row, column, t->rows, t->columns);
	c = &t->cell[row * (size_t)t->columns + (size_t)column];
	if (*c && len <= strlen(*c))
		memmove(*c, value, len + 1);    /* the value may be part of the cell itself */
	else
		*c = len ? table_add_text(t, value, len) : NULL;
}

void table_setf(struct table *t, size_t row, int column, const char *fmt, ...)
{
	char small[64];
	struct buf b = { 0 };
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	if ((size_t)vsnprintf(small, sizeof small, fmt, ap) < sizeof small) {
		table_set(t, row, column, small);
	} else {
		buf_addv(&b, fmt, again);
		table_set(t, row, column, buf_str(&b));
		buf_release(&b);
	}
	va_end(again);
	va_end(ap);
}

static int bad_value(const struct table *t, size_t row, int column, const char *want, struct err *e)
{
	int item = table_column(t, "item");
	const char *value = table_get(t, row, column);

	if (item >= 0)
		return fail(e, "item '%s': column '%s' is '%s', %s is wanted",
			    table_get(t, row, item), t->name[column], value, want);
	return fail(e, "row %zu: column '%s' is '%s', %s is wanted", row + 1, t->name[column], value, want);
}

int table_int(const struct table *t, size_t row, int column, int64_t *out, struct err *e)
{
	if (column < 0)
		return fail(e, "row %zu: a column is missing, a whole number is wanted", row + 1);
	if (text_int(table_get(t, row, column), out) < 0)
		return bad_value(t, row, column, "a whole number", e);
	return 0;
}

int table_float(const struct table *t, size_t row, int column, double *out, struct err *e)
{
	if (column < 0)
		return fail(e, "row %zu: a column is missing, a number is wanted", row + 1);
	if (text_float(table_get(t, row, column), out) < 0)
		return bad_value(t, row, column, "a number", e);
	return 0;
}

/* The column of the same name, added if missing; mostly it stands at the same place. */
static int same_column(struct table *to, const struct table *from, int column)
{
	if (column < to->columns && !strcmp(to->name[column], from->name[column]))
		return column;
	return table_add_column(to, from->name[column]);
}

size_t table_append(struct table *to, const struct table *from, size_t row)
{
	size_t new;

	for (int i = 0; i < from->columns; i++)
		same_column(to, from, i);
	new = table_add_row(to);
	for (int i = 0; i < from->columns; i++)
		table_set(to, new, same_column(to, from, i), table_get(from, row, i));
	return new;
}

void table_copy(struct table *to, const struct table *from)
{
	*to = (struct table){ 0 };
	for (int i = 0; i < from->columns; i++)
		table_add_name(to, from->name[i], strlen(from->name[i]));
	for (size_t row = 0; row < from->rows; row++) {
		table_add_row(to);
		for (int i = 0; i < from->columns; i++)
			table_set(to, row, i, table_get(from, row, i));
	}
}

void table_release(struct table *t)
{
	for (int i = 0; i < t->columns; i++)
		free(t->name[i]);
	for (struct table_text *next; t->text; t->text = next) {
		next = t->text->next;
		free(t->text);
	}
	free(t->name);
	free(t->cell);
	*t = (struct table){ 0 };
}

/* ---- checks ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const struct table *t, int column, struct err *e)
{
	const char **all = xcalloc(t->rows, sizeof *all);
	int ret = 0;

	for (size_t i = 0; i < t->rows && !ret; i++) {
		all[i] = table_get(t, i, column);
		if (!*all[i])
			ret = fail(e, "row %zu: the item has no name", i + 1);
	}
	if (!ret)
		qsort(all, t->rows, sizeof *all, compare_text);
	for (size_t i = 1; i < t->rows && !ret; i++)
		if (!strcmp(all[i - 1], all[i]))
			ret = fail(e, "there are two items '%s'", all[i]);
	free(all);
	return ret;
}

static int check_column(const struct table *t, int column, enum column_type type, struct err *e)
{
	int64_t i;
	double f;

	if (type == TYPE_NAME)
		return check_names(t, column, e);
	for (size_t row = 0; row < t->rows; row++) {
		const char *s = table_get(t, row, column);

		if (!*s)
			continue;
		if (type == TYPE_REF && !ref_is(s))
			return bad_value(t, row, column, "a reference such as prep/1f0c9a52", e);
		if (type == TYPE_INT && text_int(s, &i) < 0)
			return bad_value(t, row, column, "a whole number", e);
		if (type == TYPE_NUMBER && text_float(s, &f) < 0 && strcmp(s, "nan") && strcmp(s, "inf"))
			return bad_value(t, row, column, "a number", e);
	}
	return 0;
}

int table_check(const struct table *t, struct err *e)
{
	for (int i = 0; i < t->columns; i++) {
		enum column_type type = type_of(t->name[i]);

		if (type != TYPE_TEXT && check_column(t, i, type, e) < 0)
			return -1;
	}
	return 0;
}
