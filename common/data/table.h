/*
 * A table is what stages hand to each other: UTF-8, tab-separated, a header line with the columns'
 * names, one item a row. Values hold no tab, line end or NUL; \t \n \\ stand for tab, line end and
 * backslash in them (table_get gives the plain text, table_text writes the escapes).
 * A stage reads the columns it needs, adds its own, and passes the rest on.
 *
 * Columns are typed by name. The ones that exist (a new one is a row in table.c):
 *   item       text  the item's name, unique: "rex/03.jpg", "rex/03.jpg#flip", weight's name, ...
 *   image      ref   the original file's bytes (prep)
 *   mask       ref   the mask's bytes
 *   verdict    text  accepted | fixed | rejected (prep)
 *   reason     text  what was fixed, or why it was rejected
 *   width height       pixels of the upright picture
 *   concept    text  which subject of several ("" if one)
 *   repeats    int   times an epoch
 *   class      int   1 = prior preservation's class picture
 *   caption    text
 *   bucket     text  WIDTHxHEIGHT (bucket)
 *   resized    text  WIDTHxHEIGHT to resize to before the crop
 *   crop       text  X,Y of the bucket's corner in the resized picture
 *   flip       int   1 = mirrored
 *   moments    ref   tensor [2 * C][h][w]: mean, then logvar, unscaled (encode-latents)
 *   hidden     ref   tensor [T][D] (encode-text)
 *   tensor     ref   weight (train, convert): with dtype, shape
 *   dtype shape      "F32", "320x4x3x3"
 *   file       text  a path outside the store (sample, convert)
 *   step loss lr ... numbers of a training log
 */
#ifndef DATA_TABLE_H
#define DATA_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct table {
	char **name;            /* of the columns */
	int columns, cap_columns;
	char **cell;            /* rows * columns, row-major; into `text`; NULL is "" */
	size_t rows, cap_cells;
	struct table_text *text;        /* the cells' bytes, released with the table: a value that
					 * is set again and again takes room each time */
};

/* `what` names the source in errors ("standard input", "prep/1f0c..."), which carry the line's number. */
int table_parse(struct table *t, const char *at, size_t len, const char *what, struct err *e);
void table_text(struct buf *out, const struct table *t);
void table_release(struct table *t);
void table_copy(struct table *to, const struct table *from);

int table_column(const struct table *t, const char *name);             /* index, or -1 */
int table_column_is_ref(const char *name);                              /* by its type */
/* index, or fail: "'bucket' needs a column 'caption'; the table has item, image" */
int table_need(const struct table *t, const char *name, const char *who, struct err *e);
/* "" in all rows; the old index if there already */
int table_add_column(struct table *t, const char *name);

size_t table_add_row(struct table *t);                                 /* all "" */
/* never NULL; column -1 gives "" */
const char *table_get(const struct table *t, size_t row, int column);
void table_set(struct table *t, size_t row, int column, const char *value);
void table_setf(struct table *t, size_t row, int column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* or fail with item and column */
int table_int(const struct table *t, size_t row, int column, int64_t *out, struct err *e);
int table_float(const struct table *t, size_t row, int column, double *out, struct err *e);

/*
 * Copy a row (with columns matched by name, added where
 * missing) from another table; returns the new row.
 */
size_t table_append(struct table *to, const struct table *from, size_t row);

/*
 * Are typed columns what they must be, items named and unique? table_parse and store_put_table ask.
 */
int table_check(const struct table *t, struct err *e);

/* Does it look like a table (its first line holds a tab or is the single word "item")? */
int table_is(const char *at, size_t len);

/* Has the table that is parsed from this text a column of that name? */
int table_text_has(const char *at, size_t len, const char *column);

#endif
