/* Variables replaced and words split: the second half of reading a recipe. */
#include "stages/booth/recipe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define DEPTH_LIMIT 32          /* variables within variables */

struct splitter {
	const struct recipe *recipe;
	const struct source *source;
	struct words *words;    /* a word with text "|" and bar set ends a stage */
	struct words *uses;     /* targets that were named, or NULL: none may be */
	struct buf word;
	int have;               /* a word was begun (it may be empty: "") */
	struct place at;        /* where it was begun */
	int commands;           /* '|' joins stages, other operators are refused */
};

static const char BAR[] = "\3"; /* the text of the word that stands for an unquoted '|' */

/* ---- $(NAME) ---- */

static int unknown_name(const struct recipe *r, const char *name, struct place at, struct err *e)
{
	const char *near = recipe_near(r, name);
	int least = near ? text_distance(name, near) : 3 + (int)strlen(name) / 4;

	for (size_t i = 0; i < r->vars; i++)
		if (text_distance(name, r->var[i].name) < least) {
			near = r->var[i].name;
			least = text_distance(name, near);
		}
	if (near)
		return place_fail(e, at, "there is no variable or target '%s', did you mean '%s'",
				  name, near);
	return place_fail(e, at, "there is no variable or target '%s'", name);
}

static int put_value(const struct splitter *s, const char *text, size_t len, struct place at,
		     struct buf *out, int depth, struct err *e);

/* The name's variable or target, into out. */
static int put_name(const struct splitter *s, const char *name, struct place at, struct buf *out,
		    int depth, struct err *e)
{
	const struct var *v = recipe_var(s->recipe, name);
	const char *home = getenv("HOME"), *value;

	if (depth > DEPTH_LIMIT)
		return place_fail(e, at, "variable '%s' needs itself", name);
	if (!v && s->uses && recipe_rule(s->recipe, name)) {
		words_add(s->uses, name, strlen(name), at);
		buf_addf(out, "%c%s%c", TARGET_FROM, name, TARGET_TO);
		return 0;
	}
	if (!v)
		return unknown_name(s->recipe, name, at, e);
	value = v->value;
	if (home && starts_with(value, "~/")) {
		buf_adds(out, home);
		value++;
	}
	/* values from the command line and the environment are text, nothing in them is replaced */
	if (v->from == VAR_LINE || v->from == VAR_ENVIRONMENT) {
		buf_adds(out, value);
		return 0;
	}
	return put_value(s, value, strlen(value), v->at, out, depth + 1, e);
}

/* At a '$': append what it stands for; *used bytes were taken. `at` is for the failure. */
static int put_dollar(const struct splitter *s, const char *p, const char *end, size_t *used,
		      struct place at, struct buf *out, int depth, struct err *e)
{
	const char *close;
	char *name;
	int ret;

	if (p + 1 < end && p[1] == '$') {
		buf_addc(out, '$');
		*used = 2;
		return 0;
	}
	close = p + 1 < end && p[1] == '(' ? memchr(p, ')', (size_t)(end - p)) : NULL;
	if (!close)
		return place_fail(e, at, "'$' begins '$(NAME)'; a dollar sign is '$$'");
	name = xstrndup(p + 2, (size_t)(close - p - 2));
	*used = (size_t)(close - p) + 1;
	ret = put_name(s, name, at, out, depth, e);
	free(name);
	return ret;
}

static int put_value(const struct splitter *s, const char *text, size_t len, struct place at,
		     struct buf *out, int depth, struct err *e)
{
	const char *end = text + len;
	size_t used;

	for (; text < end; text += used) {
		used = 1;
		if (*text != '$')
			buf_addc(out, *text);
		else if (put_dollar(s, text, end, &used, at, out, depth, e) < 0)
			return -1;
	}
	return 0;
}

int expand_text(const struct recipe *r, struct range where, struct buf *out, struct err *e)
{
	const struct splitter s = { .recipe = r };

	buf_adds(out, "");
	return put_value(&s, where.from.source->text.at + where.from.at, where.end - where.from.at,
			 where.from, out, 0, e);
}

