#include "stages/booth/recipe_read.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

struct rule *recipe_rule(const struct recipe *r, const char *target)
{
	for (size_t i = 0; i < r->rules; i++)
		if (r->rule[i].target && !strcmp(r->rule[i].target, target))
			return &r->rule[i];
	return NULL;
}

int near_limit(const char *name)
{
	int n = (int)strlen(name);

	return n < 3 ? n : 3 + n / 4;
}

const char *recipe_near(const struct recipe *r, const char *target)
{
	const char *near = NULL;
	int least = near_limit(target);

	for (size_t i = 0; i < r->rules; i++) {
		int d = r->rule[i].target ? text_distance(target, r->rule[i].target) : least;

		if (d < least) {
			least = d;
			near = r->rule[i].target;
		}
	}
	return near;
}

static int set_from_line(struct recipe *r, const char *word, struct err *e)
{
	char *name = xstrndup(word, name_length(word));
	int ret = -1;

	if (!is_assignment(word))
		fail(e, "'%s' does not set a variable, NAME=VALUE is wanted", word);
	else
		ret = var_check_value(name, word + strlen(name) + 1, e);
	if (ret == 0)
		var_set(r, NULL, name, xstrdup(word + strlen(name) + 1), VAR_LINE,
			(struct place){ 0 });
	free(name);
	return ret;
}

/* ---- cycles ---- */

enum { UNSEEN, OPEN, CLOSED };

static int find_cycle(const struct recipe *r, const struct rule *rule, unsigned char *mark,
		      struct buf *path, struct err *e)
{
	size_t at = path->len;

	if (mark[rule - r->rule] == CLOSED)
		return 0;
	buf_addf(path, "%s'%s'", at ? " needs " : "", rule->target);
	if (mark[rule - r->rule] == OPEN)
		return place_fail(e, rule->at, "a cycle: %s", buf_str(path));
	mark[rule - r->rule] = OPEN;
	for (size_t i = 0; i < rule->need.n + rule->uses.n; i++) {
		const struct word *w =
			i < rule->need.n ? &rule->need.at[i] : &rule->uses.at[i - rule->need.n];
		const struct rule *other = recipe_rule(r, w->text);

		if (other && find_cycle(r, other, mark, path, e) < 0)
			return -1;
	}
	path->len = at;
	path->at[at] = 0;
	mark[rule - r->rule] = CLOSED;
	return 0;
}

static int check_cycles(const struct recipe *r, struct err *e)
{
	unsigned char *mark = xcalloc(r->rules + 1, 1);
	struct buf path = { 0 };
	int ret = 0;

	for (size_t i = 0; i < r->rules && ret == 0; i++)
		ret = find_cycle(r, &r->rule[i], mark, &path, e);
	buf_release(&path);
	free(mark);
	return ret;
}

int recipe_read(struct recipe *r, const char *path, char *const *set, size_t sets, struct err *e)
{
	size_t items = 0;
	struct reader rd = { .recipe = r, .items = &items };

	*r = (struct recipe){ 0 };
	for (size_t i = 0; i < sets; i++)
		if (set_from_line(r, set[i], e) < 0)
			return -1;
	if (read_file(&rd, path, (struct place){ 0 }, e) < 0)
		return -1;
	if (!r->rules)
		return fail(e, "'%s' has no rules", path);
	return recipe_expand(r, e) < 0 || check_cycles(r, e) < 0 ? -1 : recipe_check_unused(r, e);
}

void rule_release(struct rule *rule)
{
	free(rule->target);
	words_release(&rule->need);
	words_release(&rule->uses);
	for (size_t k = 0; k < rule->steps; k++)
		words_release(&rule->step[k].words);
	free(rule->step);
	free(rule->line);
}

void recipe_release(struct recipe *r)
{
	for (size_t i = 0; i < r->rules; i++)
		rule_release(&r->rule[i]);
	for (size_t i = 0; i < r->sources; i++) {
		free(r->source[i]->path);
		buf_release(&r->source[i]->text);
		free(r->source[i]);
	}
	scopes_release(r);
	free(r->rule);
	free(r->source);
	*r = (struct recipe){ 0 };
}
