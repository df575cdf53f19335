/*
 * Options, declared once. One row of an array is the command-line option, the line of --help
 * (with type, unit and default) and the line of the action's text, so that an option which
 * changes the result cannot be forgotten in the key.
 *
 *	struct bucket p = { .step = 64 };
 *	const struct opt opts[] = {
 *		{ "step", OPT_INT, &p.step, "pixels", "sides are multiples of this", .min = 1, .max = 4096 },
 *		{ "threads", OPT_INT, &p.threads, "", "workers", .quiet = 1 },
 *		{ 0 }
 *	};
 *
 * Defaults are the values of the variables before parsing. Spelling: --step 64, --step=64;
 * flags --flip and --no-flip. `--` ends options. OPT_LIST, OPT_REFS and OPT_PATHS may be repeated.
 * Rows end with a zeroed one.
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stdint.h>
#include <stdio.h>
#include "common/base/buf.h"
#include "common/base/err.h"

enum opt_type {
	OPT_FLAG = 1,   /* int *     0 or 1 */
	OPT_INT,        /* int64_t * within [min, max] if they differ */
	OPT_FLOAT,      /* double *  within [min, max] if they differ; finite */
	OPT_TEXT,       /* const char ** one line of UTF-8; NULL = not given */
	OPT_CHOICE,     /* const char ** one of `choices`, words separated by blanks */
	OPT_SIZE,       /* int64_t * bytes: 512M, 8G, 1.5G (powers of 1024) */
	OPT_REF,        /* const char ** reference to a table,
			 * STAGE/HEX; enters the key by that name */
	OPT_PATH,       /* const char ** file or folder outside the
			 * store; enters the key by its content */
	OPT_LIST,       /* struct opt_list * of texts; the option may be repeated */
	OPT_REFS,       /* struct opt_list * of references; may be repeated */
	OPT_PATHS,      /* struct opt_list * of files or folders
			 * outside the store; may be repeated */
};

struct opt_list {
	const char **at;        /* into argv */
	int n;
};

struct opt {
	const char *name;       /* without the dashes */
	enum opt_type type;
	void *at;
	const char *unit;       /* of the value, for help: "pixels", "steps"; "" if none */
	const char *help;       /* one sentence, lower case, no full stop */
	double min, max;        /* equal = not limited */
	const char *choices;    /* of OPT_CHOICE */
	int quiet;              /* cannot change the result, stays out
				 * of the key: threads, device, memory */
	int required;
	int added;              /* an option of numbers, a flag or a choice that came after the stage's
				 * first release; 0 (of choices: the first) means what was done before
				 * it existed, and then stays out of the key: results from that time
				 * are still known */
};

/*
 * Parse argv[1..]. Values go to the rows' variables; words that are no options are moved to the
 * front of argv + 1 and counted in *words. 0, or -1 with a sentence that names the option, what
 * was seen and what was wanted (and the nearest name, for an unknown one). "--help" is not
 * handled here. Strings point into argv.
 */
int opt_parse(const struct opt *rows, int argc, char **argv, int *words, struct err *e);

/* Was --help (or -h) among the options? Looked at before opt_parse. */
int opt_wants_help(int argc, char **argv);

/* The table of options with types, units, limits and defaults. */
void opt_help(const struct opt *rows, FILE *to);

/*
 * The same for programs (the runner, manual pages, completion), a line for each row, separated by
 * tabs: name, type, 1 if quiet, choices, as --help shows it ("--steps N"), and what stands beside
 * it there.
 */
void opt_list_rows(const struct opt *rows, FILE *to);

/* The row of that name, or NULL. */
const struct opt *opt_find(const struct opt *rows, const char *name);

/*
 * The value as it enters an action's text: "%.17g" for floats, decimal integers, 0/1 for flags,
 * texts with \ and line ends escaped. -1: the value is not given (NULL text), nothing added.
 * OPT_REF, OPT_REFS, OPT_PATH and OPT_PATHS are left to common/flow, which knows their content.
 */
int opt_value(const struct opt *row, struct buf *out);

#endif