/* ---- words ---- */

static void end_word(struct splitter *s)
{
	if (s->have)
		words_add(s->words, buf_str(&s->word), s->word.len, s->at);
	buf_clear(&s->word);
	s->have = 0;
}

static void begin_word(struct splitter *s, struct place at)
{
	if (!s->have)
		s->at = at;
	s->have = 1;
}

/* A value outside of quotes: split at blanks, quotes taken away, nothing else is special. */
static int split_value(struct splitter *s, const char *p, struct place at, struct err *e)
{
	char quote = 0;

	for (; *p; p++) {
		if (quote ? *p == quote : (*p == '"' || *p == '\'')) {
			begin_word(s, at);
			quote = quote ? 0 : *p;
		} else if (!quote && isspace((unsigned char)*p)) {
			end_word(s);
		} else {
			begin_word(s, at);
			buf_addc(&s->word, *p);
		}
	}
	if (quote)
		return place_fail(
			e, at,
			"a quote %c in this value is not closed; put the variable between double quotes to take it as it is",
			quote);
	return 0;
}

static int split_dollar(struct splitter *s, const char *p, const char *end, size_t *used,
			int quoted, struct place at, struct err *e)
{
	struct buf value = { 0 };
	int ret = put_dollar(s, p, end, used, at, &value, 0, e);

	if (ret == 0 && quoted)
		buf_adds(&s->word, buf_str(&value));
	else if (ret == 0)
		ret = split_value(s, buf_str(&value), at, e);
	buf_release(&value);
	return ret;
}

/* The inside of quotes, up to the closing one; *at is moved behind it. */
static int split_quoted(struct splitter *s, const char *text, size_t *at, size_t end, struct err *e)
{
	struct place open = { s->source, *at };
	char quote = text[(*at)++];

	begin_word(s, open);
	while (*at < end && text[*at] != quote) {
		size_t used = 1;
		char c = text[*at], next = *at + 1 < end ? text[*at + 1] : 0;

		if (c == '\n')
			break;
		if (c == '$') {
			if (split_dollar(s, text + *at, text + end, &used, 1,
					 (struct place){ s->source, *at }, e) < 0)
				return -1;
		} else if (c == '\\' && quote == '"' && next && strchr("\"\\\n", next)) {
			if (next != '\n')
				buf_addc(&s->word, next);
			used = 2;
		} else {
			buf_addc(&s->word, c);
		}
		*at += used;
	}
	if (*at >= end || text[*at] != quote)
		return place_fail(e, open, "this quote is not closed");
	++*at;
	return 0;
}

/* One character or group outside of quotes; *at is moved behind it. */
static int split_plain(struct splitter *s, const char *text, size_t *at, size_t end, struct err *e)
{
	struct place here = { s->source, *at };
	char c = text[*at], next = *at + 1 < end ? text[*at + 1] : 0;
	const char *home = getenv("HOME");
	size_t used = 1;

	if (c == '\\' && next) {
		used = 2;
		if (next == '\n') {
			end_word(s);
		} else {
			begin_word(s, here);
			buf_addc(&s->word, next);
		}
	} else if (isspace((unsigned char)c)) {
		end_word(s);
	} else if (c == '$') {
		/* an empty value outside of quotes is no word, as in the shell */
		if (split_dollar(s, text + *at, text + end, &used, 0, here, e) < 0)
			return -1;
	} else if (s->commands && c == '|') {
		end_word(s);
		words_add(s->words, BAR, 1, here);
	} else if (s->commands && strchr("&;<>`()", c)) {
		return place_fail(
			e, here,
			"'%c' has no meaning here: a command is stages joined by '|'; quote it if it is part of a word",
			c);
	} else {
		if (c == '~' && next == '/' && !s->have && home) {
			begin_word(s, here);
			buf_adds(&s->word, home);
		} else {
			begin_word(s, here);
			buf_addc(&s->word, c);
		}
	}
	*at += used;
	return 0;
}

