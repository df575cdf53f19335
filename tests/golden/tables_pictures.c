/* The tables about pictures: buckets, crops, folder names, caption files, small resampled images.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/bucket.h"
#include "common/data/folder.h"
#include "common/data/image.h"
#include "tests/golden/golden.h"

#define COLUMNS 24

struct line {
	const char *path;
	int number;             /* of the row, from 1; the header is 0 */
	char *cell[COLUMNS];    /* as in the file; missing ones are "" */
};

typedef int check_line(struct line *l, struct err *e);  /* 1: as recorded, 0: differs, -1 */

/* One row after the other through `check`; cells are cut out in place. */
static int each_row(const char *path, int *rows, int *wrong, check_line *check, struct err *e)
{
	struct buf b = { 0 };
	struct line l = { .path = path };
	char *at, *end;
	int ret = -1;

	if (file_read(&b, path, 100 << 20, e) < 0)
		goto out;
	for (at = b.at; at && *at; at = end, l.number++) {
		int good, n = 0;

		end = strchr(at, '\n');
		end = end ? (*end = 0, end + 1) : at + strlen(at);
		for (int i = 0; i < COLUMNS; i++)
			l.cell[i] = "";
		for (char *c = at; c && n < COLUMNS; n++) {
			l.cell[n] = strsep(&c, "\t");
		}
		if (!l.number)
			continue;
		good = check(&l, e);
		if (good < 0)
			goto out;
		++*rows;
		*wrong += !good;
	}
	ret = 0;
out:
	buf_release(&b);
	return ret;
}

static int number(const struct line *l, int column)
{
	return atoi(l->cell[column]);
}

/* Undo \\ \t \n \r \xHH. */
static void plain(struct buf *out, const char *s)
{
	for (; *s; s++) {
		unsigned byte;

		if (*s != '\\') {
			buf_addc(out, *s);
		} else if (s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			buf_addc(out, (char)byte);
			s += 3;
		} else {
			s++;
			buf_addc(out, *s == 't' ? '\t' : *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s);
		}
	}
}

/* ---- buckets ---- */

static int check_bucket_list(struct line *l, struct err *e)
{
	struct bucket_rules r = { number(l, 0), number(l, 1), number(l, 2),
				  number(l, 3), number(l, 4), 1 };
	struct bucket_list list;
	struct buf text = { 0 };
	int good;

	if (bucket_list_make(&list, &r, e) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++)
		buf_addf(&text, "%s%dx%d", i ? " " : "", list.at[i].w, list.at[i].h);
	good = !strcmp(buf_str(&text), l->cell[8]) && (int)list.n == number(l, 7)
	       && list.min == number(l, 5) && list.max == number(l, 6);
	if (!good)
		golden_row(l->path, l->number, "%s", buf_str(&text));
	buf_release(&text);
	bucket_list_release(&list);
	return good;
}

static int check_bucket(struct line *l, struct err *e)
{
	struct bucket_rules r = { number(l, 2), number(l, 3), number(l, 4),
				  number(l, 5), number(l, 6), !number(l, 7) };
	struct bucket_list list;
	struct bucket_fit f;
	double crop[4] = { 0 };
	int x = 0, y = 0, w = number(l, 0), h = number(l, 1), none = !strcmp(l->cell[8], "-"), good;

	if (bucket_list_make(&list, &r, e) < 0)
		return -1;
	if (bucket_choose(&f, &r, &list, w, h, e) < 0) {
		good = none;
	} else {
		bucket_centre(&f, 0, &x, &y);
		bucket_sdxl_crop(&f, w, h, crop);
		good = !none && f.w == number(l, 8) && f.h == number(l, 9)
		       && f.resized_w == number(l, 10) && f.resized_h == number(l, 11)
		       && x == number(l, 12) && y == number(l, 13);
		for (int i = 0; i < 4; i++)
			good = good && crop[i] == atof(l->cell[14 + i]);
	}
	if (!good)
		golden_row(l->path, l->number, "%dx%d: %dx%d from %dx%d at %d,%d", w, h, f.w, f.h,
			   f.resized_w, f.resized_h, x, y);
	bucket_list_release(&list);
	return good;
}

