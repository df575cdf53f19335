/*
 * Small things about text: numbers read strictly, UTF-8 checked, durations and sizes for people.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"

/* The whole string is the number, nothing before or after: 0, or -1 and *out is untouched. */
int text_int(const char *s, int64_t *out);
int text_float(const char *s, double *out);             /* finite only */
int text_size(const char *s, int64_t *out);             /* 512M, 8G, 1.5G; powers of 1024 */

/*
 * Length of the valid UTF-8 prefix (== len if all is
 * valid). Surrogates and overlong forms are invalid.
 */
size_t utf8_valid(const char *s, size_t len);

/*
 * Decode one code point at s (len > 0): its bytes, 1..4; *out = U+FFFD and 1 for an invalid byte.
 */
int utf8_next(const char *s, size_t len, uint32_t *out);
void utf8_put(struct buf *b, uint32_t code);

int starts_with(const char *s, const char *prefix);
int ends_with(const char *s, const char *suffix);

/* "1.5 GB", "12.3 MB", "840 bytes" (powers of 1000) and "3 h 02 min", "4 min 10 s", "12.3 s". */
void text_bytes(struct buf *b, int64_t bytes);
void text_seconds(struct buf *b, double seconds);

/* Edit distance, for "did you mean". */
int text_distance(const char *a, const char *b);

#endif
