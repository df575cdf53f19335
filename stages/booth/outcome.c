/* What came of a step or task: checked, recorded, and put on the record of the target's runs. */
#include "stages/booth/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "stages/booth/screen.h"
#include "stages/booth/world.h"

void now_step(struct task *t, const struct result *known, const char *reason)
{
	char item[32], seconds[32];
	size_t row;

	snprintf(item, sizeof item, "step %zu", t->step + 1);
	snprintf(seconds, sizeof seconds, "%.3f", known->seconds);
	row = past_add(&t->now, item, &known->out);
	past_set(&t->now, row, "stage", task_step(t)->words.at[0].text);
	past_set(&t->now, row, "text", buf_str(&t->action.text));
	past_set(&t->now, row, "note", buf_str(&known->note));
	past_set(&t->now, row, "reason", reason);
	past_set(&t->now, row, "seconds", seconds);
}

/* A record without its surroundings is still a record. */
static void now_settings(struct runner *r, struct task *t)
{
	struct buf set = { 0 };
	struct err e;

	for (size_t i = 0; i < r->sets; i++)
		buf_addf(&set, "%s%s", i ? " " : "", r->set[i]);
	past_set(&t->now, 0, "text", buf_str(&set));
	buf_release(&set);
	if (now_world(r, t, 1, &e) < 0)
		warn("%s: %s", t->rule->target, e.text);
}

/* The last step is done. A run that changes nothing on record is not recorded again. */
int task_end(struct runner *r, struct task *t, int ran, struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	t->state = ran ? TASK_DONE : TASK_FRESH;
	past_set(&t->now, 0, "ref", ref_text(&t->result, text));
	if (!ran && !strcmp(past_get(&t->past, 0, "ref"), text) && !*past_get(&t->past, 0, "note"))
		return 0;
	now_settings(r, t);
	return past_record(&t->now, r->stores, r->recipe_name, t->rule->target, &t->past, e);
}

int task_ran(const struct task *t)
{
	int column = table_column(&t->now.t, "reason");

	for (size_t i = 0; i < t->now.t.rows; i++)
		if (*table_get(&t->now.t, i, column))
			return 1;
	return 0;
}

/*
 * A run that got part of the way is recorded too; for the steps that it did not reach those of the
 * run before stand, so that reasons and gc know both.
 */
void task_failed(struct runner *r, struct task *t, const struct err *e)
{
	struct err ignored;
	long row;

	t->state = TASK_FAILED;
	screen_clear(r);
	warn("%s: %s", t->rule->target, e->text);
	if (!t->now.t.rows || !task_ran(t))
		return;
	for (size_t i = t->step; (row = past_step(&t->past, i)) >= 0; i++) {
		size_t copy = table_append(&t->now.t, &t->past.t, (size_t)row);

		past_set(&t->now, copy, "reason", "");
	}
	past_set(&t->now, 0, "ref", past_get(&t->past, 0, "ref"));
	past_set(&t->now, 0, "note", "failed");
	now_settings(r, t);
	if (past_record(&t->now, r->stores, r->recipe_name, t->rule->target, &t->past, &ignored) <
	    0)
		warn("%s", ignored.text);
}

/* ---- the end of a stage ---- */

/* A file target whose stage has no --out: the result's table itself is the file. */
static int write_table(struct runner *r, const struct task *t, const struct ref *ref, struct err *e)
{
	struct blob b = { 0 };
	int ret = store_need(r->stores, ref, KIND_TABLE, &b, e);

	if (ret == 0)
		ret = file_replace(t->rule->target, b.at, b.len, e);
	blob_release(&b);
	return ret;
}

static int printed_ref(struct runner *r, const struct task *t, struct ref *out, struct err *e)
{
	char *text = xstrdup(buf_str(&t->child.text)), *end = text + strlen(text), *line;
	int ret;

	while (end > text && (end[-1] == '\n' || end[-1] == ' '))
		*--end = 0;
	line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
	if (!ref_is(line))
		ret = fail(e, "'%s' ended well but printed '%.60s' where a reference is wanted",
			   task_step(t)->words.at[0].text, line);
	else
		ret = ref_parse(r->stores, line, out, e);
	free(text);
	return ret;
}

/*
 * With --keep-going a stage succeeds without the items that failed, and does not record that, so
 * that they are tried again. Then the step is not recorded either: the stage is asked whether it
 * would run.
 */
static int is_complete(struct runner *r, struct task *t, struct err *e)
{
	const struct words *w = &task_step(t)->words;
	struct names args = { 0 };
	struct buf says = { 0 };
	int ret = 1, asked = 0;

	for (size_t i = 1; i < w->n; i++)
		asked |= !strcmp(w->at[i].text, "--keep-going");
	if (asked) {
		ret = step_args(r, t, 0, &args, e);
		if (ret == 0) {
			names_add(&args, "--dry-run");
			args.at = xrealloc(args.at, (args.n + 1) * sizeof *args.at);
			args.at[args.n] = NULL;
			ret = tool_ask(args.at[0], args.at, &says, e);
		}
		if (ret > 0)
			ret = starts_with(buf_str(&says), "fresh ");
	}
	names_release(&args);
	buf_release(&says);
	return ret;
}

/*
 * What it cost goes into the note. When all items were known, as after a killed run, what was
 * measured before says more.
 */
static void note_cost(struct runner *r, struct task *t, struct result *done)
{
	struct cost now = t->child.meter.cost, before;
	struct result old = { 0 };
	struct err ignored;

	now.seconds = done->seconds;
	if (!now.made && now.known && store_find(r->stores, &t->action, &old, &ignored) > 0 &&
	    cost_read(&before, buf_str(&old.note)) && before.made)
		now = before;
	cost_put(&done->note, &now);
	result_release(&old);
}

int step_done(struct runner *r, struct task *t, struct err *e)
{
	struct result done = { .seconds = clock_now() - t->child.start };
	int by_stage, complete, ret = -1, last = t->step + 1 == t->rule->steps;

	if (printed_ref(r, t, &done.out, e) < 0 || step_writes_file(r, t, &by_stage, e) < 0)
		goto out;
	if (last && t->rule->kind == RULE_FILE && !by_stage && write_table(r, t, &done.out, e) < 0)
		goto out;
	if (last && t->rule->kind == RULE_FILE && access(t->rule->target, F_OK) < 0) {
		fail(e, "'%s' ended well but did not write '%s'", task_step(t)->words.at[0].text,
		     t->rule->target);
		goto out;
	}
	if (last && files_note(r, t, &done.out, &done.note, e) < 0)
		goto out;
	note_cost(r, t, &done);
	complete = is_complete(r, t, e);
	if (complete < 0)
		goto out;
	if (complete &&
	    (store_record(r->stores, &t->action, &done, e) < 0 || stores_flush(r->stores, e) < 0))
		goto out;
	now_step(t, &done, buf_str(&t->why));
	t->state = TASK_WAITING;
	ret = step_take(t, &done.out) ? 0 : task_end(r, t, 1, e);
out:
	result_release(&done);
	return ret;
}
