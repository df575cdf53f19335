/* Variables replaced and words split. */
#include "stages/booth/recipe_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define EXPAND_LIMIT ((size_t)16 << 20) /* bytes put in for variables in all lines */

struct splitter {
	struct recipe *recipe;
	const struct scope *scope;
	const struct source *source;
	struct words *words;    /* WORD_BAR ends a stage */
	struct words *uses;     /* targets that were named, or NULL: none may be */
	struct buf word;
	int have;               /* a word was begun (it may be empty: "") */
	struct place at;        /* where it was begun */
	int commands;           /* '|' joins stages, other operators are refused */
	int early;              /* the recipe is still being read */
};

/* ---- $(NAME) ---- */

static int unknown_name(const struct splitter *s, const char *name, struct place at, struct err *e)
{
	const char *near = name_near(s->recipe, s->scope, name);
	const char *where = s->early ? " above this line" : "";

	if (strchr(name, TARGET_FROM))
		return place_fail(e, at, "the result of a target can't be part of a name");
	if (strpbrk(name, " \t,"))
		return place_fail(e, at, "'$(%s)' is no name; there are no functions as in make", name);
	if (recipe_rule(s->recipe, name))
		return place_fail(e, at, "'%s' is a target, whose result is not known here", name);
	if (getenv(name))
		return place_fail(e, at, "there is no variable or target '%s'%s, only the environment has it; "
				  "a line '%s ?=' takes it from there", name, where, name);
	return place_fail(e, at, "there is no variable or target '%s'%s%s%s%s", name, where,
			  near ? ", did you mean '" : "", near ? near : "", near ? "'" : "");
}

static int put_value(struct splitter *s, const char *text, size_t len, struct place at,
		     struct buf *out, int depth, struct err *e);

/* The name's variable or target, into out. */
static int put_name(struct splitter *s, const char *name, struct place at, struct buf *out,
		    int depth, struct err *e)
{
	struct var *v = scope_var(s->recipe, s->scope, name);
	const char *home = getenv("HOME"), *value;

	if (depth > NEST_LIMIT)
		return place_fail(e, at, "variable '%s' needs itself", name);
	if (!v && s->uses && recipe_rule(s->recipe, name)) {
		words_add(s->uses, name, strlen(name), at);
		buf_addf(out, "%c%s%c", TARGET_FROM, name, TARGET_TO);
		return 0;
	}
	if (!v)
		return unknown_name(s, name, at, e);
	if (out->len > VALUE_LIMIT)
		return place_fail(e, at, "more than %d bytes come out of the variables of this line",
				  VALUE_LIMIT);
	v->used = 1;
	value = v->value;
	if (home && starts_with(value, "~/")) {
		buf_adds(out, home);
		value++;
	}
	/* values from outside are text, nothing in them is replaced */
	if (v->from == VAR_LINE || v->from == VAR_ENVIRONMENT || v->from == VAR_ITEM) {
		s->recipe->expanded += strlen(value);
		buf_adds(out, value);
		return 0;
	}
	return put_value(s, value, strlen(value), v->at, out, depth + 1, e);
}

/* A name that is put together of others: all that may be meant count as used. */
static int put_built(struct splitter *s, const char *text, size_t len, struct place at,
		     struct buf *name, int depth, struct err *e)
{
	char *some = xasprintf("%.*s*", (int)strcspn(text, "$"), text);

	recipe_mention(s->recipe, some, strlen(some));
	free(some);
	if (depth > NEST_LIMIT)
		return place_fail(e, at, "names within names, more than %d", NEST_LIMIT);
	return put_value(s, text, len, at, name, depth + 1, e);
}

/* The bracket that closes the one at p, or NULL. */
static const char *closing(const char *p, const char *end)
{
	char open = *p, close = open == '(' ? ')' : '}';

	for (int depth = 0; p < end; p++) {
		depth += (*p == open) - (*p == close);
		if (!depth)
			return p;
	}
	return NULL;
}

static int bad_dollar(char next, struct place at, struct err *e)
{
	if (next && strchr("@<^+*?", next))
		return place_fail(e, at, "'$%c' is not known: a stage gets what it needs and its file by itself; "
				  "a dollar sign is '$$'", next);
	return place_fail(e, at, "'$' begins '$(NAME)'; a dollar sign is '$$'");
}

/* At a '$': append what it stands for; *used bytes were taken. `at` is for the failure. */
static int put_dollar(struct splitter *s, const char *p, const char *end, size_t *used,
		      struct place at, struct buf *out, int depth, struct err *e)
{
	char next = p + 1 < end ? p[1] : 0;
	const char *close = next == '(' || next == '{' ? closing(p + 1, end) : NULL;
	struct buf name = { 0 };
	int ret = 0;

	if (next == '$') {
		buf_addc(out, '$');
		*used = 2;
		return 0;
	}
	if (!close)
		return bad_dollar(next, at, e);
	*used = (size_t)(close - p) + 1;
	if (memchr(p + 2, '$', (size_t)(close - p) - 2))
		ret = put_built(s, p + 2, (size_t)(close - p) - 2, at, &name, depth, e);
	else
		buf_add(&name, p + 2, (size_t)(close - p) - 2);
	if (ret == 0)
		ret = put_name(s, buf_str(&name), at, out, depth, e);
	buf_release(&name);
	return ret;
}

static int put_value(struct splitter *s, const char *text, size_t len, struct place at,
		     struct buf *out, int depth, struct err *e)
{
	const char *end = text + len;
	size_t used;

	s->recipe->expanded += len + 32;        /* an empty one is work too */
	if (s->recipe->expanded > EXPAND_LIMIT)
		return place_fail(e, at, "more than %zu bytes come out of the variables of this recipe",
				  EXPAND_LIMIT);
	for (; text < end; text += used) {
		used = 1;
		if (*text != '$')
			buf_addc(out, *text);
		else if (put_dollar(s, text, end, &used, at, out, depth, e) < 0)
			return -1;
	}
	return 0;
}

int expand_text(struct recipe *r, struct scope *scope, struct range where, struct buf *out,
		struct err *e)
{
	struct splitter s = { .recipe = r, .scope = scope, .early = 1 };

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
		words_add(s->words, WORD_BAR, 1, here);
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

/* Everything of a range; s holds the rest. */
static int split(struct splitter *s, struct range where, struct err *e)
{
	const char *text = where.from.source->text.at;
	size_t at = where.from.at;
	int ret = 0;

	s->source = where.from.source;
	while (at < where.end && ret == 0)
		if (text[at] == '"' || text[at] == '\'')
			ret = split_quoted(s, text, &at, where.end, e);
		else
			ret = split_plain(s, text, &at, where.end, e);
	end_word(s);
	buf_release(&s->word);
	return ret;
}

int expand_words(struct recipe *r, struct scope *scope, struct range where, struct words *out,
		 struct err *e)
{
	struct splitter s = { .recipe = r, .scope = scope, .words = out, .early = 1 };

	return split(&s, where, e);
}

int rule_words(struct recipe *r, const struct rule *rule, struct range where, int command,
	       struct words *out, struct words *uses, struct err *e)
{
	struct splitter s = { .recipe = r, .scope = rule->scope, .words = out, .uses = uses,
			      .commands = command };

	return split(&s, where, e);
}
