/* The lines of a recipe, sorted into variables, rules, commands and blocks. */
#include "stages/booth/recipe_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define RECIPE_LIMIT (4 << 20)  /* bytes of one file */
#define INCLUDE_LIMIT 64        /* files of one recipe */

/* ---- where lines end ---- */

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

size_t skip_blanks(const char *text, size_t at, size_t end)
{
	while (at < end && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
		at++;
	return at;
}

size_t trim_end(const char *text, size_t at, size_t end)
{
	while (end > at && isspace((unsigned char)text[end - 1]))
		end--;
	return end;
}

static int read_include(struct reader *rd, const struct line *l, struct err *e)
{
	size_t at = skip_blanks(rd->text, l->rest, l->stop), end = trim_end(rd->text, at, l->stop);
	struct place here = { rd->source, at };
	struct buf name = { 0 };
	char *folder, *path = NULL;
	int ret = -1;

	if (at == end)
		return place_fail(e, here, "'include' needs the name of a file");
	if (expand_text(rd->recipe, rd->scope, (struct range){ here, end }, &name, e) < 0)
		goto out;
	folder = xstrndup(rd->source->path,
			  (size_t)(path_base(rd->source->path) - rd->source->path));
	path = name.at[0] == '/' || !*folder ? xstrdup(name.at)
					     : xasprintf("%s%s", folder, name.at);
	free(folder);
	ret = read_file(rd, path, here, e);
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

static int no_rule(const struct reader *rd, const struct line *l, struct err *e)
{
	int bare = rd->rule >= 0 && !rd->recipe->rule[rd->rule].lines;

	return place_fail(e, (struct place){ rd->source, l->at },
			  "this is neither a rule 'target: needs' nor 'NAME = value'%s",
			  bare ? "; a command begins with a tab" : "");
}

static int read_rule(struct reader *rd, const struct line *l, struct err *e)
{
	struct recipe *r = rd->recipe;
	struct place here = { rd->source, l->at };
	size_t colon = find_colon(rd->text, l->at, l->stop);
	struct rule *rule;

	if (colon == l->stop)
		return no_rule(rd, l, e);
	if (trim_end(rd->text, l->at, colon) == l->at)
		return place_fail(e, here, "a rule without a target");
	if (r->rules == RULE_LIMIT)
		return place_fail(e, here, "more than %d rules", RULE_LIMIT);
	r->rule = grow(r->rule, r->rules, &r->cap_rules, sizeof *r->rule);
	rd->rule = (long)r->rules;
	rule = &r->rule[r->rules++];
	*rule = (struct rule){ .kind = RULE_GROUP, .at = here, .scope = rd->scope };
	rule->head = (struct range){ here, trim_end(rd->text, l->at, colon) };
	rule->body = (struct range){ { rd->source, colon + 1 }, l->stop };
	return 0;
}

/* ---- commands ---- */

/* Does the command so far end with '|'? */
static int goes_on(const struct reader *rd, const struct rule *rule)
{
	const struct range *last = &rule->line[rule->lines - 1];

	return rd->text[trim_end(rd->text, last->from.at, last->end) - 1] == '|';
}

static int read_command(struct reader *rd, const struct line *l, struct err *e)
{
	struct place here = { rd->source, l->at };
	struct rule *rule;

	if (rd->rule < 0)
		return place_fail(e, here, "an indented line is a command, and no rule stands before it");
	rule = &rd->recipe->rule[rd->rule];
	if (rule->lines && !goes_on(rd, rule) && rd->text[l->at] != '|')
		return place_fail(
			e, here,
			"a rule has one command; join stages with '|', or end the line before with '\\'");
	rule->kind = RULE_RESULT;
	rule->line = grow(rule->line, rule->lines, &rule->cap_lines, sizeof *rule->line);
	rule->line[rule->lines++] = (struct range){ here, l->stop };
	return 0;
}

/* Behind a tab there are only commands: say so to who indents other things with it. */
static int check_tab(const struct reader *rd, const struct line *l, struct err *e)
{
	size_t rest, n = name_length(rd->text + l->at), op = skip_blanks(rd->text, l->at + n, l->stop);
	enum keyword key = keyword_at(rd->text, l->at, l->stop, &rest);

	if (key != KEY_NONE)
		return place_fail(e, (struct place){ rd->source, l->at },
				  "a line that begins with a tab is a command; indent '%s' with spaces",
				  keyword_name(key));
	if (n && op < l->stop && strchr("=?+", rd->text[op]) &&
	    (rd->text[op] == '=' || rd->text[op + 1] == '='))
		return place_fail(e, (struct place){ rd->source, l->at },
				  "a line that begins with a tab is a command; indent what sets a variable with spaces");
	return 0;
}

/* Indented with spaces: does it begin a rule? Then its first word ends with a ':'. */
static int begins_rule(const struct reader *rd, const struct line *l)
{
	size_t colon = find_colon(rd->text, l->at, l->stop);
	char quote = 0;

	for (size_t i = l->at; i < colon; i++) {
		char c = rd->text[i];

		if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '\'')
			quote = c;
		else if (isspace((unsigned char)c))
			return 0;
	}
	return colon < l->stop && (colon + 1 == l->stop || isspace((unsigned char)rd->text[colon + 1]));
}

static int is_open(const struct reader *rd)
{
	const struct rule *rule = rd->rule < 0 ? NULL : &rd->recipe->rule[rd->rule];

	return rule && rule->lines && goes_on(rd, rule);
}

/* ---- all lines ---- */

static const char *const keywords[] = {
	[KEY_NONE] = "", [KEY_INCLUDE] = "include", [KEY_IFEQ] = "ifeq", [KEY_IFNEQ] = "ifneq",
	[KEY_IFDEF] = "ifdef", [KEY_IFNDEF] = "ifndef", [KEY_ELSE] = "else", [KEY_ENDIF] = "endif",
	[KEY_FOR] = "for", [KEY_ENDFOR] = "endfor"
};

const char *keyword_name(enum keyword k)
{
	return keywords[k];
}

/* "else:" is a rule and "for = 1" sets a variable. */
enum keyword keyword_at(const char *text, size_t at, size_t stop, size_t *rest)
{
	size_t n = 0, next;

	while (at + n < stop && islower((unsigned char)text[at + n]))
		n++;
	next = skip_blanks(text, at + n, stop);
	*rest = at + n;
	if (next < stop && (strchr("=:", text[next]) || (strchr("?+", text[next]) && text[next + 1] == '=') ||
			    (next == at + n && !isspace((unsigned char)text[next]) &&
			     !strchr("(\"'\\", text[next]))))
		return KEY_NONE;
	for (size_t k = KEY_INCLUDE; k < sizeof keywords / sizeof *keywords; k++)
		if (strlen(keywords[k]) == n && !memcmp(keywords[k], text + at, n))
			return (enum keyword)k;
	return KEY_NONE;
}

/* A line that is no block's: include, a variable, a rule, a command. */
static int read_plain(struct reader *rd, const struct line *l, struct err *e)
{
	int spaces = l->at > l->from, ret;

	if (l->key == KEY_INCLUDE) {
		rd->rule = -1;
		return read_include(rd, l, e);
	}
	if (memchr(rd->text + l->from, '\t', l->at - l->from))
		return !is_open(rd) && check_tab(rd, l, e) < 0 ? -1 : read_command(rd, l, e);
	if (spaces && is_open(rd))
		return read_command(rd, l, e);
	ret = read_assignment(rd, l, e);
	if (ret) {
		rd->rule = -1;
		return ret < 0 ? -1 : 0;
	}
	return spaces && !begins_rule(rd, l) ? read_command(rd, l, e) : read_rule(rd, l, e);
}

/* The next line that is not empty: 1, 0 at the end of the text. */
static int next_line(struct reader *rd, struct line *l)
{
	while (rd->text[rd->at]) {
		size_t end = line_end(rd->text, rd->at);

		*l = (struct line){ .from = rd->at, .at = skip_blanks(rd->text, rd->at, end) };
		l->stop = without_comment(rd->text, l->at, end);
		rd->at = rd->text[end] ? end + 1 : end;
		if (l->at == trim_end(rd->text, l->at, l->stop))
			continue;       /* nothing, or a comment */
		if (!memchr(rd->text + l->from, '\t', l->at - l->from))
			l->key = keyword_at(rd->text, l->at, l->stop, &l->rest);
		return 1;
	}
	*l = (struct line){ .from = rd->at, .at = rd->at, .stop = rd->at };
	return 0;
}

int read_lines(struct reader *rd, struct line *end, struct err *e)
{
	struct line l;
	int ret = 0;

	while (ret == 0 && next_line(rd, &l)) {
		if (l.key == KEY_ELSE || l.key == KEY_ENDIF || l.key == KEY_ENDFOR) {
			*end = l;
			return 0;
		}
		if (l.key >= KEY_IFEQ && l.key <= KEY_IFNDEF)
			ret = read_if(rd, &l, e);
		else if (l.key == KEY_FOR)
			ret = read_for(rd, &l, e);
		else if (rd->skip)
			recipe_mention_all(rd->recipe, rd->text + l.at, l.stop - l.at);
		else
			ret = read_plain(rd, &l, e);
	}
	*end = l;
	return ret;
}

/* ---- files ---- */

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

static int check_again(const struct recipe *r, const char *path, struct place from, struct err *e)
{
	for (size_t i = 0; i < r->sources; i++)
		if (!strcmp(r->source[i]->path, path))
			return place_fail(e, from, r->source[i]->open ? "'%s' includes itself"
								      : "'%s' is included a second time",
					  path);
	if (r->sources == INCLUDE_LIMIT)
		return place_fail(e, from, "more than %d files are included", INCLUDE_LIMIT);
	return 0;
}

int read_file(struct reader *from, const char *path, struct place at, struct err *e)
{
	struct recipe *r = from->recipe;
	struct reader rd = *from;
	struct source *s;
	struct line end;
	struct err why;

	if (check_again(r, path, at, e) < 0)
		return -1;
	r->source = grow(r->source, r->sources, &r->cap_sources, sizeof *r->source);
	s = r->source[r->sources++] = xcalloc(1, sizeof *s);
	s->path = xstrdup(path);
	s->open = 1;
	if (file_read(&s->text, path, RECIPE_LIMIT, &why) < 0)
		return place_fail(e, at, "%s", why.text);
	buf_adds(&s->text, "");
	if (check_text(s, e) < 0)
		return -1;
	rd.source = s;
	rd.text = buf_str(&s->text);
	rd.at = 0;
	rd.rule = -1;
	if (read_lines(&rd, &end, e) < 0)
		return -1;
	if (end.key != KEY_NONE)
		return place_fail(e, (struct place){ s, end.at }, "'%s' without %s above it",
				  keyword_name(end.key), end.key == KEY_ENDFOR ? "a 'for'" : "an 'if'");
	s->open = 0;
	return 0;
}
