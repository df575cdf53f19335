#include <stdio.h>
#include "common/data/image.h"
#include <jpeglib.h>
#include <lcms2.h>
#include <png.h>
#include <webp/encode.h>
#include "tests/test.h"

#define W 48
#define H 32

/* Four quarters: red, green, blue, white from the left top, in rows of c channels. */
static void paint(uint8_t *at, int w, int h, int c)
{
	static const uint8_t colour[4][3] = {
		{ 255, 0, 0 }, { 0, 255, 0 }, { 0, 0, 255 }, { 255, 255, 255 }
	};

	for (int i = 0; i < w * h; i++) {
		const uint8_t *k = colour[(i / w >= h / 2) * 2 + (i % w >= w / 2)];
		for (int j = 0; j < c; j++)
			at[i * c + j] = j < 3 ? k[j] : i % w < w / 2 ? 255 : 128;
	}
}

/* Which quarter's colour is near (x, y)? 0..3, or -1. */
static int quarter(const struct image *im, int x, int y)
{
	const uint8_t *p = im->at + ((size_t)y * im->w + x) * im->channels;

	return (p[0] > 128) + 2 * (p[1] > 128) + 4 * (p[2] > 128) == 7 ? 3
		: p[0] > 128 ? 0 : p[1] > 128 ? 1 : p[2] > 128 ? 2 : -1;
}

/* ---- files ---- */

static struct buf jpeg(int w, int h, J_COLOR_SPACE space, int orientation)
{
	uint8_t exif[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0\0\0\0\0\0\0\0";
	struct jpeg_compress_struct j;
	struct jpeg_error_mgr errors;
	unsigned char *out = NULL;
	unsigned long len = 0;
	struct buf b = { 0 };
	int c = space == JCS_GRAYSCALE ? 1 : space == JCS_CMYK ? 4 : 3;
	uint8_t *at = calloc(w * h, c);

	paint(at, w, h, c);
	if (space == JCS_CMYK)
		memset(at, 255, w * h * c);
	for (int i = 0; space == JCS_CMYK && i < w * h; i++)
		at[4 * i] = 0;          /* inverted: all cyan, nothing else */
	j.err = jpeg_std_error(&errors);
	jpeg_create_compress(&j);
	jpeg_mem_dest(&j, &out, &len);
	j.image_width = w;
	j.image_height = h;
	j.input_components = c;
	j.in_color_space = space;
	jpeg_set_defaults(&j);
	jpeg_set_quality(&j, 95, TRUE);
	jpeg_start_compress(&j, TRUE);
	exif[6 + 8 + 2 + 9] = orientation;
	if (orientation)
		jpeg_write_marker(&j, JPEG_APP0 + 1, exif, sizeof exif - 1);
	while (j.next_scanline < j.image_height) {
		JSAMPROW row = at + (size_t)j.next_scanline * w * c;
		jpeg_write_scanlines(&j, &row, 1);
	}
	jpeg_finish_compress(&j);
	jpeg_destroy_compress(&j);
	buf_add(&b, out, len);
	free(out);
	free(at);
	return b;
}

static void put(png_structp png, png_bytep at, size_t n)
{
	buf_add(png_get_io_ptr(png), at, n);
}

static void put_nothing(png_structp png)
{
	(void)png;
}

struct png_case {
	int w, h, bits, type, palette,
		alpha_of_0; /* palette: entries; alpha_of_0: of a tRNS chunk, or -1 */
	const void *profile;
	unsigned profile_len;
};

/* rows NULL: a header, then nonsense instead of pixels. */
static struct buf png_of(const struct png_case *c, const uint8_t *rows, size_t row)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	png_color colours[4] = {
		{ 10, 20, 30 }, { 40, 50, 60 }, { 70, 80, 90 }, { 100, 110, 120 }
	};
	static const png_byte nonsense[] = "pixels";
	png_byte alpha[4] = { (png_byte)c->alpha_of_0, 255, 255, 255 };
	struct buf b = { 0 };

	png_set_write_fn(png, &b, put, put_nothing);
	png_set_IHDR(png, info, c->w, c->h, c->bits, c->type, PNG_INTERLACE_NONE, 0, 0);
	if (c->palette)
		png_set_PLTE(png, info, colours, c->palette);
	if (c->palette && c->alpha_of_0 >= 0)
		png_set_tRNS(png, info, alpha, 4, NULL);
	if (c->profile)
		png_set_iCCP(png, info, "p", 0, c->profile, c->profile_len);
	png_write_info(png, info);
	for (int y = 0; rows && y < c->h; y++)
		png_write_row(png, rows + y * row);
	if (rows)
		png_write_end(png, NULL);
	else
		png_write_chunk(png, (const png_byte *)"IDAT", nonsense, sizeof nonsense);
	png_destroy_write_struct(&png, &info);
	return b;
}

