#include "stages/booth/recipe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define RECIPE_LIMIT (4 << 20)  /* bytes of one file */
#define INCLUDE_LIMIT 64        /* files of one recipe */

static int is_name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static size_t name_length(const char *s)
{
	size_t n = 0;

	if (is_name_start(*s))
		while (isalnum((unsigned char)s[n]) || s[n] == '_')
			n++;
	return n;
}

int is_assignment(const char *word)
{
	size_t n = name_length(word);

	return n && word[n] == '=';
}

struct var *recipe_var(const struct recipe *r, const char *name)
{
	for (size_t i = 0; i < r->vars; i++)
		if (!strcmp(r->var[i].name, name))
			return &r->var[i];
	return NULL;
}

struct rule *recipe_rule(const struct recipe *r, const char *target)
{
	for (size_t i = 0; i < r->rules; i++)
		if (r->rule[i].target && !strcmp(r->rule[i].target, target))
			return &r->rule[i];
	return NULL;
}

const char *recipe_near(const struct recipe *r, const char *target)
{
	const char *near = NULL;
	int least = 3 + (int)strlen(target) / 4;

	for (size_t i = 0; i < r->rules; i++) {
		int d = r->rule[i].target ? text_distance(target, r->rule[i].target) : least;

		if (d < least) {
			least = d;
			near = r->rule[i].target;
		}
	}
	return near;
}

/* ---- variables ---- */

/* `from` is what the new value comes from; a stronger origin that is there already stays. */
static void set_var(struct recipe *r, const char *name, size_t n, char *value, enum var_from from,
		    struct place at)
{
	char *key = xstrndup(name, n);
	struct var *v = recipe_var(r, key);

	if (!v) {
		r->var = grow(r->var, r->vars, &r->cap_vars, sizeof *r->var);
		v = &r->var[r->vars++];
		*v = (struct var){ key, value, from, at };
		return;
	}
	free(key);
	if (v->from == VAR_LINE || from == VAR_DEFAULT) {
		free(value);
		return;
	}
	free(v->value);
	*v = (struct var){ v->name, value, from, at };
}

static int set_from_line(struct recipe *r, const char *word, struct err *e)
{
	size_t n = name_length(word), len = strlen(word);

	if (!is_assignment(word))
		return fail(e, "'%s' does not set a variable, NAME=VALUE is wanted", word);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)word[i] < ' ' && word[i] != '\t')
			return fail(e, "the value of '%.*s' holds a line end or control character",
				    (int)n, word);
	if (utf8_valid(word, len) != len)
		return fail(e, "the value of '%.*s' is not valid UTF-8", (int)n, word);
	set_var(r, word, n, xstrdup(word + n + 1), VAR_LINE, (struct place){ 0 });
	return 0;
}

/* ---- lines ---- */

struct reader {
	struct recipe *recipe;
	const struct source *source;
	const char *text;               /* NUL-terminated */
	size_t at;
	long rule;                      /* index of the rule whose command may follow, or -1 */
};

static int read_file(struct recipe *r, const char *path, struct place from, struct err *e);

/* The end of the line at `at`, going on after a backslash. */
static size_t line_end(const char *text, size_t at)
{
	while (text[at] && text[at] != '\n')
		at += text[at] == '\\' && text[at + 1] ? 2 : 1;
	return at;
}

/*
 * The end of a line without its comment: a '#' at the start or behind a blank, outside of quotes.
 */
static size_t without_comment(const char *text, size_t at, size_t end)
{
	char quote = 0;

	for (size_t i = at; i < end; i++) {
		if (text[i] == '\\' && quote != '\'' && i + 1 < end)
			i++;
		else if (quote)
			quote = text[i] == quote ? 0 : quote;
		else if (text[i] == '"' || text[i] == '\'')
			quote = text[i];
		else if (text[i] == '#' && (i == at || isspace((unsigned char)text[i - 1])))
			return i;
	}
	return end;
}

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
	while (at < end && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
		at++;
	return at;
}

static size_t trim_end(const char *text, size_t at, size_t end)
{
	while (end > at && isspace((unsigned char)text[end - 1]))
		end--;
	return end;
}

