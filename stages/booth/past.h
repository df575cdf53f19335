/*
 * Past runs of a recipe's targets. The last one of each is an action of level "target" in the store
 * 'run'; its result is a table:
 *	item     "run" (first row), "need NAME" for each target it needed, "step N"; and of what was
 *	         around it (world.h) "var NAME" for each variable, "outside PATH" for each file or folder
 *	stage    the step's stage
 *	text     the action's text; of "run": the NAME=VALUE words of the command line; of a variable
 *	         its value as written; of a path its content's hash
 *	ref      result of the run, need or step; of a folder its listing
 *	note     of a step: the files it wrote; of a variable where it was set
 *	reason   why the step ran; empty if it was known
 *	seconds time
 *	previous of "run": the table of the run before (so runs are a chain)
 */
#ifndef BOOTH_PAST_H
#define BOOTH_PAST_H

#include <stdint.h>
#include "common/data/store.h"

struct past {
	struct table t;
	struct ref ref;         /* where the table is, if found */
	int found;
	char *recipe, *target;  /* of past_each */
};

int past_read(struct past *p, struct stores *s, const char *recipe, const char *target,
	      struct err *e);
/* one of the chain */
int past_load(struct past *p, struct stores *s, const struct ref *ref, struct err *e);
void past_release(struct past *p);

void past_begin(struct past *p);
size_t past_add(struct past *p, const char *item, const struct ref *ref);
void past_set(struct past *p, size_t row, const char *column, const char *value);
/* The row of that item, or -1. */
long past_row(const struct past *p, const char *item);
long past_step(const struct past *p, size_t step);     /* "step N", counted from 0 */
const char *past_get(const struct past *p, long row, const char *column);       /* "" if absent */
int64_t past_time(const struct past *p);        /* Unix seconds */
double past_moment(const struct past *p);       /* the same with a fraction, to tell order */

/* Make it the last run of the target; `previous` is put in. */
int past_record(struct past *p, struct stores *s, const char *recipe, const char *target,
		const struct past *before, struct err *e);

/* The last runs of all targets (of that name, if not NULL), newest first. */
struct pasts {
	struct past *at;
	size_t n, cap;
};
int pasts_read(struct pasts *out, struct stores *s, const char *target, struct err *e);
void pasts_release(struct pasts *p);

#endif
