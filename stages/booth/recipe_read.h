/*
 * What the files that read a recipe share. Reading has two halves: lines are sorted into variables,
 * rules and blocks (recipe_lines.c, recipe_blocks.c); when all are read, variables are replaced and
 * words are split (expand.c). Variables of blocks are kept in recipe_vars.c's scopes, which a rule
 * points to, so that the second half sees what the first saw.
 */
#ifndef BOOTH_RECIPE_READ_H
#define BOOTH_RECIPE_READ_H

#include "stages/booth/recipe.h"

/* What a few bytes of recipe may ask for; where bytes are made up, less, so that it is reached, and soon. */
#ifndef FUZZING
#define NEST_LIMIT 32           /* blocks within blocks, files within files, variables within variables */
#define ITEM_LIMIT 10000        /* items of all 'for' lines, each time they are read */
#define RULE_LIMIT 10000        /* rules; targets are looked up one by one */
#define VALUE_LIMIT (1 << 20)   /* bytes that one variable, or all in one line, stand for */
#else
#define NEST_LIMIT 6
#define ITEM_LIMIT 30
#define RULE_LIMIT 60
#define VALUE_LIMIT 2000
#endif

/* ---- recipe_vars.c ---- */

size_t name_length(const char *s);      /* of the variable's name at s; 0: there is none */
struct var *recipe_var(const struct recipe *r, const char *name);
/* Of the innermost item that sets it, or of the recipe. */
struct var *scope_var(const struct recipe *r, const struct scope *s, const char *name);
struct scope *scope_add(struct recipe *r, struct scope *up);

/* `value` is the recipe's from here on. A stronger origin that is there already stays. */
void var_set(struct recipe *r, struct scope *s, const char *name, char *value, enum var_from from,
	     struct place at);
/* NAME ?= VALUE: what the environment has comes first */
int var_default(struct recipe *r, struct scope *s, const char *name, char *value, struct place at,
		struct err *e);
/* A value from outside: one line of UTF-8. */
int var_check_value(const char *name, const char *value, struct err *e);
int var_append(struct recipe *r, struct scope *s, const char *name, char *value, struct place at,
	       struct err *e);

/* A use that can't be told now: a name that may end in '*'. */
void recipe_mention(struct recipe *r, const char *name, size_t n);
/* All names in $( ) of a text that is left out. */
void recipe_mention_all(struct recipe *r, const char *text, size_t len);
/* The name nearest to a misspelt one among targets and the variables seen from s, or NULL. */
const char *name_near(const struct recipe *r, const struct scope *s, const char *name);
int recipe_check_unused(struct recipe *r, struct err *e);
void scopes_release(struct recipe *r);

/* ---- recipe_lines.c ---- */

enum keyword {
	KEY_NONE, KEY_INCLUDE, KEY_IFEQ, KEY_IFNEQ, KEY_IFDEF, KEY_IFNDEF, KEY_ELSE, KEY_ENDIF,
	KEY_FOR, KEY_ENDFOR
};

struct reader {
	struct recipe *recipe;
	const struct source *source;
	const char *text;               /* NUL-terminated */
	size_t at;
	long rule;                      /* index of the rule whose command may follow, or -1 */
	struct scope *scope;
	int skip;                       /* lines are left out */
	int depth;                      /* of blocks */
	size_t *items;                  /* read so far, of all 'for' lines */
};

struct line {
	size_t from, at, stop;          /* its beginning, first character, end without a comment */
	enum keyword key;
	size_t rest;                    /* what is behind the keyword */
};

/* Read up to the end of the text, or the else, endif or endfor of this block, which *end tells. */
int read_lines(struct reader *rd, struct line *end, struct err *e);
int read_file(struct reader *from, const char *path, struct place at, struct err *e);
const char *keyword_name(enum keyword k);
enum keyword keyword_at(const char *text, size_t at, size_t stop, size_t *rest);
size_t skip_blanks(const char *text, size_t at, size_t end);
size_t trim_end(const char *text, size_t at, size_t end);

/* ---- recipe_vars.c ---- */

/* NAME = VALUE, NAME ?= VALUE or NAME += VALUE: 1 it was one, 0 it is something else, -1. */
int read_assignment(struct reader *rd, const struct line *l, struct err *e);

/* ---- recipe_blocks.c: the lines behind `l`, to the end of its block ---- */

int read_if(struct reader *rd, const struct line *l, struct err *e);
int read_for(struct reader *rd, const struct line *l, struct err *e);

/* ---- recipe.c ---- */

/* A name nearer than so many letters may be meant by a misspelt one. */
int near_limit(const char *name);
void rule_release(struct rule *rule);      /* what it holds */

/* ---- expand.c ---- */

/* The text of a range with variables replaced, not split; only what is set so far counts. */
int expand_text(struct recipe *r, struct scope *s, struct range where, struct buf *out,
		struct err *e);
/* The same, split into words. */
int expand_words(struct recipe *r, struct scope *s, struct range where, struct words *out,
		 struct err *e);

#define WORD_BAR "\3"           /* the word that stands for an unquoted '|' of a command */
/* The words of a part of a rule. `uses` gets the targets in $( ); NULL: none may be. */
int rule_words(struct recipe *r, const struct rule *rule, struct range where, int command,
	       struct words *out, struct words *uses, struct err *e);

/* ---- recipe_rules.c ---- */

/* When all is read: targets, what they need, commands; groups of one name become one. */
int recipe_expand(struct recipe *r, struct err *e);

/* ---- place.c ---- */

struct word *words_add(struct words *w, const char *text, size_t len, struct place at);
/*
 * Put one more failure behind those that `e` holds already (if *n > 0). 0: it is there, as the same
 * lines read for another item say the same, or there is no room.
 */
int place_join(struct err *e, const struct err *more, int *n);

#endif
