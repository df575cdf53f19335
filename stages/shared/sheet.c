#include "stages/shared/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

void sheet_release(struct sheet *s)
{
	for (size_t i = 0; i < s->rows; i++)
		free(s->row[i].image);
	free(s->row);
	*s = (struct sheet){ 0 };
}

static struct sheet_row *add_row(struct sheet *s)
{
	s->row = grow(s->row, s->rows, &s->cap, sizeof *s->row);
	s->row[s->rows] = (struct sheet_row){ 0 };
	return &s->row[s->rows++];
}

static void add_picture(struct sheet_row *row, const struct ref *image)
{
	row->image = grow(row->image, row->n, &row->cap, sizeof *row->image);
	row->image[row->n++] = *image;
}

int sheet_add(struct sheet *s, struct stores *st, const struct table *t, struct err *e)
{
	int image = table_need(t, "image", "a sheet", e), prompt = table_column(t, "prompt");
	int number = table_column(t, "number");
	const char *last = NULL;
	struct sheet_row *row = NULL;
	int64_t n = 0, before = 0;
	struct ref r;

	if (image < 0)
		return -1;
	for (size_t i = 0; i < t->rows; i++, before = n) {
		if (!*table_get(t, i, image))
			continue;
		if (ref_parse(st, table_get(t, i, image), &r, e) < 0 ||
		    (number >= 0 && table_int(t, i, number, &n, e) < 0))
			return -1;
		if (!row || (number >= 0 && n <= before) || strcmp(last, table_get(t, i, prompt)))
			row = add_row(s);
		last = table_get(t, i, prompt);
		add_picture(row, &r);
	}
	return 0;
}

/* ---- layout ---- */

static size_t longest(const struct sheet *s, size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		if (s->row[i].n > n)
			n = s->row[i].n;
	return n;
}

/* A single row becomes about a square; rows with something to compare keep their columns. */
static size_t count_columns(const struct sheet *s, size_t own)
{
	size_t n = longest(s, own, s->rows), above = longest(s, 0, own), side = 4;

	if (s->rows == 1) {
		while (side * side < n)
			side++;
		return n < side ? n : side;
	}
	above = above > SHEET_ABOVE ? SHEET_ABOVE : above;
	return above > n ? above : n;
}

static void break_rows(struct sheet *s)
{
	struct sheet old = *s;

	s->row = NULL;
	s->rows = s->cap = 0;
	for (size_t i = 0; i < old.rows; i++) {
		struct sheet_row *row = NULL;

		for (size_t k = 0; k < old.row[i].n; k++) {
			if (k % s->columns == 0)
				row = add_row(s);
			add_picture(row, &old.row[i].image[k]);
		}
	}
	sheet_release(&old);
}

int sheet_arrange(struct sheet *s, size_t own, const struct table *t, int64_t enlarge,
		  struct err *e)
{
	int width = table_column(t, "width"), height = table_column(t, "height");
	int64_t w, h, most_w = 1, most_h = 1;

	for (size_t i = 0; i < t->rows; i++) {
		if (table_int(t, i, width, &w, e) < 0 || table_int(t, i, height, &h, e) < 0)
			return -1;
		most_w = w > most_w ? w : most_w;
		most_h = h > most_h ? h : most_h;
	}
	s->columns = count_columns(s, own);
	if (s->columns == 0)
		return fail(e, "there is no picture for a sheet");
	break_rows(s);
	s->cell_w = (int)(most_w * enlarge);
	s->cell_h = (int)(most_h * enlarge);
	return 0;
}

void sheet_key(const struct sheet *s, const char *stage, int version, struct action *a)
{
	action_begin(a, stage, version, "item");
	action_param(a, "sheet", "1");
	action_paramf(a, "columns", "%zu", s->columns);
	action_paramf(a, "cell", "%dx%d", s->cell_w, s->cell_h);
	for (size_t i = 0; i < s->rows; i++) {
		action_paramf(a, "row", "%zu", i);
		for (size_t k = 0; k < s->row[i].n; k++)
			action_input(a, "image", &s->row[i].image[k].id);
	}
}

/* ---- drawing ---- */

static void paste(struct image *sheet, const struct image *im, int x, int y)
{
	for (int row = 0; row < im->h; row++)
		memcpy(sheet->at + ((size_t)(y + row) * (size_t)sheet->w + (size_t)x) * 3,
		       im->at + (size_t)row * (size_t)im->w * 3, (size_t)im->w * 3);
}

/* As large as it fits into the cell with its sides' ratio kept. */
static int fit(struct image *im, int w, int h, struct err *e)
{
	int64_t by_width = (int64_t)w * im->h, by_height = (int64_t)h * im->w;
	int64_t fw = w, fh = h;

	if (by_width < by_height)
		fh = (by_width + im->w / 2) / im->w;
	else
		fw = (by_height + im->h / 2) / im->h;
	fw = fw < 1 ? 1 : fw;
	fh = fh < 1 ? 1 : fh;
	return im->w == fw && im->h == fh ? 0 : image_resize(im, (int)fw, (int)fh, "lanczos", e);
}

static int draw_cell(const struct sheet *s, struct stores *st, const struct ref *r,
		     struct image *sheet, int x, int y, struct err *e)
{
	struct blob b = { 0 };
	struct image im = { 0 };
	int ret = -1;

	if (store_need(st, r, KIND_IMAGE, &b, e) < 0)
		return -1;
	if (image_decode(&im, NULL, b.at, b.len, e) < 0 || image_flatten(&im, e) < 0 ||
	    fit(&im, s->cell_w, s->cell_h, e) < 0)
		goto out;
	paste(sheet, &im, x + (s->cell_w - im.w) / 2, y + (s->cell_h - im.h) / 2);
	ret = 0;
out:
	image_release(&im);
	blob_release(&b);
	return ret;
}

int sheet_draw(const struct sheet *s, struct stores *st, struct buf *png, struct err *e)
{
	int64_t gap = s->rows * s->columns == 1 ? 0 :
		(s->cell_w < s->cell_h ? s->cell_w : s->cell_h) / 32 + 1;
	int64_t w = (int64_t)s->columns * (s->cell_w + gap) + gap,
		h = (int64_t)s->rows * (s->cell_h + gap) + gap;
	struct image sheet = { 0 };
	int ret = -1;

	if (w > 65500 || h > 65500)
		return fail(e, "the sheet would have %lldx%lld pixels, 65500 a side are possible; write into a folder instead "
			    "(--out FOLDER/)", (long long)w, (long long)h);
	if (image_new(&sheet, (int)w, (int)h, 3, e) < 0)
		return -1;
	memset(sheet.at, 255, (size_t)w * (size_t)h * 3);
	for (size_t i = 0; i < s->rows; i++)
		for (size_t k = 0; k < s->row[i].n; k++)
			if (draw_cell(s, st, &s->row[i].image[k], &sheet,
				      (int)(gap + (int64_t)k * (s->cell_w + gap)),
				      (int)(gap + (int64_t)i * (s->cell_h + gap)), e) < 0)
				goto out;
	ret = image_encode_png(png, &sheet, NULL, 0, e);
out:
	image_release(&sheet);
	return ret;
}
