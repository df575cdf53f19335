/* kohya's folder names and caption files, as Python reads them. */
#include <limits.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/data/folder.h"

#define CAPTION_LIMIT ((size_t)1 << 20)

/* Zeros of the scripts that have decimal digits (Unicode's class Nd comes in runs of ten). */
static const uint32_t zeros[] = {
	0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
	0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
	0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0,
	0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
	0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
	0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
};

static int digit(uint32_t c)
{
	for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
		if (c - zeros[i] < 10)
			return (int)(c - zeros[i]);
	return -1;
}

/* What Python's str.strip() takes away. */
static int is_blank(uint32_t c)
{
	return (c >= 0x9 && c <= 0xd) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0
	       || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029
	       || c == 0x202f || c == 0x205f || c == 0x3000;
}

static void trim(const char **at, size_t *len)
{
	size_t end = 0, i = 0;
	uint32_t c;

	while (*len) {
		int n = utf8_next(*at, *len, &c);
		if (!is_blank(c))
			break;
		*at += n;
		*len -= n;
	}
	while (i < *len) {
		i += utf8_next(*at + i, *len - i, &c);
		if (!is_blank(c))
			end = i;
	}
	*len = end;
}

int64_t folder_repeats(const char *name, const char **words)
{
	const char *bar = strchr(name, '_'), *at = name;
	size_t len = bar ? (size_t)(bar - name) : strlen(name), i = 0;
	int64_t value = 0;
	int negative = 0;

	*words = "";
	trim(&at, &len);
	if (len && (*at == '+' || *at == '-')) {
		negative = *at == '-';
		i = 1;
	}
	if (i == len)
		return 0;
	while (i < len) {
		uint32_t c;
		int d;

		i += utf8_next(at + i, len - i, &c);
		d = digit(c);
		if (d < 0)
			return 0;
		value = value > INT_MAX / 10 ? INT_MAX : value * 10 + d;
	}
	if (bar)
		*words = bar + 1;
	return negative ? -value : value;
}

void caption_of_file(struct buf *out, const char *at, size_t len, int lines)
{
	size_t before = out->len;

	while (len) {
		size_t end = 0, size;
		const char *line = at;

		while (end < len && at[end] != '\n' && at[end] != '\r')
			end++;
		size = end;
		end += end + 1 < len && at[end] == '\r' && at[end + 1] == '\n' ? 2 : end < len;
		at += end;
		len -= end;
		trim(&line, &size);
		if (size && out->len > before)
			buf_addc(out, '\n');
		buf_add(out, line, size);
		if (!lines)
			return;
	}
}

int caption_file_read(struct buf *out, const char *path, struct err *e)
{
	struct buf b = { 0 };
	const char *name = path_base(path);
	size_t valid, skip, before = out->len;
	int ret = -1;

	if (file_read(&b, path, CAPTION_LIMIT, e) < 0)
		goto out;
	valid = utf8_valid(buf_str(&b), b.len);
	skip = starts_with(buf_str(&b), "\xef\xbb\xbf") ? 3 : 0;
	if (valid != b.len || memchr(buf_str(&b), 0, b.len)) {
		fail(e, "caption file '%s' is not UTF-8 text (at byte %zu)", name, valid);
		goto out;
	}
	caption_of_file(out, buf_str(&b) + skip, b.len - skip, 1);
	if (out->len == before) {
		fail(e, "caption file '%s' is empty", name);
		goto out;
	}
	ret = 0;
out:
	buf_release(&b);
	return ret;
}

const char *caption_source_name(enum caption_source s)
{
	static const char *const name[] = { "", "folder", "concept", "sidecar" };

	return name[s];
}
