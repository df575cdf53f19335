/* booth log: past runs; and the log of a training as a table and a drawing. */
#include "stages/booth/booth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/made.h"
#include "stages/booth/past.h"

#define PLOT_W 72
#define PLOT_H 16
#define RUNS_SHOWN 30           /* where no target is named; --all shows every one */
#define ROWS_SHOWN 20           /* of a training's log; --all shows every one */

/* ---- runs ---- */

static void put_run(const struct past *p, const char *target, struct buf *b)
{
	int reason = table_column(&p->t, "reason"), stage = table_column(&p->t, "stage");
	const char *sep = "", *ref;
	double seconds, sum = 0;

	for (size_t i = 0; i < p->t.rows; i++)
		if (text_float(past_get(p, (long)i, "seconds"), &seconds) == 0 &&
		    *table_get(&p->t, i, reason))
			sum += seconds;
	ref = past_get(p, 0, "ref");
	put_time(b, past_time(p));
	buf_addf(b, "\t%s\t%.*s\t", target,
		 *past_get(p, 0, "note") ? 6 : (int)strcspn(ref, "/") + 9,
		 *past_get(p, 0, "note") ? past_get(p, 0, "note") : ref);
	text_seconds(b, sum);
	buf_addf(b, "\t%d\t", *past_get(p, 0, "note") != 0);
	for (size_t i = 0; i < p->t.rows; i++)
		if (*table_get(&p->t, i, reason)) {
			buf_addf(b, "%s%s: %s", sep, table_get(&p->t, i, stage),
				 table_get(&p->t, i, reason));
			sep = "; ";
		}
	buf_adds(b, *sep ? "\n" : "nothing ran: a result of before was taken\n");
}

/* The run before takes its place; not found: there is none. */
static int go_back(struct past *p, struct stores *s, struct err *e)
{
	const char *text = past_get(p, 0, "previous");
	struct past before = { .target = p->target, .recipe = p->recipe };
	struct ref ref;

	if (*text && (ref_parse(s, text, &ref, e) < 0 || past_load(&before, s, &ref, e) < 0))
		return -1;
	p->target = p->recipe = NULL;
	past_release(p);
	*p = before;
	return 0;
}

