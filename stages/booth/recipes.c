/* Commands about a recipe: run, status, explain RECIPE, graph. */
#include "stages/booth/booth.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "common/flow/lock.h"
#include "stages/booth/made.h"
#include "stages/booth/next.h"
#include "stages/booth/plan.h"
#include "stages/booth/run.h"

static int open_recipe(struct runner *r, struct stores *s, char **words, int n, struct err *e)
{
	char *path = tool_recipe(words[0]);
	int ret;

	r->stores = s;
	ret = runner_open(r, path, words + 1, (size_t)n - 1, e);
	free(path);
	return ret;
}

/* ---- run ---- */

/* Short options of make, spelt out; "-j 4" and "-j4" alike. The words are the caller's to release. */
static void spell_out(int argc, char **argv, struct names *out)
{
	static const char *const shorts[][2] = { { "-n", "--dry-run" },
						 { "-k", "--keep-going" },
						 { "-B", "--always" },
						 { "-j", "--jobs" },
						 { "-q", "--quiet" } };

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		for (size_t k = 0; k < sizeof shorts / sizeof *shorts; k++)
			if (!strcmp(argv[i], shorts[k][0]))
				word = shorts[k][1];
		names_add(out, starts_with(word, "-j") ? "--jobs" : word);
		if (starts_with(word, "-j"))
			names_add(out, word + 2);
	}
}

static int run_words(int argc, char **argv, const struct command *c)
{
	int dry = 0, keep = 0, always = 0, explain = 0, quiet = 0, words, code, lock = -1;
	int64_t jobs = 1;
	struct stores *s = NULL;
	struct runner r = { 0 };
	struct err e;
	const struct opt rows[] = {
		{ "dry-run", OPT_FLAG, &dry, "", "-n: say what would run and why, run nothing",
		  .quiet = 1 },
		{ "jobs", OPT_INT, &jobs, "rules", "-j N: independent rules at the same time",
		  .min = 1, .max = 256 },
		{ "keep-going", OPT_FLAG, &keep, "",
		  "-k: when a rule fails, go on with those that don't need it", .quiet = 1 },
		{ "always", OPT_FLAG, &always, "", "-B: run everything, known or not", .quiet = 1 },
		{ "explain", OPT_FLAG, &explain, "",
		  "before a stage starts, say why, where its rule is, and its command in full", .quiet = 1 },
		{ "quiet", OPT_FLAG, &quiet, "", "-q: no talk", .quiet = 1 },
		{ 0 }
	};

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1) {
		stores_close(s);
		return command_usage(c, "no recipe was given");
	}
	if (quiet)
		setenv("BOOTH_QUIET", "1", 1);
	code = 1;
	if (open_recipe(&r, s, argv + 1, words, &e) < 0 ||
	    (lock = lock_take(stores_root(s), 0, &e)) < 0 || runner_check_tools(&r, &e) < 0) {
		command_failed(&e);
		goto out;
	}
	r.jobs = (int)jobs;
	r.keep_going = keep;
	r.always = always;
	r.explain = explain;
	if (!dry) {
		code = runner_run(&r);
	} else if (next_look(&r, &e) < 0 || plan_print(&r, &e) < 0) {
		command_failed(&e);
	} else {
		code = 0;
	}
out:
	if (lock >= 0)
		close(lock);
	runner_close(&r);
	stores_close(s);
	return code;
}

int cmd_run(int argc, char **argv, const struct command *c)
{
	struct names words = { 0 };
	char **copy;
	int code;

	spell_out(argc, argv, &words);
	/*
	 * opt_parse moves words about, so they are freed
	 * from the list and not from what it was given
	 */
	copy = xcalloc(words.n + 1, sizeof *copy);
	memcpy(copy, words.at, words.n * sizeof *copy);
	code = run_words((int)words.n, copy, c);
	free(copy);
	names_release(&words);
	return code;
}

/* ---- explain ---- */

static void put_word(struct buf *b, const char *text)
{
	int plain = *text && !strpbrk(text, " \t\"'\\|&;<>`()#*?~");

	buf_adds(b, plain ? "" : "\"");
	for (; *text; text++) {
		if (*text == TARGET_FROM)
			buf_adds(b, "$(");
		else if (*text == TARGET_TO)
			buf_addc(b, ')');
		else if (*text == '"' || (*text == '\\' && !plain))
			buf_addf(b, "\\%c", *text);
		else
			buf_addc(b, *text);
	}
	buf_adds(b, plain ? "" : "\"");
}

static void put_rule(const struct rule *rule, struct buf *b)
{
	buf_addf(b, "%s:", rule->target);
	for (size_t i = 0; i < rule->need.n; i++) {
		buf_addc(b, ' ');
		put_word(b, rule->need.at[i].text);
	}
	buf_adds(b, rule->steps ? "\n\t" : "\n");
	for (size_t i = 0; i < rule->steps; i++)
		for (size_t k = 0; k < rule->step[i].words.n; k++) {
			buf_adds(b, k ? " " : i ? " | \\\n\t" : "");
			put_word(b, rule->step[i].words.at[k].text);
		}
	buf_adds(b, rule->steps ? "\n" : "");
}

static void put_vars(const struct recipe *r, struct buf *b)
{
	static const char *const from[] = { "recipe, ?=", "recipe", "environment", "command line" };

	for (size_t i = 0; i < r->vars; i++)
		buf_addf(b, "%s = %s\t# %s\n", r->var[i].name, r->var[i].value,
			 from[r->var[i].from]);
	buf_addc(b, '\n');
}

