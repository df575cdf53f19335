#include "stages/booth/estimate.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/flow/why.h"
#include "stages/booth/items.h"
#include "stages/booth/next.h"
#include "stages/booth/world.h"

/* What goes from step to step: rows of a table, and those that would be others than the last time. */
struct flow {
	size_t rows, changed;
};

/* ---- what is on record ---- */

static int take_step(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct estimator *x = data;
	struct recorded *new;

	(void)key;
	if (!starts_with(text, "stage run 1\nstep\n"))
		return 0;
	x->at = grow(x->at, x->n, &x->cap, sizeof *x->at);
	new = &x->at[x->n++];
	*new = (struct recorded){ .text = xstrdup(text) };
	if (!cost_read(&new->cost, buf_str(&r->note)))
		new->cost.seconds = r->seconds;
	return 0;
}

int estimate_begin(struct estimator *x, struct runner *r, struct err *e)
{
	*x = (struct estimator){ .runner = r };
	x->flow = xcalloc(r->tasks + 1, sizeof *x->flow);
	return store_actions(r->stores, "run", take_step, x, e);
}

void estimate_end(struct estimator *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->at[i].text);
	free(x->at);
	free(x->flow);
	*x = (struct estimator){ 0 };
}

/* "executable NAME" of a step's text. */
static const char *stage_of(const char *text, size_t *len)
{
	const char *at = strstr(text, "\nparam executable ");

	at = at ? at + strlen("\nparam executable ") : "";
	*len = strcspn(at, " \n");
	return at;
}

/* Parameters tell more about time than which pictures they are applied to. */
static int distance(const struct recorded *r, const char *text, int *only_inputs)
{
	struct line_changes c;
	int sum = r->cost.work <= 0 || (!r->cost.made && r->cost.known) ? 1000 : 0;

	changes_find(&c, r->text, text);
	*only_inputs = 1;
	for (size_t i = 0; i < c.n; i++) {
		int input = !strcmp(c.at[i].what, "input");

		sum += input ? 1 : 10;
		*only_inputs &= input || !strcmp(c.at[i].name, "out");
	}
	changes_release(&c);
	return sum;
}

static const struct recorded *nearest(const struct estimator *x, const char *text)
{
	const struct recorded *best = NULL;
	int least = 0, ignored;
	size_t len, other;
	const char *stage = stage_of(text, &len), *name;

	for (size_t i = x->n; i-- > 0;) {
		int d;

		name = stage_of(x->at[i].text, &other);
		if (!len || other != len || memcmp(name, stage, len))
			continue;
		d = distance(&x->at[i], text, &ignored);
		if (best && d >= least)
			continue;
		best = &x->at[i];
		least = d;
	}
	return best;
}

/* ---- parameters that work is proportional to ---- */

/* The number of "param NAME" in the text, or -1. */
static double param(const char *text, const char *name)
{
	char *line = xasprintf("\nparam %s ", name);
	const char *at = strstr(text, line);
	char *value = at ? xstrndup(at + strlen(line), strcspn(at + strlen(line), "\n")) : NULL;
	double v = -1;

	if (value && text_float(value, &v) < 0)
		v = -1;
	free(line);
	free(value);
	return v;
}

static double ratio(const char *old, const char *new, const char *name)
{
	double a = param(old, name), b = param(new, name);

	return a > 0 && b > 0 ? b / a : 1;
}

/* Of the time that one unit takes. */
static double unit_factor(const char *old, const char *new, int training)
{
	double side = ratio(old, new, "resolution"),
	       f = side * side * ratio(old, new, "width") * ratio(old, new, "height");

	if (training)
		return f * ratio(old, new, "batch") * ratio(old, new, "accumulate");
	return f * ratio(old, new, "steps");
}

/* Is the parameter all that differs, and greater than it was? What was done then is known. */
static int has_grown(const char *old, const char *new, const char *name)
{
	struct line_changes c;
	int only;

	changes_find(&c, old, new);
	only = c.n == 1 && !strcmp(c.at[0].name, name);
	changes_release(&c);
	return only && ratio(old, new, name) > 1;
}

/* A training goes on from its last state, unless its schedule depends on where it ends. */
static int can_go_on(const char *old, const char *new)
{
	return has_grown(old, new, "steps") &&
		(!strstr(new, "\nparam schedule ") || strstr(new, "\nparam schedule constant\n"));
}

static double training_units(const struct recorded *r, const char *text, int all)
{
	double steps = param(text, "steps");

	if (steps <= 0)
		return (double)r->cost.of * ratio(r->text, text, "epochs");
	if (!all && can_go_on(r->text, text))
		return steps - param(r->text, "steps");
	return steps;
}

/* ---- one step ---- */

