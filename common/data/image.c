/* Pictures in memory, and the way from a file's bytes to them; the formats are in image_*.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/data/image_codec.h"

/* ---- memory ---- */

int image_new(struct image *im, int w, int h, int channels, struct err *e)
{
	int64_t side[3] = { w, h, channels }, n = size_product(side, 3);
	void *at;

	*im = (struct image){ 0 };
	if (w < 1 || h < 1 || n < 0)
		return fail(e, "a picture of %d x %d pixels cannot be made", w, h);
	if (mem_try(&at, n, "picture", e) < 0)
		return -1;
	*im = (struct image){ w, h, channels, at };
	return 0;
}

void image_release(struct image *im)
{
	free(im->at);
	*im = (struct image){ 0 };
}

/* Take over the memory of `from`. */
static void image_become(struct image *im, struct image *from)
{
	free(im->at);
	*im = *from;
	*from = (struct image){ 0 };
}

int layout_channels(enum pixel_layout layout)
{
	return layout == LAYOUT_CMYK ? 4 : (int)layout;
}

void picture_release(struct picture *p)
{
	free(p->at);
	buf_release(&p->icc);
	*p = (struct picture){ 0 };
}

int picture_limit(int64_t w, int64_t h, struct err *e)
{
	if (w < 1 || h < 1)
		return fail(e, "%lld x %lld pixels", (long long)w, (long long)h);
	if (w * h > IMAGE_MAX_PIXELS)
		return fail(e, "%lld x %lld = %lld pixels, at most %lld are taken", (long long)w,
			    (long long)h, (long long)(w * h), (long long)IMAGE_MAX_PIXELS);
	return 0;
}

int picture_pixels(struct picture *p, struct err *e)
{
	struct image im;

	if (image_new(&im, p->w, p->h, layout_channels(p->layout), e) < 0)
		return -1;
	p->at = im.at;
	return 0;
}

/* ---- simple changes ---- */

