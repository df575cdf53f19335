#include "stages/shared/picture.h"

#include <stdio.h>
#include <string.h>

#include "common/data/bucket.h"

struct row_fit {
	struct bucket_fit fit;
	int x, y, flip;
};

static int two_numbers(const struct table *t, size_t row, const char *name, const char *form,
		       int v[2], struct err *e)
{
	int column = table_need(t, name, "the pictures' table", e), end = 0;
	const char *text;

	if (column < 0)
		return -1;
	text = table_get(t, row, column);
	if (sscanf(text, form, &v[0], &v[1], &end) != 2 || text[end])
		return fail(e, "column %s is '%s', not two numbers as in '%s'", name, text, name[0] == 'c' ? "0,32" : "512x768");
	return 0;
}

static int read_row(struct row_fit *f, const struct table *t, size_t row, struct err *e)
{
	int resized[2], crop[2], bucket[2], flip = table_column(t, "flip");

	if (two_numbers(t, row, "resized", "%dx%d%n", resized, e) < 0 ||
	    two_numbers(t, row, "crop", "%d,%d%n", crop, e) < 0 ||
	    two_numbers(t, row, "bucket", "%dx%d%n", bucket, e) < 0)
		return -1;
	*f = (struct row_fit){ { bucket[0], bucket[1], resized[0], resized[1] }, crop[0], crop[1],
			       flip >= 0 && !strcmp(table_get(t, row, flip), "1") };
	return 0;
}

int picture_of_row(struct stores *s, const struct table *t, size_t row, const struct ref *image,
		   struct image *im, struct err *e)
{
	struct image_info info;
	struct blob b = { 0 };
	struct row_fit f;
	int ret = -1;

	if (read_row(&f, t, row, e) < 0 || store_need(s, image, KIND_IMAGE, &b, e) < 0)
		return -1;
	if (image_decode(im, &info, b.at, b.len, e) == 0 && image_flatten(im, e) == 0)
		ret = image_fit(im, f.fit.resized_w, f.fit.resized_h, f.x, f.y, f.fit.w, f.fit.h, f.flip, e);
	blob_release(&b);
	return ret;
}