/* Runs of all targets, newest first; each stands at its next one. */
static int put_runs(struct stores *s, struct pasts *all, size_t most, struct buf *b, struct err *e)
{
	size_t n = 0;

	for (; n < most; n++) {
		struct past *next = NULL;

		for (size_t i = 0; i < all->n; i++)
			if (all->at[i].found &&
			    (!next || past_moment(&all->at[i]) > past_moment(next)))
				next = &all->at[i];
		if (!next)
			break;
		put_run(next, next->target, b);
		if (go_back(next, s, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- a training ---- */

struct series {
	double *x, *y;
	size_t n;
};

static void series_read(struct series *s, const struct table *t, const char *name)
{
	int x = table_column(t, "step"), y = table_column(t, name);

	*s = (struct series){ xcalloc(t->rows + 1, sizeof *s->x),
			      xcalloc(t->rows + 1, sizeof *s->y), 0 };
	for (size_t i = 0; i < t->rows && y >= 0; i++)
		if (text_float(table_get(t, i, x), &s->x[s->n]) == 0 &&
		    text_float(table_get(t, i, y), &s->y[s->n]) == 0)
			s->n++;
}

static void series_release(struct series *s)
{
	free(s->x);
	free(s->y);
	*s = (struct series){ 0 };
}

/*
 * A column of the drawing is the mean of what falls into
 * it: the loss of single steps is mostly noise.
 */
static void into_columns(const struct series *s, double from, double to, double mean[PLOT_W])
{
	size_t n[PLOT_W] = { 0 };

	for (int c = 0; c < PLOT_W; c++)
		mean[c] = 0;
	for (size_t i = 0; i < s->n; i++) {
		int c = to > from ? (int)((s->x[i] - from) / (to - from) * (PLOT_W - 1) + 0.5) : 0;

		mean[c] += s->y[i];
		n[c]++;
	}
	for (int c = 0; c < PLOT_W; c++)
		mean[c] = n[c] ? mean[c] / (double)n[c] : NAN;
}

static void widen(const double v[PLOT_W], double *least, double *most)
{
	for (int c = 0; c < PLOT_W; c++)
		if (!isnan(v[c])) {
			*least = v[c] < *least ? v[c] : *least;
			*most = v[c] > *most ? v[c] : *most;
		}
}

static int row_of(double v, double least, double most)
{
	return most > least ? (int)((most - v) / (most - least) * (PLOT_H - 1) + 0.5) : PLOT_H / 2;
}

static void plot(const struct series *loss, const struct series *val)
{
	double a[PLOT_W], b[PLOT_W], least = INFINITY, most = -INFINITY;
	double from = loss->x[0], to = loss->x[loss->n - 1];

	if (val->n && val->x[0] < from)
		from = val->x[0];
	if (val->n && val->x[val->n - 1] > to)
		to = val->x[val->n - 1];
	into_columns(loss, from, to, a);
	into_columns(val, from, to, b);
	widen(a, &least, &most);
	widen(b, &least, &most);
	for (int y = 0; y < PLOT_H; y++) {
		if (y == 0 || y == PLOT_H - 1)
			printf("%10.4g |", y ? least : most);
		else
			printf("%10s |", "");
		for (int x = 0; x < PLOT_W; x++)
			putchar(!isnan(b[x]) && row_of(b[x], least, most) == y ? 'o' :
				!isnan(a[x]) && row_of(a[x], least, most) == y ? '*' : ' ');
		putchar('\n');
	}
	printf("%10s +", "");
	for (int x = 0; x < PLOT_W; x++)
		putchar('-');
	printf("\n%12.9g%*.9g\n", from, PLOT_W - 1, to);
	printf("%12s* loss%s\n", "", val->n ? ", o validation loss (fixed noise)" : "");
}

static int is_sorted(const struct series *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (s->x[i] < s->x[i - 1])
			return 0;
	return 1;
}

static void print_rows(const struct table *t, int all)
{
	struct buf b = { 0 };
	size_t every = all || t->rows <= ROWS_SHOWN ? 1 : (t->rows + ROWS_SHOWN - 1) / ROWS_SHOWN;

	for (int c = 0; c < t->columns; c++)
		buf_addf(&b, "%s%c", t->name[c], c + 1 < t->columns ? '\t' : '\n');
	for (size_t i = 0; i < t->rows; i++)
		if (i % every == 0 || i + 1 == t->rows)
			for (int c = 0; c < t->columns; c++)
				buf_addf(&b, "%s%c", table_get(t, i, c),
					 c + 1 < t->columns ? '\t' : '\n');
	print_columns(buf_str(&b));
	buf_release(&b);
}

static int is_log(const struct table *t)
{
	return table_column(t, "step") >= 0 && table_column(t, "loss") >= 0;
}

/* Does this text name a table that is a log? It may name anything. */
static int take_log(struct stores *s, const char *text, struct table *out)
{
	struct ref r;
	struct err ignored;

	if (!ref_is(text) || ref_parse(s, text, &r, &ignored) < 0 ||
	    store_get_table(s, &r, out, &ignored) < 0)
		return 0;
	if (is_log(out))
		return 1;
	table_release(out);
	return 0;
}

/* A log named in the note of the action that made the reference: "log train/1f0c...". */
static int log_in_note(struct stores *s, const struct ref *ref, struct table *out)
{
	struct made m = { 0 };
	struct err ignored;
	char *word, *next;
	int found = 0;

	if (made_find(&m, s, ref, &ignored) > 0 && m.note.len) {
		next = m.note.at;
		while (!found && (word = strsep(&next, " =\t\n")))
			found = take_log(s, word, out);
	}
	made_release(&m);
	return found;
}

/* Not weights and pictures, which would be read whole only to see that they are no tables. */
static int may_name_log(const struct table *t, size_t row, int column)
{
	static const char *const heavy[] = { "tensor", "moments", "hidden", "image", "mask", NULL };

	if (!strcmp(table_get(t, row, table_column(t, "item")), "log"))
		return 1;
	for (int i = 0; heavy[i]; i++)
		if (!strcmp(t->name[column], heavy[i]))
			return 0;
	return 1;
}

/*
 * The table itself, or one that a cell of it or its
 * action's note names, if it has columns step and loss.
 */
static int find_log(struct stores *s, const struct ref *ref, struct table *out, struct err *e)
{
	struct table t = { 0 };
	int found = 0;

	if (store_get_table(s, ref, out, e) < 0)
		return -1;
	if (is_log(out))
		return 0;
	t = *out;
	*out = (struct table){ 0 };
	found = log_in_note(s, ref, out);
	for (size_t i = 0; i < t.rows && !found; i++)
		for (int c = 0; c < t.columns && !found; c++)
			if (may_name_log(&t, i, c))
				found = take_log(s, table_get(&t, i, c), out);
	table_release(&t);
	return found
		? 0
		: fail(e, "neither this table nor one that it names has columns 'step' and 'loss'");
}

static int log_training(struct stores *s, const char *text, int all, struct err *e)
{
	struct table t = { 0 };
	struct series loss = { 0 }, val = { 0 };
	struct ref ref;
	int ret = -1;

	if (ref_parse(s, text, &ref, e) < 0)
		return -1;
	if (find_log(s, &ref, &t, e) < 0)
		goto out;
	series_read(&loss, &t, "loss");
	series_read(&val, &t, "val_loss");
	print_rows(&t, all);
	if (loss.n && is_sorted(&loss) && is_sorted(&val))
		plot(&loss, &val);
	ret = 0;
out:
	series_release(&loss);
	series_release(&val);
	table_release(&t);
	return ret;
}

static int log_runs(struct stores *s, const char *target, int every, struct err *e)
{
	struct pasts all = { 0 };
	struct buf b = { 0 };
	struct err ignored;
	char *ref = NULL;
	int ret = pasts_read(&all, s, target, e);

	if (ret == 0 && target && !all.n)
		ret = fail(e, "no run of a target '%s' is on record in '%s'", target,
			   stores_root(s));
	/* the target is a training: its log too */
	for (size_t i = 0; i < all.n && ret == 0 && target && !ref; i++)
		if (starts_with(past_get(&all.at[i], 0, "ref"), "train/"))
			ref = xstrdup(past_get(&all.at[i], 0, "ref"));
	buf_adds(&b, "when\ttarget\tresult\ttook\texit\twhat ran\n");
	if (ret == 0)
		ret = put_runs(s, &all, every || target ? SIZE_MAX : RUNS_SHOWN, &b, e);
	if (ret == 0)
		print_columns(b.at);
	if (ret == 0 && ref)
		(void)log_training(s, ref, every, &ignored);
	free(ref);
	buf_release(&b);
	pasts_release(&all);
	return ret;
}

int cmd_log(int argc, char **argv, const struct command *c)
{
	int all = 0, words, code, ret;
	const struct opt rows[] = {
		{ "all", OPT_FLAG, &all, "", "every run, and every row of a training's log", .quiet = 1 }, { 0 }
	};
	struct stores *s = NULL;
	struct err e;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words > 1) {
		stores_close(s);
		return command_usage(c, "one target or reference at most, %d were given", words);
	}
	ret = words && ref_is(argv[1]) ? log_training(s, argv[1], all, &e)
				       : log_runs(s, words ? argv[1] : NULL, all, &e);
	if (ret < 0)
		code = command_failed(&e);
	stores_close(s);
	return code;
}
