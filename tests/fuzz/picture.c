/*
 * Pictures: JPEG, PNG and WebP with their EXIF and colour profiles. The first byte says how it is
 * looked at. For speed, one input in 64 may have a quarter of a million pixels, others a sixteenth of
 * that. A header with more pixels than are taken is refused before memory is asked for: no piece that
 * any input here asks for comes near -malloc_limit_mb of tests/fuzz/run.
 */
#include "common/data/image_codec.h"
#include "tests/fuzz/shared/fuzz.h"

#define PIXELS (1 << 14)
#define PIXELS_SELDOM (1 << 18)

static void refused(struct image_info *info, const uint8_t *at, size_t len)
{
	struct image im = { 0 };
	struct err e;

	HOLDS(image_decode(NULL, info, at, len, &e) < 0);
	HOLDS(image_decode(&im, info, at, len, &e) < 0 && !im.at);
}

FUZZ(picture)
{
	struct image_info info;
	struct image im = { 0 };
	struct err e;
	int64_t pixels;

	if (!len)
		return 0;
	if ((*at & 3) == 3) {
		int turn = exif_orientation(at + 1, len - 1);

		HOLDS(turn >= 1 && turn <= 8);
		return 0;
	}
	if (image_probe(&info, at + 1, len - 1, &e) < 0)
		return 0;
	pixels = (int64_t)info.w * info.h;
	if (pixels > IMAGE_MAX_PIXELS)
		refused(&info, at + 1, len - 1);
	if (pixels > (*at >> 2 == 63 ? PIXELS_SELDOM : PIXELS))
		return 0;
	if ((*at & 3) == 1) {
		image_decode(NULL, &info, at + 1, len - 1, &e);
	} else if (image_decode(&im, &info, at + 1, len - 1, &e) == 0) {
		HOLDS(im.w == info.w && im.h == info.h);
		fuzz_read(im.at, (size_t)im.w * im.h * im.channels);
		image_release(&im);
	}
	return 0;
}
