#include "common/data/bucket.h"
#include "tests/test.h"

static const struct bucket_rules sd15 = { 512, 512, 256, 1024, 64, 1 };

static void list_of_512(void)
{
	struct bucket_list l;
	struct err e = { "" };

	CHECK_OK(bucket_list_make(&l, &sd15, &e), e);
	CHECK_INT(l.n, 17);
	CHECK_INT(l.at[0].w, 256);
	CHECK_INT(l.at[0].h, 832);
	CHECK_INT(l.at[8].w, 512);
	CHECK_INT(l.at[16].w, 1024);
	bucket_list_release(&l);
}

#define FIT(rules, width, height, W, H, RW, RH)                                                    \
	do {                                                                                       \
		struct bucket_list l;                                                              \
		struct bucket_fit f;                                                               \
		struct err e = { "" };                                                             \
		CHECK_OK(bucket_list_make(&l, &(rules), &e), e);                                   \
		CHECK_OK(bucket_choose(&f, &(rules), &l, width, height, &e), e);                   \
		CHECK_INT(f.w, W);                                                                 \
		CHECK_INT(f.h, H);                                                                 \
		CHECK_INT(f.resized_w, RW);                                                        \
		CHECK_INT(f.resized_h, RH);                                                        \
		bucket_list_release(&l);                                                           \
	} while (0)

static void shapes_as_kohya(void)
{
	const struct bucket_rules shrink = { 512, 512, 256, 1024, 64, 0 },
				  xl = { 1024, 1024, 256, 2048, 64, 1 };

	FIT(sd15, 800, 600, 576, 448, 597, 448);
	FIT(sd15, 600, 800, 448, 576, 448, 597);
	FIT(sd15, 1920, 1080, 640, 384, 683, 384);
	FIT(sd15, 4000, 1000, 1024, 256, 1024, 256);
	FIT(sd15, 300, 300, 512, 512, 512, 512);
	FIT(xl, 800, 600, 1152, 896, 1195, 896);
	FIT(shrink, 800, 600, 512, 384, 512, 384);
	FIT(shrink, 1920, 1080, 640, 384, 683, 384);
	FIT(shrink, 300, 300, 256, 256, 300, 300);
	FIT(shrink, 500, 400, 448, 384, 500, 400);
}

static void square_as_diffusers(void)
{
	struct bucket_fit f;
	struct err e = { "" };
	int x, y;

	CHECK_OK(bucket_square(&f, 64, 640, 480, &e), e);
	CHECK_INT(f.resized_w, 85);
	bucket_centre(&f, 1, &x, &y);
	CHECK_INT(x, 10);
	f.resized_w = 67;                       /* 1.5 and 2.5 both round to 2 */
	bucket_centre(&f, 1, &x, &y);
	CHECK_INT(x, 2);
	bucket_centre(&f, 0, &x, &y);
	CHECK_INT(x, 1);
	CHECK_NEAR(bucket_cut(&f), 3.0 / 67, 1e-12);
}

static void wrong_limits_say_which(void)
{
	struct bucket_list l;
	struct err e;
	const struct bucket_rules small = { 512, 512, 32, 1024, 64, 1 },
				  high = { 512, 512, 576, 1024, 64, 1 },
				  low = { 512, 512, 256, 448, 64, 1 },
				  step = { 32, 32, 32, 64, 64, 0 };

	CHECK(bucket_list_make(&l, &small, &e) < 0);
	CHECK_STR(e.text, "smallest side 32 is below the step 64");
	CHECK(bucket_list_make(&l, &high, &e) < 0);
	CHECK_STR(e.text, "smallest side 576 is above the resolution 512x512");
	CHECK(bucket_list_make(&l, &low, &e) < 0);
	CHECK_STR(e.text, "largest side 448 is below the resolution 512x512");
	CHECK(bucket_list_make(&l, &step, &e) < 0);
}

static void too_small_without_upscale(void)
{
	const struct bucket_rules shrink = { 512, 512, 256, 1024, 64, 0 };
	struct bucket_list l = { 0 };
	struct bucket_fit f;
	struct err e;

	CHECK(bucket_choose(&f, &shrink, &l, 500, 63, &e) < 0);
	CHECK_STR(e.text, "500 x 63 pixels give a side below the step of 64 without enlarging");
	CHECK(bucket_choose(&f, &shrink, &l, 100000, 64, &e) < 0);
}

static void sizes_from_text(void)
{
	int64_t w, h;

	CHECK_INT(bucket_parse("512", &w, &h), 0);
	CHECK(w == 512 && h == 512);
	CHECK_INT(bucket_parse("768x512", &w, &h), 0);
	CHECK(w == 768 && h == 512);
	CHECK_INT(bucket_parse("512,768", &w, &h), 0);
	CHECK(w == 512 && h == 768);
	CHECK(bucket_parse("", &w, &h) < 0);
	CHECK(bucket_parse("0", &w, &h) < 0);
	CHECK(bucket_parse("512x", &w, &h) < 0);
	CHECK(bucket_parse("99999999", &w, &h) < 0);
}

int main(void)
{
	TEST(list_of_512);
	TEST(shapes_as_kohya);
	TEST(square_as_diffusers);
	TEST(wrong_limits_say_which);
	TEST(too_small_without_upscale);
	TEST(sizes_from_text);
	return test_end();
}
