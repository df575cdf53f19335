#include "stages/booth/recipe_read.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define LINE_SHOWN 100          /* bytes of a long line that an error shows */

int place_line(struct place p)
{
	int line = 1;

	for (size_t i = 0; p.source && i < p.at && i < p.source->text.len; i++)
		line += p.source->text.at[i] == '\n';
	return line;
}

/* The line, and below it a mark under byte `p.at`; tabs are kept so that the mark stands right. */
static void put_line(struct buf *b, struct place p)
{
	const char *text = buf_str(&p.source->text);
	size_t at = p.at < p.source->text.len ? p.at : p.source->text.len, from = at, end = at;

	while (from > 0 && text[from - 1] != '\n' && at - from < LINE_SHOWN)
		from--;
	while (text[end] && text[end] != '\n' && end - from < LINE_SHOWN)
		end++;
	/* not from the middle of a UTF-8 sequence */
	while (from < at && ((unsigned char)text[from] & 0xc0) == 0x80)
		from++;
	while (end > at && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	buf_adds(b, "\n    ");
	buf_add(b, text + from, end - from);
	buf_adds(b, "\n    ");
	for (size_t i = from; i < at; i++)
		if (text[i] == '\t')
			buf_addc(b, '\t');
		else if (((unsigned char)text[i] & 0xc0) != 0x80)
			buf_addc(b, ' ');
	buf_addc(b, '^');
}

int place_fail(struct err *e, struct place p, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	if (p.source)
		buf_addf(&b, "%s:%d: ", p.source->path, place_line(p));
	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	if (p.source)
		put_line(&b, p);
	fail(e, "%s", buf_str(&b));
	buf_release(&b);
	return -1;
}

int place_join(struct err *e, const struct err *more, int *n)
{
	char *had = xstrdup(*n > 0 ? e->text : "");
	int fits = !strstr(had, more->text) &&
		strlen(had) + strlen(more->text) + 2 < sizeof e->text;

	if (!*n || fits) {
		++*n;
		fail(e, "%s%s%s", had, *had ? "\n" : "", more->text);
	}
	free(had);
	return fits;
}

struct word *words_add(struct words *w, const char *text, size_t len, struct place at)
{
	w->at = grow(w->at, w->n, &w->cap, sizeof *w->at);
	w->at[w->n] = (struct word){ xstrndup(text, len), at };
	return &w->at[w->n++];
}

void words_release(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->at[i].text);
	free(w->at);
	*w = (struct words){ 0 };
}
