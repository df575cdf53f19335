/* Two tables compared item by item. */
#ifndef BOOTH_ITEMS_H
#define BOOTH_ITEMS_H

#include "common/base/file.h"
#include "common/data/table.h"

enum items_what { ITEMS_CHANGED, ITEMS_NEW, ITEMS_GONE, ITEMS__COUNT };

struct items_diff {
	struct names name[ITEMS__COUNT];
	size_t old, new;        /* rows of each */
};

void items_compare(struct items_diff *d, const struct table *old, const struct table *new);
void items_release(struct items_diff *d);

/* "new: n.jpg, o.jpg (2 of 9 items)", a line for each kind of change behind `indent`. */
void items_text(struct buf *b, const struct items_diff *d, const char *indent);

#endif
