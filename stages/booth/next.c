#include "stages/booth/next.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/world.h"

struct next {
	struct runner runner;
	struct names words;
	struct buf settings;
};

/* ---- one task ---- */

static int parse_ref(struct runner *r, const char *text, struct ref *out)
{
	struct err ignored;

	return *text && ref_parse(r->stores, text, out, &ignored) == 0;
}

/* Does the step at hand take the result of a target that is not certain? */
static int takes_unsure(const struct task *t)
{
	char hex[OID_HEX + 1];

	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->state != TASK_FRESH && t->need[i]->rule->kind != RULE_GROUP &&
		    (t->need[i]->rule->kind == RULE_FILE ||
		     strstr(buf_str(&t->action.text), oid_hex(&t->need[i]->result.id, hex))))
			return 1;
	return 0;
}

/* Steps of which nothing can be said, since something that they need never had a result. */
static void unknown_steps(struct task *t)
{
	for (; t->step < t->rule->steps; t->step++) {
		struct result none = { 0 };

		buf_clear(&t->action.text);
		now_step(t, &none, "");
		past_set(&t->now, t->now.t.rows - 1, "note", NEXT_FOLLOWS);
		past_set(&t->now, t->now.t.rows - 1, "ref", "");
	}
}

/* The step at hand: 1 certain, its result is *out; 0 not; -1. */
static int look_step(struct runner *r, struct task *t, int unsure, struct ref *out, struct err *e)
{
	struct result known = { 0 };
	int found = -1;

	if (step_action(r, t, e) < 0)
		goto out;
	unsure = (unsure || takes_unsure(t)) && !r->always;
	found = unsure ? 0 : step_known(r, t, &known, e);
	if (found < 0)
		goto out;
	now_step(t, &known, found || unsure ? "" : buf_str(&t->why));
	if (unsure)
		past_set(&t->now, t->now.t.rows - 1, "note", NEXT_FOLLOWS);
	if (!found)     /* with -B nothing changes but that it runs */
		past_set(&t->now, t->now.t.rows - 1, "ref", !r->always ? "" :
			 past_get(&t->past, past_step(&t->past, t->step), "ref"));
	else
		*out = known.out;
	if (!found && t->state == TASK_FRESH)
		t->state = unsure ? TASK_UNSURE : TASK_STALE;
out:
	result_release(&known);
	return found;
}

static int look_steps(struct runner *r, struct task *t, struct err *e)
{
	struct ref ref;
	int more = 1, unsure = 0;

	t->state = TASK_FRESH;
	task_first_step(t);
	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->rule->kind != RULE_GROUP && !t->need[i]->result.stage[0]) {
			t->state = TASK_UNSURE;
			unknown_steps(t);
			return 0;
		}
	while (more) {
		int found = look_step(r, t, unsure, &ref, e);

		if (found < 0)
			return -1;
		unsure |= !found;
		if (!found && !parse_ref(r, past_get(&t->past, past_step(&t->past, t->step), "ref"),
					 &ref)) {
			t->step++;
			unknown_steps(t);
			return 0;
		}
		more = step_take(t, &ref);
	}
	return 0;
}

static int look_task(struct runner *r, struct task *t, struct err *e)
{
	if (t->rule->kind == RULE_GROUP) {
		t->state = TASK_FRESH;
		for (size_t i = 0; i < t->needs; i++)
			if (t->need[i]->state != TASK_FRESH)
				t->state = TASK_UNSURE;
		return 0;
	}
	if (look_steps(r, t, e) < 0)
		return -1;
	if (t->state != TASK_FRESH && !t->result.stage[0])
		parse_ref(r, past_get(&t->past, 0, "ref"), &t->result);
	return now_world(r, t, 0, e);
}

int next_look(struct runner *r, struct err *e)
{
	stores_only_look(r->stores);
	for (size_t i = 0; i < r->tasks; i++)
		if (look_task(r, &r->task[i], e) < 0)
			return -1;
	return 0;
}

/* ---- from the last run ---- */

static int is_set(char *const *set, size_t sets, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < sets; i++)
		if (!strncmp(set[i], name, n) && set[i][n] == '=')
			return 1;
	return 0;
}

static void add_settings(struct next *n, const struct past *last, char *const *set, size_t sets)
{
	for (size_t i = 0; i < sets; i++)
		names_add(&n->words, set[i]);
	for (size_t i = 0; i < last->t.rows; i++) {
		const char *name = past_get(last, (long)i, "item");
		char *word;

		if (!starts_with(name, "var ") || is_set(set, sets, name + 4) ||
		    strcmp(past_get(last, (long)i, "note"), "on the command line"))
			continue;
		word = xasprintf("%s=%s", name + 4, past_get(last, (long)i, "text"));
		names_add(&n->words, word);
		free(word);
	}
	for (size_t i = 1; i < n->words.n; i++)
		buf_addf(&n->settings, "%s%s", i > 1 ? " " : "", n->words.at[i]);
}

int next_open(struct next **out, struct stores *s, const char *recipe, const char *target,
	      const struct past *last, char *const *set, size_t sets, struct err *e)
{
	struct next *n = *out = xcalloc(1, sizeof *n);

	n->runner.stores = s;
	names_add(&n->words, target);
	add_settings(n, last, set, sets);
	if (runner_open(&n->runner, recipe, n->words.at, n->words.n, e) < 0 ||
	    runner_check_tools(&n->runner, e) < 0)
		return -1;
	return next_look(&n->runner, e);
}

void next_close(struct next *n)
{
	if (!n)
		return;
	runner_close(&n->runner);
	names_release(&n->words);
	buf_release(&n->settings);
	free(n);
}

const struct past *next_of(struct next *n, const char *target)
{
	struct task *t = runner_task(&n->runner, target);

	return t ? &t->now : NULL;
}

int next_is_fresh(struct next *n, const char *target)
{
	struct task *t = runner_task(&n->runner, target);

	return t && t->state == TASK_FRESH;
}

const char *next_settings(const struct next *n)
{
	return buf_str(&n->settings);
}