/* The value of an assignment: one line; a backslash at a line's end is one blank, as in make. */
static char *join_value(const char *text, size_t at, size_t end)
{
	struct buf b = { 0 };

	for (size_t i = at; i < end; i++) {
		if (text[i] == '\\' && i + 1 < end && text[i + 1] == '\n') {
			i = skip_blanks(text, i + 2, end) - 1;
			while (b.len && b.at[b.len - 1] == ' ')
				b.at[--b.len] = 0;
			buf_addc(&b, ' ');
		} else {
			buf_addc(&b, text[i]);
		}
	}
	buf_adds(&b, "");
	return b.at ? buf_detach(&b) : xstrdup("");
}

/* NAME = VALUE or NAME ?= VALUE: 1 it was one, 0 it is something else. */
static int read_assignment(struct reader *rd, size_t end, struct err *e)
{
	const char *text = rd->text;
	size_t n = name_length(text + rd->at), op = skip_blanks(text, rd->at + n, end), value;
	struct place here = { rd->source, rd->at };
	int soft = text[op] == '?' && text[op + 1] == '=';
	const char *env;
	char *name;

	if (n && (text[op] == ':' || text[op] == '+') && text[op + 1] == '=')
		return place_fail(e, (struct place){ rd->source, op },
				  "'%c=' is not known, '=' or '?=' is wanted", text[op]);
	if (!n || op >= end || (!soft && text[op] != '='))
		return 0;
	value = skip_blanks(text, op + 1 + (size_t)soft, end);
	/* a value is everything up to a comment; quotes in it are part of it */
	set_var(rd->recipe, text + rd->at, n, join_value(text, value, trim_end(text, value, end)),
		soft ? VAR_DEFAULT : VAR_FILE, here);
	if (soft) {
		name = xstrndup(text + rd->at, n);
		env = getenv(name);
		if (env && recipe_var(rd->recipe, name)->from == VAR_DEFAULT)
			set_var(rd->recipe, name, n, xstrdup(env), VAR_ENVIRONMENT,
				(struct place){ 0 });
		free(name);
	}
	return 1;
}

static int read_include(struct reader *rd, size_t end, struct err *e)
{
	size_t at = skip_blanks(rd->text, rd->at + 7, end);
	struct place here = { rd->source, at };
	struct buf name = { 0 };
	char *folder, *path = NULL;
	int ret = -1;

	end = trim_end(rd->text, at, end);
	if (at == end)
		return place_fail(e, here, "'include' needs the name of a file");
	if (expand_text(rd->recipe, (struct range){ here, end }, &name, e) < 0)
		goto out;
	folder = xstrndup(rd->source->path,
			  (size_t)(path_base(rd->source->path) - rd->source->path));
	path = name.at[0] == '/' || !*folder ? xstrdup(name.at)
					     : xasprintf("%s%s", folder, name.at);
	free(folder);
	ret = read_file(rd->recipe, path, here, e);
out:
	buf_release(&name);
	free(path);
	return ret;
}

/* The ':' that ends a target, outside of quotes and $( ); `end` if there is none. */
static size_t find_colon(const char *text, size_t at, size_t end)
{
	char quote = 0;
	int depth = 0;

	for (; at < end; at++) {
		char c = text[at];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (c == '$' && text[at + 1] == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == ':' && !depth)
			break;
	}
	return at;
}

static int read_rule(struct reader *rd, size_t end, struct err *e)
{
	struct recipe *r = rd->recipe;
	struct place here = { rd->source, rd->at };
	size_t colon = find_colon(rd->text, rd->at, end);
	struct rule *rule;

	if (colon == end)
		return place_fail(e, here,
				  "this is neither a rule 'target: needs' nor 'NAME = value'");
	if (trim_end(rd->text, rd->at, colon) == rd->at)
		return place_fail(e, here, "a rule without a target");
	r->rule = grow(r->rule, r->rules, &r->cap_rules, sizeof *r->rule);
	rd->rule = (long)r->rules;
	rule = &r->rule[r->rules++];
	*rule = (struct rule){ .kind = RULE_GROUP, .at = here };
	rule->head = (struct range){ here, trim_end(rd->text, rd->at, colon) };
	rule->body = (struct range){ { rd->source, colon + 1 }, end };
	return 0;
}

