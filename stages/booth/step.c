/* One step: what it is known by, whether it is known, and the words that run it. */
#include "stages/booth/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/flow/why.h"

/* ---- the stage ---- */

static int check_option(const struct tool *tool, const struct word *w, struct err *e)
{
	size_t n = strcspn(w->text + 2, "=");
	const char *near;
	char *name = xstrndup(w->text + 2, n), *plain = starts_with(name, "no-") ? name + 3 : name;
	int ret = 0;

	if (!tool_option(tool, name, n) && !tool_option(tool, plain, strlen(plain))) {
		near = tool_near_option(tool, name);
		ret = near
			? place_fail(e, w->at, "'%s' has no option '--%s', did you mean '--%s'",
				     tool->name, name, near)
			: place_fail(
				  e, w->at,
				  "'%s' has no option '--%s'; booth %s --help lists those that there are",
				  tool->name, name, tool->name);
	}
	free(name);
	return ret;
}

int step_tool(struct runner *r, const struct step *s, const struct tool **out, struct err *e)
{
	const struct word *w = &s->words.at[0];
	struct names all = { 0 };
	const char *near;
	int found = tools_find(&r->tools, w->text, out, e);

	if (found == 0) {
		if (tools_names(&all, e) == 0) {
			near = tools_near(&all, w->text);
			if (near)
				place_fail(e, w->at, "there is no stage '%s', did you mean '%s'",
					   w->text, near);
			else
				place_fail(e, w->at, "there is no stage '%s'", w->text);
		}
		names_release(&all);
	}
	return found > 0 ? 0 : -1;
}

/*
 * 1: an option with a value in the next word, 0: without;
 * *row may be NULL for words that are no option.
 */
static int option_at(const struct tool *tool, const char *word, const struct tool_opt **row)
{
	size_t n;

	*row = NULL;
	if (!starts_with(word, "--") || !word[2])
		return 0;
	n = strcspn(word + 2, "=");
	*row = tool_option(tool, word + 2, n);
	if (!*row && starts_with(word, "--no-"))
		*row = tool_option(tool, word + 5, n - 3);
	return *row && strcmp((*row)->type, "flag") && !word[2 + n];
}

int runner_check_tools(struct runner *r, struct err *e)
{
	for (size_t i = 0; i < r->tasks; i++)
		for (size_t k = 0; k < r->task[i].rule->steps; k++) {
			const struct words *w = &r->task[i].rule->step[k].words;
			const struct tool *tool;
			const struct tool_opt *row;

			if (step_tool(r, &r->task[i].rule->step[k], &tool, e) < 0)
				return -1;
			for (size_t n = 1; n < w->n && tool->lists; n++) {
				if (starts_with(w->at[n].text, "--") && w->at[n].text[2] &&
				    check_option(tool, &w->at[n], e) < 0)
					return -1;
				n += (size_t)option_at(tool, w->at[n].text, &row);
			}
		}
	return 0;
}

/* ---- words ---- */

int word_resolve(struct runner *r, const struct word *w, struct buf *out, struct err *e)
{
	buf_clear(out);
	buf_adds(out, "");
	for (const char *p = w->text; *p; p++) {
		const char *to = *p == TARGET_FROM ? strchr(p, TARGET_TO) : NULL;
		struct task *t;
		char *name, text[STAGE_NAME + 1 + OID_HEX + 1];

		if (!to) {
			buf_addc(out, *p);
			continue;
		}
		name = xstrndup(p + 1, (size_t)(to - p) - 1);
		t = runner_task(r, name);
		free(name);
		if (!t)
			BUG("a word names a target that is no task");
		if (t->rule->kind == RULE_GROUP)
			return place_fail(e, w->at, "'%s' is a group and has no result",
					  t->rule->target);
		buf_adds(out,
			 t->rule->kind == RULE_FILE ? t->rule->target : ref_text(&t->result, text));
		p = to;
	}
	return 0;
}

/* A path that is an argument must not look like an option. */
static void add_path(struct names *args, const char *path)
{
	char *safe = *path == '-' ? xasprintf("./%s", path) : xstrdup(path);

	names_add(args, safe);
	free(safe);
}

/*
 * Needs that are files or folders (outside, or targets that
 * are files) are arguments of the first stage.
 */
static int is_argument(const struct runner *r, const char *need)
{
	const struct rule *other = recipe_rule(&r->recipe, need);

	return !other || other->kind == RULE_FILE;
}

