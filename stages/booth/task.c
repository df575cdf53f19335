/* Tasks: what is wanted, in order; and the last run of each. */
#include "stages/booth/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"

struct task *runner_task(struct runner *r, const char *target)
{
	for (size_t i = 0; i < r->tasks; i++)
		if (!strcmp(r->task[i].rule->target, target))
			return &r->task[i];
	return NULL;
}

/* What is needed and no target must be there. */
static int check_outside(const struct recipe *recipe, const struct word *w, struct err *e)
{
	const char *near;

	if (access(w->text, F_OK) == 0)
		return 0;
	near = recipe_near(recipe, w->text);
	if (near && !strchr(w->text, '/'))
		return place_fail(
			e, w->at,
			"'%s' is neither a target nor a file or folder, did you mean '%s'", w->text,
			near);
	return place_fail(e, w->at, "'%s' is neither a target nor a file or folder", w->text);
}

/* Tasks are kept in one array of all rules' size, so pointers to them stay good. */
static int add_task(struct runner *r, const struct rule *rule, struct err *e)
{
	const struct words *list[2] = { &rule->need, &rule->uses };
	size_t most = rule->need.n + rule->uses.n, needs = 0;
	struct task **need = xcalloc(most + 1, sizeof *need), *t;

	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < list[k]->n; i++) {
			const struct word *w = &list[k]->at[i];
			const struct rule *other = recipe_rule(&r->recipe, w->text);

			if (!other ? check_outside(&r->recipe, w, e) < 0 :
			    !runner_task(r, w->text) && add_task(r, other, e) < 0) {
				free(need);
				return -1;
			}
			if (other)
				need[needs++] = runner_task(r, w->text);
		}
	t = &r->task[r->tasks++];
	*t = (struct task){ .rule = rule, .need = need, .needs = needs };
	return past_read(&t->past, r->stores, r->recipe_name, rule->target, e);
}

static int add_target(struct runner *r, const char *target, struct err *e)
{
	const struct rule *rule = recipe_rule(&r->recipe, target);
	const char *near = recipe_near(&r->recipe, target);

	if (!rule && near)
		return fail(e, "%s: there is no target '%s', did you mean '%s'", r->recipe_name,
			    target, near);
	if (!rule)
		return fail(e, "%s: there is no target '%s'", r->recipe_name, target);
	if (!runner_task(r, target) && add_task(r, rule, e) < 0)
		return -1;
	runner_task(r, target)->wanted = 1;
	return 0;
}

static int is_needed(const struct recipe *recipe, const char *target)
{
	for (size_t i = 0; i < recipe->rules; i++) {
		const struct words *list[2] = { &recipe->rule[i].need, &recipe->rule[i].uses };

		for (int k = 0; k < 2; k++)
			for (size_t n = 0; n < list[k]->n; n++)
				if (!strcmp(list[k]->at[n].text, target))
					return 1;
	}
	return 0;
}

static int add_ends(struct runner *r, struct err *e)
{
	if (recipe_rule(&r->recipe, "all"))
		return add_target(r, "all", e);
	for (size_t i = 0; i < r->recipe.rules; i++)
		if (!is_needed(&r->recipe, r->recipe.rule[i].target) &&
		    add_target(r, r->recipe.rule[i].target, e) < 0)
			return -1;
	return 0;
}

/* How records name a recipe: the same from wherever it is called with the same working folder. */
static char *name_of(const char *path)
{
	char *real = realpath(path, NULL), *cwd = getcwd(NULL, 0), *name;
	size_t n = cwd ? strlen(cwd) : 0;

	if (real && n && !strncmp(real, cwd, n) && real[n] == '/')
		name = xstrdup(real + n + 1);
	else
		name = xstrdup(real ? real : path);
	free(real);
	free(cwd);
	return name;
}

int runner_open(struct runner *r, const char *recipe, char *const *words, size_t n, struct err *e)
{
	size_t targets = 0;
	char **set = xcalloc(n + 1, sizeof *set), **target = xcalloc(n + 1, sizeof *target);
	int ret = -1;

	for (size_t i = 0; i < n; i++)
		if (is_assignment(words[i]))
			set[r->sets++] = words[i];
		else
			target[targets++] = words[i];
	r->set = set;
	r->recipe_name = r->name_owned = name_of(recipe);
	tools_begin(&r->tools, r->stores);
	if (recipe_read(&r->recipe, recipe, set, r->sets, e) < 0)
		goto out;
	r->task = xcalloc(r->recipe.rules, sizeof *r->task);
	for (size_t i = 0; i < targets; i++)
		if (add_target(r, target[i], e) < 0)
			goto out;
	if (!targets && add_ends(r, e) < 0)
		goto out;
	ret = 0;
out:
	free(target);
	return ret;
}

void runner_close(struct runner *r)
{
	for (size_t i = 0; i < r->tasks; i++) {
		struct task *t = &r->task[i];

		free(t->need);
		past_release(&t->past);
		past_release(&t->now);
		action_release(&t->action);
		buf_release(&t->why);
		child_release(&t->child);
	}
	free(r->task);
	recipe_release(&r->recipe);
	tools_release(&r->tools);
	free(r->name_owned);
	free((void *)r->set);
	*r = (struct runner){ 0 };
}

const struct step *task_step(const struct task *t)
{
	return &t->rule->step[t->step];
}

/* The main input of the first step is the first needed target that has a result. */
void task_first_step(struct task *t)
{
	t->step = 0;
	t->has_in = t->checked = 0;
	past_begin(&t->now);
	for (size_t i = 0; i < t->needs; i++) {
		char *item = xasprintf("need %s", t->need[i]->rule->target);

		if (past_row(&t->now, item) < 0)
			past_add(&t->now, item,
				 t->need[i]->rule->kind == RULE_GROUP ? NULL : &t->need[i]->result);
		free(item);
	}
	for (size_t i = 0; i < t->needs && i < t->rule->need.n && !t->has_in; i++) {
		const struct rule *other = t->need[i]->rule;

		for (size_t k = 0; k < t->rule->need.n; k++)
			if (other->kind == RULE_RESULT &&
			    !strcmp(t->rule->need.at[k].text, other->target)) {
				t->in = t->need[i]->result;
				t->has_in = 1;
			}
	}
}

int step_take(struct task *t, const struct ref *result)
{
	t->in = *result;
	t->has_in = 1;
	t->checked = 0;
	if (++t->step < t->rule->steps)
		return 1;
	t->result = *result;
	return 0;
}
