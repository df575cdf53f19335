/*
 * Pictures: 8 bits, sRGB, rows top to bottom, interleaved.
 *
 * image_decode takes JPEG, PNG and WebP bytes in every form that users have: EXIF orientation
 * 2..8 applied, an embedded ICC profile converted to sRGB (perceptual), 16 bits, palette,
 * grey, grey+alpha, CMYK (also Adobe's inverted) all become RGB or RGBA. Truncated data is
 * an error that says so. At most 2^28 pixels.
 */
#ifndef DATA_IMAGE_H
#define DATA_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct image {
	int w, h;
	int channels;           /* 1 grey, 3 RGB, 4 RGBA */
	uint8_t *at;            /* [h][w][channels], owned */
};

struct image_info {             /* what the file was, before conversion */
	const char *format;     /* "JPEG", "PNG", "WebP" */
	int w, h;               /* after orientation */
	int orientation;        /* 1..8 */
	int had_profile;        /* an ICC profile other than sRGB was applied */
	int had_alpha;          /* some pixel is not opaque */
	/* What was changed: "turned upright (EXIF 6), Adobe RGB to sRGB"; "" if nothing. */
	char fixed[160];
};

/*
 * `im` NULL: everything is decoded and checked and the pixels are thrown away, which is faster than
 * decoding (`info` says what image_decode would change). `info` may be NULL.
 */
int image_decode(struct image *im, struct image_info *info, const void *at, size_t len,
		 struct err *e);

/* Header only: format, size, orientation. */
int image_probe(struct image_info *info, const void *at, size_t len, struct err *e);

/* PNG bytes appended to out. text: 2 * n_text strings, keyword and value (tEXt, else iTXt). */
int image_encode_png(struct buf *out, const struct image *im, char *const *text, int n_text,
		     struct err *e);

int image_new(struct image *im, int w, int h, int channels, struct err *e);
void image_release(struct image *im);           /* {0} and twice are fine */
/* RGBA, grey -> RGB; alpha is dropped, as PIL's convert does. */
int image_flatten(struct image *im, struct err *e);
int image_crop(struct image *im, int x, int y, int w, int h, struct err *e);
void image_flip(struct image *im);              /* left and right */

/*
 * Resample to w x h, bit for bit as Pillow (8 bits between the passes, 22-bit weights,
 * horizontally first). `filter`: "box", "bilinear", "bicubic", "lanczos"; "area" is OpenCV's
 * INTER_AREA (no side may grow). RGBA is premultiplied and divided again as Pillow does, but not
 * for "area".
 */
int image_resize(struct image *im, int w, int h, const char *filter, struct err *e);

/*
 * What the stage 'bucket' decided, applied: resize (area if both sides shrink or stay, else
 * Lanczos, as kohya), cut out w x h at (x, y) of the resized picture, then mirror if `flip`.
 */
int image_fit(struct image *im, int resized_w, int resized_h, int x, int y, int w, int h, int flip,
	      struct err *e);

#endif