/* What each training would take, as far as its input is there. */
static void put_memory(struct runner *r, struct task *t, int looked, struct buf *b)
{
	for (size_t i = 0; i < t->rule->steps; i++) {
		struct buf plan = { 0 };
		struct err e;
		int found;

		if (strcmp(t->rule->step[i].words.at[0].text, "train"))
			continue;
		found = looked ? plan_memory(r, t, i, &plan, &e) : 0;
		if (found <= 0)
			buf_adds(b, "\t# the memory of train is known when its input is there\n");
		for (char *at = plan.at, *line; found > 0 && (line = strsep(&at, "\n"));)
			if (*line)
				buf_addf(b, "\t# %s\n", line);
		buf_release(&plan);
	}
}

static int explain_recipe(struct stores *s, char **argv, int words)
{
	struct runner r = { 0 };
	struct buf b = { 0 };
	struct err e, ignored;
	int code = 0, checked, looked;

	if (open_recipe(&r, s, argv, words, &e) < 0) {
		code = command_failed(&e);
	} else {
		checked = runner_check_tools(&r, &e) == 0;
		looked = checked && next_look(&r, &ignored) == 0;
		put_vars(&r.recipe, &b);
		for (size_t i = 0; i < r.tasks; i++) {
			put_rule(r.task[i].rule, &b);
			put_memory(&r, &r.task[i], looked, &b);
		}
		fputs(buf_str(&b), stdout);
		if (!checked)
			code = command_failed(&e);
	}
	buf_release(&b);
	runner_close(&r);
	return code;
}

int cmd_explain(int argc, char **argv, const struct command *c)
{
	const struct opt rows[] = { { 0 } };
	struct stores *s = NULL;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1)
		code = command_usage(c, "no recipe or reference was given");
	else if (ref_is(argv[1]) && access(argv[1], F_OK) < 0)
		code = explain_ref(s, argv[1]);
	else
		code = explain_recipe(s, argv + 1, words);
	stores_close(s);
	return code;
}

/* ---- graph ---- */

static void put_quoted(struct buf *b, const char *text)
{
	buf_addc(b, '"');
	for (; *text; text++)
		buf_addf(b, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	buf_addc(b, '"');
}

static void put_stages(const struct rule *rule, const char *between, struct buf *b)
{
	for (size_t i = 0; i < rule->steps; i++)
		buf_addf(b, "%s%s", i ? between : "", rule->step[i].words.at[0].text);
}

static void put_dot(const struct rule *rule, struct buf *b)
{
	static const char *const shape[] = { "box", "note", "ellipse" };
	const struct words *list[2] = { &rule->need, &rule->uses };

	buf_adds(b, "\t");
	put_quoted(b, rule->target);
	buf_addf(b, " [shape=%s tooltip=\"", shape[rule->kind]);
	put_stages(rule, " | ", b);
	buf_adds(b, "\"]\n");
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < list[k]->n; i++) {
			buf_adds(b, "\t");
			put_quoted(b, list[k]->at[i].text);
			buf_adds(b, " -> ");
			put_quoted(b, rule->target);
			buf_adds(b, k ? " [style=dashed]\n" : "\n");
		}
}

static void put_node(const struct rule *rule, struct buf *b)
{
	const struct words *list[2] = { &rule->need, &rule->uses };

	buf_addf(b, "%s\t", rule->target);
	put_stages(rule, " | ", b);
	buf_adds(b, "\t");
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < list[k]->n; i++)
			buf_addf(b, "%s%s", k || i ? ", " : "<- ", list[k]->at[i].text);
	buf_addc(b, '\n');
}

/*
 * For completion: targets, then variables as NAME=, a line each. Whether files are there is not
 * asked: the variables that name them may be what is to be completed.
 */
static int print_names(const char *word, struct err *e)
{
	struct recipe r = { 0 };
	char *path = tool_recipe(word);
	int ret = recipe_read(&r, path, NULL, 0, e);

	for (size_t i = 0; i < r.rules && ret == 0; i++)
		puts(r.rule[i].target);
	for (size_t i = 0; i < r.vars && ret == 0; i++)
		printf("%s=\n", r.var[i].name);
	recipe_release(&r);
	free(path);
	return ret;
}

int cmd_graph(int argc, char **argv, const struct command *c)
{
	int dot = 0, names = 0, words, code;
	const struct opt rows[] = {
		{ "dot", OPT_FLAG, &dot, "", "print it for Graphviz", .quiet = 1 },
		{ "names", OPT_FLAG, &names, "", "print only the names of targets, and of variables with a '='",
		  .quiet = 1 },
		{ 0 }
	};
	struct stores *s = NULL;
	struct runner r = { 0 };
	struct buf b = { 0 };
	struct err e;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1) {
		stores_close(s);
		return command_usage(c, "no recipe was given");
	}
	if (names ? print_names(argv[1], &e) < 0 : open_recipe(&r, s, argv + 1, words, &e) < 0) {
		code = command_failed(&e);
	} else if (!names) {
		for (size_t i = 0; i < r.tasks; i++)
			(dot ? put_dot : put_node)(r.task[i].rule, &b);
		if (dot)
			printf("digraph recipe {\n\trankdir=LR\n%s}\n", buf_str(&b));
		else
			print_columns(buf_str(&b));
	}
	buf_release(&b);
	runner_close(&r);
	stores_close(s);
	return code;
}
