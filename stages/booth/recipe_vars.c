/* Variables of a recipe and of the items of its 'for' lines; which of them nobody uses. */
#include "stages/booth/recipe_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

size_t name_length(const char *s)
{
	size_t n = 0;

	if (isalpha((unsigned char)*s) || *s == '_')
		while (isalnum((unsigned char)s[n]) || s[n] == '_')
			n++;
	return n;
}

int is_assignment(const char *word)
{
	size_t n = name_length(word);

	return n && word[n] == '=';
}

static struct var *find_var(struct var *var, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(var[i].name, name))
			return &var[i];
	return NULL;
}

struct var *recipe_var(const struct recipe *r, const char *name)
{
	return find_var(r->var, r->vars, name);
}

struct var *scope_var(const struct recipe *r, const struct scope *s, const char *name)
{
	for (; s; s = s->up) {
		struct var *v = find_var(s->var, s->vars, name);

		if (v)
			return v;
	}
	return recipe_var(r, name);
}

struct scope *scope_add(struct recipe *r, struct scope *up)
{
	struct scope *s = xcalloc(1, sizeof *s);

	r->scope = grow(r->scope, r->scopes, &r->cap_scopes, sizeof *r->scope);
	r->scope[r->scopes++] = s;
	s->up = up;
	return s;
}

static void vars_release(struct var *var, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(var[i].name);
		free(var[i].value);
	}
	free(var);
}

void scopes_release(struct recipe *r)
{
	for (size_t i = 0; i < r->scopes; i++) {
		vars_release(r->scope[i]->var, r->scope[i]->vars);
		free(r->scope[i]);
	}
	free(r->scope);
	vars_release(r->var, r->vars);
	names_release(&r->mentioned);
}

/* ---- setting ---- */

void var_set(struct recipe *r, struct scope *s, const char *name, char *value, enum var_from from,
	     struct place at)
{
	struct var *v = s ? find_var(s->var, s->vars, name) : recipe_var(r, name);
	const struct var *whole = recipe_var(r, name);

	if (whole && whole->from == VAR_LINE && from != VAR_LINE && from != VAR_ITEM) {
		free(value);
	} else if (v) {
		free(v->value);
		v->value = value;
		v->from = from;
	} else if (s) {
		s->var = grow(s->var, s->vars, &s->cap_vars, sizeof *s->var);
		s->var[s->vars++] = (struct var){ xstrdup(name), value, from, at, 0 };
	} else {
		r->var = grow(r->var, r->vars, &r->cap_vars, sizeof *r->var);
		r->var[r->vars++] = (struct var){ xstrdup(name), value, from, at, 0 };
	}
}

int var_check_value(const char *name, const char *value, struct err *e)
{
	size_t len = strlen(value);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)value[i] < ' ' && value[i] != '\t')
			return fail(e, "the value of '%s' holds a line end or control character", name);
	if (utf8_valid(value, len) != len)
		return fail(e, "the value of '%s' is not valid UTF-8", name);
	return 0;
}

int var_default(struct recipe *r, struct scope *s, const char *name, char *value, struct place at,
		struct err *e)
{
	const char *env = getenv(name);
	struct err why;

	if (scope_var(r, s, name)) {
		free(value);
	} else if (!env) {
		var_set(r, s, name, value, VAR_DEFAULT, at);
	} else {
		free(value);
		if (var_check_value(name, env, &why) < 0)
			return place_fail(e, at, "in the environment, %s", why.text);
		var_set(r, s, name, xstrdup(env), VAR_ENVIRONMENT, at);
	}
	return 0;
}

/* Text that nothing is replaced in, as a value in which everything is. */
static void put_escaped(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_adds(out, *text == '$' ? "$$" : (char[]){ *text, 0 });
}

/*
 * A text of one item, to be kept outside of it: names that the item (or one around it, below
 * `keep`) sets are replaced by what they stand for.
 */
