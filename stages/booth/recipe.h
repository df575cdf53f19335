/*
 * A recipe: variables and rules, as in make.
 *
 *	# a comment
 *	MODEL ?= sd15.safetensors           unless set above, outside or by the command line
 *	STEPS = 800                         the command line still wins
 *	include common.booth                relative to the file that includes it
 *
 *	subject: "$(PHOTOS)"                target: what it needs
 *		prep | caption --text "a photo of $(SUBJECT)" | \
 *		bucket --resolution 512
 *	lora: subject
 *		train --class $(prior) --steps $(STEPS)
 *	out/rex.png: lora
 *		sample --count 4
 *	all: lora out/rex.png               a group: no command
 *
 * A target is one of
 *	result  a name; stands for the reference that its command printed
 *	file    has a '/' or a known suffix; the last stage of its command writes it
 *	group   has no command
 * What is needed is another target, or a file or folder outside. A rule has one command: stages
 * joined by '|'; it goes on in the next line after '|' or '\'.
 *
 * $(NAME) is a variable, or else the result of the target of that name (its path, for a file),
 * which is then needed too. $$ is a dollar sign. Words are quoted as in the shell, except that
 * $(NAME) is replaced inside of single quotes as well, as make does. Outside of quotes the value of
 * a variable is split into words (and may hold quotes); inside of quotes it is taken as it is. A
 * leading ~/ is the home folder. Variables are replaced when everything was read, so the last line
 * that sets one counts everywhere.
 *
 * Sentences of failures begin with FILE:LINE and are followed by the line and a mark below it.
 */
#ifndef BOOTH_RECIPE_H
#define BOOTH_RECIPE_H

#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct source {                 /* one recipe file */
	char *path;
	struct buf text;
};

/* a byte of a recipe; source NULL = the command line or the environment */
struct place {
	const struct source *source;
	size_t at;
};

struct range {
	struct place from;
	size_t end;
};

#define TARGET_FROM '\1'        /* in a word: \1NAME\2 stands for the result of target NAME */
#define TARGET_TO '\2'

struct word {
	char *text;             /* variables replaced */
	struct place at;
};

struct words {
	struct word *at;
	size_t n, cap;
};

struct step {                   /* one stage of a command */
	struct words words;     /* the first one is the stage's name */
};

enum rule_kind { RULE_RESULT, RULE_FILE, RULE_GROUP };

struct rule {
	enum rule_kind kind;
	char *target;
	struct place at;
	struct words need;      /* as written after the colon */
	struct words uses;      /* targets named by $(TARGET) in the command */
	struct step *step;
	size_t steps, cap_steps;
	struct range head, body, command;       /* of the text: target, what it needs, command */
};

enum var_from { VAR_DEFAULT, VAR_FILE, VAR_ENVIRONMENT, VAR_LINE };

struct var {
	char *name, *value;
	enum var_from from;
	struct place at;
};

struct recipe {
	struct source **source;
	size_t sources, cap_sources;
	struct var *var;
	size_t vars, cap_vars;
	struct rule *rule;
	size_t rules, cap_rules;
};

/*
 * Read a recipe and all it includes, set the variables, expand everything and check it: targets
 * defined twice, cycles, undefined variables. `set` holds NAME=VALUE words from the command line.
 */
int recipe_read(struct recipe *r, const char *path, char *const *set, size_t sets, struct err *e);
void recipe_release(struct recipe *r);

/* NULL: there is none */
struct rule *recipe_rule(const struct recipe *r, const char *target);

/* Is it NAME=VALUE with a variable's name? */
int is_assignment(const char *word);

/* The target nearest to a misspelt one, or NULL. */
const char *recipe_near(const struct recipe *r, const char *target);

/* "FILE:LINE: sentence", then the line and a mark below the place. -1. */
int place_fail(struct err *e, struct place p, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int place_line(struct place p);

/* Shared with expand.c. */
struct var *recipe_var(const struct recipe *r, const char *name);
int recipe_expand(struct recipe *r, struct err *e);
/* The text of a range with variables replaced, not split (what an include line names). */
int expand_text(const struct recipe *r, struct range where, struct buf *out, struct err *e);
struct word *words_add(struct words *w, const char *text, size_t len, struct place at);
void words_release(struct words *w);

#endif
