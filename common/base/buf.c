#include "common/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

char *buf_extend(struct buf *b, size_t len)
{
	size_t want = b->len + len + 1;

	if (want < len)
		die(1, "out of memory, %zu bytes wanted", len);
	if (want > b->cap) {
		b->cap = want > 2 * b->cap ? want + 32 : 2 * b->cap;
		b->at = xrealloc(b->at, b->cap);
	}
	b->len += len;
	b->at[b->len] = 0;
	return b->at + b->len - len;
}

void buf_add(struct buf *b, const void *at, size_t len)
{
	char *to = buf_extend(b, len);

	if (len)
		memcpy(to, at, len);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addi(struct buf *b, long long value)
{
	char text[24], *end = text + sizeof text, *at = end;
	unsigned long long v = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;

	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	if (value < 0)
		*--at = '-';
	buf_add(b, at, (size_t)(end - at));
}

/* Printed where there is room already, which there mostly is; twice where there is not. */
void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->len;
	va_list again;
	int n;
	char *to;

	va_copy(again, ap);
	n = vsnprintf(room ? b->at + b->len : NULL, room, fmt, again);
	va_end(again);
	if (n < 0)
		BUG("format '%s' cannot be printed", fmt);
	to = buf_extend(b, (size_t)n);
	if ((size_t)n >= room)
		vsnprintf(to, (size_t)n + 1, fmt, ap);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

const char *buf_str(const struct buf *b)
{
	return b->at ? b->at : "";
}

char *buf_detach(struct buf *b)
{
	char *s = b->at ? b->at : xstrdup("");

	*b = (struct buf){ 0 };
	return s;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->at)
		b->at[0] = 0;
}

void buf_release(struct buf *b)
{
	free(b->at);
	*b = (struct buf){ 0 };
}
