#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p, size_t n)
{
	if (!p && n)
		die(1, "out of memory, %zu bytes wanted", n);
	return p;
}

void *xmalloc(size_t n)
{
	return checked(malloc(n ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n ? n : 1), n);
}

char *xstrndup(const char *s, size_t n)
{
	char *p = xmalloc(n + 1);

	memcpy(p, s, n);
	p[n] = 0;
	return p;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap, again;
	int n;
	char *p;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		BUG("format '%s' cannot be printed", fmt);
	p = xmalloc((size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

void *grow(void *p, size_t n, size_t *cap, size_t size)
{
	size_t bytes;

	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 16;
	if (__builtin_mul_overflow(*cap, size, &bytes))
		die(1, "out of memory, %zu elements of %zu bytes wanted", *cap, size);
	return xrealloc(p, bytes);
}

int mem_try(void **out, size_t n, const char *what, struct err *e)
{
	size_t want = (n + 63) / 64 * 64;

	*out = want < n ? NULL : aligned_alloc(64, want ? want : 64);
	if (!*out)
		return fail(e, "no memory for %s, %zu bytes wanted", what, n);
	return 0;
}

size_t mem_machine(void)
{
	return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

int64_t size_product(const int64_t *side, int n)
{
	int64_t all = 1;

	for (int i = 0; i < n; i++)
		if (side[i] < 0 || __builtin_mul_overflow(all, side[i], &all))
			return -1;
	return all;
}