struct step_look {
	const char *text;
	int runs;               /* it would, or may */
	int all;                /* every item again: -B, or other parameters than the last time */
	int has_items;
	size_t rows_before;     /* of the main input in the last run, 0 = not known */
	struct flow in, out;
};

static double seconds_of(const struct recorded *r, const struct step_look *l, int always)
{
	const struct cost *c = &r->cost;
	size_t len;
	int training = c->done > 0 && !strncmp(stage_of(r->text, &len), "train ", 6);
	int64_t items = training ? 0 : c->made + c->known;      /* a training's are its states */
	double fixed = c->seconds - c->work, units, rate;

	if (items && !c->made)
		return c->seconds;
	if (items) {
		units = l->has_items ? (double)(l->all ? l->in.rows : l->in.changed) :
			(double)items * (ratio(r->text, l->text, "count") -
					 (!always && has_grown(r->text, l->text, "count")));
		rate = c->work / (double)c->made;
	} else if (training) {
		units = training_units(r, l->text, always);
		rate = c->work / (double)c->done;
	} else {                        /* in proportion to the rows, where their number is known */
		units = l->has_items && l->rows_before ? (double)l->in.rows : 1;
		rate = l->has_items && l->rows_before ? c->work / (double)l->rows_before : c->work;
	}
	return fixed + units * rate * unit_factor(r->text, l->text, training);
}

/* ---- how many items ---- */

static int load_table(struct estimator *x, const char *text, struct table *out)
{
	struct ref ref;
	struct err ignored;

	return *text && ref_parse(x->runner->stores, text, &ref, &ignored) == 0 &&
		store_get_table(x->runner->stores, &ref, out, &ignored) == 0;
}

/* The row of a run's record that its step's main input comes from, or -1. */
static long source_row(const struct past *p, size_t step)
{
	const char *text = past_get(p, past_step(p, step), "text"), *in = strstr(text, "\ninput in ");
	int item = table_column(&p->t, "item");

	if (!in)
		return -1;
	for (size_t i = 0; i < p->t.rows; i++) {
		const char *slash = strchr(past_get(p, (long)i, "ref"), '/');

		if (slash && strlen(slash + 1) == OID_HEX && !strncmp(in + 10, slash + 1, OID_HEX) &&
		    !starts_with(table_get(&p->t, i, item), "outside "))
			return (long)i;
	}
	return -1;
}

static struct flow compare(const struct table *old, int had, const struct table *new)
{
	struct flow f = { new->rows, new->rows };
	struct items_diff d;

	if (!had)
		return f;
	items_compare(&d, old, new);
	f.changed = d.name[ITEMS_CHANGED].n + d.name[ITEMS_NEW].n;
	items_release(&d);
	return f;
}

/* The main input, which is there, against that of the last run. */
static struct flow input_flow(struct estimator *x, const struct task *t, size_t step)
{
	struct table old = { 0 }, new = { 0 };
	struct flow f = { 0 };
	int had = load_table(x, past_get(&t->past, source_row(&t->past, step), "ref"), &old);

	if (load_table(x, past_get(&t->now, source_row(&t->now, step), "ref"), &new))
		f = compare(&old, had, &new);
	table_release(&old);
	table_release(&new);
	return f;
}

/* Files of a folder against those of the last run; the rest is no item. */
static void drop_others(struct table *t)
{
	static const char *const ends[] = { ".txt", ".caption", ".json", ".jsonl", ".tsv", NULL };
	size_t kept = 0;

	for (size_t i = 0; i < t->rows; i++) {
		int other = 0;

		for (int k = 0; ends[k]; k++)
			other |= ends_with(table_get(t, i, 0), ends[k]);
		if (other)
			continue;
		for (int c = 0; c < t->columns; c++)
			table_set(t, kept, c, table_get(t, i, c));
		kept++;
	}
	t->rows = kept;         /* the cells' text goes with the table */
}

static struct flow folder_flow(struct estimator *x, const struct task *t)
{
	struct flow f = { 0 };
	int item = table_column(&t->now.t, "item");

	for (size_t i = 0; i < t->now.t.rows; i++) {
		const char *name = table_get(&t->now.t, i, item);
		struct table old = { 0 }, new = { 0 };
		struct flow one;
		struct err ignored;
		int is_need = 0, had;

		for (size_t k = 0; k < t->rule->need.n; k++)
			is_need |= starts_with(name, "outside ") &&
				!strcmp(name + 8, t->rule->need.at[k].text);
		if (!is_need || folder_table(x->runner->stores, name + 8, &new, &ignored) < 0) {
			f.rows += (size_t)is_need;
			f.changed += (size_t)is_need;
			table_release(&new);
			continue;
		}
		had = load_table(x, past_get(&t->past, past_row(&t->past, name), "ref"), &old);
		drop_others(&old);
		drop_others(&new);
		one = compare(&old, had, &new);
		f.rows += one.rows;
		f.changed += one.changed;
		table_release(&old);
		table_release(&new);
	}
	return f;
}