static int check_crop(struct line *l, struct err *e)
{
	struct bucket_fit f;
	int x, y, good;

	if (bucket_square(&f, number(l, 2), number(l, 0), number(l, 1), e) < 0)
		return -1;
	bucket_centre(&f, 1, &x, &y);
	good = f.resized_w == number(l, 3) && f.resized_h == number(l, 4) && x == number(l, 5)
	       && y == number(l, 6);
	if (!good)
		golden_row(l->path, l->number, "%dx%d at %d,%d", f.resized_w, f.resized_h, x, y);
	return good;
}

/* ---- names and captions ---- */

static int check_folder(struct line *l, struct err *e)
{
	struct buf name = { 0 }, want = { 0 };
	const char *words;
	int64_t n;
	int good;

	(void)e;
	plain(&name, l->cell[1]);
	plain(&want, l->cell[3]);
	n = folder_repeats(buf_str(&name), &words);
	good = n == number(l, 2) && !strcmp(words, buf_str(&want));
	if (!good)
		golden_row(l->path, l->number, "%lld, '%s'", (long long)n, words);
	buf_release(&name);
	buf_release(&want);
	return good;
}

static int check_caption(struct line *l, struct err *e)
{
	struct buf file = { 0 };
	int good = 1;

	(void)e;
	plain(&file, l->cell[1]);
	for (int lines = 0; lines < 2; lines++) {
		struct buf got = { 0 }, want = { 0 };

		plain(&want, l->cell[2 + lines]);
		caption_of_file(&got, buf_str(&file), file.len, lines);
		if (strcmp(buf_str(&got), buf_str(&want))) {
			golden_row(l->path, l->number, "'%s'", buf_str(&got));
			good = 0;
		}
		buf_release(&got);
		buf_release(&want);
	}
	buf_release(&file);
	return good;
}

/* ---- small images ---- */

static int check_resize(struct line *l, struct err *e)
{
	struct image im;
	struct buf got = { 0 };
	const char *want = l->cell[8][0] ? l->cell[8] : l->cell[7];
	char *at = l->cell[6];
	int good = -1;

	if (image_new(&im, number(l, 2), number(l, 3), 1, e) < 0)
		return -1;
	for (int i = 0; i < im.w * im.h; i++)
		im.at[i] = (uint8_t)strtol(at, &at, 10);
	if (image_resize(&im, number(l, 4), number(l, 5), l->cell[1], e) < 0)
		goto out;
	for (int i = 0; i < im.w * im.h; i++)
		buf_addf(&got, "%s%d", i ? " " : "", im.at[i]);
	good = !strcmp(buf_str(&got), want);
	if (!good)
		golden_row(l->path, l->number, "%s: %s", l->cell[1], buf_str(&got));
out:
	image_release(&im);
	buf_release(&got);
	return good;
}

#define TABLE(var, file, check)                                                                    \
	static int var##_rows(const char *root, const char *path, int *rows, int *wrong,           \
			      struct err *e)                                                       \
	{                                                                                          \
		(void)root;                                                                        \
		return each_row(path, rows, wrong, check, e);                                      \
	}                                                                                          \
	const struct golden_group golden_##var = { .name = "tables/" file,                         \
						   .check_table = var##_rows };

TABLE(table_buckets, "buckets-kohya.tsv", check_bucket)
TABLE(table_bucket_lists, "bucket-lists-kohya.tsv", check_bucket_list)
TABLE(table_crop, "crop-diffusers.tsv", check_crop)
TABLE(table_folders, "folders-kohya.tsv", check_folder)
TABLE(table_caption_files, "caption-files-kohya.tsv", check_caption)
TABLE(table_resize, "resize.tsv", check_resize)
