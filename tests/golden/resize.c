/* Resampling, bit for bit: every output named FILTER_WIDTHxHEIGHT, as Pillow gave it when it still
 * went across first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image.h"
#include "tests/golden/golden.h"

static int picture_of(struct gcase *c, struct image *im, struct err *e)
{
	struct tensor t;
	const float *at;
	int ret = -1;

	if (golden_tensor(c, "in.image", &t, e) < 0)
		return -1;
	if (image_new(im, (int)t.side[1], (int)t.side[0], t.rank == 3 ? (int)t.side[2] : 1, e) < 0)
		goto out;
	at = t.at;
	for (int64_t i = 0; i < tensor_count(&t); i++)
		im->at[i] = (uint8_t)at[i];
	ret = 0;
out:
	tensor_release(&t);
	return ret;
}

static int compare(struct gcase *c, const char *name, const struct image *im, struct err *e)
{
	int64_t n = (int64_t)im->w * im->h * im->channels;
	float *x = xcalloc(n, sizeof *x);
	int ret;

	for (int64_t i = 0; i < n; i++)
		x[i] = im->at[i];
	ret = golden_compare(c, name, x, n, 0, 1, e);
	free(x);
	return ret;
}

static int check_one(struct gcase *c, const char *name, struct err *e)
{
	struct image im = { 0 };
	char filter[32], first[160];
	int w, h, ret = -1;

	if (sscanf(name, "out.%31[a-z0-9]_%dx%d", filter, &w, &h) != 3)
		return fail(e, "'%s' is not named FILTER_WIDTHxHEIGHT", name);
	snprintf(first, sizeof first, "%s_horizontal_first", name);
	if (picture_of(c, &im, e) < 0 || image_resize(&im, w, h, filter, e) < 0)
		goto out;
	ret = compare(c, golden_has(c, first) ? first : name, &im, e);
out:
	image_release(&im);
	return ret;
}

static int check(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	*v = GOLDEN_CHECKED;
	for (size_t i = 0; i < c->file.n; i++) {
		const char *name = c->file.at[i].name;

		if (starts_with(name, "out.") && !ends_with(name, "_horizontal_first")
		    && check_one(c, name, e) < 0)
			return -1;
	}
	return 0;
}

const struct golden_group golden_resize = { .name = "resize", .check = check };