static int split(const struct recipe *r, struct range where, int commands, struct words *words,
		 struct words *uses, struct err *e)
{
	struct splitter s = { .recipe = r, .source = where.from.source, .words = words,
			      .uses = uses, .commands = commands };
	const char *text = where.from.source->text.at;
	size_t at = where.from.at;
	int ret = 0;

	while (at < where.end && ret == 0) {
		char c = text[at], before = at > where.from.at ? text[at - 1] : ' ';

		if (c == '#' && isspace((unsigned char)before) && !s.have) {
			/* between the lines of a command */
			while (at < where.end && text[at] != '\n')
				at++;
		} else if (c == '"' || c == '\'') {
			ret = split_quoted(&s, text, &at, where.end, e);
		} else {
			ret = split_plain(&s, text, &at, where.end, e);
		}
	}
	end_word(&s);
	buf_release(&s.word);
	return ret;
}

/* ---- rules ---- */

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

static int expand_target(struct recipe *r, struct rule *rule, struct err *e)
{
	struct words w = { 0 };
	const struct rule *other;
	int ret = split(r, rule->head, 0, &w, NULL, e);

	if (ret == 0 && w.n != 1)
		ret = place_fail(e, rule->at, "a rule has one target, here are %zu words", w.n);
	if (ret == 0 && !*w.at[0].text)
		ret = place_fail(e, rule->at, "the target is empty");
	if (ret < 0)
		goto out;
	other = recipe_rule(r, w.at[0].text);
	if (other) {
		ret = place_fail(e, rule->at, "target '%s' has a rule already, in %s:%d",
				 w.at[0].text, other->at.source->path, place_line(other->at));
		goto out;
	}
	if (recipe_var(r, w.at[0].text)) {
		ret = place_fail(e, rule->at, "'%s' is a variable too, so $(%s) would be ambiguous",
				 w.at[0].text, w.at[0].text);
		goto out;
	}
	rule->target = xstrdup(w.at[0].text);
	if (looks_like_file(rule->target)) {
		if (rule->kind == RULE_GROUP)
			ret = place_fail(e, rule->at, "file '%s' has no command that writes it",
					 rule->target);
		rule->kind = RULE_FILE;
	}
out:
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
	int ret = split(r, rule->command, 1, &w, &rule->uses, e);

	for (size_t i = 0; i < w.n && ret == 0; i++) {
		if (strcmp(w.at[i].text, BAR)) {
			words_add(&step->words, w.at[i].text, strlen(w.at[i].text), w.at[i].at);
		} else if (!step->words.n || i + 1 == w.n) {
			ret = place_fail(e, w.at[i].at, "a stage is missing %s '|'",
					 step->words.n ? "after" : "before");
		} else {
			step = add_step(rule);
		}
	}
	if (ret == 0 && !step->words.n)
		ret = place_fail(e, rule->command.from, "the command is empty");
	words_release(&w);
	return ret;
}

/* A target in the middle of a word of needs makes no sense: it is named without $( ). */
static int expand_needs(struct recipe *r, struct rule *rule, struct err *e)
{
	struct words uses = { 0 };
	int ret = split(r, rule->body, 0, &rule->need, &uses, e);

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

int recipe_expand(struct recipe *r, struct err *e)
{
	for (size_t i = 0; i < r->rules; i++)
		if (expand_target(r, &r->rule[i], e) < 0)
			return -1;
	for (size_t i = 0; i < r->rules; i++) {
		struct rule *rule = &r->rule[i];

		if (expand_needs(r, rule, e) < 0)
			return -1;
		if (rule->kind == RULE_GROUP && !rule->need.n)
			return place_fail(e, rule->at,
					  "target '%s' has neither a command nor anything it needs",
					  rule->target);
		if (rule->kind != RULE_GROUP && expand_command(r, rule, e) < 0)
			return -1;
	}
	return 0;
}
