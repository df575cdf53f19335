/* The one thing wanted from EXIF: how the camera was held. Everything else is left alone. */
#include "common/data/image_codec.h"

static unsigned read16(const uint8_t *at, int big)
{
	return big ? at[0] << 8 | at[1] : at[1] << 8 | at[0];
}

static size_t read32(const uint8_t *at, int big)
{
	return big ? (size_t)read16(at, 1) << 16 | read16(at + 2, 1)
		   : (size_t)read16(at + 2, 0) << 16 | read16(at, 0);
}

int exif_orientation(const uint8_t *at, size_t len)
{
	size_t dir, n;
	int big;

	if (len < 8 || at[0] != at[1] || (at[0] != 'I' && at[0] != 'M'))
		return 1;
	big = at[0] == 'M';
	dir = read32(at + 4, big);
	if (read16(at + 2, big) != 42 || dir > len - 2)
		return 1;
	n = read16(at + dir, big);
	for (size_t i = 0, p = dir + 2; i < n && p + 12 <= len; i++, p += 12) {
		unsigned value = read16(at + p + 8, big);

		/* Type 3 is SHORT; some programs write LONG (4), whose end counts. */
		if (read16(at + p, big) != 0x0112)
			continue;
		if (read16(at + p + 2, big) == 4)
			value = (unsigned)read32(at + p + 8, big);
		return value >= 1 && value <= 8 ? (int)value : 1;
	}
	return 1;
}
