#include "stages/booth/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static void target_action(struct action *a, const char *recipe, const char *target)
{
	action_begin(a, "run", 1, "target");
	action_param(a, "recipe", recipe);
	action_param(a, "target", target);
}

int past_load(struct past *p, struct stores *s, const struct ref *ref, struct err *e)
{
	p->ref = *ref;
	if (store_get_table(s, ref, &p->t, e) < 0)
		return -1;
	p->found = 1;
	return 0;
}

int past_read(struct past *p, struct stores *s, const char *recipe, const char *target,
	      struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	int found;

	target_action(&a, recipe, target);
	found = store_find(s, &a, &r, e);
	if (found > 0 && past_load(p, s, &r.out, e) < 0)
		found = -1;
	action_release(&a);
	result_release(&r);
	return found < 0 ? -1 : 0;
}

void past_release(struct past *p)
{
	table_release(&p->t);
	free(p->recipe);
	free(p->target);
	*p = (struct past){ 0 };
}

void past_begin(struct past *p)
{
	static const char *const columns[] = { "item",	 "stage",   "text", "ref",     "note",
					       "reason", "seconds", "time", "previous" };

	past_release(p);
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		table_add_column(&p->t, columns[i]);
	past_add(p, "run", NULL);
}

size_t past_add(struct past *p, const char *item, const struct ref *ref)
{
	size_t row = table_add_row(&p->t);
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	past_set(p, row, "item", item);
	if (ref)
		past_set(p, row, "ref", ref_text(ref, text));
	return row;
}

void past_set(struct past *p, size_t row, const char *column, const char *value)
{
	table_set(&p->t, row, table_column(&p->t, column), value);
}

long past_row(const struct past *p, const char *item)
{
	int column = table_column(&p->t, "item");

	for (size_t i = 0; i < p->t.rows; i++)
		if (!strcmp(table_get(&p->t, i, column), item))
			return (long)i;
	return -1;
}

long past_step(const struct past *p, size_t step)
{
	char item[32];

	snprintf(item, sizeof item, "step %zu", step + 1);
	return past_row(p, item);
}

const char *past_get(const struct past *p, long row, const char *column)
{
	return row < 0 ? "" : table_get(&p->t, (size_t)row, table_column(&p->t, column));
}

int64_t past_time(const struct past *p)
{
	return (int64_t)past_moment(p);
}

double past_moment(const struct past *p)
{
	double t;

	return text_float(past_get(p, 0, "time"), &t) < 0 ? 0 : t;
}

int past_record(struct past *p, struct stores *s, const char *recipe, const char *target,
		const struct past *before, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	struct timespec now;
	int ret = -1;

	clock_gettime(CLOCK_REALTIME, &now);
	if (before->found)
		past_set(p, 0, "previous", ref_text(&before->ref, text));
	table_setf(&p->t, 0, table_column(&p->t, "time"), "%lld.%06ld", (long long)now.tv_sec,
		   now.tv_nsec / 1000);
	target_action(&a, recipe, target);
	if (store_put_table(s, "run", &p->t, &r.out, e) < 0)
		goto out;
	p->ref = r.out;
	p->found = 1;
	for (size_t i = 0; i < p->t.rows; i++) {
		double seconds;

		if (text_float(past_get(p, (long)i, "seconds"), &seconds) == 0)
			r.seconds += seconds;
	}
	ret = store_record(s, &a, &r, e);
out:
	action_release(&a);
	result_release(&r);
	return ret;
}

/* ---- all targets ---- */

struct gather {
	struct pasts *out;
	struct stores *stores;
	const char *target;
	struct ref *ref;        /* the tables are read after the walk, not within its transaction */
	size_t refs, cap;
	struct err *e;
};

/* The value of "param NAME ..." in an action's text, the caller's to free; NULL if there is none. */
static char *param_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (!strncmp(p, "param ", 6) && !strncmp(p + 6, name, n) && p[6 + n] == ' ')
			return xstrndup(p + 7 + n, strcspn(p + 7 + n, "\n"));
	return NULL;
}

static int take_target(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct gather *g = data;
	struct past *p;
	char *target;

	(void)key;
	if (!starts_with(text, "stage run 1\ntarget\n"))
		return 0;
	target = param_of(text, "target");
	if (!target || (g->target && strcmp(target, g->target))) {
		free(target);
		return 0;
	}
	g->ref = grow(g->ref, g->refs, &g->cap, sizeof *g->ref);
	g->ref[g->refs++] = r->out;
	g->out->at = grow(g->out->at, g->out->n, &g->out->cap, sizeof *g->out->at);
	p = &g->out->at[g->out->n++];
	*p = (struct past){ .target = target, .recipe = param_of(text, "recipe") };
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	double x = past_moment(a), y = past_moment(b);

	return x < y ? 1 : x > y ? -1 : 0;
}

int pasts_read(struct pasts *out, struct stores *s, const char *target, struct err *e)
{
	struct gather g = { .out = out, .stores = s, .target = target, .e = e };
	int ret = store_actions(s, "run", take_target, &g, e);

	for (size_t i = 0; i < out->n && ret == 0; i++)
		ret = past_load(&out->at[i], s, &g.ref[i], e);
	if (ret == 0 && out->n)
		qsort(out->at, out->n, sizeof *out->at, newest_first);
	free(g.ref);
	return ret;
}

void pasts_release(struct pasts *p)
{
	for (size_t i = 0; i < p->n; i++)
		past_release(&p->at[i]);
	free(p->at);
	*p = (struct pasts){ 0 };
}