static void bind(const struct scope *s, const struct scope *keep, const char *text, struct buf *out,
		 int depth)
{
	while (*text) {
		size_t n = text[0] == '$' && strchr("({", text[1] ? text[1] : ' ')
				   ? name_length(text + 2) : 0;
		const struct scope *in = s;
		struct var *v = NULL;
		char *name;

		if (n && text[2 + n] == (text[1] == '(' ? ')' : '}')) {
			name = xstrndup(text + 2, n);
			for (; in != keep && !v; in = in->up)
				v = find_var(in->var, in->vars, name);
			free(name);
		}
		if (!v) {
			n = text[0] == '$' && text[1] == '$' ? 2 : 1;
			buf_add(out, text, n);
			text += n;
			continue;
		}
		v->used = 1;
		if (v->from == VAR_ITEM || v->from == VAR_ENVIRONMENT)
			put_escaped(out, v->value);
		else if (depth < NEST_LIMIT && out->len < VALUE_LIMIT)
			bind(s, keep, v->value, out, depth + 1);
		text += n + 3;
	}
}

/* The scope that the variable belongs to; NULL: the recipe. */
static struct scope *scope_of(struct scope *s, const char *name)
{
	while (s && !find_var(s->var, s->vars, name))
		s = s->up;
	return s;
}

int var_append(struct recipe *r, struct scope *s, const char *name, char *value, struct place at,
	       struct err *e)
{
	struct var *v = scope_var(r, s, name);
	struct buf b = { 0 };

	if (!v || v->from == VAR_LINE) {
		var_set(r, s, name, value, VAR_FILE, at);
		return 0;
	}
	if (v->from == VAR_ENVIRONMENT || v->from == VAR_ITEM)
		put_escaped(&b, v->value);
	else
		buf_adds(&b, v->value);
	buf_adds(&b, b.len && *value ? " " : "");
	bind(s, scope_of(s, name), value, &b, 0);
	buf_adds(&b, "");
	free(value);
	if (b.len > VALUE_LIMIT) {
		buf_release(&b);
		return place_fail(e, at, "variable '%s' grows beyond %d bytes", name, VALUE_LIMIT);
	}
	free(v->value);
	v->value = buf_detach(&b);
	v->from = VAR_FILE;
	return 0;
}

/* ---- lines that set one ---- */

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

/* The end of a name to set, which may be put together: NAME_$(OTHER). */
static size_t name_end(const char *text, size_t at, size_t stop)
{
	int depth = 0;

	for (; at < stop; at++) {
		size_t n = name_length(text + at);

		if (n)
			at += n - 1;
		else if (text[at] == '$' && strchr("({", text[at + 1]) && text[at + 1])
			depth++, at++;
		else if (depth && strchr(")}", text[at]))
			depth--;
		else if (!depth && !isdigit((unsigned char)text[at]))
			break;
	}
	return at;
}

/* The name that is set, to be freed, or NULL. */
static char *read_name(struct reader *rd, struct range where, struct err *e)
{
	struct buf name = { 0 };

	if (expand_text(rd->recipe, rd->scope, where, &name, e) < 0) {
		buf_release(&name);
		return NULL;
	}
	if (!name.len || name_length(name.at) != name.len) {
		place_fail(e, where.from, "'%s' is no name of a variable", name.at);
		buf_release(&name);
		return NULL;
	}
	return buf_detach(&name);
}

static int set_value(struct reader *rd, const char *name, char kind, char *value, struct place at,
		     struct err *e)
{
	const struct var *v = scope_var(rd->recipe, rd->scope, name);

	if (v && v->from == VAR_ITEM) {
		free(value);
		return place_fail(e, at, "'%s' gets its values from the 'for' in line %d", name,
				  place_line(v->at));
	}
	if (kind == '?')
		return var_default(rd->recipe, rd->scope, name, value, at, e);
	if (kind == '+')
		return var_append(rd->recipe, rd->scope, name, value, at, e);
	var_set(rd->recipe, rd->scope, name, value, VAR_FILE, at);
	return 0;
}

int read_assignment(struct reader *rd, const struct line *l, struct err *e)
{
	const char *text = rd->text;
	size_t end = name_end(text, l->at, l->stop), op = skip_blanks(text, end, l->stop), from;
	struct range where = { { rd->source, l->at }, end };
	char kind = op < l->stop ? text[op] : 0, *name;
	int two = kind != '=', ret;

	if (end > l->at && kind == ':' && (text[op + 1] == '=' || text[op + 1] == ':'))
		return place_fail(e, (struct place){ rd->source, op },
				  "':=' is not known, '=', '?=' or '+=' is wanted");
	if (end == l->at || !kind || !strchr("=?+", kind) || (two && text[op + 1] != '='))
		return 0;
	name = read_name(rd, where, e);
	if (!name)
		return -1;
	from = skip_blanks(text, op + 1 + (size_t)two, l->stop);
	/* a value is everything up to a comment; quotes in it are part of it */
	ret = set_value(rd, name, kind, join_value(text, from, trim_end(text, from, l->stop)),
			where.from, e);
	free(name);
	return ret < 0 ? -1 : 1;
}

