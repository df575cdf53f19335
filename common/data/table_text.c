/* Tables as text, and text as tables. */
#include <string.h>

#include "common/base/text.h"
#include "common/data/table_impl.h"

static void put_value(struct buf *out, const char *s)
{
	for (;;) {
		size_t plain = strcspn(s, "\t\n\r\\");

		buf_add(out, s, plain);
		s += plain;
		switch (*s++) {
		case '\t': buf_adds(out, "\\t"); break;
		case '\n': buf_adds(out, "\\n"); break;
		case '\r': buf_adds(out, "\\r"); break;
		case '\\': buf_adds(out, "\\\\"); break;
		default: return;
		}
	}
}

void table_text(struct buf *out, const struct table *t)
{
	for (int i = 0; i < t->columns; i++) {
		if (i)
			buf_addc(out, '\t');
		put_value(out, t->name[i]);
	}
	buf_addc(out, '\n');
	for (size_t row = 0; row < t->rows; row++)
		for (int i = 0; i < t->columns; i++) {
			put_value(out, table_get(t, row, i));
			buf_addc(out, i + 1 < t->columns ? '\t' : '\n');
		}
}

int table_is(const char *at, size_t len)
{
	const char *end = memchr(at, '\n', len);
	size_t n = end ? (size_t)(end - at) : len;

	if (n && at[n - 1] == '\r')
		n--;
	return memchr(at, '\t', n) != NULL || (n == 4 && !memcmp(at, "item", 4));
}

int table_text_has(const char *at, size_t len, const char *column)
{
	const char *end = memchr(at, '\n', len);
	size_t n = strlen(column);

	if (!end)
		end = at + len;
	if (end > at && end[-1] == '\r')
		end--;
	for (const char *tab; at < end; at = tab + 1) {
		tab = memchr(at, '\t', (size_t)(end - at));
		if (!tab)
			tab = end;
		if ((size_t)(tab - at) == n && !memcmp(at, column, n))
			return 1;
	}
	return 0;
}

/* Undo put_value in place; -1 for an escape that does not exist. The value becomes a string. */
static int unescape(char *s, size_t len)
{
	char *to = s;

	for (size_t i = 0; i < len; i++) {
		if (s[i] != '\\') {
			*to++ = s[i];
			continue;
		}
		if (++i == len)
			return -1;
		switch (s[i]) {
		case 't': *to++ = '\t'; break;
		case 'n': *to++ = '\n'; break;
		case 'r': *to++ = '\r'; break;
		case '\\': *to++ = '\\'; break;
		default: return -1;
		}
	}
	*to = 0;
	return 0;
}

/* One line as a row of cells. */
static int parse_row(struct table *t, const char *at, size_t len, const char *what, size_t line,
		     struct err *e)
{
	size_t row = table_add_row(t);
	int column = 0, cells = 1;

	for (size_t i = 0; i < len; i++)
		cells += at[i] == '\t';
	if (cells != t->columns)
		return fail(e, "%s:%zu: the line has %d values, the header has %d columns",
			    what, line, cells, t->columns);
	for (; column < cells; column++) {
		const char *tab = memchr(at, '\t', len);
		size_t n = tab ? (size_t)(tab - at) : len;
		char **c = &t->cell[row * (size_t)t->columns + (size_t)column];

		if (n) {
			*c = table_add_text(t, at, n);
			if (memchr(at, '\\', n) && unescape(*c, n) < 0)
				return fail(e, "%s:%zu: column '%s' holds a backslash that is not \\t, \\n, \\r or \\\\",
					    what, line, t->name[column]);
		}
		at += n + 1;
		len -= tab ? n + 1 : n;
	}
	return 0;
}

static int parse_header(struct table *t, const char *at, size_t len, const char *what,
			struct err *e)
{
	for (;;) {
		const char *tab = memchr(at, '\t', len);
		size_t n = tab ? (size_t)(tab - at) : len;

		if (!n)
			return fail(e, "%s:1: column %d has no name", what, t->columns + 1);
		table_add_name(t, at, n);
		if (memchr(at, '\\', n) && unescape(t->name[t->columns - 1], n) < 0)
			return fail(e, "%s:1: column '%.*s' holds a backslash that is not \\t, \\n, \\r or \\\\",
				    what, (int)n, at);
		if (table_column(t, t->name[t->columns - 1]) != t->columns - 1)
			return fail(e, "%s:1: there are two columns '%s'", what, t->name[t->columns - 1]);
		if (!tab)
			return 0;
		at += n + 1;
		len -= n + 1;
	}
}

int table_parse(struct table *t, const char *at, size_t len, const char *what, struct err *e)
{
	size_t line = 0;

	*t = (struct table){ 0 };
	if (!len)
		return fail(e, "%s: empty, a header line is wanted", what);
	while (len) {
		const char *end = memchr(at, '\n', len);
		size_t n = end ? (size_t)(end - at) : len, used = end ? n + 1 : n;
		size_t text = n && at[n - 1] == '\r' ? n - 1 : n;
		int bad;

		line++;
		if (memchr(at, 0, text) || utf8_valid(at, text) != text)
			bad = fail(e, "%s:%zu: not valid UTF-8", what, line);
		else if (line == 1)
			bad = parse_header(t, at, text, what, e);
		else
			bad = parse_row(t, at, text, what, line, e);
		if (bad < 0)
			goto bad;
		at += used;
		len -= used;
	}
	if (table_check(t, e) < 0) {
		err_prefix(e, "%s", what);
		goto bad;
	}
	return 0;
bad:
	table_release(t);
	return -1;
}
