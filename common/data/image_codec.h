/*
 * Between image.c and the readers of the three file formats. A reader gives the pixels as the file
 * has them, in 8 bits; image.c turns, converts to sRGB and widens them.
 */
#ifndef DATA_IMAGE_CODEC_H
#define DATA_IMAGE_CODEC_H

#include "common/base/buf.h"
#include "common/data/image.h"

#define IMAGE_MAX_PIXELS ((int64_t)1 << 28)

enum pixel_layout {             /* the value is the number of channels but for CMYK */
	LAYOUT_GREY = 1, LAYOUT_GREY_ALPHA = 2, LAYOUT_RGB = 3, LAYOUT_RGBA = 4,
	LAYOUT_CMYK = 5,        /* inverted: 255 = no ink, as every program writes JPEGs */
};

enum decode_how {
	DECODE_HEADER,          /* size, profile, orientation */
	DECODE_CHECK,           /* all data is looked at, `at` may stay NULL */
	DECODE_PIXELS,
};

struct picture {
	int w, h;               /* as stored, before turning */
	enum pixel_layout layout;
	int orientation;        /* 1..8 */
	int bits;               /* of a channel in the file */
	uint8_t *at;            /* [h][w][channels], malloced */
	struct buf icc;         /* embedded profile, empty if none */
};

int layout_channels(enum pixel_layout layout);
void picture_release(struct picture *p);
int picture_limit(int64_t w, int64_t h, struct err *e); /* fail if there are too many pixels */
int picture_pixels(struct picture *p, struct err *e);           /* make p->at from w, h, layout */

typedef int decoder(struct picture *p, enum decode_how how, const uint8_t *at, size_t len,
		    struct err *e);
decoder jpeg_decode, png_decode, webp_decode;

/* Tag 0x0112 of a TIFF header with its directory (EXIF without "Exif\0\0"); 1 if absent. */
int exif_orientation(const uint8_t *at, size_t len);

/*
 * Convert p->at from its embedded profile to sRGB. Returns 1: converted (the layout becomes RGB or
 * RGBA), 0: nothing to do (no profile, or it is sRGB within one step), -1: the profile cannot be
 * used (then p is unchanged). `name` is its description, for people. With p->at NULL it only tells
 * which.
 */
int icc_to_srgb(struct picture *p, char *name, size_t size);

#endif
