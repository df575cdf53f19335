/*
 * Makes bad input for tests:
 *
 *	damage missing|unexpected|shape|nan IN.safetensors NAME OUT.safetensors
 *	damage picture WIDTH HEIGHT OUT.png     a grey picture
 *	damage header WIDTH HEIGHT OUT.png      nothing but a PNG's header that claims this size
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/image.h"
#include "common/data/safetensors.h"

static void put32(unsigned char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t crc(const unsigned char *at, size_t n)
{
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		c ^= at[i];
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
	}
	return ~c;
}

/* Signature, IHDR (8-bit RGB), and the beginning of an IDAT. */
static int write_header(int w, int h, const char *path, struct err *e)
{
	unsigned char b[45] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

	put32(b + 16, (uint32_t)w);
	put32(b + 20, (uint32_t)h);
	b[24] = 8;
	b[25] = 2;
	put32(b + 29, crc(b + 12, 17));
	put32(b + 33, 1000);
	memcpy(b + 37, "IDAT\x78\x9c", 6);
	return file_replace(path, b, sizeof b, e);
}

static int write_picture(int w, int h, const char *path, struct err *e)
{
	struct image im = { 0 };
	struct buf b = { 0 };
	int ret = -1;

	if (image_new(&im, w, h, 3, e) < 0)
		return -1;
	for (size_t i = 0; i < (size_t)w * (size_t)h * 3; i++)
		im.at[i] = (uint8_t)(i % 251);
	if (image_encode_png(&b, &im, NULL, 0, e) == 0)
		ret = file_replace(path, b.at, b.len, e);
	image_release(&im);
	buf_release(&b);
	return ret;
}

/*
 * One tensor is changed; `copy` is room for its values. All bits set are a NaN in every float type.
 */
static void change(struct named *at, size_t *n, const char *what, size_t k, unsigned char *copy)
{
	struct tensor *t = &at[k].t;

	memcpy(copy, t->at, (size_t)tensor_bytes(t));
	t->at = copy;
	if (!strcmp(what, "missing"))
		memmove(&at[k], &at[k + 1], (--*n - k) * sizeof *at);
	else if (!strcmp(what, "nan"))
		memset(copy, 0xff, 4);
	else if (!strcmp(what, "shape"))
		t->side[0] /= 2;
	else
		at[(*n)++] = (struct named){ (char *)(uintptr_t)"a.weight.too.many", at[k].t };
}

static int write_weights(const char *what, const char *in, const char *name, const char *out,
			 struct err *e)
{
	struct safetensors s = { 0 };
	struct named *at;
	size_t n, k = 0;
	unsigned char *copy;
	int ret;

	if (safetensors_open(&s, in, e) < 0)
		return -1;
	n = s.n;
	while (k < n && strcmp(s.at[k].name, name))
		k++;
	if (k == n) {
		safetensors_close(&s);
		return fail(e, "'%s' has no '%s'", in, name);
	}
	at = xmalloc((n + 1) * sizeof *at);
	memcpy(at, s.at, n * sizeof *at);
	copy = xmalloc((size_t)tensor_bytes(&at[k].t));
	change(at, &n, what, k, copy);
	ret = safetensors_write(out, at, n, s.meta, s.n_meta, e);
	free(copy);
	free(at);
	safetensors_close(&s);
	return ret;
}

int main(int argc, char **argv)
{
	struct err e = { "" };
	int ret;

	program_name = "damage";
	if (argc != 5)
		ret = fail(&e, "four arguments are wanted");
	else if (!strcmp(argv[1], "header"))
		ret = write_header(atoi(argv[2]), atoi(argv[3]), argv[4], &e);
	else if (!strcmp(argv[1], "picture"))
		ret = write_picture(atoi(argv[2]), atoi(argv[3]), argv[4], &e);
	else
		ret = write_weights(argv[1], argv[2], argv[3], argv[4], &e);
	if (ret < 0)
		warn("%s", e.text);
	return ret < 0;
}
