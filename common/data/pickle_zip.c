#include "common/data/pickle_zip.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static uint64_t get(const unsigned char *p, int bytes)
{
	uint64_t v = 0;

	for (int i = bytes - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static int damaged(const struct pickle_zip *z, struct err *e, const char *what)
{
	return fail(e, "'%s' is damaged or cut off: %s", z->path, what);
}

/* Is [at, at + n) inside the file? */
static int inside(const struct pickle_zip *z, uint64_t at, uint64_t n)
{
	return at <= z->len && n <= z->len - at;
}

struct directory { uint64_t entries, bytes, at; };

/* The record at the end, which may be followed by a comment of at most 65535 bytes. */
static int find_directory(const struct pickle_zip *z, struct directory *d, struct err *e)
{
	size_t lowest = z->len > 65557 ? z->len - 65557 : 0, at;
	const unsigned char *p;
	uint64_t far;

	if (z->len < 22)
		return damaged(z, e, "no zip directory");
	for (at = z->len - 22; memcmp(z->at + at, "PK\5\6", 4); at--)
		if (at == lowest)
			return damaged(z, e, "no zip directory");
	p = z->at + at;
	*d = (struct directory){ get(p + 10, 2), get(p + 12, 4), get(p + 16, 4) };
	if (at < 20 || memcmp(p - 20, "PK\6\7", 4))
		return 0;
	far = get(p - 12, 8);   /* zip64 */
	if (!inside(z, far, 56) || memcmp(z->at + far, "PK\6\6", 4))
		return damaged(z, e, "its zip64 directory is not where it should be");
	p = z->at + far;
	*d = (struct directory){ get(p + 32, 8), get(p + 40, 8), get(p + 48, 8) };
	return 0;
}

/*
 * The extra field of zip64: those of size, stored size,
 * offset that did not fit into 32 bits, in this order.
 */
static int read_extra(const unsigned char *p, size_t len, uint64_t field[3])
{
	while (len >= 4) {
		size_t n = (size_t)get(p + 2, 2);
		if (n > len - 4)
			return -1;
		if (get(p, 2) == 1) {
			size_t at = 0;
			for (int i = 0; i < 3; i++) {
				if (field[i] != 0xffffffff)
					continue;
				if (at + 8 > n)
					return -1;
				field[i] = get(p + 4 + at, 8);
				at += 8;
			}
		}
		p += 4 + n;
		len -= 4 + n;
	}
	return 0;
}

static int read_entry(struct pickle_zip *z, uint64_t *at, uint64_t end, struct err *e)
{
	const unsigned char *p = z->at + *at;
	struct zip_entry *to = &z->entry[z->n];
	uint64_t field[3], name, extra, all;
	const char *slash;

	if (end - *at < 46 || memcmp(p, "PK\1\2", 4))
		return damaged(z, e, "its zip directory ends early");
	name = get(p + 28, 2);
	extra = get(p + 30, 2);
	all = 46 + name + extra + get(p + 32, 2);
	if (all > end - *at)
		return damaged(z, e, "its zip directory ends early");
	field[0] = get(p + 24, 4);
	field[1] = get(p + 20, 4);
	field[2] = get(p + 42, 4);
	if (read_extra(p + 46 + name, (size_t)extra, field) < 0)
		return damaged(z, e, "a zip entry has a broken extra field");
	*at += all;
	to->name = (const char *)p + 46;
	slash = memchr(to->name, '/', (size_t)name);
	if (!slash)
		return 0;       /* not below the root folder */
	if (get(p + 10, 2) || field[0] != field[1] || get(p + 8, 2) & 1)
		return fail(e,
			"'%s': '%.*s' is compressed or encrypted; torch stores its files plainly",
			z->path, (int)name, to->name);
	to->name_len = (size_t)name - (size_t)(slash + 1 - to->name);
	to->name = slash + 1;
	to->size = field[1];
	to->header = field[2];
	z->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct zip_entry *x = a, *y = b;
	int c = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);

	return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

static int check_order(const struct pickle_zip *z, struct err *e)
{
	const unsigned char *at;
	struct err ignored;
	size_t len;

	if (pickle_zip_find(z, "byteorder", 9, &at, &len, &ignored) < 0)
		return 0;       /* older files have none */
	if (len != 6 || memcmp(at, "little", 6))
		return fail(e, "'%s' was written by a big-endian machine, which is not supported",
			    z->path);
	return 0;
}

int pickle_zip_open(struct pickle_zip *z, const unsigned char *at, size_t len, const char *path,
		    struct err *e)
{
	struct directory d = { 0 };
	uint64_t pos;

	*z = (struct pickle_zip){ .at = at, .len = len, .path = path };
	if (find_directory(z, &d, e) < 0)
		return -1;
	if (!inside(z, d.at, d.bytes) || d.entries > d.bytes / 46)
		return damaged(z, e, "its zip directory is not inside the file");
	z->entry = xcalloc((size_t)d.entries, sizeof *z->entry);
	pos = d.at;
	for (uint64_t i = 0; i < d.entries; i++)
		if (read_entry(z, &pos, d.at + d.bytes, e) < 0)
			goto failed;
	qsort(z->entry, z->n, sizeof *z->entry, by_name);
	if (check_order(z, e) < 0)
		goto failed;
	return 0;
failed:
	pickle_zip_close(z);
	return -1;
}

void pickle_zip_close(struct pickle_zip *z)
{
	free(z->entry);
	memset(z, 0, sizeof *z);
}

int pickle_zip_find(const struct pickle_zip *z, const char *name, size_t name_len,
		    const unsigned char **at, size_t *len, struct err *e)
{
	struct zip_entry key = { .name = name, .name_len = name_len };
	const struct zip_entry *x =
		z->n ? bsearch(&key, z->entry, z->n, sizeof key, by_name) : NULL;
	uint64_t begin;

	if (!x)
		return fail(e, "'%s' holds no '%.*s'", z->path, (int)name_len, name);
	if (!inside(z, x->header, 30) || memcmp(z->at + x->header, "PK\3\4", 4))
		return damaged(z, e, "a zip entry is not where the directory says");
	begin = x->header + 30 + get(z->at + x->header + 26, 2) + get(z->at + x->header + 28, 2);
	if (!inside(z, begin, x->size))
		return damaged(z, e, "a zip entry reaches beyond the file");
	*at = z->at + begin;
	*len = (size_t)x->size;
	return 0;
}
