/*
 * Pictures: JPEG, PNG and WebP with their EXIF and colour profiles. The first byte says how it is
 * looked at; a picture above a quarter of a million pixels only by its header, for speed.
 */
#include "common/data/image_codec.h"
#include "tests/fuzz/shared/fuzz.h"

#define PIXELS (1 << 18)

FUZZ(picture)
{
	struct image_info info;
	struct image im = { 0 };
	struct err e;

	if (!len)
		return 0;
	if ((*at & 3) == 3) {
		int turn = exif_orientation(at + 1, len - 1);

		HOLDS(turn >= 1 && turn <= 8);
		return 0;
	}
	if (image_probe(&info, at + 1, len - 1, &e) < 0 || (int64_t)info.w * info.h > PIXELS)
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
