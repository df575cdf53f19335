/*
 * PNG, by libpng: every colour type and depth becomes 8-bit grey, grey + alpha, RGB or RGBA. Errors
 * come back by longjmp, so what must survive it lives in struct reader.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <png.h>
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/image_codec.h"

#define CHUNK_MOST ((size_t)8 << 20)    /* bytes that a chunk of a small file may unpack to */

struct reader {
	png_structp png;
	png_infop info;
	const uint8_t *at;
	size_t left;
	size_t most;                    /* bytes the library may take at once */
	png_bytep *rows;
	struct err *e;
};

static void on_error(png_structp png, png_const_charp text)
{
	struct reader *r = png_get_error_ptr(png);

	if (!strcmp(text, "truncated"))
		fail(r->e, "the PNG data are truncated");
	else
		fail(r->e, "damaged PNG: %s", text);
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png, (void)text;
}

/* It takes what a chunk says that it has, gigabytes if so, before it reads any of it. */
static png_voidp take_some(png_structp png, png_alloc_size_t n)
{
	const struct reader *r = png_get_mem_ptr(png);

	return n <= r->most ? malloc(n) : NULL;
}

static void give_back(png_structp png, png_voidp at)
{
	(void)png;
	free(at);
}

static void give(png_structp png, png_bytep to, size_t n)
{
	struct reader *r = png_get_io_ptr(png);

	if (n > r->left)
		png_error(png, "truncated");
	memcpy(to, r->at, n);
	r->at += n;
	r->left -= n;
}

static void read_profile(struct reader *r, struct picture *p)
{
	png_charp name;
	png_bytep data;
	png_uint_32 len;
	int method;

	if (!png_get_valid(r->png, r->info, PNG_INFO_sRGB)
	    && png_get_iCCP(r->png, r->info, &name, &method, &data, &len))
		buf_add(&p->icc, data, len);
}

static void read_exif(struct reader *r, struct picture *p)
{
	png_uint_32 len;
	png_bytep data;

	if (png_get_eXIf_1(r->png, r->info, &len, &data))
		p->orientation = exif_orientation(data, len);
}

static void read_header(struct reader *r, struct picture *p)
{
	int type, alpha;

	/* The limit of pixels is ours; chunks as large as the file are fine, and take_some knows that. */
	png_set_user_limits(r->png, INT_MAX, INT_MAX);
	png_set_chunk_malloc_max(r->png, 0);
	png_read_info(r->png, r->info);
	type = png_get_color_type(r->png, r->info);
	p->w = (int)png_get_image_width(r->png, r->info);
	p->h = (int)png_get_image_height(r->png, r->info);
	p->bits = png_get_bit_depth(r->png, r->info);
	alpha = type & PNG_COLOR_MASK_ALPHA || png_get_valid(r->png, r->info, PNG_INFO_tRNS);
	p->layout = type & PNG_COLOR_MASK_COLOR ? alpha ? LAYOUT_RGBA : LAYOUT_RGB
		  : alpha ? LAYOUT_GREY_ALPHA : LAYOUT_GREY;
	read_profile(r, p);
	read_exif(r, p);
}

static int read_pixels(struct reader *r, struct picture *p)
{
	size_t row = (size_t)p->w * layout_channels(p->layout), chunks = r->most;

	r->most = SIZE_MAX;             /* for rows, which picture_limit looked at */
	png_set_expand(r->png);
	png_set_scale_16(r->png);
	png_set_interlace_handling(r->png);
	png_read_update_info(r->png, r->info);
	if (png_get_rowbytes(r->png, r->info) != row)
		BUG("a PNG row has %zu bytes, not %zu", (size_t)png_get_rowbytes(r->png, r->info),
		    row);
	if (picture_pixels(p, r->e) < 0)
		return -1;
	r->rows = xcalloc(p->h, sizeof *r->rows);
	for (int y = 0; y < p->h; y++)
		r->rows[y] = p->at + y * row;
	png_read_image(r->png, r->rows);
	r->most = chunks;
	png_read_end(r->png, r->info);
	read_exif(r, p);                /* the chunk may follow the pixels */
	return 0;
}

