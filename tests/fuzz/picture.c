/*
 * Pictures: JPEG, PNG and WebP with their EXIF and colour profiles. The first byte says how it is
 * looked at: the upper six bits are 5 for a profile that is converted, or 63 for up to a quarter of a
 * million pixels; others, for speed, are a sixteenth of that. To convert takes milliseconds: it is done
 * for the first few that ask for it and for one in a hundred later (profile.c has more of those). A
 * header with more pixels than are taken is refused before memory is asked for: no piece that any input
 * here asks for comes near -malloc_limit_mb of tests/fuzz/run.
 */
#include "common/data/image_codec.h"
#include "tests/fuzz/shared/fuzz.h"

#define PIXELS (1 << 14)
#define PIXELS_SELDOM (1 << 18)
#define HOW_PROFILE 5
#define HOW_LARGE 63

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
	static unsigned asked;
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
	memory_leave_profiles(*at >> 2 != HOW_PROFILE || asked++ % 100 > 3);
	if (pixels > IMAGE_MAX_PIXELS)
		refused(&info, at + 1, len - 1);
	if (pixels > (*at >> 2 == HOW_LARGE ? PIXELS_SELDOM : PIXELS))
		goto out;
	if ((*at & 3) == 1) {
		image_decode(NULL, &info, at + 1, len - 1, &e);
	} else if (image_decode(&im, &info, at + 1, len - 1, &e) == 0) {
		HOLDS(im.w == info.w && im.h == info.h);
		fuzz_read(im.at, (size_t)im.w * im.h * im.channels);
		image_release(&im);
	}
out:
	memory_leave_profiles(0);
	return 0;
}
