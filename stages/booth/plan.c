#include "stages/booth/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/booth.h"
#include "stages/booth/estimate.h"
#include "stages/booth/next.h"

/* ---- memory ---- */

/* The main input of a step, as far as t->now tells. */
static int input_of(struct runner *r, const struct task *t, size_t step, struct ref *out)
{
	const char *text = step ? past_get(&t->now, past_step(&t->now, step - 1), "ref") : "";
	struct err ignored;

	if (step && !*text)     /* it would be made first; the last one has the same shapes, mostly */
		text = past_get(&t->past, past_step(&t->past, step - 1), "ref");
	if (step)
		return *text && ref_parse(r->stores, text, out, &ignored) == 0;
	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->rule->kind == RULE_RESULT && t->need[i]->result.stage[0]) {
			*out = t->need[i]->result;
			return 1;
		}
	return 0;
}

int plan_memory(struct runner *r, struct task *t, size_t step, struct buf *out, struct err *e)
{
	struct task copy = *t;
	struct names args = { 0 };
	const struct tool *tool;
	int ret = -1;

	copy.step = step;
	if (step_tool(r, &t->rule->step[step], &tool, e) < 0)
		return -1;
	if (strcmp(tool->name, "train") || !tool_option(tool, "plan", 4) ||
	    !input_of(r, t, step, &copy.in))
		return 0;
	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->rule->kind != RULE_GROUP && !t->need[i]->result.stage[0])
			return 0;
	copy.has_in = 1;
	copy.rewrite = 0;
	if (step_args(r, &copy, 1, &args, e) < 0)
		goto out;
	names_add(&args, "--plan");
	args.at = xrealloc(args.at, (args.n + 1) * sizeof *args.at);
	args.at[args.n] = NULL;
	ret = tool_ask(args.at[0], args.at, out, e);
out:
	names_release(&args);
	return ret;
}

/* "5.2 GB" of the line "peak 5.2 GB". */
static char *peak_of(const char *plan)
{
	const char *at = strstr(plan, "\npeak ");

	return at ? xstrndup(at + 6, strcspn(at + 6, "\n")) : NULL;
}

static void print_memory(struct runner *r, struct task *t)
{
	for (size_t i = 0; i < t->rule->steps; i++) {
		struct buf b = { 0 };
		struct err ignored;
		char *peak = plan_memory(r, t, i, &b, &ignored) > 0 ? peak_of(buf_str(&b)) : NULL;

		if (peak)
			printf("%s: %s takes %s of memory\n", t->rule->target,
			       t->rule->step[i].words.at[0].text, peak);
		free(peak);
		buf_release(&b);
	}
}

/* ---- what would run ---- */

static void put_unsure(const struct task *t, struct buf *b)
{
	const char *sep = "after ";

	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->state != TASK_FRESH) {
			buf_addf(b, "%s%s", sep, t->need[i]->rule->target);
			sep = ", ";
		}
	buf_adds(b, ", if its result changes");
}

/* "bucket: size 2 -> 4; then encode-latents" */
static void put_steps(const struct task *t, struct buf *b)
{
	const char *sep = "";
	int follow = 0;

	for (size_t i = 0; past_step(&t->now, i) >= 0; i++) {
		long row = past_step(&t->now, i);
		const char *reason = past_get(&t->now, row, "reason"),
			   *stage = past_get(&t->now, row, "stage");

		if (*reason)
			buf_addf(b, "%s%s: %s", sep, stage, reason);
		else if (!strcmp(past_get(&t->now, row, "note"), NEXT_FOLLOWS))
			buf_addf(b, "%s%s", follow++ ? ", " : *sep ? "; then " : "", stage);
		sep = *reason || *sep ? "; " : "";
	}
}

static void put_task(const struct task *t, const struct estimate *x, struct buf *b)
{
	static const char *const word[] = { [TASK_FRESH] = "up to date", [TASK_STALE] = "runs",
					    [TASK_UNSURE] = "may run" };

	buf_addf(b, "%s\t%s\t", t->rule->target, word[t->state]);
	if (t->state == TASK_FRESH) {
		buf_adds(b, "\t\t\n");
		return;
	}
	if (x->seconds > 0)
		text_seconds(b, x->seconds);
	buf_adds(b, x->known ? "\t" : x->seconds > 0 ? " or more\t" : "?\t");
	if (x->of && x->items < x->of)
		buf_addf(b, "%zu of %zu items\t", x->items, x->of);
	else if (x->of)
		buf_addf(b, "%zu items\t", x->of);
	else
		buf_addc(b, '\t');
	if (t->state == TASK_STALE)
		put_steps(t, b);
	else
		put_unsure(t, b);
	buf_addc(b, '\n');
}

static void print_sum(const struct estimate *sum, size_t run, size_t may, size_t fresh)
{
	struct buf b = { 0 };

	buf_addf(&b, "%zu to run, %zu may run, %zu up to date", run, may, fresh);
	if (run + may && sum->seconds > 0) {
		buf_adds(&b, "; about ");
		text_seconds(&b, sum->seconds);
		buf_adds(&b, " of work");
	}
	if (run + may && !sum->known)
		buf_adds(&b, sum->seconds > 0 ? " and what was never measured" :
			 "; how long it takes was never measured");
	puts(b.at);
	buf_release(&b);
}

int plan_print(struct runner *r, struct err *e)
{
	struct estimator x;
	struct estimate one, sum = { .known = 1 };
	struct buf b = { 0 };
	size_t n[TASK_UNSURE + 1] = { 0 };

	if (estimate_begin(&x, r, e) < 0)
		return -1;
	for (size_t i = 0; i < r->tasks; i++) {
		estimate_task(&x, &r->task[i], &one);
		if (r->task[i].rule->kind == RULE_GROUP)
			continue;
		put_task(&r->task[i], &one, &b);
		n[r->task[i].state]++;
		sum.seconds += one.seconds;
		sum.known &= one.known;
	}
	print_columns(buf_str(&b));
	for (size_t i = 0; i < r->tasks; i++)
		if (r->task[i].state != TASK_FRESH)
			print_memory(r, &r->task[i]);
	print_sum(&sum, n[TASK_STALE], n[TASK_UNSURE], n[TASK_FRESH]);
	estimate_end(&x);
	buf_release(&b);
	return 0;
}
