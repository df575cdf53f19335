#include "common/base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int text_int(const char *s, int64_t *out)
{
	const char *p = *s == '-' ? s + 1 : s;
	char *end;
	long long v;

	if (!is_digit(*p))
		return -1;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (*end || errno)
		return -1;
	*out = v;
	return 0;
}

/* The decimal number at s: where it ends, or NULL. Keeps strtod's hex, "inf" and blanks out. */
static const char *decimal(const char *s, double *out)
{
	const char *p = *s == '-' ? s + 1 : s;
	char *end;
	double v;

	if (!is_digit(*p) && !(*p == '.' && is_digit(p[1])))
		return NULL;
	if (*p == '0' && (p[1] == 'x' || p[1] == 'X'))
		return NULL;
	v = strtod(s, &end);
	if (!isfinite(v))
		return NULL;
	*out = v;
	return end;
}

int text_float(const char *s, double *out)
{
	double v;
	const char *end = decimal(s, &v);

	if (!end || *end)
		return -1;
	*out = v;
	return 0;
}

int text_size(const char *s, int64_t *out)
{
	static const char units[] = "KMGT";
	double v;
	const char *end = decimal(s, &v), *unit;

	if (!end || v < 0)
		return -1;
	unit = *end ? strchr(units, *end & ~0x20) : NULL;
	if (unit) {
		v *= (double)(1LL << (10 * (unit - units + 1)));
		end++;
		if (*end == 'i' && end[1] == 'B')
			end++;
	}
	if (*end == 'B')
		end++;
	if (*end || v > 0x1p62)
		return -1;
	*out = (int64_t)llround(v);
	return 0;
}

/* Bytes of the valid sequence at s, 0 if there is none. */
static int utf8_len(const unsigned char *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t code;

	if (n == 1)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4 || (size_t)n > len)
		return 0;
	code = s[0] & (0xffu >> (n + 1));
	for (int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

size_t utf8_valid(const char *s, size_t len)
{
	size_t at = 0;

	while (at < len) {
		int n = utf8_len((const unsigned char *)s + at, len - at);

		if (!n)
			break;
		at += (size_t)n;
	}
	return at;
}

int utf8_next(const char *s, size_t len, uint32_t *out)
{
	const unsigned char *u = (const unsigned char *)s;
	int n = utf8_len(u, len);

	if (n <= 1) {
		*out = n ? u[0] : 0xfffd;
		return 1;
	}
	*out = u[0] & (0xffu >> (n + 1));
	for (int i = 1; i < n; i++)
		*out = *out << 6 | (u[i] & 0x3f);
	return n;
}

void utf8_put(struct buf *b, uint32_t code)
{
	if (code < 0x80) {
		buf_addc(b, (char)code);
	} else if (code < 0x800) {
		buf_addc(b, (char)(0xc0 | code >> 6));
		buf_addc(b, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_addc(b, (char)(0xe0 | code >> 12));
		buf_addc(b, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_addc(b, (char)(0x80 | (code & 0x3f)));
	} else {
		buf_addc(b, (char)(0xf0 | code >> 18));
		buf_addc(b, (char)(0x80 | (code >> 12 & 0x3f)));
		buf_addc(b, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_addc(b, (char)(0x80 | (code & 0x3f)));
	}
}

int starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

int ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

void text_bytes(struct buf *b, int64_t bytes)
{
	static const char *const unit[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes / 1000;
	int i = 0;

	if (bytes < 1000) {
		buf_addf(b, bytes == 1 ? "%lld byte" : "%lld bytes", (long long)bytes);
		return;
	}
	while (v >= 999.95 && i < 5) {
		v /= 1000;
		i++;
	}
	buf_addf(b, "%.1f %s", v, unit[i]);
}

void text_seconds(struct buf *b, double seconds)
{
	long long s;

	if (!(seconds < 359999999))     /* also NaN */
		seconds = 359999999;
	if (seconds < 59.95) {
		buf_addf(b, "%.1f s", seconds < 0 ? 0 : seconds);
		return;
	}
	s = llround(seconds);
	if (s < 3600)
		buf_addf(b, "%lld min %02lld s", s / 60, s % 60);
	else
		buf_addf(b, "%lld h %02lld min", s / 3600, s % 3600 / 60);
}

int text_distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	int *row = xcalloc(n + 1, sizeof *row), last;

	for (size_t j = 0; j <= n; j++)
		row[j] = (int)j;
	for (size_t i = 0; a[i]; i++) {
		int diagonal = row[0];

		row[0] = (int)i + 1;
		for (size_t j = 1; j <= n; j++) {
			int best = diagonal + (a[i] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	last = row[n];
	free(row);
	return last;
}
