/*
 * JPEG, by libjpeg-turbo, straight into the picture's own rows. Its library returns from errors by
 * longjmp; everything that must survive the jump lives in struct reader.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include "common/base/mem.h"
#include "common/data/image_codec.h"

#define BATCH 16        /* rows asked for in one call */

struct reader {
	struct jpeg_error_mgr errors;           /* first: the library hands its address back */
	jmp_buf back;
	struct err *e;
	struct jpeg_decompress_struct jpeg;
	JSAMPLE *line;                          /* scratch of one row for a check */
	JOCTET *icc;
};

static void on_error(j_common_ptr j)
{
	struct reader *r = (struct reader *)j->err;
	char text[JMSG_LENGTH_MAX];

	r->errors.format_message(j, text);
	if (j->err->msg_code == JERR_INPUT_EOF || j->err->msg_code == JERR_INPUT_EMPTY)
		fail(r->e, "the JPEG data are truncated");
	else
		fail(r->e, "damaged JPEG: %s", text);
	longjmp(r->back, 1);
}

/* Warnings after which the pixels are not what was photographed. Others (stray bytes, odd markers)
 * are harmless. */
static void on_message(j_common_ptr j, int level)
{
	struct reader *r = (struct reader *)j->err;
	char text[JMSG_LENGTH_MAX];

	if (level >= 0)
		return;
	switch (j->err->msg_code) {
	case JWRN_JPEG_EOF:
	case JWRN_HIT_MARKER:
		fail(r->e, "the JPEG data are truncated");
		longjmp(r->back, 1);
	case JWRN_HUFF_BAD_CODE:
	case JWRN_ARITH_BAD_CODE:
	case JWRN_MUST_RESYNC:
	case JWRN_NOT_SEQUENTIAL:
		r->errors.format_message(j, text);
		fail(r->e, "damaged JPEG: %s", text);
		longjmp(r->back, 1);
	}
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg)
{
	for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next)
		if (m->marker == JPEG_APP0 + 1 && m->data_length > 6
		    && !memcmp(m->data, "Exif\0", 6))
			return exif_orientation(m->data + 6, m->data_length - 6);
	return 1;
}

static void read_header(struct reader *r, struct picture *p)
{
	struct jpeg_decompress_struct *j = &r->jpeg;
	unsigned len = 0;

	jpeg_save_markers(j, JPEG_APP0 + 1, 0xffff);
	jpeg_save_markers(j, JPEG_APP0 + 2, 0xffff);
	jpeg_read_header(j, TRUE);
	p->w = (int)j->image_width;
	p->h = (int)j->image_height;
	p->bits = j->data_precision;
	p->orientation = orientation_of(j);
	if (jpeg_read_icc_profile(j, &r->icc, &len))
		buf_add(&p->icc, r->icc, len);
	p->layout = j->num_components == 1 ? LAYOUT_GREY
		  : j->num_components == 4 ? LAYOUT_CMYK : LAYOUT_RGB;
	j->out_color_space = p->layout == LAYOUT_GREY ? JCS_GRAYSCALE
			   : p->layout == LAYOUT_CMYK ? JCS_CMYK : JCS_RGB;
}

static int read_pixels(struct reader *r, struct picture *p)
{
	struct jpeg_decompress_struct *j = &r->jpeg;
	size_t row = (size_t)p->w * layout_channels(p->layout);
	JSAMPROW rows[BATCH];

	if (picture_pixels(p, r->e) < 0)
		return -1;
	jpeg_start_decompress(j);
	while (j->output_scanline < j->output_height) {
		unsigned n = j->output_height - j->output_scanline;

		if (n > BATCH)
			n = BATCH;
		for (unsigned i = 0; i < n; i++)
			rows[i] = p->at + (j->output_scanline + i) * row;
		jpeg_read_scanlines(j, rows, n);
	}
	jpeg_finish_decompress(j);
	return 0;
}

/*
 * Look through all data and make no pixels but those of the last row: skipping decodes the entropy
 * coding, which is what can be damaged or cut off, and none of what follows it.
 */
static int check_pixels(struct reader *r)
{
	struct jpeg_decompress_struct *j = &r->jpeg;
	JSAMPROW row;
	void *line;

	j->out_color_space = j->jpeg_color_space; /* with these two, the library's plainest way */
	j->do_fancy_upsampling = FALSE;
	jpeg_start_decompress(j);
	if (mem_try(&line, (size_t)j->output_width * j->output_components, "JPEG row", r->e) < 0)
		return -1;
	row = r->line = line;
	jpeg_skip_scanlines(j, j->output_height - 1);
	while (j->output_scanline < j->output_height)
		jpeg_read_scanlines(j, &row, 1);
	jpeg_finish_decompress(j);
	return 0;
}

int jpeg_decode(struct picture *p, enum decode_how how, const uint8_t *at, size_t len,
		struct err *e)
{
	struct reader *r = xcalloc(1, sizeof *r);
	volatile int ret = -1;

	r->e = e;
	r->jpeg.err = jpeg_std_error(&r->errors);
	r->errors.error_exit = on_error;
	r->errors.emit_message = on_message;
	if (setjmp(r->back))
		goto out;
	jpeg_create_decompress(&r->jpeg);
	jpeg_mem_src(&r->jpeg, at, len);
	read_header(r, p);
	if (how == DECODE_HEADER)
		ret = 0;
	else if (picture_limit(p->w, p->h, e) == 0)
		ret = how == DECODE_CHECK ? check_pixels(r) : read_pixels(r, p);
out:
	jpeg_destroy_decompress(&r->jpeg);
	free(r->line);
	free(r->icc);
	free(r);
	return ret;
}
