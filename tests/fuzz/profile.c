/*
 * A colour profile as it stands in a picture, without the compressed bytes around it. The first byte
 * is the picture's layout.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/image_codec.h"
#include "tests/fuzz/shared/fuzz.h"

FUZZ(profile)
{
	struct picture p = { .w = 4, .h = 1, .orientation = 1, .bits = 8 };
	char name[48];

	if (!len)
		return 0;
	p.layout = (enum pixel_layout)(1 + *at % 5);
	buf_add(&p.icc, at + 1, len - 1);
	if (*at & 0x80)
		p.at = memset(xmalloc(4 * (size_t)layout_channels(p.layout)), 77,
			      4 * (size_t)layout_channels(p.layout));
	icc_to_srgb(&p, name, sizeof name);
	HOLDS(strlen(name) < sizeof name);
	picture_release(&p);
	return 0;
}
