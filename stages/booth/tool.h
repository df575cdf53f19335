/*
 * Executables of stages: booth-NAME in ../libexec/booth beside the booth program's folder if that
 * is there (installed), else in that folder (built); BOOTH_EXEC_PATH names another one. What one
 * says about itself (--version, --list-options) is asked once and kept in the store 'run', known
 * by the executable's size, time and inode.
 */
#ifndef BOOTH_TOOL_H
#define BOOTH_TOOL_H

#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/data/store.h"

struct tool_opt {
	char *name;             /* without the dashes */
	char *type;             /* flag int float text choice size ref path list refs paths */
	int quiet;              /* can't change the result */
};

struct tool {
	char *name, *path;
	char *version;
	struct tool_opt *opt;
	size_t opts, cap;
	int lists;              /* it answered --list-options: an option
				 * that is not in `opt` is unknown */
};

struct tools {
	char *folder;
	struct stores *stores;
	struct tool **tool;
	size_t n, cap;
};

char *tool_folder(void);                        /* the caller's to free */
/*
 * The path of a recipe: the word itself, or, if it has no '/' and there is no such file, the
 * recipe of that name (with or without .booth) in ../share/booth/recipes. The caller's to free.
 */
char *tool_recipe(const char *word);
int tools_names(struct names *out, struct err *e);      /* of all stages there */
const char *tools_near(const struct names *all, const char *name);      /* or NULL */

void tools_begin(struct tools *t, struct stores *stores);
/* 1 found, 0 there is no such executable, -1. */
int tools_find(struct tools *t, const char *name, const struct tool **out, struct err *e);
const struct tool_opt *tool_option(const struct tool *t, const char *name, size_t len);
const char *tool_near_option(const struct tool *t, const char *name);
/*
 * Run it (args[0] is its name) and append what it prints; its talk is thrown away. 1 it ended
 * with 0, 0 it did not, -1.
 */
int tool_ask(const char *path, char *const *args, struct buf *out, struct err *e);
void tools_release(struct tools *t);

#endif
