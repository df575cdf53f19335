/* Recipes from texts, and what is wanted of them: shared by the tests of recipes. */
#ifndef TESTS_RECIPE_TEXT_H
#define TESTS_RECIPE_TEXT_H

#include "tests/test.h"

#include "stages/booth/recipe.c"
#include "stages/booth/recipe_vars.c"
#include "stages/booth/recipe_lines.c"
#include "stages/booth/recipe_blocks.c"
#include "stages/booth/recipe_rules.c"
#include "stages/booth/expand.c"
#include "stages/booth/place.c"

static const char *folder;      /* set by main */

static const char *write_file(const char *name, const char *text)
{
	static char path[300];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "w");
	CHECK(f && fputs(text, f) >= 0 && !fclose(f));
	return path;
}

static int read_text(struct recipe *r, const char *text, char *const *set, struct err *e)
{
	size_t n = 0;

	while (set && set[n])
		n++;
	return recipe_read(r, write_file("a.booth", text), set, n, e);
}

/* All words of a rule, joined with '|' between stages and ',' between words. */
static const char *words_of(const struct recipe *r, const char *target)
{
	static char out[1000];
	const struct rule *rule = recipe_rule(r, target);
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; rule && i < rule->steps; i++)
		for (size_t k = 0; k < rule->step[i].words.n; k++)
			n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", k ? "," : i ? "|" : "",
					      rule->step[i].words.at[k].text);
	return out;
}

static void check_fails(const char *text, const char *sentence)
{
	struct recipe r;
	struct err e = { "no failure" };

	CHECK(read_text(&r, text, NULL, &e) < 0);
	if (!strstr(e.text, sentence)) {
		printf("# '%s'\n# has no '%s'\n", e.text, sentence);
		test_bad = 1;
	}
	recipe_release(&r);
}

/* The line that is shown, and the byte of it that is marked. */
static void check_marks(const char *text, char *const *set, const char *sentence, const char *marked)
{
	struct recipe r;
	struct err e = { "no failure" };
	const char *line, *mark;

	CHECK(read_text(&r, text, set, &e) < 0);
	line = strstr(e.text, "\n    ");
	mark = line ? strstr(line + 5, "\n    ") : NULL;
	if (!strstr(e.text, sentence) || !mark ||
	    strncmp(line + strcspn(mark + 1, "^") + 1, marked, strlen(marked))) {
		printf("# '%s'\n# does not say '%s' of '%s'\n", e.text, sentence, marked);
		test_bad = 1;
	}
	recipe_release(&r);
}

/* The commands of all rules, one a line: "target: needs = words". */
static void check_rules(const char *text, char *const *set, const char *want)
{
	struct recipe r;
	struct err e;
	struct buf b = { 0 };

	CHECK_OK(read_text(&r, text, set, &e), e);
	for (size_t i = 0; i < r.rules; i++) {
		buf_addf(&b, "%s:", r.rule[i].target);
		for (size_t k = 0; k < r.rule[i].need.n; k++)
			buf_addf(&b, " %s", r.rule[i].need.at[k].text);
		buf_addf(&b, "%s%s\n", r.rule[i].steps ? " = " : "", words_of(&r, r.rule[i].target));
	}
	CHECK_STR(buf_str(&b), want);
	buf_release(&b);
	recipe_release(&r);
}

#endif
