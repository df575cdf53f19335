/*
 * A growing run of bytes, always followed by a NUL that is not counted, so `at` can be used
 * as a string when it is text. {0} is the empty buffer; its `at` is NULL until something is
 * added (buf_str gives "" then). Owned by whoever declared it.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *at;
	size_t len, cap;
};

void buf_add(struct buf *b, const void *at, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addi(struct buf *b, long long value);  /* decimal; a tenth of buf_addf's time */
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap);
/* room for len bytes; counts them; contents undefined */
char *buf_extend(struct buf *b, size_t len);
const char *buf_str(const struct buf *b);       /* never NULL; lives as long as the next change */
char *buf_detach(struct buf *b);                /* the string becomes the caller's, b is empty */
void buf_clear(struct buf *b);                  /* length 0, memory kept */
void buf_release(struct buf *b);                /* {0} again; twice is fine */

#endif