int image_flatten(struct image *im, struct err *e)
{
	struct image to;
	size_t n = (size_t)im->w * im->h;
	int c = im->channels;

	if (c == 3)
		return 0;
	if (image_new(&to, im->w, im->h, 3, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		to.at[3 * i] = im->at[c * i];
		to.at[3 * i + 1] = im->at[c * i + (c == 1 ? 0 : 1)];
		to.at[3 * i + 2] = im->at[c * i + (c == 1 ? 0 : 2)];
	}
	image_become(im, &to);
	return 0;
}

int image_crop(struct image *im, int x, int y, int w, int h, struct err *e)
{
	struct image to;
	size_t row = (size_t)w * im->channels;

	if (x < 0 || y < 0 || w < 1 || h < 1 || w > im->w - x || h > im->h - y)
		return fail(e, "cannot cut %d x %d at (%d, %d) out of %d x %d", w, h, x, y, im->w,
			    im->h);
	if (w == im->w && h == im->h)
		return 0;
	if (image_new(&to, w, h, im->channels, e) < 0)
		return -1;
	for (int i = 0; i < h; i++)
		memcpy(to.at + i * row, im->at + ((size_t)(y + i) * im->w + x) * im->channels, row);
	image_become(im, &to);
	return 0;
}

void image_flip(struct image *im)
{
	int c = im->channels;

	for (int y = 0; y < im->h; y++) {
		uint8_t *row = im->at + (size_t)y * im->w * c;

		for (int a = 0, b = im->w - 1; a < b; a++, b--)
			for (int k = 0; k < c; k++) {
				uint8_t t = row[a * c + k];
				row[a * c + k] = row[b * c + k];
				row[b * c + k] = t;
			}
	}
}

int image_fit(struct image *im, int resized_w, int resized_h, int x, int y, int w, int h, int flip,
	      struct err *e)
{
	int shrinks = resized_w <= im->w && resized_h <= im->h;

	if (image_resize(im, resized_w, resized_h, shrinks ? "area" : "lanczos", e) < 0)
		return -1;
	if (image_crop(im, x, y, w, h, e) < 0)
		return -1;
	if (flip)
		image_flip(im);
	return 0;
}

/* ---- orientation ---- */

#define TILE 32 /* pixels a side: both pictures' lines of a tile stay in the nearest cache */

/* Where a pixel of the upright picture lies in the stored one (w x h): start + x * dx + y * dy. */
static void turn_steps(int orientation, int64_t w, int64_t h, int64_t *start, int64_t *dx,
		       int64_t *dy)
{
	/* Does it start at the right edge, at the bottom; then steps in rows (w) and pixels. */
	static const struct {
		signed char right, down, dx_w, dx_1, dy_w, dy_1;
	} turn[9] = {
		[1] = { 0, 0, 0, 1, 1, 0 },   [2] = { 1, 0, 0, -1, 1, 0 },
		[3] = { 1, 1, 0, -1, -1, 0 }, [4] = { 0, 1, 0, 1, -1, 0 },
		[5] = { 0, 0, 1, 0, 0, 1 },   [6] = { 0, 1, -1, 0, 0, 1 },
		[7] = { 1, 1, -1, 0, 0, -1 }, [8] = { 1, 0, 1, 0, 0, -1 },
	};

	*start = turn[orientation].right * (w - 1) + turn[orientation].down * (h - 1) * w;
	*dx = turn[orientation].dx_w * w + turn[orientation].dx_1;
	*dy = turn[orientation].dy_w * w + turn[orientation].dy_1;
}

static void turn_tile(struct image *to, const uint8_t *from, int x0, int y0, const int64_t step[3])
{
	int x1 = x0 + TILE < to->w ? x0 + TILE : to->w, y1 = y0 + TILE < to->h ? y0 + TILE : to->h;
	int c = to->channels;

	for (int y = y0; y < y1; y++)
		for (int x = x0; x < x1; x++) {
			const uint8_t *in = from + (step[0] + x * step[1] + y * step[2]) * c;
			uint8_t *out = to->at + ((size_t)y * to->w + x) * c;

			for (int k = 0; k < c; k++)
				out[k] = in[k];
		}
}

static int image_turn(struct image *im, int orientation, struct err *e)
{
	struct image to;
	int64_t step[3];
	int w = orientation > 4 ? im->h : im->w, h = orientation > 4 ? im->w : im->h;

	if (orientation == 1)
		return 0;
	if (image_new(&to, w, h, im->channels, e) < 0)
		return -1;
	turn_steps(orientation, im->w, im->h, &step[0], &step[1], &step[2]);
	for (int y = 0; y < to.h; y += TILE)
		for (int x = 0; x < to.w; x += TILE)
			turn_tile(&to, im->at, x, y, step);
	image_become(im, &to);
	return 0;
}

/* ---- decoding ---- */

static decoder *decoder_of(const uint8_t *at, size_t len, const char **name)
{
	*name = "";
	if (len >= 3 && !memcmp(at, "\xff\xd8\xff", 3))
		return *name = "JPEG", jpeg_decode;
	if (len >= 8 && !memcmp(at, "\x89PNG\r\n\x1a\n", 8))
		return *name = "PNG", png_decode;
	if (len >= 12 && !memcmp(at, "RIFF", 4) && !memcmp(at + 8, "WEBP", 4))
		return *name = "WebP", webp_decode;
	return NULL;
}

/* What bytes that are no picture of ours seem to be. */
static const char *guess(const uint8_t *at, size_t len)
{
	static const struct {
		const char *magic, *name;
		size_t at;
	} known[] = {
		{ "GIF8", "a GIF", 0 },		{ "BM", "a BMP", 0 },
		{ "II*\0", "a TIFF", 0 },	{ "MM\0*", "a TIFF", 0 },
		{ "ftypheic", "a HEIC", 4 },	{ "ftypheix", "a HEIC", 4 },
		{ "ftypmif1", "a HEIF", 4 },	{ "ftypavif", "an AVIF", 4 },
		{ "\xff\x0a", "a JPEG XL", 0 }, { "JXL ", "a JPEG XL", 4 },
	};
	static const size_t length[] = { 4, 2, 4, 4, 8, 8, 8, 8, 2, 4 };
	size_t texts = 0;

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (len >= known[i].at + length[i]
		    && !memcmp(at + known[i].at, known[i].magic, length[i]))
			return known[i].name;
	while (texts < len && texts < 256
	       && (at[texts] >= ' ' || (at[texts] >= '\t' && at[texts] <= '\r')))
		texts++;
	return texts == len || texts == 256 ? "text" : "something else";
}

static void add_fixed(struct image_info *info, const char *text)
{
	size_t n = strlen(info->fixed);

	snprintf(info->fixed + n, sizeof info->fixed - n, "%s%s", n ? ", " : "", text);
}

/* CMYK without a usable profile, as Pillow does it. Stored inverted, so ink 0 is 255. */
static void cmyk_to_rgb(struct picture *p)
{
	size_t n = (size_t)p->w * p->h;

	for (size_t i = 0; i < n; i++) {
		const uint8_t *in = p->at + 4 * i;
		int black = in[3];

		for (int c = 0; c < 3; c++) {
			int t = (255 - in[c]) * black + 128, v = black - (((t >> 8) + t) >> 8);
			p->at[3 * i + c] = v < 0 ? 0 : v;
		}
	}
	p->layout = LAYOUT_RGB;
}

static void grey_alpha_to_rgba(struct image *to, const struct picture *p)
{
	size_t n = (size_t)p->w * p->h;

	for (size_t i = 0; i < n; i++) {
		memset(to->at + 4 * i, p->at[2 * i], 3);
		to->at[4 * i + 3] = p->at[2 * i + 1];
	}
}

/* Grey and grey + alpha to RGB and RGBA; the pixels move from p to im. */
static int widen(struct image *im, struct picture *p, struct err *e)
{
	if (p->layout == LAYOUT_GREY_ALPHA) {
		if (image_new(im, p->w, p->h, 4, e) < 0)
			return -1;
		grey_alpha_to_rgba(im, p);
		return 0;
	}
	*im = (struct image){ p->w, p->h, layout_channels(p->layout), p->at };
	p->at = NULL;
	return im->channels == 1 ? image_flatten(im, e) : 0;
}

static int some_transparent(const struct picture *p)
{
	int c = layout_channels(p->layout);
	size_t n = (size_t)p->w * p->h;

	if (!p->at || (p->layout != LAYOUT_GREY_ALPHA && p->layout != LAYOUT_RGBA))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (p->at[c * i + c - 1] != 255)
			return 1;
	return 0;
}

static void describe(struct image_info *info, const struct picture *p)
{
	char text[64];

	info->orientation = p->orientation;
	info->w = p->orientation > 4 ? p->h : p->w;
	info->h = p->orientation > 4 ? p->w : p->h;
	info->had_alpha = some_transparent(p);
	if (p->orientation != 1) {
		snprintf(text, sizeof text, "turned upright (EXIF %d)", p->orientation);
		add_fixed(info, text);
	}
	if (p->bits > 8) {
		snprintf(text, sizeof text, "%d bits to 8", p->bits);
		add_fixed(info, text);
	}
	if (info->had_alpha)
		add_fixed(info, "transparency dropped");
}

static void colours(struct image_info *info, struct picture *p)
{
	enum pixel_layout was = p->layout;
	char name[48], text[96];
	int changed = icc_to_srgb(p, name, sizeof name);

	info->had_profile = changed > 0;
	if (changed > 0)
		snprintf(text, sizeof text, "%s to sRGB", name);
	else if (changed < 0)
		snprintf(text, sizeof text, "unusable colour profile '%s' ignored", name);
	if (changed)
		add_fixed(info, text);
	if (was == LAYOUT_CMYK && changed <= 0) {
		add_fixed(info, "CMYK to RGB");
		if (p->at)
			cmyk_to_rgb(p);
	}
}

static int decode(struct image *im, enum decode_how how, struct image_info *info, const void *at,
		  size_t len, struct err *e)
{
	struct picture p = { .orientation = 1 };
	struct image_info none;
	decoder *d;
	int ret = -1;

	if (!info)
		info = &none;
	*info = (struct image_info){ .orientation = 1 };
	d = decoder_of(at, len, &info->format);
	if (!len)
		return fail(e, "the file is empty (0 bytes)");
	if (!d)
		return fail(e, "not a picture: it holds %s, not JPEG, PNG or WebP", guess(at, len));
	if (d(&p, how, at, len, e) < 0)
		goto out;
	describe(info, &p);
	if (how != DECODE_HEADER)
		colours(info, &p);
	ret = 0;
	if (how == DECODE_PIXELS
	    && (widen(im, &p, e) < 0 || image_turn(im, info->orientation, e) < 0)) {
		image_release(im);
		ret = -1;
	}
out:
	picture_release(&p);
	return ret;
}

int image_decode(struct image *im, struct image_info *info, const void *at, size_t len,
		 struct err *e)
{
	if (im)
		*im = (struct image){ 0 };
	return decode(im, im ? DECODE_PIXELS : DECODE_CHECK, info, at, len, e);
}

int image_probe(struct image_info *info, const void *at, size_t len, struct err *e)
{
	return decode(NULL, DECODE_HEADER, info, at, len, e);
}
