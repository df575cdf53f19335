#include "stages/booth/items.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define NAMED 5                 /* items of one kind that a line names */

struct row {
	const char *item;
	const struct table *t;
	size_t at;
};

static int by_item(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->item, ((const struct row *)b)->item);
}

static struct row *rows_of(const struct table *t)
{
	struct row *row = xcalloc(t->rows + 1, sizeof *row);
	int item = table_column(t, "item");

	for (size_t i = 0; i < t->rows; i++)
		row[i] = (struct row){ table_get(t, i, item), t, i };
	qsort(row, t->rows, sizeof *row, by_item);
	return row;
}

static int same_row(const struct row *a, const struct row *b)
{
	if (a->t->columns != b->t->columns)
		return 0;
	for (int c = 0; c < a->t->columns; c++)
		if (strcmp(a->t->name[c], b->t->name[c]) ||
		    strcmp(table_get(a->t, a->at, c), table_get(b->t, b->at, c)))
			return 0;
	return 1;
}

void items_compare(struct items_diff *d, const struct table *old, const struct table *new)
{
	struct row *a = rows_of(old), *b = rows_of(new);
	size_t i = 0, k = 0;

	*d = (struct items_diff){ .old = old->rows, .new = new->rows };
	while (i < old->rows || k < new->rows) {
		int order = i == old->rows ? 1 : k == new->rows ? -1 : by_item(&a[i], &b[k]);

		if (order < 0)
			names_add(&d->name[ITEMS_GONE], a[i++].item);
		else if (order > 0)
			names_add(&d->name[ITEMS_NEW], b[k++].item);
		else if (same_row(&a[i++], &b[k]))
			k++;
		else
			names_add(&d->name[ITEMS_CHANGED], b[k++].item);
	}
	free(a);
	free(b);
}

void items_release(struct items_diff *d)
{
	for (int i = 0; i < ITEMS__COUNT; i++)
		names_release(&d->name[i]);
	*d = (struct items_diff){ 0 };
}

void items_text(struct buf *b, const struct items_diff *d, const char *indent)
{
	static const char *const what[] = { "changed", "new", "gone" };

	for (int i = 0; i < ITEMS__COUNT; i++) {
		const struct names *n = &d->name[i];

		if (!n->n)
			continue;
		if (n->n == d->new && n->n > 1 && i != ITEMS_GONE) {
			buf_addf(b, "%sall %zu items are %s\n", indent, n->n, what[i]);
			continue;
		}
		buf_addf(b, "%s%s: ", indent, what[i]);
		for (size_t k = 0; k < n->n && k < NAMED; k++)
			buf_addf(b, "%s%s", k ? ", " : "", n->at[k]);
		buf_addf(b, "%s (%zu of %zu items)\n", n->n > NAMED ? ", ..." : "", n->n,
			 i == ITEMS_GONE ? d->old : d->new);
	}
}
