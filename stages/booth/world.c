#include "stages/booth/world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* ---- folders ---- */

#define DEPTH 32                /* as outside_hash goes */

static int list_below(struct stores *s, const char *path, const char *below, int depth,
		      struct table *out, struct err *e)
{
	struct names list = { 0 };
	int ret = depth > DEPTH ? 0 : folder_list(&list, path, e);

	for (size_t i = 0; i < list.n && ret == 0; i++) {
		char *inside, *name, hex[OID_HEX + 1];
		struct oid id;

		if (list.at[i][0] == '.')
			continue;
		inside = path_join(path, list.at[i]);
		name = *below ? path_join(below, list.at[i]) : xstrdup(list.at[i]);
		if (is_folder(inside)) {
			ret = list_below(s, inside, name, depth + 1, out, e);
		} else {
			ret = outside_hash(s, inside, &id, e);
			if (ret == 0) {
				size_t row = table_add_row(out);

				table_set(out, row, 0, name);
				table_set(out, row, 1, oid_hex(&id, hex));
			}
		}
		free(inside);
		free(name);
	}
	names_release(&list);
	return ret;
}

int folder_table(struct stores *s, const char *path, struct table *out, struct err *e)
{
	*out = (struct table){ 0 };
	table_add_column(out, "item");
	table_add_column(out, "text");
	return list_below(s, path, "", 0, out, e);
}

/* ---- rows ---- */

/* Does a step's text have this content as an input? */
static int is_input(const struct past *p, const char *hex)
{
	int column = table_column(&p->t, "text");
	char *line = xasprintf(" %s\n", hex);
	int found = 0;

	for (size_t i = 0; i < p->t.rows && !found; i++)
		found = strstr(table_get(&p->t, i, column), line) != NULL;
	free(line);
	return found;
}

static int keep_listing(struct runner *r, const char *path, struct ref *out, struct err *e)
{
	struct table t = { 0 };
	int ret = folder_table(r->stores, path, &t, e);

	if (ret == 0)
		ret = store_put_table(r->stores, "run", &t, out, e);
	table_release(&t);
	return ret;
}

/* What was changed meanwhile is no input of the steps, and is left out. */
static int add_outside(struct runner *r, struct task *t, const char *path, int keep, struct err *e)
{
	char hex[OID_HEX + 1], *item = xasprintf("outside %s", path);
	struct ref listing = { 0 };
	struct oid id;
	int ret = 0;

	if (past_row(&t->now, item) >= 0 || access(path, F_OK) < 0)
		goto out;
	ret = outside_hash(r->stores, path, &id, e);
	if (ret < 0 || !is_input(&t->now, oid_hex(&id, hex)))
		goto out;
	if (keep && is_folder(path))
		ret = keep_listing(r, path, &listing, e);
	if (ret == 0)
		past_set(&t->now, past_add(&t->now, item, listing.stage[0] ? &listing : NULL),
			 "text", hex);
out:
	free(item);
	return ret;
}

static int add_word(struct runner *r, struct task *t, const struct word *w, int keep,
		    struct err *e)
{
	struct buf b = { 0 };
	const char *equals;
	int ret = word_resolve(r, w, &b, e);

	equals = starts_with(buf_str(&b), "--") ? strchr(b.at, '=') : NULL;
	if (ret == 0 && (equals || !starts_with(buf_str(&b), "--")))
		ret = add_outside(r, t, equals ? equals + 1 : buf_str(&b), keep, e);
	buf_release(&b);
	return ret;
}

static void add_vars(struct runner *r, struct task *t)
{
	static const char *const from[] = {
		[VAR_DEFAULT] = "in the recipe", [VAR_FILE] = "in the recipe",
		[VAR_ENVIRONMENT] = "in the environment", [VAR_LINE] = "on the command line"
	};

	for (size_t i = 0; i < r->recipe.vars; i++) {
		const struct var *v = &r->recipe.var[i];
		char *item = xasprintf("var %s", v->name);
		size_t row;

		if (past_row(&t->now, item) < 0) {
			row = past_add(&t->now, item, NULL);
			past_set(&t->now, row, "text", v->value);
			past_set(&t->now, row, "note", from[v->from]);
		}
		free(item);
	}
}

int now_world(struct runner *r, struct task *t, int keep, struct err *e)
{
	const struct rule *rule = t->rule;

	add_vars(r, t);
	for (size_t i = 0; i < rule->need.n; i++)
		if (add_outside(r, t, rule->need.at[i].text, keep, e) < 0)
			return -1;
	for (size_t i = 0; i < rule->steps; i++)
		for (size_t k = 1; k < rule->step[i].words.n; k++)
			if (add_word(r, t, &rule->step[i].words.at[k], keep, e) < 0)
				return -1;
	return 0;
}