int step_args(struct runner *r, struct task *t, int force, struct names *args, struct err *e)
{
	const struct words *w = &task_step(t)->words;
	const struct tool *tool;
	struct buf b = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	int by_stage, ret = -1;

	if (step_tool(r, task_step(t), &tool, e) < 0)
		return -1;
	names_add(args, tool->path);
	if (t->has_in)
		names_add(args, ref_text(&t->in, text));
	for (size_t i = 0; i < t->rule->need.n && t->step == 0; i++)
		if (is_argument(r, t->rule->need.at[i].text))
			add_path(args, t->rule->need.at[i].text);
	for (size_t i = 1; i < w->n; i++) {
		if (word_resolve(r, &w->at[i], &b, e) < 0)
			goto out;
		names_add(args, b.at);
	}
	if (step_writes_file(r, t, &by_stage, e) < 0)
		goto out;
	if (by_stage) {
		names_add(args, "--out");
		names_add(args, t->rule->target);
	}
	/* a stage that knows its result need not write the file again */
	if (force || t->rewrite)
		names_add(args, "--force");
	ret = 0;
out:
	args->at = xrealloc(args->at, (args->n + 1) * sizeof *args->at);
	args->at[args->n] = NULL;
	buf_release(&b);
	return ret;
}

int step_writes_file(struct runner *r, const struct task *t, int *by_stage, struct err *e)
{
	const struct words *w = &task_step(t)->words;
	const struct tool *tool;

	*by_stage = 0;
	if (t->rule->kind != RULE_FILE || t->step + 1 < t->rule->steps)
		return 0;
	if (step_tool(r, task_step(t), &tool, e) < 0)
		return -1;
	*by_stage = tool_option(tool, "out", 3) != NULL;
	for (size_t i = 1; i < w->n && *by_stage; i++)
		if (!strcmp(w->at[i].text, "--out") || starts_with(w->at[i].text, "--out="))
			return place_fail(e, w->at[i].at,
					  "the target is the file '%s', so '--out' is given by it",
					  t->rule->target);
	return 0;
}

/* ---- what it is known by ---- */

/*
 * A value enters by content if it is a reference or names a file or folder; as text otherwise.
 * `path` says what its option wants: 1 a path, 0 text, -1 not known.
 */
static int add_value(struct runner *r, struct action *a, const char *name, const char *value,
		     int path, struct err *e)
{
	struct ref ref;
	struct oid id;

	if (path && access(value, F_OK) == 0) {
		if (outside_hash(r->stores, value, &id, e) < 0)
			return -1;
		action_input(a, name, &id);
	} else if (path && ref_is(value)) {
		if (ref_parse(r->stores, value, &ref, e) < 0)
			return -1;
		action_input(a, name, &ref.id);
	} else {
		action_param(a, name, value);
	}
	return 0;
}

static int is_path_type(const char *type)
{
	return !strcmp(type, "path") || !strcmp(type, "paths") || !strcmp(type, "ref") ||
		!strcmp(type, "refs");
}

/* Options that every stage has and that change nothing in the result. */
static int is_common_quiet(const char *word)
{
	static const char *const quiet[] = { "--store", "--quiet", "--force", "--threads", NULL };

	for (int i = 0; quiet[i]; i++)
		if (!strncmp(word, quiet[i], strlen(quiet[i])) &&
		    strchr("=", word[strlen(quiet[i])]))
			return 1;
	return 0;
}

/* The option at word i; *used is 2 if it took the next word as its value. */
static int add_option(struct runner *r, struct task *t, const struct tool *tool, size_t i,
		      size_t *used, struct err *e)
{
	const struct words *w = &task_step(t)->words;
	const struct tool_opt *row;
	struct buf word = { 0 }, value = { 0 };
	int next, ret = -1;
	char *equals;

	if (word_resolve(r, &w->at[i], &word, e) < 0)
		goto out;
	next = option_at(tool, word.at, &row);
	if (!tool->lists && starts_with(word.at, "--") && !strchr(word.at, '='))
		next = i + 1 < w->n && !starts_with(w->at[i + 1].text, "--");
	next = next && i + 1 < w->n;
	*used = next ? 2 : 1;
	equals = starts_with(word.at, "--") ? strchr(word.at, '=') : NULL;
	if (next && word_resolve(r, &w->at[i + 1], &value, e) < 0)
		goto out;
	if (equals) {
		*equals = 0;
		buf_adds(&value, equals + 1);
	}
	if ((row && row->quiet) || is_common_quiet(word.at))
		ret = 0;
	else if (!starts_with(word.at, "--") || !word.at[2])
		ret = add_value(r, &t->action, "word", word.at, -1, e);
	else if (next || equals)
		ret = add_value(r, &t->action, word.at + 2, buf_str(&value),
				row ? is_path_type(row->type) : -1, e);
	else
		ret = add_value(r, &t->action, word.at + 2, "given", 0, e);
out:
	if (ret < 0 && !strchr(e->text, '\n')) {
		struct err inner = *e;

		place_fail(e, w->at[i].at, "%s", inner.text);
	}
	buf_release(&word);
	buf_release(&value);
	return ret;
}

