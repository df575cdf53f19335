#include "common/data/image.h"
#include "tests/test.h"

static struct image grey(int w, int h, const int *v)
{
	struct image im;
	struct err e;

	if (image_new(&im, w, h, 1, &e) < 0)
		abort();
	for (int i = 0; i < w * h; i++)
		im.at[i] = (uint8_t)v[i];
	return im;
}

static int same(const struct image *im, const int *v)
{
	for (int i = 0; i < im->w * im->h; i++)
		if (im->at[i] != v[i])
			return 0;
	return 1;
}

#define RESIZE(filter, w1, h1, w2, h2, in, out)                                                    \
	do {                                                                                       \
		struct image im = grey(w1, h1, in);                                                \
		struct err e = { "" };                                                             \
		CHECK_OK(image_resize(&im, w2, h2, filter, &e), e);                                \
		CHECK_INT(im.w, w2);                                                               \
		CHECK_INT(im.h, h2);                                                               \
		CHECK(same(&im, out));                                                             \
		image_release(&im);                                                                \
	} while (0)

/* Numbers that Pillow 13 gave. */
static void as_pillow(void)
{
	const int in[] = { 0, 0, 0, 136, 0, 0, 0, 0 };

	RESIZE("lanczos", 8, 1, 4, 1, in, ((int[]){ 0, 60, 18, 0 }));
	RESIZE("bicubic", 8, 1, 4, 1, in, ((int[]){ 0, 58, 15, 0 }));
	RESIZE("bilinear", 8, 1, 4, 1, in, ((int[]){ 0, 51, 17, 0 }));
	RESIZE("box", 8, 1, 4, 1, in, ((int[]){ 0, 68, 0, 0 }));
	RESIZE("lanczos", 8, 1, 11, 1, in, ((int[]){ 0, 4, 0, 5, 124, 83, 0, 0, 2, 0, 0 }));
	RESIZE("lanczos", 1, 8, 1, 4, in, ((int[]){ 0, 60, 18, 0 }));
}

static void area_means_of_blocks(void)
{
	const int in[] = { 10, 20, 30, 41, 50, 60, 70, 80, 90, 100, 110, 120, 1, 2, 3, 4, 5, 6 };

	RESIZE("area", 6, 3, 3, 3, in, ((int[]){ 15, 36, 55, 75, 95, 115, 2, 4, 6 }));
	RESIZE("area", 6, 3, 6, 3, in, in);
	RESIZE("area", 4, 2, 2, 1, in, ((int[]){ 35, 55 }));
}

static void a_flat_picture_stays_flat(void)
{
	static const char *const filter[] = { "box", "bilinear", "bicubic", "lanczos", "area" };
	struct err e = { "" };

	for (int f = 0; f < 5; f++)
		for (int c = 1; c <= 4; c += c == 1 ? 2 : 1) {
			struct image im;

			CHECK_OK(image_new(&im, 97, 61, c, &e), e);
			memset(im.at, 255, 97 * 61 * c);
			CHECK_OK(image_resize(&im, 41, 60, filter[f], &e), e);
			for (int i = 0; i < 41 * 60 * c; i++)
				if (im.at[i] != 255) {
					CHECK(!"every value is 255");
					break;
				}
			image_release(&im);
		}
}

/* What is transparent must not bleed its colour into what is seen. */
static void alpha_weighs_colours(void)
{
	struct image im;
	struct err e = { "" };

	CHECK_OK(image_new(&im, 2, 1, 4, &e), e);
	memcpy(im.at, (uint8_t[]){ 200, 100, 50, 255, 0, 255, 0, 0 }, 8);
	CHECK_OK(image_resize(&im, 1, 1, "box", &e), e);
	CHECK_INT(im.at[0], 199);
	CHECK_INT(im.at[1], 99);
	CHECK_INT(im.at[2], 49);
	CHECK_INT(im.at[3], 128);
	image_release(&im);
}

static void wrong_calls_fail(void)
{
	struct image im = grey(2, 2, (int[]){ 1, 2, 3, 4 });
	struct err e = { "" };

	CHECK(image_resize(&im, 0, 2, "box", &e) < 0);
	CHECK(image_resize(&im, 3, 2, "area", &e) < 0);
	CHECK_STR(e.text, "'area' only shrinks: 2 x 2 to 3 x 2");
	CHECK(image_resize(&im, 3, 2, "cubic", &e) < 0);
	CHECK_INT(im.w, 2);
	image_release(&im);
}

static void fit_resizes_crops_flips(void)
{
	int in[8 * 4], want[] = { 11, 10, 19, 18 };
	struct image im;
	struct err e = { "" };

	for (int i = 0; i < 32; i++)
		in[i] = i;
	im = grey(8, 4, in);
	CHECK_OK(image_fit(&im, 8, 4, 2, 1, 2, 2, 1, &e), e);
	CHECK(same(&im, want));
	image_release(&im);

	im = grey(8, 4, in);                    /* both sides shrink: means of blocks */
	CHECK_OK(image_fit(&im, 4, 2, 0, 0, 4, 2, 0, &e), e);
	CHECK(same(&im, (int[]){ 5, 7, 9, 11, 21, 23, 25, 27 }));
	CHECK(image_fit(&im, 4, 2, 1, 0, 4, 2, 0, &e) < 0);
	image_release(&im);
}

int main(void)
{
	TEST(as_pillow);
	TEST(area_means_of_blocks);
	TEST(a_flat_picture_stays_flat);
	TEST(alpha_weighs_colours);
	TEST(wrong_calls_fail);
	TEST(fit_resizes_crops_flips);
	return test_end();
}
