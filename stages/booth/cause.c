#include "stages/booth/cause.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/items.h"
#include "stages/booth/world.h"

#define FILES_NAMED 5           /* of a folder, of one kind */

/* ---- where a line comes from ---- */

/* The row whose name begins with `kind` and whose column holds `value` (of a reference: its id). */
static long row_with(const struct past *p, const char *kind, const char *column, const char *value)
{
	int item = table_column(&p->t, "item");

	for (size_t i = 0; i < p->t.rows; i++) {
		const char *at = past_get(p, (long)i, column), *slash = strchr(at, '/');

		if (starts_with(table_get(&p->t, i, item), kind) &&
		    (!strcmp(at, value) || (slash && !strcmp(slash + 1, value))))
			return (long)i;
	}
	return -1;
}

static const char *name_at(const struct past *p, long row, const char *kind)
{
	return row < 0 ? NULL : past_get(p, row, "item") + strlen(kind);
}

enum cause_kind cause_of(const struct cause *c, size_t step, const struct line_change *change,
			 const char **need)
{
	const char *path;
	char *item;
	long row;

	*need = NULL;
	if (strcmp(change->what, "input") || !change->is)
		return CAUSE_LEAF;
	if (step > 0 && !strcmp(change->name, "in"))
		return CAUSE_STEP;
	*need = name_at(c->now, row_with(c->now, "need ", "ref", change->is), "need ");
	if (*need)
		return CAUSE_NEED;
	path = name_at(c->now, row_with(c->now, "outside ", "text", change->is), "outside ");
	if (!path)
		return CAUSE_LEAF;
	item = xasprintf("need %s", path);      /* a target that is a file */
	row = past_row(c->now, item);
	free(item);
	*need = name_at(c->now, row, "need ");
	return *need ? CAUSE_NEED : CAUSE_LEAF;
}

int cause_same_result(const struct cause *c, size_t step)
{
	const char *was = past_get(c->before, past_step(c->before, step), "ref");

	return *was && !strcmp(was, past_get(c->now, past_step(c->now, step), "ref"));
}

void cause_chain(const struct cause *c, size_t from, struct buf *out, int *ends)
{
	const char *stage;

	*ends = 0;
	buf_addf(out, "%s: ", c->target);
	for (size_t i = from; !*ends && (stage = past_get(c->now, past_step(c->now, i), "stage"),
					 *stage); i++) {
		buf_addf(out, "%s%s", i > from ? " | " : "", stage);
		*ends = cause_same_result(c, i);
	}
}

/* ---- variables ---- */

/* The variable whose old value is in the old text and whose new one is in the new text. */
static void put_variable(const struct cause *c, const char *was, const char *is, struct buf *out)
{
	int item = table_column(&c->now->t, "item");

	for (size_t i = 0; i < c->now->t.rows && was && is; i++) {
		const char *name = table_get(&c->now->t, i, item), *old, *new;
		long before = past_row(c->before, name);

		if (!starts_with(name, "var ") || before < 0)
			continue;
		old = past_get(c->before, before, "text");
		new = past_get(c->now, (long)i, "text");
		if (!*old || !*new || !strcmp(old, new) || !strstr(was, old) || !strstr(is, new))
			continue;
		buf_addf(out, " (%s", name + 4);
		if (strcmp(was, old) || strcmp(is, new)) {
			buf_adds(out, " = ");
			change_values(out, old, new);
		}
		buf_addf(out, " %s)", past_get(c->now, (long)i, "note"));
		return;
	}
}

/* ---- files outside ---- */

static int is_picture(const char *name)
{
	static const char *const ends[] = { ".jpg", ".jpeg", ".png", ".webp", NULL };

	for (int i = 0; ends[i]; i++)
		if (strlen(name) > 4 && !strcasecmp(name + strlen(name) - strlen(ends[i]), ends[i]))
			return 1;
	return 0;
}

static void put_file(struct buf *out, const char *indent, const char *folder, const char *name,
		     const char *what)
{
	buf_addf(out, "%s%s %s%s%s: %s\n", indent, is_picture(name) ? "photograph" : "file", folder,
		 !*folder || ends_with(folder, "/") ? "" : "/", name, what);
}

/* What a folder held, as recorded; of a run that has not happened, as it is now. */
static int listing(const struct cause *c, const struct past *p, long row, struct table *out)
{
	const char *text = past_get(p, row, "ref");
	struct ref ref;
	struct err ignored;

	if (*text)
		return ref_parse(c->stores, text, &ref, &ignored) == 0 &&
			store_get_table(c->stores, &ref, out, &ignored) == 0;
	text = past_get(p, row, "item") + strlen("outside ");
	return row >= 0 && c->next && p == c->now && is_folder(text) &&
		folder_table(c->stores, text, out, &ignored) == 0;
}

static size_t put_files(const struct cause *c, long now, long before, const char *folder,
			const char *indent, struct buf *out)
{
	static const char *const what[] = { "content", "new", "gone" };
	struct table old = { 0 }, new = { 0 };
	struct items_diff d = { 0 };
	size_t n = 0;

	if (listing(c, c->before, before, &old) && listing(c, c->now, now, &new))
		items_compare(&d, &old, &new);
	for (int i = 0; i < ITEMS__COUNT; i++) {
		for (size_t k = 0; k < d.name[i].n && k < FILES_NAMED; k++)
			put_file(out, indent, folder, d.name[i].at[k], what[i]);
		if (d.name[i].n > FILES_NAMED)
			buf_addf(out, "%s... and %zu more files of %s: %s\n", indent,
				 d.name[i].n - FILES_NAMED, folder, what[i]);
		n += d.name[i].n;
	}
	items_release(&d);
	table_release(&old);
	table_release(&new);
	return n;
}

static void put_outside(const struct cause *c, const struct line_change *change, long now,
			const char *indent, struct buf *out)
{
	const char *is = name_at(c->now, now, "outside "), *was;
	long before = row_with(c->before, "outside ", "text", change->was);

	was = name_at(c->before, before, "outside ");
	if (was && strcmp(was, is)) {
		buf_addf(out, "%s%s -> %s", indent, was, is);
		put_variable(c, was, is, out);
		buf_addc(out, '\n');
	}
	if (!put_files(c, now, before, is, indent, out) && !(was && strcmp(was, is)))
		put_file(out, indent, "", is, "content");
}

void cause_leaf(const struct cause *c, size_t step, const struct line_change *change,
		const char *indent, struct buf *out)
{
	long now = -1;

	if (!strcmp(change->what, "input") && change->was && change->is)
		now = row_with(c->now, "outside ", "text", change->is);
	if (now >= 0) {
		put_outside(c, change, now, indent, out);
		return;
	}
	buf_adds(out, indent);
	if (strcmp(change->name, "executable"))
		buf_addf(out, "%s: ", past_get(c->now, past_step(c->now, step), "stage"));
	change_text(out, change);
	put_variable(c, change->was, change->is, out);
	buf_addc(out, '\n');
}