int step_action(struct runner *r, struct task *t, struct err *e)
{
	const struct step *s = task_step(t);
	const struct tool *tool;
	size_t used;

	if (step_tool(r, s, &tool, e) < 0)
		return -1;
	action_release(&t->action);
	action_begin(&t->action, "run", 1, "step");
	action_paramf(&t->action, "executable", "%s %s", tool->name, tool->version);
	if (t->has_in)
		action_input(&t->action, "in", &t->in.id);
	for (size_t i = 0; i < t->rule->need.n && t->step == 0; i++)
		if (is_argument(r, t->rule->need.at[i].text) &&
		    add_value(r, &t->action, "path", t->rule->need.at[i].text, 1, e) < 0)
			return err_prefix(e, "%s", t->rule->target);
	for (size_t i = 1; i < s->words.n; i += used)
		if (add_option(r, t, tool, i, &used, e) < 0)
			return -1;
	if (t->rule->kind == RULE_FILE && t->step + 1 == t->rule->steps)
		action_param(&t->action, "out", t->rule->target);
	return 0;
}

/* ---- known? ---- */

/* "input in changed" says little: name where the main input comes from, and the file or folder. */
static void name_inputs(struct runner *r, const struct task *t, struct buf *why)
{
	static const char *const says[2] = { "input in changed", "input path changed" };
	const char *from[2] = { NULL, NULL };
	struct buf b = { 0 };
	char *at;

	if (t->step > 0)
		from[0] = t->rule->step[t->step - 1].words.at[0].text;
	for (size_t i = 0; i < t->rule->need.n; i++) {
		const char *need = t->rule->need.at[i].text;
		int path = is_argument(r, need);

		if (path || (!from[0] && recipe_rule(&r->recipe, need)->kind == RULE_RESULT))
			from[path] = from[path] && path ? "a file or folder that it needs" : need;
	}
	for (int k = 0; k < 2; k++)
		if (from[k] && (at = strstr(buf_str(why), says[k]))) {
			buf_addf(&b, "%.*s%s'%s' changed%s", (int)(at - why->at), why->at,
				 k ? "" : "the result of ", from[k], at + strlen(says[k]));
			buf_clear(why);
			buf_add(why, b.at, b.len);
			buf_clear(&b);
		}
	buf_release(&b);
}

static void say_why(struct runner *r, struct task *t)
{
	long row = past_step(&t->past, t->step);
	const char *old = past_get(&t->past, row, "text");

	if (r->always)
		buf_adds(&t->why, "asked for by -B");
	else if (!t->past.found || row < 0)
		buf_adds(&t->why, "it never ran");
	else if (!action_diff(old, buf_str(&t->action.text), &t->why))
		buf_adds(&t->why, "its recorded result is gone");
	else
		name_inputs(r, t, &t->why);
}

int step_known(struct runner *r, struct task *t, struct result *out, struct err *e)
{
	int found;

	t->rewrite = 0;
	buf_clear(&t->why);
	if (step_action(r, t, e) < 0)
		return -1;
	found = r->always ? 0 : store_find(r->stores, &t->action, out, e);
	if (found > 0) {
		found = files_same(r, buf_str(&out->note), &t->why, e);
		t->rewrite = found == 0;
	}
	if (found == 0 && !t->why.len)
		say_why(r, t);
	return found;
}

/* ---- looking only ---- */

static int look_task(struct runner *r, struct task *t, struct err *e)
{
	struct result known = { 0 };
	int found = 1;

	for (size_t i = 0; i < t->needs; i++)
		if (t->need[i]->state != TASK_FRESH) {
			t->state = TASK_UNSURE;
			return 0;
		}
	t->state = TASK_FRESH;
	if (t->rule->kind == RULE_GROUP)
		return 0;
	task_first_step(t);
	do {
		result_release(&known);
		found = step_known(r, t, &known, e);
	} while (found > 0 && step_take(t, &known.out));
	if (found == 0)
		t->state = TASK_STALE;
	result_release(&known);
	return found < 0 ? -1 : 0;
}

int runner_look(struct runner *r, struct err *e)
{
	stores_only_look(r->stores);
	for (size_t i = 0; i < r->tasks; i++)
		if (look_task(r, &r->task[i], e) < 0)
			return -1;
	return 0;
}
