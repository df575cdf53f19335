/* The second half of reading a recipe: what its rules come to when all variables are known. */
#include "stages/booth/recipe_read.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define FAILURES_TOLD 4         /* rules that fail; then the rest is not looked at */

static int looks_like_file(const char *target)
{
	static const char *const suffix[] = {
		".png", ".jpg", ".jpeg", ".webp", ".safetensors", ".ckpt", ".pt", ".bin", ".tsv", ".csv",
		".txt", ".json", ".dot", NULL
	};

	if (strchr(target, '/'))
		return 1;
	for (int i = 0; suffix[i]; i++)
		if (ends_with(target, suffix[i]) && strlen(target) > strlen(suffix[i]))
			return 1;
	return 0;
}

/* There is one of that name: only groups add up. */
static int check_twice(const struct recipe *r, struct rule *rule, const struct rule *other,
		       const char *target, struct err *e)
{
	if (rule->kind == RULE_GROUP && other->kind == RULE_GROUP) {
		rule->joins = 1 + (size_t)(other - r->rule);
		return 0;
	}
	if (rule->at.source == other->at.source && rule->at.at == other->at.at)
		return place_fail(e, rule->at,
				  "each item of 'for %s' makes the target '%s'; put $(%s) into its name",
				  rule->scope->var[0].name, target, rule->scope->var[0].name);
	return place_fail(e, rule->at, "target '%s' has a rule already, in %s:%d", target,
			  other->at.source->path, place_line(other->at));
}

static int check_target(const struct recipe *r, struct rule *rule, const char *target, struct err *e)
{
	const struct rule *other = recipe_rule(r, target);

	if (!*target)
		return place_fail(e, rule->at, "the target is empty");
	if (!strcmp(target, ".PHONY"))
		return place_fail(e, rule->at,
				  "'.PHONY' is not needed: a target without a command is a group");
	if (strchr(target, '%') && !looks_like_file(target))
		return place_fail(e, rule->at, "'%%' has no meaning here: 'for NAME in ...' makes one rule for many targets");
	if (scope_var(r, rule->scope, target))
		return place_fail(e, rule->at, "'%s' is a variable too, so $(%s) would be ambiguous",
				  target, target);
	if (looks_like_file(target)) {
		if (rule->kind == RULE_GROUP)
			return place_fail(e, rule->at, "file '%s' has no command that writes it",
					  target);
		rule->kind = RULE_FILE;
	}
	return other ? check_twice(r, rule, other, target, e) : 0;
}

static int expand_target(struct recipe *r, struct rule *rule, struct err *e)
{
	struct words w = { 0 };
	int ret = rule_words(r, rule, rule->head, 0, &w, NULL, e);

	if (ret == 0 && w.n != 1)
		ret = place_fail(e, rule->at, "a rule has one target, here are %zu words", w.n);
	if (ret == 0)
		ret = check_target(r, rule, w.at[0].text, e);
	if (ret == 0)
		rule->target = xstrdup(w.at[0].text);
	words_release(&w);
	return ret;
}

static struct step *add_step(struct rule *rule)
{
	rule->step = grow(rule->step, rule->steps, &rule->cap_steps, sizeof *rule->step);
	rule->step[rule->steps] = (struct step){ 0 };
	return &rule->step[rule->steps++];
}

static int expand_command(struct recipe *r, struct rule *rule, struct err *e)
{
	struct words w = { 0 };
	struct step *step = add_step(rule);
	int ret = 0;

	for (size_t i = 0; i < rule->lines && ret == 0; i++)
		ret = rule_words(r, rule, rule->line[i], 1, &w, &rule->uses, e);
	for (size_t i = 0; i < w.n && ret == 0; i++) {
		if (strcmp(w.at[i].text, WORD_BAR)) {
			words_add(&step->words, w.at[i].text, strlen(w.at[i].text), w.at[i].at);
		} else if (!step->words.n || i + 1 == w.n) {
			ret = place_fail(e, w.at[i].at, "a stage is missing %s '|'",
					 step->words.n ? "after" : "before");
		} else {
			step = add_step(rule);
		}
	}
	if (ret == 0 && !step->words.n)
		ret = place_fail(e, rule->line[0].from, "the command is empty");
	words_release(&w);
	return ret;
}

/* A target in the middle of a word of needs makes no sense: it is named without $( ). */
static int expand_needs(struct recipe *r, struct rule *rule, struct err *e)
{
	struct words uses = { 0 };
	int ret = rule_words(r, rule, rule->body, 0, &rule->need, &uses, e);

	for (size_t i = 0; i < rule->need.n && ret == 0; i++) {
		char *t = rule->need.at[i].text, *to = strchr(t, TARGET_TO);

		if (*t == TARGET_FROM && to && !to[1]) {        /* "a: $(b)" means "a: b" */
			memmove(t, t + 1, (size_t)(to - t) - 1);
			to[-1] = 0;
		} else if (strchr(t, TARGET_FROM)) {
			ret = place_fail(
				e, rule->need.at[i].at,
				"the result of a target can't be part of a longer name here");
		}
	}
	words_release(&uses);
	return ret;
}

static int expand_rule(struct recipe *r, struct rule *rule, struct err *e)
{
	if (expand_needs(r, rule, e) < 0)
		return -1;
	if (rule->kind == RULE_GROUP && !rule->need.n)
		return place_fail(e, rule->at,
				  "target '%s' has neither a command nor anything it needs",
				  rule->target);
	return rule->kind == RULE_GROUP ? 0 : expand_command(r, rule, e);
}

/* For which items a rule failed, below the sentence. */
static void tell_items(const struct rule *rule, struct err *e)
{
	struct buf b = { 0 };

	for (const struct scope *s = rule->scope; s; s = s->up)
		buf_addf(&b, "%s%s = %s", b.len ? ", " : "\n    with ", s->var[0].name,
			 s->var[0].value);
	if (b.len && strlen(e->text) + b.len < sizeof e->text)
		strcat(e->text, b.at);
	buf_release(&b);
}

static int has_word(const struct words *w, const char *text)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->at[i].text, text))
			return 1;
	return 0;
}

/* What the groups of one name need becomes the first one's, and the others go. */
static void join_groups(struct recipe *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->rules; i++) {
		struct rule *rule = &r->rule[i], *first = &r->rule[rule->joins ? rule->joins - 1 : 0];

		for (size_t k = 0; k < rule->need.n && rule->joins; k++)
			if (!has_word(&first->need, rule->need.at[k].text))
				words_add(&first->need, rule->need.at[k].text,
					  strlen(rule->need.at[k].text), rule->need.at[k].at);
	}
	for (size_t i = 0; i < r->rules; i++)
		if (r->rule[i].joins)
			rule_release(&r->rule[i]);
		else
			r->rule[kept++] = r->rule[i];
	r->rules = kept;
}

int recipe_expand(struct recipe *r, struct err *e)
{
	int n = 0;

	for (int half = 0; half < 2 && !n; half++)
		for (size_t i = 0; i < r->rules && n < FAILURES_TOLD; i++) {
			struct err one;

			if ((half ? expand_rule : expand_target)(r, &r->rule[i], &one) < 0 &&
			    place_join(e, &one, &n))
				tell_items(&r->rule[i], e);
		}
	if (!n)
		join_groups(r);
	return n ? -1 : 0;
}