/* ---- names ---- */

const char *name_near(const struct recipe *r, const struct scope *s, const char *name)
{
	const char *near = recipe_near(r, name);
	int least = near ? text_distance(name, near) : near_limit(name);

	for (int last = 0; !last; s = s ? s->up : NULL) {
		const struct var *var = s ? s->var : r->var;
		size_t n = s ? s->vars : r->vars;

		last = !s;
		for (size_t i = 0; i < n; i++)
			if (text_distance(name, var[i].name) < least &&
			    strcmp(name, var[i].name)) {
				near = var[i].name;
				least = text_distance(name, near);
			}
	}
	return near;
}

void recipe_mention(struct recipe *r, const char *name, size_t n)
{
	char *copy = xstrndup(name, n);

	for (size_t i = 0; i < r->mentioned.n; i++)
		if (!strcmp(r->mentioned.at[i], copy)) {
			free(copy);
			return;
		}
	names_add(&r->mentioned, copy);
	free(copy);
}

void recipe_mention_all(struct recipe *r, const char *text, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		size_t n;

		if (text[i] != '$' || (text[i + 1] != '(' && text[i + 1] != '{'))
			continue;
		n = name_length(text + i + 2);
		if (i + 2 + n < len && text[i + 2 + n] == '$') {
			char *some = xasprintf("%.*s*", (int)n, text + i + 2);

			recipe_mention(r, some, n + 1);
			free(some);
		} else if (n) {
			recipe_mention(r, text + i + 2, n);
		}
	}
}

static int is_mentioned(const struct recipe *r, const char *name)
{
	for (size_t i = 0; i < r->mentioned.n; i++) {
		const char *m = r->mentioned.at[i];
		size_t n = strcspn(m, "*");

		if (m[n] ? !strncmp(m, name, n) : !strcmp(m, name))
			return 1;
	}
	return 0;
}

/* ---- unused ---- */

static int same_place(struct place a, struct place b)
{
	return a.source == b.source && a.at == b.at;
}

/* Is the variable of this line used in another item? */
static int used_elsewhere(const struct recipe *r, const struct var *v)
{
	for (size_t i = 0; i < r->scopes; i++)
		for (size_t k = 0; k < r->scope[i]->vars; k++)
			if (r->scope[i]->var[k].used && same_place(r->scope[i]->var[k].at, v->at))
				return 1;
	return 0;
}

static void tell_unused(const struct recipe *r, const struct var *v, struct err *e, int *n)
{
	const char *near = name_near(r, NULL, v->name);
	struct err one;
	char *mean = near ? xasprintf(", did you mean '%s'", near) : xstrdup("");

	if (v->from == VAR_LINE)
		fail(&one, "%s: '%s' is set on the command line and never used%s\n    %s=%s\n    ^",
		     r->source[0]->path, v->name, mean, v->name, v->value);
	else
		place_fail(&one, v->at, "'%s' is set here and never used%s", v->name, mean);
	place_join(e, &one, n);
	free(mean);
}

static int is_unused(const struct recipe *r, const struct var *v)
{
	return !v->used && (v->from == VAR_LINE || v->at.source == r->source[0]) &&
		!is_mentioned(r, v->name);
}

int recipe_check_unused(struct recipe *r, struct err *e)
{
	int n = 0;

	for (size_t i = 0; i < r->vars; i++)
		if (is_unused(r, &r->var[i]))
			tell_unused(r, &r->var[i], e, &n);
	for (size_t i = 0; i < r->scopes; i++)
		for (size_t k = 0; k < r->scope[i]->vars; k++) {
			struct var *v = &r->scope[i]->var[k];

			if (is_unused(r, v) && !used_elsewhere(r, v)) {
				tell_unused(r, v, e, &n);
				recipe_mention(r, v->name, strlen(v->name));
			}
		}
	return n ? -1 : 0;
}