static struct buf webp(int c)
{
	uint8_t at[W * H * 4], *out = NULL;
	struct buf b = { 0 };
	size_t n;

	paint(at, W, H, c);
	n = c == 4 ? WebPEncodeLosslessRGBA(at, W, H, W * 4, &out)
		   : WebPEncodeLosslessRGB(at, W, H, W * 3, &out);
	buf_add(&b, out, n);
	WebPFree(out);
	return b;
}

/* ---- tests ---- */

static void png_there_and_back(void)
{
	char *const text[] = { "parameters", "a dog, Steps: 20", "Title",
			       "\xe3\x81\x84\xe3\x81\xac" };
	struct err e = { "" };

	for (int c = 1; c <= 4; c += c == 1 ? 2 : 1) {
		struct image im, back = { 0 };
		struct image_info info;
		struct buf b = { 0 };

		CHECK_OK(image_new(&im, W, H, c, &e), e);
		paint(im.at, W, H, c);
		CHECK_OK(image_encode_png(&b, &im, text, 2, &e), e);
		CHECK_OK(image_decode(&back, &info, b.at, b.len, &e), e);
		CHECK_INT(back.channels, c == 1 ? 3 : c);
		for (int i = 0; i < W * H * back.channels; i++)
			if (back.at[i] != im.at[c == 1 ? i / 3 : i]) {
				CHECK(!"the same pixels");
				break;
			}
		CHECK_STR(info.format, "PNG");
		CHECK_INT(info.had_alpha, c == 4);
		CHECK(memmem(b.at, b.len, "tEXtparameters\0a dog", 20) != NULL);
		CHECK(memmem(b.at, b.len, "iTXtTitle", 9) != NULL);
		image_release(&im);
		image_release(&back);
		buf_release(&b);
	}
}

/* For each orientation, the stored quarters as they are seen from the left top: EXIF 2.3, tag
 * 0x0112. */
static void orientations(void)
{
	static const int seen[9][4] = { { 0, 1, 2, 3 }, { 0, 1, 2, 3 }, { 1, 0, 3, 2 },
					{ 3, 2, 1, 0 }, { 2, 3, 0, 1 }, { 0, 2, 1, 3 },
					{ 2, 0, 3, 1 }, { 3, 1, 2, 0 }, { 1, 3, 0, 2 } };
	struct err e = { "" };

	for (int o = 0; o <= 8; o++) {
		struct buf b = jpeg(W, H, JCS_RGB, o);
		struct image im = { 0 };
		struct image_info info, probed;
		char want[64] = "";

		CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
		CHECK_OK(image_probe(&probed, b.at, b.len, &e), e);
		CHECK_INT(im.w, o > 4 ? H : W);
		CHECK_INT(im.h, o > 4 ? W : H);
		CHECK(probed.w == im.w && probed.h == im.h && info.w == im.w
		      && info.orientation == (o ? o : 1));
		for (int i = 0; i < 4; i++)
			CHECK_INT(quarter(&im, im.w / 4 + i % 2 * im.w / 2,
					  im.h / 4 + i / 2 * im.h / 2),
				  seen[o][i]);
		if (o > 1)
			snprintf(want, sizeof want, "turned upright (EXIF %d)", o);
		CHECK_STR(info.fixed, want);
		image_release(&im);
		buf_release(&b);
	}
}

static void grey_and_cmyk_jpeg(void)
{
	struct buf grey = jpeg(W, H, JCS_GRAYSCALE, 0), cmyk = jpeg(W, H, JCS_CMYK, 0);
	struct image im;
	struct image_info info;
	struct err e = { "" };

	CHECK_OK(image_decode(&im, &info, grey.at, grey.len, &e), e);
	CHECK_INT(im.channels, 3);
	CHECK_NEAR(im.at[0], 255, 2);
	CHECK(im.at[0] == im.at[1] && im.at[1] == im.at[2]);
	CHECK_STR(info.fixed, "");
	image_release(&im);
	CHECK_OK(image_decode(&im, &info, cmyk.at, cmyk.len, &e), e);
	CHECK_INT(im.channels, 3);
	CHECK(im.at[0] < 3 && im.at[1] > 252 && im.at[2] > 252);
	CHECK_STR(info.fixed, "CMYK to RGB");
	image_release(&im);
	buf_release(&grey);
	buf_release(&cmyk);
}

