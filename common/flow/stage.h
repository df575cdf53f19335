/*
 * What every stage shares. A stage file is: a params struct, worker functions, run, and a main that
 * is a declaration:
 *
 *	int main(int argc, char **argv)
 *	{
 *		struct bucket p = { .step = 64 };
 *		const struct opt opts[] = { ..., { 0 } };
 *		const struct stage stage = { .name = "bucket", .version = 1, .input = INPUT_TABLE,
 *			.about = "sort pictures into shapes of about equal area", .run = bucket_run };
 *		return stage_main(argc, argv, &stage, opts, &p);
 *	}
 *
 * stage_main parses, opens the stores, reads the main input, builds the stage's action, looks it
 * up, runs on a miss, stores the result table, records, and prints the reference of the result as
 * one line on stdout. Talk goes to stderr. Exit: 0 done, 1 failed, 2 wrong usage.
 *
 * Main input: an argument (a reference); or on stdin a line with a reference, or a table itself (a
 * header line with tabs), which is stored as content of this stage. INPUT_PATHS: the arguments
 * are files and folders outside, listed by the stage itself.
 *
 * Options that every stage has: --help, --store DIR, --quiet, --force (run even if known),
 * --keep-going, --threads N, --dry-run (print "fresh REF", or "would run" with the reason; exit 0).
 * --version prints the stage's version; --list-options the rows for programs (opt_list_rows), the
 * stage's own first.
 *
 * The argument may also name a file that holds a table. An item that failed fails the stage at its
 * end; with --keep-going the result of the others is stored and printed, but not recorded, so that
 * the same command tries the failed ones again. Interrupted (stop_wanted), run() finishes the item
 * at hand and returns -1; what it recorded is kept.
 */
#ifndef FLOW_STAGE_H
#define FLOW_STAGE_H

#include "common/base/opt.h"
#include "common/base/talk.h"
#include "common/data/store.h"
#include "common/flow/lock.h"

enum stage_input {
	INPUT_NONE,             /* gen-class */
	INPUT_TABLE,            /* one table is needed */
	INPUT_TABLE_OPTIONAL,
	INPUT_PATHS,            /* prep: paths outside */
};

struct job {                    /* one run of a stage */
	const struct stage *stage;
	const struct opt *opts;
	void *params;
	struct stores *stores;
	struct table in;        /* the main input (INPUT_TABLE) */
	struct ref in_ref;
	char **path;            /* INPUT_PATHS */
	int paths;
	int keep_going, force, threads;
	struct action action;   /* of the whole stage run; run() may only read it */
	size_t failed;          /* items given to job_item_failed */
	int only_told;          /* set by run(): it was asked to tell something, there is no result */
	struct job_inputs *inputs;      /* stage_job.c: contents of the options
					 * that are paths and references */
};

struct stage {
	const char *name;
	int version;            /* explicit; raised when results change for equal keys */
	const char *about;      /* one sentence for --help */
	const char *usage;      /* the words after the name: "FOLDER|FILE..." */
	enum stage_input input;

	/* Fill `out`. 0, or -1. Results of items are recorded by the stage itself (job_item_*). */
	int (*run)(struct job *j, struct table *out, struct err *e);

	/*
	 * Optional. Check what the option rows cannot (two options that exclude each other), fill
	 * in defaults that depend on others, before the action is built. -1: wrong usage (exit 2).
	 */
	int (*check)(struct job *j, struct err *e);

	/*
	 * Optional. Add to the stage's action what options and main input do not say (the contents
	 * of the files in a folder, for prep; the seed's part of a chain, for train).
	 */
	int (*key)(struct job *j, struct action *a, struct err *e);

	/*
	 * Optional, for stages that write files outside (--out). The result is known: are its files
	 * there as it says? 1 yes, 0 no (the stage runs, as with --force), -1.
	 */
	int (*still)(struct job *j, const struct ref *result, struct err *e);
};

int stage_main(int argc, char **argv, const struct stage *stage, const struct opt *opts,
	       void *params);

/*
 * One item's action: the stage's name and version, level "item", the parameters named in `params`
 * (NULL = all that are not quiet; paths and references enter by content), to which the stage adds
 * its inputs.
 */
int job_item_action(struct job *j, struct action *a, const char *const *params, struct err *e);

/*
 * Is the result of an item known? 1 yes (*r is filled), 0 no: compute and record it, then give the
 * claim back (claim_drop, lock.h), -1 failed. An item that another process is computing is waited
 * for. With --force always 0.
 */
int job_find(struct job *j, const struct action *a, struct result *r, int *claim, struct err *e);

/* Report an item that cannot be processed: "bucket: 'rex/03.jpg': reason"; counted, never dropped silently. */
void job_item_failed(struct job *j, const char *item, const struct err *why);

/*
 * The content of an OPT_PATH, OPT_PATHS, OPT_REF or OPT_REFS option, by its name. A path that does
 * not exist but has the form of a reference counts as one (--model train/1f0c...). -1 too if it is
 * not given.
 */
int job_input(struct job *j, const char *option, struct oid *out, struct err *e);

#endif
