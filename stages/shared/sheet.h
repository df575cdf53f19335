/*
 * A sheet: many pictures on one, in rows and columns. Pictures of other sizes are fitted into the
 * cells by Lanczos, with white around them. The sheet is an object of its own with an action of its
 * own, so whether a file on disk is the right one is known without drawing it again.
 */
#ifndef STAGES_SHEET_H
#define STAGES_SHEET_H

#include "common/data/image.h"
#include "common/data/store.h"

#define SHEET_ABOVE 8           /* most columns that rows of other tables make */

struct sheet_row {
	struct ref *image;
	size_t n, cap;
};

struct sheet {
	struct sheet_row *row;
	size_t rows, cap;
	size_t columns;
	int cell_w, cell_h;     /* pixels, enlarged */
};

/*
 * The rows of a table with a column image: a new one where `prompt` changes or `number` begins
 * again. Rows that hold no picture are passed over.
 */
int sheet_add(struct sheet *s, struct stores *st, const struct table *t, struct err *e);

/*
 * Columns and cells, once all rows are there: `own` is the first row of the stage's own pictures,
 * which `t` lists with their widths and heights. Longer rows are broken.
 */
int sheet_arrange(struct sheet *s, size_t own, const struct table *t, int64_t enlarge,
		  struct err *e);

/* What determines its bytes. */
void sheet_key(const struct sheet *s, const char *stage, int version, struct action *a);

/* PNG bytes. */
int sheet_draw(const struct sheet *s, struct stores *st, struct buf *png, struct err *e);

void sheet_release(struct sheet *s);

#endif