/* Rows of the result: as many more or fewer than the last time as the input has. */
static struct flow result_flow(struct estimator *x, const struct task *t, size_t step,
			       const struct step_look *l)
{
	struct table old = { 0 }, in = { 0 };
	struct flow f = l->in;

	if (load_table(x, past_get(&t->past, past_step(&t->past, step), "ref"), &old)) {
		f.rows = old.rows;
		if (load_table(x, past_get(&t->past, source_row(&t->past, step), "ref"), &in) &&
		    in.rows == old.rows)
			f.rows = l->in.rows ? l->in.rows : old.rows;
	}
	f.changed = l->all || !l->has_items ? f.rows : f.changed < f.rows ? f.changed : f.rows;
	table_release(&old);
	table_release(&in);
	return f;
}

/* Did parameters change, and not only inputs? */
static int is_other(const char *old, const char *new)
{
	const struct recorded r = { .text = (char *)(uintptr_t)old };
	int only_inputs;

	distance(&r, new, &only_inputs);
	return !*old || !only_inputs;
}

/* ---- a task ---- */

static struct flow need_flow(const struct estimator *x, const struct task *t)
{
	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->rule->kind == RULE_RESULT)
			return x->flow[t->need[i] - x->runner->task];
	return (struct flow){ 0 };
}

static size_t rows_before(struct estimator *x, const struct task *t, size_t step)
{
	struct table in = { 0 };
	size_t n = load_table(x, past_get(&t->past, source_row(&t->past, step), "ref"), &in)
		? in.rows : 0;

	table_release(&in);
	return n;
}

/* Not where the rows of the main input are weights, or are read again and again. */
static int goes_by_rows(const char *stage)
{
	static const char *const not[] = { "train", "sample", "gen-class", "convert", NULL };

	for (int i = 0; not[i]; i++)
		if (!strcmp(stage, not[i]))
			return 0;
	return 1;
}

static void look(struct estimator *x, const struct task *t, size_t step, const struct flow *before,
		 struct step_look *l)
{
	long row = past_step(&t->now, step);
	int follows = !strcmp(past_get(&t->now, row, "note"), NEXT_FOLLOWS),
	    always = x->runner->always;
	const char *old = past_get(&t->past, past_step(&t->past, step), "text");

	*l = (struct step_look){ .text = past_get(&t->now, row, "text") };
	l->runs = follows || *past_get(&t->now, row, "reason");
	if (!*l->text)                          /* what it needs was never there: all of it, as then */
		l->text = old;
	if (step == 0 && strstr(l->text, "\ninput path "))
		l->in = folder_flow(x, t);
	else if (follows)
		l->in = step ? *before : need_flow(x, t);
	else
		l->in = input_flow(x, t, step);
	l->rows_before = rows_before(x, t, step);
	l->has_items = l->in.rows > 0 && goes_by_rows(past_get(&t->now, row, "stage"));
	l->all = always || is_other(old, l->text);
	l->out = l->runs ? result_flow(x, t, step, l) : (struct flow){ l->in.rows, 0 };
}

void estimate_task(struct estimator *x, const struct task *t, struct estimate *out)
{
	struct flow before = { 0 };

	*out = (struct estimate){ .known = 1 };
	if (t->rule->kind == RULE_GROUP)
		return;
	for (size_t i = 0; past_step(&t->now, i) >= 0; i++) {
		struct step_look l;
		const struct recorded *r;

		look(x, t, i, &before, &l);
		before = l.out;
		if (!l.runs)
			continue;
		r = nearest(x, l.text);
		out->known &= r != NULL;
		out->seconds += r ? seconds_of(r, &l, x->runner->always) : 0;
		if (l.has_items && l.in.rows >= out->of) {
			size_t todo = l.all ? l.in.rows : l.in.changed;

			out->items = out->of == l.in.rows && todo < out->items ? out->items : todo;
			out->of = l.in.rows;
		}
	}
	x->flow[t - x->runner->task] = before;
}

double rebuild_seconds(const struct past *p)
{
	double sum = 0, seconds;

	for (size_t i = 0; past_step(p, i) >= 0; i++) {
		long row = past_step(p, i);
		struct cost c;

		if (cost_read(&c, past_get(p, row, "note")))
			sum += c.seconds;
		else if (text_float(past_get(p, row, "seconds"), &seconds) == 0)
			sum += seconds;
	}
	return sum;
}
