/*
 * How fast libjpeg decodes pictures by itself, on one core: the yardstick for prep.
 *
 *	bench_decode FILE...        JPEG files, read beforehand, decoded to RGB
 *	bench_decode --copies N FOLDER FILE...
 *
 * The second form fills FOLDER with N pictures, copies of the files made different by a comment at
 * their end, so that no two have the same content.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"

static void decode(const struct buf *file, unsigned char **row, size_t *cap)
{
	struct jpeg_decompress_struct d;
	struct jpeg_error_mgr error;

	d.err = jpeg_std_error(&error);         /* ends the program */
	jpeg_create_decompress(&d);
	jpeg_mem_src(&d, (const unsigned char *)file->at, file->len);
	jpeg_read_header(&d, TRUE);
	d.out_color_space = JCS_RGB;
	jpeg_start_decompress(&d);
	if (*cap < (size_t)d.output_width * 3) {
		*cap = (size_t)d.output_width * 3;
		*row = xrealloc(*row, *cap);
	}
	while (d.output_scanline < d.output_height)
		jpeg_read_scanlines(&d, row, 1);
	jpeg_finish_decompress(&d);
	jpeg_destroy_decompress(&d);
}

static void measure(const struct buf *file, int n)
{
	unsigned char *row = NULL;
	size_t cap = 0;
	double start = clock_now(), spent;
	int done = 0;

	do
		decode(&file[done++ % n], &row, &cap);
	while ((spent = clock_now() - start) < 1 || done % n);
	printf("decode %.1f pictures/s\n", done / spent);
	free(row);
}

/* A JPEG's comment segment goes in right after its first marker: FF FE, length, text. */
static int copies(const struct buf *file, int n, const char *folder, int count, struct err *e)
{
	if (make_folder(folder, e) < 0)
		return -1;
	for (int i = 0; i < count; i++) {
		const struct buf *f = &file[i % n];
		char *path = xasprintf("%s/%05d.jpg", folder, i), comment[16];
		struct buf b = { 0 };
		int ret;

		memcpy(comment, "\xff\xfe\0\12", 4);
		snprintf(comment + 4, sizeof comment - 4, "%08u", (unsigned)i % 100000000);
		buf_add(&b, f->at, 2);
		buf_add(&b, comment, 12);
		buf_add(&b, f->at + 2, f->len - 2);
		ret = file_replace(path, b.at, b.len, e);
		buf_release(&b);
		free(path);
		if (ret < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int count = 0, from = 1, n;
	const char *folder = NULL;
	struct buf *file;
	struct err e;

	program_name = "bench_decode";
	if (argc > 3 && !strcmp(argv[1], "--copies")) {
		count = atoi(argv[2]);
		folder = argv[3];
		from = 4;
	}
	n = argc - from;
	if (n < 1)
		die(2, "usage: bench_decode [--copies N FOLDER] FILE...");
	file = xcalloc((size_t)n, sizeof *file);
	for (int i = 0; i < n; i++)
		if (file_read(&file[i], argv[from + i], 1 << 28, &e) < 0)
			die(1, "%s", e.text);
	if (!folder)
		measure(file, n);
	else if (copies(file, n, folder, count, &e) < 0)
		die(1, "%s", e.text);
	for (int i = 0; i < n; i++)
		buf_release(&file[i]);
	free(file);
	return 0;
}
