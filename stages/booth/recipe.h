/*
 * A recipe: variables and rules, as in make.
 *
 *	# a comment: from a '#' at the start or behind a blank, outside of quotes
 *	MODEL ?= sd15.safetensors           unless set above, outside or by the command line
 *	STEPS = 800                         the command line still wins
 *	EXTRA += --min-snr 5                put behind what it was, with a blank
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
 *	group   has no command; rules for the same group add up, and no file of its name matters
 * What is needed is another target, or a file or folder outside. A rule has one command: stages
 * joined by '|'; it goes on in the next line after '|' or '\'.
 *
 * Lines that begin with a tab are commands. So are lines below a rule that begin with spaces, unless
 * they are one of the lines below, set a variable or begin a rule: those may be indented with spaces.
 *
 * $(NAME) or ${NAME} is a variable, or else the result of the target of that name (its path, for a
 * file), which is then needed too. The name may be put together, $(STEPS_$(NAME)), also where it is set.
 * $$ is a dollar sign. Words are quoted as in the shell, except that $(NAME) is replaced inside of single quotes as
 * well, as make does. Outside of quotes the value of a variable is split into words (and may hold
 * quotes); inside of quotes it is taken as it is. A leading ~/ is the home folder. Variables are
 * replaced when everything was read, so the last line that sets one counts everywhere; only the
 * lines below, include and the items of a 'for' take what is set above them.
 *
 * Who wins, as in make: the command line, then '=', then the environment, then '?='. The
 * environment counts for names that the recipe sets with '?=' and for no others (make takes any):
 * what a result depends on can be read in the recipe.
 *
 * Conditions are make's, and may stand between the lines of a command:
 *
 *	ifdef CLASS                         it is set, and not to nothing; ifndef
 *	PRIOR = --class $(prior)
 *	else ifeq ($(METHOD),full)          or ifeq "$(METHOD)" "full"; ifneq
 *	PRIOR = --min-snr 5
 *	else
 *	PRIOR =
 *	endif
 *
 * One rule for many things:
 *
 *	for NAME in rex tom
 *	for RATE in 1e-4 2e-4
 *	$(NAME)-$(RATE): latents-$(NAME)
 *		train --lr $(RATE)
 *	all: $(NAME)-$(RATE)
 *	endfor
 *	endfor
 *
 * are four trainings, rex-1e-4 to tom-2e-4, each of which can be asked for (`booth why rex-2e-4`) and
 * used ($(rex-2e-4)) as if it had been written out, and a group of the four. Lines inside are read
 * once for each item; what is set inside with '=' holds for that item only, '+=' to a variable from
 * outside collects. A line and not make's '%': sweeps have more than one dimension, a pattern has
 * one; and in a block, the rules, their own variables and the group that names the products stand
 * side by side. Items are words, so "sks dog" can be one.
 *
 * A variable that is set on the command line or in the recipe itself (not in what it includes) and
 * never used is an error, as is one that is used and never set: both are misspelt names more often
 * than not. Lines that a condition leaves out count as uses.
 *
 * Sentences of failures begin with FILE:LINE and are followed by the line and a mark below it.
 */
#ifndef BOOTH_RECIPE_H
#define BOOTH_RECIPE_H

#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"

struct source {                 /* one recipe file */
	char *path;
	struct buf text;
	int open;               /* it is being read */
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
	struct range head, body;        /* of the text: target, what it needs */
	struct range *line;             /* of its command */
	size_t lines, cap_lines;
	struct scope *scope;            /* of the 'for' around it, or NULL */
	size_t joins;                   /* while reading: 1 + index of the group that it adds to */
};

enum var_from { VAR_DEFAULT, VAR_FILE, VAR_ENVIRONMENT, VAR_LINE, VAR_ITEM };

struct var {
	char *name, *value;
	enum var_from from;
	struct place at;        /* the line that set it first; of VAR_LINE none */
	int used;
};

struct scope {                  /* one item of a 'for': its variable, and what is set inside */
	struct scope *up;
	struct var *var;
	size_t vars, cap_vars;
};

struct recipe {
	struct source **source;
	size_t sources, cap_sources;
	struct var *var;
	size_t vars, cap_vars;
	struct rule *rule;
	size_t rules, cap_rules;
	struct scope **scope;
	size_t scopes, cap_scopes;
	struct names mentioned; /* used where it can't be told which: left out lines, NAME_* */
	size_t expanded;        /* bytes that were put in for variables, of which there is a limit */
};

/*
 * Read a recipe and all it includes, set the variables, expand everything and check it: targets
 * defined twice, cycles, undefined and unused variables. `set` holds NAME=VALUE words from the command line.
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

void words_release(struct words *w);

#endif