int png_decode(struct picture *p, enum decode_how how, const uint8_t *at, size_t len, struct err *e)
{
	struct reader *r = xcalloc(1, sizeof *r);
	volatile int ret = -1;

	*r = (struct reader){ .at = at, .left = len, .most = len > CHUNK_MOST ? len : CHUNK_MOST, .e = e };
	r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, take_some, give_back);
	r->info = r->png ? png_create_info_struct(r->png) : NULL;
	if (!r->info) {
		fail(e, "no memory for a PNG reader");
		goto out;
	}
	if (setjmp(png_jmpbuf(r->png)))
		goto out;
	png_set_read_fn(r->png, r, give);
	read_header(r, p);
	if (how == DECODE_HEADER)
		ret = 0;
	else if (picture_limit(p->w, p->h, e) == 0)
		ret = read_pixels(r, p);
out:
	png_destroy_read_struct(&r->png, &r->info, NULL);
	free(r->rows);
	free(r);
	return ret;
}

/* ---- writing ---- */

struct writer {
	png_structp png;
	png_infop info;
	png_text *text;
	char **latin;
	int n;
	struct err *e;
};

static void on_write_error(png_structp png, png_const_charp text)
{
	struct writer *w = png_get_error_ptr(png);

	fail(w->e, "cannot make a PNG: %s", text);
	longjmp(png_jmpbuf(png), 1);
}

static void take(png_structp png, png_bytep at, size_t n)
{
	buf_add(png_get_io_ptr(png), at, n);
}

static void take_nothing(png_structp png)
{
	(void)png;
}

/* The text in Latin-1 if all of it can be, else NULL. The caller's to free. */
static char *latin1(const char *s)
{
	struct buf b = { 0 };
	size_t len = strlen(s);

	for (size_t i = 0; i < len; ) {
		uint32_t code;

		i += utf8_next(s + i, len - i, &code);
		if (code > 0xff || (code >= 0x80 && code < 0xa0)
		    || (code < 0x20 && code != '\n' && code != '\t')) {
			buf_release(&b);
			return NULL;
		}
		buf_addc(&b, (char)code);
	}
	buf_str(&b);
	return b.at ? buf_detach(&b) : xstrdup("");
}

static void put_text(struct writer *w, char *const *text)
{
	w->text = xcalloc(w->n + 1, sizeof *w->text);
	w->latin = xcalloc(w->n + 1, sizeof *w->latin);
	for (int i = 0; i < w->n; i++) {
		png_text *t = &w->text[i];

		w->latin[i] = latin1(text[2 * i + 1]);
		t->key = text[2 * i];
		t->text = w->latin[i] ? w->latin[i] : text[2 * i + 1];
		t->compression =
			w->latin[i] ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
	}
	if (w->n)
		png_set_text(w->png, w->info, w->text, w->n);
}

static void put_pixels(struct writer *w, const struct image *im)
{
	static const int type[] = { 0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB,
				    PNG_COLOR_TYPE_RGB_ALPHA };
	size_t row = (size_t)im->w * im->channels;

	png_set_user_limits(w->png, INT_MAX, INT_MAX);
	png_set_IHDR(w->png, w->info, im->w, im->h, 8, type[im->channels], PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(w->png, w->info);
	for (int y = 0; y < im->h; y++)
		png_write_row(w->png, im->at + y * row);
	png_write_end(w->png, NULL);
}

int image_encode_png(struct buf *out, const struct image *im, char *const *text, int n_text,
		     struct err *e)
{
	struct writer *w = xcalloc(1, sizeof *w);
	size_t before = out->len;
	volatile int ret = -1;

	w->e = e;
	w->n = n_text;
	w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_write_error, on_warning);
	w->info = w->png ? png_create_info_struct(w->png) : NULL;
	if (!w->info) {
		fail(e, "no memory for a PNG writer");
		goto out;
	}
	if (setjmp(png_jmpbuf(w->png))) {
		out->len = before;
		goto out;
	}
	png_set_write_fn(w->png, out, take, take_nothing);
	put_text(w, text);
	put_pixels(w, im);
	ret = 0;
out:
	png_destroy_write_struct(&w->png, &w->info);
	for (int i = 0; w->latin && i < n_text; i++)
		free(w->latin[i]);
	free(w->latin);
	free(w->text);
	free(w);
	return ret;
}