static void png_kinds(void)
{
	const uint8_t wide[] = { 0xff, 0xff, 0x80, 0x80, 0, 0 }, index[] = { 0x1b },
		      pair[] = { 100, 255, 200, 7 };
	const struct png_case deep = { 1, 1, 16, PNG_COLOR_TYPE_RGB, 0, -1, NULL, 0 },
		palette = { 4, 1, 2, PNG_COLOR_TYPE_PALETTE, 4, 99, NULL, 0 },
		grey_alpha = { 2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, -1, NULL, 0 };
	struct buf b = png_of(&deep, wide, 6);
	struct image im;
	struct image_info info;
	struct err e = { "" };

	CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
	CHECK(im.at[0] == 255 && im.at[1] == 128 && im.at[2] == 0);
	CHECK_STR(info.fixed, "16 bits to 8");
	image_release(&im);
	buf_release(&b);

	b = png_of(&palette, index, 1);
	CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
	CHECK_INT(im.channels, 4);
	CHECK(!memcmp(
		im.at,
		(uint8_t[]){ 10, 20, 30, 99, 40, 50, 60, 255, 70, 80, 90, 255, 100, 110, 120, 255 },
		16));
	CHECK_OK(image_flatten(&im, &e), e);
	CHECK(im.channels == 3 && im.at[3] == 40);
	CHECK_STR(info.fixed, "transparency dropped");
	image_release(&im);
	buf_release(&b);

	b = png_of(&grey_alpha, pair, 4);
	CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
	CHECK(im.channels == 4
	      && !memcmp(im.at, (uint8_t[]){ 100, 100, 100, 255, 200, 200, 200, 7 }, 8));
	image_release(&im);
	buf_release(&b);
}

static struct buf profile(double gamma, double green_x, double green_y)
{
	cmsCIExyY white = { 0.3127, 0.3290, 1 };
	cmsCIExyYTRIPLE primaries = { { 0.64, 0.33, 1 },
				      { green_x, green_y, 1 },
				      { 0.15, 0.06, 1 } };
	cmsToneCurve *g = cmsBuildGamma(NULL, gamma), *curves[3] = { g, g, g };
	cmsHPROFILE p = gamma > 0 ? cmsCreateRGBProfile(&white, &primaries, curves)
				  : cmsCreate_sRGBProfile();
	cmsUInt32Number n = 0;
	struct buf b = { 0 };

	cmsSaveProfileToMem(p, NULL, &n);
	cmsSaveProfileToMem(p, buf_extend(&b, n), &n);
	cmsCloseProfile(p);
	cmsFreeToneCurve(g);
	return b;
}

static void profiles(void)
{
	const uint8_t pixel[] = { 100, 150, 200 };
	struct buf adobe = profile(2.19921875, 0.21, 0.71), srgb = profile(0, 0, 0);
	struct png_case c = { 1, 1, 8, PNG_COLOR_TYPE_RGB, 0, -1, adobe.at, adobe.len };
	struct buf b = png_of(&c, pixel, 3);
	struct image im;
	struct image_info info;
	struct err e = { "" };

	/* Adobe RGB (100, 150, 200) is sRGB (66, 151, 203) by the formulas of the two standards. */
	CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
	CHECK_INT(info.had_profile, 1);
	CHECK_NEAR(im.at[0], 66, 2);
	CHECK_NEAR(im.at[1], 151, 2);
	CHECK_NEAR(im.at[2], 203, 2);
	CHECK(strstr(info.fixed, "to sRGB") != NULL);
	image_release(&im);
	buf_release(&b);

	c.profile = srgb.at;
	c.profile_len = srgb.len;
	b = png_of(&c, pixel, 3);
	CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
	CHECK_INT(info.had_profile, 0);
	CHECK(!memcmp(im.at, pixel, 3));
	CHECK_STR(info.fixed, "");
	image_release(&im);
	buf_release(&b);
	buf_release(&adobe);
	buf_release(&srgb);
}

static void webp_exactly(void)
{
	struct err e = { "" };

	for (int c = 3; c <= 4; c++) {
		struct buf b = webp(c);
		uint8_t want[W * H * 4];
		struct image im;
		struct image_info info;

		paint(want, W, H, c);
		CHECK_OK(image_decode(&im, &info, b.at, b.len, &e), e);
		CHECK(im.w == W && im.h == H && im.channels == c
		      && !memcmp(im.at, want, W * H * c));
		CHECK_STR(info.format, "WebP");
		image_release(&im);
		buf_release(&b);
	}
}