static int read_command(struct reader *rd, size_t at, size_t end, struct err *e)
{
	struct place here = { rd->source, at };
	struct rule *rule;
	size_t last;

	if (rd->rule < 0)
		return place_fail(e, here,
				  "an indented line is a command, and no rule stands before it");
	rule = &rd->recipe->rule[rd->rule];
	if (rule->kind == RULE_GROUP) {
		rule->kind = RULE_RESULT;
		rule->command = (struct range){ here, end };
		return 0;
	}
	last = trim_end(rd->text, rule->command.from.at, rule->command.end);
	if (rd->text[last - 1] != '|' && rd->text[at] != '|')
		return place_fail(
			e, here,
			"a rule has one command; join stages with '|', or end the line before with '\\'");
	rule->command.end = end;
	return 0;
}

static int read_line(struct reader *rd, struct err *e)
{
	size_t end = line_end(rd->text, rd->at), next = rd->text[end] ? end + 1 : end;
	size_t at = skip_blanks(rd->text, rd->at, end), stop = without_comment(rd->text, at, end);
	int indented = at > rd->at, ret = 0;

	if (at == trim_end(rd->text, at, stop)) {
		ret = 0;        /* nothing, or a comment */
	} else if (indented) {
		ret = read_command(rd, at, stop, e);
	} else if (starts_with(rd->text + at, "include") &&
		   (rd->text[at + 7] == ' ' || rd->text[at + 7] == '\t')) {
		rd->rule = -1;
		ret = read_include(rd, stop, e);
	} else {
		rd->rule = -1;
		ret = read_assignment(rd, stop, e);
		if (ret == 0)
			ret = read_rule(rd, stop, e);
	}
	rd->at = next;
	return ret < 0 ? -1 : 0;
}

static int check_text(const struct source *s, struct err *e)
{
	size_t good = utf8_valid(buf_str(&s->text), s->text.len);

	if (good != s->text.len)
		return place_fail(e, (struct place){ s, good }, "not valid UTF-8");
	for (size_t i = 0; i < s->text.len; i++)
		if ((unsigned char)s->text.at[i] < ' ' &&
		    !strchr("\t\n\r", s->text.at[i] ? s->text.at[i] : 1))
			return place_fail(e, (struct place){ s, i },
					  "a control character, byte %d", s->text.at[i]);
	return 0;
}

static int read_file(struct recipe *r, const char *path, struct place from, struct err *e)
{
	struct source *s;
	struct reader rd = { .recipe = r, .rule = -1 };
	struct err why;

	for (size_t i = 0; i < r->sources; i++)
		if (!strcmp(r->source[i]->path, path))
			return place_fail(e, from, "'%s' is included a second time", path);
	if (r->sources == INCLUDE_LIMIT)
		return place_fail(e, from, "more than %d files are included", INCLUDE_LIMIT);
	r->source = grow(r->source, r->sources, &r->cap_sources, sizeof *r->source);
	s = r->source[r->sources++] = xcalloc(1, sizeof *s);
	s->path = xstrdup(path);
	if (file_read(&s->text, path, RECIPE_LIMIT, &why) < 0)
		return place_fail(e, from, "%s", why.text);
	buf_adds(&s->text, "");
	if (check_text(s, e) < 0)
		return -1;
	rd.source = s;
	rd.text = buf_str(&s->text);
	while (rd.text[rd.at])
		if (read_line(&rd, e) < 0)
			return -1;
	return 0;
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
	*r = (struct recipe){ 0 };
	for (size_t i = 0; i < sets; i++)
		if (set_from_line(r, set[i], e) < 0)
			return -1;
	if (read_file(r, path, (struct place){ 0 }, e) < 0)
		return -1;
	if (!r->rules)
		return fail(e, "'%s' has no rules", path);
	return recipe_expand(r, e) < 0 || check_cycles(r, e) < 0 ? -1 : 0;
}

void recipe_release(struct recipe *r)
{
	for (size_t i = 0; i < r->rules; i++) {
		struct rule *rule = &r->rule[i];

		free(rule->target);
		words_release(&rule->need);
		words_release(&rule->uses);
		for (size_t k = 0; k < rule->steps; k++)
			words_release(&rule->step[k].words);
		free(rule->step);
	}
	for (size_t i = 0; i < r->vars; i++) {
		free(r->var[i].name);
		free(r->var[i].value);
	}
	for (size_t i = 0; i < r->sources; i++) {
		free(r->source[i]->path);
		buf_release(&r->source[i]->text);
		free(r->source[i]);
	}
	free(r->rule);
	free(r->var);
	free(r->source);
	*r = (struct recipe){ 0 };
}
