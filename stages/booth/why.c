/* booth why TARGET: the reasons that were recorded when it ran, down to what changed first. */
#include "stages/booth/booth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/past.h"

#define DEPTH_LIMIT 64
#define ITEMS_NAMED 5           /* of those that changed */

/* ---- which items ---- */

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

struct tally {                  /* of one kind of change: how many, and the first few names */
	const char *what;
	size_t n;
	struct buf names;
};

static void tally_add(struct tally *y, const char *item)
{
	if (y->n++ < ITEMS_NAMED)
		buf_addf(&y->names, "%s%s", y->names.len ? ", " : "", item);
	else if (y->n == ITEMS_NAMED + 1)
		buf_adds(&y->names, ", ...");
}

static void compare_tables(const struct table *old, const struct table *new, struct tally tally[3])
{
	struct row *a = rows_of(old), *b = rows_of(new);
	size_t i = 0, k = 0;

	while (i < old->rows || k < new->rows) {
		int order = i == old->rows ? 1 : k == new->rows ? -1 : by_item(&a[i], &b[k]);

		if (order < 0)
			tally_add(&tally[2], a[i++].item);
		else if (order > 0)
			tally_add(&tally[1], b[k++].item);
		else if (same_row(&a[i++], &b[k]))
			k++;
		else
			tally_add(&tally[0], b[k++].item);
	}
	free(a);
	free(b);
}

/*
 * What of the result is new, item by item. An old result that was deleted since has nothing to say.
 */
static void put_items(struct stores *s, const char *was, const char *is, struct buf *b)
{
	struct table old = { 0 }, new = { 0 };
	struct tally tally[3] = { { .what = "changed" }, { .what = "new" }, { .what = "gone" } };
	struct ref ref;
	struct err ignored;

	if (ref_parse(s, was, &ref, &ignored) == 0 &&
	    store_get_table(s, &ref, &old, &ignored) == 0 &&
	    ref_parse(s, is, &ref, &ignored) == 0 && store_get_table(s, &ref, &new, &ignored) == 0)
		compare_tables(&old, &new, tally);
	for (int i = 0; i < 3; i++) {
		if (tally[i].n == new.rows && new.rows > 1 && i < 2)
			buf_addf(b, "    all %zu items are %s\n", tally[i].n, tally[i].what);
		else if (tally[i].n)
			buf_addf(b, "    %s: %s (%zu of %zu items)\n", tally[i].what,
				 tally[i].names.at, tally[i].n, i == 2 ? old.rows : new.rows);
		buf_release(&tally[i].names);
	}
	table_release(&old);
	table_release(&new);
}

/* ---- steps and targets ---- */

static void put_step(struct stores *s, const struct past *now, const struct past *before,
		     size_t step, struct buf *b)
{
	long row = past_step(now, step);
	const char *reason = past_get(now, row, "reason"),
		   *old = past_get(before, past_step(before, step), "ref");

	if (!*reason)
		return;
	buf_addf(b, "  %s ran: %s", past_get(now, row, "stage"), reason);
	if (*old && !strcmp(old, past_get(now, row, "ref")))
		buf_adds(b, "; the result is the same as before");
	buf_addc(b, '\n');
	if (*old && strcmp(old, past_get(now, row, "ref")))
		put_items(s, old, past_get(now, row, "ref"), b);
}

/* The targets it needed whose result was another one the run before. */
static void changed_needs(const struct past *now, const struct past *before, struct names *out)
{
	int item = table_column(&now->t, "item");

	for (size_t i = 0; i < now->t.rows; i++) {
		const char *name = table_get(&now->t, i, item);

		if (starts_with(name, "need ") &&
		    strcmp(past_get(now, (long)i, "ref"),
			   past_get(before, past_row(before, name), "ref")))
			names_add(out, name + 5);
	}
}

static int load_before(struct past *out, struct stores *s, const struct past *now, struct err *e)
{
	struct ref ref;
	const char *text = past_get(now, 0, "previous");

	if (!*text)
		return 0;
	return ref_parse(s, text, &ref, e) < 0 ? -1 : past_load(out, s, &ref, e);
}

/* The target may have run again since: back to the run whose result `now` took. */
static int go_back(struct past *other, struct stores *s, const struct past *now, const char *target,
		   struct err *e)
{
	char *item = xasprintf("need %s", target);
	const char *took = past_get(now, past_row(now, item), "ref");
	int ret = 0;

	while (ret == 0 && other->found && strcmp(past_get(other, 0, "ref"), took)) {
		struct past before = { 0 };

		ret = load_before(&before, s, other, e);
		past_release(other);
		*other = before;
	}
	free(item);
	return ret;
}

static int why_run(struct stores *s, const char *recipe, const char *target, const struct past *now,
		   int depth, struct err *e)
{
	struct past before = { 0 };
	struct buf b = { 0 };
	struct names needs = { 0 };
	int ret = -1;

	if (load_before(&before, s, now, e) < 0)
		goto out;
	buf_addf(&b, "%s (%s), ", target, recipe);
	put_time(&b, past_time(now));
	buf_addc(&b, '\n');
	for (size_t i = 0; past_step(now, i) >= 0; i++)
		put_step(s, now, &before, i, &b);
	fputs(b.at, stdout);
	changed_needs(now, &before, &needs);
	for (size_t i = 0; i < needs.n && before.found && depth < DEPTH_LIMIT; i++) {
		struct past other = { 0 };

		ret = past_read(&other, s, recipe, needs.at[i], e);
		if (ret == 0)
			ret = go_back(&other, s, now, needs.at[i], e);
		if (ret == 0 && other.found)
			ret = why_run(s, recipe, needs.at[i], &other, depth + 1, e);
		past_release(&other);
		if (ret < 0)
			goto out;
	}
	ret = 0;
out:
	past_release(&before);
	buf_release(&b);
	names_release(&needs);
	return ret;
}

int cmd_why(int argc, char **argv, const struct command *c)
{
	const struct opt rows[] = { { 0 } };
	struct stores *s = NULL;
	struct pasts all = { 0 };
	struct err e;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words != 1) {
		stores_close(s);
		return command_usage(c, "one target is wanted, %d were given", words);
	}
	if (pasts_read(&all, s, argv[1], &e) < 0) {
		code = command_failed(&e);
	} else if (!all.n) {
		warn("no run of a target '%s' is on record in '%s'", argv[1], stores_root(s));
		code = 1;
	} else if (why_run(s, all.at[0].recipe, argv[1], &all.at[0], 0, &e) < 0) {
		code = command_failed(&e);
	}
	pasts_release(&all);
	stores_close(s);
	return code;
}