static void damaged(const char *what, const void *at, size_t len, const char *want)
{
	struct image im;
	struct image_info info;
	struct err e = { "" };

	CHECK(image_decode(&im, &info, at, len, &e) < 0);
	if (!strstr(e.text, want)) {
		printf("# %s: '%s' instead of '%s'\n", what, e.text, want);
		test_bad = 1;
	}
	CHECK(!im.at);
	e.text[0] = 0;
	CHECK(image_decode(NULL, &info, at, len, &e) < 0);
	CHECK(strstr(e.text, want) != NULL);
}

static void what_is_no_picture(void)
{
	const struct png_case huge = { 20000, 20000, 8, PNG_COLOR_TYPE_RGB, 0, -1, NULL, 0 };
	struct buf j = jpeg(480, 320, JCS_RGB, 0), w = webp(3), h = png_of(&huge, NULL, 0),
		   p = { 0 };
	struct image im;
	struct err e = { "" };

	CHECK_OK(image_new(&im, W, H, 3, &e), e);
	paint(im.at, W, H, 3);
	CHECK_OK(image_encode_png(&p, &im, NULL, 0, &e), e);
	damaged("empty", "", 0, "the file is empty (0 bytes)");
	damaged("text", "a photo of sks dog\n", 19, "not a picture: it holds text");
	damaged("gif", "GIF89a\1\0\1\0", 10, "not a picture: it holds a GIF");
	damaged("JPEG", j.at, j.len / 2, "the JPEG data are truncated");
	damaged("JPEG", j.at, 20, "the JPEG data are truncated");
	damaged("PNG", p.at, p.len / 2, "the PNG data are truncated");
	damaged("PNG", p.at, p.len - 6, "the PNG data are truncated");
	damaged("WebP", w.at, w.len - 8, "the WebP data are truncated");
	damaged("20,000", h.at, h.len, "20000 x 20000 = 400000000 pixels, at most 268435456");
	p.at[p.len / 2] ^= 1;
	damaged("PNG", p.at, p.len, "damaged PNG");
	image_release(&im);
	buf_release(&j);
	buf_release(&w);
	buf_release(&h);
	buf_release(&p);
}

/* Whatever is done to a file, decoding ends, with a picture or with a sentence. */
static void random_damage(void)
{
	struct buf file[] = { jpeg(W, H, JCS_RGB, 6), webp(4), jpeg(W, H, JCS_CMYK, 0), { 0 } };
	struct image im;
	struct err e = { "" };
	unsigned long state = 1;

	CHECK_OK(image_new(&im, W, H, 3, &e), e);
	paint(im.at, W, H, 3);
	CHECK_OK(image_encode_png(&file[3], &im, NULL, 0, &e), e);
	image_release(&im);
	for (int round = 0; round < 2000; round++) {
		struct buf *b = &file[round % 4];
		char old[3];
		size_t at[3];

		for (int i = 0; i < 3; i++) {
			state = state * 6364136223846793005ul + 1442695040888963407ul;
			at[i] = (state >> 33) % b->len;
			old[i] = b->at[at[i]];
			b->at[at[i]] = (char)(state >> 25);
		}
		if (image_decode(&im, NULL, b->at, b->len, &e) < 0)
			CHECK(e.text[0] && !im.at);
		image_release(&im);
		image_decode(NULL, NULL, b->at, b->len, &e);
		for (int i = 2; i >= 0; i--)
			b->at[at[i]] = old[i];
	}
	for (int i = 0; i < 4; i++)
		buf_release(&file[i]);
}

static void crops_and_flips(void)
{
	struct image im;
	struct err e = { "" };

	CHECK_OK(image_new(&im, W, H, 3, &e), e);
	paint(im.at, W, H, 3);
	image_flip(&im);
	CHECK_INT(quarter(&im, 0, 0), 1);
	CHECK(image_crop(&im, W - 4, 0, 5, 5, &e) < 0);
	CHECK_STR(e.text, "cannot cut 5 x 5 at (44, 0) out of 48 x 32");
	CHECK_OK(image_crop(&im, W - 4, H - 3, 4, 3, &e), e);
	CHECK(im.w == 4 && im.h == 3 && quarter(&im, 3, 2) == 2);
	image_release(&im);
	image_release(&im);
}

int main(void)
{
	TEST(png_there_and_back);
	TEST(orientations);
	TEST(grey_and_cmyk_jpeg);
	TEST(png_kinds);
	TEST(profiles);
	TEST(webp_exactly);
	TEST(what_is_no_picture);
	TEST(random_damage);
	TEST(crops_and_flips);
	return test_end();
}
