/*
 * What `booth run`, `status`, `explain` and `graph` share: the targets that are wanted with all
 * they need (tasks, in an order in which each comes behind its needs), and whether a step of a task
 * has to run.
 *
 * The stages of a rule's command run one after the other, so every intermediate result is known.
 * Each is a step. A step is recorded in the store 'run' as an action of level "step", whose text is
 *	stage run 1
 *	step
 *	param executable train 3            name and version
 *	param steps 800                     options that are not quiet; words that are no option: "word"
 *	input model 1f0c...                 what a path option names, by content
 *	input in 77b2...                    the main input
 *	param out out/rex.png               of the last step of a file target
 * and whose result is the stage's own result. If it is there, no process is started. The note
 * of a step that wrote files has a line "file HASH PATH" for each; a file that is not
 * as it was noted is written again.
 *
 * A stage that writes files has an option --out PATH and says in its `still` whether they are there
 * as its result tells; for a file target whose last stage has no --out, the runner writes the
 * result's table.
 */
#ifndef BOOTH_RUN_H
#define BOOTH_RUN_H

#include <sys/types.h>
#include "common/data/store.h"
#include "stages/booth/cost.h"
#include "stages/booth/past.h"
#include "stages/booth/recipe.h"
#include "stages/booth/tool.h"

enum task_state {
	TASK_WAITING,           /* for what it needs, or for a free place */
	TASK_RUNNING,
	TASK_FRESH,             /* nothing was to do */
	TASK_DONE,              /* something ran */
	TASK_FAILED,
	TASK_SKIPPED,           /* something it needs failed */
	TASK_STALE,             /* looked at only: a step would run */
	TASK_UNSURE,            /* looked at only: it depends on what
				 * comes out of one that would run */
};

struct child {
	pid_t pid;
	int out, err, report;   /* ends of pipes that we read; err -1 = not taken */
	struct buf text, line;  /* of stdout; the unfinished line of stderr */
	struct buf reported;    /* the unfinished line of its reports */
	struct meter meter;
	double start;
};

enum child_pipe { CHILD_OUT = 1, CHILD_ERR = 2, CHILD_REPORT = 4 };

struct task {
	const struct rule *rule;
	enum task_state state;
	struct task **need;
	size_t needs;
	int wanted;             /* asked for by name */
	struct ref result;      /* when FRESH or DONE and not a group */
	struct past past;       /* the last recorded run of this target */
	struct past now;        /* what is recorded of this one */

	size_t step;            /* the one at hand */
	struct ref in;
	int has_in;
	int checked;            /* the step at hand is known to have to run */
	int rewrite;            /* it is known, but a file it wrote is not as it was */
	struct action action;   /* of the step at hand */
	struct buf why;         /* it runs */
	struct child child;
};

struct runner {
	struct recipe recipe;
	const char *recipe_name;        /* as in records: relative to the
					 * working folder if below it */
	char *name_owned;
	struct stores *stores;
	struct tools tools;
	struct task *task;
	size_t tasks;
	int jobs, keep_going, always, explain;
	char *const *set;               /* NAME=VALUE words */
	size_t sets;
	int draws, drawn;               /* screen.h: lines on the terminal */
	double drawn_at;
};

/* Read the recipe and make the tasks for `targets` (none: what no other target needs, or 'all'). */
int runner_open(struct runner *r, const char *recipe, char *const *words, size_t n, struct err *e);
void runner_close(struct runner *r);
struct task *runner_task(struct runner *r, const char *target);

/* The step's stage, checked: exists, knows its options. */
int step_tool(struct runner *r, const struct step *s, const struct tool **out, struct err *e);
int runner_check_tools(struct runner *r, struct err *e);

/* A word of a command with results of targets put in; fails if one has none yet. */
int word_resolve(struct runner *r, const struct word *w, struct buf *out, struct err *e);

/* The action of the step at hand into t->action. */
int step_action(struct runner *r, struct task *t, struct err *e);

/*
 * Is the step at hand known? 1 yes (*out is its result), 0 no (t->why says why it has to run), -1.
 */
int step_known(struct runner *r, struct task *t, struct result *out, struct err *e);

/* Take a step's result and go on to the next: 1; 0: that was the last, the task has its result. */
int step_take(struct task *t, const struct ref *result);
const struct step *task_step(const struct task *t);
void task_first_step(struct task *t);

/* The arguments of the step at hand. `args` end with NULL; release with names_release. */
int step_args(struct runner *r, struct task *t, int force, struct names *args, struct err *e);
/* Say why the step at hand runs, and how, on stderr. */
void step_explain(const struct task *t, const struct names *args);
/* Does the step write the task's file by itself (--out)? */
int step_writes_file(struct runner *r, const struct task *t, int *by_stage, struct err *e);

/* "file HASH PATH" lines for the target's file and what the result's column `file` names. */
int files_note(struct runner *r, const struct task *t, const struct ref *result, struct buf *note,
	       struct err *e);
/* 1 all as noted, 0 not (why says which), -1. */
int files_same(struct runner *r, const char *note, struct buf *why, struct err *e);

/* What came of a step: put into t->now. `reason` is "" if it was known. */
void now_step(struct task *t, const struct result *known, const char *reason);
/* The stage at hand ended well: check what it printed and wrote, record, go on or end the task. */
int step_done(struct runner *r, struct task *t, struct err *e);
int task_ran(const struct task *t);             /* did any of its steps? */
int task_end(struct runner *r, struct task *t, int ran, struct err *e);
void task_failed(struct runner *r, struct task *t, const struct err *e);

/* Run: 0 all is done, 1 something failed, 130 interrupted. */
int runner_run(struct runner *r);

/* Look only: set every task's state to FRESH, STALE (with why) or UNSURE. */
int runner_look(struct runner *r, struct err *e);

/* ---- processes ---- */
/* With `drawn` its progress is shown by us: it only reports it, and its talk is taken. */
int child_start(struct child *c, const char *path, char *const *args, int take_err, int drawn,
		struct err *e);
/* `ready` is an enum child_pipe. Whole lines of talk go to stderr behind `prefix` (may be NULL). */
void child_read(struct child *c, int ready, const char *prefix);
void child_release(struct child *c);

#endif
